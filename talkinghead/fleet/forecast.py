"""What a table will take, before anything runs: time from measured rates, bytes from measured sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from talkinghead.fleet.job import Job
from talkinghead.fleet.ledger import COMPLETED, Entry
from talkinghead.registry import FAMILIES

USUAL_BYTES_PER_S = 90_000.0
"""Of a second of video with sound as H.264 at usual quality, for faces of 576x576 to 704x1216 pixels."""
USUAL_PACE = 1.0
"""Seconds of video per second of work of a model of which nothing is known."""
START_S = 3.0
"""What loading a model takes, and preparing a face for the first time."""


@dataclass
class _Sum:
    video_s: float = 0.0
    work_s: float = 0.0
    bytes: int = 0


@dataclass
class Rates:
    """How fast each model is: as the ledger measured it here, else as it was measured on two cores of a server."""

    measured: dict[str, _Sum] = field(default_factory=lambda: defaultdict(_Sum))

    def watch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries, looked at on their way."""
        for entry in entries:
            if entry.event in COMPLETED:
                self.add(entry.more.get("report", {}), int(entry.more.get("size", 0)))
            yield entry

    def add(self, report: dict[str, Any], size: int) -> None:
        """A video that was made."""
        seconds = float(report.get("audio_s", 0.0))
        if seconds > 0:
            for name in (str(report.get("model", "")), ""):
                one = self.measured[name]
                one.video_s += seconds
                one.work_s += float(report.get("wall_s", 0.0))
                one.bytes += size

    def is_measured(self, model: str) -> bool:
        """Whether the ledger has videos of it."""
        return model in self.measured and self.measured[model].work_s > 0

    def pace(self, model: str) -> float:
        """Seconds of video per second of work of one worker."""
        if self.is_measured(model):
            return self.measured[model].video_s / self.measured[model].work_s
        known = FAMILIES[model].pace if model in FAMILIES else None
        return known or USUAL_PACE

    @property
    def bytes_per_s(self) -> float:
        """Of a second of finished video."""
        whole = self.measured.get("")
        return whole.bytes / whole.video_s if whole is not None and whole.bytes else USUAL_BYTES_PER_S


@dataclass
class Forecast:
    """What jobs will take.

    `jobs`, `video_s` and `work_s` are by model; work is that of one worker that has a machine of its own.
    """

    workers: int
    jobs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    video_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    work_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    measured: dict[str, bool] = field(default_factory=dict)
    bytes_written: int = 0

    @property
    def total_s(self) -> float:
        """How long all of it takes, at least."""
        return sum(self.work_s.values()) / self.workers

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        models = {
            name: {
                "rows": self.jobs[name],
                "video_s": round(self.video_s[name], 1),
                "work_s": round(self.work_s[name], 1),
                "measured": self.measured[name],
            }
            for name in self.jobs
        }
        return {
            "models": models,
            "workers": self.workers,
            "seconds": round(self.total_s, 1),
            "bytes_written": self.bytes_written,
        }


def forecast(jobs: Iterable[Job], rates: Rates, workers: int) -> Forecast:
    """What jobs will take.

    Args:
        workers: as many workers, each with cores of its own.
    """
    found = Forecast(max(1, workers))
    faces: set[str] = set()
    for job in jobs:
        model = job.head.rpartition("-")[0]
        found.jobs[model] += 1
        found.video_s[model] += job.seconds
        found.work_s[model] += job.seconds / rates.pace(model)
        if job.face not in faces and not rates.is_measured(model):
            found.work_s[model] += START_S
        faces.add(job.face)
        found.measured[model] = rates.is_measured(model)
        found.bytes_written += round(job.seconds * rates.bytes_per_s)
    return found
