"""A head without a model and a clock that is moved by hand, to see what a session does with them."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray, Frame, Phone
from talkinghead.engine.cache import NullCache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Avatar
from talkinghead.engine.listener import Listener
from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.engine.live.clock import Clock
from talkinghead.engine.live.face import LiveFace, Order
from talkinghead.engine.live.host import Host
from talkinghead.engine.live.opening import open_session
from talkinghead.engine.live.pictures import Shown
from talkinghead.engine.timeline import frame_plan
from talkinghead.media.arrays import ArraySource

FPS = Fraction(25)
LOOKAHEAD = 1600
"""Samples at 16 kHz."""


class HandClock:
    """Time that goes on when somebody waits for it; before it does, `work` is done."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.session: LiveSession[Any] | None = None
        self.host: Host | None = None

    def now(self) -> float:
        return self.seconds

    def wait(self, until: float, news: threading.Condition) -> None:
        del news
        self.work()
        self.seconds = max(self.seconds, until)

    def work(self) -> None:
        assert self.session is not None
        assert self.host is not None
        while any(session.listen_now() for session in {self.session, *self.host.sessions}):
            pass
        while self.host.step() or self._reads():
            pass

    def _reads(self) -> bool:
        """Whether a source frame is still to be read for a frame that is settled; waits a little for it."""
        assert self.host is not None
        with self.host.news:
            missing = any(
                not slot.shown.has(slot.index)
                for session in self.host.sessions
                for slot in session.settled()
                if slot.picture is None and slot.shown.error is None
            )
            if missing:
                self.host.news.wait(0.005)
            return missing


class Loudness(Listener[float]):
    """The loudest sample of each frame's time, known when LOOKAHEAD more samples are."""

    def __init__(self, fps: Fraction) -> None:
        self._fps, self._sound, self._made = fps, np.zeros(0, np.float32), 0

    @property
    def lookahead_s(self) -> float:
        return float(Fraction(LOOKAHEAD, SPEECH_RATE_HZ) + 1 / self._fps)

    def push(self, samples: FloatArray) -> Sequence[float]:
        self._sound = np.concatenate([self._sound, samples])
        return self._cut(int(Fraction(len(self._sound) - LOOKAHEAD, SPEECH_RATE_HZ) * self._fps))

    def flush(self) -> Sequence[float]:
        return self._cut(-int(-Fraction(len(self._sound), SPEECH_RATE_HZ) * self._fps // 1))

    def _cut(self, count: int) -> list[float]:
        edges = [int(number * SPEECH_RATE_HZ / self._fps) for number in range(self._made, count + 1)]
        self._made = max(self._made, count)
        return [float(np.abs(self._sound[a:b]).max(initial=0)) for a, b in itertools.pairwise(edges)]


class PlainFace(LiveFace[float]):
    """Remembers what it was asked to show."""

    def __init__(self) -> None:
        self.shown: dict[int, float] = {}

    @property
    def rest(self) -> float:
        return 0.0

    def eased(self, window: float, share: float) -> float:
        return window * share

    def pose(self, index: int, window: float) -> tuple[int, float]:
        self.shown[index] = window
        return index, window


def draw(orders: Sequence[Order]) -> list[Frame]:
    """Pictures whose pixels tell the source frame, the frame of the clock and the window."""
    pictures = []
    for order in orders:
        index, window = order.pose
        picture = order.picture.copy()
        picture[0, 0] = [index >> 16 & 255, index >> 8 & 255, index & 255]
        picture[0, 1] = round(255 * min(1.0, window))
        picture[0, 2] = order.source_index
        pictures.append(picture)
    return pictures


def index_of(picture: Any) -> int:
    """Frame of the clock that a picture was drawn for."""
    high, middle, low = (int(value) for value in picture[0, 0])
    return high << 16 | middle << 8 | low


def plain_avatar(num_frames: int = 1, size: int = 8, shade: int = 0) -> Avatar:
    """A face of a few small pictures."""
    frames = [np.full((size, size, 3), shade, np.uint8) for _ in range(num_frames)]
    source = ArraySource(frames, fps=FPS if num_frames > 1 else None)
    return Avatar(source, None, (size, size), FPS if num_frames > 1 else None, num_frames)


def plain_session(
    clock: Clock | None,
    avatar: Avatar | None = None,
    options: LiveOptions | None = None,
    *,
    host: Host | None = None,
    fps: Fraction = FPS,
    drawing: Any = draw,
) -> LiveSession[float]:
    """A session of the head above; on real time where there is no clock."""
    from talkinghead.engine.live.clock import WallClock

    threaded = not isinstance(clock, HandClock)
    if host is None:
        host = Host(drawing, 4, clock or WallClock(), RunContext(cache=NullCache()), threaded=threaded)

    def hear(_avatar: Avatar, _phones: tuple[Phone, ...] | None) -> Listener[Any]:
        return Loudness(fps)

    def show(shown: Avatar, first: int) -> Shown:
        plan = frame_plan(shown.num_frames, shown.fps, 10**8, fps, "pingpong")
        return Shown(shown, PlainFace(), plan, first, host.news)

    session: LiveSession[float] = LiveSession(
        host,
        avatar or plain_avatar(),
        options or LiveOptions(),
        fps,
        hear=hear,
        show=show,
        lookahead_s=Loudness(fps).lookahead_s,
        threaded=threaded,
    )
    if isinstance(clock, HandClock):
        clock.session, clock.host = session, host
    return session


def live_session(head: Any, avatar: Any, clock: HandClock, options: LiveOptions | None = None) -> LiveSession[Any]:
    """A session of a real head on a clock that is moved by hand; of several the first is listened to."""
    session = open_session(head, avatar, options, clock=clock)
    clock.session, clock.host = clock.session or session, head.host
    return session


def case(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs in an event loop of its own."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
