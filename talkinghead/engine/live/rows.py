"""The mouth of every frame as a listener hears it live."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from talkinghead.audio.live_mouth import LiveMouth
from talkinghead.audio.mouth import MouthConfig
from talkinghead.contracts import FloatArray
from talkinghead.engine.listener import Listener, Told


class LiveRows(Listener[FloatArray]):
    """A row of MOUTH_COLUMNS for every frame, [6] float32, once `lookahead_s` of sound after its time are there.

    Args:
        fps: exact.
        method: how reports call it.
    """

    def __init__(self, fps: Fraction, config: MouthConfig | None = None, method: str = "live") -> None:
        self._mouth, self._method = LiveMouth(fps, config), method

    @property
    def lookahead_s(self) -> float:
        return self._mouth.lookahead_s

    def push(self, samples: FloatArray) -> Sequence[FloatArray]:
        return self._mouth.push(samples)

    def flush(self) -> Sequence[FloatArray]:
        return self._mouth.flush()

    def told(self) -> Told:
        return Told(method=self._method)
