"""The drawn person's mouth: its shape as eight numbers, and the picture of a shape.

Lengths are distances between the eyes; x to the right from the middle of the face, y downwards from the eyes. Every
edge of the mouth is an arch height - bend * |x|^POWER that stands above or below the line between the lips:

                outer upper     ╭───────────╮
                inner upper     │ ╭───────╮ │         the edges need height and bend each: eight numbers
         line ──────────────────┤ │       │ ├───
                inner lower     │ ╰───────╯ │
                outer lower     ╰───────────╯

A layer is a field that is 0 at the layer's edge and grows inwards; its share of a pixel is clip(field, 0, 1). Layers
add their colours, so that the network can take the resting mouth out of its reference picture and put another one in.
`delta_rgb` is the specification of the constructed network in `weights.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, MouthMotion
from talkinghead.face.landmarks.layout import MOUTH_Y

Values = NDArray[np.float64]

EDGES = ("inner_lower", "inner_upper", "outer_lower", "outer_upper")
SHAPE = tuple(f"{edge}_{part}" for edge in EDGES for part in ("height", "bend"))
"""Names of the eight numbers."""
POWER = 2.5

HALF_WIDTH = 0.375
"""Of the line between the lips."""
OUTER_HALF_WIDTH = 0.415
REST_HEIGHT: Mapping[str, float] = {"inner_lower": 0.0, "inner_upper": 0.0, "outer_lower": 0.150, "outer_upper": 0.112}
OPEN_HEIGHT: Mapping[str, float] = {
    "inner_lower": 0.270,
    "inner_upper": 0.055,
    "outer_lower": 0.255,
    "outer_upper": 0.040,
}
"""What a wide open mouth adds."""
ARCH = 0.62
"""Beyond this |x| the arches are flat."""
NUM_KNOTS = 11
SMILE = 0.020
"""How much higher the corners of the mouth stand than its middle."""
BOW = 0.022
"""Depth of the dip in the upper lip."""
TEETH_Y, TEETH_BEND = 0.040, 0.70
"""Lower edge of the upper teeth under the line between the lips."""
TONGUE_ABOVE, TONGUE_BEND = 0.085, 0.7
"""Top of the tongue over the middle of the lower lip's inner edge."""
TUCK_GAP = 0.13
"""Opening of the lower lip, of the widest, where it touches the upper teeth."""
MARGIN = 0.25
"""How much of a layer's edge the lips' contact takes: an opening smaller than that stays shut."""
CORNER = 0.6
"""How much of an edge the corners of the lips lose: they end where they are still some pixels high."""
LINE = 0.11
"""Half thickness of the line between closed lips, as a share of the lower lip."""

EDGE_SOFTNESS, SOFT = 0.020, 0.055
"""Widths over which a layer begins: sharp ones and shading."""

LIP_RGB = np.array([0.78, 0.40, 0.39])
COLOURS: Mapping[str, Values] = {
    "shadow": np.array([-0.075, -0.075, -0.066]),
    "lips": LIP_RGB - np.array([0.91, 0.71, 0.60]),
    "upper": np.array([-0.085, -0.065, -0.055]),
    "gloss": np.array([0.085, 0.105, 0.105]),
    "line": np.array([0.40, 0.14, 0.15]) - LIP_RGB,
    "mouth": np.array([0.30, 0.08, 0.09]) - LIP_RGB,
    "teeth": np.array([0.97, 0.95, 0.92]) - np.array([0.30, 0.08, 0.09]),
    "tongue": np.array([0.72, 0.32, 0.32]) - np.array([0.30, 0.08, 0.09]),
}
"""What each layer adds to red, green and blue, in the order in which they cover each other."""


def knots() -> Values:
    """|x| between which arches are straight: the columns of a 40 pixels wide map over the network's picture."""
    return np.linspace(0.5, NUM_KNOTS - 0.5, NUM_KNOTS) * (ARCH / (NUM_KNOTS - 0.5))


def power(x: Values) -> Values:
    """|x|^POWER in straight pieces, flat in the middle and beyond ARCH."""
    found: Values = np.interp(np.abs(x), knots(), knots() ** POWER)
    return found


def bow(x: Values) -> Values:
    """The dip in the middle of the upper lip's outer edge."""
    found: Values = BOW * np.clip(1.0 - np.abs(x) / 0.13, 0.0, 1.0)
    return found


def rest_bend(edge: str) -> float:
    """That of the resting mouth."""
    return REST_HEIGHT[edge] / float((HALF_WIDTH if edge.startswith("inner") else OUTER_HALF_WIDTH) ** POWER)


