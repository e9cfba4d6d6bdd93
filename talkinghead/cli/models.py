"""`talkinghead models`: the model families, and the store of their checkpoints."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.places import WRITTEN
from talkinghead.terminal import console
from talkinghead.terminal.helping import HelpPage, help_page
from talkinghead.terminal.typers import new_typer

if TYPE_CHECKING:
    from talkinghead.weights.catalogue import CatalogueEntry
    from talkinghead.weights.store import Installed

app = new_typer(help="List models; download, file, check, convert and remove their checkpoints.")


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Checkpoint: .pth, .pt, TorchScript, ONNX, npz.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="File to write, .safetensors."), WRITTEN],
    key: Annotated[
        str | None, typer.Option(help="Take the tensors below this key (a/b for nested ones); default: found.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Convert a checkpoint to safetensors. No code of the file is run; optimiser states are left out."""
    from talkinghead.errors import OptionError, WrongCheckpoint
    from talkinghead.reading import reading
    from talkinghead.weights import read_checkpoint, write_safetensors

    if output.suffix != ".safetensors":
        raise OptionError(f"The output is {output.name!r}.", accepted="a name that ends in .safetensors")
    checkpoint = read_checkpoint(source, key=key)
    metadata = {"source_sha256": checkpoint.sha256, "source_container": checkpoint.container}
    metadata.update({name: str(value) for name, value in checkpoint.metadata.items() if value is not None})
    tensors = checkpoint.tensors
    if checkpoint.container == "onnx":  # exporters number the constants; a known network gets its names back
        from talkinghead.service.models import tensors_of_export

        tensors = tensors_of_export(checkpoint) or tensors
    with reading(source, WrongCheckpoint, what="cannot be kept as safetensors"):
        write_safetensors(tensors, output, metadata=metadata, overwrite=force)
    size = sum(value.nbytes for value in tensors.values())
    console.say(
        f"{output}: {len(tensors)} tensors, {console.size_text(size)} "
        f"(from {checkpoint.container}, sha256 {checkpoint.sha256[:16]}...)"
    )


@app.command("list")
def list_models(json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False) -> None:
    """List the models (what each takes, needs and gives) and the checkpoints (what is there, what can be had)."""
    from talkinghead.cli.main import hidden_commands
    from talkinghead.engine.options import config_class, option_fields
    from talkinghead.registry import DEFAULT_FAMILY, FAMILIES
    from talkinghead.service.models import model_store

    for broken in FAMILIES.broken:
        console.warn(f"{broken}\nTry: {broken.remedy}")
    for hidden in hidden_commands():
        console.warn(f"The command {hidden.name} ({hidden.target}) has the name of another, and cannot be reached.")
    if not json_output:
        rows = [
            [
                facts.name + (" (default)" if facts.name == DEFAULT_FAMILY else ""),
                facts.source_option,
                "checkpoint" if facts.needs_checkpoint else "no weights",
                str(facts.fps) if facts.fps is not None else "any",
                facts.extra or "base",
                facts.summary,
            ]
            for facts in FAMILIES.values()
        ]
        console.say(console.table(["model", "takes", "needs", "frames/s", "extra", "what it does"], rows))
        console.say()
        console.say(_checkpoint_table())
        return
    have = model_store().installed()
    found: list[dict[str, Any]] = []
    for facts in FAMILIES.values():
        options = [
            {
                "name": item.name,
                "flag": item.flag,
                "type": item.spelling,
                "default": item.default,
                "help": item.help,
            }
            for item in option_fields(config_class(facts.config))  # type: ignore[arg-type]
        ]
        found.append(
            {
                "name": facts.name,
                "title": facts.title,
                "summary": facts.summary,
                "kind": facts.kind,
                "source_option": facts.source_option,
                "face_source": facts.face_source,
                "needs_checkpoint": facts.needs_checkpoint,
                "fps": str(facts.fps) if facts.fps is not None else None,
                "whole_sound": list(facts.whole_sound),
                "extra": facts.extra,
                "installed": [record.name for record in have.values() if record.model == facts.name],
                "options": options,
            }
        )
    console.print_json(found)


