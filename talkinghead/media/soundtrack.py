"""The sound that goes into a video: read as a stream, encoded in step with the pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import AudioClip, FloatArray
from talkinghead.errors import EncoderUnavailable, UnreadableMedia
from talkinghead.media.container import encode
from talkinghead.media.resampling import Resampler
from talkinghead.media.sound import open_sound, pcm16_from_float

if TYPE_CHECKING:
    from av.container import OutputContainer

AUDIO_CODECS: dict[str, tuple[str, ...]] = {
    ".mp4": ("aac", "flac", "mp3", "opus"),
    ".m4v": ("aac",),
    ".mov": ("aac", "pcm_s16le", "mp3"),
    ".mkv": ("aac", "opus", "flac", "mp3", "pcm_s16le"),
    ".webm": ("opus",),
    ".gif": (),
    "": ("pcm_s16le",),
}
"""Sound codecs by file suffix, the usual one first."""

_ENCODERS = {"aac": "aac", "opus": "libopus", "flac": "flac", "mp3": "libmp3lame", "pcm_s16le": "pcm_s16le"}

_RATES = {
    "aac": (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (48000,),
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "flac": (),
    "pcm_s16le": (),
}
"""Sample rates that players accept; empty: all. Others become the next higher, else the highest."""

_FORMATS = {"aac": "fltp", "opus": "flt", "flac": "s16", "mp3": "fltp", "pcm_s16le": "s16"}
_SURROUND = {"aac": {"5.1", "7.1", "5.0", "4.0", "3.0"}, "flac": {"5.1", "7.1"}, "pcm_s16le": {"5.1", "7.1"}}
_SAME_SPEAKERS = {"5.1(side)": "5.1", "5.0(side)": "5.0"}
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""What files mean that count their channels without naming them."""

_NAMED = {*_USUAL_LAYOUTS.values(), *_SAME_SPEAKERS, "3.0", "quad", "3.1", "4.1"}

BITS_PER_CHANNEL = 96_000
READ_AHEAD_SAMPLES = 1 << 14
WORTH_SAYING = 0.001
"""Part of the samples; decoders of lossy formats overshoot full scale here and there."""
FAR_BEYOND = 1.5
"""A peak that no decoder overshoots to."""


