"""`talkinghead inspect-gaussians`: what a trained Gaussian head holds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.bounds import Between
from talkinghead.errors import OptionError
from talkinghead.families.talkinggaussian.config import ITERATIONS
from talkinghead.places import WRITTEN
from talkinghead.terminal import console

EXPORTS = (".ply", ".safetensors")


def inspect_gaussians(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint, or the folder that training wrote.")],
    picture: Annotated[Path | None, typer.Option(help="Write histograms of opacity and scale, PNG."), WRITTEN] = None,
    turntable: Annotated[
        Path | None, typer.Option(help="Write a video of the head turning (.mp4, .gif), or one view (.png)."), WRITTEN
    ] = None,
    swing: Annotated[
        float,
        Between(0, 180),
        typer.Option(help="Degrees to turn to either side; 180: all round. Heads have no back."),
    ] = 45.0,
    size: Annotated[int, Between(16, 4_096), typer.Option(help="Side of the turntable's pictures in pixels.")] = 512,
    frames: Annotated[int, Between(1, 10_000), typer.Option(help="Frames of the turntable, 25 per second.")] = 75,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Convert: .safetensors (without training leftovers, loads like the checkpoint) or .ply "
            "(both clouds, for viewers)."
        ),
        WRITTEN,
    ] = None,
    cloud: Annotated[str, typer.Option(help="For .ply: face, mouth or both.")] = "both",
    raw: Annotated[bool, typer.Option("--raw", help="For .ply: values as the published code writes them.")] = False,
    iteration: Annotated[
        int, ITERATIONS, typer.Option(help="For a folder: which chkpnt_fuse_N.pth; -1 is the latest.")
    ] = -1,
    overwrite: Annotated[bool, typer.Option("--overwrite/--no-overwrite", help="Replace files that exist.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False,
) -> None:
    """Say what a trained Gaussian head holds: counts, extents, opacities, scales; show and convert it."""
    from talkinghead.families.talkinggaussian.checkpoint import read_trained_head, write_head_safetensors
    from talkinghead.families.talkinggaussian.export import write_ply
    from talkinghead.families.talkinggaussian.inspect import head_facts, histogram_picture
    from talkinghead.families.talkinggaussian.inspect import turntable as turn
    from talkinghead.media import EncodeOptions, check_output, write_png, write_video

    if export is not None and export.suffix.lower() not in EXPORTS:
        raise OptionError(f"{export} is neither PLY nor safetensors.", accepted=" or ".join(EXPORTS))
    if cloud not in ("face", "mouth", "both"):
        raise OptionError(f"There is no cloud {cloud!r}.", accepted="face, mouth or both")
    single = turntable is not None and turntable.suffix.lower() == ".png"
    if turntable is not None and not single:
        check_output(turntable, overwrite=overwrite)
    head = read_trained_head(checkpoint, iteration=iteration)
    facts = head_facts(head)
    written: list[Path] = []
    if export is not None:
        if export.suffix.lower() == ".ply":
            chosen = {"face": [head.face], "mouth": [head.mouth], "both": [head.face, head.mouth]}[cloud]
            write_ply(chosen, export, activations="published" if raw else "viewer", overwrite=overwrite)
        else:
            write_head_safetensors(head, export, overwrite=overwrite)
        written.append(export)
    if picture is not None:
        write_png(picture, histogram_picture(head), overwrite=overwrite)
        written.append(picture)
    if turntable is not None:
        views = turn(head, num_frames=1 if single else frames, size=size, swing=None if swing == 180 else swing)
        if single:
            write_png(turntable, next(views), overwrite=overwrite)
        else:
            write_video(
                turntable, views, fps=Fraction(25), num_frames=frames, options=EncodeOptions(), overwrite=overwrite
            )
        written.append(turntable)
    if json_output:
        console.print_json({**facts, "written": [str(path) for path in written]})
        return
    _show(facts)
    for path in written:
        console.say(f"wrote {path}")


def _show(facts: dict[str, Any]) -> None:
    console.say(f"{facts['checkpoint']}")
    console.say(f"speech features: {facts['audio_extractor']}; network values: {facts['network_values']}")
    for sentence in facts["warnings"]:
        console.warn(sentence)
    rows = []
    for cloud in facts["clouds"]:
        low, high = (" ".join(f"{value:.3f}" for value in cloud[key]) for key in ("low", "high"))
        rows.append([cloud["name"], cloud["gaussians"], cloud["sh_degree"], low, high, cloud["transparent"]])
    console.say(console.table(["cloud", "Gaussians", "SH degree", "from x y z", "to x y z", "transparent"], rows))
    for cloud in facts["clouds"]:
        opacity = " ".join(f"{value:.3f}" for value in cloud["opacity_percentiles"])
        scale = " ".join(f"{value:.5f}" for value in cloud["scale_percentiles"])
        console.say(f"{cloud['name']}: opacity {opacity}; scale {scale} (percentiles 1, 25, 50, 75, 99)")
        for key, text in (
            ("not_finite", "are not finite and are not drawn"),
            ("outside_grid", "lie outside the grids"),
        ):
            if cloud[key]:
                console.say(f"{cloud['name']}: {cloud[key]} Gaussians {text}")
