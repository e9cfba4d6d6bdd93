"""A person's upper teeth, taken from the frame that shows them best, to be shown wherever the mouth opens.

They are kept as a strip that follows their biting edge, so that they can be laid along the edge of any opening; like
the teeth that are drawn, they stay with the skull. Where no frame shows them well enough there is no strip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import LUMA, FaceGeometry, Values
from talkinghead.families.viseme.warp import NEUTRAL_HALF_WIDTH

SIDE = 0.8
"""Half of the strip's width, neutral half widths of the mouth, as all lengths here."""
ABOVE, BELOW = 0.30, 0.06
"""How far the strip reaches above and below the biting edge."""
PIXELS = 64
"""Of the strip in a neutral half width."""
LEAST_UNIT_PIXELS = 26.0
"""A neutral half width in the frame, below which teeth have too few pixels."""
LEAST_HEIGHT = 0.12
"""Of teeth that must be seen above their edge,"""
LEAST_COLUMNS = 0.8
"""in this share of the columns of the middle"""
MIDDLE = 0.42
"""to either side."""
LEAST_CONTRAST = 0.35
"""How much darker it is below the edge than above, a share of the light of the teeth: else no edge is seen."""
FROM_LIP = 0.06
"""Below the lip, where teeth are in no shade of it."""
MOST_BELOW = 0.06
"""Of the strip's last row that may look like teeth: a tongue or lower teeth behind them hide the edge."""
EDGE_BLUR = 0.07
"""Height over which that may happen; more is blur."""


@dataclass(frozen=True, eq=False)
class TeethStrip:
    """Upper teeth along their biting edge."""

    pixels: FloatArray
    """[rows, columns, 4] float32: RGB 0..255 and coverage 0..1; the first row lies `ABOVE` the edge, the last `BELOW`,
    columns go from -`SIDE` to +`SIDE`."""
    reach: tuple[float, float]
    """Between which teeth are seen, from the middle of the mouth."""
    light: float
    """Of the skin beside the mouth where they were taken, 0..255."""
    score: float
    """How well they are seen; to choose among frames."""


def skin_light(frame: Frame, face: FaceGeometry) -> float:
    """Light [0, 255] of the skin beside the mouth."""
    d = face.eye_distance
    grid = np.linspace(-0.1, 0.1, 5)
    x, y = (each.ravel() for each in np.meshgrid(grid, grid))
    places = np.concatenate([np.stack([x + side, y - 0.3], axis=1) for side in (-0.55, 0.0, 0.55)])
    places[len(x) : 2 * len(x), 1] += 0.75  # the chin
    points = face.mouth.points(*(d * places.T))
    limit = np.array([frame.shape[1], frame.shape[0]]) - 1
    column, row = np.clip(np.rint(points), 0, limit).astype(int).T
    return float(np.median(frame[row, column] @ LUMA))


