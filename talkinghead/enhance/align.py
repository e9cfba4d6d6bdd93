"""The aligned crop that face restoration networks see, and the way back into the frame. Pure functions.

Five points of the face are brought to the places that they have in the 512-pixel crops of FFHQ by a turn, a scale and a
shift. The published programs take those that the least median of squares gives, which follows two of the five points
and changes its mind about which two; here all five count (least squares), so that the crop does not jump. Points that
fit exactly give the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.face.crop import Mask, rounded_mask

SIDE = 512
"""Of the crop, pixels."""
TEMPLATE: NDArray[np.float64] = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""[5, 2] where the points of `KEY_POINT_NAMES` lie in the crop; source: facexlib, `face_restoration_helper.py`."""
EDGE = SIDE // 20
"""Of the whole face's mask, as published: a border twice as wide is cut off, and what is left is blurred over it."""
LOWER_BOX = (112, 256, 400, 492)
"""(x1, y1, x2, y2) in the crop: from the tip of the nose to below the chin, from cheek to cheek."""
LOWER_RADIUS, LOWER_FEATHER = 112.0, 56.0
SHRINK_FROM = 1.5
"""From this factor on a picture is averaged before it is made smaller."""

Matrix = NDArray[np.float64]
"""[2, 3], pixels of the frame to pixels of the crop."""


def to_template(points: NDArray[Any]) -> Matrix:
    """The turn, scale and shift that brings five points nearest to the template, by least squares.

    Args:
        points: [5, 2] in the order of `KEY_POINT_NAMES`, pixels of the frame.
    Raises:
        ValueError: they are one point, or not finite.
    Source: Umeyama 1991, in two dimensions, as complex numbers.
    """
    source, target = (np.asarray(xy, np.float64) @ np.array([1, 1j]) for xy in (points, TEMPLATE))
    around, aim = source - source.mean(), target - target.mean()
    spread = float(np.sum(np.abs(around) ** 2))
    if not np.isfinite(spread) or spread < 1e-6:
        raise ValueError("the five points of a face are one point, or not finite")
    turn = complex(np.sum(around.conj() * aim) / spread)
    shift = complex(target.mean() - turn * source.mean())
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def scale_of(matrix: Matrix) -> float:
    """Pixels of the crop per pixel of the frame."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def crop(frame: Frame, matrix: Matrix) -> Frame:
    """The aligned crop, [SIDE, SIDE, 3] uint8; beyond the frame it is mirrored.

    Bilinear, as published; a face that is larger than the crop is averaged first.
    """
    scale = scale_of(matrix)
    if scale < 1 / SHRINK_FROM:
        height, width = frame.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = _after_resizing(matrix, width / size[0], height / size[1])
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=flags, borderMode=border), np.uint8)


def _after_resizing(matrix: Matrix, x: float, y: float) -> Matrix:
    """The matrix from a picture that was made smaller by these factors; middles of pixels stay where they are."""
    back = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    after: Matrix = matrix @ back
    return after


def put_back(frame: Frame, added: FloatArray, matrix: Matrix, corner: tuple[int, int] = (0, 0)) -> Frame:
    """A copy of the frame with something added to the aligned crop of it.

    Only what is added travels, so the frame keeps its own sharpness, and where nothing is added it stays as it is to
    the bit.

    Args:
        frame: RGB uint8.
        added: [h, w, 3] float32 in levels, to a part of the crop; 0 at the edges.
        matrix: as the crop was taken with.
        corner: (x, y) in the crop where the part begins.
    """
    to_part = matrix - np.array([[0, 0, corner[0]], [0, 0, corner[1]]])
    height, width = added.shape[:2]
    scale = scale_of(matrix)
    if scale > SHRINK_FROM:
        size = max(1, round(width / scale)), max(1, round(height / scale))
        added = np.asarray(cv2.resize(added, size, interpolation=cv2.INTER_AREA), np.float32)
        x, y = size[0] / width, size[1] / height
        to_part = np.array([[x], [y]]) * to_part + np.array([[0, 0, (x - 1) / 2], [0, 0, (y - 1) / 2]])
        width, height = size
    to_frame = cv2.invertAffineTransform(to_part)
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ to_frame.T
    limits = [frame.shape[1], frame.shape[0]]
    x1, y1 = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, limits)
    x2, y2 = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, limits)
    if x1 >= x2 or y1 >= y2:
        return frame
    to_region = to_frame - np.array([[0, 0, x1], [0, 0, y1]])
    moved = cv2.warpAffine(added, to_region, (int(x2 - x1), int(y2 - y1)), flags=cv2.INTER_LINEAR)
    finished = frame.copy()
    region = finished[y1:y2, x1:x2]
    region[...] = np.clip(np.rint(region + moved), 0, 255).astype(np.uint8)
    return finished


@lru_cache(maxsize=2)
def area_mask(area: str) -> Mask:
    """Where the crop is changed, [SIDE, SIDE] float32 in [0, 1], soft and 0 at the edges.

    Args:
        area: "face", the square of the published programs, or "lower", the face below the nose.
    """
    mask = np.zeros((SIDE, SIDE), np.float32)
    if area == "face":
        inner = slice(EDGE + 1, SIDE - EDGE - 1)
        mask[inner, inner] = 1
        mask = np.asarray(cv2.GaussianBlur(mask, (2 * EDGE + 1, 2 * EDGE + 1), 0), np.float32)
    else:
        x1, y1, x2, y2 = LOWER_BOX
        mask[y1:y2, x1:x2] = rounded_mask(x2 - x1, y2 - y1, LOWER_RADIUS, LOWER_FEATHER)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=2)
def area_part(area: str) -> tuple[slice, slice]:
    """The rows and columns of the crop outside of which `area_mask` is 0."""
    mask = area_mask(area)
    rows, columns = (np.flatnonzero(mask.max(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
