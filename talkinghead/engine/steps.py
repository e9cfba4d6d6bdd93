"""Records beside the files of stages: what a file was made from, and whether files fit together."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import InputError, MediaNotFound, OutputExists, StaleStage, UnwritableOutput
from talkinghead.files import PendingOutput, check_target, unwritable, write_bytes
from talkinghead.places import STAGE_RECORD, check_apart, fitted_name, partial_name
from talkinghead.reading import read_json, read_npy
from talkinghead.system import remove_tree, replace

VERSION = 1
_EDGE = 64 * 1024


@dataclass(frozen=True)
class Record:
    """What a stage wrote, and from what."""

    stage: str
    version: int
    options: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Role to the identity of the file that was read."""
    output: str
    """Identity of what was written."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What later stages need to know: frames per second, number of items."""


@dataclass(frozen=True)
class StageReport:
    """What one stage did, for people and as JSON (`--report`)."""

    stage: str
    output: str
    seconds: float
    items: int
    unit: str
    """What an item is."""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.items / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "per_second": round(self.per_second, 3)}

    def text(self) -> str:
        """One line."""
        rate = f"{self.per_second:.1f} {self.unit}/s" if self.items else ""
        kept = ", found by an earlier run" if self.details.get("from_cache") else ""
        return f"{self.stage}: {self.items} {self.unit} in {self.seconds:.3f} s ({rate}{kept}) -> {self.output}"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._started


