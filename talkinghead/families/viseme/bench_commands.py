"""Whole commands of `talkinghead bench viseme`: each in a process of its own, with nothing kept and once more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from talkinghead.engine.cache import CACHE_VARIABLE
from talkinghead.errors import BackendError
from talkinghead.measure.cases import BenchCase, BenchSettings, BenchTable, bench_speech, portrait_cases

TIMEOUT_S = 3600.0
COLUMNS = ("input", "first run s", "times real time", "next run s", "times real time")


def commands_table(settings: BenchSettings, folder: Path, tell: Callable[[str], None]) -> BenchTable:
    """Seconds from the start of a process to the finished file.

    Args:
        settings: the model's own options are left at their defaults.
        folder: for all files.
        tell: called with what is measured now.
    """
    from talkinghead.media import write_wav

    speech = folder / "speech.wav"
    clip = bench_speech(settings)
    write_wav(speech, clip)
    if settings.source is not None:
        cases = [BenchCase("given", settings.source, str(settings.source))]
    else:
        cases = list(portrait_cases(settings, folder))
    rows = []
    for case in reversed(cases):  # a video first: it is what takes long
        walls = []
        for run in ("first", "next"):
            tell(f"{case.name}: {run} run of the command")
            walls.append(_seconds(case, speech, settings, folder))
        factors = [float(clip.duration_s) / wall for wall in walls]
        rows.append((case.name, f"{walls[0]:.2f}", f"{factors[0]:.2f}", f"{walls[1]:.2f}", f"{factors[1]:.2f}"))
    return BenchTable(
        "Whole commands, each in a process of its own",
        COLUMNS,
        tuple(rows),
        "from the start of the process to the finished file, default options; the first run finds nothing kept",
    )


def _seconds(case: BenchCase, speech: Path, settings: BenchSettings, folder: Path) -> float:
    """Wall time of one command.

    Raises:
        BackendError: it failed.
    """
    command = [sys.executable, "-m", "talkinghead", "generate", "--model", "viseme", "--quiet"]
    command += ["--face", str(case.source), "--audio", str(speech), "--fps", str(settings.fps)]
    if case.faces is not None and case.faces.box is not None:
        command += ["--box", ",".join(str(edge) for edge in case.faces.box)]
    kept = folder / f"kept-{case.name}"
    environment = {**os.environ, CACHE_VARIABLE: str(kept)}
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603 (our own program and files that were made here or given)
        [*command, "-o", str(folder / f"command-{case.name}.mp4")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
    )
    wall_s = time.perf_counter() - started
    if done.returncode != 0:
        raise BackendError(f"The command for the {case.name} failed: {done.stderr.strip()[-500:]}")
    return wall_s
