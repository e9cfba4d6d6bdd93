"""Read the data of a pickle without unpickling it.

A pickle is a small program. The standard machine runs it with the full power of Python; this one knows only the
opcodes that build plain data, imports nothing and calls nothing. A global becomes an inert `Symbol`; the few
constructors that tensors need are interpreted here, by name; anything else that the program tries to call is refused.
So a hostile file can at worst describe wrong data. (`torch.load(weights_only=True)` follows the same idea, with a
longer list of callables that it does call; this reader also reads TorchScript archives and needs no torch.)
"""

from __future__ import annotations

import mmap
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import UnsafeCheckpoint, WrongCheckpoint

Array = NDArray[Any]

MAX_OPCODES = 20_000_000
"""Far more than any checkpoint has; ends hostile programs that only grow."""


MAX_EXPANDED_ELEMENTS = 1 << 24
"""Elements that a tensor with repeated (stride 0) memory may have."""


@dataclass(frozen=True)
class Symbol:
    """A name that the pickle refers to. It is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
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


@dataclass
class PickleReader:
    """Runs one pickle program on plain data.

    Args:
        file_name: for messages.
        persistent: turns a persistent id into a value (torch keeps its storages there).
        keep_classes: prefixes of qualified names whose classes become inert records besides `PLAIN_CLASSES`
            (TorchScript names its own under `__torch__.`).
    """

    file_name: str
    persistent: Callable[[Any], Any] | None = None
    keep_classes: tuple[str, ...] = ()
    _stack: list[Any] = field(default_factory=list)
    _memo: dict[int, Any] = field(default_factory=dict)
    _slots: dict[int, tuple[Record, list[int]]] = field(default_factory=dict)
    """Arrays that are not built yet, by `id`, and where the memo has them; kept here, so that no other takes the id."""

    def read(self, stream: IO[bytes] | mmap.mmap) -> Any:
        """Read one pickle from the stream's position; the stream is left behind its STOP.

        Raises:
            UnsafeCheckpoint: the program calls something that plain weights do not need.
            WrongCheckpoint: not a pickle, or cut short.
        """
        self._stack, self._memo, self._slots = [], {}, {}
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
                if count > MAX_OPCODES:
                    raise WrongCheckpoint(f"{self.file_name} holds an absurdly long pickle.")
                if opcode.name == "STOP":
                    return self._stack.pop()
                handler = getattr(self, f"_op_{opcode.name.lower()}", None)
                if handler is not None:
                    handler(argument)
                elif opcode.name in _PUSH:
                    self._stack.append(argument)
                elif opcode.name not in _IGNORED:
                    raise UnsafeCheckpoint(
                        f"{self.file_name} uses the pickle operation {opcode.name}, which weights do not need.",
                        accepted="a state dict saved by torch.save, a TorchScript archive, safetensors or ONNX",
                    )
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            raise WrongCheckpoint(
                f"{self.file_name} is damaged or not a checkpoint: {error}.",
                remedy="download the file again and compare its size and SHA-256",
            ) from error
        raise WrongCheckpoint(f"{self.file_name} ends in the middle of its data.", remedy="download the file again")

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

    def _op_none(self, _: Any) -> None:
        self._stack.append(None)

    def _op_newtrue(self, _: Any) -> None:
        self._stack.append(True)

    def _op_newfalse(self, _: Any) -> None:
        self._stack.append(False)

    def _op_empty_tuple(self, _: Any) -> None:
        self._stack.append(())

    def _op_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_mark()))

    def _tuple_of(self, size: int) -> None:
        items = tuple(self._stack[-size:])
        if len(items) != size:
            raise IndexError("tuple without its items")
        del self._stack[-size:]
        self._stack.append(items)

    def _op_tuple1(self, _: Any) -> None:
        self._tuple_of(1)

    def _op_tuple2(self, _: Any) -> None:
        self._tuple_of(2)

    def _op_tuple3(self, _: Any) -> None:
        self._tuple_of(3)

    def _op_empty_list(self, _: Any) -> None:
        self._stack.append([])

    def _op_list(self, _: Any) -> None:
        self._stack.append(self._pop_mark())

    def _op_append(self, _: Any) -> None:
        value = self._stack.pop()
        _items(self._stack[-1], list).append(value)

    def _op_appends(self, _: Any) -> None:
        values = self._pop_mark()
        _items(self._stack[-1], list).extend(values)

    def _op_empty_set(self, _: Any) -> None:
        self._stack.append(set())

    def _op_additems(self, _: Any) -> None:
        values = self._pop_mark()
        _items(self._stack[-1], set).update(values)

    def _op_frozenset(self, _: Any) -> None:
        self._stack.append(frozenset(self._pop_mark()))

    def _op_empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def _op_dict(self, _: Any) -> None:
        values = self._pop_mark()
        self._stack.append(dict(zip(values[::2], values[1::2], strict=True)))

    def _op_setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        _mapping(self._stack[-1])[_key(key)] = value

    def _op_setitems(self, _: Any) -> None:
        values = self._pop_mark()
        target = _mapping(self._stack[-1])
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_key(key)] = value

    # Names and calls ------------------------------------------------------------------------------------------------

    def _op_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Symbol(module, name))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("a global whose name is not text")
        self._stack.append(Symbol(module, name))

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
        self._stack.append(self._call(function, tuple(args)))

    def _op_newobj(self, _: Any) -> None:
        args, symbol = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(symbol, tuple(args)))

    def _op_newobj_ex(self, _: Any) -> None:
        self._stack.pop()
        self._op_newobj(None)

    def _op_build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Record):
            if str(target.symbol) in _NUMPY_ARRAYS:
                array = self._stack[-1] = _numpy_array(state)
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
        if name in _RECONSTRUCTORS:
            return self._call(args[0], ())
        known = _CONSTRUCTORS.get(name)
        if known is not None:
            return known(*args)
        if name in _NUMPY_ARRAYS or name in PLAIN_CLASSES or name.startswith(self.keep_classes):
            return Record(symbol, args)
        raise UnsafeCheckpoint(
            f"{self.file_name} would call {name} when loaded.",
            accepted="tensors, numbers, text, lists and dicts",
            remedy="get the checkpoint as a state dict or as safetensors from a source you trust; "
            "nothing of this file was run",
        )


_PUSH = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
"""Opcodes whose argument is the value."""
_IGNORED = frozenset({"PROTO", "FRAME"})


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
    """Keys of dicts: plain and hashable (optimiser states use numbers)."""
    if isinstance(value, np.ndarray):
        return value.item()
    return value


# The constructors that weights need, interpreted ------------------------------------------------------------------


def _ordered_dict(*args: Any) -> dict[Any, Any]:
    return dict(args[0]) if args else {}


def _default_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _rebuild_tensor(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Array:
    return strided_view(storage, int(offset), tuple(size), tuple(stride))


def _rebuild_tensor_with_dtype(
    storage: Storage, offset: int, size: Any, stride: Any, _grad: Any, dtype: Any, *_: Any
) -> Array:
    name = TORCH_DTYPES[dtype.name if isinstance(dtype, Symbol) else str(dtype)]
    raw = storage.read().view(element_type(name))
    view = Storage(read=lambda: raw, dtype=name)
    return strided_view(view, int(offset), tuple(size), tuple(stride))


def _rebuild_parameter(data: Array, *_: Any) -> Array:
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


def strided_view(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    """The tensor that a storage, an offset, a size and strides (in elements) describe, checked against the storage."""
    raw = storage.read()
    if len(size) != len(stride) or offset < 0 or any(n < 0 for n in size) or any(s < 0 for s in stride):
        raise ValueError(f"a tensor of size {list(size)} and stride {list(stride)} at {offset}")
    count = int(np.prod(size, dtype=np.int64))
    if count:
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if last >= len(raw):
            raise ValueError(f"a tensor of size {list(size)} reaches beyond its {len(raw)} stored elements")
        if count > max(len(raw), MAX_EXPANDED_ELEMENTS):
            raise ValueError(f"a tensor of size {list(size)} repeats its {len(raw)} stored elements")
    else:
        return np.zeros(size, np.float32 if storage.dtype == "bfloat16" else storage.dtype)
    step = raw.itemsize
    view = np.lib.stride_tricks.as_strided(raw[offset:], shape=size, strides=tuple(s * step for s in stride))
    return decode_elements(view, storage.dtype)


def _numpy_reconstruct(*_: Any) -> Record:
    return Record(Symbol("numpy", "ndarray"))


def _numpy_dtype(code: Any, *_: Any) -> Record:
    text = code.decode("ascii") if isinstance(code, bytes) else str(code)
    if text.lstrip("<>|=") not in _NUMPY_DTYPES:
        raise ValueError(f"an array of type {text!r}")
    return Record(Symbol("numpy", "dtype"), (text,))


def _dtype_of(record: Record) -> np.dtype[Any]:
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "<"
    text = str(record.args[0])
    return np.dtype(text).newbyteorder(">" if order == ">" else "<")


def _raw_bytes(data: Any) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _numpy_scalar(dtype: Record, data: Any = b"") -> Any:
    return np.frombuffer(_raw_bytes(data), dtype=_dtype_of(dtype))[0].item()


def _numpy_array(state: Any) -> Array:
    _version, shape, dtype, fortran, data = state
    if isinstance(data, list):
        raise ValueError("an array of Python objects")
    flat = np.frombuffer(bytearray(_raw_bytes(data)), dtype=_dtype_of(dtype))
    return flat.reshape(tuple(shape), order="F" if fortran else "C")


def _numpy_frombuffer(data: Any, dtype: Record, shape: Any, order: str) -> Array:
    flat = np.frombuffer(bytearray(_raw_bytes(data)), dtype=_dtype_of(dtype))
    return flat.reshape(tuple(shape), order="F" if order == "F" else "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "utf-8", "ascii"):
        raise ValueError(f"text in {encoding!r}")
    return text.encode(encoding)


def _same(value: Any = None, *_: Any) -> Any:
    return value


_NUMPY_ARRAYS = frozenset({"numpy.ndarray"})

_RECONSTRUCTORS = frozenset({"copy_reg._reconstructor", "copyreg._reconstructor"})
"""How protocols 0 and 1 build an object: (class, base, state of base)."""

_CONSTRUCTORS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "builtins.dict": _ordered_dict,
    "__builtin__.dict": _ordered_dict,
    "builtins.set": lambda items=(): set(items),
    "__builtin__.set": lambda items=(): set(items),
    "builtins.list": lambda items=(): list(items),
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_with_dtype,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": lambda items=(): tuple(items),
    "torch.device": lambda *args: ":".join(str(arg) for arg in args),
    "torch.serialization._get_layout": _same,
    "torch.jit._pickle.build_intlist": lambda items: list(items),
    "torch.jit._pickle.build_doublelist": lambda items: list(items),
    "torch.jit._pickle.build_boollist": lambda items: list(items),
    "torch.jit._pickle.build_tensorlist": lambda items: list(items),
    "torch.jit._pickle.restore_type_tag": _same,
    "_codecs.encode": _encode,
    "builtins.bytearray": lambda *args: bytearray(_encode(*args)) if args else bytearray(),
    "numpy.core.multiarray._reconstruct": _numpy_reconstruct,
    "numpy._core.multiarray._reconstruct": _numpy_reconstruct,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.numeric._frombuffer": _numpy_frombuffer,
    "numpy._core.numeric._frombuffer": _numpy_frombuffer,
    "numpy.dtype": _numpy_dtype,
}
"""The whole allow-list: containers, torch tensors, NumPy arrays and scalars."""
