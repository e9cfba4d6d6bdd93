"""A head in a pipecat pipeline: between the speech and the transport.

    Pipeline([..., tts, TalkingHead(session), transport.output(), ...])

It takes the spoken sound and gives pictures and sound in step, each when it is due. What else comes down the pipeline
keeps its place in the sound: the end of a turn, of the pipeline, words without a time of their own. What has a time of
its own (`pts`), and what the pipeline treats as urgent, passes at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from talkinghead.engine.live import LiveSession
from talkinghead.errors import InputError, MissingDependency
from talkinghead.live.feed import Beat, Feed, interleaved, opaque
from talkinghead.live.ledger import Piece
from talkinghead.media.sound import pcm16_from_float

try:
    from pipecat.frames.frames import (
        CancelFrame,
        EndFrame,
        Frame,
        InterruptionFrame,
        OutputImageRawFrame,
        StartFrame,
        StopFrame,
        SystemFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.transports.base_transport import TransportParams
except ImportError as error:
    raise MissingDependency("pipecat", extra="pipecat", purpose="A head in a pipecat pipeline") from error


class TalkingHead(FrameProcessor):  # type: ignore[misc]
    """See the module. If the head fails, an `ErrorFrame` goes up, the picture stands still and the sound goes on.

    Args:
        session: of any head; it is closed with the pipeline.
        video_destination: of the transport, where it has several. Sound goes where it was sent to.
        options: for pipecat's `FrameProcessor`.
    """

    def __init__(self, session: LiveSession[Any], *, video_destination: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._first = session
        self._feed: Feed[Frame] = Feed(session)
        self._giving = asyncio.Lock()
        """Held while a moment is handed on: an interruption comes before or behind all of it."""
        self._task: asyncio.Task[None] | None = None
        self._video_destination = video_destination

    def transport_params(self, params: TransportParams) -> TransportParams:
        """The same parameters, with pictures of the session's size and rate, and its sample rate."""
        session = self._feed.session
        width, height = session.size
        return params.model_copy(
            update={
                "audio_out_enabled": True,
                "audio_out_sample_rate": session.options.sample_rate_hz,
                "video_out_enabled": True,
                "video_out_is_live": True,
                "video_out_width": width,
                "video_out_height": height,
                "video_out_framerate": round(session.fps),
            }
        )

    @property
    def failure(self) -> BaseException | None:
        """What ended the head; None while it lives."""
        return self._feed.failure

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take what comes by; see the module."""
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.push_frame(frame, direction)
            self._task = self._task or self.create_task(self._give())
        elif isinstance(frame, InterruptionFrame):
            await self._interrupt(frame, direction)
        elif isinstance(frame, CancelFrame):
            await self._stop()
            await self.push_frame(frame, direction)
        elif direction is not FrameDirection.DOWNSTREAM or isinstance(frame, SystemFrame):
            await self.push_frame(frame, direction)
        elif isinstance(frame, TTSAudioRawFrame):
            await self._hear(frame)
        else:
            await self._hold(frame, direction)

    async def _hear(self, frame: TTSAudioRawFrame) -> None:
        try:
            sound = interleaved(frame.audio, frame.num_channels)
            piece = Piece(sound, frame.sample_rate, frame, keeps=not frame.interruptible)
            await self._feed.push_when_there_is_room(piece)
        except InputError as error:
            await self.push_error(f"Speech was left out: {error}", exception=error)

    async def _hold(self, frame: Frame, direction: FrameDirection) -> None:
        """A frame that has its place behind the sound that came before it."""
        is_end = isinstance(frame, TTSStoppedFrame | EndFrame | StopFrame) and self._feed.end_turn()
        passes = self._feed.is_silent and not is_end
        if passes or frame.pts or self._task is None or self._task.done():
            await self.push_frame(frame, direction)
        else:
            self._feed.mark(frame, is_end=is_end, keeps=not frame.interruptible)

    async def _interrupt(self, frame: InterruptionFrame, direction: FrameDirection) -> None:
        async with self._giving:
            self._feed.interrupt()
            await self.push_frame(frame, direction)

    async def _give(self) -> None:
        async for beat in self._feed.beats():
            cleared = self._feed.cleared
            async with self._giving:
                if beat.failure is not None:
                    what = f"The head failed, the sound goes on without it: {beat.failure}"
                    await self.push_error(what, exception=beat.failure)
                is_old = cleared != self._feed.cleared
                kept = [frame for frame in beat.things if not frame.interruptible]
                for frame in kept if is_old else self._frames(beat):
                    await self.push_frame(frame)

    def _frames(self, beat: Beat[Frame]) -> list[Frame]:
        frames = list(beat.things)
        if beat.picture is not None:
            picture = opaque(beat.picture)
            image = OutputImageRawFrame(picture.tobytes(), (picture.shape[1], picture.shape[0]), "RGB")
            image.transport_destination = self._video_destination
            frames.append(image)
        if beat.sound is not None:
            rate_hz = self._feed.session.options.sample_rate_hz
            sound = TTSAudioRawFrame(pcm16_from_float(beat.sound).tobytes(), rate_hz, 1)
            if isinstance(beat.origin, TTSAudioRawFrame):
                sound.context_id = beat.origin.context_id
                sound.transport_destination = beat.origin.transport_destination
                sound.interruptible = beat.origin.interruptible
            frames.append(sound)
        return frames

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await self.cancel_task(task)

    async def cleanup(self) -> None:
        """End the session."""
        await super().cleanup()
        await self._stop()
        await asyncio.to_thread(self._feed.close)
        await asyncio.to_thread(self._first.close)
