"""`talkinghead live`: a face that speaks while somebody talks, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.bounds import Between
from talkinghead.engine.flags import Given, Group, make_flags
from talkinghead.engine.head import LoadOptions, PrepareOptions
from talkinghead.engine.live.moments import LiveOptions
from talkinghead.engine.options import build_config, option_fields
from talkinghead.errors import OptionError
from talkinghead.live.options import ServerOptions, StreamOptions
from talkinghead.places import check_apart
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, family
from talkinghead.service.groups import FACES, FRAMES, LOAD, SPEECH, model_groups, request_groups
from talkinghead.terminal import console
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page

if TYPE_CHECKING:
    from talkinghead.live import RunningServer
    from talkinghead.live.heads import Cast

SERVER, CLOCK, STREAM = "server", "clock", "stream"
RATE = 24_000
_HELP = {field.name: field.help for field in option_fields(ServerOptions)}


@help_page(
    HelpPage(
        examples=(
            "live --face me.jpg",
            "live --face me.jpg --host 0.0.0.0 --token WHAT-ONLY-FRIENDS-KNOW",
            "live --face me.jpg --input hello.wav --output hello.mp4",
        ),
        main=(
            "--face", "--model", "--checkpoint", "--host", "--port", "--token", "--browser", "--max-sessions",
            "--output", "--input", "--lang", "--voice", "--fps", "--strength", "--device",
        ),
        short={
            "--model": f"{', '.join(FAMILIES)}.",
            "--checkpoint": "Weights: a file, or a name of the store.",
            "--host": "Address; 0.0.0.0 lets other machines in.",
            "--port": "Port; 0 takes a free one.",
            "--output": "Send the face there: rtmp://, srt://, a file, - ...",
            "--input": "What it says, with --output: a sound file, -.",
            "--lang": "Language of texts: en, de, fr, zh ...",
            "--voice": "Voice that speaks texts.",
            "--fps": "Frame rate; default: the face's, else 25.",
            "--strength": "Mouth movement: 0.5 mumbles, 1.3 articulates.",
        },
    )
)  # fmt: skip
def live(
    given: Given,
    face: Annotated[
        Path | None,
        typer.Option("--face", "-f", help="Picture or video of a face; default: a portrait that comes along."),
    ] = None,
    template: Annotated[
        Path | None, typer.Option("--template", help="Folder of a person's frames, for models made for one person.")
    ] = None,
    scene: Annotated[
        Path | None, typer.Option("--scene", help="Folder of a scene, for models that render one.")
    ] = None,
    avatar: Annotated[Path | None, typer.Option("--avatar", help="Avatar, for models that render one.")] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help=f"Model: {', '.join(FAMILIES)}. See: talkinghead models list")
    ] = DEFAULT_FAMILY,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", envvar="TALKINGHEAD_LIVE_TOKEN", help=_HELP["token"])
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Send the face there instead of serving it: rtmp://, srt://, tcp://, udp://, a file ending in "
            ".ts, .mkv, .flv, .mp4 or .mov, a named pipe, or - for standard output (MPEG-TS).",
        ),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="What it says, with --output: a sound file, a named pipe, or - for standard input. It ends with it.",
        ),
    ] = None,
    input_rate: Annotated[
        int | None,
        Between(1_000, 768_000),
        typer.Option(help=f"Sample rate of 16-bit samples that come through a pipe, Hz; default: {RATE}."),
    ] = None,
    input_channels: Annotated[
        int | None, Between(1, 64), typer.Option(help="Their channels, interleaved; default: 1.")
    ] = None,
) -> None:
    """Serve a face that speaks live: a page to talk to it, WHEP to watch it, a WebSocket for agents.

    Stop it with Ctrl-C. Only this machine is served unless --host says otherwise, and nothing is kept. Needs the extra
    `live`. With --output, the face is sent as a stream instead, and the extra is not needed.
    """
    from talkinghead.face.detectors.options import FaceOptions
    from talkinghead.live.heads import Cast
    from talkinghead.media.options import FrameOptions
    from talkinghead.service.planning import given_sources
    from talkinghead.speech.options import SpeechOptions

    facts = family(model)
    given.refuse_all_but(model, list(FAMILIES))
    source: Any
    paths = {"--face": face, "--template": template, "--scene": scene, "--avatar": avatar}
    if facts.source_option == "--face" and not any(paths.values()):
        from talkinghead.assets.portrait import portrait_path

        source = portrait_path()
    else:
        chosen = {flag: [path] if path is not None else None for flag, path in paths.items()}
        source = given_sources(facts, chosen, given.of(LOAD).get("checkpoint"))[0]
    cast = Cast(
        model,
        source,
        build_config(LoadOptions, {**given.of(LOAD), "family": given.of(model)}, owner="Loading"),
        PrepareOptions(
            frames=build_config(FrameOptions, given.of(FRAMES), owner="Reading the face"),
            faces=build_config(FaceOptions, given.of(FACES), owner="Finding the face"),
        ),
        build_config(LiveOptions, given.of(CLOCK), owner="A live session"),
    )
    speech = {"--input": input_, "--input-rate": input_rate, "--input-channels": input_channels}
    given_for = given.flags_of([STREAM]) + [flag for flag, value in speech.items() if value is not None]
    if output is not None:
        others = given.flags_of([SERVER, SPEECH]) + ["--browser"] * browser
        if others:
            raise OptionError(f"{others[0]} is for a face that is served; --output sends it.", remedy="leave one out")
        check_apart([output if output != "-" else None], [*paths.values(), input_])
        _send(cast, output, speech, build_config(StreamOptions, given.of(STREAM), owner="The stream"))
        return
    if given_for:
        raise OptionError(f"{given_for[0]} is given without --output.", remedy="say where the face is to be sent")

    from talkinghead.live import serve

    options = build_config(ServerOptions, {"token": token, **given.of(SERVER)}, owner="The live server")
    voice = build_config(SpeechOptions, given.of(SPEECH), owner="Speech")

    def ready(running: RunningServer) -> None:
        console.say(f"The page is at {running.url} (stop it with Ctrl-C)")
        if browser:
            import webbrowser

            webbrowser.open(running.url)

    serve(cast, options, voice, on_ready=ready)


def _send(cast: Cast, url: str, speech: dict[str, Any], options: StreamOptions) -> None:
    from talkinghead.engine.live import keeping_time
    from talkinghead.live.output import shown_address, stream
    from talkinghead.live.speech import SpeechSource
    from talkinghead.service.run import load

    source = None
    if speech["--input"] is not None:
        rate, channels = speech["--input-rate"] or RATE, speech["--input-channels"] or 1
        source = SpeechSource(speech["--input"], rate, channels)
    elif speech["--input-rate"] or speech["--input-channels"]:
        raise OptionError("--input-rate and --input-channels say what --input is.", remedy="--input -")
    head = load(cast.model, cast.load)
    avatar = head.prepare(cast.source, cast.prepare)
    with keeping_time(), head.live(avatar, cast.live) as session:
        console.note(f"Sending to {shown_address(url)} (Ctrl-C stops it)")
        report = stream(session, url, speech=source, options=options)
    late = f", {report.left_out} pictures left out" if report.left_out else ""
    console.note(f"Sent {report.seconds:.1f} s{late}")


def _build() -> Any:
    kept = (SPEECH, LOAD, FRAMES, FACES)
    own = (
        Group(SERVER, ServerOptions, "Server", leave_out=frozenset({"token"})),
        Group(CLOCK, LiveOptions, "Clock", leave_out=frozenset({"sample_rate_hz"})),
        Group(STREAM, StreamOptions, "Stream"),
        *(group for group in request_groups() if group.owner in kept),
    )
    return with_flags(live, make_flags(own, model_groups(), declared_flags(live)))


command = _build()
