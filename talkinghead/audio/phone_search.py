"""The row of phones that suits evidence best: a Viterbi search with least durations, step by step.

search = PhoneSearch(tables())
for row in evidence:
    search.step(row)
labels = search.path()
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.articulation import LABELS, Tables
from talkinghead.contracts import FloatArray

SHORTEST_FRAMES = {"SIL": 4, "P": 3, "B": 3, "M": 3, "DH": 2, "D": 2, "T": 2, "N": 2, "R": 2, "L": 2, "HH": 2}
"""Least length of a phone in hundredths of a second; 3 for the others."""


class PhoneSearch:
    """Follows every row of phones at once, as far as it matters, and tells the best one so far."""

    def __init__(
        self,
        fitted: Tables,
        *,
        sequence_weight: float,
        change_cost: float,
        resting: bool = False,
        remembered: int | None = None,
    ) -> None:
        """
        Args:
            sequence_weight: of how likely one phone follows another, and with it the cost of every change.
            change_cost: further cost of every change.
            resting: there was silence before; else any phone may be the first.
            remembered: how many steps `path` may look back; all where None.
        """
        count = len(LABELS)
        shortest = np.array([SHORTEST_FRAMES.get(label, 3) for label in LABELS])
        depth = int(shortest.max())
        change = sequence_weight * (fitted.log_follows - fitted.log_prior) - change_cost - sequence_weight
        np.fill_diagonal(change, -np.inf)
        self._change = np.ascontiguousarray(change.T)  # [next, phone]
        self._entry = depth - shortest  # phones that may be short begin at a later stage
        self._columns = np.arange(count)
        # state[k, p]: in phone p since at least k + 1 frames; the last stage loops.
        self._state = np.full((depth, count), -np.inf)
        self._moving = np.ones(self._state.shape, np.bool_)
        self._moving[0] = False
        self._resting, self._begun = resting, False
        if resting:
            self._state[-1, 0] = 0.0
        self._steps: deque[tuple[NDArray[np.int64], NDArray[np.bool_]]] = deque(maxlen=remembered)

    def step(self, evidence: FloatArray) -> None:
        """Take the next hundredth of a second; [40] float32 log probabilities."""
        state, columns = self._state, self._columns
        if not self._begun and not self._resting:
            state[self._entry, columns] = evidence
            self._steps.append((np.zeros(len(LABELS), np.int64), np.zeros(state.shape, np.bool_)))
            self._begun = True
            return
        self._begun = True
        leaving = self._change + state[-1]  # [next, phone]
        best = leaving.argmax(axis=1)
        step = np.empty_like(state)
        step[1:] = state[:-1]
        step[0] = -np.inf
        moved = self._moving.copy()
        np.less_equal(state[-1], state[-2], out=moved[-1])  # else it loops
        np.maximum(state[-1], state[-2], out=step[-1])
        entered, stayed = leaving[columns, best], step[self._entry, columns]
        step[self._entry, columns] = np.maximum(entered, stayed)
        moved[self._entry, columns] &= entered <= stayed
        # Entering is told from looping by the stage: only phones of one stage could mix them up, and there are none.
        step += evidence
        self._state = step
        self._steps.append((best, moved))

    def path(self, *, unfinished: bool = False) -> NDArray[np.int16]:
        """The best row of phones until now: a label for every step that is remembered, [n] int16.

        Args:
            unfinished: the last phone goes on, so that it may be shorter than phones are.
        """
        out = np.empty(len(self._steps), dtype=np.int16)
        if not len(out):
            return out
        state = self._state
        last = len(state) - 1
        if unfinished or not np.any(np.isfinite(state[-1])):
            stage, phone = divmod(int(state.argmax()), state.shape[1])
            if not unfinished:
                stage = last if np.isfinite(state[-1, phone]) else int(np.argmax(state[:, phone]))
        else:
            stage, phone = last, int(np.argmax(state[-1]))
        for t in range(len(out) - 1, -1, -1):
            out[t] = phone
            best, moved = self._steps[t]
            if moved[stage, phone]:
                stage -= 1
            elif stage != last or stage == self._entry[phone]:
                phone, stage = int(best[phone]), last
        return out
