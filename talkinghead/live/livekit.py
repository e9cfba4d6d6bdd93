"""A head in a LiveKit room: the `VideoGenerator` of an `AvatarRunner`.

    video = HeadVideo(session)
    runner = AvatarRunner(room, audio_recv=..., video_gen=video, options=video.options)

`AvatarRunner` (livekit-agents 1.8) hands what it gets to an `AVSynchronizer`. When speech is interrupted it does not
empty that one's queues, and could not: emptied, they still hold one picture, and take what waits to be put in. It also
counts as played what it has handed on. What is given here is therefore right without help from those queues:

- everything is given when it is due, so that at most one moment is in them, and old sound ends with it;
- after `clear_buffer` nothing of before is given, no picture, no sound and no end of a segment; who awaits it is told
  when what was on its way is counted;
- silence is given as pictures alone, for every sound counts as played;
- a segment ends behind its last sample, and the next one is taken when that was told, for the runner forgets that a
  segment is played when another one ends;
- silent moments that nobody took in time are left out: the synchronizer would lag behind by them for good.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from talkinghead.engine.live import LiveSession
from talkinghead.errors import MissingDependency
from talkinghead.live.feed import Beat, Feed, interleaved, opaque
from talkinghead.live.ledger import Piece
from talkinghead.media.sound import pcm16_from_float

try:
    from livekit import rtc
    from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator
except ImportError as error:
    raise MissingDependency("livekit.agents", extra="livekit", purpose="A head in a LiveKit room") from error

CLEARED_S = 0.2
"""How long `clear_buffer` waits at most for what was on its way."""


class HeadVideo(VideoGenerator):  # type: ignore[misc]
    """See the module. If the head fails, the picture stands still and the sound goes on; the log says why.

    Args:
        session: of any head. Whoever opened it closes it, and then calls `aclose`.
    """

    def __init__(self, session: LiveSession[Any]) -> None:
        self._feed: Feed[asyncio.Future[None]] = Feed(session)
        self._consumer: asyncio.Task[Any] | None = None
        """Who iterates."""
        self._waits = asyncio.Event()
        """Set while the consumer waits for something new, with all that it took behind it."""
        self._waits.set()

    @property
    def options(self) -> AvatarOptions:
        """What the runner must know: size, frame rate and sample rate of the session."""
        session = self._feed.session
        width, height = session.size
        return AvatarOptions(
            video_width=width,
            video_height=height,
            video_fps=float(session.fps),
            audio_sample_rate=session.options.sample_rate_hz,
            audio_channels=1,
        )

    @property
    def failure(self) -> BaseException | None:
        """What ended the head; None while it lives."""
        return self._feed.failure

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Take speech of any rate and number of channels, or the end of a segment.

        The end returns when it was given out or cleared, where another task iterates.

        Raises:
            InputError, OptionError: as `LiveSession.push`.
        """
        if isinstance(frame, rtc.AudioFrame):
            sound = interleaved(frame.data, frame.num_channels)[: frame.samples_per_channel]
            await self._feed.push_when_there_is_room(Piece(sound, frame.sample_rate))
        elif self._feed.end_turn():
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._feed.mark(told, is_end=True)
            await asyncio.sleep(0)  # who iterates may have been started at the same time
            if self._consumer not in (None, asyncio.current_task()):
                await told

    def clear_buffer(self) -> Coroutine[Any, Any, None]:
        """Stop speaking, at once. Awaited, it returns when the consumer is done with what it had taken."""
        for told in self._feed.interrupt():
            _tell(told)
        return self._cleared()

    async def _cleared(self) -> None:
        if self._consumer is not asyncio.current_task():
            try:
                await asyncio.wait_for(self._waits.wait(), CLEARED_S)
            except TimeoutError:  # it is held by something else: a room without anybody in it
                return

    def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """Pictures in RGB, mono sound while something is said, and ends of segments, each when it is due."""
        return self._items()

    async def _items(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        self._consumer = asyncio.current_task()
        try:
            async for beat in self._feed.beats():
                items, cleared = self._items_of(beat), self._feed.cleared
                while items and cleared == self._feed.cleared:
                    item = items.popleft()
                    self._waits.clear()
                    if isinstance(item, asyncio.Future):
                        if not item.done():
                            yield AudioSegmentEnd()
                            _tell(item)
                    else:
                        yield item
                    self._waits.set()
                for item in items:
                    if isinstance(item, asyncio.Future):
                        _tell(item)
        finally:
            self._consumer = None
            self._waits.set()
            for told in self._feed.waiting():
                _tell(told)

    def _items_of(self, beat: Beat[asyncio.Future[None]]) -> deque[Any]:
        items: deque[Any] = deque(beat.things)
        if beat.picture is not None:
            picture = opaque(beat.picture)
            height, width = picture.shape[:2]
            items.append(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, picture.tobytes()))
        if beat.sound is not None:
            rate_hz = self._feed.session.options.sample_rate_hz
            items.append(rtc.AudioFrame(pcm16_from_float(beat.sound).tobytes(), rate_hz, 1, len(beat.sound)))
        return items

    async def aclose(self) -> None:
        """End what is still going on; the session is closed by whoever opened it."""
        self._feed.close()


def _tell(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)
