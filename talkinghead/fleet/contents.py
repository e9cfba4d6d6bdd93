"""What the rows of a table read: every file once, whether it is there, what it holds, how long its sound lasts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from talkinghead.errors import MediaError, StorageError, TalkingHeadError
from talkinghead.files import existing_file
from talkinghead.storage.address import Address

if TYPE_CHECKING:
    from talkinghead.storage.base import Store

SOUND_BYTES_PER_S = 16_000.0
"""Of a sound whose length is not known before it is fetched: 128 kbit/s."""
THREADS = 8
REMEMBERED = "contents.sqlite"
YOUNG_S = 2.0
"""A file changed less than this long ago is not remembered: another change could bear the same time."""
_BLOCK = 512
"""Files that are looked at between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One file or folder as it is now."""

    mark: str
    """Differs where the content does."""
    size: int
    """Bytes; 0 where the place does not say."""
    seconds: float
    """Of its sound; 0 where nobody asked for it."""
    fault: str = ""
    """Why it cannot be used as a sound."""


class Contents:
    """Every file that a table names, by number. A few hundred bytes for each.

    Args:
        store_of: what reads an address.
        memory: where marks of local files are kept for the next time; None keeps none.
    """

    def __init__(self, store_of: Callable[[Address], Store], memory: Memory | None = None) -> None:
        self._store_of, self._memory = store_of, memory
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []
        """Address of each, as a text."""
        self._heard = bytearray()
        self._marks: list[str] = []
        self._sizes, self._seconds = array("q"), array("d")
        self.faults: dict[int, str] = {}
        """What is wrong with some of them, after `look`."""
        self._away: set[str] = set()
        """Hosts behind https that did not answer, however often they were asked."""
        self.sound_faults: dict[int, str] = {}
        """Why some of them cannot be used as sounds."""

    def __len__(self) -> int:
        return len(self._marks)

    def number(self, address: Address, *, sound: bool = False) -> int:
        """The number of a file.

        Args:
            sound: its sound is wanted, and how long that lasts.
        """
        found = self._numbers.setdefault(address.text, len(self._numbers))
        if found == len(self._marks):
            self.names.append(address.text)
            self._marks.append("")
            self._heard.append(0)
            self._sizes.append(0)
            self._seconds.append(0.0)
        self._heard[found] |= sound
        return found

    def look(self, tell: Callable[[int, int], None] | None = None, *, deep: bool = True) -> None:
        """Look at all of them; what is wrong stands in `faults`.

        Args:
            deep: into them; else only whether those of this machine are there.
            tell: called with how many were looked at, and how many there are.
        Raises:
            StorageError: a place cannot be asked.
        """
        names = self.names
        look = self._look if deep else self._is_there
        with ThreadPoolExecutor(THREADS, thread_name_prefix="look") as pool:
            for start in range(0, len(names), _BLOCK):
                block = range(start, min(start + _BLOCK, len(names)))
                for number, found in zip(block, pool.map(look, block), strict=True):
                    if isinstance(found, str):
                        self.faults[number] = found
                    elif found is not None:
                        self._marks[number] = found.mark
                        self._sizes[number], self._seconds[number] = found.size, found.seconds
                        if found.fault:
                            self.sound_faults[number] = found.fault
                if self._memory is not None:
                    self._memory.save()
                if tell is not None:
                    tell(block.stop, len(names))

    def mark(self, number: int) -> str:
        """What a file's content is known by."""
        return self._marks[number]

    def size(self, number: int) -> int:
        """Bytes, as far as it is known."""
        return self._sizes[number]

    def seconds(self, number: int) -> float:
        """Of its sound."""
        return self._seconds[number]

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return sum(self._sizes)

    def _is_there(self, number: int) -> str | None:
        """What is wrong with a file of this machine, as far as that is seen at once."""
        address = Address.of(self.names[number])
        try:
            if address.is_local and not address.path.is_dir():
                existing_file(address.path)
        except (TalkingHeadError, OSError) as error:
            slashed = address.text.replace("\\", "/")
            if os.sep == "/" and slashed != address.text and Path(slashed).exists():
                return f"There is no file {address.text!r}. Try: {slashed!r}, with slashes between folders."
            return _in_one_line(error)
        return None

    def _look(self, number: int) -> Seen | str:
        """What a file holds, or what is wrong with it."""
        address, sound = Address.of(self.names[number]), bool(self._heard[number])
        try:
            return self._local(address.path, sound) if address.is_local else self._elsewhere(address, sound)
        except StorageError:
            raise
        except (TalkingHeadError, OSError) as error:
            return _in_one_line(error)

    def _local(self, path: Path, sound: bool) -> Seen:
        if path.is_dir():
            fault = f"{str(path)!r} is a folder. Accepted: a sound or video file." if sound else ""
            return replace(folder_seen(path, self._memory), fault=fault)
        existing_file(path)
        return file_seen(path, sound, self._memory)

    def _elsewhere(self, address: Address, sound: bool) -> Seen | str:
        store = self._store_of(address)
        host = address.text.split("/", 3)[2]
        if host in self._away:
            return f"{address.shown!r} cannot be read: {host} does not answer."
        try:
            stat = store.stat(address)
        except StorageError as error:
            if not address.is_web:  # without its storage a run has no place; of servers each is somebody else's
                raise
            if error.retryable:
                self._away.add(host)
            return error.in_one_line
        if stat is None:
            return f"There is no file {address.shown!r}."
        version = stat.version or store.identity(address) or ""
        size = max(0, stat.size)
        mark = f"there {address.suffix} {size} {version}"
        return Seen(mark, size, size / SOUND_BYTES_PER_S if sound else 0.0)


