"""Where the mouth is: corners, the line between the lips, the contours of the lips, and whether it is open.

A family of mouth shapes with eight parameters is laid over a rectified patch of the lower face; each shape is scored
by what the picture shows along and between its curves (a dark line where the lips meet, redder lips than skin, a
dark or toothy inside when open, ...) and by how likely such a mouth is at all. Thousands of shapes are scored at once
by table look-ups, the best are varied and scored again. The weights of the evidence were calibrated on portraits of
all ages and skin tones, paintings and drawings, on blurred, recoloured and grey versions of them, and on mouths that
the animator itself had opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.families.viseme.anchors import MOUTH_BELOW_EYES
from talkinghead.families.viseme.geometry import COLUMNS, OPEN_MOUTH, MouthGeometry, Values
from talkinghead.families.viseme.paths import cheapest_paths
from talkinghead.families.viseme.rectify import (
    COLOUR,
    DARKNESS,
    GREYNESS,
    REDNESS,
    SLOPE,
    VALLEY,
    Patch,
    cut_patch,
    evidence,
    nearest,
    similarity,
)

EYE_DISTANCE = 96.0
"""Patch pixels between the eye centres."""
PATCH_SIZE = (176, 160)
PATCH_MOUTH = (88.0, 72.0)
"""Where the mouth of an average face lies in the patch."""

NUM_PARAMETERS = 8
X, Y, HALF_WIDTH, TILT, BEND, GAP, UPPER, LOWER = range(NUM_PARAMETERS)
"""Parameters of a shape. X, Y: middle between the corners, eye distances from `PATCH_MOUTH`. HALF_WIDTH: eye
distances. TILT: slope of the line between the corners. BEND: how far the line of the lips hangs below the corners;
GAP: between the lips; UPPER, LOWER: thickness of the lips; these four in half widths."""

_LOW = np.array([-0.5, -0.6, 0.2, -0.3, -0.45, 0.0, 0.10, 0.18], np.float32)
_HIGH = np.array([0.5, 0.7, 0.72, 0.3, 0.60, 1.9, 0.52, 0.68], np.float32)

# Share, mean and standard deviation of closed, smiling and open mouths.
_KINDS: tuple[tuple[float, tuple[float, ...], tuple[float, ...]], ...] = (
    (0.55, (0.015, 0.02, 0.375, 0.0, 0.03, 0.00, 0.30, 0.43), (0.045, 0.10, 0.07, 0.05, 0.12, 0.06, 0.08, 0.10)),
    (0.25, (0.015, 0.00, 0.520, 0.0, 0.22, 0.30, 0.19, 0.31), (0.045, 0.09, 0.08, 0.05, 0.12, 0.14, 0.07, 0.09)),
    (0.20, (0.020, 0.13, 0.400, 0.0, 0.12, 0.60, 0.26, 0.38), (0.050, 0.12, 0.09, 0.05, 0.16, 0.45, 0.09, 0.10)),
)
_SPREAD = np.array([0.05, 0.11, 0.08, 0.05, 0.13, 0.22, 0.08, 0.10], np.float32)

TURN_FROM = 0.05
"""Tilt of the mouth against the eyes from which the patch is turned."""
SCORE_EVEN = -13.0
SCORE_SLOPE = 2.5
"""Score at which a fit is as likely wrong as right, and how fast that changes."""

_U = np.linspace(-0.92, 0.92, 15, dtype=np.float32)
_ENDS = [0, 1, 13, 14]


@dataclass(frozen=True)
class MouthPrior:
    """Where the mouth is expected, when key points or an earlier frame tell; in eye distances in the patch."""

    mean: tuple[float, ...]
    """[4], x, y, half width, tilt."""
    deviation: tuple[float, ...]
    """[4], one standard deviation of each."""


def cupid(u: Values) -> Values:
    """Height profile of the upper lip, 1 near the middle and 0 at the corners, with the dip of Cupid's bow."""
    bow: Values = (1 - np.abs(u) ** 1.6) * (1 - 0.10 * np.exp(-((u / 0.12) ** 2)))
    return bow.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of many shapes in the patch; [N, K] float32 pixels, curves are y below the line between the corners."""

    x: Values
    line: Values
    """y of the straight line between the corners."""
    upper_outer: Values
    upper_inner: Values
    lower_inner: Values
    lower_outer: Values
    half_width: Values
    """[N, 1]"""


def curves(shapes: Values, u: Values = _U) -> Curves:
    """Draw shapes [N, 8] at positions u [K] in [-1, 1] between the corners."""
    column = [shapes[:, i : i + 1] for i in range(NUM_PARAMETERS)]
    half = column[HALF_WIDTH] * EYE_DISTANCE
    arch = 1 - u**2
    upper_inner = (column[BEND] - column[GAP] / 2) * arch * half
    lower_inner = (column[BEND] + column[GAP] / 2) * arch * half
    along = u * half
    return Curves(
        x=PATCH_MOUTH[0] + column[X] * EYE_DISTANCE + along,
        line=PATCH_MOUTH[1] + column[Y] * EYE_DISTANCE + along * column[TILT],
        upper_outer=upper_inner - column[UPPER] * half * cupid(u),
        upper_inner=upper_inner,
        lower_inner=lower_inner,
        lower_outer=lower_inner + column[LOWER] * half * (1 - np.abs(u) ** 2.4),
        half_width=half,
    )


WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "line dark, upper": -0.75,
        "line dark, lower": 1.46,
        "line unbroken": 1.26,
        "line reaches corners": -1.24,
        "line ends at corners": -0.46,
        "lips redder than skin": -1.16,
        "upper lip redder": -0.49,
        "lower lip redder": -1.32,
        "upper edge dark": -1.93,
        "lower edge dark": -1.2,
        "upper lip darker": -0.82,
        "lower lip darker": 3.8,
        "inside darker": -2.31,
        "inside paler": -1.58,
        "inside grey": 0.67,
        "gap": -0.87,
        "inside lined": -0.52,
        "upper edge steep": -3.26,
        "lower edge steep": -1.38,
        "upper rim slope": 0.76,
        "lower rim slope": -0.86,
        "gap upper slope": -1.96,
        "gap lower slope": 0.86,
        "inside darker or paler": 0.04,
        "closed line": -1.48,
        "both lines": -1.14,
        "inside unlike upper lip": 1.8,
        "inside unlike lower lip": -1.33,
        "upper lip unlike skin": -5.78,
        "lower lip unlike skin": -4.78,
        "lips unlike each other": -0.46,
        "skin unlike itself": 0.85,
        "upper lip uneven": 0.46,
        "lower lip uneven": 0.56,
        "inside uneven": -1.42,
        "inside unlike skin": 0.0,
        "inside unlike lips": 1.03,
        "inside top unlike upper lip": -4.17,
        "inside bottom unlike lower lip": -1.68,
        "inside darkest": -0.05,
        "inside greyest": -2.28,
        "line below": -0.39,
        "line above": -1.75,
        "line below stronger": 0.69,
        "lips barely redder": -0.44,
        "upper lip below nose": 1.46,
        "off centre": -0.02,
        "too high or low": 0.06,
        "odd width": 0.08,
        "tilted": 0.02,
        "odd kind": 0.59,
        "parted": 1.81,
    }
)
"""Evidence and its weight; the score of a shape is the sum, and exp(-score) its relative probability.

