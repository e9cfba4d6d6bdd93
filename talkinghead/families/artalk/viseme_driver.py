"""Motion for our own head from recognised phones: mouth, blinks, brows and a head that is never quite at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, MouthMotion
from talkinghead.families.artalk.flame import FlameModel
from talkinghead.families.artalk.motion.config import MOTION_DIM

NUM_EXPRESSION = 100
SEAL_JAW = 0.10
"""Radians of jaw that one unit of "press" is made for."""
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
"""Widest jaw of a head whose expressions cannot be told (a FLAME file without landmarks)."""

LIVELY_S, STRESS_S, QUICK_NOD_S, SLOW_NOD_S = 0.5, 0.2, 0.16, 0.9
"""Widths of smoothing: of what makes the head livelier, raises the brows, and nods."""
CLOSE_S, SHUT_S, OPEN_S = 0.08, 0.04, 0.15
MIN_INTERVAL_S = 1.3
SQUEEZE_M = 0.0007
"""Lips that touch overlap by so much, so that not even a pixel of the mouth is seen between them."""
PROTRUSION_M = 0.0088
"""How far rounding moves the lips forwards: the open jaw takes the lower one down by it."""
SACCADE_S = 0.05
"""How long the eyes take to look elsewhere."""
GAZE_PER_RADIAN = 10.0
"""Units of "look aside" and "look up" per radian: the eyes stay on who is looked at while the head turns."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Liveliness:
    """How much moves besides the mouth."""

    head_motion: float = 1.0
    blinks_per_minute: float = 14.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class MouthShapes:
    """What a head's expression directions can do, by names, and how far its lips move."""

    expressions: Mapping[str, FloatArray]
    """[100] each: coefficients of one unit."""
    lever_m: float
    """Gap between the lips per radian of jaw."""
    seal_m: float
    """Gap that one unit of "press" closes."""
    part_m: float
    """Gap that one unit of "part" opens."""
    widest_press: float
    """Units of "press" up to which the head still looks like one; the jaw closes for the rest."""


def procedural_shapes(names: Sequence[str]) -> MouthShapes:
    """Those of our own head, whose expression directions have names."""
    identity = np.eye(NUM_EXPRESSION, dtype=np.float32)
    return MouthShapes(
        {name: identity[number] for number, name in enumerate(names)}, LIP_LEVER_M, SEAL_M, PART_M, np.inf
    )


# fmt: off
UPPER_LIP = (0, 13, 37, 39, 40, 80, 81, 82, 185, 191, 267, 269, 270, 310, 311, 312, 409, 415)
LOWER_LIP = (14, 17, 84, 87, 88, 91, 95, 146, 178, 181, 314, 317, 318, 321, 324, 375, 402, 405)
CORNERS = (61, 78, 291, 308)
INNER_LIPS = ((13, 14), (82, 87), (312, 317))
BROWS = (46, 52, 53, 55, 63, 65, 66, 70, 105, 107, 276, 282, 283, 285, 293, 295, 296, 300, 334, 336)
# fmt: on
"""MediaPipe landmarks."""
FIT_ROUGHNESS = 0.0008
"""Metres of error that one unit of a coefficient is worth: keeps fitted expressions small."""
MIN_REACH = 0.35
"""Share of the wanted movement that a fitted expression must reach to be used."""


