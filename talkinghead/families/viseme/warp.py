"""How skin and lips move for a mouth pose: smooth displacement fields above and below the opening.

All coordinates here are the mouth's own: x along the line between the corners, y down, pixels of the frame, origin in
the middle between the corners. Fields are inverse: they say where in the *source* the colour of a *target* point
comes from, as `source = target + field`. There are two, one for everything above the opening (upper lip, cheeks,
nose) and one for everything below (lower lip, chin, neck). They agree beyond the corners of the mouth, and vanish,
with their first derivative, at the border of the animated region.

Along every column the field is laid through knots:

    nose   upper rim   upper edge | opening | lower edge   lower rim   chin        neck
      0      moved        moved                 moved        moved     jaw drop      0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from talkinghead.families.viseme.geometry import COLUMNS, OPEN_MOUTH, FaceGeometry, MouthGeometry, Values

NOSE_ABOVE = 0.36
"""Eye distances from the lips up to where the nose begins and nothing moves."""
CHEEK_ABOVE = 0.62
"""Eye distances above the corners where the cheeks come to rest."""
NECK_BELOW = 0.62
"""Eye distances from the chin down to where the neck comes to rest."""
SIDE_REACH = 0.98
"""Eye distances to either side where the cheeks come to rest."""
NEUTRAL_HALF_WIDTH = 0.385
"""Half width of an unsmiling mouth in eye distances."""

WIDEST_GAP = 0.58
"""Between the lips at `lips` = 1, in neutral half widths."""
JAW_DROP = 0.46
"""Of the chin at `jaw` = 1, in neutral half widths."""
SEALED_JAW = 0.35
"""The widest `jaw` that lips can still close over."""
LIFT_SHARE = 0.16
"""Of the opening that the upper lip makes by rising."""
CORNER_DROP = 0.34
"""Of the jaw's drop that the corners follow."""
SEAL_SHARE = 0.42
"""Of an open source's gap that the upper lip closes; the lower lip closes the rest."""
SEAL_MOST = 0.10
"""Eye distances that it comes down for that at most."""
ROUND_IN = 0.25
"""How far the corners move in at `width` = -1, in half widths."""
OPEN_IN = 0.07
"""How far a wide opening draws the corners in."""
MOST_STEEP = 0.36
"""Of the cheek between a corner and the outline, that the corner's movement may use up."""
SPREAD_OUT = 0.13
"""How far they move out at `width` = +1."""


@dataclass(frozen=True)
class MouthPose:
    """One frame of a `MouthMotion`, after the configuration's factors; ranges as there."""

    jaw: float = 0.0
    lips: float = 0.0
    width: float = 0.0
    tuck: float = 0.0
    tongue: float = 0.0

    @property
    def is_neutral(self) -> bool:
        return not (self.jaw or self.lips or self.width or self.tuck)


@dataclass(frozen=True, eq=False)
class MouthShape:
    """Contours of the lips in the target and in the source, [41] float32 at `COLUMNS`, own pixels of the mouth."""

    half_width: float
    """Of the source mouth."""
    stretch: float
    """Width of the target mouth over that of the source."""
    source_upper_outer: Values
    source_upper: Values
    """Edge of the upper lip; where a source is open, a little above its teeth."""
    source_lower: Values
    source_lower_outer: Values
    upper: Values
    """Edge of the upper lip in the target; the opening lies between `upper` and `lower`."""
    lower: Values
    seam: Values
    """Where the lips meet when they are sealed."""
    corner_drop: float
    upper_thicken: float
    """Factor on the height of the upper lip."""
    lower_thicken: float
    jaw_drop: float
    """Of the chin, relative to the source."""
    gap: float
    """Largest height of the opening."""


def openness(mouth: MouthGeometry) -> float:
    """0 for a source whose lips touch, 1 for one that is clearly open, and smooth between."""
    return float(_ease(np.float32((mouth.gap - 0.5 * OPEN_MOUTH) / OPEN_MOUTH)))


