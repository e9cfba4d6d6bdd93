"""Progress of a worker's job as events for its driver, a few each second."""

from __future__ import annotations

import time
from collections.abc import Callable

from talkinghead.engine.context import ProgressEvent
from talkinghead.engine.progress import JobProgress
from talkinghead.fleet.engines.base import Progressed

SIGN_S = 0.5
"""Seconds between two signs of life, at least."""


class Signs:
    """What `Worker.run` takes as `progress`.

    Args:
        tell: takes the events; called from whatever thread makes progress.
    """

    def __init__(self, worker: str, key: str, tell: Callable[[Progressed], None]) -> None:
        self._worker, self._key, self._tell = worker, key, tell
        self._progress = JobProgress()
        self._told_s = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        share, _ = self._progress.update(event)
        now_s = time.monotonic()
        if now_s - self._told_s >= SIGN_S:
            self._told_s = now_s
            self._tell(Progressed(self._worker, self._key, share))