def _checkpoint_table() -> str:
    from talkinghead.service.models import model_store

    store = model_store()
    have = store.installed()
    rows: list[list[object]] = []
    hidden = [entry for entry in store.catalogue.values() if not entry.listed and entry.name not in have]
    for entry in store.catalogue.values():
        if entry in hidden:
            continue
        state = "installed" if entry.name in have else "pull" if entry.urls else "by hand"
        size = console.size_text(entry.size_bytes) if entry.size_bytes is not None else "-"
        rows.append([entry.name, entry.model or "-", state, size, entry.licence.name, entry.purpose])
    for record in have.values():
        if record.name not in store.catalogue:
            size = console.size_text(record.size_bytes)
            rows.append([record.name, record.model or "-", "installed", size, record.licence, record.kind])
    text = console.table(["checkpoint", "model", "state", "size", "licence", "what it is"], rows)
    if not hidden:
        return text
    return (
        f"{text}\n\nNot listed until they are installed: {len(hidden)} files that are one of many, or that come along "
        f"with another ({hidden[0].name} ...).\n`talkinghead models licenses` names all."
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A checkpoint of `talkinghead models list`.")],
    json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False,
) -> None:
    """Say everything about one checkpoint: purpose, licence, size, hash, where it is from, and whether it is here."""
    from dataclasses import asdict

    from talkinghead.service.models import model_store
    from talkinghead.weights.store import how_to_get

    store = model_store()
    record = store.installed().get(name)
    entry = store.catalogue.get(name)
    if entry is None and record is None:
        store.entry(name)
    if json_output:
        console.print_json(
            {
                "name": name,
                "catalogue": asdict(entry) if entry is not None else None,
                "installed": {**asdict(record), "file": str(record.file)} if record is not None else None,
            }
        )
        return
    if entry is not None:
        _show_entry(entry)
    if record is not None:
        console.say(f"installed:  {record.file} ({console.size_text(record.size_bytes)}, sha256 {record.sha256})")
        console.say(f"            from {record.origin}, {record.added}")
    elif entry is not None:
        console.say(f"installed:  no. {how_to_get(entry)}")


def _show_entry(entry: CatalogueEntry) -> None:
    size = console.size_text(entry.size_bytes) if entry.size_bytes is not None else "not known"
    console.say(f"{entry.name}: {entry.purpose}")
    console.say(f"model:      {entry.model or '-'}")
    console.say(f"licence:    {entry.licence.name}. {entry.licence.summary} {entry.licence.url}".rstrip())
    console.say(f"size:       {size}")
    console.say(f"sha256:     {entry.sha256 or 'not known; recorded when it first arrives'}")
    for index, url in enumerate(entry.urls):
        console.say(("address:    " if index == 0 else "            ") + url)
    if entry.brings:
        console.say(f"needs:      {', '.join(entry.brings)}")
    console.say(f"facts from: {entry.found_in}")


