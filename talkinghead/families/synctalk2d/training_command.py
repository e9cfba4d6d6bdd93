"""`talkinghead train synctalk2d`: an avatar from a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.bounds import Between
from talkinghead.engine.flags import Given, Group, make_flags
from talkinghead.engine.options import build_config
from talkinghead.families.synctalk2d.training_options import TrainOptions
from talkinghead.terminal import console
from talkinghead.terminal.apart import AROUND
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page

TRAINING = Group("training", TrainOptions, "Training")


@help_page(
    HelpPage(
        examples=(
            "train synctalk2d me.mp4 -o avatars/me",
            "train synctalk2d me.mp4 -o avatars/me --size 328 --minutes 600",
            "train synctalk2d me.mp4 -o avatars/me --resume",
        ),
        main=("--output", "--size", "--minutes", "--device", "--seed", "--resume", "--force"),
    )
)
def train(
    given: Given,
    video: Annotated[Path, typer.Argument(help="Video of one person who speaks; three minutes are enough.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the avatar."), AROUND],
    detector: Annotated[str, typer.Option(help="Face detector.")] = "auto",
    detector_model: Annotated[Path | None, typer.Option(help="Its model file.")] = None,
    min_score: Annotated[float | None, Between(0, 1), typer.Option(help="Least confidence of a face.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an unfinished training, with the options it began with.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in the folder.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Say as JSON what was made and measured.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train an avatar from a video: template folder, features, network, measured on the last tenth, exported.

    The folder is then checkpoint and template at once: talkinghead generate --model synctalk2d --checkpoint FOLDER
    --audio hello.wav -o out.mp4. A training that was stopped goes on with --resume. Needs the extra `models`.
    """
    from talkinghead.errors import MissingDependency
    from talkinghead.face.detectors.options import FaceOptions

    try:
        from talkinghead.families.synctalk2d.training import train_avatar
    except ImportError as error:
        raise MissingDependency("torch", extra="models", purpose="training") from error
    options = build_config(TrainOptions, given.of(TRAINING.owner), owner="Training")
    faces = FaceOptions(detector=detector, detector_model=detector_model, min_score=min_score)
    made = train_avatar(
        video, output, options, faces, resume=resume, force=force, tell=(lambda _: None) if quiet else console.note
    )
    if json_output:
        console.print_json({"path": str(made.path), "warnings": made.warnings, **made.report})
        return
    for warning in made.warnings:
        console.warn(warning)
    best = made.report["best"]
    if best is not None:
        console.say(
            f"{made.path}: mouth {best['figures']['mouth_psnr']:.1f} dB on frames that were never learned from "
            f"(the best constant picture: {made.report['constant_mouth_psnr']:.1f} dB)"
        )


command = with_flags(train, make_flags([TRAINING], taken=declared_flags(train)))
