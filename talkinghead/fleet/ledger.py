"""What was given, done and lost: append-only files, each with one writer, from which any later run can tell.

    OUT/.talkinghead/ledger/driver-RUN.jsonl     what the driver of a run decided
    OUT/.talkinghead/ledger/WORKER.jsonl         what a worker did

Where nothing can be appended (object storage), a writer has numbered segments, `WORKER-000001.jsonl` and so on, of
which it writes the last one again, whole, with each entry. A line that is only half there was never said.

The order of things makes a row safe to run again: a worker says `intent`, with hash and size, before it gives a video
its name, and `done` afterwards. Whoever finds an intent without a done looks whether that video is there.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from talkinghead.errors import NothingThere, StorageError
from talkinghead.files import file_sha256, make_folder, unwritable
from talkinghead.storage.address import Address
from talkinghead.storage.base import Store
from talkinghead.system import open_file

FOLDER = ".talkinghead"
"""Below OUT: all that is not an output."""
LEDGER = f"{FOLDER}/ledger"
SEGMENT_ENTRIES = 256
"""Entries of a segment, where segments are written again whole."""
SEGMENT_BYTES = 64 << 20
"""More than any segment or journal of one writer that is read at once; longer ones are no ledger."""
_SUFFIX = ".jsonl"
_DRIVER = "driver-"

EventName = Literal["run", "given", "intent", "done", "resumed", "failed", "lost", "aside", "ended"]
COMPLETED: frozenset[str] = frozenset({"done", "resumed"})
"""Events after which a key is never given again."""


@dataclass(frozen=True)
class Entry:
    """One line of a ledger."""

    event: EventName
    key: str = ""
    """Of the job; empty where the entry is about a whole run."""
    row: int = 0
    worker: str = ""
    """Who did it, or to whom it happened."""
    attempt: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)
    """What belongs to the event: output, size, sha256, before, report; error and kind; reason."""
    t: float = 0.0
    """Seconds since 1970, by the writer's clock."""

    def line(self) -> bytes:
        """The entry as it is written, without the end of the line."""
        data = {"t": round(self.t, 3), "event": self.event, "key": self.key, "row": self.row, "worker": self.worker}
        return json.dumps({**data, "attempt": self.attempt, **self.more}, separators=(",", ":")).encode("utf-8")

    @staticmethod
    def of(line: bytes) -> Entry | None:
        """An entry from its line; None for what is no whole entry."""
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(data, dict):
            return None
        own = {name: data.pop(name) for name in _KINDS if name in data}
        entry = Entry(**own, more=data) if "event" in own else None
        return entry if entry is not None and _is_sound(entry) else None


_KINDS: Mapping[str, Any] = {"t": int | float, "event": str, "key": str, "row": int, "worker": str, "attempt": int}
_KEY = re.compile(r"[0-9a-f]{64}|")
_OF_INTENTS: Mapping[str, Any] = {"output": str, "size": int, "sha256": str, "report": dict}


def _is_sound(entry: Entry) -> bool:
    """Whether the parts of an entry are what they should be, whoever wrote it."""
    parts = all(isinstance(getattr(entry, name), kind) for name, kind in _KINDS.items())
    if not parts or not _KEY.fullmatch(entry.key):
        return False
    return entry.event != "intent" or all(isinstance(entry.more.get(name), kind) for name, kind in _OF_INTENTS.items())


# Writing --------------------------------------------------------------------------------------------------------------


class Journal(ABC):
    """The ledger of one writer. Made by `open_journal`; used from one thread."""

    def __init__(self, writer: str) -> None:
        self.writer = writer

    @abstractmethod
    def add(self, entry: Entry, *, certain: bool = False) -> None:
        """Say something.

        Args:
            certain: when this returns, it is said for good, whatever dies then. Others may be lost with the machine,
                and on object storage wait for the next certain one or for `flush`.
        Raises:
            UnwritableOutput, StorageError: it is not said.
        """

    @abstractmethod
    def flush(self) -> None:
        """Have all that was said readable for others."""

    @abstractmethod
    def close(self) -> None:
        """Flush, and write nothing any more."""


