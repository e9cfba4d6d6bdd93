"""What those at the other end are told when something goes wrong."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Any

from talkinghead.errors import TalkingHeadError

LOG = logging.getLogger("talkinghead.live")
MAX_LINE = 600
"""Of what is told, characters: it may repeat what was given."""
_FOLDERS = re.compile(r"(?<![\w.:/~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"<>|,;]+[/\\])+")
"""The folders before a name, in a text: of "/home/anna/faces/me.png" all but the last part."""


def told(error: BaseException) -> dict[str, Any]:
    """An error as a message: the package's own words without the folders of this machine; of any other error nothing
    but a number, under which the log has all of it.
    """
    if isinstance(error, TalkingHeadError):
        parts = {"what": error.what, "accepted": error.accepted, "remedy": error.remedy}
        return {"type": "error", **{name: _line(text) for name, text in parts.items() if text}}
    number = secrets.token_hex(4)
    LOG.error("error %s of a live session", number, exc_info=error)
    return {"type": "error", "what": f"Something went wrong inside; the log of the server has it under {number}."}


def _line(text: str) -> str:
    bare = _FOLDERS.sub("", text)
    return bare if len(bare) <= MAX_LINE else f"{bare[:MAX_LINE]}..."
