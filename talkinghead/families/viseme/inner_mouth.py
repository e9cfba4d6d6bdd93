"""Take away what an open source shows between its lips, so that nothing of it travels with them.

What is taken is the opening that the contours tell, a little more at its edges, and next to it whatever looks like no
lip: teeth of which the contour cut off a part, and the dark of the corners. Lips grow over the hole from all sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.families.viseme.geometry import COLUMNS, FaceGeometry, MouthGeometry, Values

FILL_HALF_WIDTH = 32.0
"""Pixels of half a mouth in the picture in which the hole is filled."""
EDGE = 0.05
"""Taken from the lips at the edge of the opening, half widths, and at most this share of a lip:"""
EDGE_OF_LIP = 0.35
NEAR = 0.55
"""Share of a lip next to the opening in which what looks like no lip is taken."""
NEAR_AT_CORNERS = 0.09
"""The least height of that, half widths: lips end at the corners, and the contours are least sure there."""
BEYOND = 1.12
"""How far beyond the corners it reaches, half widths."""
LIGHTER, PALER, DARKER = 0.16, 0.3, 0.3
"""Tooth is what is by this share lighter than the lips and by that share less red; the dark inside is by that share
darker. CIE Lab."""
LEAST_RED = 8.0
"""Lips count as at least so red; lips of grey pictures are not."""


def without_inside(frame: Frame, face: FaceGeometry) -> Frame:
    """A copy of the frame in which lips cover the opening of the mouth; the frame itself where there is none."""
    import cv2

    mouth = face.mouth
    if not mouth.is_open:
        return frame
    scale = min(1.0, FILL_HALF_WIDTH / mouth.half_width)
    reach = 1.25 * mouth.half_width
    top = float(mouth.upper_outer.min()) - 0.2 * mouth.half_width
    bottom = float(mouth.lower_outer.max()) + 0.2 * mouth.half_width
    box = _box(frame, mouth, reach, top, bottom)
    if box is None:
        return frame
    (x1, y1), (x2, y2) = box
    crop = np.ascontiguousarray(frame[y1:y2, x1:x2])
    size = (max(2, round((x2 - x1) * scale)), max(2, round((y2 - y1) * scale)))
    small = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else crop
    gx, gy = np.meshgrid(
        x1 + (np.arange(size[0]) + 0.5) * (x2 - x1) / size[0] - 0.5,
        y1 + (np.arange(size[1]) + 0.5) * (y2 - y1) / size[1] - 0.5,
    )
    offset = np.stack([gx, gy], axis=-1) - mouth.centre
    hole = _hole(small, mouth, (offset @ mouth.axis) / mouth.half_width, offset @ mouth.down)
    if not hole.any():
        return frame
    filled = cv2.inpaint(small, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    weight = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), sigmaX=0.7)
    if scale < 1:
        filled = cv2.resize(filled, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        weight = cv2.resize(weight, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    mixed = crop + (filled.astype(np.float32) - crop) * np.minimum(2 * weight, 1)[..., None]
    result = frame.copy()
    result[y1:y2, x1:x2] = np.rint(mixed).astype(np.uint8)
    return result


def _box(
    frame: Frame, mouth: MouthGeometry, reach: float, top: float, bottom: float
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Pixels around the lips, clipped to the frame; None where they lie outside."""
    corners = np.array([mouth.centre + x * mouth.axis + y * mouth.down for x in (-reach, reach) for y in (top, bottom)])
    limit = np.array([frame.shape[1], frame.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0)), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, limit).astype(int)
    if (high - low).min() < 4:
        return None
    return (int(low[0]), int(low[1])), (int(high[0]), int(high[1]))


def _hole(picture: Frame, mouth: MouthGeometry, u: Values, y: Values) -> NDArray[np.bool_]:
    """[h, w] pixels that are to be covered.

    Args:
        u, y: [h, w] half widths along the line between the corners, and pixels of the frame below it.
    """
    import cv2

    upper, lower, upper_outer, lower_outer = (
        np.interp(u, COLUMNS, curve)
        for curve in (mouth.upper_inner, mouth.lower_inner, mouth.upper_outer, mouth.lower_outer)
    )
    gap = lower - upper
    parted = np.clip(gap / (0.04 * mouth.half_width), 0, 1)
    edge = EDGE * mouth.half_width + 0.7
    above = np.minimum(edge, EDGE_OF_LIP * (upper - upper_outer)) * parted
    below = np.minimum(edge, EDGE_OF_LIP * (lower_outer - lower)) * parted
    inside = np.abs(u) < 1
    opening = inside & (y > upper - above) & (y < lower + below) & (gap > 0)

    lab = cv2.cvtColor(picture.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    lips = (np.abs(u) < 0.6) & (
        ((y > lower + 0.35 * (lower_outer - lower)) & (y < lower + 0.8 * (lower_outer - lower)))
        | ((y > upper_outer + 0.2 * (upper - upper_outer)) & (y < upper_outer + 0.6 * (upper - upper_outer)))
    )
    if not lips.any():
        return opening
    lightness, red, _ = np.median(lab[lips], axis=0)
    paler = lab[..., 1] < red - PALER * max(float(red), LEAST_RED)
    coloured = float(red) > LEAST_RED / 2
    tooth = (lab[..., 0] > (1 + LIGHTER) * lightness) & (paler if coloured else True)
    dark = lab[..., 0] < (1 - DARKER) * lightness
    least = NEAR_AT_CORNERS * mouth.half_width
    near = (y > upper - np.maximum(NEAR * (upper - upper_outer), least)) & (np.abs(u) < BEYOND)
    near &= y < lower + np.maximum(NEAR * (lower_outer - lower), least)
    odd = near & (tooth | dark)
    # Only what touches the opening: a highlight in the middle of a lip stays.
    grown = cv2.dilate(opening.astype(np.uint8), np.ones((3, 3), np.uint8))
    count, labels = cv2.connectedComponents((odd | (grown > 0)).astype(np.uint8))
    touching = np.zeros(count, np.bool_)
    touching[np.unique(labels[opening])] = True
    touching[0] = False
    taken: NDArray[np.bool_] = opening | (touching[labels] & odd)
    return taken
