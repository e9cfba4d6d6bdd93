"""Phones that pull a mouth towards their targets, each with a force that fades before and after it.

Source: Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech", equations 1 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.visemes import DIPHTHONGS, REST, SILENCE, TARGETS, Target
from talkinghead.contracts import Phone

if TYPE_CHECKING:
    from talkinghead.audio.mouth import MouthConfig

MOMENTS_AT_ONCE = 128


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one target."""

    start_s: float
    end_s: float
    target: Target
    gain: float
    """Factor on the opening of the target, from loudness."""

    @property
    def pull(self) -> tuple[float, float, float, float, float]:
        """Jaw, lips and width that it wants, and how strongly it wants opening and width."""
        target = self.target
        return target.jaw * self.gain, target.lips * self.gain, target.width, target.jaw_force, target.width_force


def segments_of(phone: Phone, gain: float, depth: float) -> list[Segment]:
    """A phone as steady targets; diphthongs are two, one after the other. Short pauses pull less than long ones."""
    if phone.label == SILENCE:
        rest = replace(REST, jaw_force=depth * REST.jaw_force, width_force=depth * REST.width_force)
        return [Segment(phone.start_s, phone.end_s, rest, 1.0)]
    if phone.label in DIPHTHONGS:
        first, second = DIPHTHONGS[phone.label]
        turn = phone.start_s + 0.55 * (phone.end_s - phone.start_s)
        return [
            Segment(phone.start_s, turn, TARGETS[first], gain),
            Segment(turn, phone.end_s, TARGETS[second], gain),
        ]
    return [Segment(phone.start_s, phone.end_s, TARGETS.get(phone.label, TARGETS["AH"]), gain)]


def dominance(
    segments: Sequence[Segment], times: NDArray[np.float64], config: MouthConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Jaw, lips and width at given times: targets blended by how strongly each phone pulls."""
    out = np.empty((3, len(times)))
    start = np.array([segment.start_s for segment in segments])
    end = np.array([segment.end_s for segment in segments])
    target = np.array([segment.pull for segment in segments]).reshape(-1, 5)
    reach = 4.0 * config.rounding_reach
    for first in range(0, len(times), MOMENTS_AT_ONCE):
        t = times[first : first + MOMENTS_AT_ONCE]
        near = (start - reach * config.attack_s <= t[-1]) & (end + reach * config.release_s >= t[0])
        out[:, first : first + MOMENTS_AT_ONCE] = _blended(t, start[near], end[near], target[near], config)
    return out[0], out[1], out[2]


def _blended(
    times: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    target: NDArray[np.float64],
    config: MouthConfig,
) -> NDArray[np.float64]:
    """Jaw, lips and width at some moments; [3, n].

    Args:
        start, end: [m] of segments, in seconds. target: [m, 5] as `Segment.pull`.
    """
    # The pull is full inside the phone and fades from a little within its edges.
    inner = np.minimum(0.25 * (end - start), config.edge_s)
    before = np.maximum((start + inner)[:, None] - times, 0.0) / config.attack_s
    after = np.maximum(times - (end - inner)[:, None], 0.0) / config.release_s
    distance = before + after  # [m, n]
    jaw, lips, width, jaw_force, width_force = target.T[..., None]
    fades = distance**1.5
    reach = 4.0 * config.rounding_reach
    within = (times >= (start - reach * config.attack_s)[:, None]) & (times < (end + reach * config.release_s)[:, None])
    pull = np.where(within, jaw_force * np.exp(-fades), 0.0)
    pull_width = np.where(within, width_force * np.exp(-((distance / config.rounding_reach) ** 1.5)), 0.0)
    # Far from everything the opening is none, and the width neutral.
    opening = pull.sum(axis=0, initial=1e-4)
    return np.stack(
        (
            (pull * jaw).sum(axis=0) / opening,
            (pull * lips).sum(axis=0) / opening,
            (pull_width * width).sum(axis=0) / pull_width.sum(axis=0, initial=1e-2),
        )
    )