"parted" is 1.5 above its calibrated value: lips that are wrongly taken for open show, lips that are wrongly taken for
closed hardly do."""


def _mean(values: Values) -> Values:
    """As `values.mean(axis=-1)`, in a third of the time for such short rows."""
    result: Values = np.add.reduce(values, axis=-1) / values.shape[-1]
    return result


def _distance(a: Values, b: Values) -> Values:
    """Colour distance of [3, ...] arrays, bounded so that one odd pixel does not decide."""
    bounded: Values = np.minimum(np.sqrt(((a - b) ** 2).sum(axis=0)), np.float32(0.8))
    return bounded


def measure(maps: Values, shapes: Values) -> dict[str, Values]:
    """Evidence for each of the shapes.

    Args:
        maps: [8, H, W] of `Evidence.stack`.
        shapes: [N, 8].
    Returns:
        Name -> [N] float32.
    """
    height, width = maps.shape[1:]
    planes = maps.reshape(len(maps), -1)
    valley = planes[VALLEY]
    c = curves(shapes)
    columns = nearest(c.x, width)

    def at(offset: Values) -> Values:
        picked: Values = np.take(planes, nearest(c.line + offset, height) * width + columns, axis=1)  # [8, N, K]
        return picked

    beyond = 0.10 * c.half_width
    above = at(c.upper_outer - beyond)
    rim_upper = at(c.upper_outer)
    lip_upper = at((c.upper_outer + c.upper_inner) / 2)
    edge_upper = at(c.upper_inner)
    inside = (
        at(c.upper_inner * 0.75 + c.lower_inner * 0.25),
        at((c.upper_inner + c.lower_inner) / 2),
        at(c.upper_inner * 0.25 + c.lower_inner * 0.75),
    )
    edge_lower = at(c.lower_inner)
    lip_lower = at((c.lower_outer + c.lower_inner) / 2)
    rim_lower = at(c.lower_outer)
    below = at(c.lower_outer + beyond)

    past = np.array([-1.22, -1.1, 1.1, 1.22], np.float32)
    middle_x = PATCH_MOUTH[0] + shapes[:, X : X + 1] * EYE_DISTANCE
    middle_y = PATCH_MOUTH[1] + shapes[:, Y : Y + 1] * EYE_DISTANCE
    past_columns = nearest(middle_x + past * c.half_width, width)
    past_corners = np.max(
        [
            valley.take(
                nearest(middle_y + (past * shapes[:, TILT : TILT + 1] + lift) * c.half_width, height) * width
                + past_columns
            )
            for lift in (-0.06, 0.0, 0.06)
        ],
        axis=0,
    )

    def line_at(offsets: tuple[float, ...]) -> Values:
        """Strongest dark line of the mouth's own width at these eye distances from the line of the lips."""
        middle = (c.upper_inner + c.lower_inner) / 2
        across = (valley.take(nearest(c.line + middle + d * EYE_DISTANCE, height) * width + columns) for d in offsets)
        strongest: Values = np.max([_mean(np.minimum(row, np.float32(1))) for row in across], axis=0)
        return strongest

    line_below = line_at((0.18, 0.22, 0.26, 0.30, 0.35, 0.40))
    line_above = line_at((-0.20, -0.25, -0.30, -0.35, -0.40))

    one = np.float32(1)
    open_ = np.minimum(shapes[:, GAP] / np.float32(0.25), one)
    seen: Values = (inside[0] + inside[1] + inside[2]) / np.float32(3)
    valley_upper, valley_lower = np.minimum(edge_upper[VALLEY], one), np.minimum(edge_lower[VALLEY], one)
    dark_upper, dark_lower = _mean(valley_upper), _mean(valley_lower)
    lip_red = (_mean(lip_upper[REDNESS]) + 1.3 * _mean(lip_lower[REDNESS])) / 2.3
    skin_red = (_mean(above[REDNESS]) + _mean(below[REDNESS])) / 2
    lip_dark = (_mean(lip_upper[DARKNESS]) + _mean(lip_lower[DARKNESS])) / 2
    darker = _mean(seen[DARKNESS]) - lip_dark
    paler = lip_red - _mean(seen[REDNESS])
    inside_upper, inside_lower = (_mean(_distance(seen[COLOUR], lip[COLOUR])) for lip in (lip_upper, lip_lower))
    deviation = (shapes - np.array(_KINDS[0][1], np.float32)) / _SPREAD
    return {
        "line dark, upper": dark_upper,
        "line dark, lower": dark_lower,
        "line unbroken": np.minimum(edge_upper[VALLEY], edge_lower[VALLEY]).min(axis=-1),
        "line reaches corners": _mean(valley_upper[:, _ENDS]) + _mean(valley_lower[:, _ENDS]),
        "line ends at corners": _mean(past_corners),
        "lips redder than skin": np.clip(lip_red - skin_red, -1, 1.5),
        "upper lip redder": _mean(lip_upper[REDNESS]) - _mean(above[REDNESS]),
        "lower lip redder": _mean(lip_lower[REDNESS]) - _mean(below[REDNESS]),
        "upper edge dark": _mean(edge_upper[DARKNESS]),
        "lower edge dark": _mean(edge_lower[DARKNESS]),
        "upper lip darker": _mean(lip_upper[DARKNESS]) - _mean(above[DARKNESS]),
        "lower lip darker": _mean(lip_lower[DARKNESS]) - _mean(below[DARKNESS]),
        "inside darker": open_ * darker,
        "inside paler": open_ * paler,
        "inside grey": open_ * _mean(seen[GREYNESS]),
        "gap": open_,
        "inside lined": open_ * _mean(inside[1][VALLEY]),
        "upper edge steep": _mean(np.abs(edge_upper[SLOPE])),
        "lower edge steep": _mean(np.abs(edge_lower[SLOPE])),
        "upper rim slope": _mean(rim_upper[SLOPE]),
        "lower rim slope": _mean(rim_lower[SLOPE]),
        "gap upper slope": open_ * _mean(edge_upper[SLOPE]),
        "gap lower slope": open_ * _mean(edge_lower[SLOPE]),
        "inside darker or paler": open_ * np.maximum(darker, 0.7 * paler),
        "closed line": (1 - open_) * dark_upper,
        "both lines": dark_upper * dark_lower,
        "inside unlike upper lip": open_ * inside_upper,
        "inside unlike lower lip": open_ * inside_lower,
        "upper lip unlike skin": _mean(_distance(lip_upper[COLOUR], above[COLOUR])),
        "lower lip unlike skin": _mean(_distance(lip_lower[COLOUR], below[COLOUR])),
        "lips unlike each other": _distance(_mean(lip_upper[COLOUR]), _mean(lip_lower[COLOUR])),
        "skin unlike itself": _distance(_mean(above[COLOUR]), _mean(below[COLOUR])),
        "upper lip uneven": lip_upper[COLOUR][0].std(axis=-1),
        "lower lip uneven": lip_lower[COLOUR][0].std(axis=-1),
        "inside uneven": open_ * inside[1][COLOUR][0].std(axis=-1),
        "inside unlike skin": open_ * _mean(_distance(seen[COLOUR], above[COLOUR])),
        "inside unlike lips": open_ * np.minimum(inside_upper, inside_lower),
        "inside top unlike upper lip": open_ * _mean(_distance(inside[0][COLOUR], lip_upper[COLOUR])),
        "inside bottom unlike lower lip": open_ * _mean(_distance(inside[2][COLOUR], lip_lower[COLOUR])),
        "inside darkest": open_ * np.max([_mean(part[DARKNESS]) for part in inside], axis=0),
        "inside greyest": open_ * np.max([_mean(part[GREYNESS]) for part in inside], axis=0),
        "line below": line_below,
        "line above": line_above,
        "line below stronger": np.maximum(line_below - np.minimum(dark_upper, dark_lower), 0),
        "lips barely redder": np.minimum(lip_red - skin_red, np.float32(0.25)),
        "upper lip below nose": _mean(np.minimum(edge_upper[VALLEY], one)) * line_above,
        "off centre": deviation[:, X] ** 2,
        "too high or low": deviation[:, Y] ** 2,
        "odd width": deviation[:, HALF_WIDTH] ** 2,
        "tilted": deviation[:, TILT] ** 2,
        "odd kind": np.minimum(_improbability(shapes), 12),
        "parted": (shapes[:, GAP] > 0.02).astype(np.float32),
    }