def _in_one_line(error: TalkingHeadError | OSError) -> str:
    return error.in_one_line if isinstance(error, TalkingHeadError) else str(error)


def file_seen(path: Path, sound: bool, memory: Memory | None = None) -> Seen:
    """One file of this machine.

    Raises:
        OSError
    """
    status = path.stat()
    facts = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_dev}"
    known = memory.get(str(path), facts) if memory is not None else None
    sha256, seconds = known or ("", None)
    if not sha256:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    fault = ""
    if sound and seconds is None:
        try:
            seconds = sound_seconds(path)
        except TalkingHeadError as error:
            fault = error.in_one_line
    if memory is not None and (sha256, seconds) != known and time.time() - status.st_mtime > YOUNG_S:
        memory.put(str(path), facts, sha256, seconds)
    return Seen(f"file {path.suffix.lower()} {sha256}", status.st_size, seconds or 0.0, fault)


def folder_seen(folder: Path, memory: Memory | None = None) -> Seen:
    """One folder of this machine with all that is in it: names, and what files hold.

    Raises:
        OSError
    """
    digest, size = hashlib.sha256(), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        seen = file_seen(path, False, memory)
        size += seen.size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{seen.mark}\n".encode("utf-8", "surrogateescape"))
    return Seen(f"folder {digest.hexdigest()}", size, 0.0)


def sound_seconds(path: Path) -> float:
    """How long the sound of a file lasts by its header; by its size where that does not say.

    Raises:
        MediaError: it has no sound that can be read.
    """
    from talkinghead.media import open_sound
    from talkinghead.media.container import audio_stream, open_input

    try:
        with open_input(path, sound_only=True) as container:
            stream = audio_stream(container, path)
            if stream.duration is not None and stream.time_base is not None:
                return float(stream.duration * stream.time_base)
            if container.duration:
                return container.duration / 1_000_000
    except MediaError:
        open_sound(path)  # one that consists of several files can be opened only so
    return path.stat().st_size / SOUND_BYTES_PER_S


class Memory:
    """Hashes and lengths of local files from run to run: a file belongs to its path, size, times and inode.

    A memory that cannot be read or written costs time alone.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._new: list[tuple[str, str, str, float | None]] = []
        self._base: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(folder / REMEMBERED, timeout=5.0, check_same_thread=False)
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, facts TEXT, sha256 TEXT, seconds REAL)"
            )

    def get(self, path: str, facts: str) -> tuple[str, float | None] | None:
        """Hash and length of a file; None where it is not known as it is now."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._base is not None:
                row = self._base.execute(
                    "SELECT sha256, seconds FROM files WHERE path = ? AND facts = ?", (path, facts)
                ).fetchone()
                return (str(row[0]), row[1]) if row is not None else None
        return None

    def put(self, path: str, facts: str, sha256: str, seconds: float | None) -> None:
        """Remember a file."""
        with self._lock:
            self._new.append((path, facts, sha256, seconds))

    def save(self) -> None:
        """Write down what is new."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            new, self._new = self._new, []
            if self._base is not None and new:
                with self._base:
                    self._base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", new)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.save()
        with self._lock:
            if self._base is not None:
                self._base.close()
                self._base = None


def memory_size(folder: Path) -> int:
    """Bytes of the memory in a folder; 0 where there is none."""
    try:
        return (folder / REMEMBERED).stat().st_size
    except OSError:
        return 0


def forget_all(folder: Path) -> int:
    """Remove the memory in a folder; returns the bytes freed."""
    size = memory_size(folder)
    try:
        (folder / REMEMBERED).unlink()
    except OSError:
        return 0
    return size
