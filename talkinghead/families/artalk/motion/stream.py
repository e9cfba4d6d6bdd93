"""Motion while the sound arrives, equal to that of the whole sound."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.motion.autoregressive import MotionState
from talkinghead.families.artalk.motion.config import GLOBAL_ROTATION, JAW_YAW_AND_ROLL, MOTION_DIM
from talkinghead.families.artalk.motion.counts import num_motion_frames
from talkinghead.families.artalk.motion.engine import MotionModel
from talkinghead.families.artalk.motion.smoothing import DELAY_FRAMES, MIN_FRAMES, MotionSmoother, too_short

Tell = Callable[[float, float], None]
"""Called with (chunks done, chunks in all) of what was fed; what it raises ends the work."""


class MotionStream:
    """Feed sound of any length at a time; take the motion that can no longer change.

    Each chunk (4 s) goes through the networks as soon as it is there, alone, so that the motion is the same to the bit
    however the sound is cut.

    The published streaming class rounds the length of the last piece on its own, so that it may give one frame more
    than the whole sound (68480 samples: 108 against 107). Here the count is that of the whole sound.

    Args:
        style: [50, 106] motion whose style is taken, or None.
        smooth: smooth as published, which needs four later frames.
        fix_pose: keep the head still.
        refuse_short: refuse a sound of fewer frames than smoothing looks at, as published; else it is not smoothed.
    """

    def __init__(
        self,
        model: MotionModel,
        style: FloatArray | None = None,
        *,
        smooth: bool = True,
        fix_pose: bool = False,
        refuse_short: bool = False,
    ) -> None:
        self._model = model
        self._style = style
        self._fix_pose = fix_pose
        self._smoother = MotionSmoother() if smooth else None
        self._refuse_short = refuse_short
        self._begun: tuple[torch.Tensor, MotionState] | None = None  # style token and state
        self._pending = np.zeros(0, dtype=np.float32)
        self._samples = 0
        self._frames = 0

    @property
    def chunk_frames(self) -> int:
        """Frames that are made at once."""
        return self._model.config.vae.chunk_frames

    @property
    def behind(self) -> int:
        """Frames after a frame that it waits for."""
        return DELAY_FRAMES if self._smoother is not None else 0

    def feed(self, samples: FloatArray, tell: Tell | None = None) -> FloatArray:
        """Add 16 kHz sound [n] float32; returns motion [k, 106] that can no longer change."""
        self._samples += len(samples)
        self._pending = np.concatenate((self._pending, samples.astype(np.float32, copy=False)))
        complete = len(self._pending) // self._model.chunk_samples
        motion = self._generate(complete, tell)
        return self._cleared(motion if self._smoother is None or not len(motion) else self._smoother.feed(motion))

    def finish(self, tell: Tell | None = None) -> FloatArray:
        """The rest of the motion.

        Raises:
            AudioTooShort: a short sound is refused.
        """
        total = num_motion_frames(self._samples)
        if self._refuse_short and self._smoother is not None and 0 < total < MIN_FRAMES:
            raise too_short(total)
        left = total - self._frames
        motion = self._generate(math.ceil(left / self.chunk_frames), tell)[:left]
        if self._smoother is None or not total:
            return self._cleared(motion)
        parts = [self._smoother.feed(motion)] if len(motion) else []
        return self._cleared(np.concatenate([*parts, self._smoother.finish()]))

    @torch.inference_mode()
    def _generate(self, count: int, tell: Tell | None) -> FloatArray:
        """Motion [100 count, 106] of the next chunks; what is missing of the last one is silence."""
        if not count:
            return np.zeros((0, MOTION_DIM), np.float32)
        size = self._model.chunk_samples
        chunks = np.zeros(count * size, np.float32)
        part = self._pending[: count * size]
        chunks[: len(part)] = part
        self._pending = self._pending[count * size :]
        token, state = self._begun or self._model.start(self._style)
        made = []
        for features in self._model.features(torch.from_numpy(chunks.reshape(count, size)), progress=tell):
            result, state = self._model.generator.generate_chunk(features, token, state)
            made.append(result.motion[0].float().cpu().numpy())
        self._begun = token, state
        motion = np.concatenate(made)
        self._frames += len(motion)
        return motion

    def _cleared(self, motion: FloatArray) -> FloatArray:
        motion = motion.copy()
        if self._fix_pose:
            motion[:, GLOBAL_ROTATION] = 0.0
        motion[:, JAW_YAW_AND_ROLL] = 0.0
        return motion
