"""Cut a region out of a frame, put one back, blend borders. Pure functions on arrays.

Boxes are (x1, y1, x2, y2), half open, int32, shape [..., 4]: one box or many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray

Mask = NDArray[np.float32]
"""[h, w] float32 in [0, 1]: 0 keeps the frame, 1 shows the patch."""

HARD_EDGE = 1e-6
"""A softer border than this is none: dividing by it would overflow."""


def round_box(box_xyxy: ArrayLike) -> IntArray:
    """Edges to the nearest whole pixel, halves away from zero; [..., 4] float to [..., 4] int32.

    Raises:
        ValueError: NaN or infinite edges.
    """
    box = np.asarray(box_xyxy, np.float64)
    if not np.isfinite(box).all():
        raise ValueError("a box has an edge that is not finite")
    rounded = np.sign(box) * np.floor(np.abs(box) + 0.5)
    limits = np.iinfo(np.int32)
    whole: IntArray = np.clip(rounded, limits.min, limits.max).astype(np.int32)
    return whole


def clamp_box(box_xyxy: ArrayLike, width: int, height: int) -> IntArray:
    """Cut boxes to a frame of `width` x `height`; never empty: what lies outside becomes one edge pixel.

    Clamping again changes nothing. Returns [..., 4] int32, a copy.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a frame has at least one pixel, not {width}x{height}")
    box = np.asarray(box_xyxy).astype(np.int64)
    x1 = np.clip(box[..., 0], 0, width - 1)
    y1 = np.clip(box[..., 1], 0, height - 1)
    x2 = np.clip(box[..., 2], x1 + 1, width)
    y2 = np.clip(box[..., 3], y1 + 1, height)
    return np.stack([x1, y1, x2, y2], axis=-1).astype(np.int32)


def pad_box(box_xyxy: ArrayLike, padding: Sequence[float]) -> NDArray[Any]:
    """Move the edges outwards by (top, bottom, left, right) pixels; may leave the frame.

    Returns [..., 4], a copy, of the box's dtype (float where the padding is).
    """
    top, bottom, left, right = padding
    padded: NDArray[Any] = np.asarray(box_xyxy) + np.array([-left, -top, right, bottom])
    return padded


def crop(frame: NDArray[Any], box_xyxy: ArrayLike) -> NDArray[Any]:
    """The region of a box, a copy; [H, W, ...] to [y2 - y1, x2 - x1, ...].

    Raises:
        ValueError: the box is empty or leaves the frame.
    """
    x1, y1, x2, y2 = _inside(frame, box_xyxy)
    return frame[y1:y2, x1:x2].copy()


def paste(frame: NDArray[Any], patch: NDArray[Any], box_xyxy: ArrayLike, mask: Mask | None = None) -> NDArray[Any]:
    """A copy of the frame with the patch in the box, blended by the mask if there is one.

    Args:
        frame: [H, W, C].
        patch: [y2 - y1, x2 - x1, C], same dtype; resize it first if need be.
        mask: [y2 - y1, x2 - x1] float32 in [0, 1].
    Raises:
        ValueError: shapes or dtypes do not fit, or the box leaves the frame.
    """
    pasted = frame.copy()
    paste_into(pasted, patch, box_xyxy, mask)
    return pasted


def paste_into(frame: NDArray[Any], patch: NDArray[Any], box_xyxy: ArrayLike, mask: Mask | None = None) -> None:
    """`paste`, changing `frame` itself."""
    x1, y1, x2, y2 = _inside(frame, box_xyxy)
    region = frame[y1:y2, x1:x2]
    if patch.shape != region.shape or patch.dtype != frame.dtype:
        raise ValueError(
            f"a patch of {list(patch.shape)} {patch.dtype} does not fit a region of {list(region.shape)} {region.dtype}"
        )
    region[...] = patch if mask is None else blend(region, patch, mask)


