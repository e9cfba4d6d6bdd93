"""Put the moved face into the frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import COLUMNS, FaceGeometry
from talkinghead.families.viseme.mouth_interior import OwnTeeth, Palette, paint
from talkinghead.families.viseme.warp import MouthPose, MouthShape, fields, reach, shape_mouth

NODES_PER_EYE_DISTANCE = 22
"""How finely displacement fields are computed before they are enlarged to every pixel."""
SEAM_DARK = 0.42
"""How dark the line is that is drawn where an open source's lips are brought together."""

Motion = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""Takes pixels (x, y) of the output and says which point of the still face shows there."""


@dataclass(frozen=True)
class Region:
    """A box of pixels, half open, that lies inside the frame and may be empty."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def is_empty(self) -> bool:
        return self.x2 <= self.x1 or self.y2 <= self.y1

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y1, self.y2), slice(self.x1, self.x2)


def animated_region(face: FaceGeometry, size: tuple[int, int]) -> Region:
    """The box that the mouth's movement can touch, in a frame of (width, height)."""
    left, top, right, bottom = reach(face)
    mouth = face.mouth
    corners = np.array(
        [mouth.centre + x * mouth.axis + y * mouth.down for x in (left, right) for y in (top, bottom)]
    )
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    width, height = size
    x1, x2 = (int(v) for v in np.clip([low[0], high[0]], 0, width))
    y1, y2 = (int(v) for v in np.clip([low[1], high[1]], 0, height))
    return Region(x1, y1, x2, y2)


