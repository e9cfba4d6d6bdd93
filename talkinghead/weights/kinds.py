"""What a model file is, from what it holds, never from its name alone. Who knows a kind of file says how it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkinghead.errors import InputError, TalkingHeadError, WrongCheckpoint, choices
from talkinghead.reading import read_json, read_text, reading
from talkinghead.reading.bounds import shortened
from talkinghead.weights.checkpoint import Checkpoint, read_checkpoint

TEXT = (".json", ".txt")
NO_CHECKPOINTS = (*TEXT, ".pb")
"""Suffixes of files that hold no tensors by name: only their bytes tell what they are."""
MAX_TEXT_BYTES = 1_000_000
MAX_GRAPH_BYTES = 100_000_000


@dataclass(frozen=True)
class Kind:
    """A kind of file that can be recognised: by its tensors, or by its bytes."""

    name: str
    title: str
    """What it is, as a noun phrase."""
    model: str | None = None
    """Name in the registry of the model that takes such a file as its checkpoint."""
    holds: Callable[[Checkpoint], bool] | None = None
    """Whether a checkpoint is one, by its tensors."""
    key: str | None = None
    """Key below which such a checkpoint may keep its tensors."""
    is_file: Callable[[Path], bool] | None = None
    """Whether a file with one of `suffixes` is one, by its bytes."""
    suffixes: tuple[str, ...] = ()
    """With a dot, in small letters."""
    folder: str = ""
    """Below the model folder, where files of this kind are looked for by their own names; empty: each has its own."""


def recognise(path: Path, kinds: Sequence[Kind]) -> str:
    """The kind of a file: the name of the first that it is.

    Raises:
        WrongCheckpoint: none of them, damaged, or not a model file. UnsafeCheckpoint: loading it would run code.
    """
    suffix = path.suffix.lower()
    told = [kind for kind in kinds if kind.is_file is not None and suffix in kind.suffixes]
    if path.is_file():
        for kind in told:
            with reading(path, WrongCheckpoint):
                if kind.is_file is not None and kind.is_file(path):
                    return kind.name
        if suffix in NO_CHECKPOINTS:
            what = "text" if suffix in TEXT else suffix
            raise WrongCheckpoint(
                f"{path} is not a {what} file that this package knows.",
                accepted=choices([kind.title for kind in told]) if told else None,
            )
    checkpoint = read_checkpoint(path, keep_classes=("chumpy.", "scipy.sparse."))
    for inner in (checkpoint, *_below(checkpoint, kinds)):
        for kind in kinds:
            with reading(path, WrongCheckpoint):
                if kind.holds is not None and kind.holds(inner):
                    return kind.name
    held = ", ".join(shortened(name, 60) for name in list(checkpoint.tensors)[:3]) or "no tensors"
    raise WrongCheckpoint(
        f"{path} is not a model file that this package knows; it holds {len(checkpoint.tensors)} tensors ({held}).",
        accepted=choices([kind.title for kind in kinds]),
    )


def _below(checkpoint: Checkpoint, kinds: Sequence[Kind]) -> list[Checkpoint]:
    """What the checkpoint keeps below the keys that kinds name."""
    tree = checkpoint.tree
    keys = dict.fromkeys(kind.key for kind in kinds if kind.key is not None)
    return [read_checkpoint(checkpoint.path, key=key) for key in keys if isinstance(tree, Mapping) and key in tree]


def accepted_by(check: Callable[[Mapping[str, Any], str], object], checkpoint: Checkpoint) -> bool:
    """Whether a function that checks (tensors, source) accepts a checkpoint."""
    try:
        with reading(checkpoint.path):
            check(checkpoint.tensors, str(checkpoint.path))
    except TalkingHeadError:
        return False
    return True


def graph_bytes(path: Path) -> bytes:
    """The content of an ONNX file; nothing of one that is too large for the networks that are told by their bytes."""
    return path.read_bytes() if path.stat().st_size < MAX_GRAPH_BYTES else b""


def text_of(path: Path) -> str:
    """The content of a small text file; nothing of one that is none."""
    try:
        return read_text(path, max_bytes=MAX_TEXT_BYTES)
    except InputError:
        return ""


def json_of(path: Path) -> Mapping[str, Any]:
    """The object of a small JSON file; an empty one where there is none."""
    try:
        found = read_json(path, max_bytes=MAX_TEXT_BYTES)
    except InputError:
        return {}
    return found if isinstance(found, dict) else {}
