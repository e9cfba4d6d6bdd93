"""Compiled networks kept on disk: a folder of files that are named by everything that decides their content."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 1024**3
"""Above this the least recently used go; one compiled generator takes about 130 MB."""
SUFFIX = ".blob"


def compiled_folder(cache_folder: Path) -> Path:
    """Where the compiled networks of a cache are."""
    return cache_folder / "compiled"


def find(path: Path) -> NDArray[np.uint8] | None:
    """A compiled network, or None. Not a map of the file: who shortens a mapped file ends the process."""
    try:
        data = np.fromfile(path, np.uint8)
        os.utime(path)
    except OSError:
        return None
    return data if len(data) else None


def keep(path: Path, data: bytes | memoryview, *, max_bytes: int = MAX_BYTES) -> None:
    """Write one; it appears whole or not at all. A folder that cannot be written costs time only."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
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
