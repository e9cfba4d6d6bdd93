"""Put the moved face into the frame."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.families.viseme.eyelids import Eye, LidField, eye_reach, lash_points, lid_field, paint_lid, to_eye
from talkinghead.families.viseme.fine import FinePicture
from talkinghead.families.viseme.geometry import COLUMNS, EyeGeometry, FaceGeometry, Region, Values
from talkinghead.families.viseme.idle import HeadPose, head_field, head_region, head_weight
from talkinghead.families.viseme.inner_mouth import without_inside
from talkinghead.families.viseme.mouth_interior import OwnTeeth, Palette, paint
from talkinghead.families.viseme.seam import seam_shadow
from talkinghead.families.viseme.teeth import skin_light
from talkinghead.families.viseme.warp import (
    MouthPose,
    MouthShape,
    column_position,
    fields,
    openness,
    reach,
    shape_mouth,
)

NODES_PER_EYE_DISTANCE = 22
"""How finely displacement fields are computed before they are enlarged to every pixel."""
HEAD_MARGIN = 0.15
"""Eye distances that head movement moves the mouth or an eye at most."""
CUBIC_MAX_PIXELS = 120_000
"""Larger regions are sampled linearly: they show the face at a size where that loses nothing."""
STILL_PX = 1 / 256
"""Points that move by less show their own pixel: a picture enlarged four times is read to a 32nd of its pixels."""
TOUCHING = 0.01
"""A gap between the lips below this share of the half width is none."""


def animated_region(face: FaceGeometry, size: tuple[int, int]) -> Region:
    """The box that the mouth's movement can touch, in a frame of (width, height)."""
    left, top, right, bottom = reach(face)
    return face.mouth.box((left, right), (top, bottom), margin=1).within(size)


def eye_region(eye: EyeGeometry, eye_distance: float, size: tuple[int, int]) -> Region:
    """The box that a blink can touch."""
    return Region.around(eye.centre, eye_reach(eye, eye_distance), size)


@dataclass(frozen=True, eq=False)
class HeadNodes:
    """`node_positions` of a box, and how the head's movement takes part there; arrays are [r, c] float32."""

    x: Values
    y: Values
    share: Values
    near: Values

    @classmethod
    def of(cls, face: FaceGeometry, box: Region, step: int, size: tuple[int, int]) -> HeadNodes:
        x, y = node_positions(box, step)
        return cls(x, y, *head_weight(face, size, x, y))


@dataclass(frozen=True, eq=False)
class Face:
    """A face ready to be animated in one frame."""

    geometry: FaceGeometry
    palette: Palette
    own_teeth: OwnTeeth | None = None
    eyes: tuple[Eye, ...] = ()
    """Eyes that can blink."""
    fine: FinePicture | None = None
    """Of a still picture, all that can move, the inside of an open mouth taken away."""
    head_nodes: dict[tuple[Region, int], HeadNodes] = field(default_factory=dict)
    """Of the boxes, and steps between nodes, in which the head of a still picture was moved: alike in every frame."""


@dataclass(frozen=True)
class Pose:
    """Everything that moves in one output frame."""

    mouth: MouthPose = field(default_factory=MouthPose)
    lids: float = 0.0
    """0 as in the picture, 1 shut."""
    head: HeadPose | None = None
    """None: the head is left where it is, and only the parts that move are touched."""


def animate(frame: Frame, face: Face, pose: Pose, *, teeth: bool = True) -> Frame:
    """The frame with the face in the pose.

    Every pixel is read from the source once, whatever moves it. Without head movement, pixels outside the animated
    regions are bit-identical to those of `frame`; if nothing moves, `frame` itself is returned.
    """
    size = (frame.shape[1], frame.shape[0])
    geometry = face.geometry
    mouth_box = animated_region(geometry, size)
    mouth_moves = not mouth_box.is_empty and (not pose.mouth.is_neutral or geometry.mouth.gap > TOUCHING)
    eyes = face.eyes if pose.lids > 0 else ()
    eye_boxes = [eye_region(eye.geometry, eye.eye_distance, size) for eye in eyes]
    boxes = [head_region(geometry, size)] if pose.head is not None else []
    if not boxes:
        boxes = [*([mouth_box] if mouth_moves else []), *eye_boxes]
    boxes = [box for box in boxes if not box.is_empty]
    if not boxes:
        return frame
    result = frame.copy()
    shape = shape_mouth(geometry, pose.mouth) if mouth_moves else None
    source = without_inside(frame, geometry.mouth) if mouth_moves and face.fine is None else frame
    for box in boxes:
        layer = _Layer(box, face, size, pose.head)
        mouth = _move_mouth(layer, mouth_box, geometry, shape) if shape is not None else None
        lids = [_move_lid(layer, eye_box, eye, pose.lids) for eye, eye_box in zip(eyes, eye_boxes, strict=True)]
        moved = layer.sampled(source)
        if mouth is not None:
            _part_lips(moved, source, mouth, face.fine)
        for lid in lids:
            if lid is not None:
                _paint_lid(moved, frame, lid, face.palette)
        if mouth is not None and shape is not None:
            _paint_mouth(moved, frame, face, shape, pose.mouth, mouth, teeth=teeth)
        result[box.slices] = moved
    return result


