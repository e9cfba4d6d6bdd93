"""Sound in and out: any file that FFmpeg reads, as float32 samples; PCM16 WAV."""

from __future__ import annotations

import itertools
import math
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray
from talkinghead.errors import AudioTooShort, MediaError, NoAudioStream, OptionError, UnreadableMedia
from talkinghead.files import existing_file, write_bytes
from talkinghead.media.clock import Block, OneShape, SoundClock, has_clock, silence
from talkinghead.media.container import Check, audio_stream, sound_frames, unreadable
from talkinghead.media.joined import Piece, joined_pieces, open_piece
from talkinghead.media.limits import SoundBudget
from talkinghead.media.mixdown import Mixdown, OneChannel
from talkinghead.media.resampling import Resampler

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

CODEC_PADDING_SAMPLES = 2048

_FULL_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 9223372036854775808.0, "flt": 1.0, "dbl": 1.0}


@dataclass
class SoundFile:
    """A sound file, or the sound of a video. Made by `open_sound`; every `blocks` call reads from the beginning."""

    path: Path
    sample_rate_hz: int
    """Of the first block; what differs later is resampled."""
    num_channels: int
    """Of the first block; what differs later is remixed."""
    layout: str
    """FFmpeg's name of the channel layout, such as "mono", "stereo" or "5.1"."""
    codec: str
    check: Check | None = None
    """Called between blocks; raises `Cancelled` when the job was stopped."""
    lead_s: Fraction = Fraction(0)
    """Silence before the first sample."""
    pieces: tuple[Piece, ...] = ()
    """The files that it consists of; empty for one."""
    _clock: SoundClock = field(default_factory=SoundClock, init=False, repr=False)
    _failed: int = field(default=0, init=False, repr=False)
    _changes: int = field(default=0, init=False, repr=False)

    @property
    def warnings(self) -> list[str]:
        """What was lost or repaired in the last pass so far, as sentences."""
        name, clock = self.path.name, self._clock
        notes = []
        if self._failed:
            pieces = "One piece" if self._failed == 1 else f"{self._failed} pieces"
            verbs = "cannot be decoded and is" if self._failed == 1 else "cannot be decoded and are"
            notes.append(f"{pieces} of the sound of {name} {verbs} left out.")
        if clock.filled_s:
            notes.append(f"{clock.filled_s:.2f} s are missing within the sound of {name}; they are silent.")
        if clock.dropped_s:
            notes.append(
                f"{clock.dropped_s:.2f} s of the sound of {name} are stamped with the time of other sound; "
                "they are left out."
            )
        if clock.stretched_s:
            notes.append(
                f"The samples of {name} come slower or faster than its timestamps say; they are stretched by "
                f"{clock.stretched_s:.2f} s in all to keep time."
            )
        if self._changes:
            notes.append(
                f"The rate or the channels of the sound of {name} change {_times(self._changes)}; all of it becomes "
                f"{self.sample_rate_hz} Hz and {self.layout}, as it begins."
            )
        return notes

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]:
        """Samples [start, stop) in pieces, counted from the beginning of the silence before them.

        Yields:
            [n, channels] float32, nominally in [-1, 1] (decoders of lossy formats overshoot a little), not clipped.
        Raises:
            UnreadableMedia: not a number among the samples, nothing can be decoded, or more than such a file can hold.
        """
        self._clock, self._failed, self._changes = SoundClock(), 0, 0
        at = 0
        for block in itertools.chain(self._lead(), self._decoded()):
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

    def _lead(self) -> Iterator[FloatArray]:
        like = Block(np.zeros((0, self.num_channels), np.float32), self.sample_rate_hz, self.layout)
        for block in silence(like, round(self.lead_s * self.sample_rate_hz)):
            yield block.samples

    def _decoded(self) -> Iterator[FloatArray]:
        """All samples where their timestamps say, in the rate and the channels of the first."""
        budget = SoundBudget(self.path)
        shape = OneShape(self.sample_rate_hz, self.layout, self.num_channels)
        for piece in self.pieces or (None,):
            for block in self._of_piece(piece, shape):
                self._changes = shape.changes
                budget.spend(len(block), self.sample_rate_hz)
                yield block
        yield from shape.finish()

    def _of_piece(self, piece: Piece | None, shape: OneShape) -> Iterator[FloatArray]:
        with ExitStack() as stack:
            try:
                container = stack.enter_context(open_piece(self.path, piece))
                stream = audio_stream(container, self.path)
            except (UnreadableMedia, NoAudioStream):
                if piece is None:
                    raise
                self._failed += 1
                return
            blocks: Iterator[Block] = self._timed_blocks(container, stream, stamped := has_clock(container))
            if stamped:
                paged = has_clock(container, {"ogg"})
                blocks = self._clock.keep(
                    blocks,
                    from_zero=paged and not container.streams.video,
                    paged=paged,
                    end_s=_last_page_s(stream) if paged else None,
                )
            samples = itertools.chain.from_iterable(map(shape.push, blocks))
            yield from _without_padding(samples, _declared_samples(container, stream, self.sample_rate_hz))

    def _timed_blocks(self, container: InputContainer, stream: AudioStream, stamped: bool) -> Iterator[Block]:
        """Each decoded frame with its time; silence for what cannot be decoded, where timestamps will not tell."""
        last: Block | None = None
        for frame in sound_frames(container, stream, self.path, check=self.check):
            if frame is None:
                self._failed += 1
                if not stamped and last is not None:
                    self._clock.filled_s += last.duration_s
                    yield from silence(last, len(last.samples))
            elif frame.samples:
                time_s = None
                if stamped and frame.pts is not None and frame.time_base is not None:
                    time_s = frame.pts * frame.time_base.numerator / frame.time_base.denominator
                last = Block(float_samples(frame), frame.sample_rate, frame.layout.name, time_s)
                yield last


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _declared_samples(container: InputContainer, stream: AudioStream, rate: int) -> int | None:
    """Samples that an MP4 file says it has: its AAC fills the last block up with silence that is not meant."""
    if "mp4" not in container.format.name or not stream.duration or stream.time_base is None:
        return None
    return round(stream.duration * stream.time_base * rate)


