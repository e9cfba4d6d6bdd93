"""Read the data of a pickle without unpickling it.

A pickle is a small program. The standard machine runs it with the full power of Python; this one knows only the
opcodes that build plain data, imports nothing and calls nothing. A global becomes an inert `Symbol`; the few
constructors that tensors need are interpreted here, by name; anything else that the program tries to call is refused.
So a hostile file can at worst describe wrong data. (`torch.load(weights_only=True)` follows the same idea, with a
longer list of callables that it does call; this reader also reads TorchScript archives and needs no torch.)

A few bytes can also describe data without end: tuples that hold one another twice, tensors that repeat one element.
So keys are plain values, nothing here looks deeper than one level into what the program made, and every object,
element and byte is counted against bounds that follow from the sizes of pickle and file.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import UnsafeCheckpoint, WrongCheckpoint
from talkinghead.reading.bounds import DAMAGE, Budget, reason, shortened, shown

Array = NDArray[Any]

MAX_OBJECTS = 2_000_000
"""Operations, objects and elements of containers of one pickle: far more than any checkpoint has."""
MAX_NUMBER_BYTES = 64
"""Of a whole number; random generators keep numbers of 128 bits."""
MAX_DIMENSIONS = 32
MAX_NAME = 1000
"""Characters of a key, and of the name of a class."""

_OBJECT, _SET, _ARRAY = 2, 4, 6
"""What these count for, in operations: their share of memory."""


@dataclass(frozen=True)
class Symbol:
    """A name that the pickle refers to. It is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Record:
    """An object of a class that is not needed: its name and its state."""

    symbol: Symbol
    args: tuple[Any, ...] = ()
    state: Any = None

    def attributes(self) -> dict[str, Any]:
        """The state where it is a mapping, else nothing."""
        return self.state if isinstance(self.state, dict) else {}


@dataclass(frozen=True, eq=False)
class Storage:
    """Flat memory that tensors are views of."""

    read: Callable[[], Array]
    """Gives the elements, 1-D; cheap to call (a memory map or a shared array)."""
    dtype: str


_MARK = object()

STORAGE_DTYPES: Mapping[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
"""Element type of torch's storage classes."""

_NUMPY_DTYPES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"))

PLAIN_CLASSES = frozenset(
    {
        "argparse.Namespace",
        "types.SimpleNamespace",
        "torch.nn.modules.container.ParameterDict",
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        "omegaconf.base.ContainerMetadata",
        "omegaconf.base.Metadata",
        "omegaconf.nodes.AnyNode",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "pathlib.PurePosixPath",
        "pathlib._local.PosixPath",
        "typing.Any",
    }
)
"""Classes of settings that training scripts leave beside the weights: kept as inert records, never built."""


def element_type(dtype: str) -> np.dtype[Any]:
    """How a stored element is read; bfloat16 is read as its 16 bits."""
    return np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype).newbyteorder("<")


def decode_elements(raw: Array, dtype: str) -> Array:
    """Stored elements as values: bfloat16 becomes float32, exactly; everything else is left alone."""
    if dtype == "bfloat16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw


_LINES_WITH_ESCAPES = {"stringnl": 1, "stringnl_noescape": 1, "stringnl_noescape_pair": 2}
"""Lines that arguments of these kinds take."""
_UNKNOWN_ESCAPE = re.compile(rb"""(?<!\\)(?:\\\\)*\\(?:[^\\'"abfnrtv0-7x]|[4-7][0-7]{2})""", re.DOTALL)


def _with_known_escapes(read: Callable[[Any], Any], lines: int) -> Callable[[Any], Any]:
    """Refuse escapes that Python does not know instead of letting it warn of them."""

    def checked(stream: IO[bytes] | mmap.mmap) -> Any:
        start = stream.tell()
        for _ in range(lines):
            if _UNKNOWN_ESCAPE.search(stream.readline().removesuffix(b"\n")):
                raise ValueError("a text holds an escape that means nothing")
        stream.seek(start)
        return read(stream)

    return checked


