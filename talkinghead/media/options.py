"""Options for reading and writing media. Light: importing this module loads neither PyAV nor OpenCV."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from talkinghead.errors import OptionError, choices
from talkinghead.media.limits import MAX_PIXELS

Matrix = Literal["auto", "bt601", "bt709"]
EvenPolicy = Literal["crop", "pad"]


@dataclass(frozen=True)
class FrameOptions:
    """How pictures and videos become frames.

    Order of the steps: rotation and mirroring that the file itself asks for, square pixels, `resize_factor`,
    `rotate`, `crop`. The last three in the order of Wav2Lip's `inference.py`; unlike there they also apply to pictures.
    """

    fps: Fraction | None = None
    """Frames per second that come out: frames are repeated or left out by their timestamps. None keeps the file's."""
    crop: tuple[int, int, int, int] | None = None
    """(top, bottom, left, right) in pixels after resizing and rotating; -1 as bottom or right means the edge."""
    resize_factor: int = 1
    """Integer that width and height are divided by (fractions dropped), bilinear."""
    rotate: int = 0
    """Degrees clockwise: 0, 90, 180 or 270. True, the published flag, becomes 90."""
    start_s: float = 0.0
    """Seconds from the first frame of a video where reading begins."""
    duration_s: float | None = None
    """Seconds to read; None reads to the end."""
    max_pixels: int = MAX_PIXELS
    """Larger pictures are refused before they are decoded."""
    square_pixels: bool = True
    """Stretch the width of videos whose pixels are not square, so that faces keep their shape."""
    untagged_matrix: Matrix = "auto"
    """Colour matrix of videos that do not name theirs: "bt601", "bt709", or "auto", which does as players do:
    BT.709 if wider than 1279 or higher than 576 pixels."""
    cache_bytes: int = 256 * 1024 * 1024
    """A video whose frames all fit in this many bytes is decoded once and kept; also bounds reading backwards."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise OptionError(f"Frame rate {self.fps} is out of range.", accepted="more than 0, at most 1000")
        if self.resize_factor < 1 or isinstance(self.resize_factor, bool):
            raise OptionError(f"resize_factor {self.resize_factor} is out of range.", accepted="whole numbers from 1")
        if not isinstance(self.rotate, bool) and self.rotate not in (0, 90, 180, 270):  # 1 equals True, and is none
            raise OptionError(f"rotate {self.rotate!r} is not a quarter turn.", accepted="0, 90, 180 or 270 degrees")
        object.__setattr__(self, "rotate", 90 if self.rotate is True else int(self.rotate))
        if self.untagged_matrix not in get_args(Matrix):
            raise OptionError(f"Unknown colour matrix {self.untagged_matrix!r}.", accepted=choices(get_args(Matrix)))
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise OptionError(f"start_s {self.start_s} is out of range.", accepted="seconds from 0")
        if self.duration_s is not None and not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise OptionError(f"duration_s {self.duration_s} is out of range.", accepted="more than 0 seconds")
        if self.max_pixels < 1 or self.cache_bytes < 0:
            raise OptionError("max_pixels must be at least 1 and cache_bytes at least 0.")
        if self.crop is not None:
            self._check_crop(self.crop)

    @staticmethod
    def _check_crop(crop: tuple[int, int, int, int]) -> None:
        accepted = "top bottom left right, in pixels, top < bottom and left < right; -1 as bottom or right: the edge"
        if len(crop) != 4:
            raise OptionError(f"crop has {len(crop)} numbers, not 4.", accepted=accepted)
        top, bottom, left, right = crop
        for name, low, high in (("rows", top, bottom), ("columns", left, right)):
            if low < 0 or high < -1 or (high != -1 and high <= low):
                raise OptionError(f"crop takes no {name}: {low} to {high}.", accepted=accepted)


AS_THEY_ARE = FrameOptions()
"""Frames as the file has them."""


@dataclass(frozen=True)
class EncodeOptions:
    """How frames become a file."""

    codec: str = "auto"
    """"auto" goes by the file name: .mp4 .m4v .mov .mkv H.264, .webm VP9, .gif GIF, no suffix a folder of PNG files.
    Or one of the names that `talkinghead doctor` lists, such as "h264", "libx264", "h264_nvenc", "vp9", "prores"."""
    crf: int | None = None
    """Constant quality on the codec's own scale, lower is better (H.264 0-51, VP9 and AV1 0-63); None: its default."""
    preset: str | None = None
    """Speed against size, by the encoder's own names; None: the encoder's default."""
    pixel_format: str | None = None
    """Pixel format of the file, such as "yuv444p"; None: the one that plays everywhere (H.264: yuv420p)."""
    even: EvenPolicy = "crop"
    """What happens to odd sizes where the pixel format needs even ones: "crop" leaves the last row or column out,
    "pad" repeats it."""
    audio_codec: str = "auto"
    """"auto", or one that the container takes: "aac", "opus", "pcm_s16le", "flac", "mp3", or "none" for no sound."""
    audio_bitrate: int | None = None
    """Bits per second of the sound; None: 96 000 per channel, less at low sample rates."""
    gop_s: float = 2.0
    """Seconds between key frames at most: how exactly players can seek."""
    threads: int = 0
    """Threads of the encoder; 0 lets it choose."""
    label: bool = True
    """Say in the file's metadata (the comment) that it is synthetic; nothing is drawn into the picture."""

    def __post_init__(self) -> None:
        if self.even not in get_args(EvenPolicy):
            raise OptionError(f"Unknown way to make sizes even: {self.even!r}.", accepted=choices(get_args(EvenPolicy)))
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise OptionError(f"crf {self.crf} is out of range.", accepted="0 to 51 for H.264, 0 to 63 for VP9 and AV1")
        if self.audio_bitrate is not None and self.audio_bitrate < 6000:
            raise OptionError(f"audio_bitrate {self.audio_bitrate} is too low.", accepted="bits per second, from 6000")
        if not self.gop_s > 0:
            raise OptionError(f"gop_s {self.gop_s} is out of range.", accepted="more than 0 seconds")
        if self.threads < 0:
            raise OptionError(f"threads {self.threads} is out of range.", accepted="0 or more")


GOOD_QUALITY = EncodeOptions()
"""The codec of the file name, at its default quality."""
