"""`talkinghead demo`: a portrait speaks, with nothing to download and nothing to prepare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.assets.portrait import ASTRONAUT, DEFAULT_PORTRAIT, PORTRAITS
from talkinghead.places import WRITTEN
from talkinghead.terminal import console
from talkinghead.terminal.helping import HelpPage, help_page


@help_page(
    HelpPage(
        examples=(
            "demo",
            "demo --portrait rowan -o rowan.mp4",
            "demo --face me.jpg --audio hello.wav -o me.mp4",
        )
    )
)
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Video to write."), WRITTEN] = Path("demo.mp4"),
    portrait: Annotated[
        str | None,
        typer.Option(
            help=f"Who speaks: {', '.join(PORTRAITS)}, or {ASTRONAUT} (a photograph; needs the extra demo).",
            show_default=DEFAULT_PORTRAIT,
        ),
    ] = None,
    face: Annotated[
        Path | None, typer.Option("--face", "-f", help="Your own picture or video instead of a portrait.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", "-a", help="Your own speech; default: a sentence that comes along.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite/--no-overwrite", help="Replace a video that exists.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but warnings and errors.")] = False,
) -> None:
    """Make a portrait speak a bundled sentence with the built-in animator.

    Needs no weights, no network, no files and no extra. The portraits are invented faces, made by a program. The
    astronaut is NASA's public-domain photograph of Eileen Collins, which comes with scikit-image (the extra `demo`).
    """
    from talkinghead.assets import demo_speech_path
    from talkinghead.assets.portrait import portrait as portrait_of
    from talkinghead.cli.generate import show_result, tell_mesh
    from talkinghead.engine.head import RenderOptions
    from talkinghead.errors import OptionError
    from talkinghead.service.planning import check_before
    from talkinghead.service.request import Request, SoundFile
    from talkinghead.service.run import run
    from talkinghead.terminal.program import program

    if face is not None and portrait is not None:
        raise OptionError("Both --face and --portrait are given.", remedy="one of them")
    request = Request(
        source=face if face is not None else portrait_of(portrait or DEFAULT_PORTRAIT),
        speech=SoundFile(audio if audio is not None else demo_speech_path()),
        output=output,
        render=RenderOptions(overwrite=overwrite),
    )
    check_before([request])
    if not quiet:
        tell_mesh()
    with console.ProgressDisplay(quiet=quiet) as progress:
        result = run(request, progress=progress)
    show_result(result, quiet=quiet)
    if not quiet:
        console.say(f"Next, with files of your own: {program()} generate --face me.jpg --audio hello.wav -o me.mp4")
