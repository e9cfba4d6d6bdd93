"""A face for measuring: white exactly while something sounds, else black. A `Stage` without a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray, Frame
from talkinghead.engine.cache import NullCache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Avatar
from talkinghead.engine.listener import Listener
from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.engine.live.clock import WallClock
from talkinghead.engine.live.face import LiveFace, Order
from talkinghead.engine.live.host import Host
from talkinghead.live.rooms import Role
from talkinghead.live.still import session_without_model

LOUD = 0.2
"""Of the loudest sample of a frame."""


class _Loudness(Listener[float]):
    """The loudest sample of each frame's time."""

    def __init__(self, fps: Fraction) -> None:
        self._fps, self._sound, self._made = fps, np.zeros(0, np.float32), 0
        self._dropped = 0

    @property
    def lookahead_s(self) -> float:
        return float(1 / self._fps)

    def push(self, samples: FloatArray) -> Sequence[float]:
        self._sound = np.concatenate([self._sound, samples])
        return self._until(int(Fraction(self._dropped + len(self._sound), SPEECH_RATE_HZ) * self._fps))

    def flush(self) -> Sequence[float]:
        return self._until(math.ceil(Fraction(self._dropped + len(self._sound), SPEECH_RATE_HZ) * self._fps))

    def _until(self, count: int) -> list[float]:
        found = []
        while self._made < count:
            self._made += 1
            edge = int(self._made * SPEECH_RATE_HZ / self._fps) - self._dropped
            found.append(float(np.abs(self._sound[:edge]).max(initial=0)))
            self._sound = self._sound[edge:]
            self._dropped += edge
        return found


class _Slate(LiveFace[float]):
    @property
    def rest(self) -> float:
        return 0.0

    def eased(self, window: float, share: float) -> float:
        return window if share > 0 else 0.0


class Clapper:
    """See the module.

    Args:
        size: width and height of its pictures.
    """

    def __init__(self, size: int = 256, fps: Fraction = Fraction(25)) -> None:
        self._fps = fps
        black = np.zeros((size, size, 3), np.uint8)
        self._pictures = (black, np.full_like(black, 255))
        self._host = Host(self._draw, 8, WallClock(), RunContext(cache=NullCache()))
        self._avatar = Avatar(None, None, (size, size), None, 1)

    @property
    def role(self) -> Role:
        return Role("clapper")

    def open(self, role: Role) -> LiveSession[Any]:
        """As `Stage`."""
        del role
        return session_without_model(self._host, self._avatar, LiveOptions(), self._fps, _Slate, _Loudness)

    def change(self, session: LiveSession[Any], before: Role, role: Role) -> bool:
        """As `Stage`: there is nothing else to show."""
        del session, before, role
        return True

    def keep(self, sent: Path) -> str:
        """As `Stage`: faces are not looked at."""
        sent.unlink()
        return "face"

    def forget(self, faces: set[str]) -> None:
        """As `Stage`."""

    def models(self) -> list[dict[str, str]]:
        """As `Stage`."""
        return [{"name": "clapper", "title": "Clapper"}]

    def _draw(self, orders: Sequence[Order]) -> list[Frame]:
        return [self._pictures[order.pose > LOUD] for order in orders]
