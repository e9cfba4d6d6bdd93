"""Numbers of the mesh's points, by what they lie on. Left and right are those of the image.

They are those of MediaPipe's canonical face model; 468 to 477, the irises, are there in the newer network only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray

NUM_POINTS = 468
NUM_WITH_IRISES = 478

LIPS_OUTSIDE = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
)  # fmt: skip
"""From the left corner over the upper lip to the right corner (the 11th), and back below the lower lip."""
LIPS_INSIDE = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)  # fmt: skip
"""The same around the opening of the mouth."""
LEFT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"""From the outer corner over the upper lid to the inner corner (the ninth), and back along the lower lid."""
RIGHT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
"""Along its upper edge from outside, and back along the lower one."""
RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Of the face, from the middle of the forehead to the right, over the chin (the 19th), and back."""
LEFT_IRIS, RIGHT_IRIS = 468, 473
NOSE_TIP, CHIN, FOREHEAD = 4, 152, 10
MOUTH_CORNERS = (61, 291)
SHORT_CHIN = 0.028
"""Share of a face's height by which the network of 468 points ends it above that of 478 (50 frames of five people)."""
EYE_CORNERS = (33, 263)
"""The outer ones: the line between them is the tilt of the face."""


def key_points(points: NDArray[Any]) -> FloatArray:
    """The five points of `KEY_POINT_NAMES` from a mesh.

    Args:
        points: [468 or 478, 2 or more], pixels.
    Returns:
        [5, 2] float32: the middles of the eyes, not of the irises, which look about.
    """
    flat = points[:, :2]
    rows = [flat[list(LEFT_EYE)].mean(axis=0), flat[list(RIGHT_EYE)].mean(axis=0), flat[NOSE_TIP]]
    return np.stack([*rows, *flat[list(MOUTH_CORNERS)]]).astype(np.float32)


def face_box(points: NDArray[Any]) -> FloatArray:
    """(x1, y1, x2, y2) around the outline, float32: from the hairline to the chin, from cheek to cheek.

    Of the network of 468 points it is made longer by `SHORT_CHIN`, so that both networks frame a face alike.
    """
    outline = points[list(OUTLINE), :2]
    low, high = outline.min(axis=0), outline.max(axis=0)
    if len(points) == NUM_POINTS:
        high[1] += SHORT_CHIN * (high[1] - low[1])
    return np.concatenate([low, high]).astype(np.float32)


def mouth_opening(points: NDArray[Any]) -> float:
    """Gap between the lips in the middle, as a share of the distance between the outer corners of the eyes.

    About 0 where they touch. The corners of the eyes do not move with speech, those of the mouth do.
    """
    flat = points[:, :2].astype(np.float64)
    upper, lower = flat[[82, 13, 312]].mean(axis=0), flat[[87, 14, 317]].mean(axis=0)
    scale = float(np.hypot(*(flat[EYE_CORNERS[1]] - flat[EYE_CORNERS[0]])))
    return float(np.hypot(*(lower - upper))) / scale if scale > 0 else 0.0
