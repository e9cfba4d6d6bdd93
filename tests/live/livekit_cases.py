"""A head as LiveKit's own classes see it, without a server; run by test_agents.py where livekit-agents is installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarRunner, QueueAudioOutput, VideoGenerator

from talkinghead.contracts import AudioClip, Frame
from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.engine.live.face import Order
from talkinghead.errors import InputError
from talkinghead.live.livekit import HeadVideo
from tests.engine.live.stage import case, draw, plain_avatar, plain_session

RATE = 16_000


def opened(drawing: Any = draw) -> LiveSession[Any]:
    return plain_session(None, plain_avatar(size=16), LiveOptions(sample_rate_hz=RATE), drawing=drawing)


def speech(seconds: float, first: int = 1) -> np.ndarray:
    """Every sample another one, and none of them silence."""
    return np.arange(first, first + round(seconds * RATE), dtype=np.int64).astype(np.int16)


def frames(sound: np.ndarray, channels: int = 1) -> list[rtc.AudioFrame]:
    parts = [sound[first : first + 1600] for first in range(0, len(sound), 1600)]
    return [
        rtc.AudioFrame(np.repeat(part, channels).astype(np.int16).tobytes(), RATE, channels, len(part))
        for part in parts
    ]


class Publication:
    async def wait_for_subscription(self) -> None: ...


class Participant:
    async def publish_track(self, track: Any, options: Any) -> Publication:
        return Publication()


class Room:
    """As much of a room as a runner touches."""

    local_participant = Participant()

    def on(self, *_: Any) -> None: ...

    def off(self, *_: Any) -> None: ...

    def isconnected(self) -> bool:
        return True


@dataclass
class Stage:
    """A runner at work, and everything that it handed to the synchronizer and told the agent."""

    out: QueueAudioOutput
    video: HeadVideo
    pushed: list[Any] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)

    async def say(self, sound: np.ndarray, channels: int = 1) -> None:
        for frame in frames(sound, channels):
            await self.out.capture_frame(frame)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so():
                await asyncio.sleep(0.005)

    async def pictures(self, count: int) -> None:
        before = self.num_pictures
        await self.until(lambda: self.num_pictures >= before + count)

    @property
    def num_pictures(self) -> int:
        return sum(isinstance(each, rtc.VideoFrame) for each in self.pushed)

    @property
    def sound(self) -> np.ndarray:
        parts = [np.frombuffer(each.data, np.int16) for each in self.pushed if isinstance(each, rtc.AudioFrame)]
        return np.concatenate([np.zeros(0, np.int16), *parts])

    @property
    def ends(self) -> list[tuple[Any, ...]]:
        return [each for each in self.told if each[0] == "finished"]


@asynccontextmanager
async def running(drawing: Any = draw) -> AsyncIterator[Stage]:
    with opened(drawing) as session:
        stage = Stage(QueueAudioOutput(sample_rate=RATE, wait_playback_start=True), HeadVideo(session))
        stage.out.on("playback_started", lambda _: stage.told.append(("started", len(stage.sound))))
        stage.out.on(
            "playback_finished",
            lambda event: stage.told.append(("finished", event.playback_position, event.interrupted)),
        )
        runner = AvatarRunner(Room(), audio_recv=stage.out, video_gen=stage.video, options=stage.video.options)
        push = runner.av_sync.push

        async def recorded(frame: Any, *rest: Any) -> None:
            await push(frame, *rest)
            stage.pushed.append(frame)

        runner.av_sync.push = recorded
        await runner.start()
        try:
            yield stage
        finally:
            await runner.aclose()
            await stage.video.aclose()


@case
async def test_an_idle_head_is_seen_and_not_heard() -> None:
    async with running() as stage:
        await stage.pictures(5)
        assert len(stage.sound) == 0
        assert stage.told == []
        first = stage.pushed[0]
        assert (first.width, first.height, first.type) == (16, 16, rtc.VideoBufferType.RGB24)
        options = stage.video.options
        assert (options.video_width, options.video_fps, options.audio_sample_rate) == (16, 25.0, RATE)
        assert options.audio_channels == 1


@case
async def test_all_sound_is_played_once_and_then_told() -> None:
    async with running() as stage:
        await stage.say(speech(0.5), channels=2)
        stage.out.flush()
        await stage.out.wait_for_playout()
        np.testing.assert_array_equal(stage.sound[:8000], speech(0.5))
        assert not stage.sound[8000:].any()
        assert len(stage.sound) - 8000 < RATE // 25
        assert stage.told == [("started", 640), ("finished", pytest.approx(len(stage.sound) / RATE), False)]
        assert isinstance(stage.video, VideoGenerator)


@case
async def test_nothing_old_comes_after_an_interruption() -> None:
    """No sound, and no end; what is told as played is what was played; the next speech is whole."""
    async with running() as stage:
        for is_flushed in (True, False, True):
            stage.pushed.clear()
            stage.told.clear()
            await stage.say(speech(3))
            if is_flushed:
                stage.out.flush()
            await stage.until(lambda: len(stage.sound) > 1280)
            stage.out.clear_buffer()
            stage.out.flush()
            await stage.until(lambda: stage.ends != [])
            played = len(stage.sound)
            assert stage.ends == [("finished", pytest.approx(played / RATE), True)]
            await stage.pictures(4)
            assert len(stage.sound) == played
            np.testing.assert_array_equal(stage.sound, speech(3)[:played])
        stage.pushed.clear()
        stage.told.clear()
        await stage.say(speech(0.2, 20_000))
        stage.out.flush()
        await stage.until(lambda: stage.ends != [])
        np.testing.assert_array_equal(stage.sound[:3200], speech(0.2, 20_000))
        assert stage.ends == [("finished", pytest.approx(len(stage.sound) / RATE), False)]


@case
async def test_a_late_end_of_what_was_cleared_ends_nothing() -> None:
    """A receiver sends one for the rest of a stream that was cleared, and then the next segment."""
    async with running() as stage:
        await stage.say(speech(2))
        await stage.until(lambda: len(stage.sound) > 0)
        stage.out.clear_buffer()
        await stage.until(lambda: stage.ends != [])
        stage.told.clear()
        stage.out.flush()
        await stage.say(speech(0.3))
        await stage.pictures(3)
        assert stage.ends == []
        stage.out.flush()
        await stage.until(lambda: stage.ends != [])
        assert stage.ends[0][2] is False


@case
async def test_segments_that_follow_at_once_are_each_told() -> None:
    async with running() as stage:
        for first in (1, 5000, 9000):
            await stage.say(speech(0.1, first))
            stage.out.flush()
        await stage.out.wait_for_playout()
        sound = stage.sound
        np.testing.assert_array_equal(
            sound[sound != 0], np.concatenate([speech(0.1, first) for first in (1, 5000, 9000)])
        )
        assert [each[2] for each in stage.ends] == [False] * 3
        assert sum(each[1] for each in stage.ends) == pytest.approx(len(sound) / RATE)


@case
async def test_the_sound_goes_on_if_the_head_fails() -> None:
    def broken(orders: Sequence[Order]) -> list[Frame]:
        if any(order.pose[0] > 10 for order in orders):
            raise RuntimeError("out of paint")
        return draw(orders)

    async with running(broken) as stage:
        await stage.say(speech(0.8))
        stage.out.flush()
        await stage.out.wait_for_playout()
        sound = stage.sound
        np.testing.assert_array_equal(sound[sound != 0], speech(0.8))
        assert stage.ends[0][2] is False
        assert str(stage.video.failure) == "out of paint"
        stage.told.clear()
        await stage.say(speech(2))
        await stage.until(lambda: len(stage.sound) > len(sound) + 640)
        stage.out.clear_buffer()
        await stage.until(lambda: stage.ends != [])
        assert stage.ends[0][2] is True


@case
async def test_one_task_may_send_and_then_take() -> None:
    with opened() as session:
        video = HeadVideo(session)
        for frame in frames(speech(0.1)):
            await video.push_audio(frame)
        await video.push_audio(AudioSegmentEnd())
        found = []
        async with asyncio.timeout(20):
            async for item in video:
                found.append(item)
                if isinstance(item, AudioSegmentEnd):
                    break
                if len(found) == 2:
                    await video.push_audio(AudioSegmentEnd())  # of nothing
        with pytest.raises(InputError, match="whole samples"):
            await video.push_audio(Half())
        await video.clear_buffer()
        await video.aclose()


class Half(rtc.AudioFrame):
    """A frame that ends within a sample."""

    def __init__(self) -> None:
        super().__init__(bytes(4), RATE, 1, 2)

    @property
    def data(self) -> memoryview:
        return memoryview(bytes(3))


@case
async def test_an_agent_session_speaks_through_the_head_and_is_interrupted() -> None:
    """All of LiveKit's own parts, but for the room."""
    async with running() as stage:
        session: AgentSession = AgentSession()
        session.output.audio = stage.out
        await session.start(agent=Agent(instructions=""))

        async def spoken(seconds: float) -> AsyncIterator[rtc.AudioFrame]:
            for frame in frames(speech(seconds)):
                yield frame

        said = session.say("Good morning.", audio=spoken(0.4))
        await said.wait_for_playout()
        np.testing.assert_array_equal(stage.sound[:6400], speech(0.4))
        assert stage.ends == [("finished", pytest.approx(len(stage.sound) / RATE), False)]
        stage.pushed.clear()
        stage.told.clear()
        said = session.say("A long story.", audio=spoken(4))
        await stage.until(lambda: len(stage.sound) > 1280)
        await session.interrupt()
        await said.wait_for_playout()
        assert said.interrupted
        assert stage.ends == [("finished", pytest.approx(len(stage.sound) / RATE), True)]
        played = len(stage.sound)
        await stage.pictures(4)
        assert len(stage.sound) == played
        await session.aclose()


def test_the_example_offers_a_session_and_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[2] / "examples" / "livekit_agent.py"
    spec = importlib.util.spec_from_file_location("livekit_agent", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    clip = AudioClip(speech(0.5).astype(np.float32) / np.float32(32768), RATE)
    monkeypatch.setattr(example.th, "say", lambda text: SimpleNamespace(clip=clip))

    async def said() -> int:
        return sum([frame.samples_per_channel async for frame in example.spoken("Good morning.")])

    assert asyncio.run(said()) == pytest.approx(0.5 * example.RATE, abs=example.RATE // 100)
    assert isinstance(example.server, AgentServer)