def _improbability(shapes: Values) -> Values:
    """Negative log density of [N, 8] shapes, apart from place and tilt, under the mixture of kinds."""
    shape = [HALF_WIDTH, BEND, GAP, UPPER, LOWER]
    logs = []
    for share, mean, deviation in _KINDS:
        z = (shapes[:, shape] - np.array(mean)[shape]) / (np.array(deviation)[shape] * 1.4)
        logs.append(np.log(share / deviation[GAP]) - 0.5 * (z**2).sum(axis=1))
    best = np.max(logs, axis=0)
    total: Values = -(best + np.log(np.sum([np.exp(value - best) for value in logs], axis=0)))
    return total.astype(np.float32)


def score(maps: Values, shapes: Values, prior: MouthPrior | None = None) -> Values:
    """[N] float32, lower is better: the negative log probability of each shape, up to a constant."""
    total = np.zeros(len(shapes), np.float32)
    for name, values in measure(maps, shapes).items():
        weight = WEIGHTS[name]
        if weight:
            total += np.float32(weight) * values
    if prior is not None:
        z = (shapes[:, :4] - np.array(prior.mean, np.float32)) / np.array(prior.deviation, np.float32)
        total += 0.5 * (z**2).sum(axis=1)
    return total


def clamp(shapes: Values) -> Values:
    """Keep every parameter in its range."""
    return np.clip(shapes, _LOW, _HIGH).astype(np.float32)