def fitted_shapes(model: FlameModel) -> MouthShapes | None:
    """Find what FLAME's nameless expression directions can do for a mouth, from its landmarks.

    For each wanted movement of the lips (closing over an open jaw, parting, spreading, rounding, smiling, tucking the
    lower lip in) and the brows, the coefficients that come nearest to it while the other landmarks stay, by ridge
    regression on the head's own landmarks.

    Returns:
        None where the file has no MediaPipe landmarks, or its lips cannot be closed over an open jaw.
    """
    found = model.landmarks.get("lmk_embeddings_mediapipe/landmark_indices")
    if found is None:
        return None
    ids = found.ravel().astype(int)
    rest = model.mediapipe_landmarks(model.vertices())[0].astype(np.float64)
    jaw = np.array([[0, 0, 0, SEAL_JAW, 0, 0]], np.float32)
    opened = model.mediapipe_landmarks(model.vertices(pose=jaw))[0].astype(np.float64) - rest
    directions = model.shape_directions[:, :, -NUM_EXPRESSION:].reshape(model.num_vertices, -1)
    corners = model.landmarks["lmk_embeddings_mediapipe/lmk_face_idx"].ravel().astype(int)
    weights = model.landmarks["lmk_embeddings_mediapipe/lmk_b_coords"].astype(np.float64)
    moved = (directions[model.faces[corners]] * weights[:, :, None]).sum(axis=1)  # [landmarks, 3 * 100]
    matrix = moved.reshape(len(ids) * 3, NUM_EXPRESSION).astype(np.float64)
    upper, lower, corner, brow = (np.isin(ids, group) for group in (UPPER_LIP, LOWER_LIP, CORNERS, BROWS))
    place = {number: index for index, number in enumerate(ids)}
    pairs = [(place[top], place[bottom]) for top, bottom in INNER_LIPS if top in place and bottom in place]
    if not (pairs and corner.any()):
        return None
    side = np.sign(rest[:, 0]) * (np.abs(rest[:, 0]) > 0.002)
    half = max(float(np.abs(rest[corner, 0]).max()), 1e-3)
    middle = np.clip(1.0 - (rest[:, 0] / half) ** 2, 0.0, 1.0) ** 0.5 * (upper | lower)
    across = np.clip(np.abs(rest[:, 0]) / half, 0.0, 1.0) * (upper | lower | corner)
    lip = (upper | lower).astype(float)

    def field(x: Any = 0.0, y: Any = 0.0, z: Any = 0.0) -> Values:
        target = np.zeros((len(ids), 3))
        target[:, 0], target[:, 1], target[:, 2] = x, y, z
        return target

    drop = float(-opened[lower, 1].mean())
    wanted = {
        "press": field(y=np.where(lower, 0.66, np.where(upper, -0.34, 0.0)) * drop * middle),
        "part": field(y=np.where(lower, -0.0042, np.where(upper, 0.0022, 0.0)) * middle),
        "spread": field(x=0.0045 * side * across),
        "round": field(x=-0.0055 * side * across, z=0.0040 * lip),
        "tuck": field(y=0.0040 * lower * middle, z=-0.0030 * lower * middle),
        "smile": field(x=0.0030 * side * corner, y=0.0040 * corner),
        "brows up": field(y=0.0050 * brow),
    }
    penalty = FIT_ROUGHNESS * np.eye(NUM_EXPRESSION)
    expressions: dict[str, FloatArray] = {}
    for name, target in wanted.items():
        goal = target.ravel()
        if not goal.any():
            continue
        solved = np.linalg.lstsq(
            np.concatenate([matrix, penalty]), np.concatenate([goal, np.zeros(NUM_EXPRESSION)]), rcond=None
        )[0]
        reached = matrix @ solved
        if reached @ goal >= MIN_REACH * (goal @ goal):
            expressions[name] = solved.astype(np.float32)

    def gap(displacement: Values) -> float:
        """Change of the gap in the middle of the lips."""
        return float(np.mean([displacement[top, 1] - displacement[bottom, 1] for top, bottom in pairs]))

    def gap_of(name: str) -> float:
        return gap((matrix @ expressions[name]).reshape(-1, 3)) if name in expressions else 0.0

    lever, seal = gap(opened) / SEAL_JAW, -gap_of("press")
    if not (lever > 0.01 and seal > 0.001):
        return None
    return MouthShapes(expressions, lever, seal, max(gap_of("part"), 1e-3), widest_press=1.5)


@dataclass(frozen=True, eq=False)
class Life:
    """What moves besides the mouth, frame by frame."""

    head: Values
    """[n, 3] radians around x (nod), y (turn) and z (tilt)."""
    blink: Values
    """[n] in [0, 1]."""
    brows: Values
    """[n], raised."""
    gaze: Values
    """[2, n] units of "look aside" and "look up"."""


def motion_from_mouth(mouth: MouthMotion, shapes: MouthShapes | None, lively: Liveliness | None = None) -> FloatArray:
    """FLAME-format motion of a mouth's movement.

    Args:
        mouth: per video frame.
        shapes: what the head's expressions can do; None for a head where only the jaw and the head move.
    Returns:
        [n, 106] float32: expression, head rotation, jaw rotation.
    """
    return moved(mouth, shapes, life_of(mouth, lively or Liveliness()))


def life_of(mouth: MouthMotion, lively: Liveliness) -> Life:
    """The life of a head that says a whole sound."""
    count, fps = len(mouth), float(mouth.fps)
    rng_blinks, rng_head, rng_gaze = (
        np.random.default_rng(seed) for seed in np.random.SeedSequence(lively.seed).spawn(3)
    )
    times: Values = (np.arange(count, dtype=np.float64) + 0.5) / np.float64(fps)
    jaw, speaking = mouth.jaw.astype(np.float64), mouth.speaking.astype(np.float64)
    drifts = head_drifts(rng_head)
    nod = smooth(jaw, QUICK_NOD_S * fps) - smooth(jaw, SLOW_NOD_S * fps)
    head = lively.head_motion * head_rotation(times, drifts, smooth(speaking, LIVELY_S * fps), nod)
    blink = blinks(times, lively.blinks_per_minute, rng_blinks)
    brows = raised_brows(times, drifts, smooth(jaw, STRESS_S * fps) * mouth.speaking)
    return Life(head, blink, brows, gaze(times, rng_gaze))


