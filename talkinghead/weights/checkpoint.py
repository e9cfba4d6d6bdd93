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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import MissingDependency, UnsafeCheckpoint, WrongCheckpoint
from talkinghead.files import file_sha256
from talkinghead.reading.archive import Archive, open_archive
from talkinghead.reading.arrays import PickledObjects, read_npz
from talkinghead.reading.bounds import Budget, reading, shortened, shown
from talkinghead.reading.onnx_file import read_onnx
from talkinghead.weights.pickled import STORAGE_DTYPES, PickleReader, Record, Storage, Symbol, element_type, whole
from talkinghead.weights.safetensors import aligned, read_safetensors

Array = NDArray[Any]

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "generator", "params_ema", "params", "weights")
"""Keys under which training scripts keep the state dict, in order of preference."""

PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile put before every key; they may be stacked."""

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle of a `torch.save` file before the zip container."""

MAX_NODES = 200_000
MAX_NAMES = 1 << 25
"""Values of a tree and characters of their dotted names; what holds one thing many times over can have more."""
MAX_DEPTH = 64
MAX_KEY = 200
"""Characters of the key of a storage."""
NUMBERS = "fiubc"
"""Kinds of arrays that are tensors."""

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
        WrongCheckpoint: not a checkpoint, damaged, cut short, no such key, or more tensors than the file's size allows.
        UnsafeCheckpoint: loading it the usual way would run code.
    """
    path = Path(path)
    with reading(path, WrongCheckpoint, what="is damaged or not a checkpoint", accepted=READABLE):
        container, tree, metadata = _read_container(path, keep_classes)
        node, found = _unwrap(path, tree, key)
        budget = Budget(path, path.stat().st_size, WrongCheckpoint)
        tensors: dict[str, Array] = {}
        for name, value in flatten(node):
            if value.dtype.kind in NUMBERS:
                budget.take(value.nbytes)
                tensors[strip_prefixes(name)] = value
    return Checkpoint(path, container, tensors, {**metadata, **found}, tree)


def strip_prefixes(name: str) -> str:
    """Remove leading `module.` and `_orig_mod.`, however many."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """Arrays of a tree with their dotted names, in the file's order.

    Raises:
        ValueError: it is nested too deeply, or holds the same parts over and over.
    """
    stack: list[tuple[str, Any, int]] = [(prefix, tree, 0)]
    nodes = characters = 0
    while stack:
        name, node, depth = stack.pop()
        if isinstance(node, np.ndarray):
            yield name, node
            continue
        if isinstance(node, Record):
            node = node.attributes()
        if isinstance(node, Mapping):
            items = [(str(key), value) for key, value in node.items() if _is_branch(value)]
        elif isinstance(node, list | tuple):
            items = [(str(index), value) for index, value in enumerate(node) if _is_branch(value)]
        else:
            continue
        if items and depth == MAX_DEPTH:
            raise ValueError(f"its data is nested more than {MAX_DEPTH} levels deep")
        nodes += len(items)
        characters += sum(len(name) + 1 + len(key) for key, _ in items)
        if nodes > MAX_NODES or characters > MAX_NAMES:
            raise ValueError(f"it holds more than {MAX_NODES} values, or the same values over and over")
        stack.extend((f"{name}.{key}" if name else key, value, depth + 1) for key, value in reversed(items))


def _is_branch(value: Any) -> bool:
    return isinstance(value, np.ndarray | Record | Mapping | list | tuple)


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
        return _read_zip(path, keep_classes)
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


def _read_zip(path: Path, keep_classes: tuple[str, ...]) -> tuple[str, Any, dict[str, Any]]:
    with open_archive(path, error=WrongCheckpoint, remedy="download the file again and compare its size") as archive:
        pickles = [name for name in archive.entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if pickles:
            return _read_torch_zip(path, archive, pickles[0], keep_classes)
        if not any(name.endswith(".npy") for name in archive.entries):
            raise WrongCheckpoint(f"{path} is a zip archive without weights.", accepted=READABLE)
    return _read_npz(path)


def _read_torch_zip(
    path: Path, archive: Archive, program: str, keep_classes: tuple[str, ...]
) -> tuple[str, Any, dict[str, Any]]:
    root = program.removesuffix("data.pkl")
    is_script = any(name.startswith(f"{root}code/") for name in archive.entries)
    order = f"{root}byteorder"
    if order in archive.entries and archive.member(order)[:16].tobytes().strip() == b"big":
        raise WrongCheckpoint(f"{path} was saved on a big-endian machine.", remedy="convert it there")
    opened: dict[str, Array] = {}

    def storage_bytes(key: str, size: int, element: np.dtype[Any]) -> Array:
        if key not in opened:
            opened[key] = aligned(archive.member(f"{root}data/{key}"), element, whole_elements=False)
        raw = opened[key]
        if len(raw) < size:
            raise ValueError(f"storage {key} holds {len(raw)} bytes and should hold {size}")
        return raw[:size]

    reader = PickleReader(
        str(path),
        Budget(path, len(archive), WrongCheckpoint),
        persistent=lambda identity: _storage(identity, storage_bytes),
        keep_classes=(*keep_classes, "__torch__.") if is_script else keep_classes,
    )
    tree = reader.read(io.BytesIO(archive.member(program).data))
    return ("torchscript" if is_script else "torch-zip"), tree, {}


def _storage(identity: Any, storage_bytes: Callable[[str, int, np.dtype[Any]], Array]) -> Storage:
    """A torch storage from its persistent id: ("storage", class, key, device, elements)."""
    dtype, key, count = _identity(identity)
    element = element_type(dtype)
    return Storage(lambda: storage_bytes(key, count * element.itemsize, element).view(element), dtype)


def _identity(identity: Any) -> tuple[str, str, int]:
    """Element type, key and number of elements of a storage, from its persistent id."""
    if not (
        isinstance(identity, tuple) and len(identity) >= 5 and isinstance(identity[0], str) and identity[0] == "storage"
    ):
        raise ValueError("an unknown kind of reference")
    key = identity[2]
    if not isinstance(key, str | int) or len(str(key)) > MAX_KEY:
        raise ValueError(f"the key of a storage is {shown(key)}")
    return _storage_dtype(identity[1]), str(key), whole(identity[4], "the size of a storage")


def _is_text(value: Any, text: str) -> bool:
    """Whether a value of the file, which may be anything, is this text."""
    return isinstance(value, str) and value == text


def _storage_dtype(symbol: Any) -> str:
    if not isinstance(symbol, Symbol) or symbol.name not in STORAGE_DTYPES:
        raise ValueError(f"a storage of type {shortened(str(symbol)) if isinstance(symbol, Symbol) else shown(symbol)}")
    return STORAGE_DTYPES[symbol.name]


def _read_pickles(path: Path, memory: Array, keep_classes: tuple[str, ...]) -> tuple[str, Any, dict[str, Any]]:
    """The legacy torch container, or one bare pickle."""
    # A map, not a file: told a damaged length, a file would set that much memory aside before it reads.
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as file:

        def read(**options: Any) -> Any:
            return PickleReader(str(path), Budget(path, len(memory), WrongCheckpoint), **options).read(file)

        first = read() if _is_torch_legacy(file) else None
        if not isinstance(first, int) or first != LEGACY_MAGIC:
            file.seek(0)
            return "pickle", read(keep_classes=keep_classes), {}
        read()  # protocol version
        read()  # sizes of C types
        start = file.tell()
        used: dict[str, tuple[str, int]] = {}

        def measure(identity: Any) -> Storage:
            dtype, key, count = _legacy_identity(identity)
            used[key] = (dtype, count)
            return Storage(lambda: np.empty(0, element_type(dtype)), dtype)

        read(persistent=measure, keep_classes=keep_classes, skim=True)
        raw = _legacy_storages(path, memory, used, read(), file.tell())

        def load(identity: Any) -> Storage:
            dtype, key, _ = _legacy_identity(identity)
            return _legacy_view(identity, Storage(lambda: raw[key].view(element_type(dtype)), dtype))

        file.seek(start)
        tree = read(persistent=load, keep_classes=keep_classes)
    return "torch-legacy", tree, {}


def _legacy_storages(
    path: Path, memory: Array, used: Mapping[str, tuple[str, int]], keys: Any, offset: int
) -> dict[str, Array]:
    """The bytes of each storage, which lie one behind the other in the order of the keys."""
    raw: dict[str, Array] = {}
    if not isinstance(keys, list):
        raise ValueError(f"its list of storages is {shown(keys)}")
    for item in keys:
        key = str(item) if isinstance(item, str | int) else ""
        if key not in used or key in raw:
            raise WrongCheckpoint(f"{path} is damaged: its storages do not match its tensors.")
        dtype, count = used[key]
        element = element_type(dtype)
        num_bytes = count * element.itemsize
        stored = int.from_bytes(memory[offset : offset + 8].tobytes(), "little", signed=True)
        offset += 8
        if stored != count or offset + num_bytes > len(memory):
            raise WrongCheckpoint(
                f"{path} is cut short: storage {shortened(key, 60)} should hold {count} elements.",
                remedy="download the file again and compare its size",
            )
        raw[key] = aligned(memory[offset : offset + num_bytes], element, whole_elements=False)
        offset += num_bytes
    return raw


def _is_torch_legacy(file: Any) -> bool:
    """Whether the stream begins with a pickled long integer, as the legacy container does."""
    head = file.read(12)
    file.seek(0)
    first = head[11:12] if head[2:3] == b"\x95" else head[2:3]  # protocol 4 puts a frame header before it
    return bool(first == b"\x8a")


def _legacy_identity(identity: Any) -> tuple[str, str, int]:
    if isinstance(identity, tuple) and identity and _is_text(identity[0], "module"):
        raise UnsafeCheckpoint(
            "The checkpoint holds a whole pickled module, not a state dict.",
            accepted=READABLE,
            remedy="save model.state_dict() instead",
        )
    return _identity(identity)


def _legacy_view(identity: Any, root: Storage) -> Storage:
    """Storages of torch before 0.4 may be windows of another: ("key", offset, size)."""
    if len(identity) < 6 or identity[5] is None:
        return root
    _, offset, size = identity[5]
    start = whole(offset, "where a storage begins")
    stop = start + whole(size, "the size of a storage")
    return Storage(lambda: root.read()[start:stop], root.dtype)


def _read_npz(path: Path) -> tuple[str, Any, dict[str, Any]]:
    try:
        return "numpy", read_npz(path, error=WrongCheckpoint), {}
    except WrongCheckpoint as error:
        if isinstance(error.__cause__, PickledObjects):
            raise UnsafeCheckpoint(f"{path} holds pickled Python objects.", accepted="plain arrays") from error
        raise


def _read_onnx(path: Path) -> tuple[str, Any, dict[str, Any]]:
    try:
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingDependency("onnx", extra="models", purpose="Reading ONNX files") from error
    model = read_onnx(path, error=WrongCheckpoint, accepted=READABLE)
    with reading(path, WrongCheckpoint, what="is not a readable ONNX file", accepted=READABLE):
        tensors = {item.name: _from_onnx(numpy_helper.to_array(item)) for item in model.graph.initializer}
    return "onnx", tensors, {str(item.key): str(item.value) for item in model.metadata_props}


def _from_onnx(value: Array) -> Array:
    """bfloat16 (an extension type) as float32; text stays what it is and is no tensor."""
    return value if value.dtype.kind in f"{NUMBERS}OSU" else value.astype(np.float32)


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
                    accepted=_names(node) if isinstance(node, Mapping) else None,
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


def _names(node: Mapping[Any, Any]) -> str:
    """Some of the keys, for a message."""
    names = [shortened(str(key), 60) for key in list(node)[:20]]
    return ", ".join(names) + (", ..." if len(node) > 20 else "")


def _facts(node: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): value for name, value in node.items() if value is None or isinstance(value, bool | int | float | str)
    }