def draw(count: int, rng: np.random.Generator, prior: MouthPrior | None = None) -> Values:
    """About `count` random shapes [N, 8] of all kinds, around the prior where there is one."""
    batches = []
    for index, (share, mean, deviation) in enumerate(_KINDS):
        n = int(count * share)
        batch = np.array(mean) + np.array(deviation) * rng.normal(size=(n, NUM_PARAMETERS)) * 1.3
        batch[:, GAP] = np.abs(batch[:, GAP])
        if index == 0:
            batch[:, GAP] *= rng.random(n) < 0.4
        if prior is not None:
            batch[:, :4] = np.array(prior.mean) + np.array(prior.deviation) * rng.normal(size=(n, 4)) * 1.3
        batches.append(batch)
    return clamp(np.vstack(batches).astype(np.float32))


def search(
    maps: Values,
    *,
    prior: MouthPrior | None = None,
    start: Values | None = None,
    count: int = 4000,
    rounds: int = 8,
    keep: int = 60,
    per_round: int = 600,
    seed: int = 1,
) -> tuple[Values, Values]:
    """Find the best shapes.

    Args:
        start: [N, 8] shapes to begin with in place of random ones (an earlier frame's).
        count: random shapes to begin with. rounds: of variation. keep: survivors of each round.
        per_round: variations tried in each.
    Returns:
        Shapes [keep, 8] and their scores [keep], best first.
    """
    rng = np.random.default_rng(seed)
    shapes = clamp(start) if start is not None else draw(count, rng, prior)
    scores = score(maps, shapes, prior)
    step = 0.5 if start is None else 0.3
    for _ in range(rounds):
        order = np.argsort(scores, kind="stable")[:keep]
        shapes, scores = shapes[order], scores[order]
        varied = np.repeat(shapes, max(1, per_round // len(shapes)), axis=0)
        change = _SPREAD * step * rng.normal(size=varied.shape) * (rng.random(varied.shape) < 0.5)
        varied = varied + change.astype(np.float32)
        chance = rng.random(len(varied))
        varied[:, GAP] = np.where(chance < 0.12, 0, varied[:, GAP])
        opened = (chance > 0.92) & (varied[:, GAP] < 0.05)
        varied[:, GAP] = np.where(opened, rng.random(len(varied)) * 0.6, varied[:, GAP])
        varied = clamp(varied)
        shapes = np.vstack([shapes, varied])
        scores = np.concatenate([scores, score(maps, varied, prior)])
        step *= 0.8
    order = np.argsort(scores, kind="stable")[:keep]
    return shapes[order], scores[order]


def mouth_patch(frame: Frame, left_eye: NDArray[np.float64], right_eye: NDArray[np.float64]) -> Patch:
    """The rectified patch of the lower face, given the eye centres [2] in pixels."""
    direction = right_eye - left_eye
    distance = max(float(np.hypot(direction[0], direction[1])), 1e-6)
    down = np.array([-direction[1], direction[0]]) * MOUTH_BELOW_EYES
    expected = (left_eye + right_eye) / 2 + down
    return cut_patch(frame, similarity(expected, direction, EYE_DISTANCE / distance, PATCH_MOUTH), PATCH_SIZE)


def mouth_maps(patch: Patch) -> Values:
    """[8, H, W] float32 evidence of a mouth patch."""
    return evidence(patch.pixels, _skin_region()).stack()


def _skin_region() -> NDArray[np.bool_]:
    width, height = PATCH_SIZE
    skin = np.zeros((height, width), dtype=np.bool_)
    skin[20:150, 30:146] = True
    skin[40:105, 45:131] = False  # where the mouth may be
    return skin


def find_mouth(
    frame: Frame,
    left_eye: NDArray[np.float64],
    right_eye: NDArray[np.float64],
    *,
    prior: MouthPrior | None = None,
    start: Values | None = None,
    count: int = 4000,
    rounds: int = 8,
    per_round: int = 600,
) -> tuple[MouthGeometry, Values]:
    """Find the mouth below two eyes.

    Args:
        left_eye, right_eye: [2] float64, eye centres in pixels, left and right of the image.
        prior: where key points see the mouth. start: shapes of an earlier frame.
    Returns:
        The mouth, and the surviving shapes [n, 8] to start the next frame from.
    """
    patch = mouth_patch(frame, left_eye, right_eye)
    maps = mouth_maps(patch)
    if start is None:
        # Columns of the patch should stand at right angles to the mouth: turn it once by the tilt that was found.
        rough, _ = search(maps, prior=prior, count=count, rounds=max(rounds - 3, 3), per_round=per_round)
        tilt = float(rough[0, TILT])
        if abs(tilt) > TURN_FROM:
            left_eye, right_eye = _turned(patch, rough[0], left_eye, right_eye)
            patch = mouth_patch(frame, left_eye, right_eye)
            maps = mouth_maps(patch)
            if prior is not None:
                prior = MouthPrior((*prior.mean[:3], prior.mean[3] - tilt), prior.deviation)
            rough = rough.copy()
            rough[:, TILT] -= tilt
        start = rough
    shapes, scores = search(maps, prior=prior, start=start, count=count, rounds=rounds, per_round=per_round)
    # The mean over what is almost as good is steadier from frame to frame than the single best.
    weight = np.exp(-(scores - scores[0]))[:, None]
    same_kind = (shapes[:, GAP : GAP + 1] > 0.04) == (shapes[0, GAP] > 0.04)
    weight = weight * same_kind
    shape = ((shapes * weight).sum(axis=0) / weight.sum())[None].astype(np.float32)
    return refine(frame, patch, shape, confidence(float(scores[0]))), shapes


def _turned(
    patch: Patch, shape: Values, left_eye: NDArray[np.float64], right_eye: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The eye centres, turned about the mouth by its tilt against them."""
    middle = np.array(PATCH_MOUTH) + shape[[X, Y]].astype(np.float64) * EYE_DISTANCE
    pivot = patch.into_picture(middle)
    angle = float(np.arctan(shape[TILT]))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    return pivot + turn @ (left_eye - pivot), pivot + turn @ (right_eye - pivot)


def confidence(best_score: float) -> float:
    """[0, 1] from the score of the best shape; calibrated with `WEIGHTS`."""
    return float(1 / (1 + np.exp((best_score - SCORE_EVEN) / SCORE_SLOPE)))


def place_prior(patch: Patch, left: NDArray[np.float64], right: NDArray[np.float64], trust: float = 1.0) -> MouthPrior:
    """What key points at the mouth corners (pixels) say about the shape; `trust` below 1 widens it."""
    ends = patch.into_patch(np.stack([left, right]))
    middle = (ends.mean(axis=0) - np.array(PATCH_MOUTH)) / EYE_DISTANCE
    span = (ends[1] - ends[0]) / (2 * EYE_DISTANCE)
    mean = (middle[0], middle[1], float(np.hypot(*span)), span[1] / max(float(span[0]), 1e-3))
    deviation = np.array([0.03, 0.045, 0.045, 0.04]) / trust
    return MouthPrior(tuple(float(v) for v in mean), tuple(float(v) for v in deviation))


def refine(frame: Frame, patch: Patch, shape: Values, confidence_: float) -> MouthGeometry:
    """Let the contours between the lips follow the picture, pixel by pixel, and return to picture coordinates."""
    c = curves(shape, COLUMNS)
    a = float(c.half_width[0, 0])
    along = np.stack([c.x[0], c.line[0]], axis=1).astype(np.float64)
    corners = patch.into_picture(along[[0, -1]])
    span = corners[1] - corners[0]
    half = float(np.hypot(span[0], span[1])) / 2
    axis = span / (2 * half)
    # The tilt shears columns in the patch, where picture columns are at right angles to the line between the corners;
    # both agree to the second order of a small tilt.
    scale = half / a
    upper_outer, upper_inner, lower_inner, lower_outer = (
        (curve[0] * scale).astype(np.float32) for curve in (c.upper_outer, c.upper_inner, c.lower_inner, c.lower_outer)
    )
    gap = float(shape[0, GAP])
    centre = corners.mean(axis=0)
    reach = 0.13 * half
    if gap < OPEN_MOUTH:
        middle = (upper_inner + lower_inner) / 2
        middle = _follow(frame, centre, axis, half, middle, reach, _dark_line)
        upper_inner = lower_inner = middle
    else:
        reach = min(reach, 0.4 * gap * half)
        upper_inner = _follow(frame, centre, axis, half, upper_inner, reach, _edge)
        lower_inner = _follow(frame, centre, axis, half, lower_inner, reach, _edge)
        lower_inner = np.maximum(lower_inner, upper_inner)
    thinnest = np.float32(0.08 * half) * (1 - COLUMNS**2)
    return MouthGeometry(
        centre=centre,
        axis=axis,
        half_width=half,
        upper_outer=np.minimum(upper_outer, upper_inner - thinnest),
        upper_inner=upper_inner,
        lower_inner=lower_inner,
        lower_outer=np.maximum(lower_outer, lower_inner + thinnest),
        confidence=confidence_,
    )


_ROWS = 33
"""Rows of the strip in which a contour is followed."""


def _follow(
    frame: Frame,
    centre: NDArray[np.float64],
    axis: NDArray[np.float64],
    half: float,
    curve: Values,
    reach: float,
    cost: Callable[[Values], Values],
) -> Values:
    """Move a contour by up to `reach` pixels to where the picture puts it: a cheapest path through a strip.

    Near the corners the contour stays where it was.
    """
    import cv2

    offsets = np.linspace(-1, 1, _ROWS, dtype=np.float32) * reach
    down = np.array([-axis[1], axis[0]])
    v = curve[None, :] + offsets[:, None]  # [R, K]
    u = np.broadcast_to(COLUMNS * np.float32(half), v.shape)
    xs = (centre[0] + u * axis[0] + v * down[0]).astype(np.float32)
    ys = (centre[1] + u * axis[1] + v * down[1]).astype(np.float32)
    # One strip sample should not be finer than the blur of its neighbourhood allows to see.
    x1, y1 = int(np.floor(xs.min())) - 3, int(np.floor(ys.min())) - 3
    x2, y2 = int(np.ceil(xs.max())) + 4, int(np.ceil(ys.max())) + 4
    x1, y1 = (int(np.clip(low, 0, size - 1)) for low, size in ((x1, frame.shape[1]), (y1, frame.shape[0])))
    x2, y2 = (
        int(np.clip(high, low + 1, size)) for high, low, size in ((x2, x1, frame.shape[1]), (y2, y1, frame.shape[0]))
    )
    crop = cv2.cvtColor(frame[y1:y2, x1:x2].astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    crop = cv2.GaussianBlur(crop, (0, 0), sigmaX=max(0.5, 0.02 * half))
    strip = cv2.remap(crop, xs - x1, ys - y1, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # [R, K, 3]
    price = cost(np.asarray(strip, np.float32))
    price = price / (float(price.std()) + 1e-3)
    price = price + 0.8 * (offsets[:, None] / reach) ** 2
    path = cheapest_paths(price[None], bend=0.35, steps=3)[0]
    moved = offsets[path]
    moved = cv2.GaussianBlur(moved[None, :], (0, 0), sigmaX=1.5, borderType=cv2.BORDER_REPLICATE)[0]
    hold = np.clip((1 - np.abs(COLUMNS)) / 0.15, 0, 1)
    followed: Values = (curve + moved * hold).astype(np.float32)
    return followed


def _dark_line(strip: Values) -> Values:
    """Low where a row is darker than what lies above and below."""
    lightness = strip[..., 0]
    rows = len(lightness)
    best = np.full_like(lightness, -np.inf)
    for h in (3, 6, 10):
        up = lightness[np.maximum(np.arange(rows) - h, 0)]
        down = lightness[np.minimum(np.arange(rows) + h, rows - 1)]
        best = np.maximum(best, np.minimum(up, down) - lightness)
    cost: Values = 0.3 * lightness - best
    return cost


def _edge(strip: Values) -> Values:
    """Low where colour changes from above to below."""
    rows = len(strip)
    total = np.zeros(strip.shape[:2], np.float32)
    for h in (1, 2, 4):
        up = strip[np.maximum(np.arange(rows) - h, 0)]
        down = strip[np.minimum(np.arange(rows) + h, rows - 1)]
        total -= np.sqrt(((down - up) ** 2).sum(axis=-1))
    return total


CHIN_AVERAGE = 0.72
"""Eye distances from the middle of the mouth to the tip of the chin."""
CHIN_BELOW_LIP = 0.32
"""At least, from the lower border of the lower lip: an open mouth takes its chin along."""
SIDE_AVERAGE = 0.80
"""Distance from the middle of the mouth to the outline of the face, eye distances, where the picture shows none."""


def face_sides(frame: Frame, mouth: MouthGeometry, eye_distance: float) -> tuple[float, float]:
    """Pixels from the middle of the mouth to where the cheek ends on the left and on the right of the image.

    Looks along three rows for the first lasting departure from the colour of the cheek next to the mouth.
    """
    import cv2

    d = eye_distance
    steps = np.linspace(0, 1.1, 56)
    first = mouth.half_width / d + 0.10
    sides = []
    for sign in (-1.0, 1.0):
        found = []
        for lift in (-0.10, 0.0, 0.10, 0.2):
            x = sign * (first + steps) * d
            points = mouth.centre + x[:, None] * mouth.axis + lift * d * mouth.down
            xs, ys = (points[:, i].astype(np.float32)[None] for i in (0, 1))
            row = cv2.remap(frame, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            lab = cv2.cvtColor(row.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)[0]
            lab = cv2.GaussianBlur(lab[None], (0, 0), sigmaX=1.0, sigmaY=0.01)[0]
            skin = np.median(lab[:6], axis=0)
            apart = np.sqrt(((lab - skin) ** 2 * np.array([0.6, 1.5, 1.0])).sum(axis=1))
            away = apart > 13 + 0.12 * float(skin[0])
            lasting = away & np.roll(away, -1) & np.roll(away, -2)
            lasting[-2:] = False
            found.append(first + steps[int(lasting.argmax())] if lasting.any() else SIDE_AVERAGE)
        side = float(np.median(found)) - 0.03
        sides.append(float(np.clip(side, mouth.half_width / d + 0.12, SIDE_AVERAGE)) * d)
    return sides[0], sides[1]
