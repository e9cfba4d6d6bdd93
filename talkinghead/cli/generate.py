"""`talkinghead generate`: faces and sounds in, videos out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.cli.signing import Key, Sign, TimestampUrl
from talkinghead.engine.flags import Flag, Given
from talkinghead.places import WRITTEN
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, family
from talkinghead.service.groups import (
    FACES,
    FRAMES,
    LOAD,
    PART,
    SPEECH,
    refuse_without_effect,
    request_flags,
    request_parts,
)
from talkinghead.service.request import Request
from talkinghead.terminal import console
from talkinghead.terminal.flags import with_flags
from talkinghead.terminal.helping import HelpCommand, HelpPage, asks_for_all, help_page

if TYPE_CHECKING:
    from talkinghead.contracts import Result
    from talkinghead.service.batch import Batch, Outcome

SEVERAL = ("--audio", "--face", "--template", "--scene", "--avatar")
"""Options that take one value after another: `--audio a.wav b.wav`, as the shell expands `*.wav`."""


RATED_S = 0.01
"""A stage that was busy for less has no rate worth telling."""


PAGE = HelpPage(
    examples=(
        "generate --face me.jpg --audio hello.wav -o out.mp4",
        "generate --face me.mp4 --audio hello.wav goodbye.wav -o videos/",
        "generate --face me.jpg --text 'Hello.' --strength 0.8 -o said.webm",
    ),
    main=(
        "--face", "--audio", "--text", "--output", "--model", "--checkpoint", "--duration", "--fps", "--strength",
        "--enhance", "--crf", "--quiet",
    ),
    short={
        "--text": "What to say, instead of a sound (extra tts).",
        "--output": "Video to write; a folder for several.",
        "--model": f"{', '.join(FAMILIES)}.",
        "--checkpoint": "Weights: a file, or a name of the store.",
        "--duration": "Seconds of the sound to use; default: all.",
        "--fps": "Frame rate; default: the face's, else 25.",
        "--strength": "Mouth movement: 0.5 mumbles, 1.3 articulates.",
        "--enhance": "Sharpen the face with this network.",
        "--crf": "Quality of the encoding, lower is better.",
    },
)  # fmt: skip
NOT_OF_ALL = ("--strength", "--enhance")
"""Of these: what belongs to some models only."""
PLACES = {"--face": "me.mp4", "--template": "FOLDER", "--scene": "FOLDER", "--avatar": "mesh"}
"""What examples give each kind of source."""
MANY = 6
"""Options of a model's own that its short help shows."""


class GenerateCommand(HelpCommand):
    """Reads `--audio a.wav b.wav` as `--audio a.wav --audio b.wav`; its help shows the options of one model."""

    flags: tuple[Flag, ...] = ()
    model: str | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if asks_for_all(args) or any(argument in ("-h", "--help") for argument in args):
            self.model = _model_named(args)
            self._show_only(self.model or DEFAULT_FAMILY)
        return super().parse_args(ctx, repeat_option(args, SEVERAL))

    def examples(self) -> tuple[str, ...]:
        if self.model is None:
            return PAGE.examples
        facts = family(self.model)
        takes = [facts.source_option, PLACES.get(facts.source_option, "FILE")]
        takes += ["--checkpoint", "FILE"] if facts.needs_checkpoint else []
        return (" ".join(["generate --model", self.model, *takes, "--audio a.wav -o out.mp4"]),)

    def main_flags(self) -> tuple[str, ...]:
        """Those of every model; of a model that is named its own as well."""
        if self.model is None:
            return PAGE.main
        source = family(self.model).source_option
        common = [source if flag == "--face" else flag for flag in PAGE.main if flag not in NOT_OF_ALL]
        owned = [flag.flag for flag in self.flags if self.model in (name for name, _ in flag.owners)]
        alone = [flag.flag for flag in self.flags if [name for name, _ in flag.owners] == [self.model]]
        return (*common[:-1], *list(dict.fromkeys((*alone, *owned)))[:MANY], common[-1])

    def _show_only(self, model: str) -> None:
        """Hide the options of other models."""
        others = [name for name in FAMILIES if name != model]
        for parameter in self.params:
            for flag in self.flags:
                if flag.parameter == parameter.name:
                    names = [name for name, _ in flag.owners]
                    parameter.hidden = model not in names and any(name in others for name in names)  # type: ignore[attr-defined]
        if others:
            self.epilog = f"Options of another model: talkinghead generate --model {'|'.join(others)} --help"


