"""`talkinghead template`: make and check the template folders of SyncTalk_2D."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.bounds import LENGTHS_S, MOMENTS_S, THREADS, Between
from talkinghead.terminal import console
from talkinghead.terminal.apart import AROUND
from talkinghead.terminal.typers import new_typer

app = new_typer(help="Make the folder of frames and landmarks that SyncTalk_2D animates, and check one.")


@app.command()
def build(
    video: Annotated[Path, typer.Argument(help="Video of one person talking, with sound.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make, such as dataset/NAME."), AROUND],
    mode: Annotated[str, typer.Option(help="Speech features it is for: ave and hubert 25, wenet 20 frames/s.")] = "ave",
    detector: Annotated[str, typer.Option(help="Face detector; scrfd is the published one.")] = "auto",
    detector_model: Annotated[Path | None, typer.Option(help="Its model file, such as scrfd_2.5g_kps.onnx.")] = None,
    landmark_model: Annotated[
        Path | None,
        typer.Option(
            help="Landmark network (checkpoint_epoch_335.pth.tar with mean_face.txt beside it); without it "
            "the face mesh tells, or a standard face is placed on the detected one."
        ),
    ] = None,
    min_score: Annotated[
        float | None, Between(0, 1), typer.Option(help="Least confidence of a face; published: 0.1.")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="Speech encoder of the mode, to compute its features: AVE checkpoint, HuBERT folder, encoder.onnx."
        ),
    ] = None,
    no_face: Annotated[
        str, typer.Option(help="Frames without a face: hold (use the landmarks before) or trim (longest stretch only).")
    ] = "hold",
    smooth: Annotated[bool, typer.Option("--smooth/--no-smooth", help="Smooth the landmarks over time.")] = False,
    workers: Annotated[int, THREADS, typer.Option(help="Threads; 0 takes one per core.")] = 0,
    quality: Annotated[int, Between(1, 100), typer.Option(help="JPEG quality of the frames.")] = 95,
    start: Annotated[float, MOMENTS_S, typer.Option(help="Seconds of the video to leave out at its beginning.")] = 0.0,
    duration: Annotated[
        float | None, LENGTHS_S, typer.Option(help="Seconds of the video to use; default: all.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a template folder that is there.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Say as JSON what was made.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Make a template folder from a video: frames, landmarks, sound, features, and a contact sheet to look at.

    A run that was stopped goes on where it stopped when it is started again.
    """
    from dataclasses import asdict

    from talkinghead.engine.context import ProgressEvent
    from talkinghead.face import FaceOptions
    from talkinghead.families.synctalk2d.build import BuildOptions, build_template

    options = BuildOptions(
        mode=mode,
        no_face=no_face,  # type: ignore[arg-type]
        smooth=smooth,
        landmark_model=landmark_model,
        encoder=encoder,
        workers=workers,
        quality=quality,
        start_s=start,
        duration_s=duration,
    )
    faces = FaceOptions(detector=detector, detector_model=detector_model, min_score=min_score)
    with console.ProgressDisplay(quiet=quiet) as display:
        made = build_template(
            video, output, options, faces, force=force, tell=lambda step, n, of: display(ProgressEvent(step, n, of))
        )
    if json_output:
        console.print_json(asdict(made))
        return
    console.say(f"{made.path}: {made.num_frames} frames, landmarks from {made.landmarks_from}")
    if made.num_without_face:
        console.say(f"{made.num_without_face} frames without a face use the landmarks before them")
    if made.num_left_out:
        console.say(f"{made.num_left_out} frames of the video were left out")
    console.say(f"features: {', '.join(made.features) or 'none'}")
    console.say(f"look at:  {made.contact_sheet}")
    for warning in made.warnings:
        console.warn(warning)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Template folder.")],
    picture: Annotated[
        Path | None,
        typer.Option("-o", "--picture", help="Also draw a contact sheet of frames, landmarks and squares, PNG."),
        AROUND,
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False,
) -> int:
    """Look at everything in a template folder: counts, sizes, holes, stray files, landmarks, features.

    The exit status is 1 when something would stop a video from being made.
    """
    from dataclasses import asdict

    from talkinghead.families.synctalk2d.build import check_template, write_contact_sheet
    from talkinghead.families.synctalk2d.template import FEATURE_FILES, IMAGES, LANDMARKS, PARSING
    from talkinghead.places import check_apart

    check_apart([picture], [folder / name for name in (IMAGES, LANDMARKS, PARSING, "aud.wav", *FEATURE_FILES.values())])
    found = check_template(folder)
    if picture is not None:
        write_contact_sheet(folder, picture)
    if json_output:
        console.print_json({**asdict(found), "usable": found.usable})
        return 0 if found.usable else 1
    size = f"{found.size[0]}x{found.size[1]}" if found.size else "unknown size"
    squares = f", squares of {found.square_px[0]} to {found.square_px[1]} pixels" if found.square_px else ""
    console.say(f"{folder}: {found.num_frames} frames of {size}{squares}")
    for name, shape in found.features.items():
        console.say(f"{name}: {shape}")
    for finding in found.findings:
        console.say(str(finding))
    console.say("usable" if found.usable else "not usable")
    return 0 if found.usable else 1
