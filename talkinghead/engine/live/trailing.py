"""Smoothing for sessions, which cannot know what follows."""

from __future__ import annotations

import math
from fractions import Fraction


class Trailing:
    """A mean of the values so far, the latest ones most: two exponential means, one of the other, so that it sets out
    softly. It stands for a Gaussian of the same width about each value, which would have to know what follows.

    Args:
        width: standard deviation, frames.
    """

    def __init__(self, width: Fraction | float) -> None:
        self._weight = 1.0 - math.exp(-math.sqrt(2) / max(float(width), 1e-3))
        self._first = self._second = 0.0

    def add(self, value: float) -> float:
        """The mean with one more value."""
        self._first += self._weight * (value - self._first)
        self._second += self._weight * (self._first - self._second)
        return self._second
