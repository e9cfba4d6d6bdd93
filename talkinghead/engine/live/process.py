"""What a process that shows live sessions is set to, so that whatever else it does costs no picture."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_S = 0.0005
"""How long a thread waits for Python's lock before it asks for it: with Python's own 5 ms, those who draw, encode and
send would often wait for each other. With 20 microseconds more pictures were late beside a model that is read."""


@contextmanager
def keeping_time() -> Iterator[None]:
    """Let sessions keep time while networks are opened and faces are prepared beside them.

    For the whole process, while the block runs: threads hand Python's lock on sooner; what is in memory already is not
    searched for garbage again, which would hold that lock for up to 0.1 s; and OpenCV uses one thread, since a picture
    that is cut into parts waits for the last of them, which waits for a core.
    """
    import cv2

    threads, switching, was_frozen = cv2.getNumThreads(), sys.getswitchinterval(), gc.get_freeze_count() > 0
    cv2.setNumThreads(1)
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()
        sys.setswitchinterval(switching)
        cv2.setNumThreads(threads)
