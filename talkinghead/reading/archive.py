"""Zip archives: every entry lies by itself inside the file, and is unpacked within what the file may cost.

Names are keys, never paths.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from talkinghead.errors import InputError
from talkinghead.reading.bounds import Budget, Failure, reading, shortened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_DIRECTORY_BYTES = 16 * 1024 * 1024
"""Of the list of entries at the end of the archive; 100,000 entries take about half of it."""
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_END_BYTES, _END_64_BYTES, _LOCATOR_BYTES = 22, 56, 20
_LOCAL_BYTES = 30
_LOCAL = b"PK\x03\x04"
_ENCRYPTED = 0x1
_BLOCK = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    try:
        with path.open("rb") as file:
            return file.read(4) == _LOCAL
    except OSError:
        return False


class Archive:
    """An archive that is open, with its directory checked."""

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        opened: zipfile.ZipFile,
        size: int,
        entries: Mapping[str, zipfile.ZipInfo],
        budget: Budget,
    ) -> None:
        self._path, self._file, self._opened, self._size, self._budget = path, file, opened, size, budget
        self.entries = entries
        """By name, in the archive's order."""
        self._memory: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        """Bytes of the file."""
        return self._size

    def member(self, name: str, *, verify: bool = False) -> NDArray[np.uint8]:
        """The bytes of one entry: a private view of the file where it is stored plainly, else unpacked.

        Args:
            verify: also compare the check sum of a plain one, which reads all of it.
        Raises:
            KeyError: there is none. ValueError, zlib.error and their like: damaged. The budget's error: too large.
        """
        import numpy as np

        info = self.entries[name]
        if info.compress_type == zipfile.ZIP_STORED:
            data = self._view(info)
            if verify and zlib.crc32(data.data) != info.CRC:
                raise ValueError(f"the check sum of {shortened(name, 60)} is wrong")
            return data
        self._budget.take(info.file_size)
        out = np.empty(info.file_size, np.uint8)
        filled = 0
        for block in self.blocks(name):
            out[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
            filled += len(block)
        if filled != info.file_size:
            raise ValueError(f"{shortened(name, 60)} holds {filled} bytes and should hold {info.file_size}")
        return out

    def blocks(self, name: str) -> Iterator[bytes]:
        """The bytes of one entry in pieces, with its check sum compared; what it takes is left to the caller."""
        with self._opened.open(self.entries[name]) as file:
            while block := file.read(_BLOCK):
                yield block

    def _view(self, info: zipfile.ZipInfo) -> NDArray[np.uint8]:
        import numpy as np

        if self._memory is None:
            self._memory = np.memmap(self._path, dtype=np.uint8, mode="c")
        start = info.header_offset
        self._file.seek(start)  # not through the map: who waits there for a disk holds Python's lock
        local = self._file.read(_LOCAL_BYTES)
        if local[:4] != _LOCAL:
            raise ValueError(f"{shortened(info.filename, 60)} has no header")
        begin = start + _LOCAL_BYTES + sum(struct.unpack_from("<HH", local, 26))
        if begin + info.file_size > len(self._memory):
            raise ValueError(f"{shortened(info.filename, 60)} is cut short")
        return self._memory[begin : begin + info.file_size]


@contextmanager
def open_archive(
    path: str | os.PathLike[str],
    *,
    error: Failure = InputError,
    accepted: str | None = None,
    remedy: str | None = None,
    budget: Budget | None = None,
) -> Iterator[Archive]:
    """Open a zip archive; whatever goes wrong inside the block is a fault of it.

    Raises:
        The given error: no archive, damaged, encrypted, packed in an unusual way, a name twice, or entries that share
        bytes.
    """
    path = Path(path)
    with (
        reading(path, error, what="is damaged or cut short", accepted=accepted, remedy=remedy),
        path.open("rb") as file,
    ):
        size = os.fstat(file.fileno()).st_size
        if _directory_bytes(file, size) > MAX_DIRECTORY_BYTES:
            raise ValueError(f"its directory is larger than {MAX_DIRECTORY_BYTES} bytes")
        with zipfile.ZipFile(file) as opened:
            entries = _checked(opened.infolist(), size)
            yield Archive(path, file, opened, size, entries, budget or Budget(path, size, error))


def _directory_bytes(file: Any, size: int) -> int:
    """What the end of the archive says of its directory; 0 where it has no end, which is told when it is opened."""
    tail = min(size, _END_BYTES + 0xFFFF)
    file.seek(size - tail)
    data = file.read(tail)
    place = data.rfind(_END)
    if place < 0 or place + _END_BYTES > len(data):
        return 0
    (found,) = struct.unpack_from("<I", data, place + 12)
    wide = size - tail + place - _LOCATOR_BYTES - _END_64_BYTES
    if wide >= 0:
        file.seek(wide)
        record = file.read(_END_64_BYTES)
        if record[:4] == _END_64:
            found = max(found if found != 0xFFFFFFFF else 0, *struct.unpack_from("<Q", record, 40))
    return int(found)


def _checked(infos: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = shortened(info.filename, 60)
        if info.filename in entries:
            raise ValueError(f"it holds {name} twice")
        if info.flag_bits & _ENCRYPTED:
            raise ValueError(f"{name} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is packed by method {info.compress_type}, not plainly or by deflate")
        if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
            raise ValueError(f"{name} has two sizes")
        entries[info.filename] = info
    end = 0
    for info in sorted(infos, key=lambda entry: entry.header_offset):
        if info.header_offset < end:
            raise ValueError(f"{shortened(info.filename, 60)} shares bytes with another entry")
        end = info.header_offset + _LOCAL_BYTES + info.compress_size
        if end > size:
            raise ValueError(f"{shortened(info.filename, 60)} reaches beyond the file")
    return entries
