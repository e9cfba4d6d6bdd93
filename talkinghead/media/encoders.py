"""Video encoders: what each one needs, and which of them really work on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np

from talkinghead.cores import allotted_cores
from talkinghead.errors import EncoderUnavailable, choices
from talkinghead.media.colour import FromRgb
from talkinghead.media.options import EncodeOptions
from talkinghead.media.priority import priorities_kept

TRIAL_SIZE = (256, 144)
"""Pixels of the picture that an encoder must manage; hardware encoders refuse much smaller ones."""


@dataclass(frozen=True)
class EncoderFacts:
    """One FFmpeg encoder and how this package uses it."""

    name: str
    codec: str
    """What it makes, by the name that `--codec` takes."""
    pixel_format: str
    suffixes: tuple[str, ...]
    """Containers that hold it, the usual one first."""
    crf_option: str | None = None
    """The encoder's own name for constant quality; None: it has none."""
    crf: int | None = None
    """Default quality."""
    max_crf: int = 51
    preset_option: str | None = None
    preset: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Further options, always set."""
    preset_options: Mapping[str, str] = field(default_factory=dict)
    """Options that belong to the default preset; left out when another is asked for."""
    even: bool = True
    """Sizes must be even (chroma is shared between pixels)."""
    tag: str | None = None
    """Four letters that some players insist on."""


MAX_LEVEL_MACROBLOCKS = 36_864
"""Blocks of 16 x 16 pixels in a frame of H.264 level 5.2, the highest that players decode in hardware."""
STEADY_X264 = "asm=AVX2"
"""What x264 has for AVX-512 gives now and then (4 of 1,000 short videos of 96x96) other bytes for the same frames, and
other ones than elsewhere always; it takes as long."""
LARGE_X264 = {"x264-params": "rc-lookahead=0:sync-lookahead=0:mbtree=0:bframes=0:ref=1:sliced-threads=1"}
"""For larger frames: each one that the encoder holds takes hundreds of megabytes."""


def macroblocks(width: int, height: int) -> int:
    """Blocks of 16 x 16 pixels that cover a frame."""
    return -(-width // 16) * -(-height // 16)


_VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")

ENCODERS: tuple[EncoderFacts, ...] = (
    EncoderFacts(
        "h264_nvenc",
        "h264",
        "yuv420p",
        _VIDEO_SUFFIXES,
        *("cq", 20, 51, "preset", "p4"),
        options={"rc": "vbr", "b:v": "0", "spatial-aq": "1"},
    ),
    EncoderFacts(
        "libx264",
        "h264",
        "yuv420p",
        _VIDEO_SUFFIXES,
        *("crf", 19, 51, "preset", "superfast"),
        # With the look-ahead of "veryfast": nearly its file size, at two thirds of its work.
        preset_options={"x264-params": "mbtree=1:rc-lookahead=10"},
    ),
    EncoderFacts(
        "hevc_nvenc",
        "hevc",
        "yuv420p",
        _VIDEO_SUFFIXES,
        *("cq", 24, 51, "preset", "p4"),
        options={"rc": "vbr", "b:v": "0"},
        tag="hvc1",
    ),
    EncoderFacts(
        "libx265",
        "hevc",
        "yuv420p",
        _VIDEO_SUFFIXES,
        *("crf", 23, 51, "preset", "ultrafast"),
        options={"x265-params": "log-level=none"},
        tag="hvc1",
    ),
    EncoderFacts(
        "libvpx-vp9",
        "vp9",
        "yuv420p",
        (".webm", ".mkv", ".mp4"),
        *("crf", 30, 63, "cpu-used", "6"),
        options={"b:v": "0", "deadline": "realtime", "row-mt": "1"},
    ),
    EncoderFacts("libsvtav1", "av1", "yuv420p", (".mp4", ".mkv", ".webm"), *("crf", 30, 63, "preset", "10")),
    EncoderFacts("prores_ks", "prores", "yuv422p10le", (".mov", ".mkv"), options={"profile": "3", "vendor": "apl0"}),
    EncoderFacts("gif", "gif", "pal8", (".gif",), even=False),
    EncoderFacts("png", "png", "rgb24", ("",), even=False),
)
"""All encoders, the preferred one of each codec first."""

TRANSPARENT_ENCODERS: tuple[EncoderFacts, ...] = (
    EncoderFacts(
        "libvpx-vp9",
        "vp9",
        "yuva420p",
        (".webm",),
        *("crf", 24, 63, "cpu-used", "6"),
        options={"b:v": "0", "deadline": "realtime", "row-mt": "1", "auto-alt-ref": "0"},
    ),
    EncoderFacts("prores_ks", "prores", "yuva444p10le", (".mov", ".mkv"), options={"profile": "4", "vendor": "apl0"}),
    EncoderFacts("png", "png", "rgba", ("",), even=False),
)
"""How frames with transparency are written: VP9 in WebM, ProRes 4444 in .mov, a folder of PNG files."""

DEFAULT_CODECS = {".webm": "vp9", ".gif": "gif", "": "png"}
"""Codec by suffix under "auto"; H.264 for the others."""

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif", "")


@dataclass(frozen=True)
class EncoderStatus:
    """Whether one encoder works here."""

    name: str
    codec: str
    works: bool
    """It was opened and encoded a picture."""
    detail: str
    """Why not; empty if it works."""


@cache
def _try(name: str) -> EncoderStatus:
    facts = next(encoder for encoder in ENCODERS if encoder.name == name)
    width, height = TRIAL_SIZE
    try:
        context = open_encoder(facts, EncodeOptions(), width, height, Fraction(25))
        frame = FromRgb(facts.pixel_format)(np.zeros((height, width, 3), np.uint8)) if facts.even else None
        if frame is None:
            frame = av.VideoFrame(width, height, facts.pixel_format)
        frame.pts = 0
        frame.time_base = Fraction(1, 25)
        packets = [*context.encode(frame), *context.encode(None)]
        if not any(packet.size for packet in packets):
            return EncoderStatus(name, facts.codec, False, "it gave no data")
    except (av.FFmpegError, EncoderUnavailable, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return EncoderStatus(name, facts.codec, False, str(reason))
    return EncoderStatus(name, facts.codec, True, "")


_trying = threading.Lock()


def encoder_status(name: str) -> EncoderStatus:
    """Try one encoder; remembered for the life of the process."""
    with _trying:
        return _try(name)


def available_encoders() -> tuple[EncoderStatus, ...]:
    """Try every encoder that this package knows: a name in FFmpeg's list proves nothing, a coded picture does."""
    return tuple(encoder_status(encoder.name) for encoder in ENCODERS)


