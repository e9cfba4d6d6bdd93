"""A head in pipecat's own pipeline, with a transport that keeps everything; run by test_agents.py where pipecat is
installed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    TextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.engine.live.face import Order
from talkinghead.live.pipecat import TalkingHead
from tests.engine.live.stage import case, draw, plain_avatar, plain_session

RATE = 16_000


def opened(drawing: Any = draw) -> LiveSession[Any]:
    return plain_session(None, plain_avatar(size=16), LiveOptions(sample_rate_hz=RATE), drawing=drawing)


def speech(seconds: float, first: int = 1) -> np.ndarray:
    """Every sample another one, and none of them silence."""
    return np.arange(first, first + round(seconds * RATE), dtype=np.int64).astype(np.int16)


class Transport(BaseOutputTransport):
    """Keeps what it would send."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.written: list[np.ndarray] = []
        self.pictures: list[tuple[int, int]] = []

    async def start(self, frame: Frame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.written.append(np.frombuffer(frame.audio, np.int16).copy())
        return True

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        self.pictures.append(frame.size)
        return True

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int16), *self.written])


class Watch(FrameProcessor):
    """Keeps what comes by."""

    def __init__(self, direction: FrameDirection) -> None:
        super().__init__()
        self._direction, self.seen = direction, []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is self._direction:
            self.seen.append(frame)
        await self.push_frame(frame, direction)


class Stage:
    """A pipeline at work."""

    def __init__(self, drawing: Any) -> None:
        self.session = opened(drawing)
        self.head = TalkingHead(self.session)
        self.transport = Transport(self.head.transport_params(TransportParams(audio_out_end_silence_secs=0)))
        self.above, self.between = Watch(FrameDirection.UPSTREAM), Watch(FrameDirection.DOWNSTREAM)
        self.below = Watch(FrameDirection.DOWNSTREAM)
        self.worker = PipelineWorker(
            Pipeline([self.above, self.head, self.between, self.transport, self.below]),
            cancel_on_idle_timeout=False,
            params=PipelineParams(audio_out_sample_rate=RATE),
        )

    async def say(self, sound: np.ndarray, *, keeps: bool = False) -> None:
        await self.worker.queue_frame(TTSStartedFrame())
        for first in range(0, len(sound), 1600):
            frame = TTSAudioRawFrame(sound[first : first + 1600].tobytes(), RATE, 1, context_id=f"turn {sound[0]}")
            frame.interruptible = not keeps
            await self.worker.queue_frame(frame)

    async def until(self, is_so: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not is_so():
                await asyncio.sleep(0.005)

    async def pictures(self, count: int) -> None:
        before = len(self.transport.pictures)
        await self.until(lambda: len(self.transport.pictures) >= before + count)

    def kinds(self, watch: Watch, *wanted: type) -> list[type]:
        return [type(frame) for frame in watch.seen if isinstance(frame, wanted)]


@asynccontextmanager
async def running(drawing: Any = draw, last: Frame | None = None) -> AsyncIterator[Stage]:
    stage = Stage(drawing)
    begun = asyncio.Event()

    @stage.worker.event_handler("on_pipeline_started")
    async def _(*_: Any) -> None:
        begun.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(stage.worker)
    ends = asyncio.create_task(runner.run())
    async with asyncio.timeout(20):
        await begun.wait()
    try:
        yield stage
    finally:
        await stage.worker.queue_frame(last or EndFrame())
        async with asyncio.timeout(20):
            await ends
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("live-")]


@case
async def test_all_sound_is_played_once_and_then_the_turn_ends() -> None:
    """What is between the sounds keeps its place; before and after it there are pictures alone."""
    async with running() as stage:
        await stage.pictures(3)
        assert len(stage.transport.sound) == 0
        assert set(stage.transport.pictures) == {(16, 16)}
        await stage.say(speech(0.24))
        await stage.worker.queue_frame(TextFrame("half"))
        await stage.say(speech(0.24, 10_000))
        await stage.worker.queue_frame(TTSStoppedFrame())
        await stage.worker.queue_frame(TextFrame("after"))
        await stage.until(lambda: stage.kinds(stage.below, BotStoppedSpeakingFrame))
        sound = stage.transport.sound
        whole = np.concatenate([speech(0.24), speech(0.24, 10_000)])
        np.testing.assert_array_equal(sound[: len(whole)], whole)
        assert not sound[len(whole) :].any()
        order = stage.kinds(stage.below, TTSAudioRawFrame, TextFrame, TTSStoppedFrame, BotStartedSpeakingFrame)
        assert order == [
            *[BotStartedSpeakingFrame, *[TTSAudioRawFrame] * 6],
            *[TextFrame, *[TTSAudioRawFrame] * 6],
            *[TTSStoppedFrame, TextFrame],
        ]
        contexts = [frame.context_id for frame in stage.between.seen if isinstance(frame, TTSAudioRawFrame)]
        assert contexts == ["turn 1"] * 6 + ["turn 10000"] * 6
    assert stage.head.failure is None


