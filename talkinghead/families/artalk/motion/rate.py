"""Motion at the frame rate of the video, while it arrives: linear interpolation between the middles of the frames."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.motion.config import MOTION_DIM, MOTION_FPS


class RateChange:
    """Rows of motion at 25 a second in, rows at the output's rate out; before the first middle and after the last one
    that row is held.

        motion  25/s   |   0   |   1   |   2   |        middles at (j + 1/2) / 25
        output  40/s   | 0  | 1  | 2  | 3  | 4  |       row i at (i + 1/2) / 40, between rows j and j + 1 around it

    Args:
        fps: of the output; at 25 rows pass through as they are.
    """

    def __init__(self, fps: Fraction) -> None:
        self._ratio = MOTION_FPS / fps
        self._rows = np.zeros((0, MOTION_DIM), np.float32)
        self._first = 0  # number of the first kept row
        self._made = 0

    def feed(self, rows: FloatArray) -> FloatArray:
        """Add rows [k, 106]; returns those of the output that have both their neighbours."""
        self._rows = np.concatenate((self._rows, rows))
        seen = self._first + len(self._rows)
        # The last row i with (i + 1/2) * ratio - 1/2 <= seen - 1
        ready = math.floor((seen - Fraction(1, 2)) / self._ratio - Fraction(1, 2)) + 1 if seen else 0
        return self._until(max(ready, self._made))

    def finish(self, count: int) -> FloatArray:
        """The rest, so that there are `count` rows in all; the last row is held for what lies behind it."""
        return self._until(max(count, self._made))

    def _until(self, stop: int) -> FloatArray:
        numbers = np.arange(self._made, stop)
        if len(numbers) == 0:
            return self._rows[:0]
        self._made = stop
        last = self._first + len(self._rows) - 1
        twice, unit = self._ratio.numerator, 2 * self._ratio.denominator
        place = (2 * numbers + 1) * twice - unit // 2  # in units of 1 / unit rows, exact
        low = np.clip(place // unit, 0, last)
        inside = (place > 0) & (place < last * unit) & (place % unit != 0)
        share = np.where(inside, (numbers + 0.5) * float(self._ratio) - 0.5 - low, 0.0)[:, None]
        high = np.minimum(low + 1, last)
        before, after = self._rows[low - self._first], self._rows[high - self._first]
        kept = max(0, int(low[-1]) - self._first)
        self._rows, self._first = self._rows[kept:], self._first + kept
        if not share.any():
            return before
        mixed: FloatArray = (before * (1.0 - share) + after * share).astype(np.float32)
        return mixed


def longest_wait_s(fps: Fraction, chunk_frames: int, behind: int) -> Fraction:
    """How long a row of the output waits at most, in seconds: from its frame's beginning to the end of the sound that
    its motion was made from.

    Motion comes in chunks, and row j of it is final once row j + `behind` is there. The row of the output that lies
    just past row 100 c - 1 - behind of the motion waits for chunk c to end. With i the first such row, chunks of 4 s
    and x = (4 c - (behind + 1/2) / 25) * fps - 1/2 it is i = floor(x) + 1, and it waits 4 (c + 1) - i / fps; the
    longest of these waits is that of the largest fraction of x over all c.
    """
    if fps == MOTION_FPS:
        return Fraction(chunk_frames + behind, MOTION_FPS)
    chunk_s = Fraction(chunk_frames, MOTION_FPS)
    lead_s = (behind + Fraction(1, 2)) / MOTION_FPS
    parts = (chunk_s * fps).denominator  # x mod 1 over all c: steps of 1 / parts, from a common rest
    rest = (-lead_s * fps - Fraction(1, 2)) % Fraction(1, parts)
    largest = rest + Fraction(parts - 1, parts)
    return chunk_s + lead_s + (largest - Fraction(1, 2)) / fps
