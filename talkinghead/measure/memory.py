"""What this process holds."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from dataclasses import dataclass
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
