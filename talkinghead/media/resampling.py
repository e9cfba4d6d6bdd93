"""Sample rates: soxr (HQ) on a stream of blocks, with an exact total length."""

from __future__ import annotations

import math
from fractions import Fraction

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
