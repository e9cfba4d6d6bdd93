"""Run one stage as a program of its own."""

from __future__ import annotations

import sys


def launch(name: str) -> int:
    """`talkinghead stage NAME` with the arguments of this process; returns the exit status."""
    from talkinghead.cli.main import main

    return main(["stage", name, *sys.argv[1:]])
