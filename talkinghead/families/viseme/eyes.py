"""Where the lids are: a family of eye shapes scored by what the picture shows, as for the mouth in `lips`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.families.viseme.geometry import COLUMNS, EyeGeometry, Values
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

EYE_DISTANCE = 120.0
"""Patch pixels between the eye centres."""
PATCH_SIZE = (112, 88)
PATCH_EYE = (56.0, 48.0)
"""Where the anchor of the eye lies in the patch."""

NUM_PARAMETERS = 7
X, Y, HALF_WIDTH, TILT, UPPER, LOWER, GAZE = range(NUM_PARAMETERS)
"""Parameters of a shape. X, Y: middle between the corners, eye distances from the anchor. HALF_WIDTH: eye distances.
TILT: slope from the left to the right corner. UPPER, LOWER: height of the lids over the line between the corners, in
half widths. GAZE: of the iris from the middle, in half widths."""

_MEAN = np.array([0.0, 0.0, 0.215, 0.0, 0.46, 0.24, 0.0], np.float32)
_SPREAD = np.array([0.045, 0.045, 0.022, 0.07, 0.11, 0.10, 0.14], np.float32)
_LOW = np.array([-0.2, -0.2, 0.13, -0.35, 0.03, 0.0, -0.5], np.float32)
_HIGH = np.array([0.2, 0.2, 0.32, 0.35, 0.95, 0.6, 0.5], np.float32)

IRIS_RADIUS = 0.44
"""In half widths of the eye."""
SCORE_EVEN = -8.5
SCORE_SLOPE = 2.0

_U = np.linspace(-0.9, 0.9, 13, dtype=np.float32)
_DISC = np.array([[x, y] for x in (-0.6, 0.0, 0.6) for y in (-0.6, 0.0, 0.6) if x * x + y * y < 0.8], np.float32)

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "lid dark": -0.98,
        "lash dark": -0.43,
        "lid darkness": -1.2,
        "lid against skin above": 0.14,
        "lid slope": -3.53,
        "lash slope": 2.84,
        "inside slope": 0.0,
        "rim slope": 1.03,
        "rim against skin below": 2.99,
        "rim dark": -1.41,
        "skin above plain": -0.24,
        "skin below plain": 2.04,
        "skin above dark": -1.08,
        "skin below dark": 2.92,
        "iris dark": -4.22,
        "iris dark, worst": -0.05,
        "iris against white": -1.64,
        "white grey": -0.57,
        "white pale": -0.29,
        "white dark": -1.31,
        "past corners dark": -0.04,
        "past corners lined": -0.65,
        "white unlike skin": -1.12,
        "inside unlike skin above": -2.24,
        "open": -0.07,
        "off x": -0.0,
        "off y": 0.18,
        "odd width": 0.02,
        "tilted": -0.01,
        "odd upper": 0.09,
        "odd lower": 0.24,
        "odd gaze": 0.06,
    }
)
"""Evidence and its weight; the score of a shape is the sum, and exp(-score) its relative probability."""


def upper_profile(u: Values) -> Values:
    """Height of the upper lid between the corners, 1 in the middle."""
    profile: Values = (1 - np.abs(u) ** 2.4).astype(np.float32)
    return profile


def lower_profile(u: Values) -> Values:
    profile: Values = (1 - u**2).astype(np.float32)
    return profile


def _mean(values: Values) -> Values:
    """As `values.mean(axis=-1)`, in a third of the time for such short rows."""
    result: Values = np.add.reduce(values, axis=-1) / values.shape[-1]
    return result


def measure(maps: Values, shapes: Values) -> dict[str, Values]:
    """Evidence for each of the shapes [N, 7]; name -> [N] float32."""
    height, width = maps.shape[1:]
    planes = maps.reshape(len(maps), -1)
    column = [shapes[:, i : i + 1] for i in range(NUM_PARAMETERS)]
    half = column[HALF_WIDTH] * EYE_DISTANCE

    def sample(u: Values, v: Values) -> Values:
        """At (u, v) in half widths of the eye."""
        x = PATCH_EYE[0] + column[X] * EYE_DISTANCE + u * half
        y = PATCH_EYE[1] + column[Y] * EYE_DISTANCE + (u * column[TILT] + v) * half
        picked: Values = np.take(planes, nearest(y, height) * width + nearest(x, width), axis=1)
        return picked

    upper, lower = -column[UPPER] * upper_profile(_U), column[LOWER] * lower_profile(_U)
    lid = sample(_U, upper)
    lash = sample(_U, upper - 0.10)
    skin_above = sample(_U, upper - 0.32)
    rim = sample(_U, lower)
    skin_below = sample(_U, lower + 0.28)
    just_inside = sample(_U, upper + 0.14)
    centre_v = (column[LOWER] - column[UPPER]) / 2 - 0.05
    iris = sample(column[GAZE] + IRIS_RADIUS * _DISC[:, 0], centre_v + IRIS_RADIUS * 0.7 * _DISC[:, 1])
    white_u = np.array([-0.72, -0.62, 0.62, 0.72], np.float32)
    white = sample(white_u, centre_v * 0.6 + 0 * white_u)
    left_past, right_past = (
        sample(np.full(1, -1.25, np.float32), 0 * half),
        sample(np.full(1, 1.25, np.float32), 0 * half),
    )
    z = (shapes - _MEAN) / _SPREAD
    open_ = np.minimum((shapes[:, UPPER] + shapes[:, LOWER]) / 0.7, 1.5)
    return {
        "lid dark": _mean(np.minimum(lid[VALLEY], 1)),
        "lash dark": _mean(np.minimum(lash[VALLEY], 1)),
        "lid darkness": _mean(lid[DARKNESS]),
        "lid against skin above": _mean(lid[DARKNESS]) - _mean(skin_above[DARKNESS]),
        "lid slope": _mean(lid[SLOPE]),
        "lash slope": _mean(lash[SLOPE]),
        "inside slope": _mean(just_inside[SLOPE]),
        "rim slope": _mean(rim[SLOPE]),
        "rim against skin below": _mean(rim[DARKNESS]) - _mean(skin_below[DARKNESS]),
        "rim dark": _mean(np.minimum(rim[VALLEY], 1)),
        "skin above plain": _mean(np.abs(skin_above[SLOPE])),
        "skin below plain": _mean(np.abs(skin_below[SLOPE])),
        "skin above dark": _mean(skin_above[DARKNESS]),
        "skin below dark": _mean(skin_below[DARKNESS]),
        "iris dark": _mean(iris[DARKNESS]),
        "iris dark, worst": iris[DARKNESS].min(axis=-1),
        "iris against white": _mean(iris[DARKNESS]) - _mean(white[DARKNESS]),
        "white grey": _mean(white[GREYNESS]),
        "white pale": _mean(white[REDNESS]),
        "white dark": _mean(white[DARKNESS]),
        "past corners dark": left_past[DARKNESS][:, 0] + right_past[DARKNESS][:, 0],
        "past corners lined": left_past[VALLEY][:, 0] + right_past[VALLEY][:, 0],
        "white unlike skin": np.minimum(
            _mean(np.sqrt(((white[COLOUR] - _mean(skin_below[COLOUR])[..., None]) ** 2).sum(axis=0))), 1
        ),
        "inside unlike skin above": np.minimum(
            _mean(np.sqrt(((just_inside[COLOUR] - skin_above[COLOUR]) ** 2).sum(axis=0))), 1
        ),
        "open": open_,
        "off x": z[:, X] ** 2,
        "off y": z[:, Y] ** 2,
        "odd width": z[:, HALF_WIDTH] ** 2,
        "tilted": z[:, TILT] ** 2,
        "odd upper": z[:, UPPER] ** 2,
        "odd lower": z[:, LOWER] ** 2,
        "odd gaze": z[:, GAZE] ** 2,
    }


def score(maps: Values, shapes: Values) -> Values:
    """[N] float32, lower is better."""
    total = np.zeros(len(shapes), np.float32)
    for name, values in measure(maps, shapes).items():
        total += np.float32(WEIGHTS[name]) * values
    return total


def clamp(shapes: Values) -> Values:
    return np.clip(shapes, _LOW, _HIGH).astype(np.float32)


def draw(count: int, rng: np.random.Generator) -> Values:
    """Random shapes [count, 7]."""
    return clamp((_MEAN + _SPREAD * rng.normal(size=(count, NUM_PARAMETERS)) * 1.4).astype(np.float32))


def search(maps: Values, *, count: int = 2500, rounds: int = 7, keep: int = 40, seed: int = 1) -> tuple[Values, Values]:
    """The best shapes [keep, 7] and their scores, best first."""
    rng = np.random.default_rng(seed)
    shapes = draw(count, rng)
    scores = score(maps, shapes)
    step = 0.5
    for _ in range(rounds):
        order = np.argsort(scores, kind="stable")[:keep]
        shapes, scores = shapes[order], scores[order]
        varied = np.repeat(shapes, max(1, 400 // len(shapes)), axis=0)
        change = _SPREAD * step * rng.normal(size=varied.shape) * (rng.random(varied.shape) < 0.5)
        varied = clamp(varied + change.astype(np.float32))
        shapes = np.vstack([shapes, varied])
        scores = np.concatenate([scores, score(maps, varied)])
        step *= 0.8
    order = np.argsort(scores, kind="stable")[:keep]
    return shapes[order], scores[order]


def eye_patch(frame: Frame, eye: NDArray[np.float64], axis: NDArray[np.float64], eye_distance: float) -> Patch:
    """The rectified patch around one eye."""
    return cut_patch(frame, similarity(eye, axis, EYE_DISTANCE / eye_distance, PATCH_EYE), PATCH_SIZE)


def eye_maps(patch: Patch) -> Values:
    """[8, H, W] float32 evidence of an eye patch."""
    width, height = PATCH_SIZE
    skin = np.zeros((height, width), dtype=np.bool_)
    skin[66:, 8:-8] = True  # below the eye
    return evidence(patch.pixels, skin, reach=(3, 5, 8)).stack()


def find_eye(
    frame: Frame,
    eye: NDArray[np.float64],
    axis: NDArray[np.float64],
    eye_distance: float,
    *,
    count: int = 2500,
    rounds: int = 7,
) -> EyeGeometry:
    """Find the lids around an eye centre [2] (pixels), given the direction of the line between the eyes."""
    patch = eye_patch(frame, eye, axis, eye_distance)
    shapes, scores = search(eye_maps(patch), count=count, rounds=rounds)
    weight = np.exp(-(scores - scores[0]))[:, None]
    shape = (shapes * weight).sum(axis=0) / weight.sum()
    half = float(shape[HALF_WIDTH]) * EYE_DISTANCE
    middle = np.array(PATCH_EYE) + shape[[X, Y]].astype(np.float64) * EYE_DISTANCE
    ends = np.stack([middle + side * half * np.array([1.0, float(shape[TILT])]) for side in (-1, 1)])
    corners = patch.into_picture(ends)
    span = corners[1] - corners[0]
    length = float(np.hypot(span[0], span[1]))
    return EyeGeometry(
        centre=corners.mean(axis=0),
        axis=span / length,
        half_width=length / 2,
        upper_lid=(-shape[UPPER] * upper_profile(COLUMNS) * length / 2).astype(np.float32),
        lower_lid=(shape[LOWER] * lower_profile(COLUMNS) * length / 2).astype(np.float32),
        confidence=float(1 / (1 + np.exp((float(scores[0]) - SCORE_EVEN) / SCORE_SLOPE))),
    )
