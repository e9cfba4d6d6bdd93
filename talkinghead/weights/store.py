"""The model store: files below the model folder, each with a record of what it is and where it came from.

`TALKINGHEAD_HOME`/models (or the user's data folder):

    wav2lip/wav2lip_gan.safetensors       the files, where the models and detectors look for them
    .records/wav2lip-gan.json             what each is: hashes, origin, licence accepted, time
    .records/hashes.json                  the hash of each file as it first arrived, kept when it is removed
    .incoming/wav2lip-gan/                what is under way; one process at a time, others wait
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from talkinghead.errors import (
    CheckpointError,
    InputError,
    MissingWeights,
    OptionError,
    OutputExists,
    UnwritableOutput,
    WrongCheckpoint,
    choices,
)
from talkinghead.files import file_sha256, unwritable, write_bytes
from talkinghead.places import name_fault
from talkinghead.reading import read_json, reading, unpacked_limit
from talkinghead.reading.archive import open_archive
from talkinghead.system import remove, remove_tree, replace, try_lock, unlock
from talkinghead.weights.catalogue import CatalogueEntry, Licence
from talkinghead.weights.checkpoint import read_checkpoint
from talkinghead.weights.download import DownloadOptions, Progress, download
from talkinghead.weights.folder import model_folder
from talkinghead.weights.kinds import Kind, recognise
from talkinghead.weights.trained import folder_name, series_of

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_UNPACKED_BYTES = 4_000_000_000


@dataclass(frozen=True)
class Installed:
    """One file of the store."""

    name: str
    kind: str
    """Name of a `weights.kinds.Kind`, or "" for files whose content does not tell."""
    model: str | None
    """Name in the registry of the model whose checkpoint it is."""
    path: str
    """Below the model folder, with forward slashes."""
    sha256: str
    """Of the file as it is kept."""
    size_bytes: int
    source_sha256: str
    """Of the file as it came."""
    origin: str
    """Address or path that it came from."""
    licence: str = ""
    licence_accepted: bool = False
    added: str = ""
    """ISO time, UTC."""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def file(self) -> Path:
        """Where it lies."""
        return model_folder() / self.path


def records() -> dict[str, Installed]:
    """Files of the store by name; records whose file is gone are left out."""
    found: dict[str, Installed] = {}
    folder = model_folder() / ".records"
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    for path in paths:
        if path.name != "hashes.json" and (record := _read_record(path)) is not None and record.file.is_file():
            found[record.name] = record
    return found


def _read_record(path: Path) -> Installed | None:
    try:
        with reading(path):
            data = read_json(path)
            record = Installed(**{**data, "notes": tuple(data.get("notes", ()))})
            _check_name(record.name)
            _check_relative(record.path)
    except InputError:
        return None
    return record


def part(name: str) -> Path | None:
    """Where an installed file of the catalogue lies, or None: how models find their encoders and other parts."""
    record = records().get(name)
    return record.file if record is not None else None


def part_of_kind(kind: str) -> Path | None:
    """Where an installed file of a kind lies, whatever its name: that which is called like the kind, else the only one.

    Raises:
        OptionError: there are several, and none is called like it.
    """
    found = {record.name: record.file for record in records().values() if record.kind == kind}
    if len(found) > 1 and kind not in found:
        raise OptionError(
            f"Several files of the kind {kind} are installed.",
            accepted=choices(list(found)),
            remedy="give the file, or one of these names",
        )
    return found.get(kind) or next(iter(found.values()), None)


def named_part(given: Path | None) -> Path | None:
    """What the user named as a part of a model: a file, or the name of one in the store, which becomes its path."""
    if given is None or given.exists():
        return given
    return part(str(given)) or given


def part_folder(*names: str) -> Path | None:
    """The folder of files that belong together ("hubert", "hubert-config"), or None if one of them is missing."""
    have = records()
    if any(name not in have for name in names):
        return None
    return have[names[0]].file.parent


def how_to_get(entry: CatalogueEntry) -> str:
    """The command or the steps that bring a file."""
    return f"talkinghead models pull {entry.name}" if entry.urls else entry.obtain


def missing_checkpoint(rows: Iterable[CatalogueEntry]) -> str:
    """How to get one of these checkpoints, as one sentence for an error."""
    commands = [f"talkinghead models pull {entry.name}" for entry in rows if entry.urls]
    if commands:
        return f"{commands[0]}, then the model needs no path"
    return "give the file that training wrote, or file it once: talkinghead models import FILE"


@dataclass(frozen=True)
class ModelStore:
    """The store, with the public files and the kinds of files that somebody knows."""

    catalogue: Mapping[str, CatalogueEntry]
    """Public files by name. Of several for one model the first installed one is taken by itself."""
    kinds: Sequence[Kind]
    """In the order in which they are asked."""

    # Looking

    def entry(self, name: str) -> CatalogueEntry:
        """A row of the catalogue.

        Raises:
            OptionError: there is none of that name.
        """
        try:
            return self.catalogue[name]
        except KeyError:
            from difflib import get_close_matches

            near = get_close_matches(name, self.catalogue, n=3)
            raise OptionError(
                f"There is no checkpoint {name!r} in the catalogue.",
                accepted=choices(near) if near else None,
                remedy="talkinghead models list",
            ) from None

    def recognise(self, path: Path) -> str:
        """The name of a file's kind; raises as `weights.kinds.recognise`."""
        return recognise(path, self.kinds)

    def installed(self) -> dict[str, Installed]:
        """Files of the store by name, those of the catalogue first."""
        order = {name: index for index, name in enumerate(self.catalogue)}
        return dict(sorted(records().items(), key=lambda item: (order.get(item[0], len(order)), item[0])))

    def find(self, name: str) -> Installed:
        """A file of the store.

        Raises:
            MissingWeights: it is not installed; says how to get it. OptionError: no such name at all.
        """
        have = self.installed()
        if name in have:
            return have[name]
        entry = self.entry(name) if name in self.catalogue or not have else None
        if entry is None:
            raise OptionError(
                f"There is no file {name!r} in the model store.", accepted=choices(list(have)), remedy="models list"
            )
        raise MissingWeights(f"{name} is not installed.", remedy=how_to_get(entry))

    def for_model(self, model: str) -> list[Installed]:
        """Checkpoints of a model that are installed, the preferred one first."""
        return [record for record in self.installed().values() if record.model == model]

    def checkpoint_for(self, model: str, given: str | os.PathLike[str] | None) -> Path | None:
        """The checkpoint that a model is to be loaded from.

        Args:
            given: what the user named: a file, a name in the store, a folder; None takes the first installed one of the
                catalogue, or the only one that was imported.
        Returns:
            A path; None if nothing was given and nothing is installed.
        Raises:
            OptionError: several were imported and none is of the catalogue: the user has to say which.
            MissingWeights: it is one of the catalogue that is not installed.
        """
        if given is not None:
            path = Path(given)
            name = os.fspath(given)
            # a bare name is that of the store, also where a folder is called so; ./name is the folder
            if not path.is_file() and _NAME.fullmatch(name) and name in (have := self.installed()):
                return have[name].file
            if not path.exists() and name in self.catalogue:
                raise MissingWeights(
                    f"The checkpoint {name} is not installed.", remedy=how_to_get(self.catalogue[name])
                )
            return path
        found = self.for_model(model)
        if len(found) > 1 and found[0].name not in self.catalogue:
            raise OptionError(
                f"Several checkpoints of {model} are installed, each for its own person.",
                accepted="--checkpoint with one of " + choices([record.name for record in found]),
            )
        return found[0].file if found else None

    def missing_checkpoint(self, model: str) -> str:
        """How to get a checkpoint of a model, as one sentence for an error."""
        return missing_checkpoint(entry for entry in self.catalogue.values() if entry.model == model)

    # Bringing

    def pull(
        self,
        name: str,
        *,
        accept_licence: bool,
        progress: Progress | None = None,
        force: bool = False,
        options: DownloadOptions | None = None,
        waiting: Callable[[], None] | None = None,
    ) -> Installed:
        """Download, verify and file one entry of the catalogue; nothing happens if it is there already.

        Safe to run twice at once: the second waits and finds the file there.

        Args:
            accept_licence: whether the user has accepted the entry's licence.
            force: fetch it again, and accept it even if it differs from what first arrived under this name.
            waiting: called once if another process is at work on it.
        Raises:
            OptionError: no such entry, or the licence is not accepted. MissingWeights: it may not be fetched by a
            program. DownloadFailed, WrongCheckpoint, UnwritableOutput: as `download`.
        """
        entry = self.entry(name)
        if not force and (there := self.installed().get(name)) is not None:
            return there
        if not entry.urls:
            raise MissingWeights(f"{name} may not be fetched by a program ({entry.licence.name}).", remedy=entry.obtain)
        if not accept_licence:
            raise OptionError(
                f"{name} comes under: {entry.licence.name}. {entry.licence.summary}",
                accepted="--accept-license, once you have read it"
                + (f" ({entry.licence.url})" if entry.licence.url else ""),
            )
        with _incoming(name, waiting) as folder:
            if not force and (there := self.installed().get(name)) is not None:
                return there
            arrived = folder / PurePosixPath(entry.path).name
            packed = folder / f"{arrived.name}.zip" if entry.archive_member else arrived
            expected = entry.sha256 or ("" if force else _first_hashes().get(name, ""))
            sha256, origin = _arrived_before(packed, expected, entry.urls[0]) or download(
                entry.urls, packed, sha256=expected, size_bytes=entry.size_bytes, progress=progress, options=options
            )
            try:
                if entry.archive_member:
                    unpack_member(packed, entry.archive_member, arrived, sha1=entry.member_sha1)
                self._check_kind(entry, arrived)
                _remember_hash(name, sha256)
                record = _file_away(entry, arrived, sha256, origin, accepted=True)
            except (CheckpointError, UnwritableOutput):
                remove_tree(folder)
                raise
        return record

    def with_parts(self, names: Sequence[str]) -> list[CatalogueEntry]:
        """The rows of these names, each followed by the rows that it does not work without and a program may fetch.

        Raises:
            OptionError: no such entry.
        """
        found: dict[str, CatalogueEntry] = {}
        for name in names:
            entry = self.entry(name)
            found.setdefault(entry.name, entry)
            for more in entry.brings:
                if self.catalogue[more].urls:
                    found.setdefault(more, self.catalogue[more])
        return list(found.values())

    def import_file(self, path: str | os.PathLike[str], *, name: str | None = None, force: bool = False) -> Installed:
        """File something that the user has; what it is is recognised from its content.

        Args:
            path: a checkpoint of any public container, a detector in ONNX, or the zip of DeepSpeech.
            name: under which name; needed for models of one person, where the file's own name is taken if it is fit.
            force: replace what is there under that name.
        Raises:
            WrongCheckpoint, UnsafeCheckpoint: not a file that this package knows. OutputExists: the name is taken.
        """
        source = Path(path)
        if not source.is_file():
            what = "is a folder" if source.is_dir() else "is not there"
            raise WrongCheckpoint(f"{str(source)!r} {what}.", accepted="a checkpoint file")
        sha256 = file_sha256(source)
        packed = self._packed_entry(source, name)
        exact = packed or next((entry for entry in self.catalogue.values() if entry.sha256 == sha256), None)
        kind = exact.kind if exact is not None else self.recognise(source)
        entry = exact or self._entry_for(kind, source, name)
        final = name if name is not None else entry.name if entry is not None else self._fit_name(source.stem, kind)
        _check_name(final)
        if entry is not None and final != entry.name:
            entry = None
        if final in self.catalogue and (entry is None or entry.name != final):
            raise OptionError(
                f"{final!r} is the name of another file in the catalogue.", remedy="--name with another name"
            )
        with _incoming(final, None) as folder:
            there = self.installed().get(final)
            if there is not None and not force:
                if there.source_sha256 == sha256:
                    return there
                raise OutputExists(
                    f"{final} is installed already.", remedy="--force replaces it, or --name files it apart"
                )
            if entry is None:
                entry = self._own_row(final, kind, source if packed is None else Path(packed.archive_member))
            arrived = folder / PurePosixPath(entry.path).name
            if arrived.name == "pytorch_model.bin" and source.suffix == ".safetensors":
                arrived = folder / "model.safetensors"  # transformers goes by the name
            try:
                if packed is not None:
                    unpack_member(source, packed.archive_member, arrived, sha1=packed.member_sha1)
                else:
                    shutil.copyfile(source, arrived)
            except OSError as error:
                remove_tree(folder)
                raise unwritable(arrived, error) from error
            return _file_away(entry, arrived, sha256, str(source.absolute()), accepted=False)

    def import_folder(
        self, path: str | os.PathLike[str], *, name: str | None = None, force: bool = False
    ) -> tuple[Installed, ...]:
        """File what a folder holds that training or a command of this package wrote; as `import_file` each.

        Of several checkpoints of one series the latest is taken (`chkpnt_fuse_latest.pth`, `199.pth`).

        Args:
            name: of the model's checkpoint; default: the folder's.
        Raises:
            WrongCheckpoint: nothing in it is known. OutputExists: the model's name is taken.
        """
        folder = Path(path)
        found: list[tuple[str, Path]] = []
        for series in series_of(folder):
            for file in series:
                with contextlib.suppress(CheckpointError):
                    found.append((self.recognise(file), file))
                    break
        of_models = {kind.name for kind in self.kinds if kind.model is not None}
        models = [(kind, file) for kind, file in found if kind in of_models]
        if not found or len(models) > 1:
            held = ", ".join(file.name for _, file in models)
            what = f"several checkpoints: {held}" if models else "no file that this package knows"
            raise WrongCheckpoint(
                f"{str(folder)!r} holds {what}.",
                remedy="name the file itself",
            )
        filed = [
            self.import_file(file, name=name or self._fit_name(folder_name(folder), kind), force=force)
            for kind, file in models
        ]
        for kind, file in found:
            if kind not in of_models:
                with contextlib.suppress(OutputExists):  # a part that somebody filed before stays
                    filed.append(self.import_file(file, force=force, name=name if not models else None))
        return tuple(filed)

    # Keeping

    def verify(self, name: str) -> str:
        """Read a file of the store again and compare its hash.

        Returns:
            Its SHA-256.
        Raises:
            WrongCheckpoint: it changed since it was filed. MissingWeights: not installed.
        """
        record = self.find(name)
        with record.file.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != record.sha256:
            raise WrongCheckpoint(
                f"{record.file} has changed since it was filed: SHA-256 {found}.",
                accepted=record.sha256,
                remedy=f"talkinghead models remove {name}, then pull or import it again",
            )
        return found

    def remove(self, name: str) -> int:
        """Delete a file of the store with its record and whatever is left of downloads.

        Returns:
            Bytes that became free.
        """
        folder = model_folder()
        record = self.installed().get(name)
        leftovers = folder / ".incoming" / name if _NAME.fullmatch(name) else None
        if record is None and not (leftovers is not None and leftovers.is_dir()):
            self.find(name)
        freed = 0
        with _incoming(name, None) as incoming:
            if record is not None:
                freed += record.file.stat().st_size
                try:
                    remove(record.file)
                    remove(folder / ".records" / f"{name}.json")
                except OSError as error:  # on Windows: a program has it open
                    raise unwritable(record.file, error) from error
                with contextlib.suppress(OSError):
                    record.file.parent.rmdir()  # only if it is empty
            freed += sum(path.stat().st_size for path in incoming.glob("*") if path.is_file())
            remove_tree(incoming)
        return freed

    # Helpers

    def _check_kind(self, entry: CatalogueEntry, arrived: Path) -> None:
        """A file of unknown hash must at least be what the row says."""
        if not entry.kind or entry.sha256 or entry.member_sha1:
            return
        kind = self.recognise(arrived)
        if kind != entry.kind:
            raise WrongCheckpoint(f"{entry.name} turned out to be {kind}.", accepted=entry.kind)

    def _entry_for(self, kind: str, source: Path, name: str | None) -> CatalogueEntry | None:
        """The row under which a recognised file of unknown hash is filed, if it is a public one.

        Of several rows of a kind the one whose file is called like this takes it; a kind with one row takes that.
        """
        rows = [entry for entry in self.catalogue.values() if entry.kind == kind]
        if name is not None:
            rows = [entry for entry in rows if entry.name == name]
        same = [entry for entry in rows if PurePosixPath(entry.path).stem.lower() == source.name.split(".")[0].lower()]
        if same:
            return same[0]
        return rows[0] if len(rows) == 1 else None

    def _own_row(self, name: str, kind: str, source: Path) -> CatalogueEntry:
        """A row for a file of the user's own."""
        known = next((row for row in self.kinds if row.name == kind), None)
        suffix = "".join(source.suffixes[-2:]) if source.name.endswith(".pth.tar") else source.suffix
        return CatalogueEntry(
            name=name,
            purpose=known.title if known is not None else kind,
            path=f"{(known.folder if known is not None else '') or name}/{name}{suffix}",
            licence=_OWN,
            found_in="",
            kind=kind,
            model=known.model if known is not None else None,
        )

    def _packed_entry(self, source: Path, name: str | None) -> CatalogueEntry | None:
        """The row whose archive this is; of several that it holds the one of that name."""
        if not zipfile.is_zipfile(source):
            return None
        with contextlib.suppress(InputError), open_archive(source) as opened:
            names = opened.entries
            held = [row for row in self.catalogue.values() if row.archive_member and row.archive_member in names]
            return next((row for row in held if row.name == name), held[0] if held else None)
        return None

    def _fit_name(self, stem: str, kind: str) -> str:
        made = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:48]
        fits = _NAME.fullmatch(made) and not name_fault(made) and made not in self.catalogue
        return made if fits else f"my-{kind}"


