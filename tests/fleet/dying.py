"""Workers that end in the middle of their first stretch, and in the middle of the first join, of a whole run.

python -m tests.fleet.dying          # what a process of the pool runs; actors run `open_dying`
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.fleet.engines.child import main
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.worker import Worker, WorkerOptions

FRAMES = 5
"""Of a stretch that are there when its worker ends,"""
PACKETS = 30
"""and packets that a join has read."""


class Dying(Worker):
    """Leaves a mark in the folder of the cache when it is about to end, so that it happens once."""

    def run(
        self, job: Job, attempt: int, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Outcome:
        if job.parts:
            return super().run(job, attempt, progress=progress, cancel=Deadly(self))

        def watch(event: ProgressEvent) -> None:
            if job.part_of is not None and event.stage == "render" and event.done >= FRAMES:
                self.die_once("stretch")
            if progress is not None:
                progress(event)

        return super().run(job, attempt, progress=watch, cancel=cancel)

    def die_once(self, where: str) -> None:
        """End this process as if the machine had, the first time that this is reached."""
        try:
            (Path(self.options.cache or ".") / f"died-{where}").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class Deadly(CancelToken):
    """Ends the process of a worker when it was asked so often."""

    def __init__(self, worker: Dying) -> None:
        super().__init__()
        self._worker, self._asked = worker, 0

    def check(self) -> None:
        self._asked += 1
        if self._asked == PACKETS:
            self._worker.die_once("join")
        super().check()


def open_dying(name: str, options: Mapping[str, Any]) -> Dying:
    """What actors run."""
    return Dying(name, WorkerOptions.from_dict(options))


if __name__ == "__main__":
    main(Dying)
