"""Sessions under names, each with those who watch it and those who speak through it.

    agents ── push, say, interrupt ──► LiveSession ── moments ──► Room ──► every viewer: sound, picture
       ▲                                                            │
       └────────── started, finished, interrupted, error ───────────┘

Everything here runs on the event loop of the server; what takes long is done by its workers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from talkinghead.engine.live import Interrupted, LiveSession, Moment
from talkinghead.errors import InputError, OptionError
from talkinghead.live.encoding import RATE_HZ
from talkinghead.live.faults import LOG, told
from talkinghead.live.options import ServerOptions
from talkinghead.live.tracks import Viewer

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
HOUSEKEEPING_S = 0.5
MOST_CHANGES = 8
"""Faces and models of one session that are being prepared."""


class Full(InputError):
    """There is no room for one more."""


@dataclass(frozen=True)
class Role:
    """What a session shows."""

    model: str
    face: str | None = None
    """A face that was sent, by its name here; None: the server's own."""


class Stage(Protocol):
    """What opens sessions. All methods are called by workers, several at the same time."""

    @property
    def role(self) -> Role:
        """What a session shows at first."""

    def open(self, role: Role) -> LiveSession[Any]:
        """A session at 48 kHz."""

    def change(self, session: LiveSession[Any], before: Role, role: Role) -> bool:
        """Show another role in a session that is open; whether that can be."""

    def keep(self, sent: Path) -> str:
        """Take a file that was sent, a face; gives its name here."""

    def forget(self, faces: set[str]) -> None:
        """These faces are not asked for any more."""

    def models(self) -> Sequence[Mapping[str, Any]]:
        """Models that can be chosen: name and title."""


class Ear(Protocol):
    """Somebody who is told what happens in a session."""

    def hear(self, event: dict[str, Any]) -> None:
        """Take an event, quickly."""

    def close(self, why: dict[str, Any] | None) -> None:
        """The session has ended, because of an error where there is one."""


