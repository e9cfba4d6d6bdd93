"""Where the opening of a mouth ends at its corners, by what the picture shows.

Landmarks of the corners lie where lips end, which is outside of where they part, and those of some networks lie on the
teeth beside it. Behind open lips it is dark next to the corners: the opening ends where that dark ends.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.families.viseme.geometry import COLUMNS, LUMA, MouthGeometry, Values
from talkinghead.families.viseme.rectify import cut_patch, similarity

HALF_WIDTH = 40
"""Pixels of half a mouth in the patch that is looked at."""
SIDE, HEIGHT = 1.3, 0.5
"""Half of the patch, half widths, as all lengths here."""
FROM, KNOWN = 0.55, 0.85
"""Between these columns the contours tell what is inside and what is lip."""
INNERMOST, OUTERMOST = 0.8, 1.14
"""Where the dark may end."""
MOST_INWARDS = 0.04
"""A corner moves inwards by no more: lips beyond an opening belong to the mouth, and shut with it."""
LEAST_CONTRAST = 0.3
"""How much darker it is inside than around it, a share of the light there: else no end is seen."""
LEAST_SEEN = 8
"""Pixels of the inside, or nothing is known of it."""
FROM_GAP, TO_GAP = 0.12, 0.3
"""Openings up to the first leave corners where they are, from the second on these lie where the dark ends: lips that
are barely parted may touch before the corner."""
KEPT, STRAIGHT = 0.9, 0.78
"""Contours are kept up to the first share of the way to the corner; from the second on, the opening reaches at least to
the straight lines to it."""


def corners_seen(frame: Frame, mouth: MouthGeometry) -> MouthGeometry:
    """The mouth with its corners where its opening ends; itself where that cannot be seen."""
    share = float(np.clip((mouth.gap - FROM_GAP) / (TO_GAP - FROM_GAP), 0, 1))
    if share == 0:
        return mouth
    scale = HALF_WIDTH / mouth.half_width
    side, height = round(SIDE * HALF_WIDTH), round(HEIGHT * HALF_WIDTH)
    to_patch = similarity(mouth.centre, mouth.axis, scale, (float(side), float(height)))
    light = _light(cut_patch(frame, to_patch, (2 * side + 1, 2 * height + 1)).pixels)
    curves = (mouth.upper_outer, mouth.upper_inner, mouth.lower_inner, mouth.lower_outer)
    beside = round(FROM * HALF_WIDTH)
    left = _end(light[:, side - beside :: -1], tuple(curve[::-1] * scale for curve in curves))
    right = _end(light[:, side + beside :], tuple(curve * scale for curve in curves))
    if left is None and right is None:
        return mouth
    ends = np.array([[-1.0, 0.0], [1.0, 0.0]])
    for row, (sign, end) in enumerate(((-1, left), (1, right))):
        if end is not None:
            ends[row] += share * (np.array([sign * end[0], end[1]]) - ends[row])
    return _reaching(moved_corners(mouth, ends * mouth.half_width), (left is not None, right is not None), share)


def _light(pixels: Frame) -> Values:
    import cv2

    return np.asarray(cv2.GaussianBlur((pixels @ LUMA).astype(np.float32), (0, 0), sigmaX=0.8), np.float32)


def _end(light: Values, curves: tuple[Values, ...]) -> tuple[float, float] | None:
    """Where the dark ends at the right corner, half widths outwards and below; None where none is seen.

    Args:
        light: [rows, columns] columns from `FROM` outwards; the middle row is the line between the corners.
        curves: [4, 41] upper outer, upper inner, lower inner, lower outer, pixels of the patch.
    """
    import cv2

    height = len(light) // 2
    x = np.arange(light.shape[1], dtype=np.float32) + round(FROM * HALF_WIDTH)
    y = np.arange(len(light), dtype=np.float32)[:, None] - height
    u = x / HALF_WIDTH
    over, upper, lower, under = (np.interp(u, COLUMNS, curve) for curve in curves)
    known = u < KNOWN
    gap = lower - upper
    inside = (y > upper + 0.15 * gap) & (y < lower - 0.15 * gap) & known & (gap > 1.5)
    if int(inside.sum()) < LEAST_SEEN:
        return None
    dark = float(np.percentile(light[inside], 20))
    lips = [(y < upper - 1) & (y > np.minimum(over, upper - 3)), (y > lower + 1) & (y < np.maximum(under, lower + 3))]
    skin = (u > 1.15) & (np.abs(y) < 0.2 * HALF_WIDTH)
    about = [light[part] for part in (lips[0] & known, lips[1] & known, skin)]
    around = min(float(np.median(seen)) for seen in about if len(seen))
    if dark > (1 - LEAST_CONTRAST) * around:
        return None
    mask = (light < (dark + around) / 2) | inside
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    numbers = np.bincount(labels[inside], minlength=2)
    numbers[0] = 0
    rows, columns = np.nonzero(labels == numbers.argmax())
    last = int(columns.max())
    tip = columns >= last - 1
    found = float(x[last] + 0.5) / HALF_WIDTH, float(y[rows[tip], 0].mean()) / HALF_WIDTH
    return (max(found[0], 1 - MOST_INWARDS), found[1]) if INNERMOST <= found[0] <= OUTERMOST else None


def moved_corners(mouth: MouthGeometry, ends: NDArray[np.float64]) -> MouthGeometry:
    """The same contours between other corners.

    Args:
        ends: [2, 2] the left and the right corner, pixels along and below the line between the old ones.
    """
    span = ends[1] - ends[0]
    half = float(np.hypot(*span)) / 2
    along, middle = span / (2 * half), ends.mean(axis=0)
    below = np.array([-along[1], along[0]])
    kept = (COLUMNS * mouth.half_width > KEPT * ends[0, 0]) & (COLUMNS * mouth.half_width < KEPT * ends[1, 0])
    kept &= np.abs(COLUMNS) < KEPT + 0.01

    def moved(curve: Values) -> Values:
        points = np.stack([COLUMNS * mouth.half_width, curve], axis=1)[kept]
        offset = np.concatenate([ends[:1], points, ends[1:]]) - middle
        heights: Values = np.interp(COLUMNS * half, offset @ along, offset @ below)
        return heights.astype(np.float32)

    axis = along[0] * mouth.axis + along[1] * mouth.down
    upper, lower = moved(mouth.upper_inner), moved(mouth.lower_inner)
    return replace(
        mouth,
        centre=mouth.centre + middle[0] * mouth.axis + middle[1] * mouth.down,
        axis=axis,
        half_width=half,
        upper_outer=np.minimum(moved(mouth.upper_outer), upper),
        upper_inner=upper,
        lower_inner=lower,
        lower_outer=np.maximum(moved(mouth.lower_outer), lower),
    )


def _reaching(mouth: MouthGeometry, seen: tuple[bool, bool], share: float) -> MouthGeometry:
    """Without the pinch that landmarks of inner corners make in the opening before the corners that were seen."""
    sides = np.where(COLUMNS < 0, seen[0], seen[1]) * (np.abs(COLUMNS) > STRAIGHT)
    toward = (1 - np.abs(COLUMNS)) / (1 - STRAIGHT)

    def chord(curve: Values) -> Values:
        left, right = np.interp([-STRAIGHT, STRAIGHT], COLUMNS, curve)
        straight: Values = np.where(COLUMNS < 0, left, right) * toward
        return straight

    upper, lower = mouth.upper_inner, mouth.lower_inner
    upper = upper + share * sides * np.minimum(chord(upper) - upper, 0)
    lower = lower + share * sides * np.maximum(chord(lower) - lower, 0)
    return replace(
        mouth,
        upper_outer=np.minimum(mouth.upper_outer, upper).astype(np.float32),
        upper_inner=upper.astype(np.float32),
        lower_inner=lower.astype(np.float32),
        lower_outer=np.maximum(mouth.lower_outer, lower).astype(np.float32),
    )