def shape_mouth(face: FaceGeometry, pose: MouthPose) -> MouthShape:
    """Contours of the lips for a pose."""
    mouth = face.mouth
    a = np.float32(mouth.half_width)
    unit = NEUTRAL_HALF_WIDTH * face.eye_distance  # of movement, the same in a smile
    u = COLUMNS
    arch = 1 - u**2

    source_upper: Values = mouth.upper_inner
    source_lower: Values = mouth.lower_inner
    gap_px = source_lower - source_upper
    seam = source_upper + np.minimum(SEAL_SHARE * gap_px, np.float32(SEAL_MOST * face.eye_distance))
    # Where the source is open, its lips are taken a little away from the teeth.
    inset = openness(mouth) * np.minimum(np.float32(1.0 + 0.02 * unit), 0.2 * a) * np.minimum(arch * 3, 1)
    source_upper, source_lower = source_upper - inset, source_lower + inset
    source_jaw = max(0.0, float(gap_px.max()) - 0.35 * unit) * 0.85

    rounded, spread = max(0.0, -pose.width), max(0.0, pose.width)
    stretch = 1 - ROUND_IN * rounded * (1 - 0.15 * pose.jaw) + SPREAD_OUT * spread
    stretch -= OPEN_IN * pose.lips * (1 - spread)
    # A smiling mouth is spread already.
    smile = float(np.clip(mouth.half_width / unit - 1.12, 0, 0.5))
    stretch -= smile * (0.12 * min(1.0, 3 * pose.lips) - 0.15 * rounded)
    # Lips that touch hold the jaw.
    parting = pose.lips * (1 - min(1.0, pose.tuck))
    jaw = JAW_DROP * min(pose.jaw, SEALED_JAW + 1.4 * parting) * unit
    opening = WIDEST_GAP * pose.lips * unit * (1 - 0.25 * rounded)
    # The lips part over a stretch that grows with the opening and shrinks with rounding.
    parted = 0.80 + 0.16 * min(1.0, pose.lips * 1.5) + 0.04 * spread - 0.34 * rounded * (1 - 0.4 * pose.lips)
    t = np.clip(np.abs(u) / np.float32(parted), 0, 1)
    # A narrow opening is a lens, a wide one an oval.
    fullness = 1.0 + 0.2 * rounded - 0.25 * min(1.0, pose.lips)
    profile = (1 - t**2.3) ** np.float32(fullness)
    lift = opening * (LIFT_SHARE + 0.16 * spread + 0.10 * rounded)
    drop = opening - lift

    corner = CORNER_DROP * jaw
    base = seam + corner * u**2
    upper = base - lift * profile
    lower = base + drop * profile
    if pose.tuck > 0:
        # The lower lip rises and rolls in under the upper teeth, of which a strip shows.
        show = pose.tuck * 0.13 * unit * (1 - t**4)
        upper = upper - show * 0.6
        lower = lower * (1 - pose.tuck) + (base + show * 0.2) * pose.tuck
        lower = np.maximum(lower, upper)
    return MouthShape(
        half_width=float(a),
        stretch=stretch,
        source_upper_outer=mouth.upper_outer,
        source_upper=source_upper.astype(np.float32),
        source_lower=source_lower.astype(np.float32),
        source_lower_outer=mouth.lower_outer,
        upper=upper.astype(np.float32),
        lower=lower.astype(np.float32),
        seam=base.astype(np.float32),
        corner_drop=corner,
        upper_thicken=1 + 0.16 * rounded - 0.10 * spread,
        lower_thicken=1 + 0.12 * rounded - 0.10 * spread - 0.30 * pose.tuck - 0.06 * pose.lips,
        jaw_drop=jaw - source_jaw,
        gap=float(np.max(lower - upper)),
    )


def _ease(t: Values | np.floating[Any] | float) -> Values:
    """0 to 1 with zero slope at both ends, for any t."""
    t = np.asarray(np.clip(t, 0, 1))
    eased: Values = t * t * (3 - 2 * t)
    return eased


def _hill(t: Values) -> Values:
    """1 at 0, 0 from |t| = 1 on, zero slope at both."""
    hill: Values = np.maximum(1 - t * t, 0) ** 2
    return hill


def _corner_move(shape: MouthShape, side: float, eye_distance: float) -> tuple[float, float]:
    """How far a corner moves outwards, and where the cheek beside it rests; pixels.

    Where the outline of the face is near (a head turned aside) the corner moves less, so that no skin folds.
    """
    a = shape.half_width
    limit = max(side, a + 0.15 * eye_distance)
    most = MOST_STEEP * (limit - a)
    return float(np.clip(a * (shape.stretch - 1), -most, most)), limit


def column_position(shape: MouthShape, face: FaceGeometry, x: Values, y: Values) -> Values:
    """Source x of target points: the corners move in and out, cheeks follow."""
    a = np.float32(shape.half_width)
    if shape.stretch == 1:
        return x
    d = np.float32(face.eye_distance)
    left, right = (_corner_move(shape, float(side), float(d)) for side in face.sides)
    move = np.where(x < 0, np.float32(left[0]), np.float32(right[0]))
    limit = np.where(x < 0, np.float32(left[1]), np.float32(right[1]))
    corner = a + move
    side = 1 - _ease((np.abs(x) - corner) / (limit - corner))
    opening = np.float32(max(shape.gap, 0.0))
    top, bottom = 0.52 * d, 0.56 * d + 0.6 * opening
    offset = y - 0.4 * opening
    vertical = _hill(np.where(offset < 0, offset / top, offset / bottom))
    moved: Values = x - move * (x / corner) * side * vertical
    return moved


