"""Sound in and out: any file that FFmpeg reads, as float32 samples; PCM16 WAV."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr
from numpy.typing import NDArray

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray
from talkinghead.errors import AudioTooShort, OptionError, UnreadableMedia
from talkinghead.files import write_bytes
from talkinghead.media.container import Check, audio_stream, open_input, sound_frames, unreadable
from talkinghead.media.limits import MAX_GAP_S, SoundBudget

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

BLOCK_SAMPLES = 1 << 15
GAP_TOLERANCE_S = 0.05
"""Holes in the timestamps up to this long are rounding; longer ones are lost sound and filled with silence."""
CODEC_PADDING_SAMPLES = 2048

_FULL_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 9223372036854775808.0, "flt": 1.0, "dbl": 1.0}


@dataclass
class SoundFile:
    """A sound file, or the sound of a video. Made by `open_sound`; every `blocks` call reads from the beginning."""

    path: Path
    sample_rate_hz: int
    num_channels: int
    layout: str
    """FFmpeg's name of the channel layout, such as "mono", "stereo" or "5.1"."""
    codec: str
    warnings: list[str] = field(default_factory=list)
    """What was lost or repaired in the last pass, as sentences."""
    check: Check | None = None
    """Called between blocks; raises `Cancelled` when the job was stopped."""

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]:
        """Samples [start, stop) in pieces.

        Yields:
            [n, channels] float32, nominally in [-1, 1] (decoders of lossy formats overshoot a little), not clipped.
        Raises:
            UnreadableMedia: not a number among the samples, or nothing can be decoded.
        """
        self.warnings.clear()
        at = 0
        for block in self._decoded():
            first, last = max(start - at, 0), len(block) if stop is None else min(stop - at, len(block))
            at += len(block)
            if last > first:
                part = block[first:last]
                if not np.isfinite(part).all():
                    bad = int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0]) + first + at - len(block)
                    raise UnreadableMedia(
                        f"The sound of {str(self.path)!r} holds values that are no numbers (NaN or infinite), "
                        f"the first at {bad / self.sample_rate_hz:.3f} s.",
                        remedy="export it again from the program that made it",
                    )
                yield part
            if stop is not None and at >= stop:
                return

    def _decoded(self) -> Iterator[FloatArray]:
        """All blocks; holes in the timestamps are filled with silence."""
        failed = 0
        filled_s = 0.0
        expected: Fraction | None = None
        given = 0
        container = open_input(self.path, sound_only=True)
        budget = SoundBudget(self.path)
        with container:
            stream = audio_stream(container, self.path)
            declared = _declared_samples(container, stream, self.sample_rate_hz)
            blocks = self._timed_blocks(container, stream)
            current = next(blocks, None)
            while current is not None:
                following = next(blocks, None)
                time, block = current
                if block is None:
                    failed += 1
                else:
                    length = Fraction(len(block), self.sample_rate_hz)
                    if time is None:
                        time = expected
                    gap = time - expected if time is not None and expected is not None else Fraction(0)
                    if abs(gap) > GAP_TOLERANCE_S and not _follows(following, time, length):
                        time, gap = expected, Fraction(0)  # nothing else says so: a wrong timestamp
                    if GAP_TOLERANCE_S < gap <= MAX_GAP_S:
                        missing = round(gap * self.sample_rate_hz)
                        budget.spend(missing, self.sample_rate_hz)
                        given += missing
                        filled_s += missing / self.sample_rate_hz
                        yield from _silence(missing, self.num_channels)
                    expected = time + length if time is not None else None
                    over = given + len(block) - declared if declared is not None and following is None else 0
                    if 0 < over <= min(CODEC_PADDING_SAMPLES, len(block)):
                        block = block[: len(block) - over]
                    budget.spend(len(block), self.sample_rate_hz)
                    given += len(block)
                    yield block
                current = following
        if failed:
            self.warnings.append(
                f"{failed} pieces of the sound of {self.path.name} cannot be decoded and are left out."
            )
        if filled_s:
            self.warnings.append(f"{filled_s:.2f} s are missing within the sound of {self.path.name}; they are silent.")

    def _timed_blocks(
        self, container: InputContainer, stream: AudioStream
    ) -> Iterator[tuple[Fraction | None, FloatArray | None]]:
        """(time, samples) of each decoded frame; samples are None for what cannot be decoded or does not fit."""
        for frame in sound_frames(container, stream, self.path, check=self.check):
            if frame is None or (frame.sample_rate, len(frame.layout.channels)) != self._shape:
                yield None, None
            elif frame.samples:
                time = None
                if frame.pts is not None and frame.time_base is not None:
                    time = Fraction(frame.pts * frame.time_base)
                yield time, float_samples(frame)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.sample_rate_hz, self.num_channels


