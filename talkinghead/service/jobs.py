"""Long work in threads of its own: a queue with positions, progress that can be read at any time, and cancelling.

    jobs = JobQueue(at_once=1)
    job = jobs.submit(lambda progress, cancel: run(request, progress=progress, cancel=cancel), lane="viseme")
    for state in job.states():          # a snapshot now and then, until it has ended
        print(state.phase, state.position, state.stage, state.share, state.left_s)
    result = job.result()

Work of one lane (for example a model) waits in line while as many as allowed run; lanes do not wait for each other.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.engine.progress import JobProgress
from talkinghead.errors import BackendError, Cancelled

T = TypeVar("T")
Work = Callable[[Progress, CancelToken], T]

_PIECE_S = 0.5
"""Longest wait in one piece."""

Phase = Literal["waiting", "working", "done", "failed", "cancelled"]


class QueueFull(BackendError):
    """So many wait already that one more is refused."""


@dataclass(frozen=True)
class JobState:
    """A job at one moment."""

    phase: Phase
    position: int = 0
    """How many are before it in line, itself included; 0 once it runs."""
    waiting: int = 0
    """How many wait in its lane."""
    stage: str = ""
    """What it does now, by the names of `ProgressEvent`."""
    done: int = 0
    total: int | None = None
    unit: str = "frames"
    """What `done` and `total` count."""
    share: float = 0.0
    """How much of the whole job is done, in [0, 1]."""
    left_s: float | None = None
    """Seconds until the job is done; None where that cannot be told yet."""
    elapsed_s: float = 0.0
    """Since it began to run."""
    per_second: float | None = None
    """Steps of the stage per second, once it can be told."""

    @property
    def ended(self) -> bool:
        return self.phase in ("done", "failed", "cancelled")


class Job(Generic[T]):
    """Work that was handed in. Made by `JobQueue.submit`."""

    def __init__(self, queue: JobQueue, lane: str, work: Work[T]) -> None:
        self.lane = lane
        self._queue = queue
        self._work: Work[T] | None = work
        self._token = CancelToken()
        self._changed = threading.Condition()
        self._phase: Phase = "waiting"
        self._event = ProgressEvent("wait", 0, None)
        self._progressed = JobProgress()
        self._started_s = self._ended_s = 0.0
        self._result: T | None = None
        self._error: BaseException | None = None

    def cancel(self) -> None:
        """Stop it: at once while it waits, within a fraction of a second while it runs."""
        self._token.cancel()
        if self._queue._withdraw(self):
            self._end("cancelled", Cancelled())

    def state(self) -> JobState:
        """How far it is."""
        position, waiting = self._queue._place(self)
        with self._changed:
            now = self._ended_s or time.monotonic()
            elapsed = now - self._started_s if self._started_s else 0.0
            event, (share, left_s) = self._event, self._progressed.now()
            return JobState(
                phase=self._phase,
                position=position if self._phase == "waiting" else 0,
                waiting=waiting,
                stage=event.stage,
                done=event.done,
                total=event.total,
                unit=event.unit,
                share=share,
                left_s=left_s,
                elapsed_s=elapsed,
                per_second=self._progressed.per_second,
            )

    def states(self, every_s: float = 0.25) -> Iterator[JobState]:
        """Snapshots until it has ended; the last one tells how. Leaving the iteration early does not stop the job."""
        while True:
            state = self.state()
            yield state
            if state.ended:
                return
            self.wait(every_s)

    def result(self) -> T:
        """Wait for the end.

        Raises:
            Cancelled: it was stopped. What the work raised.
        """
        self.wait(None)
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def wait(self, timeout_s: float | None) -> None:
        """Wait for the end, however it comes, or for so many seconds."""
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:  # in pieces: on Windows Ctrl-C does not end a wait
            while not self._ended_s > 0 and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(min(left_s, _PIECE_S))

    def _progress(self, event: ProgressEvent) -> None:
        with self._changed:
            self._progressed.update(event)
            self._event = event

    def _run(self) -> None:
        with self._changed:
            self._phase = "working"
            self._started_s = time.monotonic()
            work, self._work = self._work, None
        try:
            assert work is not None
            self._token.check()
            self._result = work(self._progress, self._token)
        except Cancelled as error:
            self._end("cancelled", error)
        except BaseException as error:  # noqa: BLE001 (raised again where the result is asked for)
            self._end("failed", error)
        else:
            self._end("done", None)

    def _end(self, phase: Phase, error: BaseException | None) -> None:
        with self._changed:
            if phase == "done":
                self._progressed.finish()
            self._phase, self._error, self._ended_s, self._work = phase, error, time.monotonic(), None
            self._changed.notify_all()


class JobQueue:
    """Runs jobs, some at once in each lane, the others in the order in which they came.

    Args:
        at_once: jobs of one lane that run at the same time.
        max_waiting: jobs of one lane that may wait.
    """

    def __init__(self, at_once: int = 1, max_waiting: int = 50) -> None:
        if at_once < 1 or max_waiting < 0:
            raise ValueError(f"at_once {at_once} must be at least 1 and max_waiting {max_waiting} at least 0")
        self.at_once, self.max_waiting = at_once, max_waiting
        self._widths: dict[str, int] = {}
        self._lock = threading.Lock()
        self._lines: dict[str, list[Job[object]]] = {}
        self._running: dict[str, list[Job[object]]] = {}
        self._closed = False

    def submit(self, work: Work[T], lane: str = "", *, accepted: bool = False) -> Job[T]:
        """Hand in work; it is called with a `Progress` and a `CancelToken`, in a thread of its own.

        Args:
            accepted: somebody was told already that it will be done: it is taken, however many wait.
        Raises:
            QueueFull: too many wait. Cancelled: the queue is closed.
        """
        job = Job(self, lane, work)
        with self._lock:
            if self._closed:
                raise Cancelled()
            line, running = self._lines.setdefault(lane, []), self._running.setdefault(lane, [])
            if not accepted and len(running) >= self._width(lane) and len(line) >= self.max_waiting:
                raise QueueFull(
                    f"{len(line)} jobs are waiting already.", remedy="wait for a minute, then start it again"
                )
            line.append(job)  # type: ignore[arg-type]
        self._start_next(lane)
        return job

    def widen(self, lane: str, at_once: int) -> None:
        """Let so many jobs of one lane run at the same time."""
        self._widths[lane] = at_once

    def load(self, lane: str) -> tuple[int, int]:
        """How many jobs of a lane wait, and how many run."""
        with self._lock:
            return len(self._lines.get(lane, ())), len(self._running.get(lane, ()))

    def close(self, timeout_s: float = 10.0) -> None:
        """Cancel everything and wait for what runs."""
        with self._lock:
            self._closed = True
            jobs = [job for group in (self._lines, self._running) for line in group.values() for job in line]
        for job in jobs:
            job.cancel()
        end = time.monotonic() + timeout_s
        for job in jobs:
            job.wait(end - time.monotonic())

    def _width(self, lane: str) -> int:
        return self._widths.get(lane, self.at_once)

    def _start_next(self, lane: str) -> None:
        with self._lock:
            line, running = self._lines[lane], self._running[lane]
            while line and len(running) < self._width(lane):
                job = line.pop(0)
                running.append(job)
                threading.Thread(target=self._work, args=(job,), name=f"job-{lane}", daemon=True).start()

    def _work(self, job: Job[object]) -> None:
        try:
            job._run()
        finally:
            with self._lock:
                self._running[job.lane].remove(job)
            self._start_next(job.lane)

    def _withdraw(self, job: Job[T]) -> bool:
        with self._lock:
            line = self._lines.get(job.lane, [])
            if job in line:
                line.remove(job)  # type: ignore[arg-type]
                return True
            return False

    def _place(self, job: Job[T]) -> tuple[int, int]:
        with self._lock:
            line = self._lines.get(job.lane, [])
            return (line.index(job) + 1 if job in line else 0), len(line)  # type: ignore[arg-type]
