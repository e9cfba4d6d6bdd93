"""Workers in processes of this machine: lines of JSON in, lines of JSON out.

Each process is one worker; what it says and how it ends is read by threads of this process. It ends by itself as soon
as nobody is there to give it work: its pipe is closed when this process is gone, however that happened.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

from talkinghead.errors import BackendError
from talkinghead.fleet.engines.base import Died, Ended, Event, Progressed, Ready, new_name, taken
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.threads import thread_environment
from talkinghead.fleet.worker import WorkerOptions, scratch_folder
from talkinghead.processes import can_be_apart, python_program
from talkinghead.storage.scratch import remove_dead

CLOSE_S = 10.0
"""How long an idle process may take to end by itself."""
SAID_LAST = 5
"""Lines of what a process said on stderr that are told when it dies."""
_LAST_BYTES = 4000


class Pool:
    """See `engines.base.Engine`.

    Args:
        options: of all workers; `threads` is what each of them may use.
        inherited: descriptors that stay open as long as a child lives: the lock of the run (`Lease.inherited`).
        program: what a process runs.
    Raises:
        BackendError: this Python cannot start another one.
    """

    name = "local"

    def __init__(
        self, options: WorkerOptions, *, inherited: Sequence[int] = (), program: Sequence[str] | None = None
    ) -> None:
        if program is None and not can_be_apart():
            raise BackendError("This program cannot start other Python processes.", remedy="--workers 1")
        self._options = options
        self._inherited = tuple(inherited)
        self._program = tuple(program or python_program("talkinghead.fleet.engines.child:main"))
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._children: dict[str, _Child] = {}

    def start(self) -> str:
        name = new_name("pool")
        self._children[name] = _Child(name, self._options, self._program, self._inherited, self._events)
        return name

    def submit(self, worker: str, job: Job, attempt: int) -> None:
        self._children[worker].busy = True
        self._children[worker].send({"job": job.to_dict(), "attempt": attempt})

    def events(self, timeout_s: float) -> Sequence[Event]:
        known = [event for event in taken(self._events, timeout_s) if event.worker in self._children]
        for event in known:
            if isinstance(event, Ended):
                self._children[event.worker].busy = False
            elif isinstance(event, Died):
                self._end(event.worker)
        return known

    def stop(self, worker: str) -> None:
        self._end(worker)

    def close(self) -> None:
        for child in self._children.values():
            if child.busy:
                child.kill()
            else:
                child.leave()
        for name in list(self._children):
            self._end(name, CLOSE_S)

    def _end(self, worker: str, patience_s: float = 0.0) -> None:
        self._children.pop(worker).end(patience_s)
        remove_dead(scratch_folder(self._options))  # what it had no time to remove

    @property
    def processes(self) -> dict[str, int]:
        """Number of each worker's process."""
        return {name: child.process.pid for name, child in self._children.items()}


class _Child:
    """A process, and the threads that read what it says."""

    def __init__(
        self,
        name: str,
        options: WorkerOptions,
        program: Sequence[str],
        inherited: tuple[int, ...],
        events: queue.SimpleQueue[Event],
    ) -> None:
        self._name, self._events = name, events
        self.busy = False
        self._said = b""
        environment = {**os.environ, **(thread_environment(options.threads) if options.threads else {})}
        settings: dict[str, Any] = {"pass_fds": inherited} if os.name == "posix" else {}
        try:
            self.process = subprocess.Popen(  # noqa: S603
                [*program, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                **settings,
            )
        except OSError as error:
            raise BackendError(f"A process for a worker cannot be started: {error}.") from error
        self._listening = threading.Thread(target=self._listen, name=f"listen-{name}", daemon=True)
        self._hearing = threading.Thread(target=self._hear, name=f"hear-{name}", daemon=True)
        self._hearing.start()
        self._listening.start()
        self.send({"name": name, "options": options.to_dict()})

    def send(self, message: dict[str, Any]) -> None:
        """Hand it a line; one that is gone says so by itself."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(message).encode("utf-8") + b"\n")
            self.process.stdin.flush()

    def kill(self) -> None:
        """Have it end at once."""
        with contextlib.suppress(OSError):
            self.process.kill()

    def leave(self) -> None:
        """Tell it that no more work comes."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def end(self, patience_s: float) -> None:
        """Have it end, at once unless it was told to leave, and wait until it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        self.kill()
        self.process.wait()
        for thread in (self._listening, self._hearing):
            thread.join(1.0)  # what the process itself started may hold a pipe for longer
        self.leave()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                event = self._event(line)
                if event is not None:
                    self._events.put(event)
        self._events.put(Died(self._name, self._reason()))

    def _event(self, line: bytes) -> Event | None:
        """What a line says; nothing for one that was cut because the process died."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            data = json.loads(line)
            if "ready" in data:
                return Ready(self._name)
            if "outcome" in data:
                return Ended(self._name, Outcome.from_dict(data["outcome"]))
            return Progressed(self._name, data["key"], data["share"])
        return None

    def _hear(self) -> None:
        assert isinstance(self.process.stderr, io.BufferedReader)
        with self.process.stderr as stream:
            while data := stream.read1(_LAST_BYTES):
                self._said = (self._said + data)[-_LAST_BYTES:]

    def _reason(self) -> str:
        status = self.process.wait()
        self._hearing.join(1.0)
        how = f"ended with status {status}"
        if status < 0:
            with contextlib.suppress(ValueError):
                how = f"was ended by {signal.Signals(-status).name}"
            if status == -9:
                how += " (the system does so where memory is short)"
        last = [line for line in self._said.decode("utf-8", "replace").splitlines() if line.strip()][-SAID_LAST:]
        return f"{how}{'; it said: ' if last else ''}{' | '.join(last)}"
