"""Savitzky-Golay smoothing of motion, whole and streamed (reference: artalk.md, section 7)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.errors import AudioTooShort
from talkinghead.families.artalk.motion.config import GLOBAL_ROTATION, MOTION_FPS

WINDOW, ORDER = 5, 2
ROTATION_WINDOW, ROTATION_ORDER = 9, 3
"""The head rotation is smoothed more, from the raw values."""
MIN_FRAMES = ROTATION_WINDOW
DELAY_FRAMES = ROTATION_WINDOW // 2
"""Frames that the streamed smoother stays behind."""


@cache
def savgol_matrix(window: int, order: int) -> NDArray[np.float64]:
    """[window, window] float64: row i evaluates the least-squares polynomial of the window at its position i."""
    positions = np.arange(window, dtype=np.float64) - window // 2
    powers = np.vander(positions, order + 1, increasing=True)
    matrix: NDArray[np.float64] = powers @ np.linalg.pinv(powers)
    return matrix


def savgol(values: NDArray[np.float64], window: int, order: int) -> NDArray[np.float64]:
    """Filter along the first axis; the ends are the polynomial of the first and last window."""
    half = window // 2
    matrix = savgol_matrix(window, order)
    head = [_weighted(matrix[row], values[:window]) for row in range(half)]
    inner = _weighted(matrix[half], values)
    tail = [_weighted(matrix[row], values[-window:]) for row in range(half + 1, window)]
    return np.concatenate((*head, inner, *tail))


def _weighted(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sliding weighted sum, added in a fixed order so that a stream gives the same bits as the whole."""
    stop = len(values) - len(weights) + 1
    total: NDArray[np.float64] = weights[0] * values[:stop]
    for offset in range(1, len(weights)):
        total = total + weights[offset] * values[offset : offset + stop]
    return total


def smooth_motion(motion: FloatArray) -> FloatArray:
    """Smooth a whole motion.

    Args:
        motion: [T, 106] float32, T >= 9.
    Returns:
        [T, 106] float32; computed in float64.
    Raises:
        AudioTooShort: T < 9.
    """
    if len(motion) < MIN_FRAMES:
        raise too_short(len(motion))
    exact = motion.astype(np.float64)
    smoothed = savgol(exact, WINDOW, ORDER)
    smoothed[:, GLOBAL_ROTATION] = savgol(exact[:, GLOBAL_ROTATION], ROTATION_WINDOW, ROTATION_ORDER)
    return smoothed.astype(np.float32)


def too_short(num_frames: int) -> AudioTooShort:
    """The error for a motion that cannot be smoothed."""
    return AudioTooShort(
        f"The motion has {num_frames} frames; smoothing looks at {MIN_FRAMES}.",
        accepted=f"more than {(MIN_FRAMES - 1) / MOTION_FPS:g} s of sound",
        remedy="a longer sound, or smoothing switched off",
    )


class MotionSmoother:
    """The same smoothing on a stream, four frames behind; bit for bit equal to `smooth_motion`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._kept: FloatArray | None = None
        self._first = 0  # number of the first kept frame
        self._emitted = 0

    def feed(self, motion: FloatArray) -> FloatArray:
        """Add frames [k, 106]; returns those that can no longer change (none until nine were seen)."""
        self._kept = motion.copy() if self._kept is None else np.concatenate((self._kept, motion))
        seen = self._first + len(self._kept)
        if seen < MIN_FRAMES:
            return motion[:0]
        return self._emit(self._kept, seen - DELAY_FRAMES)

    def finish(self) -> FloatArray:
        """The last frames; fewer than nine in all come out as they went in.

        Raises:
            AudioTooShort: nothing was fed.
        """
        if self._kept is None or self._first + len(self._kept) == 0:
            raise AudioTooShort("No motion was given to the smoother.")
        seen = self._first + len(self._kept)
        last = self._kept if seen < MIN_FRAMES else self._emit(self._kept, seen)
        self.reset()
        return last

    def _emit(self, kept: FloatArray, stop: int) -> FloatArray:
        part = smooth_motion(kept)[self._emitted - self._first : stop - self._first]
        self._emitted = stop
        keep_from = max(self._first, min(stop - DELAY_FRAMES, self._first + len(kept) - MIN_FRAMES))
        self._kept = kept[keep_from - self._first :]
        self._first = keep_from
        return part
