"""`talkinghead reference`: one network alone on named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.errors import InputError, MediaNotFound, OptionError
from talkinghead.places import WRITTEN
from talkinghead.terminal import console
from talkinghead.terminal.placing import Backend, Device, Precision
from talkinghead.terminal.typers import new_typer

app = new_typer(help="Run one network alone on named arrays: what ports and backends are compared through.")


@app.command("list")
def list_networks(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A network, or what the names of several begin with.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the inputs and outputs of each.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False,
) -> None:
    """List the networks of every model; with a name, the inputs and outputs of what it names."""
    from talkinghead.reference.networks import networks

    rows = [row for row in networks().values() if name is None or row.name.startswith(name)]
    if name is not None and not rows:
        raise OptionError(f"There is no reference network {name!r}.", remedy="talkinghead reference list")
    if json_output:
        console.print_json(
            [
                {
                    "name": row.name,
                    "summary": row.summary,
                    "inputs": dict(row.inputs),
                    "outputs": dict(row.outputs),
                    "needs_weights": row.needs_weights,
                    "config": row.config,
                }
                for row in rows
            ]
        )
        return
    if not rows:
        console.say("No model that is installed has networks.")
        return
    if name is None and not verbose:
        console.say(console.table(["network", "what it does"], [[row.name, row.summary] for row in rows]))
        console.say("Inputs and outputs: talkinghead reference list NAME")
        return
    for row in rows:
        console.say(f"{row.name}: {row.summary}")
        for name, text in row.inputs.items():
            console.say(f"  in   {name}  {text}")
        for name, text in row.outputs.items():
            console.say(f"  out  {name}  {text}")
        if row.config:
            console.say(f"  --config  {row.config}")


@app.command()
def run(
    network: Annotated[str, typer.Argument(help="A name from `talkinghead reference list`.")],
    inputs: Annotated[Path, typer.Option(help="Named input arrays, .npz.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the named output arrays go, .npz."), WRITTEN],
    weights: Annotated[Path | None, typer.Option(help="Weights, .safetensors, named as in the checkpoint.")] = None,
    config: Annotated[Path | None, typer.Option(help="The network's configuration, .json.")] = None,
    device: Device = "cpu",
    precision: Precision = "float32",
    backend: Backend = "torch",
) -> None:
    """Run one network on the arrays of a file and write every output by name.

    Defaults are the reference: float32 on the CPU.
    """
    from talkinghead.engine.networks import ReferenceOptions
    from talkinghead.files import PendingOutput
    from talkinghead.reference.networks import networks, run_network

    if network not in networks():
        raise OptionError(f"There is no reference network {network!r}.", remedy="talkinghead reference list")
    if weights is None and networks()[network].needs_weights:
        raise OptionError(f"The network {network} needs weights.", accepted="--weights FILE.safetensors")
    PendingOutput(output).discard()  # find out now whether it can be written
    outputs = run_network(
        network,
        read_weights(weights) if weights is not None else {},
        read_arrays(inputs),
        read_config(config) if config is not None else None,
        ReferenceOptions(device=device, precision=precision, backend=backend),
    )
    write_arrays(output, outputs)
    rows = [[name, "x".join(str(size) for size in array.shape), array.dtype] for name, array in outputs.items()]
    console.say(console.table(["output", "shape", "type"], rows))


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(help="Folder of reference outputs, with manifest.json.")],
    against: Annotated[
        Path | None, typer.Option(help="Arrays of a port, NAME.npy: say at which seam the two part.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False,
) -> int:
    """Check a folder of reference outputs (hashes, and its graphs on its arrays), or compare a port's arrays with it.

    The exit status is 1 when something differs by more than its tolerance.
    """
    from dataclasses import asdict

    from talkinghead.measure.seams import check_folder, compare_folders, where_they_part

    rows = compare_folders(folder, against) if against is not None else check_folder(folder)
    parting = where_they_part(rows)
    if json_output:
        console.print_json({"ok": parting is None, "parts_at": parting, "seams": [asdict(row) for row in rows]})
        return 0 if parting is None else 1
    table = [
        [
            row.seam,
            f"{row.max_difference:.3g}",
            f"{row.mean_difference:.3g}",
            f"{row.tolerance:.3g}",
            "ok" if row.ok else "differs",
            row.note,
        ]
        for row in rows
    ]
    console.say(console.table(["seam", "largest", "mean", "allowed", "", ""], table))
    console.say("They agree." if parting is None else f"They part at: {parting}")
    return 0 if parting is None else 1


def read_arrays(path: Path) -> dict[str, Any]:
    """Arrays of an .npz file; none may hold Python objects.

    Raises:
        MediaNotFound: no such file. InputError: not an .npz of plain arrays.
    """
    from talkinghead.reading import read_npz

    if not path.is_file():
        raise MediaNotFound(f"There is no file {path}.", accepted="an .npz file of named arrays")
    return read_npz(path)


def read_weights(path: Path) -> Mapping[str, Any]:
    """The arrays of a .safetensors file (or, for convenience, of an .npz file)."""
    if path.suffix == ".npz":
        return read_arrays(path)
    if not path.is_file():
        raise MediaNotFound(f"There is no file {path}.", accepted="a .safetensors file")
    from talkinghead.weights import read_checkpoint

    tensors: Mapping[str, Any] = read_checkpoint(path).tensors
    return tensors


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        MediaNotFound: no such file. InputError: not a JSON object.
    """
    from talkinghead.reading import read_json

    if not path.is_file():
        raise MediaNotFound(f"There is no file {path}.", accepted="a .json file")
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}.", accepted="a JSON object")
    return value


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz; it appears whole or not at all."""
    import numpy as np

    from talkinghead.files import PendingOutput, unwritable

    with PendingOutput(path) as pending:
        try:
            with pending.temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            raise unwritable(path, error) from error
        pending.commit()
