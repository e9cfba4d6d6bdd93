"""Tiny videos, sounds and pictures for tests, made with PyAV, wave and NumPy alone: independent of the package.

    from tests.synthetic_media import make_video, make_sound, make_picture, coded_frame, read_code

Frames carry their number in their pixels (`coded_frame`), in blocks that survive any codec, scaling to half size and
repeated encoding; `read_code` gives it back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

CODE_BITS = 12
_COLUMNS, _ROWS = 4, 3


def coded_frame(index: int, width: int = 64, height: int = 48) -> Frame:
    """An RGB frame that shows `index` (0 to 4095) as 4 x 3 dark and bright blocks on a coloured gradient."""
    x = np.linspace(0, 1, width)[np.newaxis, :]
    y = np.linspace(0, 1, height)[:, np.newaxis]
    frame = np.empty((height, width, 3), np.uint8)
    column = np.minimum(np.arange(width) * _COLUMNS // width, _COLUMNS - 1)
    row = np.minimum(np.arange(height) * _ROWS // height, _ROWS - 1)
    bit = row[:, np.newaxis] * _COLUMNS + column[np.newaxis, :]
    bright = (index >> bit & 1).astype(np.float64)
    for channel, tint in enumerate((x + 0 * y, y + 0 * x, 1 - x + 0 * y)):
        frame[:, :, channel] = np.rint(40 + 130 * bright + 30 * tint)
    return frame


def read_code(frame: Frame) -> int:
    """The number that `coded_frame` wrote."""
    height, width = frame.shape[:2]
    index = 0
    for bit in range(CODE_BITS):
        row, column = divmod(bit, _COLUMNS)
        y = int((row + 0.5) * height / _ROWS)
        x = int((column + 0.5) * width / _COLUMNS)
        ry, rx = max(1, height // (_ROWS * 4)), max(1, width // (_COLUMNS * 4))
        block = frame[max(0, y - ry) : y + ry, max(0, x - rx) : x + rx]
        index |= int(block.mean() > 120) << bit
    return index


def make_video(
    path: Path,
    num_frames: int = 25,
    size: tuple[int, int] = (64, 48),
    fps: Fraction | int = 25,
    *,
    codec: str = "libx264",
    frames: Iterable[Frame] | None = None,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    gop: int = 12,
    b_frames: int = 2,
    pixel_format: str = "yuv420p",
    matrix: str | None = "bt709",
    full_range: bool = False,
    rotation: int = 0,
    mirror: bool = False,
    sample_aspect: Fraction | None = None,
    sound: tuple[int, int] | None = None,
    sound_s: float | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Write a video of `coded_frame`s.

    Args:
        frames: pictures to use instead.
        ticks: presentation times in ticks of `time_base`, for a variable frame rate.
        gop, b_frames: distance of key frames, and frames between references.
        matrix: "bt709", "bt601" or None for no tag (the pixels are then BT.601).
        rotation: degrees clockwise that a player is told to turn the stored picture; `mirror` before that.
        sound: (sample rate, channels) of a 440 Hz tone, as long as the pictures or `sound_s`.
    """
    fps = Fraction(fps)
    pictures = list(frames) if frames is not None else [coded_frame(i, *size) for i in range(num_frames)]
    height, width = pictures[0].shape[:2]
    time_base = time_base or 1 / fps
    out = av.open(f"file:{path}", "w", format=container, container_options=container_options or {})
    with out:
        stream = out.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        context = stream.codec_context
        context.time_base = time_base
        stream.time_base = time_base
        context.gop_size = gop
        if codec in ("libx264", "mpeg4", "mpeg2video", "libx265"):
            context.max_b_frames = b_frames
        fast = {"libx264": {"preset": "ultrafast", "crf": "10", "bf": str(b_frames), "sc_threshold": "0"}}
        context.options = {**fast.get(codec, {}), **(options or {})}
        if sample_aspect is not None:
            context.sample_aspect_ratio = sample_aspect
        if matrix is not None:
            context.colorspace = {"bt709": 1, "bt601": 6}[matrix]
        context.color_range = 2 if full_range else 1
        if rotation or mirror:
            stream.set_display_rotation(-rotation, hflip=mirror)
        voice = None
        if sound is not None:
            voice = out.add_stream(_sound_codec(path, container), rate=sound[0])
            voice.codec_context.layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound[1]]
        for i, picture in enumerate(pictures):
            frame = _yuv(picture, pixel_format, matrix, full_range)
            frame.pts = i if ticks is None else ticks[i]
            frame.time_base = time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice is not None and sound is not None:
            seconds = float(len(pictures) / fps) if sound_s is None else sound_s
            values = np.repeat(tone(seconds, sound[0])[:, np.newaxis], sound[1], axis=1)
            _encode_sound(out, voice, values, sound[0])
    return path


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> NDArray[np.float32]:
    """[n] float32 sine."""
    n = round(seconds * rate)
    return (level * np.sin(2 * np.pi * hertz * np.arange(n) / rate)).astype(np.float32)