def resting() -> Values:
    """[8]: the mouth of the template."""
    return np.array([value for edge in EDGES for value in (REST_HEIGHT[edge], rest_bend(edge))])


def fields(x: Values, y: Values, shape: Values) -> dict[str, Values]:
    """The layers' fields.

    Args:
        x, y: places, of one shape.
        shape: [8], see SHAPE.
    """
    far = power(x)
    down = y - MOUTH_Y + SMILE / HALF_WIDTH**POWER * far
    value = dict(zip(SHAPE, shape, strict=True))
    arch = {edge: value[f"{edge}_height"] - value[f"{edge}_bend"] * far for edge in EDGES}
    drop, low = value["inner_lower_height"], value["outer_lower_height"]
    k, soft = 1 / EDGE_SOFTNESS, 1 / SOFT
    above, below = k * (down + arch["inner_upper"]), k * (arch["inner_lower"] - down)
    top, bottom = k * (down + arch["outer_upper"] - bow(x)), k * (arch["outer_lower"] - down)
    mouth, lips = np.minimum(above, below) - MARGIN, np.minimum(top, bottom) - CORNER
    line = 0.5 * k * (LINE * arch["outer_lower"] - np.abs(down)) + 0.2
    return {
        "shadow": soft * (0.045 - 0.45 * far - np.abs(down - low - 0.055)),
        "lips": lips,
        "upper": np.minimum(top, -above),
        "gloss": np.minimum(soft * (0.036 - 1.0 * far - np.abs(down - drop - 0.072)), lips),
        "line": line - np.maximum(line - lips, 0) - np.maximum(line - (1 - mouth), 0),
        "mouth": mouth,
        "teeth": np.minimum(mouth, k * (TEETH_Y - TEETH_BEND * far - down)),
        "tongue": np.minimum(mouth, 0.4 * k * (down - drop + TONGUE_ABOVE - TONGUE_BEND * far)),
    }


def painted(x: Values, y: Values, shape: Values) -> Values:
    """What the mouth adds to the skin, [..., 3] RGB."""
    total = np.zeros((*x.shape, 3))
    for name, field in fields(x, y, shape).items():
        total += np.clip(field, 0, 1)[..., None] * COLOURS[name]
    return total


def delta_rgb(x: Values, y: Values, shape: Values) -> Values:
    """What turns the resting mouth into another one, [..., 3] RGB."""
    return painted(x, y, shape) - painted(x, y, resting())


def shapes(mouth: MouthMotion) -> FloatArray:
    """The eight numbers of every frame, [n, 8] float32.

    Opening heights follow the gap between the lips; rounding narrows all arches and thickens the lips, spreading widens
    and thins them; for f and v the lower lip goes up under the teeth.
    """
    gap = mouth.lips.astype(np.float64)
    spread, rounded = np.clip(mouth.width, 0, 1).astype(np.float64), np.clip(-mouth.width, 0, 1).astype(np.float64)
    tuck = mouth.tuck.astype(np.float64)
    lower = gap * (1.0 - 0.15 * spread - 0.20 * rounded) * (1.0 - tuck) + TUCK_GAP * tuck
    fuller = 1.0 + 0.20 * rounded - 0.12 * spread
    heights = {
        "inner_lower": OPEN_HEIGHT["inner_lower"] * lower,
        "inner_upper": OPEN_HEIGHT["inner_upper"] * np.maximum(gap, 0.8 * tuck),
        "outer_lower": REST_HEIGHT["outer_lower"] * fuller * (1.0 - 0.45 * tuck) + OPEN_HEIGHT["outer_lower"] * lower,
        "outer_upper": REST_HEIGHT["outer_upper"] * fuller + OPEN_HEIGHT["outer_upper"] * gap,
    }
    wider = 1.0 + 0.12 * spread - 0.30 * rounded
    columns = []
    for edge in EDGES:
        half = (HALF_WIDTH if edge.startswith("inner") else OUTER_HALF_WIDTH) * wider
        columns += [heights[edge], heights[edge] / half**POWER]
    return np.stack(columns, axis=1).astype(np.float32)


def plain(gap: NDArray[Any]) -> FloatArray:
    """The eight numbers of mouths that are open and nothing else, [n, 8] float32.

    Args:
        gap: [n] in [0, 1].
    """
    opened = np.asarray(gap, np.float32)
    none = np.zeros_like(opened)
    return shapes(MouthMotion(Fraction(25), opened, opened, none, none, none, none))
