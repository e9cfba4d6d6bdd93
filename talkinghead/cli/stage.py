"""`talkinghead stage`: steps that run alone, with files between them; each family lists its own in its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.cli.rows import row_group
from talkinghead.engine.manifest import CommandRow
from talkinghead.registry import FAMILIES
from talkinghead.terminal.apart import WRITTEN
from talkinghead.terminal.placing import Device
from talkinghead.terminal.steps import Force, Report, show_step
from talkinghead.terminal.typers import new_typer

SHARED = (
    CommandRow(
        "extract-features",
        "talkinghead.cli.stage:extract_features",
        "Sound to the speech features that published models listen to.",
        "Steps of several models",
    ),
)


def steps() -> tuple[CommandRow, ...]:
    """The rows of the families, in order, and those that belong to no single one."""
    own = [
        CommandRow(row.name, row.target, row.help, f"Steps of {facts.title}")
        for facts in FAMILIES.values()
        for row in facts.steps
    ]
    return (*own, *SHARED)


app = new_typer(
    help="Steps of the models as separate programs with files between them. Any of them may be replaced by another "
    "program that writes the same file.",
    cls=row_group(steps),
)

Audio = Annotated[Path, typer.Option("--audio", help="Speech: any audio or video file.")]


def extract_features(
    audio: Audio,
    out: Annotated[Path, typer.Option("--out", help="Features, .npy: one row per video frame."), WRITTEN],
    kind: Annotated[
        str, typer.Option("--kind", help="ave, hubert (25 rows/s), wenet (20 rows/s), deepspeech or esperanto.")
    ] = "ave",
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="Its weights: a file, or a model folder; default: the models folder."),
    ] = None,
    convention: Annotated[
        str, typer.Option("--convention", help="Of hubert: synctalk, udh-classic or ilg, as in training.")
    ] = "synctalk",
    device: Device = "cpu",
    report: Report = None,
    force: Force = False,
) -> None:
    """Sound to the speech features of SyncTalk_2D and TalkingGaussian."""
    from talkinghead.service.features import extract_features as extract

    result = extract(audio, out, kind, encoder=encoder, convention=convention, device=device, force=force)
    show_step(result, report)