def _last_page_s(stream: AudioStream) -> float | None:
    """When an Ogg stream ends by its last page, less the silence that Opus begins with and that is not given."""
    if not stream.duration or stream.time_base is None:
        return None
    end_s = float(stream.duration * stream.time_base)  # of Ogg, counted from zero, wherever it starts
    head = bytes(stream.codec_context.extradata or b"")
    return end_s - int.from_bytes(head[10:12], "little") / 48_000 if head.startswith(b"OpusHead") else end_s


def _without_padding(blocks: Iterator[FloatArray], declared: int | None) -> Iterator[FloatArray]:
    """The blocks; the last one without what goes beyond the declared number of samples, if that is codec padding."""
    given = 0
    current = next(blocks, None)
    while current is not None:
        following = next(blocks, None)
        over = given + len(current) - declared if declared is not None and following is None else 0
        if 0 < over <= min(CODEC_PADDING_SAMPLES, len(current)):
            current = current[: len(current) - over]
        given += len(current)
        yield current
        current = following


def open_sound(
    path: str | os.PathLike[str], *, check: Check | None = None, lead_s: Fraction = Fraction(0)
) -> SoundFile:
    """Open the sound of a file.

    Args:
        lead_s: silence to put before its first sample.
        check: called between blocks of every pass; raises `Cancelled` when the job was stopped.
    Raises:
        MediaNotFound, UnreadableMedia, NoAudioStream
    """
    file = existing_file(path)
    pieces = joined_pieces(file)
    problem: MediaError = unreadable(file, what=f"The sound of {str(path)!r} cannot be decoded.")
    for piece in pieces or (None,):
        try:
            with open_piece(file, piece) as container:
                stream = audio_stream(container, file)
                frames = sound_frames(container, stream, file, check=check)
                frame = next((frame for frame in frames if frame is not None), None)
                if frame is None and stream.codec_context.sample_rate and not stream.duration:
                    problem = AudioTooShort(
                        f"The sound of {str(path)!r} has no samples.", remedy="record or export it again"
                    )
                if frame is None:
                    continue
                channels, layout = len(frame.layout.channels), frame.layout.name
                codec = stream.codec_context.name
                return SoundFile(
                    file, frame.sample_rate, channels, layout, codec, check=check, lead_s=lead_s, pieces=pieces
                )
        except (UnreadableMedia, NoAudioStream) as error:
            if piece is None:
                raise
            problem = error
    raise problem


def read_audio(
    path: str | os.PathLike[str],
    sample_rate_hz: int = SPEECH_RATE_HZ,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    lead_s: Fraction = Fraction(0),
    warnings: list[str] | None = None,
    check: Check | None = None,
) -> AudioClip:
    """Read the sound of any file as mono at a wanted rate.

    The mean of all channels is taken first, then soxr (HQ) resamples; the result has exactly
    ceil(samples * sample_rate_hz / native rate) samples, cut or filled with zeros. All as `librosa.load` does with
    `soxr_hq`, which the published systems use. Where the mean has far less sound than the channels have, as when they
    cancel each other, one channel is heard instead, and a warning says so.

    Args:
        start_s, duration_s: the part to read, in seconds of the file's sound, with the silence before it.
        lead_s: silence to put before the first sample.
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
    sound = open_sound(path, check=check, lead_s=lead_s)
    native = sound.sample_rate_hz
    first = round(start_s * native)
    stop = None if duration_s is None else first + max(1, round(duration_s * native))
    mixdown = Mixdown(native, sound.num_channels, _centre(sound))
    samples = _resampled(map(mixdown.push, sound.blocks(first, stop)), native, sample_rate_hz)
    if not len(samples):
        part = f" from {start_s:g} s on" if start_s else ""
        raise AudioTooShort(
            f"The sound of {str(path)!r} has no samples{part}.", remedy="choose an earlier start, or another file"
        )
    notes = sound.warnings
    lost = mixdown.lost()
    if lost is not None:
        samples = _resampled(_in_one_channel(sound.blocks(first, stop), lost), native, sample_rate_hz)
        notes.append(
            f"The mean of the {sound.num_channels} channels of {sound.path.name} has far less sound than the channels "
            f"({lost.replaced / native:.1f} s); channel {lost.channel + 1} is listened to there instead."
        )
    if warnings is not None:
        warnings.extend(notes)
    return AudioClip(samples=samples, sample_rate_hz=sample_rate_hz, source=str(path))


def _resampled(blocks: Iterable[FloatArray], rate_in_hz: int, rate_out_hz: int) -> FloatArray:
    """Mono blocks as one array."""
    resampler = Resampler(rate_in_hz, rate_out_hz, 1)
    data = bytearray()  # grows in place: a list of blocks would hold everything twice when it is joined
    for block in blocks:
        data += resampler.push(block).tobytes()
    data += resampler.finish().tobytes()
    return np.frombuffer(data, np.float32)


def _in_one_channel(blocks: Iterable[FloatArray], lost: OneChannel) -> Iterator[FloatArray]:
    at = 0
    for block in blocks:
        yield lost.mix(block, at)
        at += len(block)


def _centre(sound: SoundFile) -> int | None:
    """The channel of dialogue, where the layout of more than two has one."""
    names = [channel.name for channel in av.AudioLayout(sound.layout).channels] if sound.num_channels > 2 else []
    return names.index("FC") if "FC" in names else None


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
