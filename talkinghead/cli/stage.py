"""`talkinghead stage`: steps that run alone, with files between them; each family lists its own in its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.bounds import Between
from talkinghead.cli.rows import row_group
from talkinghead.engine.manifest import CommandRow
from talkinghead.engine.options import build_config, option_fields
from talkinghead.enhance.config import EnhanceConfig
from talkinghead.places import WRITTEN
from talkinghead.registry import FAMILIES
from talkinghead.terminal import console
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
    CommandRow(
        "enhance-frames",
        "talkinghead.cli.stage:enhance_frames",
        "Finished frames to frames with a sharper face.",
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


def _enhance(name: str) -> Any:
    """An option as `generate` has it."""
    item = next(item for item in option_fields(EnhanceConfig) if item.name == name)
    return typer.Option(item.flag, help=item.help)


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


def enhance_frames(
    frames: Annotated[Path, typer.Option("--frames", help="Folder of finished frames, PNG.")],
    enhance: Annotated[Path, _enhance("enhance")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the sharper frames, PNG."), WRITTEN],
    coords: Annotated[
        Path | None,
        typer.Option("--coords", help="Boxes (y1, y2, x1, x2), from detect-faces; default: the face is looked for."),
    ] = None,
    enhance_strength: Annotated[float, Between(0, 1), _enhance("enhance_strength")] = 0.8,
    enhance_area: Annotated[str, _enhance("enhance_area")] = "lower",
    device: Device = "auto",
    report: Report = None,
    force: Force = False,
) -> None:
    """Sharpen the face in frames that any model has made."""
    from talkinghead.enhance.step import enhance_frames as sharpen

    values = {"enhance": enhance, "enhance_strength": enhance_strength, "enhance_area": enhance_area}
    config = build_config(EnhanceConfig, values, owner="Sharpening")
    made = sharpen(
        frames,
        out,
        config,
        coords=coords,
        device=device,
        progress=lambda event: console.note(event.note) if event.note else None,
        force=force,
    )
    show_step(made, report)
