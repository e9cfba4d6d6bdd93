"""Motion while the sound arrives, equal to that of the whole sound."""

from __future__ import annotations

import numpy as np
import torch

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.motion.config import GLOBAL_ROTATION, JAW_YAW_AND_ROLL, MOTION_DIM, MOTION_FPS
from talkinghead.families.artalk.motion.engine import MotionModel, num_motion_frames
from talkinghead.families.artalk.motion.smoothing import DELAY_FRAMES, MotionSmoother


class MotionStream:
    """Feed sound of any length at a time; take the motion that is certain by then.

    The published streaming class rounds the length of the last piece on its own, so that it may give one frame more
    than the whole sound (68480 samples: 108 against 107). Here the count is that of the whole sound.
    """

    def __init__(
        self, model: MotionModel, style: FloatArray | None = None, *, smooth: bool = True, fix_pose: bool = False
    ) -> None:
        self._model = model
        self._fix_pose = fix_pose
        self._smoother = MotionSmoother() if smooth else None
        self._token, self._state = model.start(style)
        self._pending = np.zeros(0, dtype=np.float32)
        self._samples = 0
        self._frames = 0

    @property
    def delay_s(self) -> float:
        """Sound after a frame's time that the frame waits for, at most."""
        chunk = self._model.config.vae.chunk_frames
        return (chunk + (DELAY_FRAMES if self._smoother is not None else 0)) / MOTION_FPS

    def feed(self, samples: FloatArray) -> FloatArray:
        """Add 16 kHz sound [n] float32; returns motion [k, 106] that can no longer change."""
        self._samples += len(samples)
        self._pending = np.concatenate((self._pending, samples.astype(np.float32)))
        size = self._model.chunk_samples
        made = [np.zeros((0, MOTION_DIM), dtype=np.float32)]
        while len(self._pending) > size:  # a chunk that may be the last waits: it could end early
            made.append(self._chunk(self._pending[:size]))
            self._pending = self._pending[size:]
        return self._out(np.concatenate(made), last=False)

    def finish(self) -> FloatArray:
        """The rest of the motion."""
        total = num_motion_frames(self._samples)
        made = [np.zeros((0, MOTION_DIM), dtype=np.float32)]
        while self._frames < total:
            size = self._model.chunk_samples
            padded = np.zeros(size, dtype=np.float32)
            part = self._pending[:size]
            padded[: len(part)] = part
            self._pending = self._pending[size:]
            wanted = total - self._frames
            made.append(self._chunk(padded)[:wanted])
        return self._out(np.concatenate(made), last=True)

    @torch.inference_mode()
    def _chunk(self, samples: FloatArray) -> FloatArray:
        device = next(self._model.generator.parameters()).device
        features = self._model.audio_features(torch.from_numpy(np.ascontiguousarray(samples))[None].to(device))
        result, self._state = self._model.generator.generate_chunk(features, self._token, self._state)
        motion: FloatArray = result.motion[0].float().cpu().numpy()
        self._frames += len(motion)
        return motion

    def _out(self, motion: FloatArray, *, last: bool) -> FloatArray:
        if self._smoother is not None:
            parts = [self._smoother.feed(motion)] if len(motion) else []
            if last and self._frames:
                parts.append(self._smoother.finish())
            motion = np.concatenate(parts) if parts else motion
        motion = motion.copy()
        if self._fix_pose:
            motion[:, GLOBAL_ROTATION] = 0.0
        motion[:, JAW_YAW_AND_ROLL] = 0.0
        return motion