@dataclass
class PickleReader:
    """Runs one pickle program on plain data.

    Args:
        file_name: for messages.
        budget: what arrays and text of the file may take in memory.
        persistent: turns a persistent id into a value (torch keeps its storages there).
        keep_classes: prefixes of qualified names whose classes become inert records besides `PLAIN_CLASSES`
            (TorchScript names its own under `__torch__.`).
        skim: follow the program and build no tensors; their places hold None.
    """

    file_name: str
    budget: Budget
    persistent: Callable[[Any], Any] | None = None
    keep_classes: tuple[str, ...] = ()
    skim: bool = False
    _stack: list[Any] = field(default_factory=list)
    _memo: dict[int, Any] = field(default_factory=dict)
    _slots: dict[int, tuple[Record, list[int]]] = field(default_factory=dict)
    """Arrays that are not built yet, by `id`, and where the memo has them; kept here, so that no other takes the id."""
    _left: int = MAX_OBJECTS

    def read(self, stream: IO[bytes] | mmap.mmap) -> Any:
        """Read one pickle from the stream's position; the stream is left behind its STOP.

        Raises:
            UnsafeCheckpoint: the program calls something that plain weights do not need.
            WrongCheckpoint: not a pickle, cut short, or it describes more than it can hold.
        """
        self._stack, self._memo, self._slots, self._left = [], {}, {}, MAX_OBJECTS
        operations = {code: self._operation(opcode) for code, opcode in _OPCODES.items()}
        try:
            while code := stream.read(1):
                if code == b".":
                    return self._stack.pop()
                operation = operations.get(code)
                if operation is None:
                    raise ValueError(f"{code!r} is no operation of a pickle")
                read_argument, work = operation
                self._left -= 1
                if self._left < 0:
                    self.count(0)
                work(None if read_argument is None else read_argument(stream))
        except DAMAGE as error:
            raise WrongCheckpoint(
                f"{self.file_name} is damaged or not a checkpoint: {reason(error)}.",
                remedy="download the file again and compare its size and SHA-256",
            ) from error
        raise WrongCheckpoint(f"{self.file_name} ends in the middle of its data.", remedy="download the file again")

    def _operation(self, opcode: pickletools.OpcodeInfo) -> tuple[Callable[[Any], Any] | None, Callable[[Any], None]]:
        """How the argument of an opcode is read, and what is done with it."""
        read_argument = None if opcode.arg is None else opcode.arg.reader
        if opcode.arg is not None and opcode.arg.name in _LINES_WITH_ESCAPES:
            read_argument = _with_known_escapes(opcode.arg.reader, _LINES_WITH_ESCAPES[opcode.arg.name])
        if opcode.name in _TEXT:
            return read_argument, self._push_text
        if opcode.name in _WHOLE:
            return read_argument, self._push_whole
        if opcode.name in _PUSH:
            return read_argument, self._push
        if opcode.name in _IGNORED:
            return read_argument, lambda _: None
        handler = getattr(self, f"_op_{opcode.name.lower()}", None)
        return (read_argument, handler) if handler is not None else (None, lambda _: self._refuse(opcode.name))

    def _refuse(self, name: str) -> None:
        raise UnsafeCheckpoint(
            f"{self.file_name} uses the pickle operation {name}, which weights do not need.",
            accepted="a state dict saved by torch.save, a TorchScript archive, safetensors or ONNX",
        )

    def count(self, objects: int) -> None:
        """Count what was made besides the operations themselves.

        Raises:
            WrongCheckpoint: more than any checkpoint holds.
        """
        self._left -= objects
        if self._left < 0:
            raise WrongCheckpoint(
                f"{self.file_name} holds an absurd number of objects.",
                accepted=f"a pickle of at most {MAX_OBJECTS} operations and elements",
                remedy="save the arrays themselves, not lists of numbers",
            )

    # Stack and memo -------------------------------------------------------------------------------------------------

    def _pop_mark(self) -> list[Any]:
        items: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        items.reverse()
        return items

    def _op_mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _op_pop(self, _: Any) -> None:
        self._stack.pop()

    def _op_pop_mark(self, _: Any) -> None:
        self._pop_mark()

    def _op_dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _op_put(self, index: int) -> None:
        value = self._memo[index] = self._stack[-1]
        if isinstance(value, Record) and str(value.symbol) in _NUMPY_ARRAYS:
            self._slots.setdefault(id(value), (value, []))[1].append(index)

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: Any) -> None:
        self._op_put(len(self._memo))

    def _op_get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    _op_binget = _op_long_binget = _op_get

    # Plain values ---------------------------------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _push_text(self, value: str | bytes) -> None:
        self.budget.take(len(value))
        self._stack.append(value)

    def _push_whole(self, value: int) -> None:
        if value.bit_length() > 8 * MAX_NUMBER_BYTES:
            raise ValueError(f"a number of {value.bit_length()} bits")
        self._stack.append(value)

    def _op_none(self, _: Any) -> None:
        self._stack.append(None)

    def _op_newtrue(self, _: Any) -> None:
        self._stack.append(True)

    def _op_newfalse(self, _: Any) -> None:
        self._stack.append(False)

    def _op_empty_tuple(self, _: Any) -> None:
        self._stack.append(())

    def _op_tuple(self, _: Any) -> None:
        items = self._pop_mark()
        self.count(_OBJECT + len(items))
        self._stack.append(tuple(items))

    def _tuple_of(self, size: int) -> None:
        items = tuple(self._stack[-size:])
        if len(items) != size:
            raise IndexError("tuple without its items")
        self.count(_OBJECT)
        del self._stack[-size:]
        self._stack.append(items)

    def _op_tuple1(self, _: Any) -> None:
        self._tuple_of(1)

    def _op_tuple2(self, _: Any) -> None:
        self._tuple_of(2)

    def _op_tuple3(self, _: Any) -> None:
        self._tuple_of(3)

    def _op_empty_list(self, _: Any) -> None:
        self.count(_OBJECT)
        self._stack.append([])

    def _op_list(self, _: Any) -> None:
        self.count(_OBJECT)
        self._stack.append(self._pop_mark())

    def _op_append(self, _: Any) -> None:
        value = self._stack.pop()
        _items(self._stack[-1], list).append(value)

    def _op_appends(self, _: Any) -> None:
        values = self._pop_mark()
        _items(self._stack[-1], list).extend(values)

    def _op_empty_set(self, _: Any) -> None:
        self.count(_SET)
        self._stack.append(set())

    def _op_additems(self, _: Any) -> None:
        values = self._pop_mark()
        self.count(_SET * len(values))
        _items(self._stack[-1], set).update(map(_key, values))

    def _op_frozenset(self, _: Any) -> None:
        values = self._pop_mark()
        self.count(_SET + _SET * len(values))
        self._stack.append(frozenset(map(_key, values)))

    def _op_empty_dict(self, _: Any) -> None:
        self.count(_OBJECT)
        self._stack.append({})

    def _op_dict(self, _: Any) -> None:
        made: dict[Any, Any] = {}
        self.count(_OBJECT)
        self._fill(made, self._pop_mark())
        self._stack.append(made)

    def _op_setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._fill(_mapping(self._stack[-1]), [key, value])

    def _op_setitems(self, _: Any) -> None:
        values = self._pop_mark()
        self._fill(_mapping(self._stack[-1]), values)

    def _fill(self, target: dict[Any, Any], values: list[Any]) -> None:
        self.count(len(values))
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_key(key)] = value

    # Names and calls ------------------------------------------------------------------------------------------------

    def _op_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self._symbol(module, name))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("a global whose name is not text")
        self._stack.append(self._symbol(module, name))

    def _symbol(self, module: str, name: str) -> Symbol:
        if len(module) + len(name) > MAX_NAME:
            raise ValueError(f"a class whose name has {len(module) + len(name)} characters")
        self.count(_OBJECT)
        return Symbol(module, name)

    def _op_persid(self, argument: str) -> None:
        self._stack.append(self._load_persistent(argument))

    def _op_binpersid(self, _: Any) -> None:
        self._stack.append(self._load_persistent(self._stack.pop()))

    def _load_persistent(self, identity: Any) -> Any:
        if self.persistent is None:
            raise ValueError("a reference to data that this file does not have")
        return self.persistent(identity)

    def _op_reduce(self, _: Any) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(function, _as_tuple(args)))

    def _op_newobj(self, _: Any) -> None:
        args, symbol = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(symbol, _as_tuple(args)))

    def _op_newobj_ex(self, _: Any) -> None:
        self._stack.pop()
        self._op_newobj(None)

    def _op_build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Record):
            if str(target.symbol) in _NUMPY_ARRAYS:
                array = self._stack[-1] = _numpy_array(self, state)
                _, indices = self._slots.pop(id(target), (target, []))
                for index in indices:
                    if self._memo[index] is target:
                        self._memo[index] = array
            else:
                target.state = state
        # State of a plain container (a module's `_metadata` on its ordered dict) says nothing about the weights.

    def _call(self, symbol: Any, args: tuple[Any, ...]) -> Any:
        if not isinstance(symbol, Symbol):
            raise TypeError("a call of something that is not a name")
        name = str(symbol)
        self.count(_ARRAY)
        if name in _RECONSTRUCTORS:
            return self._call(args[0], ())
        known = _CONSTRUCTORS.get(name)
        if known is not None:
            return None if self.skim and known in _TENSORS else known(self, *args)
        if name in _NUMPY_ARRAYS or name in PLAIN_CLASSES or name.startswith(self.keep_classes):
            return Record(symbol, args)
        raise UnsafeCheckpoint(
            f"{self.file_name} would call {shortened(name)} when loaded.",
            accepted="tensors, numbers, text, lists and dicts",
            remedy="get the checkpoint as a state dict or as safetensors from a source you trust; "
            "nothing of this file was run",
        )


