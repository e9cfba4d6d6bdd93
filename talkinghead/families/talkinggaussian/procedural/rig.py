"""How the constructed head moves: fields over the face, and networks whose weights are written down.

A field is a function of two coordinates that is stored in one level of a grid encoder; the networks combine fields with
speech and expression by the only means they have, sums and rectifiers:

    gate(a, b)      relu(a + b - 1)             both masks must be 1
    step(d)         relu(k d) - relu(k d - 1)   0 below the line, 1 above
    moved only below the mouth line:            relu(jaw * mask - 2 * above)
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.families.talkinggaussian.grid import GridConfig
from talkinghead.families.talkinggaussian.network import (
    BOUND,
    FACE,
    MOUTH,
    MOUTH_SIDEWAYS,
    MOVE_SCALE,
    PLANES,
    NetworkKind,
    expected_shapes,
)
from talkinghead.families.talkinggaussian.phone_features import ALPHABET, PEAK
from talkinghead.families.talkinggaussian.procedural import UNIT

Values = NDArray[np.float64]
Field = Callable[[Values, Values], Values]
"""A function of the two coordinates of its plane, head units."""

JAW_DROP = np.array([0.0, -0.215, -0.06])
"""Movement of the chin at full opening, head units."""
CANONICAL_OPENING = 0.5
"""The stored cloud has its mouth half open: upper and lower lip are apart where the field between them jumps."""
LIP_LINE_Y = -0.405
"""Where closed lips meet."""
LIP_HALF_WIDTH = 0.27
EYE = np.array([0.265, 0.09, 0.565])
"""Centre of the eye at positive x."""
EYEBALL_RADIUS = 0.138
LID_RADIUS = 0.170
"""Distance from the eye's centre of the moving lids, in front of the eyeball."""
LID_TOP_Y = 0.112
"""Above the eye's centre: where the upper lid is fixed."""
LID_UPPER, LID_LOWER = 0.068, -0.056
"""Edges of the open lids above the line between the eye's corners, in the middle of the eye."""
EYE_HALF_WIDTH = 0.165
BLINK_FULL = 1.6
"""Action unit 45 that closes the eyes."""

CLOSED_BELOW = 0.06
"""Opening of the jaw up to which the lips stay together."""

SPEECH = {
    "jaw": {
        "a": 1.06, "o": 0.81, "e": 0.68, "u": 0.66, "i": 0.48, "h": 0.4, "r": 0.36, "k": 0.3, "g": 0.3, "l": 0.32,
        "y": 0.26, "w": 0.2, "n": 0.2, "t": 0.2, "d": 0.2, "f": 0.08, "v": 0.08, "c": 0.14, "j": 0.14, "s": 0.08,
        "z": 0.08, "m": -1.6, "b": -1.6, "p": -1.6,
    },
    "round": {"w": 1.0, "o": 0.55, "c": 0.5, "r": 0.4, "j": 0.4, "u": 0.2},
    "spread": {"y": 0.8, "i": 0.45, "e": 0.4, "s": 0.4, "z": 0.4, "a": 0.15},
    "tuck": {"f": 1.0, "v": 1.0},
    "tongue": {"l": 1.0, "n": 0.7, "t": 0.7, "d": 0.7},
}  # fmt: skip
"""What each character of the speech features does."""


def smoothstep(values: Values) -> Values:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(values, 0, 1)
    return t * t * (3 - 2 * t)


def bump(values: Values) -> Values:
    """1 at 0, falling smoothly to 0 at -1 and 1."""
    return smoothstep(1 - np.abs(values))


def lip_line(x: Values) -> Values:
    """Height of the line between the lips of the stored, half open head."""
    return LIP_LINE_Y + 0.5 * CANONICAL_OPENING * JAW_DROP[1] * lip_opening(x)


def lip_opening(x: Values) -> Values:
    """How far the lips part along the mouth: 1 in the middle, 0 from the corners on."""
    return np.clip(1 - (x / LIP_HALF_WIDTH) ** 2, 0, 1)


def jaw_mask(x: Values, y: Values) -> Values:
    """How much skin below the mouth line follows the jaw; 0 at the line outside the mouth."""
    below = smoothstep((lip_line(x) - y) / 0.42)
    chin = np.exp(-((x / 0.55) ** 4))
    fade = smoothstep((y + 1.25) / 0.3)
    return (lip_opening(x) * (1 - below) + chin * below) * fade


