"""Other processes that run this Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def can_be_apart() -> bool:
    """Whether this Python can start another one: not where it is packed into a program of another name."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def python_program(function: str, *, site: bool = True) -> tuple[str, ...]:
    """What a process runs that calls one function of this package, with nothing: this Python, with this one's path for
    modules, whatever lies in the current folder. Arguments that are added stand in `sys.argv` from 2 on.

    Args:
        function: "module:name".
        site: False leaves out what Python does for packages that are installed in unusual ways, and starts sooner.
    """
    module, _, name = function.partition(":")
    code = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import {name}; {name}()"
    folders = [*map(str, sys.path), str(Path(__file__).parents[1])]
    return (sys.executable, "-P", *([] if site else ["-S"]), "-c", code, json.dumps(folders))
