"""Keeping a library from making our threads real-time.

SVT-AV1, run by root, gives the thread that opens it and its own threads the highest real-time priority of Linux. Every
thread and program that is started afterwards inherits that, and two busy ones of them stop a machine of two cores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")


@contextmanager
def priorities_kept() -> Iterator[None]:
    """While the block runs, libraries may raise priorities; afterwards every thread has the one that it had.

    Threads that were started meanwhile have that of the calling thread before the block. Does nothing where there is
    no such priority to raise (other systems than Linux).
    """
    if sys.platform != "linux":
        yield
        return
    usual = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _policies()
    try:
        yield
    finally:
        for thread, policy in _policies().items():
            if policy != before.get(thread, usual):
                with suppress(OSError):  # it ended meanwhile
                    os.sched_setscheduler(thread, *before.get(thread, usual))


def _policies() -> dict[int, tuple[int, os.sched_param]]:
    """Scheduling policy and priority of each thread of this process, by its number."""
    found = {}
    with suppress(OSError):  # no /proc
        for entry in THREADS.iterdir():
            thread = int(entry.name)
            with suppress(OSError):
                found[thread] = os.sched_getscheduler(thread), os.sched_getparam(thread)
    return found
