"""How this program is started from here, for sentences that tell what to type next."""

from __future__ import annotations

import glob
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from talkinghead import system

NAME = "talkinghead"


def program() -> str:
    """What a shell in this folder finds as this program: its name, its path, or Python with the module's name.

    The name is enough where it leads to the program of this environment; an environment that is not activated needs the
    path, which is relative where the environment lies in this folder. Quoted for the shell.
    """
    own = _own_script()
    if own is None:
        return quoted([_short(Path(sys.executable)), "-m", NAME]) if sys.executable else NAME
    found = shutil.which(NAME)
    if found is not None and _same(Path(found), own):
        return NAME
    return quoted([_short(own)])


def expanded(arguments: Sequence[str]) -> list[str]:
    """Arguments with `*.wav` and the like replaced by the files that are meant, sorted, where no shell has done it: on
    Windows. What means no file stays as it is.
    """
    if not system.WINDOWS:
        return list(arguments)
    found = {given: sorted(glob.glob(given)) for given in arguments if "*" in given}  # noqa: PTH207 (of any folder)
    return [name for given in arguments for name in found.get(given) or [given]]


def _own_script() -> Path | None:
    """The program in the folder of this Python's programs."""
    folder = Path(sys.executable).parent if sys.executable else None
    if folder is None:
        return None
    for name in (NAME, f"{NAME}.exe"):
        for place in (folder / name, folder / "Scripts" / name):
            if place.is_file():
                return place
    return None


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def _short(path: Path) -> str:
    """Relative to the current folder where it lies below it; links are kept, since an environment's Python is one."""
    try:
        short = os.path.relpath(path)
    except ValueError:  # on another drive
        return str(path)
    if short.startswith(os.pardir):
        return str(path)
    return short if os.sep in short else os.path.join(os.curdir, short)  # noqa: PTH118 (a Path drops the dot)


def quoted(words: Sequence[str]) -> str:
    """Words as they are typed, for the shell of this system: on Windows for both of its shells, if the first needs no
    quotes (PowerShell wants `&` before a program in quotes).
    """
    return subprocess.list2cmdline(words) if system.WINDOWS else shlex.join(words)
