"""Try a native library on a foreign file in a process of its own, where it may end what it likes."""

from __future__ import annotations

import subprocess
import sys

TIMEOUT_S = 60.0
MAX_MEMORY_BYTES = 6 * 1024**3
_PRELUDE = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MAX_MEMORY_BYTES}, {MAX_MEMORY_BYTES}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
data = sys.stdin.buffer.read()
"""


def failure_apart(code: str, data: bytes, *, timeout_s: float = TIMEOUT_S) -> str | None:
    """Run a few lines of Python on the bytes of a file, apart from this process.

    Args:
        code: uses `data`; `sys.exit(text)` says what is wrong with it.
    Returns:
        What went wrong, or None. Where no process can be started nothing is known, and nothing is said.
    """
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-c", _PRELUDE + code],  # the code is ours, the file comes in as data
            input=data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it takes more than {timeout_s:g} seconds"
    except OSError:
        return None
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode < 0 or done.returncode > 128:
        return f"it ends the process that reads it ({done.returncode})"
    return said[-1] if said else "it cannot be read"