class FileJournal(Journal):
    """Lines at the end of a file of this machine.

    Raises:
        UnwritableOutput: it cannot be made, or is there already: names of writers are used once.
    """

    def __init__(self, path: Path, writer: str) -> None:
        super().__init__(writer)
        self._path = path
        self._torn = False
        make_folder(path.parent)
        try:
            self._descriptor = open_file(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise unwritable(path, error) from error

    def add(self, entry: Entry, *, certain: bool = False) -> None:
        data = memoryview(b"\n" * self._torn + entry.line() + b"\n")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
                self._torn = bool(data)  # what is only half there is not said, and the next line begins anew
            if certain:
                os.fsync(self._descriptor)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def flush(self) -> None:
        """Lines of a file are readable at once."""

    def close(self) -> None:
        os.close(self._descriptor)


class SegmentJournal(Journal):
    """Objects that are written again, whole, until they are full."""

    def __init__(self, store: Store, folder: Address, writer: str) -> None:
        super().__init__(writer)
        self._store, self._folder = store, folder
        self._number = 1
        self._lines: list[bytes] = []
        self._waits = False

    def add(self, entry: Entry, *, certain: bool = False) -> None:
        if len(self._lines) >= SEGMENT_ENTRIES and self._is_flushed():
            self._number, self._lines = self._number + 1, []
        self._lines.append(entry.line() + b"\n")
        self._waits = True
        if certain:
            try:
                self.flush()
            except BaseException:
                self._lines.pop()
                raise

    def _is_flushed(self) -> bool:
        """Flush; False while storage is away: the segment grows meanwhile."""
        try:
            self.flush()
        except StorageError as error:
            if not error.retryable:
                raise
            return False
        return True

    def flush(self) -> None:
        if self._waits:
            self._store.write_bytes(self._folder.join(segment_name(self.writer, self._number)), b"".join(self._lines))
            self._waits = False

    def close(self) -> None:
        self.flush()


def open_journal(store: Store, out: Address, writer: str) -> Journal:
    """What a writer says, from now on.

    Args:
        writer: a name that was never used before.
    """
    folder = out.join(LEDGER)
    if folder.is_local:
        return FileJournal(folder.join(writer + _SUFFIX).path, writer)
    return SegmentJournal(store, folder, writer)


def segment_name(writer: str, number: int) -> str:
    """The file of a writer's so-many-th segment, from 1."""
    return f"{writer}-{number:06d}{_SUFFIX}"


def driver_name(run: str) -> str:
    """The driver of a run as a writer."""
    return _DRIVER + run


# Reading --------------------------------------------------------------------------------------------------------------


def entries_of(store: Store, out: Address, writer: str) -> Iterator[Entry]:
    """What one writer has said so far, in its order; nothing where there is no such writer."""
    folder = out.join(LEDGER)
    if folder.is_local:
        path = folder.join(writer + _SUFFIX).path
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
            yield from _entries(file)
        return
    for number in itertools.count(1):
        try:
            data = store.read_bytes(folder.join(segment_name(writer, number)), SEGMENT_BYTES)
        except NothingThere:
            return
        yield from _entries(data.splitlines(keepends=True))


def read_entries(store: Store, out: Address, runs: Iterable[str] = ()) -> Iterator[Entry]:
    """All that was ever said, by each writer in its order; drivers come after the workers that a listing names.

    A listing of object storage may be late, so the names of writers are also taken from what is known for certain: a
    run is known to the lease, and a worker to the driver that gave it something.

    Args:
        runs: names of runs that are known.
    """
    writers = (_writer_of(address.name, out.is_local) for address, _ in store.list(out.join(LEDGER)))
    names = {name for name in writers if name is not None}
    drivers = {name for name in names if name.startswith(_DRIVER)} | {driver_name(run) for run in runs}
    workers, missed = names - drivers, set()
    for name in sorted(workers):
        yield from entries_of(store, out, name)
    for name in sorted(drivers):
        for entry in entries_of(store, out, name):
            if entry.worker not in workers:
                missed.add(entry.worker)
            yield entry
    for name in sorted(missed - {""}):
        yield from entries_of(store, out, name)


def _writer_of(name: str, whole: bool) -> str | None:
    if not name.endswith(_SUFFIX):
        return None
    stem = name.removesuffix(_SUFFIX)
    return stem if whole else stem.rpartition("-")[0] or None


def _entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        if line.endswith(b"\n") and (entry := Entry.of(line)) is not None:
            yield entry


@dataclass(frozen=True)
class Intent:
    """A worker was about to give a video its name."""

    key: str
    row: int
    worker: str
    attempt: int
    output: str
    size: int
    sha256: str
    before: str | None
    """Version of what had the name then; None: nothing."""
    report: Mapping[str, Any]

    @staticmethod
    def of(entry: Entry) -> Intent:
        """From its entry."""
        more = entry.more
        return Intent(
            entry.key, entry.row, entry.worker, entry.attempt, str(more["output"]), int(more["size"]),
            str(more["sha256"]), more.get("before"), more.get("report", {}),
        )  # fmt: skip

    @property
    def facts(self) -> dict[str, Any]:
        """What an entry holds of it."""
        return {
            "output": self.output, "size": self.size, "sha256": self.sha256, "before": self.before,
            "report": dict(self.report),
        }  # fmt: skip


class History:
    """What a ledger comes to. Less than two hundred bytes for each completed job, more for those that are not.

    Args:
        entries: of all writers, each in its own order.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._completed: dict[bytes, int | None] = {}
        """By key the size of the video."""
        self._outputs: dict[str, list[Intent]] = {}
        self._aside: dict[str, Entry] = {}
        self._attempts: dict[str, int] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Something more was said."""
        key = entry.key
        if not key:
            return
        if entry.event in COMPLETED:
            size = entry.more.get("size")
            self._completed[bytes.fromhex(key)] = size if isinstance(size, int) else None
            self._outputs.pop(key, None)
            self._attempts.pop(key, None)
        elif bytes.fromhex(key) in self._completed:
            return
        elif entry.event == "given":
            self._attempts[key] = max(entry.attempt, self._attempts.get(key, 0))
        elif entry.event == "intent":
            self._outputs.setdefault(key, []).append(Intent.of(entry))
        elif entry.event == "aside":
            self._aside[key] = entry

    def is_completed(self, key: str) -> bool:
        """Whether a job was done, in whatever run. Another one may have replaced its video since."""
        return bytes.fromhex(key) in self._completed

    def size(self, key: str) -> int | None:
        """Bytes of the video of a completed job; None where the ledger does not say."""
        return self._completed.get(bytes.fromhex(key))

    def intents(self, key: str) -> tuple[Intent, ...]:
        """Videos of a job of which nobody knows yet whether they have their name."""
        return tuple(self._outputs.get(key, ()))

    def aside(self, key: str) -> Entry | None:
        """Why a job was put aside; None for one that was not, or was done later."""
        return None if bytes.fromhex(key) in self._completed else self._aside.get(key)

    def attempts(self, key: str) -> int:
        """How often a job that is not completed was given so far."""
        return self._attempts.get(key, 0)

    @property
    def completed(self) -> int:
        """How many jobs were done."""
        return len(self._completed)


def was_published(store: Store, intent: Intent) -> bool:
    """Whether a video has the name that it was about to get."""
    address = Address.of(intent.output)
    stat = store.stat(address)
    if stat is None or stat.size != intent.size or (intent.before is not None and stat.version == intent.before):
        return False
    if not address.is_local:
        return True
    return file_sha256(address.path) == intent.sha256


def now() -> float:
    """The time of an entry."""
    return time.time()
