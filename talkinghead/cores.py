"""How many cores of the machine this process uses."""

from __future__ import annotations

import os
from pathlib import Path

CORES_VARIABLE = "TALKINGHEAD_CORES"
"""Environment variable: how many cores a process uses at most, where several share a machine."""


def allotted_cores() -> int | None:
    """What `TALKINGHEAD_CORES` says; None where it says nothing."""
    given = os.environ.get(CORES_VARIABLE, "")
    return max(1, int(given)) if given.isdecimal() else None


def available_cores() -> int:
    """Cores that this process may use, limits of a container and `TALKINGHEAD_CORES` included."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    return max(1, min(cores, allotted_cores() or cores))
