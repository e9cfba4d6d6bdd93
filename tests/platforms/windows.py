"""What Windows does with files, done here: nothing that this process has open or mapped is removed or replaced.

`python -m pytest -p tests.platforms.windows` runs tests that way.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from talkinghead import system

SHARING_VIOLATION = 32


class SharingViolation(PermissionError):
    """As Windows raises it."""

    winerror = SHARING_VIOLATION


def open_files() -> set[str]:
    """Real paths of what this process has open or mapped."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        found.update(line.rstrip("\n").split(maxsplit=5)[5] for line in maps if "/" in line)
    return found


def is_in_use(path: Any, known: set[str]) -> bool:
    real = os.path.realpath(os.path.dirname(os.path.abspath(path))) + os.sep + os.path.basename(path)
    return real in known or any(name.startswith(real + os.sep) for name in known)


def guarded(name: str) -> Callable[..., Any]:
    """A function of `os` that refuses files in use, among the first two of its arguments."""
    action = getattr(os, name)

    def checked(*arguments: Any, **named: Any) -> Any:
        if not named:
            known = open_files()
            for path in arguments[:2]:
                if isinstance(path, str | os.PathLike) and is_in_use(path, known):
                    raise SharingViolation(errno.EACCES, "It is used by another process", str(path))
        return action(*arguments, **named)

    return checked


@contextmanager
def files_of_windows(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """For the time of the block files are as on Windows, and the package takes this system for it."""
    with patch.context() as change:
        for name in ("replace", "rename", "unlink", "remove"):
            change.setattr(os, name, guarded(name))
        change.setattr(shutil, "_use_fd_functions", False)
        change.setattr(system, "WINDOWS", True)
        change.setattr(system, "PATIENCE_S", 0.05)
        for name in ("sched_getaffinity", "killpg", "setsid", "sysconf", "fork", "mkfifo"):
            change.delattr(os, name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _as_on_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with files_of_windows(monkeypatch):
        yield
