"""Checkpoints of every public container, read for their tensors only.

| container   | what it is                                                    |
|-------------|---------------------------------------------------------------|
| torch-zip   | `torch.save` since 1.6: a zip with `data.pkl` and `data/N`    |
| torch-legacy| `torch.save` before: pickles, then raw storages               |
| torchscript | `torch.jit.save`: a zip that also holds `code/`, which is not run |
| safetensors | JSON header and flat memory                                   |
| onnx        | the initialisers of a graph                                   |
| numpy       | `.npz` without objects                                        |
| pickle      | a bare pickle of dicts and NumPy arrays                       |

Storages are memory maps: only the tensors that are used are read from disk (an optimiser state costs nothing).
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import CheckpointError, MissingDependency, UnsafeCheckpoint, WrongCheckpoint
from talkinghead.files import file_sha256
from talkinghead.weights.pickled import STORAGE_DTYPES, PickleReader, Record, Storage, Symbol, element_type
from talkinghead.weights.safetensors import aligned, read_safetensors

Array = NDArray[Any]

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "generator", "params_ema", "params", "weights")
"""Keys under which training scripts keep the state dict, in order of preference."""

PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile put before every key; they may be stacked."""

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle of a `torch.save` file before the zip container."""

READABLE = "a state dict of torch.save (zip or legacy), a TorchScript archive, safetensors, ONNX or npz"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds."""

    path: Path
    container: str
    """A row of the table above."""
    tensors: Mapping[str, Array]
    """Flat names to arrays, without wrapper and `module.` prefixes. bfloat16 is given as float32 (exact)."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and text stored beside the tensors."""
    tree: Any = None
    """Everything, as plain nested data with arrays at the leaves; classes are `Record`s."""

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file."""
        return file_sha256(self.path)


def read_checkpoint(path: str | Path, *, key: str | None = None, keep_classes: tuple[str, ...] = ()) -> Checkpoint:
    """Read a checkpoint; no code of the file is run, whatever it holds.

    Args:
        path: the file; the container is recognised from its bytes, not from its name.
        key: take the tensors below this key of the top level ("model/ema" for nested ones) instead of looking for
            a usual wrapper.
        keep_classes: prefixes of class names whose objects are given as inert `Record`s (name and state) in `tree`
            instead of being refused, for example "chumpy." and "scipy.sparse." in body models.
    Returns:
        The tensors as views of the file.
    Raises:
        WrongCheckpoint: not a checkpoint, damaged, cut short, or no such key.
        UnsafeCheckpoint: loading it the usual way would run code.
    """
    path = Path(path)
    container, tree, metadata = _read_container(path, keep_classes)
    node, found = _unwrap(path, tree, key)
    metadata = {**metadata, **found}
    tensors = {strip_prefixes(name): value for name, value in flatten(node)}
    return Checkpoint(path, container, tensors, metadata, tree)


def strip_prefixes(name: str) -> str:
    """Remove leading `module.` and `_orig_mod.`, however many."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """Arrays of a tree with their dotted names, in the file's order."""
    stack: list[tuple[str, Any, int]] = [(prefix, tree, 0)]
    while stack:
        name, node, depth = stack.pop()
        if depth > 64:
            raise WrongCheckpoint("The checkpoint nests its data more than 64 levels deep.")
        if isinstance(node, np.ndarray):
            yield name, node
            continue
        if isinstance(node, Record):
            node = node.attributes()
        if isinstance(node, Mapping):
            items = [(str(key), value) for key, value in node.items()]
        elif isinstance(node, list | tuple):
            items = [(str(index), value) for index, value in enumerate(node)]
        else:
            continue
        stack.extend((f"{name}.{key}" if name else key, value, depth + 1) for key, value in reversed(items))


# Containers ---------------------------------------------------------------------------------------------------------


def _read_container(path: Path, keep_classes: tuple[str, ...]) -> tuple[str, Any, dict[str, Any]]:
    if path.is_dir():
        raise WrongCheckpoint(f"{path} is a folder.", accepted=READABLE)
    if not path.is_file():
        raise WrongCheckpoint(f"There is no checkpoint {path}.", accepted=READABLE)
    size = path.stat().st_size
    if size < 16:
        raise WrongCheckpoint(f"{path} holds {size} bytes.", accepted=READABLE, remedy="download the file again")
    with path.open("rb") as file:
        head = file.read(512)
    text = head.lstrip()[:64].lower()
    if text.startswith((b"<!doctype", b"<html", b"version https://git-lfs")):
        raise WrongCheckpoint(
            f"{path} is {'a Git LFS pointer' if text.startswith(b'version') else 'a web page'}, not a checkpoint.",
            accepted=READABLE,
            remedy="download the file itself, for example with the link's download button",
        )
    memory: Array = np.memmap(path, dtype=np.uint8, mode="c")
    if head[:4] == b"PK\x03\x04":
        return _read_zip(path, memory, keep_classes)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        tensors, metadata = read_safetensors(path, memory)
        return "safetensors", tensors, dict(metadata)
    if head[:1] == b"\x80" and head[1] <= 5:
        return _read_pickles(path, memory, keep_classes)
    if path.suffix.lower() == ".onnx" or head[:1] == b"\x08":
        return _read_onnx(path)
    if head[:6] == b"\x93NUMPY":
        raise WrongCheckpoint(f"{path} is a single NumPy array.", accepted=READABLE)
    raise WrongCheckpoint(
        f"{path} is not a checkpoint in a known format.", accepted=READABLE, remedy="download the file again"
    )


