"""A blink: the upper lid comes down over the eye.

The skin above the eye is moved only a little. The lid itself, which an open eye hides in its fold, is drawn: coloured
per column after the skin above and below the eye, shaded like the ball that it covers, with the dark line of the
lashes at its edge. The eyeball below the edge stays as it is in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkinghead.contracts import Frame
from talkinghead.families.viseme.geometry import COLUMNS, NUM_COLUMNS, EyeGeometry, Values
from talkinghead.families.viseme.grain import noise

FOLD_ABOVE = 0.10
"""Eye distances from the open lid up to where the skin no longer follows it; the brow lies above."""
FOLD_FOLLOWS = 0.22
"""Of the lid's fall, that the skin above it follows."""
LASH_REACH = 0.145
"""Eye distances above the open lid up to which lashes and make-up may reach."""
LASH_LENGTH = 0.085
"""Eye distances above the open lid in which lashes are looked for."""
LASH_WIDTH = 0.012
"""Eye distances; half thickness of the line of lashes."""
REST_BELOW = 0.09
"""Eye distances below the lower lid down to which more of the eye is looked for, as drawn eyes may show it."""
DRAWN_BELOW = 0.05
"""Depth from which on that is so: lashes and shadows of photographs end above it."""
UNLIKE_SKIN = 45.0
"""Distance in RGB from the skin around, from which on something below the lower lid belongs to the eye."""


@dataclass(frozen=True, eq=False)
class LidColours:
    """What a lid is painted with; RGB 0..255."""

    above: Values
    """[41, 3] float32 at `COLUMNS`: skin above the eye."""
    below: Values
    """[41, 3] float32: skin below the eye."""
    lash: Values
    """[3] float32: the dark line of the lashes."""


@dataclass(frozen=True, eq=False)
class Eye:
    """An eye ready to blink."""

    geometry: EyeGeometry
    colours: LidColours
    eye_distance: float
    plain: float
    """Eye distances above the open lid where plain skin begins: there the drawn lid ends."""
    rest: float = 0.0
    """Eye distances below the lower lid where the shut lid comes to rest, so that nothing of the eye is left to see."""


def read_lid(frame: Frame, eye: EyeGeometry, eye_distance: float) -> Eye:
    """Take the colours of a lid from the skin around the eye."""
    down = np.array([-eye.axis[1], eye.axis[0]])
    x = (COLUMNS * eye.half_width).astype(np.float64)

    def pick(y: Values) -> Values:
        points = eye.centre + x[:, None] * eye.axis + y[:, None] * down
        columns = np.clip(np.rint(points[:, 0]), 0, frame.shape[1] - 1).astype(int)
        rows = np.clip(np.rint(points[:, 1]), 0, frame.shape[0] - 1).astype(int)
        picked: Values = frame[rows, columns].astype(np.float64)
        return picked

    upper, lower = eye.upper_lid.astype(np.float64), eye.lower_lid.astype(np.float64)
    d = eye_distance
    luma = np.array([0.299, 0.587, 0.114])
    # The plainest skin above the eye: beyond lashes and make-up, below the brow.
    heights = np.arange(0.035, LASH_REACH + 0.001, 0.01)
    middle = np.abs(COLUMNS) < 0.6
    rows = np.stack([pick(upper - share * d) for share in heights])
    best = int(np.argmax((rows @ luma)[:, middle].mean(axis=1)))
    plain = float(heights[best])
    over = np.stack([pick(upper - (plain + share) * d) for share in (-0.01, -0.005, 0.0, 0.005, 0.01)])
    under = np.stack([pick(lower + share * d) for share in (0.06, 0.075, 0.09, 0.105)])
    above = _smooth_columns(_bright_median(over, luma))
    below = _smooth_columns(_bright_median(under, luma))
    # Hair, brows and glasses are darker than skin: what is much darker than below is not believed.
    ratio = (above @ luma) / np.maximum(below @ luma, 1)
    trust = np.clip((ratio - 0.35) / 0.3, 0, 1)[:, None]
    above = above * trust + 0.78 * below * (1 - trust)
    line = np.concatenate([pick(upper + share * d) for share in (-0.015, 0.0, 0.012)])
    brightness = line @ luma
    lash = line[brightness <= np.percentile(brightness, 30)].mean(axis=0)
    lash = np.minimum(lash, 0.55 * below.mean(axis=0))
    depths = np.arange(0.0, REST_BELOW + 0.001, 0.01)
    unlike = np.stack([np.linalg.norm(pick(lower + share * d) - below, axis=1)[middle] for share in depths])
    # The depth below which most columns show skin; without any, the lid that was found is believed.
    shown = (unlike > UNLIKE_SKIN).mean(axis=1) > 0.3
    rest = float(depths[int(np.flatnonzero(shown)[-1])]) if shown.any() and not shown[-1] else 0.0
    rest = rest if rest > DRAWN_BELOW - 1e-6 else 0.0
    return Eye(
        eye, LidColours(above.astype(np.float32), below.astype(np.float32), lash.astype(np.float32)), d, plain, rest
    )


