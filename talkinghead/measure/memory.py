"""Memory of this process."""

from __future__ import annotations

import re
import sys
from pathlib import Path


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