def front(_: Values, z: Values) -> Values:
    """1 on the front of the face, 0 on neck and back of the head."""
    return smoothstep((z - 0.1) / 0.3)


def upper_lip(x: Values, y: Values) -> Values:
    return bump(x / 0.32) * bump((y - LIP_LINE_Y - 0.03) / 0.13)


def corner(x: Values, y: Values) -> Values:
    """Skin around the mouth corner at positive x."""
    return np.where(x > 0, np.clip(x / 0.12, 0, 1) * bump((x - 0.22) / 0.3) * bump((y + 0.44) / 0.3), 0.0)


def lips(x: Values, y: Values) -> Values:
    return bump(x / 0.32) * bump((y + 0.45) / 0.24)


def lower_lip(x: Values, y: Values) -> Values:
    return bump(x / 0.26) * bump((y - lip_line(x) + 0.09) / 0.16)


def brow(x: Values, y: Values) -> Values:
    return bump((np.abs(x) - 0.26) / 0.3) * bump((y - 0.36) / 0.22)


def eye_distance_xy(x: Values, y: Values) -> Values:
    """Square of the distance to the nearer eye's axis, limited."""
    return np.minimum((np.abs(x) - EYE[0]) ** 2 + (y - EYE[1]) ** 2, 0.2)


def eye_distance_z(_: Values, z: Values) -> Values:
    return np.minimum((z - EYE[2]) ** 2, 0.4)


def almond(x: Values) -> Values:
    """Opening of the eye along its width: 1 in the middle, 0 at its corners."""
    return np.clip(1 - ((np.abs(x) - EYE[0]) / EYE_HALF_WIDTH) ** 2, 0, 1)


def lid_edges(x: Values) -> tuple[Values, Values]:
    """Heights of the open upper and lower lid."""
    opening = almond(x)
    return EYE[1] + LID_UPPER * opening, EYE[1] + LID_LOWER * opening


def lid_width(part: float) -> float:
    """What makes `lid rise + lid_width - 1` the travel of the upper lid's edge.

    Args:
        part: place along the eye, -1 and 1 at its corners, where the edge stands lower and the rise alone is too large.
    """
    opening = max(0.0, 1 - part**2)
    rise = (LID_TOP_Y - LID_UPPER * opening) / (LID_TOP_Y - LID_UPPER)
    return opening - rise + 1


LID_KNOTS = tuple(np.linspace(-1.0, 1.0, 10).tolist())
"""Places along the eye between which `lid_width` is taken as straight."""


def _unused(plane: str, count: int) -> tuple[tuple[str, Field], ...]:
    return tuple((f"unused_{plane}_{k}", lambda a, _: np.zeros_like(a)) for k in range(count))


# Names of the fields in the levels of each plane, coarsest grid first.
FACE_FIELDS: dict[str, tuple[tuple[str, Field], ...]] = {
    "xy": (
        ("one", lambda x, _: np.ones_like(x)),
        ("height", lambda _, y: y),
        *_unused("xy", 1),
        ("brow", brow),
        ("lips", lips),
        ("corner_right", corner),
        ("corner_left", lambda x, y: corner(-x, y)),
        ("lower_lip", lower_lip),
        ("upper_lip", upper_lip),
        ("line", lambda x, y: np.clip(y - lip_line(x), -0.5, 0.5)),
        ("eye_xy", eye_distance_xy),
        ("jaw", jaw_mask),
    ),
    "yz": (*_unused("yz", 10), ("front", front), ("eye_z", eye_distance_z)),
    "xz": (*_unused("xz", 11), ("aside", lambda x, _: np.abs(x))),
}

# The mouth's cloud is stored fully open; its grids are finest first.
MOUTH_FIELDS: dict[str, tuple[tuple[str, Field], ...]] = {
    "xy": (
        ("above", lambda x, y: smoothstep((y - mouth_split(x)) / 0.04)),
        ("one", lambda x, _: np.ones_like(x)),
    ),
    "yz": (("behind", lambda _, z: smoothstep((0.42 - z) / 0.08)),),
    "xz": (),
}


def mouth_split(x: Values) -> Values:
    """Between upper and lower teeth of the stored, fully open mouth."""
    return np.full_like(x, LIP_LINE_Y + 0.5 * JAW_DROP[1] - 0.02)


