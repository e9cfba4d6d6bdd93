"""The 110 landmarks of `layout` from the points of the face mesh.

Each is the mesh's point that lies where the mean face of the landmark network has it, but for the contour: there the
mesh runs inside of that of the landmark network, and has points at other distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.face.landmarks.layout import HALF_WIDTH
from talkinghead.face.mesh.points import EYE_CORNERS, LEFT_BROW, LEFT_EYE, OUTLINE, RIGHT_BROW, RIGHT_EYE

CONTOUR_POINTS = 17
"""From a temple to the tip of the chin, both included, at equal distances along the contour."""
BEGIN = 0.33
"""Where the contour begins between the mesh's point above the first one and the next below."""
TEMPLES = (127, 356)
TEMPLE_HALF_WIDTH = 1.10
"""Half their distance, in distances between the eyes: median of 30 frames of five people."""
WIDEN = HALF_WIDTH / TEMPLE_HALF_WIDTH
BRIDGE = (1, 5, 197, 168)
NOSE = (193, 198, 64, 98, 97, 2, 326, 327, 294, 420, 417)
EYES = ((33, 160, 159, 157, 133, 153, 145, 163), (263, 387, 386, 384, 362, 380, 374, 390))
"""From the outer corner over the upper lid to the inner corner (the fifth), and back."""
LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 405, 17, 181, 91, 78, 81, 13, 311, 308, 402, 14, 178)
NUM_BROW = 9


def landmarks_110(points: NDArray[Any]) -> FloatArray:
    """The landmarks of a mesh.

    Args:
        points: [468 or 478, 2 or more], pixels.
    Returns:
        [110, 2] float32, pixels.
    """
    flat = points[:, :2].astype(np.float64)
    eyes = []
    for number, (ring, lids) in enumerate(zip(EYES, (LEFT_EYE, RIGHT_EYE), strict=True)):
        middle = flat[list(lids)].mean(axis=0)
        sides = [(flat[ring[0]] + middle) / 2, (flat[ring[4]] + middle) / 2]
        eyes += [flat[list(ring)], np.stack([middle, middle, *(sides if number == 0 else sides[::-1])])]
    inside = [*LEFT_BROW[:NUM_BROW], *RIGHT_BROW[:NUM_BROW], *BRIDGE, *NOSE]
    parts = [contour(flat), flat[inside], *eyes, flat[list(LIPS)]]
    return np.concatenate(parts).astype(np.float32)


def contour(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """[33, 2] from the left temple over the chin to the right one, widened to that of the landmark network."""
    left, right = (_even(flat[list(side)]) for side in sides())
    line = np.concatenate([left, right[-2::-1]])
    across = flat[EYE_CORNERS[1]] - flat[EYE_CORNERS[0]]
    axis = across / max(float(np.hypot(*across)), 1e-9)
    along = (line - flat[list(TEMPLES)].mean(axis=0)) @ axis
    widened: NDArray[np.float64] = line + (WIDEN - 1) * along[:, None] * axis
    return widened


def sides() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The mesh's points from each temple, one above the first landmark, down to the tip of the chin."""
    chin = OUTLINE.index(152)
    right = OUTLINE[OUTLINE.index(389) : chin + 1]
    left = OUTLINE[chin : OUTLINE.index(162) + 1][::-1]
    return left, right


def _even(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """[17, 2] at equal distances along a side."""
    line = np.concatenate([line[:1] + BEGIN * (line[1:2] - line[:1]), line[1:]])
    far = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0, far[-1], CONTOUR_POINTS)
    return np.stack([np.interp(at, far, line[:, 0]), np.interp(at, far, line[:, 1])], axis=1)
