"""ARTalk in live sessions: what is heard becomes motion frame by frame, and a head that is silent lives on."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from talkinghead.audio.mouth import MouthConfig, as_motion, mouth_motion
from talkinghead.contracts import MOUTH_COLUMNS, AudioClip, FloatArray, MouthMotion, Phone
from talkinghead.engine.listener import Heard, Listener, WholeSound
from talkinghead.engine.live.face import LiveFace
from talkinghead.engine.live.trailing import Trailing
from talkinghead.families.artalk.avatar import LivePose
from talkinghead.families.artalk.motion.config import MOTION_DIM
from talkinghead.families.artalk.motion.counts import VideoLength
from talkinghead.families.artalk.viseme_driver import (
    LIVELY_S,
    QUICK_NOD_S,
    SLOW_NOD_S,
    STRESS_S,
    Life,
    Liveliness,
    MouthShapes,
    blinks,
    gaze,
    head_drifts,
    head_rotation,
    moved,
    raised_brows,
)

REPEATED_S = 180
"""After which blinks and glances come again."""
CALM_S = 0.5
"""In which a head that ARTalk's networks move takes up its own life where they are silent."""


def known_rows(phones: tuple[Phone, ...], length: VideoLength, config: MouthConfig) -> Listener[FloatArray]:
    """The same of a sentence whose phones are known."""

    def hear(clip: AudioClip) -> Heard[FloatArray]:
        mouth = mouth_motion(phones, clip, length.fps, length.frames(len(clip.samples)), config)
        columns = np.stack([getattr(mouth, name) for name in MOUTH_COLUMNS], axis=1)
        return Heard(list(columns))

    return WholeSound(hear)


class LiveLife:
    """The life of a head for as long as a session lasts.

    Args:
        fps: of the session.
    """

    def __init__(self, fps: Fraction, lively: Liveliness) -> None:
        self._fps, self._lively = fps, lively
        rng_blinks, rng_head, rng_gaze = (
            np.random.default_rng(seed) for seed in np.random.SeedSequence(lively.seed).spawn(3)
        )
        self._drifts = head_drifts(rng_head)
        times = (np.arange(round(REPEATED_S * fps), dtype=np.float64) + 0.5) / np.float64(fps)
        self._blinks = blinks(times, lively.blinks_per_minute, rng_blinks)
        if (self._blinks == 0).any():  # none is cut off where they begin again
            self._blinks[np.flatnonzero(self._blinks == 0)[-1] :] = 0
        self._gaze = gaze(times, rng_gaze)
        self._speaking, self._stress = Trailing(LIVELY_S * fps), Trailing(STRESS_S * fps)
        self._quick, self._slow = Trailing(QUICK_NOD_S * fps), Trailing(SLOW_NOD_S * fps)

    def at(self, index: int, mouth: MouthMotion) -> Life:
        """In a frame of the clock with this mouth, of one frame; to be asked in order."""
        time = np.array([(index + 0.5) / float(self._fps)])
        jaw, speaking = float(mouth.jaw[0]), float(mouth.speaking[0])
        nod = self._quick.add(jaw) - self._slow.add(jaw)
        rotation = head_rotation(time, self._drifts, np.array([self._speaking.add(speaking)]), np.array([nod]))
        brows = raised_brows(time, self._drifts, np.array([self._stress.add(jaw) * speaking]))
        place = index % len(self._blinks)
        return Life(
            self._lively.head_motion * rotation,
            self._blinks[place : place + 1],
            brows,
            self._gaze[:, place : place + 1],
        )


class LiveHead(LiveFace[FloatArray]):
    """A head in one session.

    Args:
        fps: of the session.
        shapes: what its expressions can do.
        lively: how much moves besides the mouth.
        size: of a window.
    """

    def __init__(self, fps: Fraction, shapes: MouthShapes | None, lively: Liveliness, size: int) -> None:
        self._fps, self._shapes = fps, shapes
        self._life = LiveLife(fps, lively)
        self._rest = np.zeros(size, np.float32)
        self.memory: Any = None
        """Of the drawing, for this session."""

    @property
    def rest(self) -> FloatArray:
        return self._rest

    def eased(self, window: FloatArray, share: float) -> FloatArray:
        return np.asarray(window * np.float32(share), np.float32)

    def pose(self, index: int, window: FloatArray) -> LivePose:
        return LivePose(index, self.motion(index, window), self.memory)

    def motion(self, index: int, window: FloatArray) -> FloatArray:
        """[106] float32."""
        raise NotImplementedError

    def _moved(self, index: int, row: FloatArray) -> FloatArray:
        """The motion of a row of MOUTH_COLUMNS."""
        mouth = as_motion(self._fps, row[:, None])
        motion: FloatArray = moved(mouth, self._shapes, self._life.at(index, mouth))[0]
        return motion


class SpokenHead(LiveHead):
    """Windows are rows of MOUTH_COLUMNS: phones move the mouth, all else is the head's own life."""

    def __init__(self, fps: Fraction, shapes: MouthShapes | None, lively: Liveliness) -> None:
        super().__init__(fps, shapes, lively, len(MOUTH_COLUMNS))

    def motion(self, index: int, window: FloatArray) -> FloatArray:
        return self._moved(index, window)


class MovedHead(LiveHead):
    """Windows are motion of ARTalk's networks, [106]; where they are silent the head lives on by itself."""

    def __init__(self, fps: Fraction, shapes: MouthShapes | None, lively: Liveliness) -> None:
        super().__init__(fps, shapes, lively, MOTION_DIM)
        self._silence = np.zeros(len(MOUTH_COLUMNS), np.float32)
        self._calm, self._step = 1.0, float(1 / (CALM_S * fps))

    def motion(self, index: int, window: FloatArray) -> FloatArray:
        own = self._moved(index, self._silence)
        towards = 1.0 if window is self._rest else 0.0
        self._calm += float(np.clip(towards - self._calm, -self._step, self._step))
        return np.asarray(window + np.float32(self._calm) * own, np.float32)
