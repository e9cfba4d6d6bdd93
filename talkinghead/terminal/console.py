"""What the user sees: results on stdout, everything else on stderr.

Whatever the streams are (a terminal of a few letters, a closed pipe, none at all), what can be shown is shown and the
work goes on.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from talkinghead.errors import TalkingHeadError, UnwritableOutput
from talkinghead.places import printable

if TYPE_CHECKING:
    from talkinghead.engine.context import ProgressEvent

_debug: ContextVar[bool] = ContextVar("debug", default=False)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What moves a cursor or changes a terminal, in a name for example; tabs and line ends apart."""


@contextmanager
def any_streams() -> Iterator[None]:
    """For the time of the block, streams that take every text: a character that a terminal does not have is written as
    its number, and where there is no stream, nothing is written.
    """
    with contextlib.ExitStack() as stack:
        _fill_descriptors()
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            stream = getattr(sys, name)
            if stream is None:
                stack.callback(setattr, sys, name, None)
                setattr(sys, name, stack.enter_context(Path(os.devnull).open(mode, encoding="utf-8")))
            elif mode == "w" and isinstance(stream, io.TextIOWrapper) and not stream.closed:
                stack.callback(_reconfigure, stream, stream.errors)
                _reconfigure(stream, "backslashreplace")
        yield


def _fill_descriptors() -> None:
    """Open what a process was started without: else the next file, a video perhaps, takes the place of stderr."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free


def _reconfigure(stream: io.TextIOWrapper, errors: str | None) -> None:
    with contextlib.suppress(ValueError, OSError):  # it was closed, or cannot be flushed
        stream.reconfigure(errors=errors)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at it, on a terminal that can be drawn on."""
    if stream is None or getattr(stream, "closed", False) or not hasattr(stream, "isatty"):
        return False
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def _write(stream: TextIO | None, text: str) -> None:
    """One text and a line end.

    Raises:
        OSError: it cannot be written; but not for a reader that has gone, as `head` does.
    """
    if stream is None or getattr(stream, "closed", False):
        return
    shown = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text) + "\n"
    try:
        try:
            stream.write(shown)
        except UnicodeEncodeError:  # a stream of somebody's own, which `any_streams` left as it is
            stream.write(shown.encode("ascii", "backslashreplace").decode("ascii"))
        stream.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())  # what follows, and the flush at the end, go nowhere
            os.close(nothing)


def say(text: str = "") -> None:
    """A result, to stdout.

    Raises:
        UnwritableOutput: the disk is full, or the like.
    """
    try:
        _write(sys.stdout, text)
    except OSError as error:
        raise UnwritableOutput(f"The result cannot be shown: {error.strerror or error}.") from error


def print_json(value: Any) -> None:
    """A result as JSON, to stdout."""
    say(json.dumps(value, indent=2, default=str, allow_nan=False))


def note(text: str) -> None:
    """Something by the way, to stderr."""
    with contextlib.suppress(OSError):  # there is nowhere else to say it
        _write(sys.stderr, text)


def warn(text: str) -> None:
    """Something that the user should know, to stderr."""
    note(f"warning: {text}")


def show_error(message: str) -> None:
    """One message, to stderr; further lines (what is accepted, what to try) are indented."""
    first, *rest = message.splitlines() or [""]
    note("\n".join([f"error: {first}", *(f"  {line}" for line in rest)]))


def show_failure(error: Exception) -> None:
    """An error after which the work goes on; with its traceback under `--debug`."""
    if _debug.get():
        traceback.print_exception(error)
    show_error(failure_text(error))


def failure_text(error: Exception) -> str:
    """What to say about an error: what it says itself if it is about what was given, else how to report it."""
    if isinstance(error, MemoryError):
        return "There is not enough memory.\nTry: a smaller picture (--resize-factor 2)"
    if isinstance(error, TalkingHeadError | OSError):
        return str(error)
    return (
        f"Unexpected {type(error).__name__}: {error}\nThis is a fault of talkinghead itself. "
        "Try: the same command with --debug, and report what it shows"
    )


@contextmanager
def debugging(debug: bool) -> Iterator[None]:
    """Remember `--debug` for `show_failure`."""
    token = _debug.set(debug)
    try:
        yield
    finally:
        _debug.reset(token)


