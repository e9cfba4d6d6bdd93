"""`talkinghead stage gaussians`: the five steps of TalkingGaussian as separate programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.bounds import THREADS, Between
from talkinghead.families.talkinggaussian.config import ANGLES, ZOOMS
from talkinghead.places import WRITTEN
from talkinghead.terminal.placing import Device, Precision
from talkinghead.terminal.steps import Force, Report, show_step
from talkinghead.terminal.typers import new_typer

app = new_typer(
    help="The five steps of TalkingGaussian as separate programs: features, motion, render, compose, encode."
)

Checkpoint = Annotated[Path, typer.Option("--checkpoint", help="Checkpoint, or the folder that training wrote.")]
Scene = Annotated[Path, typer.Option("--scene", help="Dataset folder.")]
Audio = Annotated[Path, typer.Option("--audio", help="Speech: any audio or video file.")]
Poses = Annotated[str, typer.Option("--poses", help='"train", "val", or a transforms JSON file.')]
Expression = Annotated[str, typer.Option("--expression", help="source, neutral, or an OpenFace CSV file.")]
Yaw = Annotated[float, ANGLES, typer.Option("--yaw", help="Degrees that the camera moves to the right.")]
Pitch = Annotated[float, ANGLES, typer.Option("--pitch", help="Degrees that the camera moves up.")]
Zoom = Annotated[float, ZOOMS, typer.Option("--zoom", help="2 halves the distance.")]


@app.command("features")
def features(
    audio: Audio,
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option("--out", help="Speech features, .npy [T, positions, width]."), WRITTEN],
    audio_features: Annotated[
        str, typer.Option("--audio-features", help="trained, or phones: an approximation without a speech network.")
    ] = "trained",
    audio_model: Annotated[
        str | None, typer.Option("--audio-model", help="Speech encoder: folder or hub name.")
    ] = None,
    deepspeech_graph: Annotated[Path | None, typer.Option("--deepspeech-graph", help="Frozen graph, .pb.")] = None,
    device: Device = "auto",
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 1: sound to the speech features that the head was trained with."""
    from talkinghead.families.talkinggaussian import steps

    config = _config(audio_features=audio_features, audio_model=audio_model, deepspeech_graph=deepspeech_graph)
    made = steps.extract_features(audio, out, checkpoint=checkpoint, config=config, device=device, force=force)
    show_step(made, report)


@app.command("motion")
def motion(
    features: Annotated[Path, typer.Option("--features", help="Speech features, from the step features, .npy.")],
    scene: Scene,
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option("--out", help="Folder for the deformed Gaussians, one .npz per frame."), WRITTEN],
    poses: Poses = "train",
    expression: Expression = "source",
    num_frames: Annotated[
        int, Between(0, 10_000_000), typer.Option("--num-frames", help="Frames to make; 0: as long as the sound.")
    ] = 0,
    precision: Precision = "auto",
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 2: speech features to deformed Gaussians."""
    from talkinghead.families.talkinggaussian import steps

    config = _config(poses=poses, expression=expression)
    show_step(
        steps.write_motion(
            features,
            scene,
            out,
            checkpoint=checkpoint,
            config=config,
            num_frames=num_frames,
            precision=precision,
            force=force,
        ),
        report,
    )


@app.command("render")
def render(
    motion: Annotated[Path, typer.Option("--motion", help="Deformed Gaussians, from the step motion.")],
    scene: Scene,
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option("--out", help="Folder for the drawn clouds, one .npz per frame."), WRITTEN],
    poses: Poses = "train",
    yaw: Yaw = 0.0,
    pitch: Pitch = 0.0,
    zoom: Zoom = 1.0,
    threads: Annotated[int, THREADS, typer.Option("--threads", help="0 uses every core.")] = 0,
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 3: deformed Gaussians to both clouds as seen from the camera."""
    from talkinghead.families.talkinggaussian import steps

    config = _config(poses=poses, yaw=yaw, pitch=pitch, zoom=zoom, threads=threads, expression="neutral")
    show_step(steps.render_motion(motion, scene, out, checkpoint=checkpoint, config=config, force=force), report)


@app.command("compose")
def compose(
    render: Annotated[Path, typer.Option("--render", help="Drawn clouds, from the step render.")],
    scene: Scene,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures, PNG."), WRITTEN],
    poses: Poses = "train",
    torso: Annotated[
        bool, typer.Option("--torso/--no-torso", help="Lay the torso pictures over the background.")
    ] = True,
    background: Annotated[Path | None, typer.Option("--background", help="Picture instead of bc.jpg.")] = None,
    dilate: Annotated[bool, typer.Option("--dilate", help="Widen the mouth's cut-out of the background.")] = False,
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 4: face over mouth over background."""
    from talkinghead.families.talkinggaussian import steps

    config = _config(poses=poses, torso=torso, background=background, dilate=dilate)
    show_step(steps.compose_frames(render, scene, out, config=config, force=force), report)


@app.command("encode")
def encode(
    frames: Annotated[Path, typer.Option("--frames", help="Folder of pictures, from the step compose.")],
    audio: Audio,
    out: Annotated[Path, typer.Option("--out", help="Video."), WRITTEN],
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 5: pictures and sound to a video."""
    from talkinghead.families.talkinggaussian import steps

    show_step(steps.encode_frames(frames, audio, out, force=force), report)


def _config(**values: Any) -> Any:
    from talkinghead.engine.options import build_config
    from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig

    return build_config(TalkingGaussianConfig, values, owner="The step")