def animate_mouth(
    frame: Frame,
    face: FaceGeometry,
    palette: Palette,
    pose: MouthPose,
    *,
    teeth: bool = True,
    own: OwnTeeth | None = None,
    close_source: bool = True,
) -> Frame:
    """A copy of the frame with the mouth in the pose; outside `animated_region` it is bit-identical."""
    import cv2

    region = animated_region(face, (frame.shape[1], frame.shape[0]))
    if region.is_empty or (pose.is_neutral and not face.mouth.is_open):
        return frame
    shape = shape_mouth(face, pose, close_source=close_source)
    width, height = region.x2 - region.x1, region.y2 - region.y1
    step = max(1, round(face.eye_distance / NODES_PER_EYE_DISTANCE))
    columns, rows = -(-width // step), -(-height // step)
    offset = np.float32((step - 1) / 2)
    px = region.x1 + np.arange(columns, dtype=np.float32) * step + offset
    py = region.y1 + np.arange(rows, dtype=np.float32) * step + offset
    gx, gy = np.meshgrid(px, py)
    x, y = to_mouth(face, gx, gy)
    source_x, above, below = fields(shape, face, x, y)
    ax, ay = (np.float32(v) for v in face.mouth.axis)
    dx, up, down = source_x - x, above - y, below - y
    nodes = np.stack([dx * ax - up * ay, dx * ay + up * ax, dx * ax - down * ay, dx * ay + down * ax, source_x], axis=-1)
    if step > 1:
        full = cv2.resize(nodes, (columns * step, rows * step), interpolation=cv2.INTER_CUBIC)[:height, :width]
    else:
        full = nodes[:height, :width]
    fx, fy = np.meshgrid(
        np.arange(region.x1, region.x2, dtype=np.float32), np.arange(region.y1, region.y2, dtype=np.float32)
    )
    mx, my = to_mouth(face, fx, fy)
    u = full[..., 4] / np.float32(shape.half_width)
    edges = np.stack([shape.upper, shape.lower], axis=-1)
    upper, lower = look_up(u, edges[:, 0]), look_up(u, edges[:, 1])
    beyond = np.abs(u) >= 1
    split = np.where(beyond, np.float32(0), (upper + lower) / 2)
    is_above = my < split
    map_x = fx + np.where(is_above, full[..., 0], full[..., 2])
    map_y = fy + np.where(is_above, full[..., 1], full[..., 3])
    moved = cv2.remap(frame, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    still = (np.abs(map_x - fx) < 1 / 64) & (np.abs(map_y - fy) < 1 / 64)
    moved[still] = frame[region.slices][still]

    lips = np.abs(u) < 1
    rows_in = np.flatnonzero(lips.any(axis=1) & ((my > upper.min() - 3) & (my < lower.max() + 3)).any(axis=1))
    cols_in = np.flatnonzero(lips.any(axis=0))
    if len(rows_in) and len(cols_in):
        box = (slice(int(rows_in[0]), int(rows_in[-1]) + 1), slice(int(cols_in[0]), int(cols_in[-1]) + 1))
        piece = moved[box].astype(np.float32)
        bu, bl, bx, by = upper[box], lower[box], mx[box], my[box]
        if face.mouth.is_open:
            piece *= _seam_shadow(face, shape, palette, u[box], by, bu, bl)[..., None]
        alpha = opening_alpha(bu, bl, by, palette.softness) * (np.abs(u[box]) < 1)
        if alpha.any():
            own_pixels = frame[region.slices][box].astype(np.float32) if own is not None else None
            inside = paint(face, shape, pose, palette, bx, by, bu, bl, teeth=teeth, own=own, own_pixels=own_pixels)
            piece += (inside - piece) * alpha[..., None]
        moved[box] = np.clip(np.rint(piece), 0, 255).astype(np.uint8)
    result = frame.copy()
    result[region.slices] = moved
    return result


def to_mouth(face: FaceGeometry, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pixels of the frame to the mouth's own coordinates."""
    mouth = face.mouth
    cx, cy = (np.float32(v) for v in mouth.centre)
    ax, ay = (np.float32(v) for v in mouth.axis)
    return (x - cx) * ax + (y - cy) * ay, (y - cy) * ax - (x - cx) * ay


def look_up(u: FloatArray, curve: FloatArray) -> FloatArray:
    """A contour at positions u; held beyond the corners."""
    values: FloatArray = np.interp(u, COLUMNS, curve).astype(np.float32)
    return values


def opening_alpha(upper: FloatArray, lower: FloatArray, y: FloatArray, softness: float) -> FloatArray:
    """How much of a pixel shows the inside of the mouth: 0 on lips, and everywhere where they touch."""
    gap = lower - upper
    soft = np.float32(max(softness, 1.0))
    inside = np.minimum(y - upper, lower - y) / soft + np.float32(0.5)
    present = np.clip((gap - 0.15) / soft, 0, 1)
    alpha: FloatArray = np.clip(inside, 0, 1) * present
    return alpha


def _seam_shadow(
    face: FaceGeometry,
    shape: MouthShape,
    palette: Palette,
    u: FloatArray,
    y: FloatArray,
    upper: FloatArray,
    lower: FloatArray,
) -> FloatArray:
    """Factor that draws the dark line between lips that the source shows apart."""
    width = max(0.035 * shape.half_width, 0.8 * palette.softness)
    middle = (upper + lower) / 2
    closed = np.clip(1 - (lower - upper) / (3 * width), 0, 1)
    fade = np.clip((1 - np.abs(u)) / 0.12, 0, 1)
    line: FloatArray = 1 - SEAM_DARK * np.exp(-(((y - middle) / np.float32(width)) ** 2)) * closed * fade
    return line


def boundary_gradient_ratio(before: Frame, after: Frame, mask: NDArray[np.bool_]) -> float:
    """Mean absolute step across the border of a mask in `after`, over that in `before`.

    Args:
        before, after: [H, W, 3] uint8. mask: [H, W] bool, the changed region.
    Returns:
        1.0 for an invisible border; above 1 where an edge was added. 1.0 if the mask has no border.
    """
    a, b = before.astype(np.float64), after.astype(np.float64)
    across_x = mask[:, 1:] != mask[:, :-1]
    across_y = mask[1:] != mask[:-1]
    if not across_x.any() and not across_y.any():
        return 1.0

    def steps(picture: NDArray[np.float64]) -> float:
        x = np.abs(np.diff(picture, axis=1)).mean(axis=-1)[across_x]
        y = np.abs(np.diff(picture, axis=0)).mean(axis=-1)[across_y]
        return float(np.concatenate([x, y]).mean())

    return (steps(b) + 0.25) / (steps(a) + 0.25)
