"""Motion for our own head from recognised phones: mouth, blinks, brows and a head that is never quite at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, MouthMotion

MOTION_DIM = 106
WIDEST_JAW = 0.235
"""Radians at the widest vowel of loud speech."""
LIP_LEVER_M = 0.0845
"""From the jaw's joint to the lips."""
WIDEST_GAP_M = 0.0175
"""Between the lips of the same vowel."""
SEAL_M = 0.10 * LIP_LEVER_M
"""Gap that one unit of "press" closes."""
PART_M = 0.0064
"""Gap that one unit of "part" opens."""
PLAIN_JAW = 0.20
"""Widest jaw of a head whose lips cannot be closed over it (FLAME, whose expressions have no names)."""

CLOSE_S, SHUT_S, OPEN_S = 0.08, 0.04, 0.15
MIN_INTERVAL_S = 1.3

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Liveliness:
    """How much moves besides the mouth."""

    head_motion: float = 1.0
    blinks_per_minute: float = 14.0
    seed: int = 0


def motion_from_mouth(
    mouth: MouthMotion, expressions: Mapping[str, int] | None, lively: Liveliness | None = None
) -> FloatArray:
    """FLAME-format motion of a mouth's movement.

    Args:
        mouth: per video frame.
        expressions: number of each named expression direction of the head; None for a head whose directions have no
            names, where only the jaw and the head move.
    Returns:
        [n, 106] float32: expression, head rotation, jaw rotation.
    """
    lively = lively or Liveliness()
    count, fps = len(mouth), float(mouth.fps)
    motion = np.zeros((count, MOTION_DIM))
    jaw = mouth.jaw.astype(np.float64)
    rng_blinks, rng_head = (np.random.default_rng(seed) for seed in np.random.SeedSequence(lively.seed).spawn(2))
    times: Values = (np.arange(count, dtype=np.float64) + 0.5) / np.float64(fps)
    motion[:, 100:103] = lively.head_motion * _head_rotation(times, mouth, rng_head)
    if expressions is None:
        motion[:, 103] = PLAIN_JAW * np.minimum(jaw, 1.6 * mouth.lips)
        return motion.astype(np.float32)
    motion[:, 103] = WIDEST_JAW * jaw
    by_jaw = motion[:, 103] * LIP_LEVER_M
    wanted = WIDEST_GAP_M * mouth.lips
    blink = blinks(times, lively.blinks_per_minute, rng_blinks)
    values: dict[str, Values | FloatArray] = {
        "press": np.clip(by_jaw - wanted, 0.0, None) / SEAL_M,
        "part": np.clip(wanted - by_jaw, 0.0, None) / PART_M,
        "spread": np.clip(mouth.width, 0.0, 1.0),
        "round": np.clip(-mouth.width, 0.0, 1.0),
        "tuck": mouth.tuck,
        "tongue up": mouth.tongue * (0.35 + jaw),
        "smile": 0.22 + 0.10 * (1.0 - mouth.speaking),
        "blink": blink,
        "brows up": _brows(times, mouth, rng_head) * (1.0 - 0.6 * blink),
        "cheeks": 0.25 * np.clip(mouth.width, 0.0, 1.0),
    }
    for name, value in values.items():
        motion[:, expressions[name]] = value
    return motion.astype(np.float32)


def _head_rotation(times: Values, mouth: MouthMotion, rng: np.random.Generator) -> Values:
    """[n, 3] radians around x (nod), y (turn) and z (tilt); more in speech, and a nod with the jaw."""
    fps = float(mouth.fps)
    lively = 0.55 + 0.45 * smooth(mouth.speaking.astype(np.float64), 0.5 * fps)
    jaw = mouth.jaw.astype(np.float64)
    nod = smooth(jaw, 0.16 * fps) - smooth(jaw, 0.9 * fps)
    drifts = [_drift(times, slowest, rng) for slowest in (5.0, 6.5, 8.0)]
    return np.stack(
        [
            lively * (0.022 * drifts[0] + 0.05 * nod),
            lively * 0.040 * drifts[1],
            lively * 0.020 * drifts[2],
        ],
        axis=1,
    )


def _drift(times: Values, slowest_s: float, rng: np.random.Generator) -> Values:
    """A sum of slow waves with random phases, about 1 large."""
    total = np.zeros(len(times))
    for octave in range(3):
        period = slowest_s / 1.9**octave * rng.uniform(0.85, 1.15)
        total += np.sin(2 * np.pi * (times / period + rng.random())) * 0.6**octave
    return total / 1.4


def _brows(times: Values, mouth: MouthMotion, rng: np.random.Generator) -> Values:
    """Brows rise a little with stress."""
    fps = float(mouth.fps)
    stress = smooth(mouth.jaw.astype(np.float64), 0.2 * fps) * mouth.speaking
    raised: Values = np.clip(0.5 * stress + 0.18 * _drift(times, 4.0, rng), -0.1, 0.8)
    return raised


def blinks(times_s: Values, per_minute: float, rng: np.random.Generator) -> Values:
    """Closing of the lids, [n] in [0, 1]; gaps are neither a metronome nor bursts."""
    closed = np.zeros(len(times_s))
    if per_minute <= 0 or len(times_s) == 0:
        return closed
    mean_s = max(60.0 / per_minute, MIN_INTERVAL_S + 0.3)
    start = 0.5 + float(rng.gamma(2.0, 0.2 * mean_s))
    while start < times_s[-1] + 1.0:
        t = times_s - start
        closed = np.maximum(closed, _ease(t / CLOSE_S) - _ease((t - CLOSE_S - SHUT_S) / OPEN_S))
        start += MIN_INTERVAL_S + float(rng.gamma(2.5, (mean_s - MIN_INTERVAL_S) / 2.5))
    return closed


def _ease(t: Values) -> Values:
    t = np.clip(t, 0.0, 1.0)
    eased: Values = t * t * (3 - 2 * t)
    return eased


def smooth(values: Values, sigma: float) -> Values:
    """Gaussian over frames, ends held."""
    if len(values) == 0:
        return values
    reach = max(1, int(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    smoothed: Values = np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
    return smoothed


def at_rate(motion: FloatArray, source_fps: Fraction, fps: Fraction, num_frames: int) -> FloatArray:
    """Motion at another frame rate, by linear interpolation between the middles of the frames; ends are held.

    Returns:
        [num_frames, 106] float32; equal to the given frames where the rates are equal.
    """
    if source_fps == fps:
        rows = np.minimum(np.arange(num_frames), len(motion) - 1)
        return np.ascontiguousarray(motion[rows])
    places = (np.arange(num_frames) + 0.5) * float(source_fps / fps) - 0.5
    places = np.clip(places, 0.0, len(motion) - 1.0)
    low = np.minimum(places.astype(int), len(motion) - 1)
    high = np.minimum(low + 1, len(motion) - 1)
    share = (places - low)[:, None]
    mixed: FloatArray = (motion[low] * (1.0 - share) + motion[high] * share).astype(np.float32)
    return mixed
