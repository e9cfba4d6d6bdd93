"""What those at the other end of a live session are told when something goes wrong."""

from __future__ import annotations

import logging
from typing import Any

from talkinghead.hosting.faults import told_parts

LOG = logging.getLogger("talkinghead.live")


def told(error: BaseException) -> dict[str, Any]:
    """An error as a message."""
    return {"type": "error", **told_parts(error, LOG, "a live session")}
