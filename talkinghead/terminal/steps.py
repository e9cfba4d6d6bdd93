"""What the commands of single steps share: two options, and how they say what they made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.places import WRITTEN
from talkinghead.terminal import console

if TYPE_CHECKING:
    from talkinghead.engine.steps import StageReport

Force = Annotated[bool, typer.Option("--force", help="Replace a result that is there.")]
Report = Annotated[Path | None, typer.Option("--report", help="Write time and throughput as JSON."), WRITTEN]


def show_step(made: StageReport, report: Path | None) -> None:
    """Say what a step made, and write it as JSON where that is wanted."""
    console.say(made.text())
    for note in made.details.get("notes", ()):
        console.warn(note)
    if report is not None:
        write_report(report, made.to_dict())


def write_report(path: Path, value: Any) -> None:
    """Write a report as JSON."""
    import json

    from talkinghead.files import write_bytes

    write_bytes(path, (json.dumps(value, indent=2, default=str) + "\n").encode())