def _declared_samples(container: InputContainer, stream: AudioStream, rate: int) -> int | None:
    """Samples that an MP4 file says it has: its AAC fills the last block up with silence that is not meant."""
    if "mp4" not in container.format.name or not stream.duration or stream.time_base is None:
        return None
    return round(stream.duration * stream.time_base * rate)


def _follows(
    following: tuple[Fraction | None, FloatArray | None] | None, time: Fraction | None, length: Fraction
) -> bool:
    """Whether the next block's time agrees with this one's."""
    if following is None or following[0] is None or time is None:
        return False
    return abs(following[0] - time - length) <= GAP_TOLERANCE_S


def open_sound(path: str | os.PathLike[str], *, check: Check | None = None) -> SoundFile:
    """Open the sound of a file.

    Args:
        check: called between blocks of every pass; raises `Cancelled` when the job was stopped.
    Raises:
        MediaNotFound, UnreadableMedia, NoAudioStream
    """
    file = Path(path)
    container = open_input(file, sound_only=True)
    with container:
        stream = audio_stream(container, file)
        for frame in sound_frames(container, stream, file, check=check):
            if frame is None:
                continue
            channels = len(frame.layout.channels)
            return SoundFile(
                file, frame.sample_rate, channels, frame.layout.name, stream.codec_context.name, check=check
            )
        declared = stream.codec_context
        if declared.sample_rate and stream.duration in (None, 0):
            raise AudioTooShort(f"The sound of {str(path)!r} has no samples.", remedy="record or export it again")
    raise unreadable(file, what=f"The sound of {str(path)!r} cannot be decoded.")


def read_audio(
    path: str | os.PathLike[str],
    sample_rate_hz: int = SPEECH_RATE_HZ,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    warnings: list[str] | None = None,
    check: Check | None = None,
) -> AudioClip:
    """Read the sound of any file as mono at a wanted rate.

    The mean of all channels is taken first, then soxr (HQ) resamples; the result has exactly
    ceil(samples * sample_rate_hz / native rate) samples, cut or filled with zeros. All as `librosa.load` does with
    `soxr_hq`, which the published systems use.

    Args:
        start_s, duration_s: the part to read, in seconds of the file's sound.
        warnings: receives sentences about lost or repaired sound.
        check: called between blocks; raises `Cancelled` when the job was stopped.
    Returns:
        Samples nominally in [-1, 1], finite; lossy formats and resampling may overshoot a little.
    Raises:
        MediaNotFound, UnreadableMedia, NoAudioStream
        AudioTooShort: not a single sample in the part asked for.
        OptionError: a negative time or a rate below 1.
    """
    if sample_rate_hz < 1 or not math.isfinite(start_s) or start_s < 0:
        raise OptionError(f"Cannot read sound at {sample_rate_hz} Hz from {start_s} s.", accepted="positive numbers")
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise OptionError(f"duration_s {duration_s} is out of range.", accepted="more than 0 seconds")
    sound = open_sound(path, check=check)
    native = sound.sample_rate_hz
    first = round(start_s * native)
    stop = None if duration_s is None else first + max(1, round(duration_s * native))
    resampler = Resampler(native, sample_rate_hz, 1)
    data = bytearray()  # grows in place: a list of blocks would hold everything twice when it is joined
    for block in sound.blocks(first, stop):
        data += resampler.push(block.mean(axis=1, keepdims=True)).tobytes()
    data += resampler.finish().tobytes()
    if warnings is not None:
        warnings.extend(sound.warnings)
    if resampler.taken == 0:
        part = f" from {start_s:g} s on" if start_s else ""
        raise AudioTooShort(
            f"The sound of {str(path)!r} has no samples{part}.", remedy="choose an earlier start, or another file"
        )
    return AudioClip(samples=np.frombuffer(data, np.float32), sample_rate_hz=sample_rate_hz, source=str(path))


def read_audio_native(path: str | os.PathLike[str]) -> tuple[FloatArray, int]:
    """Read the whole sound of a file as it is. For long files use `open_sound(path).blocks()`.

    Returns:
        [n, channels] float32, nominally in [-1, 1], and the sample rate in hertz.
    """
    sound = open_sound(path)
    blocks = list(sound.blocks())
    if not blocks:
        raise AudioTooShort(f"The sound of {str(path)!r} has no samples.")
    return np.concatenate(blocks), sound.sample_rate_hz