def speech_like(seconds: float, rate: int = 16_000, seed: int = 0) -> NDArray[np.float32]:
    """[n] float32: a buzz with moving formants, four syllables a second and pauses; not speech, but shaped like it."""
    n = round(seconds * rate)
    t = np.arange(n) / rate
    rng = np.random.default_rng(seed)
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllable = np.clip(np.sin(2 * np.pi * 4 * t + 0.5), 0, 1) * (np.sin(2 * np.pi * 0.4 * t) > -0.7)
    noise = rng.standard_normal(n) * 0.02 * (syllable > 0)
    return (0.25 * syllable * voice + noise).clip(-1, 1).astype(np.float32)


def make_sound(
    path: Path,
    seconds: float = 1.0,
    rate: int = 16_000,
    channels: int = 1,
    *,
    samples: NDArray[np.float32] | None = None,
    bits: int | str = 16,
) -> Path:
    """Write a sound file; WAV by hand for every sample size, other suffixes by FFmpeg.

    Args:
        samples: [n] or [n, channels] float32 instead of a 440 Hz tone.
        bits: 8, 16, 24, 32 or "float" for WAV.
    """
    if samples is None:
        samples = np.repeat(tone(seconds, rate)[:, np.newaxis], channels, axis=1)
    if samples.ndim == 1:
        samples = samples[:, np.newaxis]
    if path.suffix.lower() == ".wav":
        path.write_bytes(wav_file(samples, rate, bits))
        return path
    with av.open(f"file:{path}", "w") as out:
        stream = out.add_stream(_sound_codec(path, None), rate=rate)
        stream.codec_context.layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
        _encode_sound(out, stream, samples, rate)
    return path


def wav_file(samples: NDArray[np.float32], rate: int, bits: int | str = 16) -> bytes:
    """A WAV file of [n, channels] samples."""
    channels = samples.shape[1]
    if bits == "float":
        data, tag, width = samples.astype("<f4").tobytes(), 3, 4
    elif bits == 8:
        data, tag, width = np.clip(np.rint(samples * 128) + 128, 0, 255).astype(np.uint8).tobytes(), 1, 1
    else:
        width, tag = int(bits) // 8, 1
        full = float(1 << (int(bits) - 1))
        whole = np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1).astype("<i8")
        data = whole.reshape(-1, 1).view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * width, channels * width, width * 8)
    return (
        b"RIFF"
        + struct.pack("<I", 4 + 8 + len(fmt) + 8 + len(data))
        + b"WAVE"
        + b"".join(name + struct.pack("<I", len(body)) + body for name, body in ((b"fmt ", fmt), (b"data", data)))
    )


def make_picture(path: Path, size: tuple[int, int] = (64, 48), index: int = 5) -> Path:
    """Write a `coded_frame` as a picture; the suffix chooses the format."""
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(coded_frame(index, *size), cv2.COLOR_RGB2BGR))
    assert done
    path.write_bytes(data.tobytes())
    return path


def truncated(path: Path, out: Path, fraction: float) -> Path:
    """The first part of a file."""
    data = path.read_bytes()
    out.write_bytes(data[: int(len(data) * fraction)])
    return out


def corrupted(path: Path, out: Path, start: float, stop: float, seed: int = 0) -> Path:
    """The file with the bytes between two fractions of its length replaced by noise."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * stop)
    data[first:last] = np.random.default_rng(seed).integers(0, 256, last - first, dtype=np.uint8).tobytes()
    out.write_bytes(bytes(data))
    return out


def _yuv(picture: Frame, pixel_format: str, matrix: str | None, full_range: bool) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    if pixel_format in ("rgb24", "rgba", "gbrp", "pal8", "bgr0", "rgb8"):
        return frame.reformat(format=pixel_format)
    return frame.reformat(
        format=pixel_format,
        src_colorspace=5,
        dst_colorspace=1 if matrix == "bt709" else 5,
        src_color_range=2,
        dst_color_range=2 if full_range else 1,
        interpolation=0x40020,  # area, accurate rounding
    )


def _sound_codec(path: Path, container: str | None) -> str:
    by_suffix = {
        ".webm": "libopus",
        ".ogg": "libopus",
        ".opus": "libopus",
        ".flac": "flac",
        ".mp3": "libmp3lame",
        ".avi": "libmp3lame",
        ".mkv": "pcm_s16le",
    }
    return by_suffix.get(path.suffix.lower(), "aac")


def _encode_sound(
    out: av.container.OutputContainer, stream: av.audio.stream.AudioStream, samples: NDArray[np.float32], rate: int
) -> None:
    layout = stream.codec_context.layout.name
    for at in range(0, len(samples), 4096):
        part = np.ascontiguousarray(samples[at : at + 4096].T)
        frame = av.AudioFrame.from_ndarray(part.astype(np.float32), format="fltp", layout=layout)
        frame.sample_rate = rate
        frame.pts = at
        frame.time_base = Fraction(1, rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