@app.command("pull")
@help_page(
    HelpPage(
        examples=(
            "models pull face-mesh",
            "models pull face-mesh --accept-license",
        )
    )
)
def pull(
    names: Annotated[list[str], typer.Argument(help="Checkpoints of `talkinghead models list`.")],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You have read the licence and accept it (for scripts).")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Fetch it again, even if it changed at its source.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Download checkpoints and what they need, verify and file them; an interrupted download goes on where it ended.

    Asks to accept the licence first. HF_HOME, HF_ENDPOINT and TALKINGHEAD_HOME are respected; TALKINGHEAD_OFFLINE=1
    and HF_HUB_OFFLINE=1 forbid the network.
    """
    from talkinghead.service.models import model_store

    store = model_store()
    for entry in store.with_parts(names):
        there = store.installed().get(entry.name)
        if there is not None and not force:
            console.say(f"{entry.name} is installed: {there.file}")
            continue
        accepted = accept_license or (bool(entry.urls) and _ask(entry))
        with _ByteProgress(entry.name, quiet=quiet) as progress:
            record = store.pull(
                entry.name,
                accept_licence=accepted,
                progress=progress,
                force=force,
                waiting=lambda: console.note("another process is fetching it; waiting"),
            )
        _say_filed(record)


def _say_filed(record: Installed) -> None:
    console.say(f"{record.name}: {record.file}, {console.size_text(record.size_bytes)}, sha256 {record.sha256}")
    for note in record.notes:
        console.say(f"  {note}")
    if record.model is not None:
        console.say(f"Now: {_what_works(record)}")


def _what_works(record: Installed) -> str:
    """The command that a filed checkpoint makes possible."""
    from talkinghead.cli.generate import PLACES
    from talkinghead.errors import OptionError
    from talkinghead.registry import family
    from talkinghead.service.models import model_store
    from talkinghead.terminal.program import program

    facts = family(str(record.model))
    try:
        alone = model_store().checkpoint_for(facts.name, None) == record.file
    except OptionError:  # one of several
        alone = False
    words = [program(), "generate --model", facts.name, *([] if alone else ["--checkpoint", record.name])]
    return " ".join(
        [*words, facts.source_option, PLACES.get(facts.source_option, "FILE"), "--audio hello.wav -o out.mp4"]
    )


def _ask(entry: CatalogueEntry) -> bool:
    """Show the licence and ask, where there is somebody to ask."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    _show_entry(entry)
    return typer.confirm("Do you accept this licence?", err=True)


class _ByteProgress:
    """Progress of a download on stderr: a bar on a terminal, else a line every few seconds."""

    def __init__(self, name: str, *, quiet: bool) -> None:
        self._name, self._quiet = name, quiet
        self._bar: Any = None
        self._task: Any = None
        self._last_s = time.monotonic()

    def __enter__(self) -> _ByteProgress:
        if not self._quiet and console.is_terminal(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.progress import TransferSpeedColumn as Speed

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(self._name, total=total)
            self._bar.update(self._task, completed=done, total=total)
        elif not self._quiet and time.monotonic() - self._last_s >= 5.0:
            self._last_s = time.monotonic()
            whole = f" of {console.size_text(total)}" if total is not None else ""
            console.note(f"{self._name}: {console.size_text(done)}{whole}")


@app.command("import")
@help_page(
    HelpPage(
        examples=(
            "models import audio_visual_encoder.pth",
            "models import output/may.pth --name may",
            "models import head3d/model",
        )
    )
)
def import_file(
    file: Annotated[
        Path, typer.Argument(help="A checkpoint, detector or archive that you have, or the folder that training wrote.")
    ],
    name: Annotated[str | None, typer.Option(help="Under which name; default: found from what it is.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there under that name.")] = False,
) -> None:
    """File a checkpoint that you have; what it is is recognised from its content. Your file stays where it is.

    Of a folder the latest checkpoint is filed, and the encoders that lie beside it.
    """
    from talkinghead.service.models import model_store

    store = model_store()
    if not file.is_dir():
        records = [store.import_file(file, name=name, force=force)]
        console.say(f"{file.name} is {records[0].kind or records[0].name}.")
    else:
        records = list(store.import_folder(file, name=name, force=force))
    for record in records:
        _say_filed(record)


@app.command("verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Checkpoints; default: all that are installed.")] = None,
) -> int:
    """Read installed checkpoints again and compare their hashes."""
    from talkinghead.errors import CheckpointError
    from talkinghead.service.models import model_store

    store = model_store()
    wrong = 0
    for name in names or list(store.installed()):
        try:
            console.say(f"{name}: sha256 {store.verify(name)}, as filed")
        except CheckpointError as error:
            wrong += 1
            console.show_failure(error)
    if not names and not store.installed():
        console.say("Nothing is installed.")
    return 2 if wrong else 0


@app.command("remove")
def remove(names: Annotated[list[str], typer.Argument(help="Installed checkpoints.")]) -> None:
    """Delete checkpoints from the store."""
    from talkinghead.service.models import model_store

    store = model_store()
    for name in names:
        console.say(f"{name}: removed, {console.size_text(store.remove(name))} freed")


@app.command("licenses")
def licenses(json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False) -> None:
    """List the licence of every checkpoint and what it forbids."""
    from talkinghead.service.models import model_store

    store = model_store()
    have = store.installed()
    if json_output:
        console.print_json(
            [
                {
                    "name": entry.name,
                    "licence": entry.licence.name,
                    "summary": entry.licence.summary,
                    "url": entry.licence.url,
                    "commercial": entry.licence.commercial,
                    "installed": entry.name in have,
                    "accepted": entry.name in have and have[entry.name].licence_accepted,
                }
                for entry in store.catalogue.values()
            ]
        )
        return
    groups: dict[Any, list[str]] = {}
    for entry in store.catalogue.values():
        groups.setdefault(entry.licence, []).append(entry.name)
    for licence, names in groups.items():
        commercial = {True: "yes", False: "no", None: "not stated"}[licence.commercial]
        console.say(f"{licence.name} (commercial use: {commercial})")
        console.say(f"  {licence.summary} {licence.url}".rstrip())
        console.say(f"  {', '.join(names)}")
