"""The body of a request as it comes, with a limit."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping

from talkinghead.hosting.asgi import Message, Receive
from talkinghead.hosting.uploads import TooMuch

DRAIN_BYTES, DRAIN_S = 32_000_000, 5.0
"""How much of what is refused is taken all the same, and for how long, so that whoever sends it sees the answer."""


class Incoming:
    """What a client sends, in the place of `receive`, and whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.has_ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.has_ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Take what still comes, as far as that is bearable: who is still sending would not see the answer."""
        if self.has_ended:
            return
        with contextlib.suppress(TooMuch, ConnectionResetError, TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                async for _ in stream(self, DRAIN_BYTES):
                    pass


def length_of(headers: Mapping[str, list[str]]) -> int | None:
    """The length that a request announces; None where it announces none.

    Args:
        headers: by small name, all values.
    """
    values = headers.get("content-length", [])
    return int(values[0]) if len(values) == 1 and re.fullmatch(r"[0-9]{1,15}", values[0]) else None


async def whole(receive: Receive, headers: Mapping[str, list[str]], most: int) -> bytes:
    """The body of a request.

    Raises:
        TooMuch: longer than `most`. ConnectionResetError: the visitor went away.
    """
    length = length_of(headers)
    if length is not None and length > most:
        raise _too_long(most)
    parts: list[bytes] = []
    async for chunk in stream(receive, most):
        parts.append(chunk)
    return b"".join(parts)


async def stream(receive: Receive, most: int) -> AsyncIterator[bytes]:
    """The body of a request, part by part; raises as `whole`."""
    there = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the visitor went away")
        chunk = message.get("body", b"")
        there += len(chunk)
        if there > most:
            raise _too_long(most)
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


def _too_long(most: int) -> TooMuch:
    return TooMuch(f"That is too long: at most {most:,} bytes.")
