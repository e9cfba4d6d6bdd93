"""The built-in animator in a live session: how it listens, and its face."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from talkinghead.contracts import MOUTH_COLUMNS, FloatArray
from talkinghead.engine.live.face import LiveFace
from talkinghead.engine.live.trailing import Trailing
from talkinghead.families.viseme.animator import VisemeAvatar, head_pose, motion_of, mouth_poses
from talkinghead.families.viseme.compose import Pose
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.idle import LIVELY_S, QUICK_NOD_S, SLOW_NOD_S, IdleLife

SPEAKING, JAW = MOUTH_COLUMNS.index("speaking"), MOUTH_COLUMNS.index("jaw")


class LiveVisemeFace(LiveFace[FloatArray]):
    """The mouth follows rows of MOUTH_COLUMNS; a picture blinks, and its head moves a little behind what it says."""

    def __init__(self, avatar: VisemeAvatar, fps: Fraction, config: VisemeConfig) -> None:
        self._fps, self._config = fps, config
        self._rest = np.zeros(len(MOUTH_COLUMNS), np.float32)
        self._life = IdleLife(fps, config) if avatar.is_still and config.idle_motion else None
        self._speech = Trailing(LIVELY_S * fps)
        self._quick, self._slow = Trailing(QUICK_NOD_S * fps), Trailing(SLOW_NOD_S * fps)

    @property
    def rest(self) -> FloatArray:
        return self._rest

    def eased(self, window: FloatArray, share: float) -> FloatArray:
        return np.asarray(window * np.float32(share), np.float32)

    def pose(self, index: int, window: FloatArray) -> Pose:
        (mouth,) = mouth_poses(motion_of([window], self._fps), self._config)
        if self._life is None:
            return Pose(mouth)
        speech = self._speech.add(float(window[SPEAKING]))
        nod = self._quick.add(float(window[JAW])) - self._slow.add(float(window[JAW]))
        idle = self._life.moved(range(index, index + 1), np.array([speech]), np.array([nod]))
        return Pose(mouth, float(idle.lids[0]), head_pose(idle, 0))