def _bright_median(samples: Values, luma: Values) -> Values:
    """Per column [41, 3] the colour at the 65th percentile of brightness of [n, 41, 3]."""
    order = np.argsort(samples @ luma, axis=0)
    place = round(0.65 * (len(samples) - 1))
    chosen: Values = samples[order[place], np.arange(NUM_COLUMNS)]
    return chosen


def _smooth_columns(colours: Values) -> Values:
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / 4.0) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(colours, ((8, 8), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, c], kernel, mode="valid") for c in range(3)], axis=1)


def to_eye(eye: EyeGeometry, x: Values, y: Values) -> tuple[Values, Values]:
    """Pixels of the frame to the eye's own coordinates."""
    cx, cy = (np.float32(v) for v in eye.centre)
    ax, ay = (np.float32(v) for v in eye.axis)
    return (x - cx) * ax + (y - cy) * ay, (y - cy) * ax - (x - cx) * ay


@dataclass(frozen=True, eq=False)
class LidField:
    """A lid on its way; arrays shaped as the points, the eye's own pixels."""

    move: Values
    """Displacement of the skin above, source minus target, along the eye's down axis."""
    u: Values
    """Position between the corners; beyond -1 and 1 outside the eye."""
    y: Values
    upper: Values
    """Edge of the open lid in the same column."""
    edge: Values
    """Edge of the falling lid."""
    lower: Values
    """Edge of the lower lid."""


def lid_field(eye: Eye, closing: float, x: Values, y: Values) -> LidField:
    """The upper lid at `closing` (0 as in the picture, 1 shut); x, y: the eye's own coordinates."""
    shape = eye.geometry
    u = x / np.float32(shape.half_width)
    held = np.clip(u, -1, 1)
    upper = np.interp(held, COLUMNS, shape.upper_lid).astype(np.float32)
    lower = np.interp(held, COLUMNS, shape.lower_lid).astype(np.float32)
    rest = np.float32(eye.rest * eye.eye_distance) * (1 - held**2)
    fall = np.float32(closing) * (lower + rest - upper)
    edge = upper + fall
    t = np.clip((upper - y) / np.float32(FOLD_ABOVE * eye.eye_distance), 0, 1)
    move = -np.float32(FOLD_FOLLOWS) * fall * (1 - t * t * (3 - 2 * t)) * (y < edge)
    return LidField(move.astype(np.float32), u, y, upper, edge, lower)


def lash_points(eye: Eye, field: LidField, points: Values) -> Values:
    """Where in the still picture the lashes are that hang at these points [h, w, 2] below a falling lid.

    Lashes that point up from an open lid point down from a shut one: they are mirrored at its edge.
    """
    below = field.y - field.edge
    shift = (field.upper - below) - field.y
    ax, ay = (np.float32(v) for v in eye.geometry.axis)
    moved = np.stack([points[..., 0] - shift * ay, points[..., 1] + shift * ax], axis=-1)
    return moved.astype(np.float32)