def use_plain_warnings() -> None:
    """Show Python warnings as one line each, without source lines; those meant for developers not at all."""
    if sys.warnoptions:  # someone asked for them with -W
        return

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,  # noqa: ARG001
        lineno: int,  # noqa: ARG001
        file: TextIO | None = None,  # noqa: ARG001
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)):
            warn(str(message))

    warnings.showwarning = show


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned text; columns whose every cell is a number are aligned to the right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    right = [bool(cells) and all(_numeric(row[i]) for row in cells) for i in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        parts = [
            value.rjust(width) if flush else value.ljust(width)
            for value, width, flush in zip(values, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), line(["-" * width for width in widths]), *(line(row) for row in cells)])


def _numeric(text: str) -> bool:
    return text in ("", "-") or text.replace(".", "", 1).replace("-", "", 1).rstrip("x%").isdigit()


def size_text(num_bytes: float) -> str:
    """Bytes for people: "12.3 MB" (powers of 1000)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000 or unit == "GB":
            return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    raise AssertionError


def _rate_text(event: ProgressEvent, rate: float) -> str:
    return f"{rate:.1f} times real time" if event.unit == "s" else f"{rate:.1f} {event.unit}/s"


class ProgressDisplay:
    """Progress on stderr: on a terminal one bar for the whole job, with the time left and the stage at work; else a
    line now and then.

    Use as a context manager; call it with each `ProgressEvent`, from any thread. `label` goes before each line where
    several jobs run one after the other.
    """

    LINE_EVERY_S = 5.0

    def __init__(self, *, quiet: bool = False, label: str = "") -> None:
        from talkinghead.engine.progress import JobProgress

        self._quiet = quiet
        self._label = f"{printable(label)}: " if label else ""
        self._job = JobProgress()
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None
        self._started: dict[str, float] = {}
        self._last_line_s = 0.0
        self._finished: set[str] = set()

    def __enter__(self) -> ProgressDisplay:
        if not self._quiet and is_terminal(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description:<22}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[detail]}"),
                console=Console(stderr=True),
                transient=True,
            )
            if self._label:
                self._bar.console.print(self._label.rstrip(), highlight=False, markup=False)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: ProgressEvent) -> None:
        if self._quiet:
            return
        with self._lock:
            share, left_s = self._job.update(event)
            if event.note:
                self._say(event.note)
            now = time.perf_counter()
            started = self._started.setdefault(event.stage, now)
            rate = event.done / (now - started) if now > started and event.done > 1 else 0.0
            if self._bar is not None:
                self._draw(event, share, rate, left_s)
            else:
                self._write(event, rate, left_s, now)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(printable(text), highlight=False, markup=False)
        else:
            note(f"{self._label}{text}")

    def _draw(self, event: ProgressEvent, share: float, rate: float, left_s: float | None) -> None:
        from talkinghead.contracts import STAGES

        parts = [] if left_s is None else [f"{left_s:.0f} s left"]
        if event.stage == "render" and rate:
            parts.append(_rate_text(event, rate))
        title, detail = STAGES.get(event.stage, event.stage), "  ".join(parts)
        if self._task is None:
            self._task = self._bar.add_task(title, total=1.0, detail=detail)
        self._bar.update(self._task, description=title, completed=share, detail=detail)

    def _write(self, event: ProgressEvent, rate: float, left_s: float | None, now: float) -> None:
        ended = event.total is not None and event.done >= event.total
        if event.stage in self._finished or not (ended or now - self._last_line_s >= self.LINE_EVERY_S):
            return
        if ended:
            self._finished.add(event.stage)
        self._last_line_s = now
        parts = [f"{self._label}{event.stage}"]
        if event.total is not None and event.total > 1:
            parts.append(f"{event.done}/{event.total}")
            if rate:
                parts.append(_rate_text(event, rate))
            if ended:
                parts.append("done")
            elif left_s is not None:
                parts.append(f"{left_s:.0f} s left")
        elif event.done:
            parts.append(f"{event.done}" if event.total is None else "done")
        note("  ".join(parts))
