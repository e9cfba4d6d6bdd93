"""What this process holds, and how it lets go of it."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What a process holds."""

    memory_bytes: int
    threads: int
    handles: int
    processor_s: float
    """Seconds of work so far, on all cores."""


def usage() -> Usage:
    """What this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    handles = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), handles, time.process_time())


@cache
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Free what only waits to be collected, and give memory that is free back to the system.

    The C library (glibc) keeps some for each thread that ever was: a server that makes each video in threads of its own
    would hold ten times what it uses.
    """
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


def peak_memory_bytes() -> int | None:
    """Largest resident size of this process so far, or None where the system does not tell."""
    try:  # unlike getrusage this does not count the size of the parent that started the process
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