def node_coordinates(config: GridConfig, level: int) -> Values:
    """Where the grid nodes of a level stand along an axis, head units."""
    growth = np.float32(np.log2(config.per_level_scale))
    scale = float(np.float32(np.exp2(np.float32(level) * growth) * np.float32(config.base_resolution) - np.float32(1)))
    resolution = int(np.ceil(scale)) + 1
    unit = (np.arange(resolution + 1) - 0.5) / scale
    return np.asarray((2 * unit - 1) * BOUND / UNIT, np.float64)


def grid_embeddings(config: GridConfig, fields: tuple[tuple[str, Field], ...]) -> NDArray[np.float32]:
    """A table that holds each field in a level of its own."""
    table = np.zeros((int(config.offsets[-1]), 1), np.float32)
    for level, (_, field) in enumerate(fields):
        nodes = node_coordinates(config, level)
        first, second = np.meshgrid(nodes, nodes)  # the first coordinate changes fastest
        values = field(first.ravel(), second.ravel())
        start = int(config.offsets[level])
        table[start : start + len(values), 0] = values
    return table


class _Wires:
    """Rows of a weight matrix, written by the names of its columns."""

    def __init__(self, shape: tuple[int, ...], columns: Mapping[str, int]) -> None:
        self.matrix = np.zeros(shape, np.float32)
        self._columns = columns

    def row(self, index: int, **terms: float) -> None:
        for name, weight in terms.items():
            self.matrix[index, self._columns[name]] += weight


def _columns(kind: NetworkKind, fields: Mapping[str, tuple[tuple[str, Field], ...]]) -> dict[str, int]:
    """Column of each field in the features of the three planes."""
    places = {}
    for plane, (name, _) in enumerate(PLANES):
        for level, (field_name, _) in enumerate(fields[name]):
            places[field_name] = plane * kind.grid.num_features + level
    return places


CODES = ("jaw", "jaw", "round", "round", "spread", "spread", "round", "tuck", "one", "one", "one")
"""What each of the first audio codes says; `one` is always 1. Further codes are 0."""
TONGUE_CODE = 12
MASKS = (
    "jaw_mask", "upper_lip_mask", "right_mask", "left_mask", "right_mask", "left_mask", "lips_mask", "lower_lip_mask",
    "above", "jaw_mask", "one_mask",
)  # fmt: skip
"""What each of them is multiplied with at every Gaussian."""


