"""The worker in this process, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from talkinghead.engine.context import CancelToken
from talkinghead.errors import Cancelled
from talkinghead.fleet.engines.base import Died, Ended, Event, Ready, new_name, taken
from talkinghead.fleet.engines.signs import Signs
from talkinghead.fleet.job import Job
from talkinghead.fleet.worker import Worker, WorkerOptions

STOP_S = 30.0
"""How long a worker that is stopped may take to notice; one that takes longer can give no video its name any more."""


class Here:
    """An engine of one worker. See `engines.base.Engine`.

    Args:
        options: of the worker.
        open_worker: makes it.
    """

    name = "local"

    def __init__(self, options: WorkerOptions, *, open_worker: Callable[[str, WorkerOptions], Worker] = Worker) -> None:
        self._options, self._open = options, open_worker
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._hand: _Hand | None = None

    def start(self) -> str:
        if self._hand is not None:
            raise RuntimeError("one worker is all that this process has room for")
        name = new_name("here")
        self._hand = _Hand(self._open(name, self._options), self._events)
        self._events.put(Ready(name))
        return name

    def submit(self, worker: str, job: Job, attempt: int) -> None:
        self._named(worker).submit(job, attempt)

    def events(self, timeout_s: float) -> Sequence[Event]:
        return taken(self._events, timeout_s)

    def stop(self, worker: str) -> None:
        self._named(worker)
        self.close()
        self._events = queue.SimpleQueue()

    def close(self) -> None:
        if self._hand is not None:
            self._hand.stop()
            self._hand = None

    def _named(self, worker: str) -> _Hand:
        if self._hand is None or self._hand.worker.name != worker:
            raise ValueError(f"there is no worker {worker}")
        return self._hand


class _Hand:
    """A worker and the thread that it works in."""

    def __init__(self, worker: Worker, events: queue.SimpleQueue[Event]) -> None:
        self.worker = worker
        self._events = events
        self._cancel = CancelToken()
        self._jobs: queue.SimpleQueue[tuple[Job, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="fleet-worker", daemon=True)
        self._thread.start()

    def submit(self, job: Job, attempt: int) -> None:
        self._jobs.put((job, attempt))

    def stop(self) -> None:
        self._cancel.cancel()
        self._jobs.put(None)
        self._thread.join(STOP_S)

    def _work(self) -> None:
        name = self.worker.name
        try:
            with self.worker:
                while (given := self._jobs.get()) is not None:
                    job, attempt = given
                    signs = Signs(name, job.key, self._events.put)
                    outcome = self.worker.run(job, attempt, progress=signs, cancel=self._cancel)
                    self._events.put(Ended(name, outcome))
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 (whoever drives is told)
            self._events.put(Died(name, f"ended with {type(error).__name__}: {error}"))
