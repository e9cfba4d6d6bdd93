"""Runs command lines one after the other: `python run_lines.py LINES.json`, a list of lists of arguments.

A program of its own, so that only the packages of one environment are there.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path


def main() -> int:
    from talkinghead.cli.main import main as run

    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if asked["thin"]:
        from tests.thin import thin_generator

        context = thin_generator()
    else:
        context = nullcontext()
    with context:
        for arguments in asked["lines"]:
            print("$", *arguments, file=sys.stderr, flush=True)
            if (status := run(arguments)) != 0:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