def _read_zip(path: Path, memory: Array, keep_classes: tuple[str, ...]) -> tuple[str, Any, dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
            if not pickles:
                if any(name.endswith(".npy") for name in entries):
                    return _read_npz(path)
                raise WrongCheckpoint(f"{path} is a zip archive without weights.", accepted=READABLE)
            root = pickles[0].removesuffix("data.pkl")
            is_script = any(name.startswith(f"{root}code/") for name in entries)
            order = entries.get(f"{root}byteorder")
            if order is not None and archive.read(order).strip() == b"big":
                raise WrongCheckpoint(f"{path} was saved on a big-endian machine.", remedy="convert it there")
            opened: dict[str, Array] = {}

            def storage_bytes(key: str, size: int) -> Array:
                if key not in opened:
                    opened[key] = _entry_bytes(path, memory, archive, entries[f"{root}data/{key}"])
                raw = opened[key]
                if len(raw) < size:
                    raise ValueError(f"storage {key} holds {len(raw)} bytes and should hold {size}")
                return raw[:size]

            reader = PickleReader(
                str(path),
                persistent=lambda identity: _storage(identity, storage_bytes),
                keep_classes=(*keep_classes, "__torch__.") if is_script else keep_classes,
            )
            _check_expansion(entries[pickles[0]])
            tree = reader.read(io.BytesIO(archive.read(pickles[0])))
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise WrongCheckpoint(
            f"{path} is damaged or cut short: {error}.", remedy="download the file again and compare its size"
        ) from error
    return ("torchscript" if is_script else "torch-zip"), tree, {}


def _entry_bytes(path: Path, memory: Array, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """One entry of a zip: a view of the file where it is stored plainly, as torch writes it."""
    if info.compress_type != zipfile.ZIP_STORED:
        _check_expansion(info)
        return np.frombuffer(bytearray(archive.read(info)), np.uint8)
    start = info.header_offset
    local = memory[start : start + 30].tobytes()
    if local[:4] != b"PK\x03\x04":
        raise ValueError(f"entry {info.filename} has no header")
    begin = start + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    if begin + info.file_size > len(memory):
        raise ValueError(f"entry {info.filename} of {path.name} is cut short")
    return memory[begin : begin + info.file_size]


def _check_expansion(info: zipfile.ZipInfo) -> None:
    if info.file_size > 100 * max(info.compress_size, 1) + (1 << 20):
        raise ValueError(f"entry {info.filename} expands absurdly")


def _storage(identity: Any, storage_bytes: Callable[[str, int], Array]) -> Storage:
    """A torch storage from its persistent id: ("storage", class, key, device, elements)."""
    if not (isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage"):
        raise ValueError("an unknown kind of reference")
    dtype = _storage_dtype(identity[1])
    key, count = str(identity[2]), int(identity[4])
    element = element_type(dtype)

    def read() -> Array:
        return aligned(storage_bytes(key, count * element.itemsize), element)

    return Storage(read, dtype)


def _storage_dtype(symbol: Any) -> str:
    if not isinstance(symbol, Symbol) or symbol.name not in STORAGE_DTYPES:
        raise ValueError(f"storage of type {symbol}")
    return STORAGE_DTYPES[symbol.name]


def _read_pickles(path: Path, memory: Array, keep_classes: tuple[str, ...]) -> tuple[str, Any, dict[str, Any]]:
    """The legacy torch container, or one bare pickle."""
    # A map, not a file: told a damaged length, a file would set that much memory aside before it reads.
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as file:
        first = PickleReader(str(path)).read(file) if _is_torch_legacy(file) else None
        if first != LEGACY_MAGIC:
            file.seek(0)
            return "pickle", PickleReader(str(path), keep_classes=keep_classes).read(file), {}
        PickleReader(str(path)).read(file)  # protocol version
        PickleReader(str(path)).read(file)  # sizes of C types
        start = file.tell()
        used: dict[str, tuple[str, int]] = {}

        def measure(identity: Any) -> Storage:
            dtype, key, count = _legacy_identity(identity)
            element = element_type(dtype)
            if count < 0 or count * element.itemsize > len(memory):
                raise ValueError(f"storage {key} of {count} elements does not fit into the file")
            used[key] = (dtype, count)
            return _legacy_view(identity, Storage(lambda: np.zeros(count, element), dtype))

        PickleReader(str(path), persistent=measure, keep_classes=keep_classes).read(file)
        keys = PickleReader(str(path)).read(file)
        raw: dict[str, Array] = {}
        offset = file.tell()
        for key in [str(item) for item in keys]:
            if key not in used:
                raise WrongCheckpoint(f"{path} is damaged: its storages do not match its tensors.")
            dtype, count = used[key]
            element = element_type(dtype)
            stored = int.from_bytes(memory[offset : offset + 8].tobytes(), "little", signed=True)
            offset += 8
            if stored != count or offset + count * element.itemsize > len(memory):
                raise WrongCheckpoint(
                    f"{path} is cut short: storage {key} should hold {count} elements.",
                    remedy="download the file again and compare its size",
                )
            raw[key] = memory[offset : offset + count * element.itemsize]
            offset += count * element.itemsize

        def load(identity: Any) -> Storage:
            dtype, key, _ = _legacy_identity(identity)
            element = element_type(dtype)
            return _legacy_view(identity, Storage(lambda: aligned(raw[key], element), dtype))

        file.seek(start)
        tree = PickleReader(str(path), persistent=load, keep_classes=keep_classes).read(file)
    return "torch-legacy", tree, {}


def _is_torch_legacy(file: Any) -> bool:
    """Whether the stream begins with a pickled long integer, as the legacy container does."""
    head = file.read(12)
    file.seek(0)
    first = head[11:12] if head[2:3] == b"\x95" else head[2:3]  # protocol 4 puts a frame header before it
    return bool(first == b"\x8a")


def _legacy_identity(identity: Any) -> tuple[str, str, int]:
    if not (isinstance(identity, tuple) and identity and identity[0] == "storage"):
        raise UnsafeCheckpoint(
            "The checkpoint holds a whole pickled module, not a state dict.",
            accepted=READABLE,
            remedy="save model.state_dict() instead",
        )
    return _storage_dtype(identity[1]), str(identity[2]), int(identity[4])


def _legacy_view(identity: Any, root: Storage) -> Storage:
    """Storages of torch before 0.4 may be windows of another: ("key", offset, size)."""
    if len(identity) < 6 or identity[5] is None:
        return root
    _, offset, size = identity[5]
    return Storage(lambda: root.read()[int(offset) : int(offset) + int(size)], root.dtype)


def _read_npz(path: Path) -> tuple[str, Any, dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return "numpy", {name: data[name] for name in data.files}, {}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise UnsafeCheckpoint(f"{path} holds pickled Python objects.", accepted="plain arrays") from error
        raise WrongCheckpoint(f"{path} is damaged: {error}.") from error


def _read_onnx(path: Path) -> tuple[str, Any, dict[str, Any]]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingDependency("onnx", extra="models", purpose="Reading ONNX files") from error
    try:
        model = onnx.load(str(path))
    except CheckpointError:
        raise
    except Exception as error:  # protobuf and the checker raise types of their own
        raise WrongCheckpoint(f"{path} is not a readable ONNX file: {error}.", accepted=READABLE) from error
    tensors = {item.name: _from_onnx(numpy_helper.to_array(item)) for item in model.graph.initializer}
    if not model.graph.node:
        raise WrongCheckpoint(f"{path} is not an ONNX model: it holds no operators.", accepted=READABLE)
    return "onnx", tensors, {str(item.key): str(item.value) for item in model.metadata_props}


def _from_onnx(value: Array) -> Array:
    """bfloat16 (an extension type) as float32."""
    return value if value.dtype.kind in "fiubc" else value.astype(np.float32)


# Wrappers -----------------------------------------------------------------------------------------------------------


def _unwrap(path: Path, tree: Any, key: str | None) -> tuple[Any, dict[str, Any]]:
    """The node that holds the tensors, and the plain facts beside it."""
    facts: dict[str, Any] = {}
    if key is not None:
        node = tree
        for part in key.split("/"):
            if not isinstance(node, Mapping) or part not in node:
                raise WrongCheckpoint(
                    f"{path} has nothing under {key!r}.",
                    accepted=", ".join(map(str, node)) if isinstance(node, Mapping) else None,
                )
            facts.update(_facts(node))
            node = node[part]
        return node, facts
    node = tree
    for _ in range(3):
        if not isinstance(node, Mapping) or any(isinstance(value, np.ndarray) for value in node.values()):
            break
        inner = next((name for name in WRAPPERS if isinstance(node.get(name), Mapping | Record)), None)
        if inner is None:
            break
        facts.update(_facts(node))
        node = node[inner]
    if next(flatten(node), None) is None:
        raise WrongCheckpoint(f"{path} holds no tensors.", accepted=READABLE)
    return node, facts


def _facts(node: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): value for name, value in node.items() if value is None or isinstance(value, bool | int | float | str)
    }
