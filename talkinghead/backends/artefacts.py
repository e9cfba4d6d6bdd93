"""Compiled networks kept on disk: a folder of files that are named by everything that decides their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.base import Network
from talkinghead.system import replace

MAX_BYTES = 1024**3
"""Above this the least recently used go; one compiled generator takes about 130 MB."""
SUFFIX = ".blob"


def compiled_folder(cache_folder: Path) -> Path:
    """Where the compiled networks of a cache are."""
    return cache_folder / "compiled"


class Compiled:
    """The compiled form of one network in a folder, if there is one.

    Args:
        folder: None keeps nothing and finds nothing.
        runtime: that compiled it; begins the file's name.
        facts: all that decides the compiled form besides the network.
    """

    def __init__(self, folder: Path | None, runtime: str, network: Network, facts: tuple[Any, ...]) -> None:
        self._folder = folder
        self._runtime = runtime
        self._network = network
        self._facts = facts

    @property
    def is_kept(self) -> bool:
        """Whether `keep_soon` does anything."""
        return self._folder is not None

    def _path(self) -> Path:
        assert self._folder is not None
        facts = (self._network.known_key(), *self._facts)
        return self._folder / f"{self._runtime}-{hashlib.sha256(repr(facts).encode()).hexdigest()}{SUFFIX}"

    def find(self) -> NDArray[np.uint8] | None:
        """Does not wait for the network's key where nothing was ever kept."""
        if self._folder is None or (callable(self._network.key) and not any_in(self._folder)):
            return None
        return find(self._path())

    def keep_soon(self, make: Callable[[], bytes | memoryview | None]) -> None:
        """See the function of this name."""
        if self._folder is not None:
            keep_soon(self._path, make)


def samples_digest(samples: Sequence[Mapping[str, NDArray[Any]]]) -> str:
    """Hash of what a quantised network was calibrated on."""
    sha = hashlib.sha256()
    for sample in samples:
        for name, value in sorted(sample.items()):
            sha.update(name.encode())
            sha.update(np.ascontiguousarray(value).data)
    return sha.hexdigest()


def find(path: Path) -> NDArray[np.uint8] | None:
    """A compiled network, or None. Not a map of the file: who shortens a mapped file ends the process.

    Waits for what `keep_soon` is writing in this process.
    """
    wait()
    try:
        data = np.fromfile(path, np.uint8)
        os.utime(path)
    except OSError:
        return None
    return data if len(data) else None


_WRITERS: set[threading.Thread] = set()
_LOCK = threading.Lock()


def any_in(folder: Path) -> bool:
    """Whether anything is kept there, or is just being written."""
    with _LOCK:
        return bool(_WRITERS) or bool(entries(folder))


def wait() -> None:
    """Until everything that `keep_soon` writes in this process is written."""
    with _LOCK:
        writers = tuple(_WRITERS)
    for writer in writers:
        writer.join()


def keep_soon(path: Callable[[], Path], make: Callable[[], bytes | memoryview | None]) -> None:
    """Make and write one in a thread of its own, so that the network can be used at once.

    The process does not end before it is written.

    Args:
        path: gives the file's path, which may have to be waited for.
        make: the compiled form; None when there is none.
    """

    def work() -> None:
        try:
            data = make()
            if data is not None:
                keep(path(), data)
        finally:
            with _LOCK:
                _WRITERS.discard(threading.current_thread())

    writer = threading.Thread(target=work, name="keep compiled")
    with _LOCK:
        _WRITERS.add(writer)
        writer.start()


def keep(path: Path, data: bytes | memoryview, *, max_bytes: int = MAX_BYTES) -> None:
    """Write one; it appears whole or not at all. A folder that cannot be written costs time only."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        replace(Path(temporary), path)
        temporary = None
    except OSError:
        return
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
    _trim(path, max_bytes)


def entries(folder: Path) -> list[tuple[Path, int, float]]:
    """(file, bytes, time of last use) of each, the oldest use first."""
    found = []
    try:
        files = [item for item in folder.iterdir() if item.suffix == SUFFIX]
    except OSError:
        return []
    for item in files:
        with contextlib.suppress(OSError):
            status = item.stat()
            found.append((item, status.st_size, status.st_mtime))
    return sorted(found, key=lambda entry: entry[2])


def clear(folder: Path) -> int:
    """Remove all; returns the bytes freed."""
    freed = 0
    for path, size, _ in entries(folder):
        try:
            path.unlink()
        except OSError:
            continue
        freed += size
    with contextlib.suppress(OSError):
        folder.rmdir()  # only if empty
    return freed


def _trim(newest: Path, max_bytes: int) -> None:
    found = entries(newest.parent)
    total = sum(size for _, size, _ in found)
    for path, size, _ in found:
        if total <= max_bytes:
            return
        if path != newest:
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
