"""Sample rates: soxr (HQ) on a stream of blocks, with an exact total length; FFmpeg's where sound must come at once."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np
import soxr

from talkinghead.contracts import FloatArray


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


class PromptResampler:
    """Changes the sample rate of mono sound that is still being spoken: all but the latest 2 ms of what went in have
    come out, however it is cut, with the same samples.

    soxr gives blocks of up to 0.1 s. FFmpeg's resampler differs from it by -94 dB and less in the pass band.

    Args:
        rate_in_hz, rate_out_hz: sample rates.
    """

    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        self._rate_in_hz, self._ratio = rate_in_hz, Fraction(rate_out_hz, rate_in_hz)
        self._taken = self._given = 0
        self._stream = av.AudioResampler(format="flt", layout="mono", rate=rate_out_hz)

    def push(self, sound: FloatArray) -> FloatArray:
        """Take [n] float32, return what is ready, [m] float32."""
        if self._ratio == 1 or not len(sound):
            return sound
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[None]), format="flt", layout="mono")
        frame.sample_rate, frame.pts = self._rate_in_hz, self._taken
        self._taken += len(sound)
        return self._out(frame)

    def finish(self) -> FloatArray:
        """The rest, so that ceil(taken * ratio) samples came out in all."""
        if not self._taken:
            return np.zeros(0, np.float32)
        total, before = math.ceil(self._taken * self._ratio), self._given
        rest = self._out(None)[: total - before]
        return np.pad(rest, (0, total - before - len(rest)))

    def _out(self, frame: av.AudioFrame | None) -> FloatArray:
        parts = [np.asarray(part.to_ndarray()[0], np.float32) for part in self._stream.resample(frame)]
        out = np.concatenate([np.zeros(0, np.float32), *parts])
        self._given += len(out)
        return out
