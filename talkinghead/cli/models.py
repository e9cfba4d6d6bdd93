"""`talkinghead models`: the model families and what they need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.cli import console
from talkinghead.cli.typers import new_typer

app = new_typer(help="List models and what they need; convert checkpoints.")


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Checkpoint: .pth, .pt, TorchScript, ONNX, npz.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="File to write, .safetensors.")],
    key: Annotated[
        str | None, typer.Option(help="Take the tensors below this key (a/b for nested ones); default: found.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Convert a checkpoint to safetensors. No code of the file is run; optimiser states are left out."""
    from talkinghead.errors import OptionError
    from talkinghead.weights import read_checkpoint, write_safetensors

    if output.suffix != ".safetensors":
        raise OptionError(f"The output is {output.name!r}.", accepted="a name that ends in .safetensors")
    checkpoint = read_checkpoint(source, key=key)
    metadata = {"source_sha256": checkpoint.sha256, "source_container": checkpoint.container}
    metadata.update({name: str(value) for name, value in checkpoint.metadata.items() if value is not None})
    write_safetensors(checkpoint.tensors, output, metadata=metadata, overwrite=force)
    size = sum(value.nbytes for value in checkpoint.tensors.values())
    console.say(
        f"{output}: {len(checkpoint.tensors)} tensors, {console.size_text(size)} "
        f"(from {checkpoint.container}, sha256 {checkpoint.sha256[:16]}...)"
    )


@app.command("list")
def list_models(json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False) -> None:
    """List the models: what each takes, needs and gives."""
    from talkinghead.options import config_class, option_fields
    from talkinghead.registry import DEFAULT_FAMILY, FAMILIES

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
        return
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
                "look_ahead_s": facts.look_ahead_s,
                "can_stream": facts.can_stream,
                "extra": facts.extra,
                "options": options,
            }
        )
    console.print_json(found)
