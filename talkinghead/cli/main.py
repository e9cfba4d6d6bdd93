"""Entry point: the table of commands, loaded when they are used, and what happens with errors and signals."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from talkinghead.cli.rows import row_group
from talkinghead.engine.manifest import LOOK, MANAGE, CommandRow
from talkinghead.registry import FAMILIES
from talkinghead.terminal import console
from talkinghead.terminal.program import expanded
from talkinghead.terminal.typers import CONTEXT

OWN = (
    CommandRow("generate", "talkinghead.cli.generate:command", "Make a talking-head video from a face and speech."),
    CommandRow("batch", "talkinghead.cli.batch:command", "Make a video for each row of a table, exactly once."),
    CommandRow("demo", "talkinghead.cli.demo:demo", "Make a portrait speak a bundled sentence; needs no files."),
    CommandRow("app", "talkinghead.cli.app:command", "Serve the web page on this machine."),
    CommandRow("live", "talkinghead.cli.live:command", "Serve a face that speaks live: a page, WHEP, agents."),
    CommandRow("serve", "talkinghead.cli.serve:command", "Serve videos over HTTP: orders, progress, results."),
    CommandRow("say", "talkinghead.cli.say:command", "Speak a text into a sound file."),
    CommandRow("stage", "talkinghead.cli.stage:app", "Run steps of the models as separate programs."),
    CommandRow("train", "talkinghead.cli.train:app", "Train a model of a person from a video."),
    CommandRow("cues", "talkinghead.cli.cues:command", "Write the mouth shapes of a recording as a cue file."),
    CommandRow(
        "evaluate",
        "talkinghead.cli.evaluate:evaluate",
        "Compare a video with the true one: PSNR, SSIM, landmarks, LPIPS.",
        LOOK,
    ),
    CommandRow(
        "inspect", "talkinghead.cli.inspect:inspect", "Say what a media file holds and how well it is in sync.", LOOK
    ),
    CommandRow("doctor", "talkinghead.cli.doctor:doctor", "Say what this machine and installation can do.", LOOK),
    CommandRow("bench", "talkinghead.cli.bench:command", "Measure where the time of a model goes.", LOOK),
    CommandRow("models", "talkinghead.cli.models:app", "List models and what they need.", MANAGE),
    CommandRow("reference", "talkinghead.cli.reference:app", "Run one network alone on named arrays.", MANAGE),
    CommandRow("provenance", "talkinghead.cli.provenance:app", "Make a certificate for trying to sign videos.", MANAGE),
    CommandRow("cache", "talkinghead.cli.cache:app", "Show or clear what was kept from earlier runs.", MANAGE),
)
"""Commands that belong to no family."""


def commands() -> tuple[CommandRow, ...]:
    """Every command: our own, then those of the families in their order."""
    hidden = hidden_commands()
    return (*OWN, *(row for facts in FAMILIES.values() for row in facts.commands if row not in hidden))


def hidden_commands() -> tuple[CommandRow, ...]:
    """Commands of families that cannot be reached, since one of our own has the name."""
    taken = {row.name for row in OWN}
    return tuple(row for facts in FAMILIES.values() for row in facts.commands if row.name in taken)


def _version(value: bool) -> None:
    if value:
        from talkinghead.version import __version__

        console.say(f"talkinghead {__version__}")
        raise typer.Exit()


app = typer.Typer(
    cls=row_group(commands),
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=CONTEXT,
    epilog="Start with: talkinghead demo -o demo.mp4",
)


@app.callback(help="Turn speech and a face into a talking-head video.")
def _root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors. May stand anywhere; also TALKINGHEAD_DEBUG=1.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Global options; `--debug` is taken out of the arguments before they are parsed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.
    Returns:
        Exit status: 0 done; 1 failed; 2 something given cannot be used; 130 stopped by Ctrl-C, 143 by a signal.
    """
    given = expanded(sys.argv[1:]) if arguments is None else list(arguments)
    debug = os.environ.get("TALKINGHEAD_DEBUG", "") not in ("", "0")
    if "--debug" in given:
        debug = True
        given = [argument for argument in given if argument != "--debug"]
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder talks on stderr otherwise
    with console.any_streams(), console.debugging(debug), _signals() as stopped:
        console.use_plain_warnings()
        try:
            status = app(given or ["--help"], prog_name="talkinghead", standalone_mode=False, obj=Program())
            status = status if isinstance(status, int) else 0
        except (KeyboardInterrupt, typer.Abort):
            status = 130
        except Exception as error:  # noqa: BLE001 (the last place: whatever went wrong becomes a sentence and a status)
            status = _failed(error, debug)
        if status == 130:
            status = 128 + (stopped[0] if stopped else signal.SIGINT)
            console.note("Stopped.")
    return status


class Program:
    """A `terminal.host.Host`."""

    def open_page(self, model: str, fixed: Mapping[str, Any]) -> None:
        from talkinghead.cli.app import run_page
        from talkinghead.webui import AppOptions

        run_page(AppOptions(), model=model, fixed={model: dict(fixed)} if fixed else None)


def _failed(error: Exception, debug: bool) -> int:
    """Show an error; returns the exit status."""
    from talkinghead.errors import Cancelled, TalkingHeadError

    if isinstance(error, Cancelled):
        return 130
    if hasattr(error, "format_message"):  # a usage error of typer, whose classes are not public
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "talkinghead"
        console.show_error(f"{error.format_message()}\nTry: {where} --help")
        return int(getattr(error, "exit_code", 2))
    if debug:
        traceback.print_exception(error)
        return getattr(error, "exit_status", 1)
    console.show_error(console.failure_text(error))
    return error.exit_status if isinstance(error, TalkingHeadError) else 1


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Let SIGTERM, SIGHUP and Ctrl-Break (Windows) stop a job as Ctrl-C does, so that it cleans up; yields the signals
    that came.
    """
    came: list[int] = []

    def stop(number: int, frame: types.FrameType | None) -> None:  # noqa: ARG001
        came.append(number)
        raise KeyboardInterrupt

    previous: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        try:
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                previous[number] = signal.signal(number, stop)
        except ValueError:  # not in the main thread: someone else decides about signals
            break
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