def blend(frame: Frame, patch: Frame, mask: Mask) -> Frame:
    """frame + mask * (patch - frame), rounded to nearest; a mask of 0 or 1 keeps the pixels exactly.

    Args:
        frame, patch: [h, w, C] uint8.
        mask: [h, w] float32 in [0, 1].
    Raises:
        ValueError: shapes or dtypes differ.
    """
    if frame.shape != patch.shape or frame.dtype != np.uint8 or patch.dtype != np.uint8:
        raise ValueError(
            f"cannot blend {list(frame.shape)} {frame.dtype} with {list(patch.shape)} {patch.dtype}: "
            "both must be uint8 of one shape"
        )
    if mask.shape != frame.shape[:2]:
        raise ValueError(f"the mask is {list(mask.shape)}, the picture {list(frame.shape[:2])}")
    below = frame.astype(np.float32)
    mixed = below + mask.astype(np.float32)[..., None] * (patch.astype(np.float32) - below)
    blended: Frame = (mixed + np.float32(0.5)).astype(np.uint8)
    return blended


def ellipse_mask(width: int, height: int, feather: float = 0.15) -> Mask:
    """The largest ellipse of a rectangle, with a soft border that lies inside it.

    Args:
        feather: width of the border as a share of the radius, in [0, 1]; 0 gives a hard edge.
    Returns:
        [height, width] float32 in [0, 1]; 1 in the middle, 0 outside; symmetric.
    """
    _check_mask(width, height, feather)
    # From the middle, so that both halves are rounded alike: a narrow border multiplies the difference.
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) * (2.0 / width)
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) * (2.0 / height)
    radius = np.hypot(x[None, :], y[:, None])
    if feather < HARD_EDGE:
        return np.where(radius <= 1.0, np.float32(1), np.float32(0))
    return _smoothstep((1.0 - radius) / np.float32(feather))


def rounded_mask(width: int, height: int, radius: float, feather: float) -> Mask:
    """A rectangle with round corners and a soft border that lies inside it.

    Args:
        radius: of the corners, pixels; at most half the shorter side is used.
        feather: width of the border, pixels; 0 gives a hard edge.
    Returns:
        [height, width] float32 in [0, 1]; symmetric.
    """
    if not (radius >= 0 and feather >= 0):
        raise ValueError(f"radius and feather must not be negative, not {radius} and {feather}")
    _check_mask(width, height, 0.0)
    radius = min(radius, width / 2, height / 2)
    # Signed distance to the rounded rectangle, positive inside.
    x = np.abs(np.arange(width, dtype=np.float32) + 0.5 - width / 2) - (width / 2 - radius)
    y = np.abs(np.arange(height, dtype=np.float32) + 0.5 - height / 2) - (height / 2 - radius)
    outside = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None])
    inside = np.minimum(np.maximum(x[None, :], y[:, None]), 0)
    distance = (radius - outside - inside).astype(np.float32)
    if feather < HARD_EDGE:
        return np.where(distance >= 0, np.float32(1), np.float32(0))
    return _smoothstep(distance / np.float32(feather))


def _smoothstep(value: FloatArray) -> Mask:
    """0 below 0, 1 above 1, and 3 v^2 - 2 v^3 between: no kink that the eye would see."""
    v = np.clip(value, 0.0, 1.0).astype(np.float32)
    result: Mask = v * v * (np.float32(3.0) - np.float32(2.0) * v)
    return result


def _check_mask(width: int, height: int, feather: float) -> None:
    if width < 1 or height < 1:
        raise ValueError(f"a mask has at least one pixel, not {width}x{height}")
    if not 0.0 <= feather <= 1.0:
        raise ValueError(f"feather must lie in [0, 1], not {feather}")


def _inside(frame: NDArray[Any], box_xyxy: ArrayLike) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(edge) for edge in np.asarray(box_xyxy))
    height, width = frame.shape[:2]
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(f"box {(x1, y1, x2, y2)} is empty or leaves the frame of {width}x{height}")
    return x1, y1, x2, y2