_TEXT = frozenset(
    (
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_WHOLE = frozenset(("INT", "LONG", "LONG1", "LONG4"))
_PUSH = frozenset(("BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"))
"""Opcodes whose argument is the value; of the first two kinds it can be of any length."""
_IGNORED = frozenset({"PROTO", "FRAME"})
_OPCODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}


def _as_tuple(args: Any) -> tuple[Any, ...]:
    if not isinstance(args, tuple):
        raise TypeError(f"a call with {shown(args)}")
    return args


def _items(value: Any, kind: type) -> Any:
    if isinstance(value, kind):
        return value
    if isinstance(value, Record):  # a list-like object of a class that is not built
        if value.state is None:
            value.state = kind()
        if isinstance(value.state, kind):
            return value.state
    raise TypeError(f"items for a {type(value).__name__}")


def _mapping(value: Any) -> dict[Any, Any]:
    target: dict[Any, Any] = _items(value, dict)
    return target


def _key(value: Any) -> Any:
    """Keys of dicts and members of sets: plain values, whose hash and text cost nothing."""
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if value is None or isinstance(value, bool | int | float | Symbol):
        return value
    if isinstance(value, str | bytes) and len(value) <= MAX_NAME:
        return value
    raise ValueError(f"{shown(value)} as a key, which has to be a number or a short text")


# The constructors that weights need, interpreted ------------------------------------------------------------------


def _ordered_dict(reader: PickleReader, *args: Any) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    if args:
        pairs = args[0].items() if isinstance(args[0], dict) else _sequence(args[0])
        reader.count(2 * len(pairs))
        for pair in pairs:
            key, value = _sequence(pair)
            made[_key(key)] = value
    return made


def _default_dict(_reader: PickleReader, *_: Any) -> dict[Any, Any]:
    return {}


def _sequence(value: Any) -> Any:
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeError(f"{shown(value)} where items are expected")
    return value


def _list(reader: PickleReader, items: Any = ()) -> list[Any]:
    reader.count(len(_sequence(items)))
    return list(items)


def _tuple(reader: PickleReader, items: Any = ()) -> tuple[Any, ...]:
    reader.count(len(_sequence(items)))
    return tuple(items)


def _set(reader: PickleReader, items: Any = ()) -> set[Any]:
    reader.count(_SET * len(_sequence(items)))
    return set(map(_key, items))


def _device(_reader: PickleReader, *args: Any) -> str:
    return ":".join(str(_key(arg)) for arg in args[:2])


def whole(value: Any, what: str) -> int:
    """A whole number from 0 that fits into 63 bits.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"{what} is {shown(value)}")
    return value


def _sizes(value: Any) -> tuple[int, ...]:
    """Sizes or strides of a tensor."""
    if len(_sequence(value)) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor of {len(value)} dimensions")
    return tuple(whole(item, "a size or stride of a tensor") for item in value)


def _rebuild_tensor(reader: PickleReader, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Array:
    if not isinstance(storage, Storage):
        raise TypeError(f"a tensor in {shown(storage)}")
    return strided_view(storage, whole(offset, "where a tensor begins"), _sizes(size), _sizes(stride), reader.budget)


def _rebuild_tensor_with_dtype(
    reader: PickleReader, storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, dtype: Any, *_: Any
) -> Array:
    if not isinstance(storage, Storage):
        raise TypeError(f"a tensor in {shown(storage)}")
    name = TORCH_DTYPES[dtype.name if isinstance(dtype, Symbol) else str(_key(dtype))]
    raw = storage.read().view(element_type(name))
    view = Storage(read=lambda: raw, dtype=name)
    return strided_view(view, whole(offset, "where a tensor begins"), _sizes(size), _sizes(stride), reader.budget)


def _rebuild_parameter(_reader: PickleReader, data: Any, *_: Any) -> Any:
    return data


TORCH_DTYPES: Mapping[str, str] = {
    "float64": "float64",
    "double": "float64",
    "float32": "float32",
    "float": "float32",
    "float16": "float16",
    "half": "float16",
    "bfloat16": "bfloat16",
    "int64": "int64",
    "long": "int64",
    "int32": "int32",
    "int": "int32",
    "int16": "int16",
    "short": "int16",
    "int8": "int8",
    "uint8": "uint8",
    "bool": "bool",
}


def strided_view(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], budget: Budget
) -> Array:
    """The tensor that a storage, an offset, a size and strides (in elements) describe, checked against the storage.

    A tensor may repeat its elements (stride 0); what it takes once it is written out counts against the budget.
    """
    raw = storage.read()
    if len(size) != len(stride) or offset < 0 or any(n < 0 for n in size) or any(s < 0 for s in stride):
        raise ValueError(f"a tensor of size {list(size)} and stride {list(stride)} at {offset}")
    count = math.prod(size)
    if not count:
        return np.zeros(size, np.float32 if storage.dtype == "bfloat16" else storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= len(raw):
        raise ValueError(f"a tensor of size {list(size)} reaches beyond its {len(raw)} stored elements")
    budget.take(count * (4 if storage.dtype == "bfloat16" else raw.itemsize))
    step = raw.itemsize
    view = np.lib.stride_tricks.as_strided(raw[offset:], shape=size, strides=tuple(s * step for s in stride))
    return decode_elements(view, storage.dtype)


def _numpy_reconstruct(_reader: PickleReader, *_: Any) -> Record:
    return Record(Symbol("numpy", "ndarray"))


def _numpy_dtype(_reader: PickleReader, code: Any, *_: Any) -> Record:
    text = code.decode("ascii") if isinstance(code, bytes) else code
    if not isinstance(text, str) or text.lstrip("<>|=") not in _NUMPY_DTYPES:
        raise ValueError(f"an array of type {shown(text)}")
    return Record(Symbol("numpy", "dtype"), (text,))


def _dtype_of(record: Any) -> np.dtype[Any]:
    if not isinstance(record, Record) or str(record.symbol) != "numpy.dtype":
        raise TypeError(f"an array of the type {shown(record)}")
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "<"
    return np.dtype(str(record.args[0])).newbyteorder(">" if isinstance(order, str) and order == ">" else "<")


def _raw_bytes(data: Any) -> bytes | bytearray:
    if isinstance(data, str):
        return data.encode("latin1")
    if isinstance(data, bytes | bytearray):
        return data
    raise TypeError(f"an array whose content is {shown(data)}")


def _numpy_scalar(reader: PickleReader, dtype: Any, data: Any = b"") -> Any:
    kind, raw = _dtype_of(dtype), _raw_bytes(data)
    reader.budget.take(len(raw))
    return np.frombuffer(raw, dtype=kind)[0].item()


def _numpy_array(reader: PickleReader, state: Any) -> Array:
    _version, shape, dtype, fortran, data = _sequence(state)
    return _filled(reader, data, dtype, shape, fortran=fortran is True or fortran == 1)


def _numpy_frombuffer(reader: PickleReader, data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    return _filled(reader, data, dtype, shape, fortran=isinstance(order, str) and order == "F")


def _filled(reader: PickleReader, data: Any, dtype: Any, shape: Any, *, fortran: bool) -> Array:
    """An array with a content of its own."""
    if isinstance(data, list):
        raise ValueError("an array of Python objects")
    raw = _raw_bytes(data)
    reader.budget.take(len(raw))
    flat = np.frombuffer(bytearray(raw), dtype=_dtype_of(dtype))
    return flat.reshape(_sizes(shape), order="F" if fortran else "C")


def _encode(reader: PickleReader, text: Any = "", encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "utf-8", "ascii"):
        raise ValueError(f"{shown(text)} in {shown(encoding)}")
    reader.budget.take(len(text))
    return text.encode(encoding)


def _bytearray(reader: PickleReader, *args: Any) -> bytearray:
    return bytearray(_encode(reader, *args)) if args else bytearray()


def _same(_reader: PickleReader, value: Any = None, *_: Any) -> Any:
    return value


_NUMPY_ARRAYS = frozenset({"numpy.ndarray"})

_RECONSTRUCTORS = frozenset({"copy_reg._reconstructor", "copyreg._reconstructor"})
"""How protocols 0 and 1 build an object: (class, base, state of base)."""

_TENSORS = (_rebuild_tensor, _rebuild_tensor_with_dtype)

_CONSTRUCTORS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "builtins.dict": _ordered_dict,
    "__builtin__.dict": _ordered_dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "builtins.list": _list,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_with_dtype,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": _tuple,
    "torch.device": _device,
    "torch.serialization._get_layout": _same,
    "torch.jit._pickle.build_intlist": _list,
    "torch.jit._pickle.build_doublelist": _list,
    "torch.jit._pickle.build_boollist": _list,
    "torch.jit._pickle.build_tensorlist": _list,
    "torch.jit._pickle.restore_type_tag": _same,
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytearray,
    "numpy.core.multiarray._reconstruct": _numpy_reconstruct,
    "numpy._core.multiarray._reconstruct": _numpy_reconstruct,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.numeric._frombuffer": _numpy_frombuffer,
    "numpy._core.numeric._frombuffer": _numpy_frombuffer,
    "numpy.dtype": _numpy_dtype,
}
"""The whole allow-list: containers, torch tensors, NumPy arrays and scalars. Each takes the reader first."""