def paint_lid(
    eye: Eye, closing: float, field: LidField, pixels: Values, lashes: Values, softness: float, grain: float
) -> Values:
    """Draw the lid over `pixels`.

    Args:
        pixels: [h, w, 3] float32, 0..255. lashes: [h, w, 3] float32, the picture at `lash_points`.
    Returns:
        New pixels.
    """
    d = np.float32(eye.eye_distance)
    soft = np.float32(max(softness, 1.0))
    y, upper, edge, lower = field.y, field.upper, field.edge, field.lower
    half = np.float32(eye.geometry.half_width)
    inside = np.clip((1 - np.abs(field.u)) * half / (np.float32(0.13) * half + soft), 0, 1)
    inside = inside * inside * (3 - 2 * inside)
    shown = np.float32(min(1.0, closing / 0.12))

    # Shadow of the lid on the eyeball, which a shut lid does not show.
    below = np.exp(-np.clip((y - edge) / np.maximum(0.35 * (lower - upper), 1), 0, 5)) * (y >= edge) * (y < lower)
    result = pixels * (1 - 0.6 * np.float32(closing * (1 - closing)) * below * inside)[..., None]

    position = (np.clip(field.u, -1, 1) + 1) * np.float32((NUM_COLUMNS - 1) / 2)
    index = np.minimum(position.astype(np.int32), NUM_COLUMNS - 2)
    share = (position - index.astype(np.float32))[..., None]
    table = eye.colours

    def column(colours: Values) -> Values:
        value: Values = colours[index] * (1 - share) + colours[index + 1] * share
        return value

    t = np.clip((y - upper) / np.maximum(lower - upper, 1), 0, 1)
    above = column(table.above)
    skin = above * (1 - t)[..., None] + column(table.below) * t[..., None]
    # A ball under skin: darker in the fold, lightest a little below the middle.
    ball = 0.95 + 0.06 * np.exp(-(((t - 0.55) / 0.38) ** 2)) * (1 - 0.35 * field.u**2)
    skin = skin * ball[..., None]
    if grain > 0.5:
        skin = skin + noise(*y.shape)[..., None] * np.float32(0.7 * grain)
    # Above the open lid the drawn skin fades in, over the lashes that the picture shows there.
    cover = np.float32(eye.plain) * d * np.sqrt(inside) * np.float32(min(1.0, closing / 0.5))
    top = np.clip((y - (upper - cover)) / (0.45 * cover + soft), 0, 1)
    top = top * top * (3 - 2 * top)
    lid = top * np.clip((edge - y) / soft + 0.5, 0, 1) * inside * shown
    result = result + (skin - result) * lid[..., None]

    # Lashes darken what is below the edge as they darkened the skin above it; further down only their tips are left.
    hang = np.clip((y - edge) / (np.float32(LASH_LENGTH) * d), 0, 1)
    density = (1 - hang) * (y > edge) * inside * np.float32(max(0.0, (closing - 0.35) / 0.65))
    factor = np.clip(lashes / np.maximum(above, 1), 0.25, 1)
    result = result * (1 - (1 - factor) * (0.8 * density)[..., None])

    width = np.maximum(np.float32(LASH_WIDTH) * d, 0.6 * soft)
    line = np.exp(-(((y - edge) / width) ** 2)) * np.sqrt(inside) * shown * 0.72
    result = result + (table.lash - result) * line[..., None]
    drawn: Values = np.clip(result, 0, 255)
    return drawn


def eye_reach(eye: EyeGeometry, eye_distance: float) -> float:
    """Radius around the eye's centre inside which a blink changes pixels."""
    above, below = max(FOLD_ABOVE, LASH_REACH) * eye_distance, LASH_LENGTH * eye_distance
    height = max(-float(eye.upper_lid.min()) + above, float(eye.lower_lid.max()) + below)
    return float(np.hypot(eye.half_width, height)) + 0.05 * eye_distance + 2


def usable_eyes(left: EyeGeometry, right: EyeGeometry, *, least: float = 0.6) -> tuple[EyeGeometry, EyeGeometry] | None:
    """The eyes if both are seen, alike and open; a wrong blink is worse than none.

    Args:
        least: confidence that both must have.
    """
    if min(left.confidence, right.confidence) < least:
        return None
    openings = [float((eye.lower_lid - eye.upper_lid).max()) / eye.half_width for eye in (left, right)]
    widths = [left.half_width, right.half_width]
    turns = [float(np.arctan2(eye.axis[1], eye.axis[0])) for eye in (left, right)]
    if abs(turns[0] - turns[1]) > 0.45:
        return None
    if max(openings) > 2.2 * min(openings) or max(widths) > 1.5 * min(widths) or min(openings) < 0.25:
        return None
    return left, right