def candidates(codec: str, suffix: str) -> tuple[EncoderFacts, ...]:
    """Encoders to try, in order, for a codec (or encoder) name and a file suffix.

    Raises:
        EncoderUnavailable: no such codec, or the container does not hold it.
    """
    suffix = suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise EncoderUnavailable(
            f"Videos are not written as {suffix!r} files.",
            accepted=f"{choices(VIDEO_SUFFIXES[:-1])}, or a name without suffix for a folder of PNG files",
        )
    if codec == "auto":
        codec = DEFAULT_CODECS.get(suffix, "h264")
    found = tuple(encoder for encoder in ENCODERS if codec in (encoder.codec, encoder.name))
    if not found:
        names = dict.fromkeys(name for encoder in ENCODERS for name in (encoder.codec, encoder.name))
        raise EncoderUnavailable(f"There is no codec {codec!r}.", accepted=choices(["auto", *names]))
    fitting = tuple(encoder for encoder in found if suffix in encoder.suffixes)
    if not fitting:
        suffixes = [name or "no suffix (a folder)" for name in dict.fromkeys(s for e in found for s in e.suffixes)]
        raise EncoderUnavailable(
            f"A {suffix or 'folder'} output does not hold {codec}.", accepted=f"for {codec}: {choices(suffixes)}"
        )
    return fitting


