"""How far a whole job is: one share and the time left, from the events of its stages.

    progress = JobProgress()
    share, left_s = progress.update(event)      # for each ProgressEvent, in the order in which they come

What a stage is expected to take of the whole is a guess (`WEIGHTS`); the time left is measured: what the stage at work
still needs goes by its own pace, what comes after it by the pace of the job so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from talkinghead.engine.context import ProgressEvent

WEIGHTS: Mapping[str, float] = {
    "load": 4,
    "speak": 4,
    "read-sound": 1,
    "open-face": 1,
    "detect-faces": 15,
    "analyse-face": 10,
    "try-frame": 3,
    "listen": 12,
    "render": 50,
}
"""Share of the whole that each stage usually takes, in the order of the stages. A job may leave some out; other stages
are jobs of their own."""
STAGE_WARM_UP_S = 0.5
"""The pace of a stage is told when it has run for this long,"""
JOB_WARM_UP_S = 2.0
"""and that of the job after this time,"""
JOB_WARM_UP = 0.04
"""and after this share of the work."""


class Span(NamedTuple):
    """Where a stage lies in the whole, in [0, 1]."""

    start: float
    weight: float


def span_of(stage: str) -> Span:
    """Where a stage lies in a job; one that no job has is the whole."""
    if stage not in WEIGHTS:
        return Span(0.0, 1.0)
    whole = sum(WEIGHTS.values())
    names = list(WEIGHTS)
    before = sum(WEIGHTS[name] for name in names[: names.index(stage)])
    return Span(before / whole, WEIGHTS[stage] / whole)


class JobProgress:
    """The progress of one job.

    Args:
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage: str | None = None
        self._span = Span(0.0, 0.0)
        self._began_s = self._stage_began_s = self._told_s = 0.0
        self._first = self._done = 0
        self._lived = 0.0
        """Share of the work that stages of this job did, without those that it left out."""
        self._share = 0.0
        self._left_s: float | None = None

    def update(self, event: ProgressEvent) -> tuple[float, float | None]:
        """Take an event.

        Returns:
            The share of the job that is done, in [0, 1], never less than before; and the seconds left, None while they
            cannot be told.
        """
        now = self._clock()
        if self._stage is None:
            self._began_s = now
        if event.stage != self._stage:
            if self._stage is not None:
                self._lived += self._span.weight
            self._stage, self._span = event.stage, span_of(event.stage)
            self._stage_began_s, self._first = now, event.done
        self._done = event.done
        part = min(1.0, max(0.0, event.done / event.total)) if event.total else 0.0
        self._share = max(self._share, min(1.0, self._span.start + self._span.weight * part))
        self._told_s = now
        self._left_s = self._measured(now, event.total, part)
        return self._share, self._left_s

    def now(self) -> tuple[float, float | None]:
        """The share and the seconds left at this moment, between two events."""
        if self._left_s is None:
            return self._share, None
        return self._share, max(0.0, self._left_s - (self._clock() - self._told_s))

    @property
    def per_second(self) -> float | None:
        """What the stage at work does in a second; None while that cannot be told."""
        seconds, steps = self._told_s - self._stage_began_s, self._done - self._first
        return steps / seconds if steps > 0 and seconds >= STAGE_WARM_UP_S else None

    def _measured(self, now: float, total: int | None, part: float) -> float | None:
        after = max(0.0, 1.0 - self._span.start - self._span.weight)
        rate = self.per_second
        stage_s = max(0, total - self._done) / rate if total is not None and rate is not None else None
        if total is not None and part >= 1.0:
            stage_s = 0.0
        if stage_s is not None and after < 1e-9:
            return stage_s
        elapsed, lived = now - self._began_s, self._lived + self._span.weight * part
        if elapsed < JOB_WARM_UP_S or lived < JOB_WARM_UP:
            return None
        pace = elapsed / lived
        return (stage_s if stage_s is not None else pace * self._span.weight * (1.0 - part)) + pace * after
