"""Options for reading and writing media. Light: importing this module loads neither PyAV nor OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal, get_args

from talkinghead.bounds import FRAME_RATES, LENGTHS_S, MOMENTS_S, THREADS, Between, Length, check_fields
from talkinghead.errors import OptionError, choices
from talkinghead.media.limits import MAX_PIXELS

Matrix = Literal["auto", "bt601", "bt709"]
EvenPolicy = Literal["crop", "pad"]
MarkPlace = Literal["bottom-right", "bottom-left", "top-right", "top-left"]
RESIZE_FACTORS = Between(1, 64)
CROPS = Between(-1, 65_536)


@dataclass(frozen=True)
class FrameOptions:
    """How pictures and videos become frames.

    Order of the steps: rotation and mirroring that the file itself asks for, square pixels, `resize_factor`,
    `rotate`, `crop`. The last three in the order of Wav2Lip's `inference.py`; unlike there they also apply to pictures.
    """

    fps: Annotated[Fraction | None, FRAME_RATES] = None
    """Frames per second that come out: frames are repeated or left out by their timestamps. None keeps the file's."""
    crop: Annotated[tuple[int, int, int, int] | None, CROPS] = None
    """(top, bottom, left, right) in pixels after resizing and rotating; -1 as bottom or right means the edge."""
    resize_factor: Annotated[int, RESIZE_FACTORS] = 1
    """Integer that width and height are divided by (fractions dropped), bilinear."""
    rotate: Annotated[int, Between(0, 270)] = 0
    """Degrees clockwise: 0, 90, 180 or 270. True, the published flag, becomes 90."""
    start_s: Annotated[float, MOMENTS_S] = 0.0
    """Seconds from the first frame of a video where reading begins."""
    duration_s: Annotated[float | None, LENGTHS_S] = None
    """Seconds to read; None reads to the end."""
    max_pixels: Annotated[int, Between(1, 2_000_000_000)] = MAX_PIXELS
    """Larger pictures are refused before they are decoded."""
    square_pixels: bool = True
    """Stretch the width of videos whose pixels are not square, so that faces keep their shape."""
    untagged_matrix: Matrix = "auto"
    """Colour matrix of videos that do not name theirs: "bt601", "bt709", or "auto", which does as players do:
    BT.709 if wider than 1279 or higher than 576 pixels."""
    cache_bytes: Annotated[int, Between(0, 2**40)] = 384 * 1024 * 1024
    """A video whose frames all fit in this many bytes, as they are decoded, is decoded once and kept (10 s of
    1280x720 at 25 frames/s do); also bounds reading backwards."""

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.resize_factor, bool):
            raise OptionError(f"resize_factor is {self.resize_factor}.", accepted="a whole number, 1 to 64")
        if not isinstance(self.rotate, bool) and self.rotate not in (0, 90, 180, 270):  # 1 equals True, and is none
            raise OptionError(f"rotate {self.rotate!r} is not a quarter turn.", accepted="0, 90, 180 or 270 degrees")
        object.__setattr__(self, "rotate", 90 if self.rotate is True else int(self.rotate))
        if self.untagged_matrix not in get_args(Matrix):
            raise OptionError(f"Unknown colour matrix {self.untagged_matrix!r}.", accepted=choices(get_args(Matrix)))
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


def check_marked(text: str | None, place: str) -> None:
    """Refuse a mark that cannot be drawn.

    Raises:
        OptionError: its text, or its place.
    """
    if place not in get_args(MarkPlace):
        raise OptionError(f"Unknown place {place!r}.", accepted=choices(get_args(MarkPlace)))
    if text is not None:
        from talkinghead.media.mark import check_mark

        check_mark(text)


@dataclass(frozen=True)
class EncodeOptions:
    """How frames become a file."""

    codec: str = "auto"
    """"auto" goes by the file name: .mp4 .m4v .mov .mkv H.264, .webm VP9, .gif GIF, no suffix a folder of PNG files.
    Or one of the names that `talkinghead doctor` lists, such as "h264", "libx264", "h264_nvenc", "vp9", "prores"."""
    crf: Annotated[int | None, Between(0, 63)] = None
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
    audio_bitrate: Annotated[int | None, Between(6_000, 1_000_000)] = None
    """Bits per second of the sound; None: 96 000 per channel, less at low sample rates."""
    gop_s: Annotated[float, Between(0, 3_600, above=True)] = 2.0
    """Seconds between key frames at most: how exactly players can seek."""
    fragment_s: Annotated[float | None, Between(0.02, 3_600)] = None
    """Write .mp4, .m4v and .mov in fragments of at most so many seconds, each readable as soon as it is written; None:
    as one piece with its index in front. In fragments, less than a block of silence may follow the sound."""
    threads: Annotated[int, THREADS] = 0
    """Threads of the encoder; 0 lets it choose."""
    label: bool = True
    """Say in the file's metadata (XMP and the comment) that it is synthetic, what made it and when; nothing is drawn
    into the picture."""
    mark: Annotated[str | None, Length(80)] = None
    """Words that are drawn into every frame, such as "AI-generated", on a dark plate in a corner; None: nothing is."""
    mark_place: MarkPlace = "bottom-right"
    """Corner of the mark."""
    mark_opacity: Annotated[float, Between(0.6, 1)] = 0.9
    """How much of the mark is seen: 1 hides what is behind its letters."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_marked(self.mark, self.mark_place)
        if self.even not in get_args(EvenPolicy):
            raise OptionError(f"Unknown way to make sizes even: {self.even!r}.", accepted=choices(get_args(EvenPolicy)))


GOOD_QUALITY = EncodeOptions()
"""The codec of the file name, at its default quality."""
