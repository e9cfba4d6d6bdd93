"""`talkinghead bench`: where the time of a model goes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.cli.groups import LOAD, LOADING, OPTIONS, model_groups
from talkinghead.errors import OptionError
from talkinghead.measure.cases import BenchSettings
from talkinghead.registry import FAMILIES, family
from talkinghead.terminal import console
from talkinghead.terminal.flags import Given, Group, declared_flags, make_flags, with_flags

if TYPE_CHECKING:
    from talkinghead.service.bench import BenchResult

SETTINGS = "settings"


def bench(
    given: Given,
    model: Annotated[str, typer.Argument(help=f"Model: {', '.join(FAMILIES)}.")],
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the made picture and video.")] = "1280x720",
    source: Annotated[
        Path | None,
        typer.Option("--source", "--face", help="Measure with this input of the model instead of made ones."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show everything as JSON.")] = False,
) -> None:
    """Measure where the time of a model goes, encoding included.

    Cold is the first run: loading, preparing the face and rendering. Warm is rendering with the face prepared.
    """
    from talkinghead.service.bench import bench_model

    family(model)
    given.refuse_all_but(model, list(FAMILIES))
    measures = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if measures is None:
        raise OptionError(f"--size is {size!r}.", accepted="WIDTHxHEIGHT in pixels, such as 1280x720")
    settings = BenchSettings(
        width=int(measures[1]),
        height=int(measures[2]),
        source=source,
        load={**given.of(LOAD), **given.of(model)},
        **given.of(SETTINGS),
    )
    result = bench_model(model, settings, progress=None if json_output else console.note)
    if json_output:
        console.print_json(result.to_dict())
    else:
        console.say(as_text(result))


def as_text(result: BenchResult) -> str:
    """A table of stages for each case, and one line that sums up."""
    lines = [
        f"{result.model}: {result.seconds:g} s of speech on {result.cores} cores ({result.processor or 'unknown'})"
    ]
    for run in result.runs:
        warm, cold = run.warm, run.cold
        rows = [
            [
                stage.name,
                f"{stage.busy_s:.3f}",
                f"{1000 * stage.busy_s / warm.num_frames:.2f}" if warm.num_frames else "-",
                f"{stage.wait_input_s:.3f}",
                f"{stage.wait_output_s:.3f}",
            ]
            for stage in warm.stages
        ]
        lines += ["", f"{run.case} ({run.description}), {warm.device}, {warm.backend}, {warm.precision}"]
        lines.append(console.table(["stage", "seconds", "ms/frame", "waiting for input", "waiting for output"], rows))
        lines.append(
            f"warm: {warm.num_frames} frames in {warm.wall_s:.2f} s: {warm.frames_per_second:.1f} frames/s, "
            f"{warm.realtime_factor:.2f} times real time, limited by {warm.limited_by!r} "
            f"(runs: {', '.join(f'{wall:.2f}' for wall in run.warm_wall_s)} s)"
        )
        lines.append(
            f"cold: {cold.wall_s:.2f} s with loading and preparing ({cold.realtime_factor:.2f} times real time); "
            f"preparing again takes {run.prepare_s:.2f} s"
        )
    for table in result.tables:
        lines += ["", table.title, console.table(table.columns, table.rows)]
        if table.note:
            lines.append(table.note)
    if result.peak_memory_bytes is not None:
        lines += ["", f"peak memory of the process: {console.size_text(result.peak_memory_bytes)}"]
    return "\n".join(lines)


def _build() -> Any:
    own = (
        Group(SETTINGS, BenchSettings, OPTIONS, leave_out=frozenset({"width", "height", "source"})),
        replace(LOADING, leave_out=frozenset({"compat"})),
    )
    return with_flags(bench, make_flags(own, model_groups(), declared_flags(bench)))


command = _build()
