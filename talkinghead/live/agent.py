"""Speaking through a session by WebSocket: PCM and messages in, events out. `docs/live.md` writes it down."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from talkinghead.engine.live.utterance import MOST_CHANNELS, RATES
from talkinghead.errors import InputError, OptionError, TalkingHeadError, choices
from talkinghead.live.faults import told
from talkinghead.live.options import ServerOptions
from talkinghead.live.rooms import Role, Room
from talkinghead.live.voices import Voices
from talkinghead.reading.text import parse_json

MOST_TEXT = 20_000
"""Bytes of one message of JSON; a text to say is in it."""
HELLO_S = 10.0
"""Seconds within which the first message must come."""
MOST_FAULTS = 100
"""Messages that cannot be used, after which the connection is closed."""
MOST_CHANGES = 4
"""Faces and models of one connection that are being prepared."""
GOODBYE_S = 1.0
"""Seconds in which the last events must be taken."""
MOST_EVENTS = 1_000
"""Events that wait to be sent; who takes none is not waited for."""
FORMATS: Mapping[str, np.dtype[Any]] = {"int16": np.dtype("<i2"), "float32": np.dtype("<f4")}
BAD, FAILED, LEFT = 1008, 1011, 1001
"""Codes of closing: unusable messages or events that are not taken, an error in the session, the session or the server
ends."""


@dataclass(frozen=True)
class Format:
    """What the bytes of sound are."""

    sample_rate_hz: int = 48_000
    kind: str = "int16"
    channels: int = 1

    @classmethod
    def of(cls, message: dict[str, Any]) -> Format:
        """From a hello.

        Raises:
            OptionError: it names something else.
        """
        rate, kind, channels = (
            message.get("sample_rate", 48_000), message.get("format", "int16"), message.get("channels", 1)
        )  # fmt: skip
        if not _is_whole(rate) or not RATES.holds(rate):
            raise OptionError(f"The sample rate is {rate!r}.", accepted=f"{RATES} Hz")
        if kind not in FORMATS:
            raise OptionError(f"The format is {str(kind)[:40]!r}.", accepted=choices(list(FORMATS)))
        if not _is_whole(channels) or not 1 <= channels <= MOST_CHANNELS:
            raise OptionError(f"The number of channels is {channels!r}.", accepted=f"1 to {MOST_CHANNELS}")
        return cls(rate, str(kind), channels)

    def samples(self, data: bytes) -> Any:
        """[n, channels] samples.

        Raises:
            InputError: no whole number of samples.
        """
        size = FORMATS[self.kind].itemsize * self.channels
        if len(data) % size:
            raise InputError(
                f"A message of {len(data)} bytes is no whole number of samples.",
                accepted=f"a multiple of {size} bytes: {self.channels} channel(s) of {self.kind}",
            )
        samples = np.frombuffer(data, FORMATS[self.kind]).reshape(-1, self.channels)
        return samples.astype(np.int16 if self.kind == "int16" else np.float32, copy=False)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Agent:
    """One connection. An `Ear` of its session."""

    def __init__(self, socket: WebSocket, room: Room, options: ServerOptions, voices: Voices) -> None:
        self._socket, self._room, self._options, self._voices = socket, room, options, voices
        self._format = Format()
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(MOST_EVENTS)
        self._code = LEFT
        self._faults = 0
        self._is_gone = False
        self._sending: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # As an ear

    def hear(self, event: dict[str, Any]) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._code = BAD
            if self._sending is not None:  # it waits for somebody who takes nothing
                self._sending.cancel()

    def close(self, why: dict[str, Any] | None) -> None:
        if why is not None:
            self.hear(why)
        self._hang_up(LEFT if why is None else FAILED)

    def _hang_up(self, code: int) -> None:
        self._code = code
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(None)

    # The connection

    async def serve(self) -> None:
        """Until either side ends it. It counts as there from the beginning, before its first message."""
        self._room.ears.add(self)
        if self._room.ended.is_set():
            self.close(None)
        try:
            await self._serve()
        finally:
            self._room.ears.discard(self)

    async def _serve(self) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                if not await self._hello():
                    return
        except TimeoutError:
            await self._close(BAD, f"No hello came within {HELLO_S:g} s.")
            return
        sending, taking = asyncio.create_task(self._send()), asyncio.create_task(self._take())
        self._sending = sending
        try:
            await asyncio.wait((sending, taking), return_when=asyncio.FIRST_COMPLETED)
            self._room.ears.discard(self)
            if not sending.done() and not self._is_gone:
                self._hang_up(self._code)
                await asyncio.wait((sending,), timeout=GOODBYE_S)
        finally:
            for task in (sending, taking, *self._tasks):
                task.cancel()
            await asyncio.gather(sending, taking, *self._tasks, return_exceptions=True)
            await self._close(self._code)

    async def _hello(self) -> bool:
        """The first message, which says what the sound will be."""
        try:
            message = _message(await self._socket.receive_text())
            if message.get("type") != "hello":
                raise OptionError(f"The first message is {str(message.get('type'))[:40]!r}.", accepted="hello")
            self._format = Format.of(message)
        except TalkingHeadError as error:
            await self._socket.send_json(told(error))
            await self._close(BAD, "no hello")
            return False
        except (KeyError, RuntimeError, WebSocketDisconnect):  # sound came first, or nothing any more
            await self._close(BAD, "no hello")
            return False
        voices = await asyncio.to_thread(self._voices.about)
        await self._socket.send_json({"type": "ready", **self._room.about(), "voices": voices})
        return True

    async def _close(self, code: int, reason: str = "") -> None:
        with contextlib.suppress(Exception):  # it may be closed already, by either side
            await self._socket.close(code, reason)

    async def _send(self) -> None:
        while (event := await self._events.get()) is not None:
            await self._socket.send_json(event)

    async def _take(self) -> None:
        while self._faults < MOST_FAULTS:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                self._is_gone = True
                return
            try:
                await self._take_one(message.get("bytes"), message.get("text"))
            except Exception as error:  # noqa: BLE001 (told to who sent it; others notice nothing)
                self._failed(error)
        self._code = BAD

    def _failed(self, error: BaseException) -> None:
        self._faults += 1
        if not self._room.ended.is_set():
            self.hear(told(error))

    async def _take_one(self, data: bytes | None, text: str | None) -> None:
        session = self._room.session
        if data is not None:
            if data:
                self._room.number(session.push(self._format.samples(data), self._format.sample_rate_hz))
            return
        message = _message(text or "")
        kind = message.get("type")
        if kind == "say":
            await self._say(message)
        elif kind == "show":
            self._later(self._show(message))
        elif kind == "end_turn":
            session.end_turn()
        elif kind == "interrupt":
            self._room.interrupt()
        elif kind == "stats":
            self.hear(self._room.stats())
        elif kind == "hello":
            self._format = Format.of(message)
        else:
            raise OptionError(
                f"There is no message {str(kind)[:40]!r}.", accepted="say, end_turn, interrupt, stats, show or hello"
            )

    async def _say(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        if not isinstance(text, str) or not text.strip():
            raise OptionError("There is no text to say.", accepted='{"type": "say", "text": "Good morning."}')
        options = self._voices.options(message)
        notes = await asyncio.to_thread(self._voices.check, text, options)
        number = self._room.number(self._room.session.say(text, options))
        self.hear({"type": "queued", "utterance": number, "notes": list(notes)})

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes a while, while sound goes on being taken."""
        if len(self._tasks) >= MOST_CHANGES:
            work.close()
            raise InputError("Too many faces are being prepared already.", remedy="wait for `shown`")
        task = asyncio.create_task(self._tried(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tried(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 (told to who asked for it)
            self._failed(error)

    async def _show(self, message: dict[str, Any]) -> None:
        model, face = message.get("model", self._room.role.model), message.get("face", self._room.role.face)
        if not isinstance(model, str) or not (face is None or isinstance(face, str)):
            accepted = json.dumps({"type": "show", "model": self._room.role.model})
            raise OptionError("What to show is not named by texts.", accepted=accepted)
        if face is not None and face not in self._room.faces:
            raise OptionError("That face was not sent to this session.", remedy=f"POST it to /faces/{self._room.name}")
        await self._room.change(Role(model, face))


def _message(text: str) -> dict[str, Any]:
    """A message of JSON.

    Raises:
        OptionError: it is none.
    """
    accepted = '{"type": "say", "text": "Good morning."}'
    if len(text) > MOST_TEXT:
        raise OptionError(f"A message has {len(text):,} characters.", accepted=f"at most {MOST_TEXT:,}")
    message = parse_json(text, "The message", error=OptionError, accepted=accepted)
    if not isinstance(message, dict):
        raise OptionError("A message is an object of JSON.", accepted=accepted)
    return message
