"""Readers tried on hostile files in a process of its own, with bounds on memory and time.

One process reads many files, one after the other; where it ends before its time, the file that it was at is known.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.mesh_hidden import python_path

MEMORY_MB = 700
"""What reading one file may take above what the process takes before it reads any: the bound is 500 MB and twice the
file; the address space counts what is mapped, too."""

_CHILD = """
import importlib, json, sys, time, warnings
from pathlib import Path
import resource
from talkinghead.errors import InputError

warnings.simplefilter("error")
jobs = [json.loads(line) for line in sys.stdin]
readers = {}
for reader, _ in jobs:
    module, _, name = reader.partition(":")
    readers[reader] = getattr(importlib.import_module(module), name)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for place, value in json.loads(sys.argv[2]).items():
    module, _, name = place.partition(":")
    assert hasattr(importlib.import_module(module), name)
    setattr(importlib.import_module(module), name, value)
for reader, path in jobs:
    path, started = Path(path), time.process_time()
    try:
        readers[reader](path)
        kind, text, known = "", "", True
    except BaseException as error:
        kind, text, known = type(error).__name__, str(error)[:2000], isinstance(error, InputError)
    print(json.dumps([kind, text, known, time.process_time() - started]), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """What came of reading one file."""

    error: str
    """Class of what was raised; empty where nothing was."""
    text: str
    is_input_error: bool
    seconds: float
    """Of the processor."""


ENDED = Outcome("the process ended", "", False, 0.0)


def read_apart(
    files: Mapping[str, tuple[str, Path]], *, bounds: Mapping[str, int] | None = None, memory_mb: int = MEMORY_MB
) -> dict[str, Outcome]:
    """Read every file in one process.

    Args:
        files: by name, "module:name" of the function that reads it, and the path.
        bounds: lower ones for constants by "module:NAME", where reaching the real ones takes long.
    Returns:
        What came of each by its name; `ENDED` for the one at which the process ended, the others are not there then.
    """
    environment = {**os.environ, "PYTHONPATH": python_path(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(memory_mb), json.dumps(dict(bounds or {}))],
        input="".join(json.dumps([reader, str(path)]) + "\n" for reader, path in files.values()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    found = [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]
    assert found, done.stderr
    names = list(files)
    outcomes = dict(zip(names, found, strict=False))
    if len(found) < len(names):
        outcomes[names[len(found)]] = ENDED
    return outcomes
