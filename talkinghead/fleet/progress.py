"""How far a run is: a bar on a terminal, lines elsewhere, lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from talkinghead.fleet.drive import Progress
from talkinghead.places import printable
from talkinghead.storage.address import Address
from talkinghead.terminal import console

LINE_EVERY_S = 10.0
"""Between two lines where there is no terminal, and of JSON where no attempt ends."""
ERROR_CHARACTERS = 300
"""Of an error, on the terminal; all of it stands in the table of results."""

Tell = Callable[[Progress], None]


def time_text(seconds: float) -> str:
    """A time for people: "42 s", "12:03", "3:25:10", "12 days"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 72:
        return f"{hours / 24:.0f} days"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress_text(progress: Progress) -> str:
    """Rows, video, rate, time left and failures in one line."""
    parts = [f"{progress.done + progress.failed:,}/{progress.rows:,} rows", f"{time_text(progress.video_s)} of video"]
    if progress.rate:
        parts.append(f"{progress.rate:.2f} times real time")
    if progress.left_s is not None and progress.done + progress.failed < progress.rows:
        parts.append(f"{time_text(progress.left_s)} left")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.lost:
        parts.append(f"{progress.lost:,} workers lost")
    return "  ".join(parts)


class TerminalProgress:
    """On stderr: one bar for the whole run on a terminal, else a line now and then; a line for each failed attempt.

    A context manager; call it with each `Progress`.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._failed = 0
        self._line_s = time.monotonic()

    def __enter__(self) -> Self:
        if not self._quiet and console.is_terminal(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.fields[detail]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, progress: Progress) -> None:
        aside = progress.failed > self._failed
        self._failed = progress.failed
        if self._quiet:
            return
        if progress.job is not None and (progress.outcome is None or progress.outcome.end == "failed"):
            self._say(attempt_text(progress, aside))
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("rows", total=1.0, detail="")
            ended = progress.done + progress.failed + progress.shares
            share = ended / progress.rows if progress.rows else 1.0
            self._bar.update(self._task, completed=share, detail=progress_text(progress))
        elif time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            console.note(progress_text(progress))

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(printable(text), highlight=False, markup=False)
        else:
            console.note(printable(text))


def attempt_text(progress: Progress, aside: bool) -> str:
    """What became of an attempt that failed, in one line."""
    assert progress.job is not None
    error = "its worker was lost" if progress.outcome is None else " ".join((progress.outcome.error or "").split())
    error = error if len(error) <= ERROR_CHARACTERS else f"{error[:ERROR_CHARACTERS]}..."
    what = "failed" if aside else f"attempt {progress.attempt} failed, it will be tried again"
    part = "" if progress.job.part_of is None else f" ({Address.of(progress.job.output).name})"
    return f"row {progress.job.row:,}{part} {what}: {error}"


class JsonProgress:
    """Lines of JSON: one for each attempt that ended (`event` is "row"), and one now and then (`event` is "progress").

    Args:
        stream: flushed after each line.
        every_s: between two lines that are about no attempt.
    """

    def __init__(self, stream: TextIO, *, every_s: float = LINE_EVERY_S) -> None:
        self._stream, self._every_s = stream, every_s
        self._line_s = float("-inf")
        self._failed = 0

    def __call__(self, progress: Progress) -> None:
        if progress.job is not None:
            aside = progress.failed > self._failed
            self._write({**_of_attempt(progress, aside), **_of_run(progress)})
        elif self._is_over(progress) or time.monotonic() - self._line_s >= self._every_s:
            self._write({"event": "progress", **_of_run(progress)})
        self._failed = progress.failed

    @staticmethod
    def _is_over(progress: Progress) -> bool:
        return progress.done + progress.failed >= progress.rows

    def _write(self, values: dict[str, Any]) -> None:
        self._line_s = time.monotonic()
        self._stream.write(json.dumps({"t": round(time.time(), 3), **values}) + "\n")
        self._stream.flush()


def _of_attempt(progress: Progress, aside: bool) -> dict[str, Any]:
    assert progress.job is not None
    outcome = progress.outcome
    done = outcome is not None and outcome.end == "done"
    values = {
        "event": "row" if progress.job.part_of is None else "part",
        "row": progress.job.row,
        "status": "done" if done else "failed" if aside else "again",
        "output": Address.of(progress.job.output).shown,
        "attempt": progress.attempt,
        "worker": progress.worker,
    }
    if outcome is None:
        return {**values, "error": "The worker was lost."}
    if done:
        return {**values, "sha256": outcome.sha256, "size": outcome.size}
    return {**values, "error": outcome.error, "kind": outcome.kind}


def _of_run(progress: Progress) -> dict[str, Any]:
    return {
        "rows": progress.rows,
        "done": progress.done,
        "failed": progress.failed,
        "running": progress.running,
        "workers": progress.workers,
        "lost": progress.lost,
        "video_s": round(progress.video_s, 3),
        "elapsed_s": round(progress.elapsed_s, 3),
        "rate": round(progress.rate, 4),
        "left_s": None if progress.left_s is None else round(progress.left_s, 1),
    }
