"""`talkinghead demo`: a photograph speaks, with nothing to download and nothing to prepare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.terminal import console
from talkinghead.terminal.apart import WRITTEN


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Video to write."), WRITTEN] = Path("demo.mp4"),
    face: Annotated[
        Path | None, typer.Option("--face", "-f", help="Your own picture or video; default: an astronaut's portrait.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", "-a", help="Your own speech; default: a sentence that comes along.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite/--no-overwrite", help="Replace a video that exists.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Make a photograph speak a bundled sentence with the built-in animator.

    Needs no weights, no network and no files. The photograph is NASA's public-domain portrait of Eileen Collins, which
    comes with scikit-image (the extra `demo`).
    """
    from talkinghead.assets import demo_speech_path
    from talkinghead.assets.portrait import astronaut_close
    from talkinghead.cli.generate import show_result, tell_mesh
    from talkinghead.engine.head import RenderOptions
    from talkinghead.service.planning import check_before
    from talkinghead.service.request import Request, SoundFile
    from talkinghead.service.run import run

    request = Request(
        source=face if face is not None else astronaut_close(),
        speech=SoundFile(audio if audio is not None else demo_speech_path()),
        output=output,
        render=RenderOptions(overwrite=overwrite),
    )
    check_before([request])
    if not quiet:
        tell_mesh()
    with console.ProgressDisplay(quiet=quiet) as progress:
        result = run(request, progress=progress)
    show_result(result)
    who = str(face) if face is not None else "the astronaut's portrait"
    what = str(audio) if audio is not None else "the bundled sentence"
    console.say(
        f"Made {output}: {who} speaks {what}. Next: talkinghead generate --face me.jpg --audio hello.wav -o me.mp4"
    )
