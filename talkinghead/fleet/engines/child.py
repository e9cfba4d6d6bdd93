"""What runs in a process of the pool: the worker. Jobs come from stdin, outcomes go to stdout, a line of JSON each."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from talkinghead.errors import TalkingHeadError
from talkinghead.fleet.engines.base import Progressed
from talkinghead.fleet.engines.signs import Signs
from talkinghead.fleet.job import Job
from talkinghead.fleet.worker import Worker, WorkerOptions


def main(open_worker: Callable[[str, WorkerOptions], Worker] = Worker) -> None:
    """Work until nobody gives work any more; then end at once, whatever is being done.

    Args:
        open_worker: makes the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends its children
    # Libraries may print; what they say goes to stderr, and only lines of this file to the driver.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _Desk(sys.stdin.buffer, out).work(open_worker)
    except BaseException as error:  # noqa: BLE001 (the driver reads it from stderr)
        if isinstance(error, TalkingHeadError):
            sys.stderr.write(f"{error}\n")
        else:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # Python itself would wait for the thread that waits for stdin


class _Desk:
    """Where jobs come in and outcomes go out."""

    def __init__(self, given: BinaryIO, out: BinaryIO) -> None:
        self._given, self._out = given, out
        self._jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._busy = False

    def work(self, open_worker: Callable[[str, WorkerOptions], Worker]) -> None:
        """Do what comes, until nothing comes any more."""
        threading.Thread(target=self._receive, name="receive", daemon=True).start()
        first = self._jobs.get()
        if first is None:
            return
        with open_worker(first["name"], WorkerOptions.from_dict(first["options"])) as worker:
            self._worker = worker
            self._say({"ready": worker.name})
            while (given := self._jobs.get()) is not None:
                job = Job.from_dict(given["job"])
                outcome = worker.run(job, given["attempt"], progress=Signs(worker.name, job.key, self._tell))
                self._busy = False
                self._say({"outcome": outcome.to_dict()})

    def _receive(self) -> None:
        for line in self._given:
            self._busy = self._worker is not None
            self._jobs.put(json.loads(line))
        if self._busy:
            self._leave()
        self._jobs.put(None)

    def _leave(self) -> None:
        """The driver is gone, or wants no more: end in the middle of a job, which is as if it had not been begun."""
        if self._worker is not None:
            self._worker.abandon()
        os._exit(0)

    def _tell(self, event: Progressed) -> None:
        self._say({"key": event.key, "share": event.share})

    def _say(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode("utf-8") + b"\n"
        with self._lock:
            try:
                self._out.write(data)
                self._out.flush()
            except OSError:  # nobody listens any more
                self._leave()


if __name__ == "__main__":
    main()