def sample(frame: Frame, points: Values, fine: FinePicture | None = None) -> Frame:
    """Colours at points [h, w, 2] float32 (x, y); whole points give the frame's pixels exactly.

    Args:
        points: pixels of the frame, or of the fine picture where one is given.
    """
    import cv2

    small = points.shape[0] * points.shape[1] <= CUBIC_MAX_PIXELS
    kind = cv2.INTER_CUBIC if small and fine is None else cv2.INTER_LINEAR
    source = frame if fine is None else fine.pixels
    moved = cv2.remap(source, points, None, kind, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(moved, np.uint8)


class _Layer:
    """A box of output pixels and, for each, the source point that shows there."""

    def __init__(
        self,
        box: Region,
        face: Face,
        size: tuple[int, int],
        head: HeadPose | None,
    ) -> None:
        fine = face.fine
        self.box = box
        self.face = face
        self.step = max(1, round(face.geometry.eye_distance / NODES_PER_EYE_DISTANCE))
        self.head = None if head is None else (head, size)
        # Points are kept in pixels of the picture that they are read from.
        self.scale = np.float32(1 if fine is None else fine.factor)
        self.origin = np.zeros(2, np.float32) if fine is None else np.array([fine.box.x1, fine.box.y1], np.float32)
        self.fine = fine
        step = self.stripe_rows = 2 * self.step
        nodes, (x, y) = self.still(box, step)
        self.map = enlarge((np.stack([x, y], axis=-1) - self.origin) * self.scale, box, step)
        """[h, w, 2] float32, x and y."""
        shift = np.maximum(np.abs(x - nodes[0]), np.abs(y - nodes[1]))
        self.moving = _moving_stripes(shift > STILL_PX, step, box)
        """[stripes, 2] the columns from, and to, in which each stripe of `stripe_rows` rows shows other points."""

    def moves(self, view: tuple[slice, slice]) -> None:
        """Something moves in a view, too."""
        rows = slice(view[0].start // self.stripe_rows, -(-view[0].stop // self.stripe_rows))
        self.moving[rows, 0] = np.minimum(self.moving[rows, 0], view[1].start)
        self.moving[rows, 1] = np.maximum(self.moving[rows, 1], view[1].stop)

    def sampled(self, source: Frame) -> Frame:
        """What the layer shows of a picture; where no point moves, the pixels themselves."""
        shown = source[self.box.slices].copy()
        step = self.stripe_rows
        starts = [0, *(np.flatnonzero((np.diff(self.moving, axis=0) != 0).any(axis=1)) + 1), len(self.moving)]
        for first, last in itertools.pairwise(starts):
            left, right = self.moving[first]
            if left < right:
                part = np.s_[first * step : last * step, left:right]
                shown[part] = sample(source, self.map[part], self.fine)
        return shown

    def points(self, view: tuple[slice, slice]) -> Values:
        """Points of the still picture [h, w, 2], pixels of the frame; a copy."""
        points: Values = self.map[view] / self.scale + self.origin
        return points

    def still(self, box: Region, step: int) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
        """`node_positions` of a box, and the points of the still picture that show there."""
        if self.head is None:
            nodes = node_positions(box, step)
            return nodes, nodes
        pose, size = self.head
        known = self.face.head_nodes.get((box, step))
        if known is None:
            known = self.face.head_nodes[box, step] = HeadNodes.of(self.face.geometry, box, step, size)
        dx, dy = head_field(self.face.geometry, pose, known.share, known.near, known.x, known.y)
        return (known.x, known.y), (known.x + dx, known.y + dy)

    def view(self, box: Region) -> tuple[slice, slice] | None:
        """Where a box of the frame lies in this layer, or None if it does not."""
        x1, y1 = max(box.x1, self.box.x1), max(box.y1, self.box.y1)
        x2, y2 = min(box.x2, self.box.x2), min(box.y2, self.box.y2)
        if x2 <= x1 or y2 <= y1:
            return None
        return slice(y1 - self.box.y1, y2 - self.box.y1), slice(x1 - self.box.x1, x2 - self.box.x1)


def _moving_stripes(moves: NDArray[np.bool_], step: int, box: Region) -> NDArray[np.intp]:
    """Columns of pixels, from and to, between which a stripe of `step` rows shows other points than its own.

    Args:
        moves: [r, c], whether each of `node_positions` shows another point; pixels lie between nine of them.
    """
    near = moves[:-2] | moves[1:-1] | moves[2:]
    near = near[:, :-2] | near[:, 1:-1] | near[:, 2:]
    width = box.x2 - box.x1
    left = np.where(near.any(axis=1), near.argmax(axis=1) * step, width)
    right = np.where(near.any(axis=1), (near.shape[1] - near[:, ::-1].argmax(axis=1)) * step, 0)
    return np.stack([left, np.minimum(right, width)], axis=1)


def node_positions(box: Region, step: int) -> tuple[Values, Values]:
    """Centres [r, c] of the `step` x `step` cells that cover a box and of one more ring of cells, in pixels."""
    offset = np.float32((step - 1) / 2)
    xs = box.x1 + np.arange(-1, -(-(box.x2 - box.x1) // step) + 1, dtype=np.float32) * step + offset
    ys = box.y1 + np.arange(-1, -(-(box.y2 - box.y1) // step) + 1, dtype=np.float32) * step + offset
    gx, gy = np.meshgrid(xs.astype(np.float32), ys.astype(np.float32))
    return gx, gy


def enlarge(nodes: Values, box: Region, step: int) -> Values:
    """Values at `node_positions`, at every pixel of the box: [h, w, channels] float32, writable."""
    import cv2

    rows, columns = nodes.shape[:2]
    full = nodes
    if step > 1:
        full = np.asarray(cv2.resize(nodes, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR), np.float32)
    part: Values = full[step : step + box.y2 - box.y1, step : step + box.x2 - box.x1]
    return part


@dataclass(frozen=True, eq=False)
class _MouthPixels:
    """The part of a layer in which lips may part; arrays are [h, w] float32."""

    box: tuple[slice, slice]
    still: Values
    """[h, w, 2] points of the still picture."""
    x: Values
    """The mouth's own coordinates of the target."""
    y: Values
    u: Values
    upper: Values
    lower: Values
    above: Values
    """[h, w, 2] what of the source shows there as part of the upper lip, and as part of the lower one."""
    below: Values
    share: Values
    """[h, w] in [0, 1], how much of the pixel belongs to the lower lip."""


def _grown(box: Region, margin: int) -> Region:
    return Region(box.x1 - margin, box.y1 - margin, box.x2 + margin, box.y2 + margin)


def _move_mouth(layer: _Layer, mouth_box: Region, face: FaceGeometry, shape: MouthShape) -> _MouthPixels | None:
    """Add the mouth's displacement to a layer."""
    # With the head the mouth's box moves by less than this.
    margin = round(HEAD_MARGIN * face.eye_distance) if layer.head is not None else 0
    view = layer.view(_grown(mouth_box, margin))
    if view is None:
        return None
    here = layer.box
    grown = Region(here.x1 + view[1].start, here.y1 + view[0].start, here.x1 + view[1].stop, here.y1 + view[0].stop)
    _, still = layer.still(grown, layer.step)
    x, y = to_mouth(face, *still)
    source_x, above, below = fields(shape, face, x, y)
    ax, ay = (np.float32(v) for v in face.mouth.axis)
    dx, up, down = source_x - x, above - y, below - y
    up_field, down_field = (
        enlarge(np.stack([dx * ax - dy * ay, dx * ay + dy * ax], axis=-1) * layer.scale, grown, layer.step)
        for dy in (up, down)
    )
    lips_view = layer.view(_lips_box(face, shape, margin))
    inner = None if lips_view is None else _within(lips_view, view)
    band = _band(y - np.float32(shape.corner_drop), layer.step, len(up_field), inner)
    layer.moves(view)
    moved = layer.map[view]
    points = layer.points((slice(view[0].start + band.start, view[0].start + band.stop), view[1]))
    mx, my = to_mouth(face, points[..., 0], points[..., 1])
    is_above = my < np.float32(shape.corner_drop)
    lips = None
    if lips_view is not None and inner is not None:
        edges = (slice(inner[0].start - band.start, inner[0].stop - band.start), inner[1])
        x_in, y_in = mx[edges], my[edges]
        u = column_position(shape, face, x_in, y_in) / np.float32(shape.half_width)
        upper, lower = look_up(u, shape.upper), look_up(u, shape.lower)
        split = np.where(np.abs(u) >= 1, np.float32(shape.corner_drop), (upper + lower) / 2)
        is_above[edges] = y_in < split
        share = np.clip(y_in - split + np.float32(0.5), 0, 1)
        above, below = moved[inner] + up_field[inner], moved[inner] + down_field[inner]
        lips = _MouthPixels(lips_view, points[edges].copy(), x_in, y_in, u, upper, lower, above, below, share)
    moved[: band.start] += up_field[: band.start]
    moved[band] += np.where(is_above[..., None], up_field[band], down_field[band])
    moved[band.stop :] += down_field[band.stop :]
    return lips


def _within(part: tuple[slice, slice], whole: tuple[slice, slice]) -> tuple[slice, slice]:
    """One view of a layer, counted from the beginning of another that holds it."""
    rows, columns = (
        slice(max(small.start - large.start, 0), small.stop - large.start)
        for small, large in zip(part, whole, strict=True)
    )
    return rows, columns


def _band(y: Values, step: int, height: int, lips: tuple[slice, slice] | None) -> slice:
    """Rows of pixels of which some may lie above and some below the line between the corners of the mouth, or that
    hold the lips' edges; all before them lie above it, all behind them below it.

    Args:
        y: [r, c] pixels below that line, at `node_positions`. height: rows of pixels that the nodes cover.
    """
    near = np.flatnonzero(~((y < -step - 1).all(axis=1) | (y > step + 1).all(axis=1)))
    # The first row of nodes lies outside; what is between two rows of nodes belongs to both.
    first = (int(near[0]) - 2) * step if len(near) else (height if y[0, 0] < 0 else 0)
    last = (int(near[-1]) + 1) * step if len(near) else first
    if lips is not None:
        first, last = min(first, lips[0].start), max(last, lips[0].stop)
    return slice(int(np.clip(first, 0, height)), int(np.clip(last, 0, height)))


def _part_lips(moved: Frame, source: Frame, mouth: _MouthPixels, fine: FinePicture | None) -> None:
    """Draw the line along which upper and lower lip meet without steps, in place."""
    rows = np.flatnonzero(((mouth.share > 0) & (mouth.share < 1)).any(axis=1))
    if not len(rows):
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    above, below = (
        sample(source, np.ascontiguousarray(each[part]), fine).astype(np.float32) for each in (mouth.above, mouth.below)
    )
    piece = moved[mouth.box][part]  # a view
    piece[...] = np.rint(above + (below - above) * mouth.share[part][..., None]).astype(np.uint8)


def _lips_box(face: FaceGeometry, shape: MouthShape, margin: int) -> Region:
    """Pixels of the frame that hold the lips' edges, with a little around them."""
    mouth = face.mouth
    side = shape.half_width * max(shape.stretch, 1.0) * 1.03
    top, bottom = min(float(shape.upper.min()), 0.0), max(float(shape.lower.max()), shape.corner_drop)
    return mouth.box((-side, side), (top, bottom), margin=4 + margin)


@dataclass(frozen=True, eq=False)
class _LidPixels:
    """The part of a layer around an eye."""

    box: tuple[slice, slice]
    eye: Eye
    field: LidField
    closing: float
    lashes: Values
    """[h, w, 2] points of the still picture where its lashes are looked for."""


def _move_lid(layer: _Layer, eye_box: Region, eye: Eye, closing: float) -> _LidPixels | None:
    """Add a falling lid to a layer."""
    margin = round(HEAD_MARGIN * eye.eye_distance) if layer.head is not None else 0
    view = layer.view(_grown(eye_box, margin))
    if view is None:
        return None
    points = layer.points(view)
    x, y = to_eye(eye.geometry, points[..., 0], points[..., 1])
    field = lid_field(eye, closing, x, y)
    lashes = lash_points(eye, field, points)
    move = np.where(np.abs(field.u) < 1, field.move, np.float32(0))
    ax, ay = (np.float32(v) for v in eye.geometry.axis)
    layer.moves(view)
    layer.map[view] += np.stack([-move * ay, move * ax], axis=-1) * layer.scale
    return _LidPixels(view, eye, field, closing, lashes)


def _paint_lid(moved: Frame, frame: Frame, lid: _LidPixels, palette: Palette) -> None:
    """Draw the lid, in place."""
    pixels = moved[lid.box].astype(np.float32)
    lashes = sample(frame, lid.lashes).astype(np.float32)
    piece = paint_lid(lid.eye, lid.closing, lid.field, pixels, lashes, palette.softness, palette.grain)
    moved[lid.box] = np.rint(piece).astype(np.uint8)


def _paint_mouth(
    moved: Frame, frame: Frame, face: Face, shape: MouthShape, pose: MouthPose, mouth: _MouthPixels, *, teeth: bool
) -> None:
    """Paint the inside of the mouth and the line between the lips, in place."""
    palette = face.palette
    alpha = opening_alpha(mouth.upper, mouth.lower, mouth.y, palette.softness) * (np.abs(mouth.u) < 1)
    apart = openness(face.geometry.mouth)
    if apart:
        line = seam_shadow(
            palette.seam,
            shape.half_width,
            palette.softness,
            palette.warmth,
            mouth.u,
            mouth.y,
            mouth.upper,
            mouth.lower,
        )
        shaded = moved[mouth.box] * (1 - np.float32(apart) * line)
        moved[mouth.box] = np.rint(shaded).astype(np.uint8)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return
    part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    own_pixels = None
    if face.own_teeth is not None:
        own_pixels = sample(frame, np.ascontiguousarray(mouth.still[part])).astype(np.float32)
    inside = paint(
        face.geometry,
        shape,
        pose,
        palette,
        mouth.x[part],
        mouth.y[part],
        mouth.upper[part],
        mouth.lower[part],
        teeth=teeth,
        own=face.own_teeth,
        own_pixels=own_pixels,
        lit=_lit(frame, face),
    )
    piece = moved[mouth.box][part]  # a view
    lips = piece.astype(np.float32)
    mixed = lips + (inside - lips) * alpha[part][..., None]
    piece[...] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _lit(frame: Frame, face: Face) -> float:
    """Light of a frame over that in which the person's teeth were taken."""
    strip = face.palette.strip
    return 1.0 if strip is None else float(np.clip(skin_light(frame, face.geometry) / max(strip.light, 1), 0.5, 1.6))


def to_mouth(face: FaceGeometry, x: Values, y: Values) -> tuple[Values, Values]:
    """Pixels of the frame to the mouth's own coordinates."""
    mouth = face.mouth
    cx, cy = (np.float32(v) for v in mouth.centre)
    ax, ay = (np.float32(v) for v in mouth.axis)
    return (x - cx) * ax + (y - cy) * ay, (y - cy) * ax - (x - cx) * ay


def look_up(u: Values, curve: Values) -> Values:
    """A contour at positions u; held beyond the corners."""
    values: Values = np.interp(u, COLUMNS, curve).astype(np.float32)
    return values


def opening_alpha(upper: Values, lower: Values, y: Values, softness: float) -> Values:
    """How much of a pixel shows the inside of the mouth: 0 on lips, and everywhere where they touch."""
    gap = lower - upper
    soft = np.float32(max(softness, 1.0))
    inside = np.minimum(y - upper, lower - y) / soft + np.float32(0.5)
    present = np.clip((gap - 0.15) / soft, 0, 1)
    alpha: Values = np.clip(inside, 0, 1) * present
    return alpha


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

    def steps(picture: Values) -> float:
        x = np.abs(np.diff(picture, axis=1)).mean(axis=-1)[across_x]
        y = np.abs(np.diff(picture, axis=0)).mean(axis=-1)[across_y]
        return float(np.concatenate([x, y]).mean())

    return (steps(b) + 0.25) / (steps(a) + 0.25)
