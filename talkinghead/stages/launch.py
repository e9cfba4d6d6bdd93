"""Run one stage as a program of its own."""

from __future__ import annotations

import sys
from pathlib import Path


def launch(file: str) -> int:
    """`talkinghead stage NAME` with the arguments of this process, NAME being that of the launcher's file.

    Args:
        file: `__file__` of the launcher.
    Returns:
        The exit status.
    """
    from talkinghead.cli.main import main

    return main(["stage", Path(file).stem.replace("_", "-"), *sys.argv[1:]])