def _along(u: Values, curve: Values) -> Values:
    """A contour at any column; beyond the corners it is 0, the line between them."""
    position = (np.clip(u, -1, 1) + 1) * np.float32((len(COLUMNS) - 1) / 2)
    left = np.minimum(position.astype(np.int32), len(COLUMNS) - 2)
    share = position - left.astype(np.float32)
    value: Values = curve[left] * (1 - share) + curve[left + 1] * share
    return value


def fields(shape: MouthShape, face: FaceGeometry, x: Values, y: Values) -> tuple[Values, Values, Values]:
    """Displacement at target points.

    Args:
        x, y: float32 of any one shape, the mouth's own coordinates.
    Returns:
        Source x (the same for both fields), source y above the opening, source y below it; shaped as x.
    """
    d = np.float32(face.eye_distance)
    a = np.float32(shape.half_width)
    source_x = column_position(shape, face, x, y)
    u = source_x / a
    side = _hill(x / (SIDE_REACH * d))
    beyond = np.clip((np.abs(u) - 1) * a / (SIDE_REACH * d - a), 0, 1)  # 0 at the corner, 1 at the border
    corner = shape.corner_drop * (1 - _ease(beyond)) * (np.abs(u) >= 1)
    inside = np.abs(u) < 1

    def over(curve: Values) -> Values:
        return np.where(inside, _along(u, curve), np.float32(0))

    source_upper, source_lower = over(shape.source_upper), over(shape.source_lower)
    upper, lower = over(shape.upper) + corner, over(shape.lower) + corner

    # Above: edge -> rim -> nose. `move` is target minus source at each knot.
    edge_move = upper - source_upper
    height = np.maximum(source_upper - over(shape.source_upper_outer), 0.05 * d)
    rim_move = 0.88 * edge_move - (shape.upper_thicken - 1) * height * _hill(u)
    rim = upper - height * (1 + (edge_move - rim_move) / np.maximum(height, 1e-3))
    rise = NOSE_ABOVE + (CHEEK_ABOVE - NOSE_ABOVE) * _ease((np.abs(x) / a - 0.55) / 0.9)
    # Over a wide open source the upper lip is high, and so is what must rest.
    top = np.maximum(np.minimum(-rise * d, over(shape.source_upper_outer) - 0.18 * d), -CHEEK_ABOVE * d)
    rim = np.maximum(rim, top + 0.12 * d)
    to_rim = _ease((upper - y) / np.maximum(upper - rim, 0.02 * d))
    to_top = _ease((rim - y) / (rim - top))
    above = y - (edge_move + (rim_move - edge_move) * to_rim) * (1 - to_top)

    # Below: edge -> rim -> chin -> neck.
    edge_move = lower - source_lower
    thickness = np.maximum(over(shape.source_lower_outer) - source_lower, 0.05 * d)
    jaw_move = shape.jaw_drop * side
    # A lip that rises far while the jaw falls would tear the chin: the jaw gives way.
    jaw_move = np.minimum(jaw_move, edge_move + 0.36 * (face.chin - over(shape.source_lower_outer)))
    rim_move = 0.62 * edge_move + 0.38 * jaw_move + (shape.lower_thicken - 1) * thickness * _hill(u)
    rim = lower + np.maximum(thickness + rim_move - edge_move, 0.03 * d)
    chin = np.maximum(face.chin + jaw_move, rim + 0.15 * d)
    # The chin's tip moves as one: the jaw's drop is reached well above it.
    to_rim = _ease((y - lower) / (rim - lower))
    to_chin = _ease((y - rim) / (0.72 * (chin - rim)))
    to_neck = _ease((y - chin) / (NECK_BELOW * d))
    below = y - (edge_move + (rim_move - edge_move) * to_rim + (jaw_move - rim_move) * to_chin) * (1 - to_neck)
    return source_x, above, below


def reach(face: FaceGeometry) -> tuple[float, float, float, float]:
    """Border of the animated region in the mouth's own pixels: left, top, right, bottom.

    No pose moves anything outside.
    """
    d = face.eye_distance
    widest = max(SIDE_REACH * d, face.mouth.half_width * 1.3)
    return -widest, -CHEEK_ABOVE * d, widest, face.chin + (JAW_DROP * NEUTRAL_HALF_WIDTH * 2 + NECK_BELOW) * d


__all__ = ["OPEN_MOUTH", "MouthPose", "MouthShape", "fields", "reach", "shape_mouth"]
