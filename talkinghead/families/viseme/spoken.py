"""The mouth of every frame, from phones that are given, known or still being recognised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import overload

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.mouth import MotionInParts
from talkinghead.contracts import MOUTH_COLUMNS, AudioClip, FloatArray, Phone

ROWS_AT_ONCE = 32
"""Rows are computed in steps of so many frames, whatever is known, so that they are the same in every run."""


class SpokenRows(Sequence[FloatArray]):
    """A row of MOUTH_COLUMNS for every frame of a sound, [6] float32; whoever asks for one waits until it is known.

    Different threads may ask.
    """

    def __init__(
        self,
        clip: AudioClip,
        fps: Fraction,
        known: Callable[[float], tuple[Sequence[Phone], float]],
    ) -> None:
        """
        Args:
            known: the phones so far and until when they are known, which must be later than the seconds given, or the
                end: as `PhonesAhead.known`.
        """
        num_frames = clip.num_frames(fps)
        self._motion = MotionInParts(clip, fps, num_frames)
        self._known = known
        self._phones: Sequence[Phone] = ()
        self._until_s = 0.0
        self._rows = np.zeros((num_frames, len(MOUTH_COLUMNS)), np.float32)
        self._ready = np.zeros(-(-num_frames // ROWS_AT_ONCE), bool)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> FloatArray: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FloatArray]: ...

    def __getitem__(self, index: int | slice) -> FloatArray | Sequence[FloatArray]:
        numbers = range(len(self))[index]
        if isinstance(numbers, int):
            self._compute(numbers, numbers + 1)
        elif numbers:
            self._compute(min(numbers), max(numbers) + 1)
        rows: FloatArray = self._rows[index]
        return rows

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> NDArray[np.generic]:
        """All rows, [n, 6]."""
        return np.array(self[:], dtype, copy=copy)

    def _compute(self, first: int, last: int) -> None:
        """Rows `first` to `last` - 1, at the least."""
        with self._lock:
            for step in range(first // ROWS_AT_ONCE, -(-last // ROWS_AT_ONCE)):
                if self._ready[step]:
                    continue
                start, stop = step * ROWS_AT_ONCE, min((step + 1) * ROWS_AT_ONCE, len(self))
                while self._motion.num_settled(self._phones, self._until_s) < stop:
                    self._phones, self._until_s = self._known(self._until_s)
                motion = self._motion.frames(self._phones, start, stop)
                self._rows[start:stop] = np.stack([getattr(motion, name) for name in MOUTH_COLUMNS], axis=1)
                self._ready[step] = True
