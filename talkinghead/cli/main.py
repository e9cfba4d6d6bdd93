"""Entry point: the table of commands, loaded when they are used, and what happens with errors and signals."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from talkinghead.terminal import console
from talkinghead.terminal.typers import CONTEXT, build_command, build_group


@dataclass(frozen=True)
class Command:
    """One row of the table."""

    name: str
    target: str
    """"module:object": a function, or a typer.Typer of subcommands. Imported when the command is used."""
    help: str
    """One line for the list of commands."""
    panel: str = "Commands"


MAKE = "Make videos"
LOOK = "Look and measure"
MANAGE = "Models and cache"

COMMANDS = (
    Command("generate", "talkinghead.cli.generate:command", "Make a talking-head video from a face and speech.", MAKE),
    Command("demo", "talkinghead.cli.demo:demo", "Make a photograph speak a bundled sentence; needs no files.", MAKE),
    Command("app", "talkinghead.cli.app:app", "Serve the web page on this machine.", MAKE),
    Command("say", "talkinghead.cli.say:command", "Speak a text into a sound file.", MAKE),
    Command("stage", "talkinghead.cli.stage:app", "Run the seven steps of Wav2Lip as separate programs.", MAKE),
    Command("cues", "talkinghead.cli.cues:cues", "Write the mouth shapes of a recording as a cue file.", MAKE),
    Command(
        "synthesize-fuse",
        "talkinghead.families.talkinggaussian.published_command:synthesize_fuse",
        "Run TalkingGaussian with the flags of its published program.",
        MAKE,
    ),
    Command(
        "template",
        "talkinghead.families.synctalk2d.template_commands:app",
        "Make and check the template folders of SyncTalk_2D.",
        MAKE,
    ),
    Command(
        "synctalk2d",
        "talkinghead.families.synctalk2d.commands:app",
        "Run SyncTalk_2D with the flags of its published script; export it.",
        MAKE,
    ),
    Command(
        "artalk",
        "talkinghead.families.artalk.commands:artalk",
        "Run ARTalk with the flags of its published program.",
        MAKE,
    ),
    Command(
        "artalk-step",
        "talkinghead.families.artalk.commands:steps",
        "Run the steps of ARTalk one by one; export for 3D.",
        MAKE,
    ),
    Command(
        "inspect-gaussians",
        "talkinghead.families.talkinggaussian.inspect_command:inspect_gaussians",
        "Say what a trained Gaussian head holds, show and export it.",
        LOOK,
    ),
    Command(
        "evaluate",
        "talkinghead.cli.evaluate:evaluate",
        "Compare a video with the true one: PSNR, SSIM, landmarks, LPIPS.",
        LOOK,
    ),
    Command(
        "inspect", "talkinghead.cli.inspect:inspect", "Say what a media file holds and how well it is in sync.", LOOK
    ),
    Command("doctor", "talkinghead.cli.doctor:doctor", "Say what this machine and installation can do.", LOOK),
    Command("bench", "talkinghead.cli.bench:command", "Measure where the time of a model goes.", LOOK),
    Command("models", "talkinghead.cli.models:app", "List models and what they need.", MANAGE),
    Command("reference", "talkinghead.cli.reference:app", "Run one network alone on named arrays.", MANAGE),
    Command("cache", "talkinghead.cli.cache:app", "Show or clear what was kept from earlier runs.", MANAGE),
)


class LazyGroup(TyperGroup):
    """A group that imports a command's module when that command runs, not to list it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return [row.name for row in COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        row = next((row for row in COMMANDS if row.name == cmd_name), None)
        return load_command(row) if row is not None else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        near = get_close_matches(args[0], self.list_commands(ctx), n=1)
        if near and near[0] != args[0]:
            ctx.fail(f"There is no command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        listing = TyperGroup(
            name=self.name, help=self.help, epilog=self.epilog, params=self.params,
            rich_markup_mode=self.rich_markup_mode,
        )  # fmt: skip
        for row in COMMANDS:
            listing.add_command(TyperCommand(row.name, help=row.help, callback=None, rich_help_panel=row.panel))
        listing.format_help(ctx, formatter)


def load_command(row: Command) -> Any:
    """Import a command and build its parser."""
    module, _, name = row.target.partition(":")
    target = getattr(import_module(module), name)
    return build_group(row.name, target) if isinstance(target, typer.Typer) else build_command(row.name, target)


def _version(value: bool) -> None:
    if value:
        from talkinghead._version import __version__

        console.say(f"talkinghead {__version__}")
        raise typer.Exit()


app = typer.Typer(
    cls=LazyGroup,
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
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = os.environ.get("TALKINGHEAD_DEBUG", "") not in ("", "0")
    if "--debug" in given:
        debug = True
        given = [argument for argument in given if argument != "--debug"]
    console.use_plain_warnings()
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder talks on stderr otherwise
    with console.debugging(debug), _signals() as stopped:
        try:
            status = app(given or ["--help"], prog_name="talkinghead", standalone_mode=False)
            status = status if isinstance(status, int) else 0
        except (KeyboardInterrupt, typer.Abort):
            status = 130
        except Exception as error:  # noqa: BLE001 (the last place: whatever went wrong becomes a sentence and a status)
            status = _failed(error, debug)
        if status == 130:
            status = 128 + (stopped[0] if stopped else signal.SIGINT)
            console.note("Stopped.")
    return status


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
    if isinstance(error, TalkingHeadError):
        console.show_error(str(error))
        return error.exit_status
    if isinstance(error, OSError):
        console.show_error(str(error))
        return 1
    if isinstance(error, MemoryError):
        console.show_error("There is not enough memory.\nTry: a smaller picture (--resize-factor 2)")
        return 1
    console.show_error(
        f"Unexpected {type(error).__name__}: {error}\nThis is a fault of talkinghead itself. "
        "Try: the same command with --debug, and report what it shows"
    )
    return 1


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP stop a job as Ctrl-C does, so that it cleans up; yields the signals that came."""
    came: list[int] = []

    def stop(number: int, frame: types.FrameType | None) -> None:  # noqa: ARG001
        came.append(number)
        raise KeyboardInterrupt

    previous: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
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