@case
async def test_nothing_old_comes_after_an_interruption() -> None:
    async with running() as stage:
        for is_ended in (True, False, True):
            stage.between.seen.clear()
            await stage.say(speech(2))
            if is_ended:
                await stage.worker.queue_frame(TTSStoppedFrame())
            await stage.until(lambda: len(stage.kinds(stage.between, TTSAudioRawFrame)) > 1)
            await stage.worker.queue_frame(InterruptionFrame())
            await stage.until(lambda: stage.kinds(stage.between, InterruptionFrame))
            await stage.pictures(4)
            order = stage.kinds(stage.between, TTSAudioRawFrame, TTSStoppedFrame, InterruptionFrame)
            assert order[-1] is InterruptionFrame
            assert TTSStoppedFrame not in order
        stage.transport.written.clear()
        await stage.say(speech(0.2, 20_000))
        await stage.worker.queue_frame(TTSStoppedFrame())
        await stage.until(lambda: stage.kinds(stage.between, TTSStoppedFrame))
        await stage.until(lambda: len(stage.transport.sound) >= 3200)
        np.testing.assert_array_equal(stage.transport.sound[:3200], speech(0.2, 20_000))


@case
async def test_what_may_not_be_interrupted_is_said() -> None:
    async with running() as stage:
        await stage.say(speech(2))
        await stage.worker.queue_frame(TTSStoppedFrame())
        await stage.say(speech(0.2, 20_000), keeps=True)
        await stage.worker.queue_frame(TTSStoppedFrame())
        await stage.until(lambda: stage.kinds(stage.between, TTSAudioRawFrame))
        await stage.worker.queue_frame(InterruptionFrame())
        await stage.until(lambda: stage.kinds(stage.between, InterruptionFrame))
        await stage.until(lambda: (stage.transport.sound == 20_000).any())
    sound = stage.transport.sound  # the pipeline ended behind it
    first = int(np.flatnonzero(sound == 20_000)[0])
    np.testing.assert_array_equal(sound[first : first + 3200], speech(0.2, 20_000))


@case
async def test_the_end_of_the_pipeline_waits_for_the_speech() -> None:
    async with running() as stage:
        await stage.say(speech(0.4))
    np.testing.assert_array_equal(stage.transport.sound[:6400], speech(0.4))
    assert stage.kinds(stage.below, TTSAudioRawFrame, EndFrame)[-1] is EndFrame


@case
async def test_cancelling_does_not_wait() -> None:
    async with running(last=CancelFrame()) as stage:
        await stage.say(speech(1.6))
        await stage.pictures(2)
    assert len(stage.transport.sound) < len(speech(1.6))


@case
async def test_the_sound_goes_on_if_the_head_fails() -> None:
    def broken(orders: Sequence[Order]) -> list[Any]:
        if any(order.pose[0] > 10 for order in orders):
            raise RuntimeError("out of paint")
        return draw(orders)

    async with running(broken) as stage:
        await stage.say(speech(0.8))
        await stage.worker.queue_frame(TTSStoppedFrame())
        await stage.until(lambda: stage.kinds(stage.below, TTSStoppedFrame))
        sound = stage.transport.sound
        np.testing.assert_array_equal(sound[sound != 0], speech(0.8))
        (error,) = (frame for frame in stage.above.seen if isinstance(frame, ErrorFrame))
        assert "out of paint" in error.error
        assert str(stage.head.failure) == "out of paint"


@case
async def test_bad_speech_is_told_and_left_out() -> None:
    async with running() as stage:
        await stage.worker.queue_frame(TTSAudioRawFrame(b"abc", RATE, 1))
        await stage.say(speech(0.1))
        await stage.worker.queue_frame(TTSStoppedFrame())
        await stage.until(lambda: stage.kinds(stage.below, TTSStoppedFrame))
        (error,) = (frame for frame in stage.above.seen if isinstance(frame, ErrorFrame))
        assert "Speech was left out: Sound of 3 bytes" in error.error
        np.testing.assert_array_equal(stage.transport.sound[:1600], speech(0.1))


def test_the_transport_is_told_what_comes() -> None:
    with opened() as session:
        params = TalkingHead(session).transport_params(TransportParams(audio_in_enabled=True))
    assert params.audio_in_enabled
    assert params.video_out_enabled
    assert params.video_out_is_live
    assert (params.video_out_width, params.video_out_height, params.video_out_framerate) == (16, 16, 25)
    assert params.audio_out_sample_rate == RATE
    with pytest.raises(RuntimeError, match="closed"):
        session.push(speech(0.1), RATE)
