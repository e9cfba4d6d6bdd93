"""ONNX files of users, looked through before any library takes them in.

Importers of ONNX trust what they read: sizes that do not fit the data, weights in files elsewhere, messages without
end, operators that take what nothing gives. Here every message is walked once, field by field; every stored tensor has
to be as long as it says, and every value that is taken has to be made somewhere.
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

from talkinghead.errors import InputError
from talkinghead.reading.bounds import Budget, Failure, reading, shortened
from talkinghead.reading.protobuf import Walker, varint

MAX_FIELDS = 2_000_000
"""Of all messages together; the largest networks in use have some 100,000."""
MAX_GRAPH_DEPTH = 8
"""Graphs inside graphs: branches and loops."""
MAX_DIMENSIONS = 32
MAX_NAME = 4096
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_VALUE_NAME = 1
_FUNCTION_NODE = 7
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_DIMS, _TYPE, _FLOATS, _INT32S, _STRINGS, _INT64S, _NAME, _RAW, _DOUBLES, _UINT64S, _EXTERNAL, _LOCATION = (
    *(1, 2, 4, 5, 6, 7),
    *(8, 9, 10, 11, 13, 14),
)
_STRING = 8
_BITS = {
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
}
"""Bits of an element, by the number of its type."""
_COMPLEX = (14, 15)


class _Walk:
    """One look through a file."""

    def __init__(self, source: str | os.PathLike[str], size: int, error: Failure) -> None:
        self._budget = Budget(source, size, error, remedy="export it again, with the weights as raw data")
        self._fields = Walker(MAX_FIELDS).fields
        self._source, self._error = source, error

    def model(self, data: memoryview) -> None:
        """The whole file."""
        graphs = 0
        for number, value in self._fields(data):
            if number == _MODEL_GRAPH:
                graphs += 1
                missing = self._graph(_message(value), 0)
                if missing:
                    raise ValueError(f"nothing gives the value {shortened(min(missing), 60)!r} that an operator takes")
            elif number == _MODEL_TRAINING:
                raise ValueError("it holds a training graph")
            elif number == _MODEL_FUNCTIONS:
                for inner, node in self._fields(_message(value)):
                    if inner == _FUNCTION_NODE:
                        self._node(_message(node), 1, set(), set())
        if graphs != 1:
            raise ValueError(f"it holds {graphs} graphs")

    def _graph(self, data: memoryview, depth: int) -> set[str]:
        """One graph; gives the names of values that it takes from the graph around it."""
        if depth > MAX_GRAPH_DEPTH:
            raise ValueError(f"its graphs are nested more than {MAX_GRAPH_DEPTH} levels deep")
        nodes = outputs = 0
        made: set[str] = set()
        taken: set[str] = set()
        for number, value in self._fields(data):
            if number == _GRAPH_NODE:
                nodes += 1
                self._node(_message(value), depth, made, taken)
            elif number == _GRAPH_TENSOR:
                made.add(self._tensor(_message(value)))
            elif number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                outputs += number == _GRAPH_OUTPUT
                names = made if number == _GRAPH_INPUT else taken
                names.update(_text(inner) for field, inner in self._fields(_message(value)) if field == _VALUE_NAME)
            elif number == _GRAPH_SPARSE:
                raise ValueError("it holds sparse tensors")
        if depth == 0 and not (nodes and outputs):
            raise ValueError("it holds no operators" if not nodes else "it has no outputs")
        return taken - made - {""}

    def _node(self, data: memoryview, depth: int, made: set[str], taken: set[str]) -> None:
        operator = False
        for number, value in self._fields(data):
            if number == _NODE_INPUT:
                taken.add(_text(value))
            elif number == _NODE_OUTPUT:
                made.add(_text(value))
            elif number == _NODE_OPERATOR:
                operator = bool(len(_message(value)))
            elif number == _NODE_ATTRIBUTE:
                taken.update(self._attribute(_message(value), depth))
        if not operator:
            raise ValueError("one of its operators has no name")

    def _attribute(self, data: memoryview, depth: int) -> set[str]:
        taken: set[str] = set()
        for number, value in self._fields(data):
            if number in _ATTRIBUTE_TENSORS:
                self._tensor(_message(value))
            elif number in _ATTRIBUTE_GRAPHS:
                taken.update(self._graph(_message(value), depth + 1))
            elif number in _ATTRIBUTE_SPARSE:
                raise ValueError("it holds sparse tensors")
        return taken

    def _tensor(self, data: memoryview) -> str:
        """One stored tensor; gives its name."""
        sizes: list[int] = []
        kind, name, stored, raw = 0, "", 0, -1
        for number, value in self._fields(data):
            if number == _DIMS:
                sizes.extend(_numbers(value))
            elif number == _TYPE:
                kind = value if isinstance(value, int) else 0
            elif number == _NAME:
                name = _text(value)
            elif number == _RAW:
                raw = len(_message(value))
            elif number == _EXTERNAL or (number == _LOCATION and value != 0):
                raise self._error(
                    f"{self._source} keeps its weights in other files, which are never opened.",
                    accepted="an ONNX file that holds its weights",
                    remedy="save it as one file: onnx.save(onnx.load('it.onnx'), 'whole.onnx')",
                )
            elif number in (_FLOATS, _DOUBLES, _INT32S, _INT64S, _UINT64S, _STRINGS):
                stored += _num_stored(number, value)
        called = shortened(name, 60)
        if kind not in _BITS and kind != _STRING:
            raise ValueError(f"the tensor {called!r} has elements of type {kind}")
        if len(sizes) > MAX_DIMENSIONS or any(size >= 1 << 63 for size in sizes):
            raise ValueError(f"the tensor {called!r} has an impossible size")
        count = prod(sizes)
        bits = _BITS.get(kind, 0)
        if raw >= 0:
            fits = bits > 0 and stored == 0 and raw == (count * bits + 7) // 8
        else:
            fits = stored == ((count + 1) // 2 if bits == 4 else count * (2 if kind in _COMPLEX else 1))
        if not fits:
            raise ValueError(
                f"the tensor {called!r} does not hold the {shortened(str(count), 30)} elements that it names"
            )
        self._budget.take((count * max(bits, 8) + 7) // 8)
        return name


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _text(value: int | memoryview) -> str:
    """A name."""
    data = _message(value)
    if len(data) > MAX_NAME:
        raise ValueError(f"a name of {len(data)} bytes")
    return bytes(data).decode("utf-8")


def _numbers(value: int | memoryview) -> list[int]:
    """Sizes, one by one or packed."""
    if isinstance(value, int):
        return [value]
    found: list[int] = []
    place = 0
    while place < len(value) and len(found) <= MAX_DIMENSIONS:
        number, place = varint(value, place)
        found.append(number)
    return found


def _num_stored(number: int, value: int | memoryview) -> int:
    """How many elements a field of a tensor holds, one by one or packed."""
    if isinstance(value, int) or number == _STRINGS:
        return 1
    if number in (_FLOATS, _DOUBLES):
        size = 4 if number == _FLOATS else 8
        if len(value) % size:
            raise ValueError("numbers that are cut short")
        return len(value) // size
    import numpy as np

    packed = np.frombuffer(value, np.uint8)
    if len(packed) and packed[-1] >= 0x80:
        raise ValueError("numbers that are cut short")
    return int(np.count_nonzero(packed < 0x80))


def check_onnx(
    data: bytes | memoryview,
    source: str | os.PathLike[str],
    *,
    error: Failure = InputError,
    accepted: str | None = "an ONNX file",
) -> None:
    """Look through the bytes of an ONNX file.

    Raises:
        The given error: not ONNX, tensors that are not as long as they say, weights in other files, or absurdly large.
    """
    with reading(
        source, error, what="is not a readable ONNX file", accepted=accepted, remedy="download or export it again"
    ):
        _Walk(source, len(data), error).model(memoryview(data))


def check_onnx_file(path: Path, *, error: Failure = InputError, accepted: str | None = "an ONNX file") -> None:
    """`check_onnx` of a file, which is mapped, not read."""
    import numpy as np

    with reading(path, error, what="is not a readable ONNX file", accepted=accepted):
        mapped = np.memmap(path, np.uint8, "r")
    check_onnx(mapped.data, path, error=error, accepted=accepted)


def read_onnx(path: Path, *, error: Failure = InputError, accepted: str | None = "an ONNX file") -> Any:
    """The `onnx.ModelProto` of a file that was looked through.

    Raises:
        The given error: as `check_onnx`.
    """
    import onnx

    with reading(path, error, accepted=accepted):
        data = path.read_bytes()
    check_onnx(data, path, error=error, accepted=accepted)
    try:
        return onnx.load_model_from_string(data)
    except Exception as fault:  # protobuf raises a type of its own
        raise error(f"{path} is not a readable ONNX file: {fault}.", accepted=accepted) from fault