def _model_named(args: Sequence[str]) -> str | None:
    for argument, following in pairwise([*args, ""]):
        if argument in ("--model", "-m") and following in FAMILIES:
            return following
        if argument.partition("=")[0] == "--model" and argument.partition("=")[2] in FAMILIES:
            return argument.partition("=")[2]
    return None


def repeat_option(args: Sequence[str], several: Sequence[str]) -> list[str]:
    """Write an option again before each further value that follows it."""
    written: list[str] = []
    option: str | None = None
    values = 0
    for i, argument in enumerate(args):
        if argument == "--":
            return [*written, *args[i:]]
        if argument.startswith("-") and argument != "-":
            name, equals, _ = argument.partition("=")
            option = name if name in several else None
            values = 1 if equals else 0
        elif option is not None:
            if values:
                written.append(option)
            values += 1
        written.append(argument)
    return written


@help_page(PAGE)
def generate(
    given: Given,
    output: Annotated[
        str, typer.Option("-o", "--output", help="Video to write; its suffix chooses the format. A folder for several.")
    ],
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", "-a", help="Speech: any audio or video file. Several: --audio *.wav"),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Speech from text instead (extra tts): what to say; - reads it.")
    ] = None,
    text_file: Annotated[
        Path | None, typer.Option("--text-file", help="Speech from text: read what to say from this file (UTF-8).")
    ] = None,
    face: Annotated[
        list[Path] | None, typer.Option("--face", "-f", help="Picture or video of a face. Several are allowed.")
    ] = None,
    template: Annotated[
        list[Path] | None,
        typer.Option("--template", help="Folder of a person's frames, for models made for one person."),
    ] = None,
    scene: Annotated[
        list[Path] | None, typer.Option("--scene", help="Folder of a scene, for models that render one.")
    ] = None,
    avatar: Annotated[list[Path] | None, typer.Option("--avatar", help="Avatar, for models that render one.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help=f"Model: {', '.join(FAMILIES)}. See: talkinghead models list",
            show_default=DEFAULT_FAMILY,
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep and reuse what was found in a face video before.")
    ] = True,
    report: Annotated[
        Path | None,
        typer.Option(help="Write what ran, and where the time went, as JSON; shows the table too."),
        WRITTEN,
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show that on stdout instead.")] = False,
    sign: Sign = None,
    key: Key = None,
    timestamp_url: TimestampUrl = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what ran, and where the time went, as a table.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but warnings and errors.")] = False,
) -> int:
    """Make a talking-head video from a face and speech.

    Without --model the built-in animator moves the mouth; it needs no weights. Several faces and sounds make one video
    for each pair, in the folder after -o; one that fails is reported and the others go on.
    """
    from talkinghead.provenance.signing import signing_with
    from talkinghead.service.batch import Batch
    from talkinghead.service.planning import check_before, given_sources, given_speech, plan_requests
    from talkinghead.service.run import check_signed, write_report

    if model is None:
        model = DEFAULT_FAMILY
        if verbose:
            tell_models(model)
    facts = family(model)
    if not quiet and not json_output and facts.source_option == "--face":
        tell_mesh(given.of(FACES).get("detector", "auto"))
    stdin = getattr(sys.stdin, "buffer", None)
    said = given_speech(audio or (), text, text_file, part=given.of(PART), voice=given.of(SPEECH), stdin=stdin)
    given.refuse_all_but(model, list(FAMILIES))
    paths = {"--face": face, "--template": template, "--scene": scene, "--avatar": avatar}
    sources = given_sources(facts, paths, given.of(LOAD).get("checkpoint"))
    refuse_without_effect(facts, given.flags_of([FRAMES, FACES]))
    load, prepare, render = request_parts(facts, given.of, cache=cache)
    base = Request(
        source=sources[0],
        speech=said[0],
        output=Path(output),
        model=model,
        load=load,
        prepare=prepare,
        render=render,
    )
    requests = plan_requests(base, sources, said, output)
    check_before(requests, report, [text_file] if text_file is not None else [])
    with signing_with(sign, key, timestamp_url):
        check_signed(requests)
        outcomes = _run(Batch(requests), quiet=quiet)
    results = [outcome.to_dict() for outcome in outcomes]
    shown = results[0]["report"] if len(requests) == 1 else {"items": results}
    if report is not None:
        write_report(report, shown, new_folder=any(one.make_folder for one in requests))
    if json_output:
        console.print_json(shown)
    else:
        show_outcomes(outcomes, table=verbose or report is not None, quiet=quiet)
    return 1 if any(outcome.error is not None for outcome in outcomes) else 0


def _run(batch: Batch, *, quiet: bool) -> list[Outcome]:
    """Do all. With one only, its error is raised; with several, the work goes on after an error."""
    from talkinghead.service.batch import Outcome

    outcomes: list[Outcome] = []
    count = len(batch.requests)
    for number, request in enumerate(batch.requests, 1):
        label = f"[{number}/{count}] {request.output.name}" if count > 1 else ""
        with console.ProgressDisplay(quiet=quiet, label=label) as progress:
            if count == 1:
                return [Outcome(request, batch.run(request, progress=progress), None)]
            outcome = batch.outcome(request, progress=progress)
        if outcome.error is not None:
            console.note(f"{label}: failed")
            console.show_failure(outcome.error)
        outcomes.append(outcome)
    return outcomes


def tell_models(default: str) -> None:
    """Say which model runs when none is named, and which others have their weights installed."""
    from talkinghead.service.models import model_store

    have: dict[str, list[str]] = {}
    for record in model_store().installed().values():
        if record.model is not None:
            have.setdefault(record.model, []).append(record.name)
    others = "; ".join(f"--model {name} ({', '.join(names)})" for name, names in have.items())
    console.note(
        f"The built-in {default} runs. "
        + (f"Installed: {others}." if others else "Other models: talkinghead models list")
    )


def tell_mesh(detector: str = "auto") -> None:
    """Say how to get the face mesh, where it is not there and nobody chose another detector."""
    from talkinghead.face.mesh.files import advice

    sentence = advice() if detector == "auto" else None
    if sentence is not None:
        console.note(sentence)


def show_outcomes(outcomes: Sequence[Outcome], *, table: bool = False, quiet: bool = False) -> None:
    """The closing lines: of one job what was made, of several a line each; warnings in any case."""
    if len(outcomes) == 1 and outcomes[0].result is not None:
        show_result(outcomes[0].result, table=table, quiet=quiet)
        return
    rows: list[list[object]] = []
    for outcome in outcomes:
        report = outcome.result.report if outcome.result is not None else None
        if report is None:
            rows.append([outcome.request.output, "failed", "-", "-", "-", "-"])
        else:
            rows.append([
                outcome.request.output, "done", report.num_frames, f"{report.wall_s:.1f}",
                f"{report.frames_per_second:.1f}", f"{report.realtime_factor:.2f}x",
            ])  # fmt: skip
            for text in (*report.fallbacks, *report.warnings):
                console.warn(f"{outcome.request.output.name}: {text}")
    if quiet:
        return
    console.say(console.table(["video", "", "frames", "seconds", "frames/s", "real time"], rows))
    failed = sum(outcome.error is not None for outcome in outcomes)
    if failed:
        console.say(f"{failed} of {len(outcomes)} failed.")


def show_result(result: Result, *, table: bool = False, quiet: bool = False) -> None:
    """What one job made, how long that is and how fast it was; before it what to know about it.

    Args:
        table: also what ran, where the time went and what limited it.
        quiet: only what to know about it.
    """
    report = result.report
    for text in (*report.fallbacks, *report.warnings):
        console.warn(text)
    if quiet:
        return
    if table:
        _show_stages(result)
    console.say(
        f"{result.path}: {report.audio_s:.1f} s, {report.width}x{report.height} at {report.fps} frames/s, "
        f"made in {report.wall_s:.1f} s ({report.realtime_factor:.1f} times real time)"
    )


def _show_stages(result: Result) -> None:
    report = result.report
    rows = []
    for stage in report.stages:
        rate = f"{stage.items / stage.busy_s:.1f}" if stage.items > 1 and stage.busy_s >= RATED_S else "-"
        rows.append([
            stage.name, f"{stage.busy_s:.2f}", f"{stage.wait_input_s:.2f}", f"{stage.wait_output_s:.2f}", rate
        ])  # fmt: skip
    console.say(console.table(["stage", "seconds", "waiting for input", "waiting for output", "frames/s"], rows))
    console.say()
    console.say(
        f"{report.model} on {report.device} ({report.backend}, {report.precision}): {report.num_frames} frames, "
        f"{report.frames_per_second:.1f} frames/s, limited by {report.limited_by!r}"
    )


def _build() -> Any:
    flags = request_flags()
    built = with_flags(generate, flags)
    built.command_class = type("Command", (GenerateCommand,), {"flags": flags})  # type: ignore[attr-defined]
    return built


command = _build()
