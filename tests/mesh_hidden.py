"""The face mesh of an installed package, hidden from the tests: their results are the same on every machine."""

from __future__ import annotations

import os
from pathlib import Path

HIDING = str(Path(__file__).resolve().parent / "without_mesh")
"""First in the path of modules, it holds a package of the same name without any files."""


def python_path(*folders: Path) -> str:
    """PYTHONPATH for programs that tests start: the folders, and no face mesh."""
    return os.pathsep.join([HIDING, *map(str, folders)])


def without_hiding(entries: list[str]) -> list[str]:
    """A path of modules in which an installed face mesh is found."""
    return [entry for entry in entries if entry != HIDING]
