"""NumPy's .npy and .npz: plain numbers and text only, never longer than the file says they can be.

The header of an array is a Python expression; it is matched, never evaluated.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from talkinghead.errors import InputError
from talkinghead.reading.archive import open_archive
from talkinghead.reading.bounds import Budget, Failure, reading, shortened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000
MAX_DIMENSIONS = 32
_QUOTE = r"['\"]"
_DESCR = re.compile(rf"{_QUOTE}descr{_QUOTE}\s*:\s*{_QUOTE}([<>|=]?[?biufcSU]\d{{0,6}}){_QUOTE}")
_ORDER = re.compile(rf"{_QUOTE}fortran_order{_QUOTE}\s*:\s*(True|False)")
_SHAPE = re.compile(rf"{_QUOTE}shape{_QUOTE}\s*:\s*\(([\d\sL,]{{0,1000}})\)")
_OBJECTS = re.compile(rf"{_QUOTE}descr{_QUOTE}\s*:\s*{_QUOTE}[<>|=]?O")


class PickledObjects(ValueError):
    """An array of Python objects, which only unpickling could read."""


class _Header(NamedTuple):
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    start: int
    """Where the elements begin, in bytes."""
    num_bytes: int
    """Of all elements."""


def read_npy(
    path: str | os.PathLike[str],
    *,
    error: Failure = InputError,
    accepted: str | None = "one array of numbers as numpy.save writes it (.npy)",
    remedy: str | None = None,
    mapped: bool = False,
) -> Array:
    """The array of a .npy file.

    Args:
        mapped: a read-only map of the file instead of a copy in memory.
    Raises:
        The given error: not there, not such a file, cut short, or an array of Python objects.
    """
    import numpy as np

    path = Path(path)
    with reading(path, error, what="is not a .npy file of plain numbers", accepted=accepted, remedy=remedy):
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = _header(file.read(12 + MAX_HEADER), size)
            if mapped and head.num_bytes:
                return np.memmap(path, head.dtype, "r", head.start, head.shape, "F" if head.fortran else "C")
            file.seek(head.start)
            flat = np.fromfile(file, head.dtype, count=head.num_bytes // head.dtype.itemsize)
        return _native(flat.reshape(head.shape, order="F" if head.fortran else "C"))


def read_npz(
    path: str | os.PathLike[str],
    *,
    error: Failure = InputError,
    accepted: str | None = "named arrays of numbers as numpy.savez writes them (.npz)",
    remedy: str | None = None,
    names: Collection[str] | None = None,
) -> dict[str, Array]:
    """The arrays of an .npz file, by name.

    Args:
        names: read these alone, as far as they are there.
    Raises:
        The given error: not there, not such a file, damaged, larger unpacked than `unpacked_limit`, or an array of
        Python objects.
    """
    path = Path(path)
    with reading(path, error, what="is not an .npz file of plain arrays", accepted=accepted, remedy=remedy):
        size = path.stat().st_size
    with open_archive(path, error=error, accepted=accepted, remedy=remedy, budget=Budget(path, size, error)) as archive:
        found: dict[str, Array] = {}
        for entry in archive.entries:
            name = entry.removesuffix(".npy")
            if name != entry and (names is None or name in names):
                found[name] = parse_npy(archive.member(entry, verify=True), name)
        return found


def parse_npy(data: NDArray[np.uint8], name: str) -> Array:
    """The array of the bytes of a .npy file: a copy.

    Args:
        name: for messages.
    Raises:
        ValueError: not such bytes. PickledObjects: Python objects.
    """
    try:
        head = _header(data[: 12 + MAX_HEADER].tobytes(), len(data))
    except PickledObjects:
        raise
    except (ValueError, TypeError) as error:
        raise ValueError(f"{shortened(name, 60)}: {error}") from error
    raw = data[head.start : head.start + head.num_bytes].copy()
    return _native(raw.view(head.dtype).reshape(head.shape, order="F" if head.fortran else "C"))


def _native(array: Array) -> Array:
    """The same values in the byte order of this machine."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _header(data: bytes, size: int) -> _Header:
    """What a .npy file says at its beginning, checked against its size in bytes."""
    import math

    import numpy as np

    if data[:4] == b"PK\x03\x04":
        raise ValueError("it is an archive of several arrays (.npz)")
    if data[:6] != MAGIC or len(data) < 10 or data[6] not in (1, 2, 3):
        raise ValueError("it does not begin as one")
    width = 2 if data[6] == 1 else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if start > len(data):
        raise ValueError("its header is cut short or absurdly long")
    text = data[8 + width : start].decode("latin1")
    if _OBJECTS.search(text):
        raise PickledObjects("it holds pickled Python objects, which are never loaded")
    descr, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if descr is None or order is None or shape is None:
        raise ValueError(f"its header is {shortened(text.strip(), 100)}")
    dtype = np.dtype(descr[1])
    sizes = tuple(int(digits) for digits in re.findall(r"\d+", shape[1]))
    num_bytes = math.prod(sizes) * dtype.itemsize
    if dtype.itemsize == 0 or len(sizes) > MAX_DIMENSIONS:
        raise ValueError(f"an array of {descr[1]} in {len(sizes)} dimensions")
    if start + num_bytes > size:
        raise ValueError(f"an array of {shortened(str(list(sizes)), 60)} {dtype} does not fit into its {size} bytes")
    return _Header(dtype, sizes, order[1] == "True", start, num_bytes)