class Room:
    """One session under a name. Made by `Rooms.enter`."""

    def __init__(self, name: str, role: Role, session: LiveSession[Any], stage: Stage, workers: Executor) -> None:
        self.name, self.role = name, role
        self._session, self._stage, self._workers = session, stage, workers
        self._loop = asyncio.get_running_loop()
        self.viewers: set[Viewer] = set()
        self.ears: set[Ear] = set()
        self.faces: set[str] = set()
        """Sent to this session; they go with it."""
        self.faces_coming = 0
        """That are being sent."""
        self.left_at = self._loop.time()
        """When the last viewer or agent left."""
        self.ended = asyncio.Event()
        self._changing = asyncio.Lock()
        self._changes: set[asyncio.Task[None]] = set()
        self._next: tuple[LiveSession[Any], Moment] | None = None
        self._time = self._offset = 0
        """Of the next moment, and of the session's first one, in samples."""
        self._begun = float("inf")
        """When time 0 was due, by the event loop."""
        self._numbers = self._latest = 0
        """Utterances of sessions before, and the highest number so far."""
        self._done = 0
        """The highest number of what was played or thrown away."""
        self._speaking: int | None = None
        self._played_before = 0.0
        self._task = asyncio.create_task(self._read())

    @property
    def session(self) -> LiveSession[Any]:
        return self._session

    @property
    def is_empty(self) -> bool:
        """Nobody watches or speaks."""
        return not self.viewers and not self.ears

    # Speaking

    def number(self, utterance: int) -> int:
        """An utterance of the session as the room counts them."""
        self._latest = max(self._latest, self._numbers + utterance)
        return self._numbers + utterance

    def interrupt(self) -> dict[str, Any]:
        """Throw away what was not played, and tell everybody."""
        for viewer in self.viewers:
            viewer.hush()
        return self._tell_interrupted(self._session.interrupt())

    def _tell_interrupted(self, told_by: Interrupted) -> dict[str, Any]:
        event = {
            "type": "interrupted",
            "utterance": None if told_by.utterance is None else self.number(told_by.utterance),
            "played_s": round(told_by.played_s, 3),
            "thrown_away_s": round(told_by.thrown_away_s, 3),
        }
        self._speaking, self._done = None, self._latest
        self._played_before = self._session.stats().played_s
        self.tell(event)
        return event

    def stats(self) -> dict[str, Any]:
        """How it has gone so far."""
        found = asdict(self._session.stats())
        found["viewers"], found["agents"] = len(self.viewers), len(self.ears)
        found["left_out"] = sum(viewer.picture.left_out for viewer in self.viewers if viewer.picture is not None)
        return {"type": "stats", **found}

    def about(self) -> dict[str, Any]:
        """What is shown."""
        return {
            "session": self.name,
            "model": self.role.model,
            "face": self.role.face,
            "size": list(self._session.size),
            "fps": float(self._session.fps),
            "lookahead_s": round(self._session.lookahead_s, 3),
        }

    def tell(self, event: dict[str, Any]) -> None:
        """Tell all who speak here."""
        for ear in tuple(self.ears):
            ear.hear(event)

    # Showing

    async def change(self, role: Role) -> None:
        """Show another face or model; what is shown goes on until the other is ready. What has begun is brought to its
        end even if whoever asked for it is gone.

        Raises:
            Whatever a face or a model cannot be used for; then nothing changes.
        """
        if len(self._changes) >= MOST_CHANGES:
            raise InputError("Too many faces are being prepared already.", remedy="wait for `shown`")
        task = asyncio.create_task(self._change(role))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        await asyncio.shield(task)

    async def _change(self, role: Role) -> None:
        async with self._changing:
            if self.ended.is_set():
                raise OptionError("The session has ended.")
            if await self._work(self._stage.change, self._session, self.role, role):
                self.role = role
            else:
                other = await self._work(self._stage.open, role)
                try:
                    first = await anext(other)
                except BaseException:
                    await self._work(other.close)
                    raise
                if self.ended.is_set():
                    await self._work(other.close)
                    raise OptionError("The session has ended.")
                self._next, self.role = (other, first), role
                while self._next is not None and not self.ended.is_set():
                    await asyncio.sleep(0.01)
        self.tell({"type": "shown", **self.about()})

    async def _read(self) -> None:
        """Take moments from the session and show them, until it ends."""
        error: BaseException | None = None
        try:
            while True:
                async for moment in self._session:
                    self._give(moment)
                    if self._next is not None:
                        await self._switch()
                        break
                else:
                    return
        except asyncio.CancelledError:
            pass
        except Exception as raised:  # noqa: BLE001 (told to everybody who is here)
            error = raised
        finally:
            self._end(error)

    async def _switch(self) -> None:
        assert self._next is not None
        before = self._session
        if self._latest > self._done:  # also a text of which nothing was spoken yet
            self.interrupt()
        (self._session, first), self._next = self._next, None
        self._numbers, self._speaking, self._played_before = self._latest, None, 0.0
        self._offset, self._begun = self._time, float("inf")
        self._loop.run_in_executor(self._workers, before.close)
        self._give(first)

    def _give(self, moment: Moment) -> None:
        time = self._offset + moment.time
        self._time = time + len(moment.sound)
        self._begun = min(self._begun, self._loop.time() - time / RATE_HZ)
        for viewer in tuple(self.viewers):
            viewer.take(moment, time, self._begun)
        if moment.utterance is not None:
            number = self.number(moment.utterance)
            if number != self._speaking:
                self._speaking = number
                self.tell({"type": "started", "utterance": number, "latency_s": self._session.stats().latency_s})
            if moment.is_last:
                played = self._session.stats().played_s
                self.tell({
                    "type": "finished", "utterance": number, "played_s": round(played - self._played_before, 3)
                })  # fmt: skip
                self._speaking, self._played_before, self._done = None, played, number

    def _end(self, error: BaseException | None) -> None:
        why = None if error is None else {**told(error), "fatal": True}
        for viewer in tuple(self.viewers):
            viewer.stop()
        for ear in tuple(self.ears):
            ear.close(why)
        self.ended.set()

    async def close(self) -> asyncio.Task[None] | None:
        """End the session. A face or a model that is being prepared cannot be stopped: then what is left to be done is
        a task."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.ended.set()
        try:
            await self._work(self._session.close)
        finally:
            clearing = asyncio.create_task(self._clear())
            if not self._changes:
                await clearing
        return clearing if self._changes else None

    async def _clear(self) -> None:
        await asyncio.gather(*self._changes, return_exceptions=True)
        if self._next is not None:
            await self._work(self._next[0].close)
        self._stage.forget(self.faces)

    async def _work(self, function: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._workers, function, *arguments)


class Rooms:
    """All sessions of a server. Used on its event loop."""

    def __init__(self, stage: Stage, options: ServerOptions, workers: Executor) -> None:
        self._stage, self._options, self._workers = stage, options, workers
        self._rooms: dict[str, Room] = {}
        self._opening: dict[str, asyncio.Task[Room]] = {}
        self._clearing: set[asyncio.Task[None]] = set()

    def find(self, name: str) -> Room | None:
        """The session of a name, if it is open."""
        room = self._rooms.get(name)
        return None if room is None or room.ended.is_set() else room

    async def enter(self, name: str) -> Room:
        """The session of a name; it is opened if it is not there.

        Raises:
            Full: there are as many as may be. And whatever the model or the face cannot be opened for.
        """
        while name not in self._opening:
            room = self._rooms.get(name)
            if room is not None and not room.ended.is_set():
                return room
            if room is None and len(self._rooms) + len(self._opening) < self._options.max_sessions:
                self._opening[name] = asyncio.create_task(self._open(name))
            else:  # and look again: meanwhile somebody else may have opened it
                await self.leave(name if room is not None else self._left_first())
        return await asyncio.shield(self._opening[name])

    def _left_first(self) -> str:
        """The session that was left by everybody first, to be ended where there are as many as may be.

        Raises:
            Full: all are in use.
        """
        empty = [room for room in self._rooms.values() if room.is_empty]
        if not empty:
            raise Full(
                f"There are {self._options.max_sessions} sessions already.",
                remedy="wait for one to end, or serve with more (--max-sessions)",
            )
        return min(empty, key=lambda room: room.left_at).name

    async def _open(self, name: str) -> Room:
        try:
            role = self._stage.role
            loop = asyncio.get_running_loop()
            session = await loop.run_in_executor(self._workers, self._stage.open, role)
            room = self._rooms[name] = Room(name, role, session, self._stage, self._workers)
            return room
        finally:
            del self._opening[name]

    async def leave(self, name: str) -> None:
        """End a session."""
        room = self._rooms.pop(name, None)
        if room is not None and (clearing := await room.close()) is not None:
            self._clearing.add(clearing)
            clearing.add_done_callback(self._clearing.discard)

    async def keep_house(self) -> None:
        """End what has failed and what nobody uses, again and again."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            now = asyncio.get_running_loop().time()
            for room in tuple(self._rooms.values()):
                if not room.is_empty:
                    room.left_at = now
                if room.ended.is_set() or now - room.left_at > self._options.idle_s:
                    if self._rooms.get(room.name) is not room:
                        continue  # it was ended while another one was
                    LOG.info("session %s ends", room.name)
                    try:
                        await self.leave(room.name)
                    except Exception as error:  # noqa: BLE001 (the others are looked after all the same)
                        told(error)

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for name in tuple(self._rooms):
            await self.leave(name)
        await asyncio.gather(*self._clearing, return_exceptions=True)
