"""A video watched while it is made: events of its progress, and the file as it grows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from talkinghead.errors import Cancelled
from talkinghead.serve.desk import Desk, Video
from talkinghead.serve.faults import Told
from talkinghead.serve.records import ENDED
from talkinghead.serve.schema import VideoAnswer, answer

LOOK_S = 0.1
"""Between two looks at how far a video is."""
ALIVE_S = 10.0
"""After which a comment says that the connection lives."""
READ_BYTES = 1 << 16
_ATTEMPT, _WORKING, _ENDED = 1_000_000, 100_000, 900_000


def event_id(video: VideoAnswer, attempts: int) -> int:
    """The number of an event: of a later moment of a video it is larger, also after the server began again."""
    base = attempts * _ATTEMPT
    if video.status == "queued":
        return base + 9_999 - min(video.position, 9_999)
    if video.status == "in_progress":
        return base + _WORKING + 100 * video.progress
    return base + _ENDED


async def events(desk: Desk, video: Video, after: int) -> AsyncIterator[str]:
    """Server-sent events of a video until it has ended.

    Args:
        after: `Last-Event-ID` of somebody who comes again; -1 for everything.
    """
    yield "retry: 1000\n\n"
    loop = asyncio.get_running_loop()
    said, spoken_s = "", loop.time()
    while True:
        seen = answer(video, desk.options.keep_h)
        if video.is_gone:
            seen = seen.model_copy(update={"status": "cancelled"})
        number = event_id(seen, video.record.attempts)
        ended = seen.status in ENDED
        text = seen.model_dump_json()
        if text != said and (number > after or said or ended):
            after = number if number > after or not said else after + 1  # more was said of the same percent
            name = "progress" if seen.status == "in_progress" else seen.status
            yield f"id: {after}\nevent: {name}\ndata: {text}\n\n"
            said, spoken_s = text, loop.time()
        if ended or desk.is_closing:
            return
        if loop.time() - spoken_s > ALIVE_S:
            yield ": it is still being made\n\n"
            spoken_s = loop.time()
        await asyncio.sleep(LOOK_S)


async def opened(desk: Desk, video: Video) -> BinaryIO:
    """The file of a video, once there is something in it.

    Raises:
        Told: it was not made. Cancelled: it was removed, or the server stops.
    """
    while True:
        path = desk.growing(video)
        if path is not None and _size(path) > 0:
            try:
                return path.open("rb")
            except FileNotFoundError:
                continue  # it has got its name, or is gone
        if video.is_gone or desk.is_closing:
            raise Cancelled()
        if video.record.has_ended:
            raise Told(video.record.error)
        await asyncio.sleep(LOOK_S / 2)


async def growing(desk: Desk, video: Video, file: BinaryIO) -> AsyncIterator[bytes]:
    """What is in a file, and what comes, until the video is complete.

    Raises:
        ConnectionAbortedError: it will not be: whoever reads must see that something is missing.
    """
    with file:
        while True:
            complete = video.record.status == "completed"
            if part := file.read(READ_BYTES):
                yield part
                continue
            if complete:
                return
            if video.is_gone or video.record.has_ended or desk.is_closing or _is_another(desk, video, file):
                raise ConnectionAbortedError("the video was not made to its end")
            await asyncio.sleep(LOOK_S / 2)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_another(desk: Desk, video: Video, file: BinaryIO) -> bool:
    """Whether the making was begun again, with a file of its own."""
    path = desk.growing(video)
    try:
        return path is not None and not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False
