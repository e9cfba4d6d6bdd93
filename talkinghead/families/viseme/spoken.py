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
        self._ready = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> FloatArray: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FloatArray]: ...

    def __getitem__(self, index: int | slice) -> FloatArray | Sequence[FloatArray]:
        numbers = range(len(self))[index]
        self._compute(numbers + 1 if isinstance(numbers, int) else max(numbers, default=-1) + 1)
        rows: FloatArray = self._rows[index]
        return rows

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> NDArray[np.generic]:
        """All rows, [n, 6]."""
        return np.array(self[:], dtype, copy=copy)

    def _compute(self, count: int) -> None:
        """The first `count` rows, at the least."""
        with self._lock:
            while self._ready < count:
                stop = min(self._ready + ROWS_AT_ONCE, len(self))
                while self._motion.num_settled(self._phones, self._until_s) < stop:
                    self._phones, self._until_s = self._known(self._until_s)
                motion = self._motion.frames(self._phones, self._ready, stop)
                self._rows[self._ready : stop] = np.stack([getattr(motion, name) for name in MOUTH_COLUMNS], axis=1)
                self._ready = stop