def identity(path: Path) -> str:
    """Hash of a file, or of the numbered pictures of a folder (name, size and both ends of each).

    Raises:
        MediaNotFound: nothing there.
    """
    sha = hashlib.sha256()
    if path.is_dir():
        for item in sorted(item for item in path.iterdir() if not item.name.startswith(".")):
            sha.update(f"{item.name} {item.stat().st_size} ".encode("utf-8", "surrogateescape"))
            _update(sha, item)
    elif path.is_file():
        sha.update(f"{path.stat().st_size} ".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    else:
        raise MediaNotFound(f"There is no {path}.", remedy="run the stage before, or check the path")
    return sha.hexdigest()


def _update(sha: Any, path: Path) -> None:
    with path.open("rb") as file:
        sha.update(file.read(_EDGE))
        size = path.stat().st_size
        if size > _EDGE:
            file.seek(max(_EDGE, size - _EDGE))
            sha.update(file.read(_EDGE))


def record_path(output: Path) -> Path:
    """Where the record of a file or folder lies."""
    return output / STAGE_RECORD if output.is_dir() else output.with_name(fitted_name(output.name, STAGE_RECORD))


def read_record(output: Path) -> Record | None:
    """The record of a stage's output, or None if there is none or the output was changed since."""
    try:
        record = Record(**read_json(record_path(output)))
    except (InputError, TypeError):
        return None
    if not (isinstance(record.options, dict) and isinstance(record.inputs, dict) and isinstance(record.facts, dict)):
        return None
    if record.version != VERSION or record.output != identity(output):
        return None
    return record


def write_record(
    output: Path,
    stage: str,
    options: Mapping[str, Any],
    inputs: Mapping[str, Path],
    facts: Mapping[str, Any] | None = None,
) -> Record:
    """Write the record of an output that is complete."""
    plain = json.loads(json.dumps(dict(options), default=str))
    made_from = {role: identity(path) for role, path in inputs.items()}
    record = Record(stage, VERSION, plain, made_from, identity(output), dict(facts or {}))
    write_bytes(record_path(output), (json.dumps(asdict(record), indent=1) + "\n").encode("ascii"))
    return record


def is_current(output: Path, stage: str, options: Mapping[str, Any], inputs: Mapping[str, Path]) -> bool:
    """Whether an output is what the stage would make again: same options, same inputs, not changed since."""
    if not output.exists():
        return False
    record = read_record(output)
    if record is None or record.stage != stage:
        return False
    plain = json.loads(json.dumps(dict(options), default=str))
    return dict(record.options) == plain and dict(record.inputs) == {
        role: identity(path) for role, path in inputs.items()
    }


def check_made_from(output: Path, role: str, source: Path) -> None:
    """Refuse a file that was made from another file than the one given beside it.

    Raises:
        StaleStage: its record names another source.
    """
    record = read_record(output)
    if record is None or role not in record.inputs:
        return
    if record.inputs[role] != identity(source):
        raise StaleStage(
            f"{output} was made by {record.stage} from other {role} than {source}: it is of another run, or {source} "
            "was changed since.",
            remedy=f"run {record.stage} again with --force",
        )


# Files ----------------------------------------------------------------------------------------------------------------


def check_free(output: Path, *, force: bool, inputs: Sequence[Path | None], folder: bool = False) -> None:
    """Refuse to replace what is there, and whatever the step reads.

    Args:
        inputs: all that the step reads; None is left out.
        folder: the output is a folder of numbered files.
    Raises:
        OptionError: it is an input. OutputExists: it is there and `force` is off. UnwritableOutput: no such folder to
        write in.
    """
    check_apart([output], inputs)
    if folder and os.path.lexists(output):
        if not output.is_dir():
            raise UnwritableOutput(f"{str(output)!r} is a file.", accepted="the name of a folder")
        if not force:
            raise OutputExists(f"{str(output)!r} exists.", remedy="--force, or another name")
        if strangers := _strangers(output):
            raise OutputExists(
                f"The folder {str(output)!r} holds other files, such as {strangers[0]!r}.", remedy="another folder"
            )
        return
    try:
        check_target(output, overwrite=force)
    except OutputExists as error:
        raise OutputExists(error.what, remedy="--force, or another name") from error


def _strangers(folder: Path) -> list[str]:
    return sorted(
        item.name
        for item in folder.iterdir()
        if item.name != STAGE_RECORD and not (item.suffix in (".png", ".npz") and item.stem.isdigit())
    )


@contextmanager
def pending_folder(output: Path) -> Iterator[Path]:
    """A folder that gets its name when the block ends well; else it vanishes. An old one is replaced."""
    temporary = output.with_name(partial_name(output.name))
    try:
        temporary.mkdir()
    except OSError as error:
        raise unwritable(output, error) from error
    try:
        yield temporary
        if output.exists():
            remove_tree(output, strict=True)
        replace(temporary, output)
    except OSError as error:
        raise unwritable(output, error) from error
    finally:
        remove_tree(temporary)


def write_array(output: Path, array: NDArray[Any]) -> None:
    """Write a .npy file; it appears whole or not at all."""
    with PendingOutput(output) as pending:
        with pending.writing(), pending.temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        pending.commit()


def read_array(path: Path, shape: tuple[int | None, ...], what: str) -> NDArray[Any]:
    """Read a .npy file and check its shape.

    Raises:
        MediaNotFound: no such file. InputError: not such an array.
    """
    accepted = f"{what}: [{', '.join('n' if size is None else str(size) for size in shape)}] numbers, .npy"
    if not path.is_file():
        raise MediaNotFound(f"There is no file {path}.", accepted=accepted)
    array = read_npy(path, accepted=accepted, remedy="run the stage that writes it again")
    fits = (
        array.ndim == len(shape)
        and all(wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True))
        and array.dtype.kind in "fiu"
    )
    if not fits:
        raise InputError(f"{path} holds {list(array.shape)} {array.dtype}.", accepted=accepted)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{path} holds values that are not numbers.")
    return array


def picture_paths(folder: Path, what: str) -> list[Path]:
    """The numbered pictures of a folder, by number.

    Raises:
        MediaNotFound: no folder, or none in it. StaleStage: numbers are missing.
    """
    if not folder.is_dir():
        raise MediaNotFound(f"There is no folder {folder}.", accepted=f"a folder of {what}: 00000000.png, ...")
    numbered = sorted((int(item.stem), item) for item in folder.glob("*.png") if item.stem.isdigit())
    if not numbered:
        raise MediaNotFound(f"{folder} holds no {what}.", accepted="00000000.png, 00000001.png, ...")
    numbers = [number for number, _ in numbered]
    first = numbers[0]
    if first not in (0, 1) or numbers != list(range(first, first + len(numbers))):
        missing = next(n for n in range(min(first, 1), first + len(numbers) + 1) if n not in numbers)
        raise StaleStage(
            f"{folder} lacks number {missing} of its {what}.", remedy="run the stage that makes it again, with --force"
        )
    return [path for _, path in numbered]


def picture_name(index: int) -> str:
    """File name of picture `index`, from 0."""
    return f"{index:08d}.png"
