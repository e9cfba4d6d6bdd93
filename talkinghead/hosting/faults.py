"""What those at the other end are told when something goes wrong."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from logging import Logger
from pathlib import Path
from typing import Any

from talkinghead.errors import TalkingHeadError
from talkinghead.hosting.asgi import App, Message, Receive, Scope, Send

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


def told_parts(
    error: BaseException, log: Logger, where: str, clean: Callable[[str], str] = without_folders
) -> dict[str, Any]:
    """An error as `what`, `accepted` and `remedy`, those that it has: the package's own words without the folders of
    this machine; of any other error nothing but a number, under which the log has all of it.

    Args:
        where: "a live session", for the log.
        clean: takes the folders out of a text.
    """
    if isinstance(error, TalkingHeadError):
        parts = {"what": error.what, "accepted": error.accepted, "remedy": error.remedy}
        return {name: told_line(clean(text)) for name, text in parts.items() if text}
    number = logged(error, log, where)
    if isinstance(error, MemoryError):
        return {
            "what": f"There is not enough memory (number {number}).",
            "remedy": "a smaller picture or a shorter video",
        }
    return {"what": f"Something went wrong inside; the log of the server has it under {number}."}


class Unforeseen:
    """Middleware that answers errors that nobody foresaw, which are logged where they are told; a handler of
    Starlette's would hand them on to uvicorn, to be logged again.

    Args:
        app: the application within.
        answer: what is said of an error.
    """

    def __init__(self, app: App, answer: Callable[[Exception], App]) -> None:
        self._app, self._answer = app, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if has_begun or scope["type"] != "http":
                raise
            await self._answer(error)(scope, receive, send)


def logged(error: BaseException, log: Logger, where: str) -> str:
    """Write an error into the log; returns the number under which it stands there."""
    number = secrets.token_hex(4)
    log.error("error %s of %s", number, where, exc_info=error)
    return number
