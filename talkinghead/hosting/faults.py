"""What those at the other end are told when something goes wrong."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from logging import Logger
from pathlib import Path
from typing import Any

from talkinghead.errors import TalkingHeadError

MAX_LINE = 600
"""Of what is told, characters: it may repeat what was given."""
_FOLDERS = re.compile(r"(?<![\w.:/~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"<>|,;]+[/\\])+")
"""The folders before a name, in a text: of "/home/anna/faces/me.png" all but the last part."""


def without_folders(text: str, private: Iterable[Path] = (), known: Iterable[Path] = ()) -> str:
    """A text without the folders of the machine that serves.

    Args:
        private: folders of the server; what lies below them loses all folders.
        known: folders that may have blanks and other signs in their names.
    """
    for place in private:
        text = re.sub(rf"{re.escape(str(place))}[^\s'\"]*/", "", text)
    for place in known:
        text = text.replace(f"{place}/", "")
    return _FOLDERS.sub("", text)


def told_line(text: str) -> str:
    """A line that is not too long to tell."""
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}..."


def told_parts(error: BaseException, log: Logger, where: str) -> dict[str, Any]:
    """An error as `what`, `accepted` and `remedy`, those that it has: the package's own words without the folders of
    this machine; of any other error nothing but a number, under which the log has all of it.

    Args:
        where: "a live session", for the log.
    """
    if isinstance(error, TalkingHeadError):
        parts = {"what": error.what, "accepted": error.accepted, "remedy": error.remedy}
        return {name: told_line(without_folders(text)) for name, text in parts.items() if text}
    number = logged(error, log, where)
    if isinstance(error, MemoryError):
        return {
            "what": f"There is not enough memory (number {number}).",
            "remedy": "a smaller picture or a shorter video",
        }
    return {"what": f"Something went wrong inside; the log of the server has it under {number}."}


def logged(error: BaseException, log: Logger, where: str) -> str:
    """Write an error into the log; returns the number under which it stands there."""
    number = secrets.token_hex(4)
    log.error("error %s of %s", number, where, exc_info=error)
    return number
