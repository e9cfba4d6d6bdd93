"""How many frames a sound makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.families.artalk.motion.config import MOTION_FPS

PUBLISHED_CLIP = 750
"""Frames that the published programs keep."""


def num_motion_frames(num_samples: int) -> int:
    """Frames of a sound of 16 kHz, as published: float64 in this order, so some exact multiples of 640 round up."""
    return math.ceil(num_samples / SPEECH_RATE_HZ * float(MOTION_FPS))


def num_padded_frames(num_frames: int, chunk_frames: int) -> int:
    """Frames of the whole chunks that cover them."""
    return math.ceil(num_frames / chunk_frames) * chunk_frames


def kept_audio_samples(num_frames: int) -> int:
    """Samples that the published writer keeps beside this many frames."""
    return int(num_frames / float(MOTION_FPS) * SPEECH_RATE_HZ)


@dataclass(frozen=True)
class VideoLength:
    """How many frames of video a sound makes."""

    fps: Fraction = Fraction(MOTION_FPS)
    published: bool = False
    """Count as the published program does, at 25 frames a second."""
    most: int | None = None
    """Frames that are kept; None keeps all."""

    def frames(self, num_samples: int) -> int:
        """Frames of a sound of 16 kHz."""
        count = num_motion_frames(num_samples) if self.published else self._covering(num_samples)
        return count if self.most is None else min(count, self.most)

    def notes(self, num_samples: int) -> tuple[str, ...]:
        """What the report says where the sound is cut."""
        count = self.frames(num_samples)
        if count >= self._covering(num_samples):
            return ()
        return (f"The video is cut to {count} frames; the sound lasts {num_samples / SPEECH_RATE_HZ:.2f} s.",)

    def _covering(self, num_samples: int) -> int:
        return math.ceil(Fraction(num_samples, SPEECH_RATE_HZ) * self.fps)