def _audio_branch(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Convolutions that read the middle of the window; attention that eases over three rows."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name.startswith("audio_")}
    first = weights["audio_net.encoder_conv.0.weight"]
    for channel, meaning in enumerate(("jaw", "round", "spread", "tuck", "tongue")):
        for character, strength in SPEECH[meaning].items():
            first[channel, ALPHABET.index(character)] = strength / PEAK * np.array([0.25, 0.5, 0.25])
    taps = {2: 1, 4: 1, 6: 2}  # of sixteen positions 7, 8 and 9 remain
    for index, tap in taps.items():
        matrix = weights[f"audio_net.encoder_conv.{index}.weight"]
        matrix[np.arange(5), np.arange(5), tap] = 1
    weights["audio_net.encoder_fc1.0.weight"][np.arange(5), np.arange(5)] = 1
    last, bias = weights["audio_net.encoder_fc1.2.weight"], weights["audio_net.encoder_fc1.2.bias"]
    order = {"jaw": 0, "round": 1, "spread": 2, "tuck": 3}
    for code, meaning in enumerate(CODES):
        if meaning == "one":
            bias[code] = 1
        else:
            last[code, order[meaning]] = 1
        if meaning == "jaw":
            bias[code] = -CLOSED_BELOW
    last[TONGUE_CODE, 4] = 1
    weights["audio_att_net.attentionNet.0.bias"][:] = -20
    weights["audio_att_net.attentionNet.0.bias"][[3, 4, 5]] = np.log([0.08, 0.84, 0.08])
    return weights


def face_network() -> dict[str, NDArray[Any]]:
    """Weights of the face's motion network."""
    shapes = expected_shapes(FACE, 29)
    weights: dict[str, NDArray[Any]] = _audio_branch(shapes)
    for plane, _ in PLANES:
        weights[f"encoder_{plane}.embeddings"] = grid_embeddings(FACE.grid, FACE_FIELDS[plane])
        weights[f"encoder_{plane}.offsets"] = FACE.grid.offsets
    fields = _columns(FACE, FACE_FIELDS)

    identity = np.zeros(shapes["exp_encode_net.net.0.weight"], np.float32)
    identity[:5, :5] = np.eye(5)
    weights["exp_encode_net.net.0.weight"] = identity
    weights["exp_encode_net.net.1.weight"] = np.ascontiguousarray(identity.T)

    # Expression masks. Lids are told from the eyeball by the distance to the eye's centre.
    between = ((EYEBALL_RADIUS + LID_RADIUS) / 2) ** 2
    top, middle, span = EYE[1] + LID_TOP_Y, EYE[1] + 0.008, LID_TOP_Y - LID_UPPER
    hidden = _Wires(shapes["eye_att_net.net.0.weight"], fields)
    hidden.row(0, brow=1, front=1, one=-1)
    hidden.row(1, height=-1 / span, one=top / span)
    hidden.row(2, height=-4 / span, one=4 * middle / span)  # ends the upper lid before the lower one begins
    hidden.row(3, eye_xy=400, eye_z=400, one=-400 * between)
    hidden.row(4, eye_xy=400, eye_z=400, one=-400 * between - 1)
    hidden.row(5, one=1)
    outer = _Wires(
        shapes["eye_att_net.net.1.weight"],
        {
            "brow": 0,
            "rise": 1,
            "end": 2,
            "far": 3,
            "over": 4,
            "one": 5,
            **{f"bend{k}": 6 + k for k in range(len(LID_KNOTS))},
        },
    )
    outer.row(0, brow=1)
    outer.row(1, brow=1)
    values = [lid_width(part) for part in LID_KNOTS]
    knots = [EYE[0] + EYE_HALF_WIDTH * part for part in LID_KNOTS]
    slopes = [(v1 - v0) / (k1 - k0) for (v0, v1), (k0, k1) in zip(pairwise(values), pairwise(knots), strict=True)]
    slopes = [*slopes, slopes[-1]]
    bends = {}
    for index, knot in enumerate(knots):
        hidden.row(6 + index, aside=1, one=-knot)
        bends[f"bend{index}"] = slopes[index] - (slopes[index - 1] if index else 0.0)
    for unit in (2, 5):
        outer.row(unit, rise=1, end=-1, far=6, over=-6, one=values[0] - 1 - 6, **bends)
    weights["eye_att_net.net.0.weight"], weights["eye_att_net.net.1.weight"] = hidden.matrix, outer.matrix

    # Masks that the speech codes are multiplied with.
    names = ("jaw", "upper_lip", "right", "left", "lips", "lower_lip", "step", "over", "one")
    hidden = _Wires(shapes["aud_ch_att_net.net.0.weight"], fields)
    for index, field in enumerate(("jaw", "upper_lip", "corner_right", "corner_left", "lips", "lower_lip")):
        hidden.row(index, **{field: 1.0, "front": 1.0, "one": -1.0})
    hidden.row(6, line=50)
    hidden.row(7, line=50, one=-1)
    hidden.row(8, one=1)
    outer = _Wires(shapes["aud_ch_att_net.net.1.weight"], {name: k for k, name in enumerate(names)})
    for code, mask in enumerate(MASKS):
        if mask == "above":
            outer.row(code, step=1, over=-1)
        else:
            outer.row(code, **{mask.removesuffix("_mask"): 1.0})
    weights["aud_ch_att_net.net.0.weight"], weights["aud_ch_att_net.net.1.weight"] = hidden.matrix, outer.matrix

    columns = dict(fields)
    columns.update({f"w{code}": 36 + code for code in range(len(CODES))})
    columns.update({f"e{unit}": 68 + unit for unit in range(6)})
    first = _Wires(shapes["sigma_net.net.0.weight"], columns)
    first.row(0, w0=1, w8=-2)  # jaw, below the line
    first.row(1, w9=1, w8=-2)  # always, below the line
    first.row(2, w1=1, w8=2, w10=-2)  # upper lip, above it
    for index, code in enumerate((2, 3, 4, 5, 6), start=3):
        first.row(index, **{f"w{code}": 1.0})
    first.row(8, w7=1, w8=-2)  # lower lip
    for index, unit in ((9, 0), (10, 1), (11, 2), (13, 5)):
        first.row(index, **{f"e{unit}": 1.0})
    second = np.zeros(shapes["sigma_net.net.1.weight"], np.float32)
    second[np.arange(16), np.arange(16)] = 1
    third = np.zeros(shapes["sigma_net.net.2.weight"], np.float32)

    def move(unit: int, x: float = 0, y: float = 0, z: float = 0) -> None:
        third[:3, unit] += np.array([x, y, z]) * UNIT / MOVE_SCALE

    move(0, *JAW_DROP)
    move(1, *(-CANONICAL_OPENING * JAW_DROP))
    move(2, y=0.035, z=0.01)
    move(3, x=-0.085)  # rounding pulls the corners in
    move(4, x=0.085)
    move(5, x=0.06, y=0.008)  # spreading pulls them out
    move(6, x=-0.06, y=0.008)
    move(7, z=0.07)
    move(8, y=0.06, z=-0.05)
    move(9, y=0.022)  # inner brow raiser
    move(10, y=-0.022)  # brow lowerer
    move(11, y=0.012)  # upper lid raiser
    move(13, y=1.08 * (LID_LOWER - LID_UPPER) / BLINK_FULL, z=0.008 / BLINK_FULL)
    third[8:11, 13] = 0.6 / BLINK_FULL  # raw scales grow where skin is stretched
    third[8:11, 0] = 0.3
    weights["sigma_net.net.0.weight"], weights["sigma_net.net.1.weight"] = first.matrix, second
    weights["sigma_net.net.2.weight"] = third
    return {name: weights[name] for name in shapes}


def mouth_network() -> dict[str, NDArray[Any]]:
    """Weights of the mouth's motion network: lower teeth and tongue follow the jaw."""
    shapes = expected_shapes(MOUTH, 29)
    weights: dict[str, NDArray[Any]] = _audio_branch(shapes)
    for plane, _ in PLANES:
        weights[f"encoder_{plane}.embeddings"] = grid_embeddings(MOUTH.grid, MOUTH_FIELDS[plane])
        weights[f"encoder_{plane}.offsets"] = MOUTH.grid.offsets
    columns = _columns(MOUTH, MOUTH_FIELDS)
    columns.update({f"a{code}": 36 + code for code in range(32)})
    first = _Wires(shapes["sigma_net.net.0.weight"], columns)
    first.row(0, a0=1, above=-8, behind=-8)
    first.row(1, a8=1, above=-8, behind=-8)
    second = np.zeros(shapes["sigma_net.net.1.weight"], np.float32)
    second[np.arange(2), np.arange(2)] = 1
    third = np.zeros(shapes["sigma_net.net.2.weight"], np.float32)
    sideways = np.array([MOUTH_SIDEWAYS, 1.0, MOUTH_SIDEWAYS])
    third[:, 0] = JAW_DROP * sideways * UNIT / MOVE_SCALE
    third[:, 1] = -third[:, 0]
    weights["sigma_net.net.0.weight"], weights["sigma_net.net.1.weight"] = first.matrix, second
    weights["sigma_net.net.2.weight"] = third
    for index in range(2):  # in the state dict, but the mouth never uses it
        name = f"aud_ch_att_net.net.{index}.weight"
        weights[name] = np.zeros(shapes[name], np.float32)
    return {name: weights[name] for name in shapes}


def stored(points: Values, network: Mapping[str, NDArray[Any]]) -> Values:
    """Where points of the closed, silent face stand in the stored cloud, so that the network moves them back exactly.

    Args:
        points: [N, 3] float64, head units, mouth closed, eyes open.
        network: weights of `face_network`.
    """
    import torch

    from talkinghead.families.talkinggaussian import network as published
    from talkinghead.families.talkinggaussian.motion import torch_weights

    weights = torch_weights(network, torch.device("cpu"))
    silence = published.attend(weights, published.audio_rows(weights, torch.zeros(8, 29, 16))[None])
    below = (points[:, 1] < LIP_LINE_Y)[:, None]
    place = points.copy()
    for step in range(10):
        if step < 4:  # towards the other side of the line between the lips
            mask = jaw_mask(place[:, 0], place[:, 1]) + front(place[:, 1], place[:, 2]) - 1
            move = -CANONICAL_OPENING * np.clip(mask, 0, None)[:, None] * below * JAW_DROP
        else:
            with torch.inference_mode():
                enc_x = published.encode_points(weights, FACE, (place * UNIT).astype(np.float32))
                move = published.face_motion(weights, enc_x, silence, torch.zeros(6)).d_xyz.numpy() / UNIT
        place = points - move
    return place
