"""Phones to the motion of a mouth, one pose per video frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from talkinghead.audio.visemes import BILABIAL, DIPHTHONGS, REST, SILENCE, TARGETS, Target
from talkinghead.contracts import AudioClip, MouthCue, MouthMotion, Phone


@dataclass(frozen=True)
class MouthConfig:
    """How the mouth moves. Times in seconds."""

    openness: float = 1.0
    """Factor on jaw and lip opening; 0.5 mumbles, 1.3 articulates; in [0, 2]."""
    lead_s: float = 0.02
    """How far the mouth runs ahead of the sound; in [-0.2, 0.2]."""
    attack_s: float = 0.07
    """Reach of a phone backwards in time: anticipation."""
    release_s: float = 0.08
    """Reach of a phone forwards in time: carry-over."""
    loudness: float = 0.5
    """How much opening follows loudness: 0 not at all, 1 fully."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.openness <= 2.0:
            raise ValueError(f"openness must lie in [0, 2], not {self.openness}")
        if not -0.2 <= self.lead_s <= 0.2:
            raise ValueError(f"lead_s must lie in [-0.2, 0.2], not {self.lead_s}")
        if self.attack_s <= 0 or self.release_s <= 0:
            raise ValueError("attack_s and release_s must be positive")
        if not 0.0 <= self.loudness <= 1.0:
            raise ValueError(f"loudness must lie in [0, 1], not {self.loudness}")


def mouth_motion(
    phones: Sequence[Phone], clip: AudioClip, fps: Fraction, num_frames: int, config: MouthConfig | None = None
) -> MouthMotion:
    """Move the mouth as the phones say.

    Returns:
        MouthMotion of num_frames; frame i is the pose at the middle of [i / fps, (i + 1) / fps).
    Source: Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech" (dominance functions).
    """
    config = config or MouthConfig()
    times = (np.arange(num_frames) + 0.5) * (fps.denominator / fps.numerator) + config.lead_s
    num = np.zeros((6, num_frames))
    den = np.zeros((6, num_frames)) + 1e-6
    gate = np.ones(num_frames)
    for start, stop, target, label in _segments(phones):
        a = int(np.searchsorted(times, start - 4 * config.attack_s))
        b = int(np.searchsorted(times, stop + 4 * config.release_s))
        t = times[a:b]
        inner = 0.25 * (stop - start)
        tau = np.where(t < start + inner, (start + inner - t) / config.attack_s, (t - stop + inner) / config.release_s)
        shape = np.exp(-(np.maximum(tau, 0.0) ** 1.5))
        values = (target.jaw, target.lips, target.width, target.tuck, target.tongue, float(label != SILENCE))
        forces = (target.jaw_force, target.jaw_force, target.width_force, 0.6, 0.6, 1.0)
        for k in range(6):
            num[k, a:b] += forces[k] * shape * values[k]
            den[k, a:b] += forces[k] * shape
        if label in BILABIAL or label == SILENCE:
            ease = np.maximum(np.maximum(start - t, t - stop), 0.0) / 0.06
            gate[a:b] = np.minimum(gate[a:b], np.clip(ease, 0.0, 1.0))
    jaw, lips, width, tuck, tongue, speaking = num / den
    lips = lips * gate
    pose = [
        np.clip(config.openness * jaw, 0, 1),
        np.clip(config.openness * lips, 0, 1),
        np.clip(width, -1, 1),
        np.clip(tuck, 0, 1),
        np.clip(tongue, 0, 1),
        np.clip(speaking, 0, 1),
    ]
    return MouthMotion(fps, *(np.ascontiguousarray(p, dtype=np.float32) for p in pose))


def _segments(phones: Sequence[Phone]) -> list[tuple[float, float, Target, str]]:
    """Phones as steady targets: diphthongs become two."""
    out: list[tuple[float, float, Target, str]] = []
    for phone in phones:
        if phone.label in DIPHTHONGS:
            first, second = DIPHTHONGS[phone.label]
            middle = phone.start_s + 0.6 * (phone.end_s - phone.start_s)
            out.append((phone.start_s, middle, TARGETS[first], phone.label))
            out.append((middle, phone.end_s, TARGETS[second], phone.label))
        else:
            out.append((phone.start_s, phone.end_s, TARGETS.get(phone.label, REST), phone.label))
    return out


_CUE_PHONES = {"A": "M", "B": "S", "C": "EH", "D": "AA", "E": "AO", "F": "UW", "G": "F", "H": "L", "X": SILENCE}


def motion_from_cues(
    cues: Sequence[MouthCue], clip: AudioClip, fps: Fraction, num_frames: int, config: MouthConfig | None = None
) -> MouthMotion:
    """Move the mouth as mouth cues say (Rhubarb's shapes), as read from a file that someone edited."""
    phones = [Phone(c.start_s, c.end_s, _CUE_PHONES.get(c.shape, SILENCE)) for c in cues]
    return mouth_motion(phones, clip, fps, num_frames, config)