class Soundtrack:
    """Samples of a file or clip in order, silence after the end.

    Args:
        sound: a media file, or samples.
        start_s: seconds to leave out at the beginning.
        lead_s: silence to put before the sound of a file; part of the beginning.
        duration: seconds to use; None for all.
    """

    def __init__(
        self,
        sound: Path | AudioClip,
        *,
        start_s: float = 0.0,
        lead_s: Fraction = Fraction(0),
        duration: float | Fraction | None = None,
    ) -> None:
        self._file = None
        if isinstance(sound, AudioClip):
            self.sample_rate_hz, self.num_channels, self.layout = sound.sample_rate_hz, 1, "mono"
        else:
            self._file = open_sound(sound, lead_s=lead_s)
            self.sample_rate_hz, self.num_channels = self._file.sample_rate_hz, self._file.num_channels
            self.layout = self._file.layout
            if self.layout not in _NAMED:
                self.layout = _USUAL_LAYOUTS.get(self.num_channels, self.layout)
        first = round(start_s * self.sample_rate_hz)
        stop = None if duration is None else first + round(Fraction(duration) * self.sample_rate_hz)
        if self._file is not None:
            self._blocks = self._file.blocks(first, stop)
        else:
            assert isinstance(sound, AudioClip)
            if not np.isfinite(sound.samples).all():
                raise UnreadableMedia("The sound holds values that are no numbers (NaN or infinite).")
            self._blocks = iter([sound.samples[first:stop, np.newaxis]])
        self._rest = np.zeros((0, self.num_channels), np.float32)
        self._read = self._beyond = 0
        self._peak = 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was lost in the part read so far."""
        notes = list(self._file.warnings) if self._file is not None else []
        share = self._beyond / self._read if self._read else 0.0
        if share >= WORTH_SAYING or (self._beyond and self._peak >= FAR_BEYOND):
            notes.append(
                f"{100 * share:.2g} % of the samples of the sound are beyond full scale, by up to "
                f"{20 * np.log10(self._peak):.1f} dB, and are clipped in the video."
            )
        return tuple(notes)

    def take(self, count: int) -> FloatArray:
        """The next samples, [count, channels] float32; zeros after the end."""
        parts, have = [self._rest], len(self._rest)
        while have < count:
            block = next(self._blocks, None)
            if block is not None:
                self._measure(block)
            else:
                block = np.zeros((count - have, self.num_channels), np.float32)
            parts.append(block)
            have += len(block)
        joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self._rest = joined[count:]
        return joined[:count]

    def _measure(self, block: FloatArray) -> None:
        """Count what is beyond full scale."""
        self._read += block.size
        peak = float(max(block.max(), -block.min()))
        if peak > 1:
            self._beyond += int(np.count_nonzero(np.abs(block) > 1))
            self._peak = max(self._peak, peak)


class SoundEncoder:
    """Encodes a soundtrack into a container, up to the time that the pictures have reached.

    Args:
        container: where it goes; a stream is added.
        codec: a name from AUDIO_CODECS.
        bitrate: bits per second, or None.
        notes: receives a sentence for each thing that is not as in the soundtrack.
    """

    def __init__(
        self, container: OutputContainer, sound: Soundtrack, codec: str, bitrate: int | None, notes: list[str]
    ) -> None:
        self.codec = codec
        self._container = container
        self._sound = sound
        self.sample_rate_hz = _encoder_rate(codec, sound.sample_rate_hz)
        if self.sample_rate_hz != sound.sample_rate_hz:
            notes.append(f"The sound is resampled from {sound.sample_rate_hz} to {self.sample_rate_hz} Hz for {codec}.")
        self._layout = _encoder_layout(codec, sound)
        self.num_channels = len(av.AudioLayout(self._layout).channels)
        self._mix = None
        if self.num_channels != sound.num_channels:
            notes.append(f"{codec} gets {self._layout} sound, mixed from {sound.num_channels} channels.")
            if sound.layout in _NAMED:
                self._mix = av.AudioResampler(format="fltp", layout=self._layout, rate=sound.sample_rate_hz)
        self._resampler = Resampler(sound.sample_rate_hz, self.sample_rate_hz, self.num_channels)
        stream = container.add_stream(_ENCODERS[codec], rate=self.sample_rate_hz)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        context = self._stream.codec_context
        context.layout = self._layout
        context.format = _FORMATS[codec]
        context.time_base = Fraction(1, self.sample_rate_hz)
        if codec in ("aac", "opus", "mp3"):
            per_channel = min(BITS_PER_CHANNEL, 6 * self.sample_rate_hz) if codec == "aac" else BITS_PER_CHANNEL
            context.bit_rate = bitrate or per_channel * self.num_channels
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            raise EncoderUnavailable(
                f"{codec} cannot encode {self._layout} sound at {self.sample_rate_hz} Hz"
                f"{f' and {bitrate} bits per second' if bitrate else ''}."
            ) from error
        self._ready = np.zeros((0, self.num_channels), np.float32)
        self.num_samples = 0
        """Samples per channel given to the encoder."""

    def advance(self, time_s: Fraction) -> None:
        """Encode up to a time, to the nearest sample."""
        wanted = round(time_s * self.sample_rate_hz) - self.num_samples
        if wanted <= 0:
            return
        while len(self._ready) < wanted:
            block = self._resampler.push(self._mixed(self._sound.take(READ_AHEAD_SAMPLES)))
            self._ready = np.concatenate([self._ready, block])
        part, self._ready = self._ready[:wanted], self._ready[wanted:]
        frame = self._frame(part)
        frame.pts = self.num_samples
        frame.time_base = Fraction(1, self.sample_rate_hz)
        self.num_samples += wanted
        encode(self._container, self._stream, frame)

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        encode(self._container, self._stream, None)

    def _mixed(self, block: FloatArray) -> FloatArray:
        if self.num_channels == self._sound.num_channels:
            return block
        if self._mix is None:
            return np.repeat(block.mean(axis=1, keepdims=True), self.num_channels, axis=1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), format="fltp", layout=self._sound.layout)
        frame.sample_rate = self._sound.sample_rate_hz
        mixed = [part.to_ndarray().T for part in self._mix.resample(frame)]
        return np.concatenate(mixed).astype(np.float32)

    def _frame(self, samples: FloatArray) -> av.AudioFrame:
        kind = _FORMATS[self.codec]
        values: NDArray[Any]
        if kind == "fltp":
            values = np.ascontiguousarray(np.clip(samples, -1, 1).T)
        elif kind == "flt":
            values = np.ascontiguousarray(np.clip(samples, -1, 1)).reshape(1, -1)
        else:
            values = pcm16_from_float(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(values, format=kind, layout=self._layout)
        frame.sample_rate = self.sample_rate_hz
        return frame


def _encoder_rate(codec: str, rate: int) -> int:
    rates = _RATES[codec]
    if not rates or rate in rates:
        return rate
    return next((candidate for candidate in rates if candidate >= rate), rates[-1])


def _encoder_layout(codec: str, sound: Soundtrack) -> str:
    if sound.num_channels == 1:
        return "mono"
    if sound.num_channels == 2:
        return "stereo"
    layout = _SAME_SPEAKERS.get(sound.layout, sound.layout)
    return layout if layout in _SURROUND.get(codec, ()) else "stereo"
