"""How far a whole job is: one share that never goes back, and the seconds left, from the events of its stages.

    progress = JobProgress()
    share, left_s = progress.update(event)      # for each ProgressEvent, in the order in which they come
    progress.finish()                           # the share is 1

What each stage will take is foreseen from the size of the job (`ProgressEvent.sizes`: seconds of sound, frames of the
face) and from the rates that earlier jobs of this process had; at first from those that were measured on two cores. The
stage at work is measured as it goes, and how far the job is ahead or behind stretches what comes after it. The share is
the time that has passed of the time that the whole takes.

    open-face  detect-faces   analyse-face     listen      render
    |----|---------------|-------------------|--------|------------------------|
               passed s       ^  left of the stage + foreseen s of later stages
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from talkinghead.engine.context import ProgressEvent


class Cost(NamedTuple):
    """What a stage takes, in seconds."""

    fixed: float
    per_frame: float = 0.0
    """For each frame of the face."""
    per_second: float = 0.0
    """For each second of sound."""


COSTS: Mapping[str, Cost] = {
    "load": Cost(1.0),
    "speak": Cost(1.5),
    "read-sound": Cost(0.1, per_second=0.02),
    "open-face": Cost(0.4, per_frame=0.002),
    "detect-faces": Cost(0.4, per_frame=0.018),
    "analyse-face": Cost(1.0, per_frame=0.03),
    "try-frame": Cost(0.4),
    "listen": Cost(0.1, per_second=0.15),
    "render": Cost(0.5, per_second=0.35),
}
"""By the stages in their order, for 512 x 512 pixels on two cores of a server. A job may leave some out; other stages
are jobs of their own."""
USUAL_SIZES: Mapping[str, float] = {"sound_s": 10.0, "face_frames": 50.0}
"""Until a job says its own."""
STAGE_WARM_UP_S = 0.5
"""The pace of a stage is told when it has run for this long,"""
JOB_WARM_UP_S = 0.5
"""and the time left after this time of the job."""
SURE = 2.0
"""Seconds that are as much to be believed as what was foreseen, when jobs are ahead or behind."""
MOST = 0.99
"""Share of a job that has not ended."""
SLOWER = 1.25
"""The time left is told to be longer than it was said to be when it is so by this factor, and by a second or more."""


class Paces:
    """How much longer the stages of jobs of one kind took than `COSTS` says, as the last ones did."""

    def __init__(self) -> None:
        self._factors: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def factor(self, kind: str, stage: str) -> float:
        with self._lock:
            return self._factors.get((kind, stage), 1.0)

    def learn(self, kind: str, stage: str, factor: float) -> None:
        """Take what a stage of a finished job took of what `COSTS` says."""
        factor = min(20.0, max(0.02, factor))
        with self._lock:
            known = self._factors.get((kind, stage))
            self._factors[kind, stage] = factor if known is None else (known * factor) ** 0.5


PACES = Paces()
"""Of this process."""


@dataclass
class _Stage:
    """A stage that has begun."""

    name: str
    began_s: float
    first: int = 0
    done: int = 0
    total: int | None = None

    @property
    def part(self) -> float:
        return min(1.0, max(0.0, self.done / self.total)) if self.total else 0.0


@dataclass
class _Known:
    """What is known of a job."""

    kind: str = ""
    sizes: dict[str, float] = field(default_factory=lambda: dict(USUAL_SIZES))
    stages: frozenset[str] | None = None
    """Those that are foreseen; None: all of them."""


class JobProgress:
    """The progress of one job.

    Args:
        clock: seconds of a clock that never goes back.
        paces: what earlier jobs took; those of this process unless given.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, paces: Paces | None = None) -> None:
        self._clock, self._paces = clock, paces or PACES
        self._known = _Known()
        self._stage: _Stage | None = None
        self._began_s = self._told_s = 0.0
        self._took: dict[str, float] = {}
        """Seconds of the stages that have ended."""
        self._share = 0.0
        self._left_s: float | None = None

    def update(self, event: ProgressEvent) -> tuple[float, float | None]:
        """Take an event.

        Returns:
            The share of the job that is done, in [0, 1], never less than before; and the seconds left, None while they
            cannot be told.
        """
        now = self._clock()
        self._know(event)
        if self._stage is None:
            self._began_s = now
        if self._stage is None or event.stage != self._stage.name:
            self._end_stage(now)
            self._stage = _Stage(event.stage, now, event.done)
        self._stage.done, self._stage.total = event.done, event.total
        self._tell(now)
        return self._share, self._left_s

    def now(self) -> tuple[float, float | None]:
        """The share and the seconds left at this moment, between two events."""
        if self._stage is not None and self._stage.name in COSTS and self._share < MOST:
            self._tell(self._clock())
            return self._share, self._left_s
        if self._left_s is None:
            return self._share, None
        return self._share, max(0.0, self._left_s - (self._clock() - self._told_s))

    def finish(self) -> None:
        """The job has ended well: the share is 1, and the next job of its kind is foreseen from what it took."""
        self._end_stage(self._clock())
        self._stage, self._share, self._left_s = None, 1.0, 0.0
        for name, seconds in self._took.items():
            if name in COSTS and self._known.kind:
                self._paces.learn(self._known.kind, name, max(seconds, 0.01) / self._cost(name))

    @property
    def per_second(self) -> float | None:
        """What the stage at work does in a second; None while that cannot be told."""
        if self._stage is None:
            return None
        seconds, steps = self._told_s - self._stage.began_s, self._stage.done - self._stage.first
        return steps / seconds if steps > 0 and seconds >= STAGE_WARM_UP_S else None

    def _know(self, event: ProgressEvent) -> None:
        if event.job:
            self._known.kind = event.job
        if event.stages:
            self._known.stages = frozenset(event.stages)
        self._known.sizes.update(event.sizes)
        if event.stage == "detect-faces" and event.total:
            self._known.sizes["face_frames"] = float(event.total)

    def _end_stage(self, now: float) -> None:
        if self._stage is not None:
            took = self._took.get(self._stage.name, 0.0)
            self._took[self._stage.name] = took + now - self._stage.began_s

    def _cost(self, name: str) -> float:
        cost, sizes = COSTS[name], self._known.sizes
        return cost.fixed + cost.per_frame * sizes["face_frames"] + cost.per_second * sizes["sound_s"]

    def _foreseen(self, name: str) -> float:
        return self._cost(name) * self._paces.factor(self._known.kind, name)

    def _tell(self, now: float) -> None:
        """Bring the share and the seconds left up to date."""
        assert self._stage is not None
        self._told_s, before = now, self._told_s
        elapsed = now - self._began_s
        if self._stage.name not in COSTS:  # a job of its own
            rate = self.per_second
            left = (self._stage.total or 0) - self._stage.done
            self._left_s = max(0.0, left / rate) if rate and self._stage.total else None
            self._share = max(self._share, self._stage.part)
            return
        left_s = self._stage_left(now) + self._behind() * sum(map(self._foreseen, self._later()))
        whole_s = elapsed + left_s
        share = elapsed / whole_s if whole_s > 0 else 0.0
        self._share = max(self._share, min(MOST, share))
        if elapsed < JOB_WARM_UP_S:
            return
        said = None if self._left_s is None else max(0.0, self._left_s - max(0.0, now - before))
        is_longer = said is not None and said < left_s <= max(SLOWER * said, said + 1.0)
        self._left_s = said if is_longer else left_s

    def _later(self) -> list[str]:
        assert self._stage is not None
        names = list(COSTS)
        later = names[names.index(self._stage.name) + 1 :]
        foreseen = self._known.stages
        return [name for name in later if name not in self._took and (foreseen is None or name in foreseen)]

    def _stage_left(self, now: float) -> float:
        """Seconds that the stage at work still takes: by its own pace the more of it is done."""
        assert self._stage is not None
        foreseen = self._foreseen(self._stage.name)
        passed, part = now - self._stage.began_s, self._stage.part
        if part >= 1.0:
            return 0.0
        expected = max(foreseen * self._behind() - passed, 0.1 * foreseen * (1.0 - part))
        if part <= 0.0 or passed < STAGE_WARM_UP_S:
            return expected
        own = passed * (1.0 - part) / part
        sure = min(1.0, 4.0 * part)
        return sure * own + (1.0 - sure) * expected

    def _behind(self) -> float:
        """Factor by which what has ended took longer than foreseen."""
        took = sum(seconds for name, seconds in self._took.items() if name in COSTS)
        foreseen = sum(self._foreseen(name) for name in self._took if name in COSTS)
        return min(4.0, max(0.25, (took + SURE) / (foreseen + SURE)))
