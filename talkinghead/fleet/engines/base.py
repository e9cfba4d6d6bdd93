"""What moves jobs to workers. Three are there: this process, a pool of processes, Ray."""

from __future__ import annotations

import contextlib
import queue
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from talkinghead.fleet.job import Job, Outcome

T = TypeVar("T")


@dataclass(frozen=True)
class Ready:
    """A worker that was started has its place, and takes jobs from now on.

    Between `start` and this a cluster may look for a machine for minutes; no job is given meanwhile, so that it goes to
    a worker that is there, and its time does not run.
    """

    worker: str


@dataclass(frozen=True)
class Progressed:
    """A worker says how far its job is; also its sign of life."""

    worker: str
    key: str
    share: float
    """How much of the job is done, in [0, 1]."""


@dataclass(frozen=True)
class Ended:
    """A worker has ended a job, and is free."""

    worker: str
    outcome: Outcome


@dataclass(frozen=True)
class Died:
    """A worker is gone, and with it the job that it had."""

    worker: str
    reason: str


Event = Ready | Progressed | Ended | Died


class Engine(Protocol):
    """Workers that take one job at a time. Used from one thread."""

    name: str
    """As `--engine` names it."""

    def start(self) -> str:
        """Start one worker; `Ready` follows as soon as a machine has room for it, or `Died` if it cannot start.

        Returns:
            Its name, which no other worker of this or an earlier run has.
        """

    def submit(self, worker: str, job: Job, attempt: int) -> None:
        """Hand a free worker its next job.

        Args:
            attempt: how often the job has been given so far, from 1, as the ledger tells it.
        """

    def events(self, timeout_s: float) -> Sequence[Event]:
        """What happened since the last call; waits for something to happen, but not longer than given."""

    def stop(self, worker: str) -> None:
        """End a worker at once, whatever it does. No event of it follows.

        When this returns it writes nothing any more, or nothing that counts.
        """

    def close(self) -> None:
        """End all workers."""


def taken(line: queue.SimpleQueue[T], timeout_s: float) -> list[T]:
    """All that is in a line; waits for the first of it, but not longer than given."""
    found = []
    with contextlib.suppress(queue.Empty):
        found.append(line.get(timeout=timeout_s))
        while True:
            found.append(line.get_nowait())
    return found


def new_name(kind: str) -> str:
    """A name for a worker that no other has, whatever run it belongs to: when it began, how it runs, and by chance."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{kind}-{secrets.token_hex(4)}"
