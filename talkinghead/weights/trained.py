"""Folders that training or a command of this package wrote: which of their files are filed, and under what name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".pth", ".pt", ".tar", ".safetensors", ".onnx", ".ckpt", ".npz", ".pb")
USUAL_NAMES = {"model", "models", "checkpoint", "checkpoints", "ckpt", "output", "out", "weights"}
"""Names of folders that tell nothing; the folder above tells more."""
_COUNTED = re.compile(r"\d+|latest|last|best")


def series_of(folder: Path) -> list[list[Path]]:
    """The model files of a folder in series, each the newest first; where it holds none, those of the folders in it.

    `chkpnt_fuse_10000.pth` and `chkpnt_fuse_latest.pth` are of one series, `0.pth` to `199.pth` of another.
    """
    for places in ([folder], sorted(path for path in folder.iterdir() if path.is_dir())):
        found: dict[str, list[Path]] = {}
        for path in (path for place in places for path in _files(place)):
            found.setdefault(f"{path.parent}/{_COUNTED.sub('', path.name.lower())}", []).append(path)
        if found:
            return [sorted(paths, key=_age, reverse=True) for paths in found.values()]
    return []


def folder_name(folder: Path) -> str:
    """What a folder is called: its own name, or that of the one above where it is a usual one."""
    whole = folder.absolute()
    names = [part for part in (whole, *whole.parents) if part.name.lower() not in USUAL_NAMES]
    return names[0].name if names and names[0].name else whole.name


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file())


def _age(path: Path) -> tuple[int, int, str]:
    """Later is more: the latest, the last, then the best, then the highest number."""
    stem = path.name.lower()
    words = ("best", "last", "latest")
    rank = next((1 + words.index(word) for word in reversed(words) if word in stem), 0)
    numbers = re.findall(r"\d+", stem)
    return rank, int(numbers[-1][:18]) if numbers else -1, path.name