def transparent_encoder(codec: str, suffix: str) -> EncoderFacts:
    """The encoder of frames with transparency.

    Raises:
        EncoderUnavailable: the container or codec holds none.
    """
    suffix = suffix.lower()
    for facts in TRANSPARENT_ENCODERS:
        if suffix in facts.suffixes and codec in ("auto", facts.codec, facts.name):
            return facts
    what = f"A {suffix or 'folder'} output" if codec == "auto" else f"{codec} in a {suffix or 'folder'} output"
    raise EncoderUnavailable(
        f"{what} holds no transparency.",
        accepted="a name ending in .webm or .mov, or a name without suffix for a folder of PNG files",
        remedy="choose such a name, or a background",
    )


def open_encoder(
    facts: EncoderFacts, options: EncodeOptions, width: int, height: int, fps: Fraction
) -> av.VideoCodecContext:
    """Open an encoder of its own, outside any file. Raises av.FFmpegError when it does not open."""
    context = av.CodecContext.create(facts.name, "w")
    assert isinstance(context, av.VideoCodecContext)
    set_up(context, facts, options, width, height, fps)
    return context


def set_up(
    context: av.VideoCodecContext,
    facts: EncoderFacts,
    options: EncodeOptions,
    width: int,
    height: int,
    fps: Fraction,
) -> None:
    """Give an encoder its sizes, times, colour tags (BT.709, limited range) and options, and open it.

    Raises:
        EncoderUnavailable: an option that this encoder does not have. av.FFmpegError: it does not open.
    """
    context.width, context.height = width, height
    context.pix_fmt = options.pixel_format or facts.pixel_format
    context.framerate = fps
    context.time_base = 1 / fps
    large = macroblocks(width, height) > MAX_LEVEL_MACROBLOCKS
    context.options = encoder_options(facts, options) | (LARGE_X264 if large and facts.name == "libx264" else {})
    if facts.name == "libx264" and has_avx512():
        given = context.options.get("x264-params")
        context.options = {**context.options, "x264-params": f"{given}:{STEADY_X264}" if given else STEADY_X264}
    if facts.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only: SVT-AV1 writes to the terminal past FFmpeg's own log
    if facts.tag:
        context.codec_tag = facts.tag
    if facts.even:
        context.gop_size = max(1, round(options.gop_s * fps))
        context.color_range = av.video.reformatter.ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    if facts.name == "libx264":
        # Frames as FFmpeg's own program does; PyAV's default, slices, compresses a little worse and holds less.
        context.thread_type = "SLICE" if large else "FRAME"
    if threads := options.threads or allotted_cores():
        context.thread_count = threads
    with priorities_kept():
        context.open()


def has_avx512() -> bool:
    """Whether this processor and its system have AVX-512."""
    return bool(cv2.checkHardwareSupport(_CV_CPU_AVX_512F))


_CV_CPU_AVX_512F = 13
"""As OpenCV's `interface.h` has it; its Python module does not name it."""


def encoder_options(facts: EncoderFacts, options: EncodeOptions) -> dict[str, str]:
    """The encoder's own options.

    Raises:
        EncoderUnavailable: quality or preset asked of an encoder without it, or out of its range.
    """
    chosen = dict(facts.options)
    crf = options.crf if options.crf is not None else facts.crf
    if crf is not None:
        if facts.crf_option is None:
            raise EncoderUnavailable(f"{facts.name} has no crf.", remedy="leave --crf out, or choose another codec")
        if crf > facts.max_crf:
            raise EncoderUnavailable(f"crf {crf} is too high for {facts.name}.", accepted=f"0 to {facts.max_crf}")
        chosen[facts.crf_option] = str(crf)
    if options.preset is None:
        chosen.update(facts.preset_options)
    preset = options.preset or facts.preset
    if preset is not None:
        if facts.preset_option is None:
            raise EncoderUnavailable(f"{facts.name} has no presets.", remedy="leave --preset out")
        chosen[facts.preset_option] = preset
    return chosen
