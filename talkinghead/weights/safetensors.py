"""The safetensors container: a JSON header and flat memory. Read as memory maps, written in one pass.

Layout: 8 bytes little-endian header length, the header (name -> dtype, shape, data_offsets; `__metadata__` -> text),
then the data. See https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import OutputExists, WrongCheckpoint
from talkinghead.files import PendingOutput
from talkinghead.reading.bounds import reading, shortened, shown
from talkinghead.reading.text import parse_json
from talkinghead.weights.pickled import MAX_DIMENSIONS, decode_elements, element_type, whole

Array = NDArray[Any]

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_NAMES = {np.dtype(name): code for code, name in _DTYPES.items() if name != "bfloat16"}

MAX_HEADER_BYTES = 16 * 1024 * 1024
"""A tenth of what the format allows; a header of 100,000 tensors takes less."""


def read_safetensors(path: Path, memory: Array) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and text metadata of a safetensors file.

    Args:
        path: for messages.
        memory: [n] uint8, the whole file (a memory map).
    Returns:
        Tensors as views of the memory (bfloat16 as float32), and `__metadata__`.
    Raises:
        WrongCheckpoint: damaged, cut short or inconsistent, or tensors that share bytes.
    """
    with reading(path, WrongCheckpoint, what="is damaged or not a safetensors file", remedy="download the file again"):
        length = int.from_bytes(memory[:8].tobytes(), "little")
        if len(memory) < 8 or length > MAX_HEADER_BYTES or 8 + length > len(memory):
            raise ValueError("its header is longer than the file")
        header = parse_json(memory[8 : 8 + length].tobytes(), f"The header of {path}", error=WrongCheckpoint)
        data = memory[8 + length :]
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise TypeError(f"its metadata is {shown(metadata)}")
        places: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
        for name, entry in header.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str) or entry["dtype"] not in _DTYPES:
                raise ValueError(f"tensor {shortened(name, 60)!r} is of no known type")
            dtype = _DTYPES[entry["dtype"]]
            shape, (start, stop) = _sizes(entry["shape"], name), _sizes(entry["data_offsets"], name)
            if stop - start != math.prod(shape) * element_type(dtype).itemsize or stop > len(data):
                raise ValueError(f"tensor {shortened(name, 60)!r} does not lie inside the file")
            places[name] = (dtype, shape, start, stop)
        _check_apart([(start, stop, name) for name, (_, _, start, stop) in places.items()])
        tensors = {
            name: decode_elements(aligned(data[start:stop], element_type(dtype)).reshape(shape), dtype)
            for name, (dtype, shape, start, stop) in places.items()
        }
    return tensors, {str(key): str(value) for key, value in metadata.items()}


def _sizes(values: Any, name: str) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > MAX_DIMENSIONS:
        raise ValueError(f"tensor {shortened(name, 60)!r} has a shape or place that is {shown(values)}")
    return tuple(whole(value, f"a size or place of tensor {shortened(name, 60)!r}") for value in values)


def _check_apart(spans: list[tuple[int, int, str]]) -> None:
    """Each byte belongs to one tensor."""
    end = 0
    for start, stop, name in sorted(spans):
        if start < end and stop > start:
            raise ValueError(f"tensor {shortened(name, 60)!r} shares bytes with another")
        end = max(end, stop)


def write_safetensors(
    tensors: Mapping[str, Array], path: Path, *, metadata: Mapping[str, str] | None = None, overwrite: bool = False
) -> None:
    """Write tensors; the file appears under its name only when complete.

    Args:
        tensors: name to array; written in order of falling element size, then name, as the format advises.
        metadata: text stored in the header.
    Raises:
        OutputExists: the file is there and `overwrite` is off. UnwritableOutput: missing folder, full disk.
        TypeError: an array of a type that the format lacks.
    """
    if path.exists() and not overwrite:
        raise OutputExists(f"{str(path)!r} exists.", remedy="another name, or --force")
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    for name, value in arrays.items():
        if value.dtype.newbyteorder("=") not in _NAMES:
            raise TypeError(f"{name} is {value.dtype}, which safetensors does not have")
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in order:
        value = arrays[name]
        header[name] = {
            "dtype": _NAMES[value.dtype.newbyteorder("=")],
            "shape": list(value.shape),
            "data_offsets": [offset, offset + value.nbytes],
        }
        offset += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with PendingOutput(path) as pending:
        with pending.writing(), pending.temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            for name in order:
                value = arrays[name]
                file.write(np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<")).data)
        pending.commit()


def aligned(raw: Array, dtype: np.dtype[Any], *, whole_elements: bool = True) -> Array:
    """Bytes as elements: a view where the address allows it, else a copy.

    Args:
        whole_elements: False leaves them bytes, at an address where elements of the type may lie.
    """
    if raw.ctypes.data % max(1, dtype.itemsize):
        raw = raw.copy()
    return raw.view(dtype) if whole_elements else raw