def moved(mouth: MouthMotion, shapes: MouthShapes | None, life: Life) -> FloatArray:
    """FLAME-format motion, [n, 106] float32; see `motion_from_mouth`."""
    motion = np.zeros((len(mouth), MOTION_DIM))
    jaw = mouth.jaw.astype(np.float64)
    motion[:, 100:103] = life.head
    if shapes is None:
        motion[:, 103] = PLAIN_JAW * np.minimum(jaw, 1.6 * mouth.lips)
        return motion.astype(np.float32)
    scale = LIP_LEVER_M / shapes.lever_m  # a longer jaw opens as far with a smaller angle
    wanted = WIDEST_GAP_M * mouth.lips.astype(np.float64)
    reach = (wanted + shapes.widest_press * shapes.seal_m) / shapes.lever_m
    motion[:, 103] = np.minimum(WIDEST_JAW * scale * jaw, reach)
    by_jaw = motion[:, 103] * shapes.lever_m
    rounded = np.clip(-mouth.width, 0.0, 1.0).astype(np.float64)
    lowered = PROTRUSION_M * rounded * np.sin(motion[:, 103])
    aside, up = life.gaze - motion[:, [101, 100]].T * GAZE_PER_RADIAN
    values: dict[str, Values | FloatArray] = {
        "press": (np.clip(by_jaw - wanted, 0.0, None) + _squeeze(wanted) + lowered) / shapes.seal_m,
        "part": np.clip(wanted - by_jaw, 0.0, None) / shapes.part_m,
        "spread": np.clip(mouth.width, 0.0, 1.0),
        "round": rounded,
        "tuck": mouth.tuck,
        "tongue up": mouth.tongue * (0.35 + jaw),
        "smile": 0.22 + 0.10 * (1.0 - mouth.speaking),
        "blink": life.blink,
        "brows up": life.brows * (1.0 - 0.6 * life.blink),
        "cheeks": 0.25 * np.clip(mouth.width, 0.0, 1.0),
        "look aside": aside,
        "look up": up,
    }
    for name, value in values.items():
        if name in shapes.expressions:
            motion[:, :NUM_EXPRESSION] += np.asarray(value, np.float64)[:, None] * shapes.expressions[name]
    return motion.astype(np.float32)


@dataclass(frozen=True)
class Drift:
    """A sum of slow waves with random phases, about 1 large."""

    waves: tuple[tuple[float, float], ...]
    """Period in seconds and phase of each."""

    @classmethod
    def drawn(cls, slowest_s: float, rng: np.random.Generator) -> Drift:
        """Waves of random phases; the slowest takes about so many seconds."""
        return cls(tuple((slowest_s / 1.9**octave * rng.uniform(0.85, 1.15), rng.random()) for octave in range(3)))

    def at(self, times: Values) -> Values:
        """Its values, [n]."""
        total = np.zeros(len(times))
        for octave, (period, phase) in enumerate(self.waves):
            total += np.sin(2 * np.pi * (times / period + phase)) * 0.6**octave
        return total / 1.4


def head_drifts(rng: np.random.Generator) -> tuple[Drift, ...]:
    """Those of nod, turn and tilt, and of the brows."""
    return tuple(Drift.drawn(slowest_s, rng) for slowest_s in (5.0, 6.5, 8.0, 4.0))


def head_rotation(times: Values, drifts: Sequence[Drift], speaking: Values, nod: Values) -> Values:
    """[n, 3] radians around x (nod), y (turn) and z (tilt); more in speech, and a nod with the jaw.

    Args:
        speaking: [n] in [0, 1], smooth.
        nod: [n], how much further than usual the jaw is open.
    """
    lively = 0.55 + 0.45 * speaking
    return np.stack(
        [
            lively * (0.022 * drifts[0].at(times) + 0.05 * nod),
            lively * 0.040 * drifts[1].at(times),
            lively * 0.020 * drifts[2].at(times),
        ],
        axis=1,
    )


def raised_brows(times: Values, drifts: Sequence[Drift], stress: Values) -> Values:
    """Brows rise a little with stress, [n]."""
    raised: Values = np.clip(0.5 * stress + 0.18 * drifts[3].at(times), -0.1, 0.8)
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


def _squeeze(wanted_m: Values) -> Values:
    """How far lips that touch are pressed onto each other, in metres."""
    pressed: Values = SQUEEZE_M * np.clip(1.0 - wanted_m / (2 * SQUEEZE_M), 0.0, 1.0)
    return pressed


def gaze(times_s: Values, rng: np.random.Generator) -> Values:
    """Where the eyes look, [2, n] in units of "look aside" and "look up": they rest, and jump every second or so."""
    looked = np.zeros((2, len(times_s)))
    at, place = 0.4, np.zeros(2)
    while len(times_s) and at < times_s[-1]:
        following = rng.normal(0.0, 1.0, 2) * [0.45, 0.22]
        looked += (following - place)[:, None] * _ease((times_s - at) / SACCADE_S)
        at, place = at + 0.35 + float(rng.gamma(2.0, 0.45)), following
    return looked


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
