"""A store, workers and drivers in memory, of which any may end at any write: before, in the middle, after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from talkinghead.engine.context import CancelToken, Progress
from talkinghead.fleet.engines.base import Died, Ended, Event, Ready
from talkinghead.fleet.job import Job
from talkinghead.fleet.worker import Worker, WorkerOptions
from talkinghead.service.request import Request
from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL, Stat, Store, nothing_there
from talkinghead.storage.local import LocalStore


class Crash(BaseException):
    """A process ended here."""


class Fate:
    """Decides at which write the process that writes ends. After that it writes nothing more, until another one acts.

    Args:
        crashes: numbers of writes, from 0; each process that comes to one of them ends there.
    """

    def __init__(self, crashes: Sequence[int]) -> None:
        self._crashes = set(crashes)
        self.count = 0
        self.dead: set[str] = set()
        self.acting = "driver"

    def write(self) -> None:
        """Called before and after each write, and in the middle of those that have one."""
        if self.acting in self.dead:
            raise Crash
        self.count += 1
        if self.count - 1 in self._crashes:
            self.dead.add(self.acting)
            raise Crash

    @contextmanager
    def act(self, name: str) -> Iterator[None]:
        """For what another process does."""
        before, self.acting = self.acting, name
        try:
            yield
        finally:
            self.acting = before


class ModelStore(Store):
    """Objects in memory."""

    def __init__(self, root: Address, fate: Fate) -> None:
        super().__init__(root, sleep=lambda _: None)
        self.fate = fate
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.commits: Counter[str] = Counter()
        """How often each address got a content by `publish`."""
        self._version = 0

    def stat(self, address: Address) -> Stat | None:
        found = self.objects.get(str(address))
        return None if found is None else Stat(len(found[0]), str(found[1]))

    def _download(self, address: Address, target: Path, check: Callable[[Stat], None]) -> Stat:
        stat = self.stat(address)
        if stat is None:
            raise nothing_there(address)
        check(stat)
        target.write_bytes(self.objects[str(address)][0])
        return stat

    def _put(self, address: Address, data: bytes) -> None:
        self._version += 1
        self.objects[str(address)] = data, self._version

    def write_bytes(self, address: Address, data: bytes, *, exclusive: bool = False) -> bool:
        self.fate.write()
        if exclusive and str(address) in self.objects:
            return False
        self._put(address, data)
        self.fate.write()
        return True

    def publish(self, source: Path, address: Address, *, mark: str, check: Any = None) -> None:
        self.fate.write()
        data, part = source.read_bytes(), self.partial(address, mark)
        self._put(part, data[: len(data) // 2])
        self.fate.write()
        self._put(part, data)
        self.fate.write()
        if check is not None:
            check()
        self._put(address, data)
        self.commits[str(address)] += 1
        self.fate.write()
        del self.objects[str(part)]

    def list(self, folder: Address, *, deep: bool = False) -> Iterator[tuple[Address, Stat]]:
        for text, (data, version) in list(self.objects.items()):
            address = Address(text)
            if address.parent == folder:
                yield address, Stat(len(data), str(version))

    def delete(self, address: Address) -> None:
        self.objects.pop(str(address), None)

    def sweep(self, *, older_than_s: float = 0.0) -> int:
        found = [address for address, _ in self.list(self.root.join(PARTIAL))]
        for address in found:
            self.delete(address)
        return len(found)


class LocalModel(LocalStore):
    """A real folder."""

    def __init__(self, root: Address, fate: Fate) -> None:
        super().__init__(root, sleep=lambda _: None)
        self.fate = fate
        self.commits: Counter[str] = Counter()

    def publish(self, source: Path, address: Address, *, mark: str, check: Any = None) -> None:
        self.fate.write()
        part = self.partial(address, mark).path
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(source.read_bytes()[:5])
        self.fate.write()
        super().publish(source, address, mark=mark, check=check)
        self.commits[str(address)] += 1
        self.fate.write()


class Maker:
    """Makes "videos" whose content follows from their name."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.meanwhile: Callable[[str], None] = lambda _: None
        """Called while a video is being made."""

    def __call__(self, request: Request, job: Job, progress: Progress | None, cancel: CancelToken) -> Mapping[str, Any]:
        self.made[request.output.name] += 1
        self.meanwhile(request.output.name)
        request.output.write_bytes(content(request.output.name))
        return {"num_frames": 1}


def content(name: str) -> bytes:
    """What a "video" is."""
    return f"the video {name}".encode() * 3


class ModelEngine:
    """Workers that do their jobs one after the other when the driver waits for events.

    Args:
        first: says which of the waiting workers acts first.
    """

    name = "model"

    def __init__(
        self, options: WorkerOptions, store: Any, fate: Fate, maker: Maker, first: Callable[[int], int]
    ) -> None:
        self._options, self._store, self._fate, self._maker, self._first = options, store, fate, maker, first
        self._workers: dict[str, Worker] = {}
        self._given: list[tuple[str, Job, int]] = []
        self._events: list[Event] = []
        self._number = 0

    def start(self) -> str:
        self._number += 1
        name = f"{self._options.runs[-1]}-{self._number}"
        with self._fate.act(name):
            try:
                self._workers[name] = Worker(name, self._options, make=self._maker, store=self._store)
                self._events.append(Ready(name))
            except Crash:
                self._events.append(Died(name, "was ended"))
        return name

    def submit(self, worker: str, job: Job, attempt: int) -> None:
        self._given.append((worker, job, attempt))

    def events(self, timeout_s: float) -> Sequence[Event]:
        found, self._events = self._events, []
        if self._given:
            worker, job, attempt = self._given.pop(self._first(len(self._given)))
            with self._fate.act(worker):
                try:
                    found.append(Ended(worker, self._workers[worker].run(job, attempt)))
                except Crash:
                    self._workers.pop(worker).abandon()
                    found.append(Died(worker, "was ended"))
        return found

    def stop(self, worker: str) -> None:
        self._workers.pop(worker).abandon()

    def close(self) -> None:
        for worker in self._workers.values():
            worker.abandon()