def resample_clip(clip: AudioClip, sample_rate_hz: int) -> AudioClip:
    """The clip at another rate: ceil(n * new / old) samples, soxr HQ. The same clip if the rate is the same."""
    if clip.sample_rate_hz == sample_rate_hz:
        return clip
    resampler = Resampler(clip.sample_rate_hz, sample_rate_hz, 1)
    samples = np.concatenate([resampler.push(clip.samples[:, np.newaxis]), resampler.finish()])[:, 0]
    return AudioClip(samples=np.ascontiguousarray(samples), sample_rate_hz=sample_rate_hz, source=clip.source)


class Resampler:
    """Changes the sample rate of a stream of blocks, with an exact total length.

    Args:
        rate_in_hz, rate_out_hz: sample rates.
        num_channels: channels of every block.
    """

    def __init__(self, rate_in_hz: int, rate_out_hz: int, num_channels: int) -> None:
        self._ratio = Fraction(rate_out_hz, rate_in_hz)
        self._channels = num_channels
        self._stream = None
        if rate_in_hz != rate_out_hz:
            self._stream = soxr.ResampleStream(rate_in_hz, rate_out_hz, num_channels, dtype="float32", quality="HQ")
        self.taken = 0
        """Samples per channel that went in."""
        self.given = 0
        """Samples per channel that came out."""

    def push(self, block: FloatArray) -> FloatArray:
        """Take [n, channels] float32, return what is ready, [m, channels] float32."""
        self.taken += len(block)
        if self._stream is None:
            self.given += len(block)
            return block
        out: FloatArray = self._stream.resample_chunk(np.ascontiguousarray(block), last=False).reshape(
            -1, self._channels
        )
        self.given += len(out)
        return np.asarray(out, np.float32)

    def finish(self) -> FloatArray:
        """The rest, so that ceil(taken * ratio) samples came out in all."""
        total = math.ceil(self.taken * self._ratio)
        rest = np.zeros((0, self._channels), np.float32)
        if self._stream is not None:
            rest = self._stream.resample_chunk(rest, last=True).reshape(-1, self._channels)
        wanted = total - self.given
        rest = np.concatenate([rest[:wanted], np.zeros((max(0, wanted - len(rest)), self._channels), np.float32)])
        self.given += len(rest)
        return rest


def write_wav(path: str | os.PathLike[str], clip: AudioClip, overwrite: bool = True) -> None:
    """Write mono 16-bit PCM; the name appears only when the file is complete.

    Values outside [-1, 1) are clipped; x is stored as round(32768 x), so what was read from 16 bits is written back
    unchanged.

    Raises:
        OutputError: it cannot be written. ValueError: not a number among the samples.
    """
    write_bytes(path, wav_bytes(clip.samples[:, np.newaxis], clip.sample_rate_hz), overwrite=overwrite)


def wav_bytes(samples: FloatArray, sample_rate_hz: int) -> bytes:
    """A 16-bit WAV file of [n, channels] float32 samples."""
    pcm = pcm16_from_float(samples).astype("<i2").tobytes()
    channels = samples.shape[1]
    if len(pcm) > 0xFFFFFFFF - 36:
        raise ValueError("a WAV file holds at most 4 GiB")
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16),
        *(1, channels, sample_rate_hz, sample_rate_hz * channels * 2, channels * 2, 16, b"data", len(pcm)),
    )
    return header + pcm


def pcm16_from_float(samples: FloatArray) -> NDArray[np.int16]:
    """round(32768 x) as int16, clipped."""
    if not np.isfinite(samples).all():
        raise ValueError("samples must be finite")
    return np.asarray(np.clip(np.rint(samples * np.float32(32768)), -32768, 32767), np.int16)


def float_samples(frame: AudioFrame) -> FloatArray:
    """[n, channels] float32 of a decoded frame: integers over their full scale, 8 bits around 128."""
    kind = frame.format.name.removesuffix("p")
    values: NDArray[Any] = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels))
    if kind == "u8":
        values = values.astype(np.int16) - 128
    scaled: FloatArray = np.ascontiguousarray(values * np.float64(1 / _FULL_SCALE[kind]), np.float32)
    return scaled


def _silence(count: int, channels: int) -> Iterator[FloatArray]:
    while count > 0:
        part = min(count, BLOCK_SAMPLES)
        yield np.zeros((part, channels), np.float32)
        count -= part
