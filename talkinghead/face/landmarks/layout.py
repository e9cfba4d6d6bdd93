"""A drawn standard face in the numbering of the 110-point landmarks, and placing it on a detected face.

For users without the landmark network: five key points or a face box give a usable crop square. The numbers:

    0..32 contour, left temple to chin (16) to right temple     33..50 brows      51..54 bridge of the nose, upwards
    55..65 nose      66..77, 78..89 eyes      90..101 lips outside, 102..109 lips inside

Units are distances between the eyes, origin between them, y downwards; left and right of the image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray

EYE_Y, MOUTH_Y, NOSE_Y, CHIN_Y = 0.0, 1.10, 0.66, 1.93
HALF_WIDTH = 1.186
"""Of the face, ear to ear: puts the points 1 and 31 at 1.18, where the landmark network's mean face has them."""
BRIDGE_Y = 0.34
"""Height of the point where the crop square begins; also that of the mean face."""

EYES_IN_BOX = (0.5, 0.4)
"""Middle between the eyes in the box of a detector, over its width and height; mean of 28 portraits."""
EYE_DISTANCE_IN_BOX = 0.475
"""Distance between the eyes over the width of the box; of a face seen from the front."""


def _ring(centre: tuple[float, float], radius_x: float, radius_y: float, count: int) -> list[tuple[float, float]]:
    """Points around an ellipse, from the left over the top."""
    turn = np.pi + np.arange(count) * 2 * np.pi / count
    return [(centre[0] + radius_x * np.cos(t), centre[1] + radius_y * np.sin(t)) for t in turn]


@lru_cache(maxsize=1)
def standard_face() -> NDArray[np.float64]:
    """[110, 2] points of the standard face."""
    points: list[tuple[float, float]] = []
    for t in np.linspace(0, np.pi, 33):  # contour
        x = -HALF_WIDTH * np.sign(np.cos(t)) * abs(np.cos(t)) ** 0.55
        points.append((x, -0.04 + (CHIN_Y + 0.04) * np.sin(t) ** 1.31))
    for side in (-1, 1):  # brows
        xs = np.linspace(-0.75, -0.23, 5) if side < 0 else np.linspace(0.75, 0.23, 5)
        upper = [(float(x), -0.36 - 0.05 * float(np.cos((abs(x) - 0.5) * 6))) for x in xs]
        lower = [(x, y + 0.12) for x, y in reversed(upper[1:])]
        points += [*upper, *lower]
    points += [(0.0, y) for y in (0.57, BRIDGE_Y, 0.14, -0.06)]  # 51..54
    points += [(-0.16, 0.0), (-0.22, 0.46), (-0.32, 0.63), (-0.24, 0.74), (-0.15, 0.70), (0.0, 0.78)]
    points += [(0.15, 0.70), (0.24, 0.74), (0.32, 0.63), (0.22, 0.46), (0.16, 0.0)]
    for x in (-0.5, 0.5):  # eyes: outline, then the iris
        points += [*_ring((x, EYE_Y), 0.2, 0.07, 8), *_ring((x, EYE_Y), 0.09, 0.05, 4)]
    points += _ring((0.0, MOUTH_Y + 0.02), 0.40, 0.19, 12)
    points += _ring((0.0, MOUTH_Y + 0.02), 0.33, 0.05, 8)
    return np.array(points, np.float64)


def place_on_key_points(key_points: FloatArray, box_xyxy: Any) -> FloatArray:
    """The standard face on five key points and the box around them.

    Height and roll are those of the eyes. Each measure of size fails somewhere: the distance between the eyes on faces
    turned aside, eyes to mouth on smiles, the box on tilted heads; so the middle one of the three counts. Sideways the
    box decides, for the contour of a turned face lies in the middle of its box, not around the eyes.

    Args:
        key_points: [5, 2] pixels: eyes, nose, corners of the mouth.
        box_xyxy: of the detector.
    Returns:
        [110, 2] float32, pixels.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    left, right, _, *corners = (complex(x, y) for x, y in np.asarray(key_points, np.float64).tolist())
    eyes, mouth, box = (left + right) / 2, sum(corners) / 2, complex(x1 + x2, y1 + y2) / 2
    if left == right:
        return place_in_box(box_xyxy)
    along = (right - left) / abs(right - left)  # unit vector from eye to eye, as a complex number
    sizes = (abs(right - left), abs(mouth - eyes) / MOUTH_Y, EYE_DISTANCE_IN_BOX * (x2 - x1))
    origin = eyes + along * ((box - eyes) * along.conjugate()).real
    face = standard_face()
    placed = origin + along * sorted(sizes)[1] * (face[:, 0] + 1j * face[:, 1])
    pixels: FloatArray = np.stack([placed.real, placed.imag], axis=1).astype(np.float32)
    return pixels


def place_in_box(box_xyxy: Any) -> FloatArray:
    """The standard face in the box of a detector: [110, 2] float32, pixels."""
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    origin = np.array([x1 + EYES_IN_BOX[0] * (x2 - x1), y1 + EYES_IN_BOX[1] * (y2 - y1)])
    pixels: FloatArray = (standard_face() * (EYE_DISTANCE_IN_BOX * (x2 - x1)) + origin).astype(np.float32)
    return pixels


def key_points_of(points: Any) -> FloatArray:
    """The five points of `KEY_POINT_NAMES` from 110 landmarks: [5, 2] float32, in their unit."""
    flat = np.asarray(points, np.float64)[:, :2]
    left_eye, right_eye, nose = flat[66:74].mean(axis=0), flat[78:86].mean(axis=0), flat[[51, 60]].mean(axis=0)
    return np.stack([left_eye, right_eye, nose, flat[90], flat[96]]).astype(np.float32)


def rounded(points: FloatArray) -> IntArray:
    """Points as whole pixels."""
    return np.rint(points).astype(np.int32)
