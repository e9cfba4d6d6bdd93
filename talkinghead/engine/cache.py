"""A content-addressed store of computed arrays: face tracks, landmarks, features.

An entry is one `.npz` file (no pickled objects) whose name is the hash of everything that decides its content, so
an entry is never stale and never needs to be invalidated. Entries appear under their name only when complete;
any number of processes may read, write and clear at once. What cannot be read is ignored and written again; a
cache that cannot be written costs time, never the job: both give a `CacheWarning`.

Layout: `FOLDER/ab/ab12...ef.npz`, named by `files.cache_key`. The folder is the one given, else the environment
variable `TALKINGHEAD_CACHE`, else the user's cache folder of the platform.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import InputError
from talkinghead.files import unwritable
from talkinghead.places import given_folder, user_folder
from talkinghead.reading import read_npz
from talkinghead.reading.bounds import ROOM_BYTES
from talkinghead.system import replace

DEFAULT_MAX_BYTES = 2 * 1024**3
"""Size above which the least recently used entries are removed."""

CACHE_VARIABLE = "TALKINGHEAD_CACHE"
"""Environment variable that names the cache folder."""

_KEY = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".partial-"
_PARTIAL_MAX_AGE_S = 3600.0
_MARK = "__talkinghead_key__"
_READ_ERRORS = (OSError, ValueError, InputError)
"""What reading a damaged or foreign file raises."""


class CacheWarning(UserWarning):
    """An entry could not be read or written; the job goes on without it."""


def default_folder() -> Path:
    """Where the cache lives: `TALKINGHEAD_CACHE`, else the platform's cache folder for this user."""
    given = os.environ.get(CACHE_VARIABLE)
    return given_folder(given) if given else user_folder("cache")


class Cache:
    """Arrays by key, on disk.

    Args:
        folder: where entries live; default `default_folder()`. Created when first written to.
        max_bytes: size above which the least recently used entries go; None for no limit.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int | None = DEFAULT_MAX_BYTES) -> None:
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative, not {max_bytes}")
        self._folder = folder
        self.max_bytes = max_bytes

    @property
    def folder(self) -> Path:
        return self._folder if self._folder is not None else default_folder()

    def path(self, key: str) -> Path:
        """The file of an entry, whether it exists or not."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"a cache key is 64 lower-case hexadecimal digits (see files.cache_key), not {key!r}")
        return self.folder / key[:2] / f"{key}.npz"

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays stored under `key`, or None.

        A damaged entry counts as absent: it gives a `CacheWarning` and is removed.
        """
        path = self.path(key)
        try:
            arrays = _read(path, key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except _READ_ERRORS as error:
            warnings.warn(f"Damaged cache entry {path} is ignored ({error}).", CacheWarning, stacklevel=2)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return arrays

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store arrays under `key`; the entry appears whole or not at all.

        Where the folder cannot be written, a `CacheWarning` says so and nothing is stored.

        Raises:
            ValueError: a bad key, or an array of Python objects.
        """
        path = self.path(key)
        for name, array in arrays.items():
            if name == _MARK or not name:
                raise ValueError(f"{name!r} cannot name an array")
            if array.dtype.hasobject:
                raise ValueError(f"array {name!r} holds Python objects, which are not stored")
        partial: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, partial_name = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
            partial = Path(partial_name)
            with os.fdopen(handle, "wb") as file:
                _write(file, key, arrays)
            replace(partial, path)
            partial = None
        except OSError as error:
            self._tell_unwritable(error)
            return
        finally:
            if partial is not None:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
        self._trim(keep=path)

    def _tell_unwritable(self, error: OSError) -> None:
        """Say that nothing is kept. The place of the warning is this line, so that a process says it once."""
        why = unwritable(self.folder, error).what
        text = f"{why} The work goes on without the cache; {CACHE_VARIABLE} may name another folder."
        warnings.warn(text, CacheWarning, stacklevel=1)

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self._entries())

    def __len__(self) -> int:
        """Number of entries."""
        return sum(1 for _ in self._entries())

    def __bool__(self) -> bool:
        """True, also while empty: `cache or Cache()` means "if none is given"."""
        return True

    def clear(self) -> int:
        """Remove every entry; returns the bytes freed.

        Files that are not the cache's own stay, and so do the empty shelves: another process may be about to put an
        entry on one.
        """
        freed = 0
        for path, size, _ in list(self._entries()):
            try:
                path.unlink()
            except OSError:
                continue
            freed += size
        self._remove_partial(older_than_s=_PARTIAL_MAX_AGE_S)
        return freed

    @property
    def compiled_folder(self) -> Path | None:
        """Where compiled networks are kept; None keeps none."""
        from talkinghead.backends.artefacts import compiled_folder

        return compiled_folder(self.folder)

    def _shelves(self) -> Iterator[Path]:
        try:
            folders = sorted(self.folder.iterdir())
        except OSError:
            return
        yield from (path for path in folders if re.fullmatch(r"[0-9a-f]{2}", path.name) and path.is_dir())

    def _entries(self) -> Iterator[tuple[Path, int, float]]:
        """(file, bytes, time of last use) of each entry; entries that vanish meanwhile are left out."""
        for folder in self._shelves():
            try:
                with os.scandir(folder) as found:
                    files = list(found)
            except OSError:
                continue
            for file in files:
                if file.name.endswith(".npz") and _KEY.fullmatch(file.name[:-4]):
                    try:
                        status = file.stat()
                    except OSError:
                        continue
                    yield Path(file.path), status.st_size, status.st_mtime

    def _remove_partial(self, older_than_s: float) -> None:
        """Remove what a killed process left half-written."""
        before = time.time() - older_than_s
        for folder in self._shelves():
            for path in folder.glob(f"{_PARTIAL}*"):
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < before:
                        path.unlink()

    def _trim(self, keep: Path) -> None:
        """Remove the least recently used entries until the rest fits; `keep` stays in any case."""
        if self.max_bytes is None:
            return
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        total = sum(size for _, size, _ in entries)
        if total <= self.max_bytes:
            return
        self._remove_partial(older_than_s=_PARTIAL_MAX_AGE_S)
        for path, size, _ in entries:
            if total <= self.max_bytes:
                break
            if path == keep:
                continue
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


class NullCache(Cache):
    """Remembers nothing (`--no-cache`): reads and writes no file."""

    compiled_folder = None

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), max_bytes=None)

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        self.path(key)
        return None

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:  # noqa: ARG002 - the interface
        self.path(key)

    def size(self) -> int:
        return 0

    def __len__(self) -> int:
        return 0

    def clear(self) -> int:
        return 0


def _write(file: Any, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz: like np.savez_compressed, but any array name is allowed and no object is pickled.

    What could take more memory than a compressed file may (`reading.unpacked_limit`) is stored plainly.
    """
    mark = np.frombuffer(key.encode("ascii"), np.uint8)
    small = sum(array.nbytes for array in arrays.values()) < ROOM_BYTES
    packing = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", packing, allowZip64=True, compresslevel=1) as archive:
        for name, array in [(_MARK, mark), *arrays.items()]:
            # A fixed date: equal arrays give equal files.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = packing
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _read(path: Path, key: str) -> dict[str, NDArray[Any]]:
    """Read what `_write` wrote."""
    path.stat()  # an entry that is not there is no damage
    try:
        arrays = read_npz(path)
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # another process removed it just now
            raise error.__cause__ from None
        raise
    mark = arrays.pop(_MARK, np.empty(0, np.uint8))
    if mark.dtype != np.uint8 or mark.tobytes() != key.encode("ascii"):
        raise ValueError("it belongs to another key")
    return arrays