def _arrived_before(path: Path, sha256: str, url: str) -> tuple[str, str] | None:
    """A whole file of an earlier run that was stopped while it was converted, if it is the wanted one."""
    if not path.is_file() or not sha256:
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return (found, url) if found == sha256 else None


def unpack_member(archive: Path, member: str, target: Path, *, sha1: str = "", limit: int = MAX_UNPACKED_BYTES) -> None:
    """Take the one wanted file out of a zip archive.

    Names in the archive are only compared with the wanted one, never used as paths, so that a hostile name does
    nothing; a member of absurd size, a link or a second member of the same name is refused.

    Raises:
        WrongCheckpoint: not an archive, or it does not hold the file as expected. UnwritableOutput: disk full.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        with open_archive(archive, error=WrongCheckpoint, remedy="download it again") as opened:
            info = opened.entries.get(member)
            if info is None or info.is_dir() or (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise WrongCheckpoint(
                    f"{archive.name} does not hold exactly one file {member!r}.", remedy="download it again"
                )
            if info.file_size > min(limit, unpacked_limit(len(opened))):
                raise WrongCheckpoint(f"{member} in {archive.name} would be {info.file_size} bytes.")
            _write_blocks(target, opened.blocks(member), digest)
    except (WrongCheckpoint, UnwritableOutput):
        remove(target)
        raise
    if sha1 and digest.hexdigest() != sha1:
        remove(target)
        raise WrongCheckpoint(f"{member} has the SHA-1 {digest.hexdigest()}.", accepted=sha1)


def _write_blocks(target: Path, blocks: Iterable[bytes], digest: Any) -> None:
    """Write what comes and hash it; faults of the disk are told apart from those of the source."""
    try:
        with target.open("wb") as file:
            for block in blocks:
                digest.update(block)
                file.write(block)
    except OSError as error:
        raise unwritable(target, error) from error


_OWN = Licence("your own file", "Its own terms apply.")


def _file_away(entry: CatalogueEntry, arrived: Path, source_sha256: str, origin: str, *, accepted: bool) -> Installed:
    """Convert if wanted, move into place, write the record."""
    notes: tuple[str, ...] = ()
    relative = entry.path
    if entry.sha256 and source_sha256 != entry.sha256:
        notes += ("its hash is not that of the catalogue: it was saved again, or trained further",)
    if entry.convert and arrived.suffix != ".safetensors":
        arrived = _converted(arrived, source_sha256)
        notes += ("kept as safetensors, without optimiser states",)
    if arrived.suffix == ".safetensors":
        relative = str(PurePosixPath(entry.path).with_name(arrived.name))
    _check_relative(relative)
    target = model_folder() / relative
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with arrived.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = arrived.stat().st_size
        replace(arrived, target)
    except OSError as error:
        raise unwritable(target, error) from error
    record = Installed(
        name=entry.name,
        kind=entry.kind,
        model=entry.model,
        path=relative,
        sha256=sha256,
        size_bytes=size,
        source_sha256=source_sha256,
        origin=origin,
        licence=entry.licence.name,
        licence_accepted=accepted,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=notes,
    )
    _write_json(model_folder() / ".records" / f"{entry.name}.json", asdict(record))
    remove_tree(model_folder() / ".incoming" / entry.name)
    return record


def _converted(arrived: Path, source_sha256: str) -> Path:
    from talkinghead.weights.safetensors import write_safetensors

    checkpoint = read_checkpoint(arrived)
    target = arrived.with_suffix(".safetensors")
    metadata = {"source_sha256": source_sha256, "source_container": checkpoint.container}
    with reading(arrived, WrongCheckpoint, what="cannot be kept as safetensors"):
        write_safetensors(checkpoint.tensors, target, metadata=metadata, overwrite=True)
    del checkpoint
    remove(arrived)
    return target


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in ("hashes", "records") or ".." in name:
        raise OptionError(f"{name!r} cannot be a name.", accepted="small letters, digits, '-', '_' and '.', at most 64")
    if fault := name_fault(name):  # a store may be shared, or be moved to another machine
        raise OptionError(f"{name!r} cannot be a name: {fault}.", remedy="another name")


def _check_relative(path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts or pure.parts[0].startswith("."):
        raise OptionError(f"{path!r} is not a path inside the model folder.")


def _first_hashes() -> Mapping[str, str]:
    try:
        data = read_json(model_folder() / ".records" / "hashes.json")
    except InputError:
        return {}
    return {str(key): str(value) for key, value in data.items()} if isinstance(data, dict) else {}


def _remember_hash(name: str, sha256: str) -> None:
    with _incoming("hashes", None):  # pulls of other files write it too
        _write_json(model_folder() / ".records" / "hashes.json", {**_first_hashes(), name: sha256})


def _write_json(path: Path, data: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    write_bytes(path, (json.dumps(data, indent=2) + "\n").encode("utf-8"))


@contextmanager
def _incoming(name: str, waiting: Callable[[], None] | None) -> Iterator[Path]:
    """The folder in which a file arrives, for one process at a time; what is left in it is resumed later."""
    base = model_folder() / ".incoming"
    folder = base / name
    try:
        base.mkdir(parents=True, exist_ok=True)
        lock = (base / f"{name}.lock").open("a+b")
    except OSError as error:
        raise unwritable(base, error) from error
    with lock:
        told = False
        while not try_lock(lock.fileno()):
            if not told and waiting is not None:
                waiting()
            told = True
            time.sleep(0.1)
        try:
            folder.mkdir(exist_ok=True)
            yield folder
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only if it is empty
            unlock(lock.fileno())