def read_strip(frame: Frame, face: FaceGeometry) -> TeethStrip | None:
    """The upper teeth of a frame; None where they are not seen well enough."""
    mouth = face.mouth
    unit = NEUTRAL_HALF_WIDTH * face.eye_distance
    if not mouth.is_open or unit < LEAST_UNIT_PIXELS:
        return None
    across = np.linspace(-SIDE, SIDE, round(2 * SIDE * PIXELS) + 1)
    u = across * unit / mouth.half_width
    columns = np.linspace(-1, 1, len(mouth.upper_inner))
    lip, lower = (np.interp(u, columns, curve) / unit for curve in (mouth.upper_inner, mouth.lower_inner))
    rows = np.arange(0, max(0.2, float((lower - lip).max())), 1 / PIXELS)[:, None]
    seen = _sampled(frame, face, np.broadcast_to(across, (len(rows), len(across))), lip + rows)
    light = seen @ LUMA
    inside = (rows < lower - lip) & (np.abs(u) < 0.97)
    middle = np.abs(across) < MIDDLE
    # Teeth are what is light in the upper part of the opening; the edge is where light ends first.
    bright = float(np.percentile(light[inside & middle], 85)) if (inside & middle).any() else 0.0
    tooth = (light > (1 - LEAST_CONTRAST / 2) * bright) & inside
    first = np.where(tooth.any(axis=0), tooth.argmax(axis=0), 0)
    after = ~tooth & (np.arange(len(rows))[:, None] > first)
    end = np.where(after.any(axis=0), after.argmax(axis=0), len(rows))
    height = (end - first) / PIXELS
    good = tooth.any(axis=0) & (height > LEAST_HEIGHT) & (first / PIXELS < 0.1) & after.any(axis=0)
    if good[middle].mean() < LEAST_COLUMNS:
        return None
    edge = lip + end / PIXELS
    known = good & (np.abs(across) < 0.6)
    curvature, slope, level = np.polyfit(across[known], edge[known], 2)
    fitted = level + slope * across + curvature * across**2
    below = _sampled(frame, face, across, fitted + EDGE_BLUR) @ LUMA
    above = _sampled(frame, face, across, fitted - EDGE_BLUR) @ LUMA
    contrast = float(np.median(((above - below) / np.maximum(above, 1))[known & middle]))
    spread = float(np.std((edge - fitted)[known & middle]))
    if contrast < LEAST_CONTRAST or spread > 0.05 or abs(curvature) > 0.5 or abs(slope) > 0.3:
        return None
    # Above what is seen, the last of it goes on.
    t = np.arange(-ABOVE, BELOW + 1e-6, 1 / PIXELS)[:, None]
    y = np.maximum(fitted + t, np.minimum(lip + FROM_LIP, fitted - LEAST_HEIGHT / 2))
    reach = _reach(across, good)
    pixels = _covered(_sampled(frame, face, across, y), t, bright)
    last = pixels[-1, (across >= reach[0]) & (across <= reach[1]), 3]
    if float(last.mean()) > MOST_BELOW or reach[1] - reach[0] < 2 * MIDDLE * LEAST_COLUMNS:
        return None
    score = float(np.median(height[known])) * (reach[1] - reach[0]) * contrast
    return TeethStrip(pixels, reach, skin_light(frame, face), score)


def _covered(pixels: FloatArray, t: Values, bright: float) -> FloatArray:
    """Pixels with their coverage: what is dark at the edge is no tooth, but what is dark above it is."""
    import cv2

    light = cv2.GaussianBlur(pixels @ LUMA, (0, 0), sigmaX=0.7)
    coverage = np.where(t < -BELOW, 1, np.clip((light / bright - 0.45) / 0.25, 0, 1))
    return np.concatenate([pixels, coverage[..., None]], axis=-1).astype(np.float32)


def _reach(across: Values, good: NDArray[np.bool_]) -> tuple[float, float]:
    """Ends of the run of columns with teeth around the middle; gaps of two columns are none."""
    import cv2

    closed = cv2.morphologyEx(good[None].astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, 3), np.uint8))[0]
    count, labels = cv2.connectedComponents(closed[None])[:2]
    here = labels[0] == np.bincount(labels[0][np.abs(across) < MIDDLE], minlength=count)[1:].argmax() + 1
    run = across[here]
    return float(run[0]), float(run[-1])


def _sampled(frame: Frame, face: FaceGeometry, across: Values, below: Values) -> FloatArray:
    """Colours at places in neutral half widths from the middle of the mouth."""
    import cv2

    unit = NEUTRAL_HALF_WIDTH * face.eye_distance
    across, below = np.broadcast_arrays(across, below)
    points = face.mouth.points(unit * across, unit * below).reshape(-1, across.shape[-1], 2).astype(np.float32)
    colours = cv2.remap(frame, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    picked: FloatArray = colours.reshape(*across.shape, 3).astype(np.float32)
    return picked


def laid(strip: TeethStrip, x: Values, above: Values) -> tuple[Values, Values, Values]:
    """The strip along an edge.

    Args:
        x: [h, w] float32 from the middle of the mouth, above: how far above the biting edge; neutral half widths.
    Returns:
        Colour [h, w, 3], coverage [h, w], and how much the strip counts there [h, w]: 0 beyond the teeth that are seen.
    """
    import cv2

    column = ((x + np.float32(SIDE)) * np.float32(PIXELS)).astype(np.float32)
    row = ((np.float32(ABOVE) - above) * np.float32(PIXELS)).astype(np.float32)
    picked = cv2.remap(strip.pixels, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    pixels: FloatArray = np.asarray(picked, np.float32)
    left, right = (np.float32(each) for each in strip.reach)
    share = np.clip(np.minimum(x - left, right - x) / np.float32(0.08), 0, 1)
    coverage = np.where(above < -BELOW, np.float32(0), pixels[..., 3])
    return pixels[..., :3], coverage, share
