"""Sessions under names: what happens at the same time, and what is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("aiortc")
pytest.importorskip("fastapi")

from talkinghead.errors import InputError, OptionError
from talkinghead.live import agent as agents
from talkinghead.live import rooms as module
from talkinghead.live.agent import Agent
from talkinghead.live.options import ServerOptions
from talkinghead.live.rooms import Role, Rooms
from talkinghead.live.voices import Voices
from talkinghead.live.whep import MOST_CANDIDATES, Watchers
from talkinghead.speech.options import SpeechOptions
from tests.live.stage import ClapperStage, until


@asynccontextmanager
async def opened(stage: Any, **options: Any) -> AsyncIterator[Rooms]:
    """All sessions of a server; afterwards none is left."""
    with ThreadPoolExecutor(4) as workers:
        rooms = Rooms(stage, ServerOptions(**options), workers)
        try:
            yield rooms
        finally:
            await rooms.close()
    assert all(not host.sessions for host in stage.hosts.values())


def held(function: Callable[..., Any], go_on: threading.Event) -> Callable[..., Any]:
    """The same function, which begins when it may."""

    def wait(*arguments: Any) -> Any:
        go_on.wait(20)
        return function(*arguments)

    return wait


class Listener:
    """An ear that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def hear(self, event: dict[str, Any]) -> None:
        self.events.append(event["type"])

    def close(self, why: dict[str, Any] | None) -> None:
        del why


def test_two_who_come_at_once_share_a_session() -> None:
    """Also while another session is ended for theirs."""

    async def run() -> None:
        stage, go_on = ClapperStage(), threading.Event()
        async with opened(stage, max_sessions=1) as rooms:
            before = (await rooms.enter("before")).session
            before.close = held(before.close, go_on)  # type: ignore[method-assign]
            entering = [asyncio.create_task(rooms.enter("test")) for _ in range(2)]
            await until(lambda: len(stage.opened) == 2)
            await until(entering[1].done)
            go_on.set()
            first, second = await asyncio.gather(*entering)
            assert first is second
            assert len(stage.opened) == 2

    asyncio.run(run())


def test_housekeeping_ends_no_session_that_was_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING_S", 0.01)

    async def run() -> None:
        stage, go_on, closing = ClapperStage(), threading.Event(), threading.Event()
        async with opened(stage) as rooms:
            slow, other = await rooms.enter("slow"), await rooms.enter("other")
            close = held(slow.session.close, go_on)
            slow.session.close = lambda: (closing.set(), close())  # type: ignore[method-assign]
            slow.ended.set()
            other.ended.set()
            house = asyncio.create_task(rooms.keep_house())
            await until(closing.is_set)
            again = await rooms.enter("other")
            go_on.set()
            await until(lambda: not any(each is slow.session for each in stage.hosts["clapper"].sessions))
            await asyncio.sleep(0.05)
            assert rooms.find("other") is again
            house.cancel()

    asyncio.run(run())


def test_who_leaves_while_a_model_is_opened_leaves_no_session() -> None:
    async def run() -> None:
        stage, go_on, opening = ClapperStage(), threading.Event(), threading.Event()
        async with opened(stage) as rooms:
            room = await rooms.enter("test")
            open_one = held(stage.open, go_on)
            stage.open = lambda role: (opening.set(), open_one(role))[1]  # type: ignore[method-assign]
            asking = asyncio.create_task(room.change(Role("other")))
            await until(opening.is_set)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            go_on.set()

    asyncio.run(run())


def test_ending_a_session_waits_for_no_model() -> None:
    """What it was opened for is let go when it is there, and so are the faces that were sent."""

    async def run() -> None:
        stage, go_on, opening = ClapperStage(), threading.Event(), threading.Event()
        async with opened(stage) as rooms:
            room = await rooms.enter("test")
            room.faces.add("face")
            stage.faces["face"] = b"png"
            open_one = held(stage.open, go_on)
            stage.open = lambda role: (opening.set(), open_one(role))[1]  # type: ignore[method-assign]
            asking = asyncio.create_task(room.change(Role("other")))
            await until(opening.is_set)
            async with asyncio.timeout(10):
                await rooms.leave("test")
            assert not stage.hosts["clapper"].sessions
            assert stage.faces  # it may still be read
            go_on.set()
            with pytest.raises(OptionError, match="has ended"):
                await asking
            await until(lambda: not stage.faces)

    asyncio.run(run())


def test_a_text_that_waits_is_told_as_interrupted_by_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing of it was spoken yet."""
    from talkinghead.speech import engines

    go_on = threading.Event()
    monkeypatch.setattr(engines, "voice_for", lambda *_: (None, ()))
    monkeypatch.setattr(engines, "speak", lambda *_, **__: held(lambda: (), go_on)())

    async def run() -> None:
        async with opened(ClapperStage()) as rooms:
            room, ear = await rooms.enter("test"), Listener()
            room.ears.add(ear)
            room.number(room.session.say("Good morning."))
            await room.change(Role("other"))
            assert ear.events == ["interrupted", "shown"]
            go_on.set()

    asyncio.run(run())


class Stuck:
    """A connection whose other end takes nothing."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.is_stuck = False

    async def receive_text(self) -> str:
        return '{"type": "hello"}'

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send_json(self, event: dict[str, Any]) -> None:
        if event["type"] != "ready":
            self.is_stuck = True
            await asyncio.Event().wait()

    async def close(self, code: int, reason: str = "") -> None:
        del reason
        self.code = code


def test_who_takes_no_events_is_sent_away() -> None:
    async def run() -> None:
        async with opened(ClapperStage()) as rooms:
            room, socket = await rooms.enter("test"), Stuck()
            agent = Agent(socket, room, ServerOptions(), Voices(SpeechOptions()))  # type: ignore[arg-type]
            serving = asyncio.create_task(agent.serve())
            await until(lambda: room.ears)
            assert not room.is_empty  # from the beginning, so that it counts
            room.tell({"type": "started"})
            await until(lambda: socket.is_stuck)
            for _ in range(agents.MOST_EVENTS + 1):
                room.tell({"type": "started"})
            async with asyncio.timeout(20):
                await serving
            assert socket.code == agents.BAD
            assert room.is_empty

    asyncio.run(run())


def test_a_viewer_that_has_left_is_forgotten() -> None:
    """Before its session ends."""
    from aiortc import RTCPeerConnection

    async def run() -> None:
        player = RTCPeerConnection()
        player.addTransceiver("audio", direction="recvonly")
        offer = (await player.createOffer()).sdp
        async with opened(ClapperStage()) as rooms:
            room, watchers = await rooms.enter("test"), Watchers(ServerOptions())
            before = asyncio.all_tasks()
            number, _ = await watchers.watch(room, offer)
            assert len(room.viewers) == 1
            candidate = "a=mid:0\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\n"
            for _ in range(MOST_CANDIDATES - offer.count("a=candidate:")):
                assert await watchers.add_candidates(number, candidate)
            with pytest.raises(InputError, match="65 addresses were named"):
                await watchers.add_candidates(number, candidate)
            await asyncio.sleep(0.01)  # so that whatever waits for it has begun to
            assert await watchers.stop(number)
            await until(lambda: asyncio.all_tasks() == before)
            await watchers.close()
        await player.close()

    asyncio.run(run())
