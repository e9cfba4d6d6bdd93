"""A session without a model: the picture stands still, and the sound goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray, Frame, Picture
from talkinghead.engine.cache import NullCache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Avatar
from talkinghead.engine.listener import Listener
from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.engine.live.clock import WallClock
from talkinghead.engine.live.face import LiveFace
from talkinghead.engine.live.host import Host
from talkinghead.engine.live.opening import LONGEST_S
from talkinghead.engine.live.pictures import Shown
from talkinghead.engine.timeline import frame_plan


class _Deaf(Listener[None]):
    """Hears nothing, at once."""

    def __init__(self, fps: Fraction) -> None:
        self._fps, self._taken, self._made = fps, 0, 0

    @property
    def lookahead_s(self) -> float:
        return 0.0

    def push(self, samples: FloatArray) -> Sequence[None]:
        self._taken += len(samples)
        return self._until(int(Fraction(self._taken, SPEECH_RATE_HZ) * self._fps))

    def flush(self) -> Sequence[None]:
        return self._until(math.ceil(Fraction(self._taken, SPEECH_RATE_HZ) * self._fps))

    def _until(self, count: int) -> list[None]:
        made, self._made = self._made, max(self._made, count)
        return [None] * (self._made - made)


class _StillFace(LiveFace[None]):
    @property
    def rest(self) -> None:
        return None

    def eased(self, window: None, share: float) -> None:
        del window, share


def still_session(picture: Frame | Picture, options: LiveOptions, fps: Fraction) -> LiveSession[Any]:
    """A session that always shows the same picture.

    Args:
        picture: [H, W, 3] uint8, or with alpha.
        fps: moments per second.
    """
    frame = picture.frame if isinstance(picture, Picture) else picture
    host = Host(lambda orders: [picture] * len(orders), 8, WallClock(), RunContext(cache=NullCache()))
    avatar = Avatar(None, None, (frame.shape[1], frame.shape[0]), None, 1)
    return session_without_model(host, avatar, options, fps, _StillFace, _Deaf)


def session_without_model(
    host: Host,
    avatar: Avatar,
    options: LiveOptions,
    fps: Fraction,
    face: Callable[[], LiveFace[Any]],
    listener: Callable[[Fraction], Listener[Any]],
) -> LiveSession[Any]:
    """A session of pictures that are no model's.

    Args:
        host: draws them.
        face: makes one for each avatar that is shown.
        listener: makes one, of this rate, for each utterance.
    """

    def show(shown: Avatar, first: int) -> Shown:
        return Shown(shown, face(), frame_plan(1, None, int(LONGEST_S * fps), fps, "pingpong"), first, host.news)

    lookahead_s = listener(fps).lookahead_s
    return LiveSession(host, avatar, options, fps, hear=lambda *_: listener(fps), show=show, lookahead_s=lookahead_s)
