"""Networks with constructed weights: an AVE encoder that hears loudness, a generator that draws a mouth.

The generator has nothing but sums and rectifiers, so the mouth of `mouth.py` is computed step by step:

    audio branch        eight numbers of the mouth's shape, each the same at every pixel
    10x10 maps          x and y: a map's zero border, moved inwards pixel by pixel and added up
    20x20 to 80x80      |x|^POWER, its products with the bends of the arches, distances to arches, the smaller of two
    full size           layers = clip(distance), their colours added to the reference picture, minus those at rest

Distances, not positions, go up to the full size: they are small where it matters, so half precision is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.encoders import ave
from talkinghead.contracts import FloatArray
from talkinghead.face.landmarks.layout import BRIDGE_Y, MOUTH_Y, standard_face
from talkinghead.families.synctalk2d.crop import CONTOUR_LEFT
from talkinghead.families.synctalk2d.procedural import mouth
from talkinghead.families.synctalk2d.procedural.circuit import (
    Circuit,
    Sum,
    Tensors,
    Unit,
    identity_tensors,
    least,
    linear,
    pieces,
    rectified,
)
from talkinghead.families.synctalk2d.procedural.mouth import COLOURS, EDGE_SOFTNESS, EDGES, SHAPE, SOFT
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, BORDER_PX, SIZES, SizeVariant
from talkinghead.families.synctalk2d.weights import PHONES, expected_shapes

LOUD, QUIET = 0.45, 0.12
"""Mean of the scaled mel spectrogram that opens the mouth fully, and that keeps it closed."""
ON_TIME_ROW = AUDIO_VARIANTS["ave"].window_rows // 2
"""Row of the window that is the frame's own. The sound that an AVE row hears is centred 40 ms after its frame."""
CROP_WIDTH = 2 * abs(float(standard_face()[CONTOUR_LEFT, 0]))
"""Side of the crop in distances between the eyes."""
RANGES: Mapping[str, tuple[float, float]] = {
    "inner_lower_height": (0.0, 0.27), "inner_lower_bend": (0.0, 6.4),
    "inner_upper_height": (0.0, 0.055), "inner_upper_bend": (0.0, 1.6),
    "outer_lower_height": (0.04, 0.46), "outer_lower_bend": (0.3, 8.0),
    "outer_upper_height": (0.06, 0.22), "outer_upper_bend": (0.6, 4.4),
}  # fmt: skip
"""A feature of 0 and one of 1 stand for these values of SHAPE."""
CELLS = 9
"""Steps between the columns of the 10x10 maps."""


def encoded(shapes: NDArray[Any]) -> FloatArray:
    """Rows of features for mouths.

    Args:
        shapes: [n, 8] as `mouth.SHAPE`.
    Returns:
        [n, 512] float32: two maps of 16x16, whose pixels (even, even), (even, odd), (odd, even), (odd, odd) are four
        numbers each.
    """
    low, high = np.array([RANGES[name] for name in SHAPE]).T
    values = np.clip((np.asarray(shapes, np.float64) - low) / (high - low), 0, 1)
    maps = values.reshape(-1, 2, 1, 2, 1, 2)
    return np.broadcast_to(maps, (len(values), 2, 8, 2, 8, 2)).reshape(len(values), -1).astype(np.float32)


def constructed_ave_encoder() -> Tensors:
    """Weights of an AVE encoder whose features are the mouth that is as open as the window is loud."""
    state = identity_tensors(ave.expected_shapes())
    state["0.conv_block.0.weight"][0, 0, 1, 1] = 1 / 8
    state["0.conv_block.0.bias"][0] = 0.5  # mel -4..4 to 0..1
    for k, layer in enumerate(ave.LAYERS):
        if k and not layer.residual and layer.kernel == 3:
            state[f"{k}.conv_block.0.weight"][0, 0] = 1 / 9  # mean of the neighbourhood
    last = len(ave.LAYERS) - 1
    before = f"{last - 1}.conv_block.0"  # two units: opening, and what is beyond fully open
    state[f"{before}.weight"][:] = 0
    for unit, bias in enumerate((-QUIET, -LOUD)):
        state[f"{before}.weight"][unit, 0] = 1 / 9
        state[f"{before}.bias"][unit] = bias
    closed, opened = encoded(mouth.plain(np.array([0.0, 1.0])))
    slope = (opened - closed) / (LOUD - QUIET)
    state[f"{last}.conv_block.0.weight"][:, 0, 0, 0] = slope
    state[f"{last}.conv_block.0.weight"][:, 1, 0, 0] = -slope
    state[f"{last}.conv_block.0.bias"][:] = closed
    return state


@dataclass(frozen=True)
class _Steps:
    """In which blocks of the decoder the mouth is computed, by the size of the network."""

    arch: str
    products: tuple[str, int]
    """Block, and pieces of a parabola that it has room for."""
    edges: str
    covers: str


_STEPS = {
    "328": _Steps("up2.0", ("up3.0", 24), "up4.0", "up4.1"),
    "160": _Steps("up2.0", ("up2.1", 14), "up3.0", "up3.1"),
}


def constructed_generator(size: str = "328") -> Tensors:
    """Weights of a generator of mode ave that draws the mouth of `mouth.py`; key layout A."""
    variant = SIZES[size]
    circuit = Circuit(identity_tensors(dict(expected_shapes(size, "ave"))))
    _hear(circuit)
    _find_places(circuit, variant)
    steps, last = _STEPS[size], len(variant.up_widths)
    for level in range(1, last):
        for part, residual in ((0, False), (1, True)):
            name = f"up{level}.{part}"
            outputs = {} if residual else circuit.carry(*circuit.channels)
            if name == steps.arch:
                outputs |= _arch()
            if name == steps.products[0]:
                outputs |= _products(steps.products[1])
            if name == steps.edges:
                outputs = _edges()
            if name == steps.covers:
                outputs |= _covers()
            circuit.block(f"up{level}.conv.double_conv.{part}", outputs, residual=residual)
    _paint(circuit, last, deep=variant.up_widths[-2])
    _undo_sigmoid(circuit.tensors, f"up{last}.conv.double_conv")
    for colour in range(3):
        circuit.tensors["outc.conv.weight"][colour, colour] = 1
    return circuit.tensors


def _hear(circuit: Circuit) -> None:
    """The audio branch: the features of one row as maps that are the same everywhere but at the border."""
    branch, weight = "audio_model", circuit.tensors
    circuit.channels = {f"map{k}": 2 * ON_TIME_ROW + k for k in range(2)}
    for name in ("conv1", "conv2"):
        circuit.block(f"{branch}.{name}", {f"map{k}": rectified({f"map{k}": 1.0}) for k in range(2)})
    for k in range(2):
        weight[f"{branch}.conv3.weight"][k, k, 1, 1] = 1
    for number in range(len(SHAPE)):
        row, column = (2 if odd else 1 for odd in (number // 2 % 2, number % 2))  # conv5 moves by 2
        weight[f"{branch}.conv5.weight"][number, number // 4, row, column] = 1
    circuit.channels = {name: number for number, name in enumerate(SHAPE)}


def _find_places(circuit: Circuit, variant: SizeVariant) -> None:
    """Maps x and y of 10x10, in distances between the eyes, from the zero border of the maps.

    Moved by one pixel k times, a map of ones is [column >= k], or [column <= 9 - k]. Column = the sum of the first for
    k from 1 to 4, plus 5, minus the sum of the second for k from 1 to 5.
    """
    sides = {"left": (0, -1), "right": (0, 1), "top": (-1, 0), "bottom": (1, 0)}
    names = ["audio_model.conv6", "audio_model.conv7"]
    names += [f"fuse_conv.{k}.double_conv.{part}" for k in (0, 1) for part in (0, 1)]
    for step, name in enumerate(names[:-1], start=1):
        residual = not name.endswith("double_conv.0")
        if name == "fuse_conv.0.double_conv.0":  # the picture's maps come first
            shift = variant.skip_widths[-1]
            circuit.channels = {channel: shift + column for channel, column in circuit.channels.items()}
        outputs = {} if residual else {channel: rectified({channel: 1.0}) for channel in circuit.channels}
        for side, move in sides.items():
            if step == 5 and side in ("left", "top"):
                continue
            terms, bias = (((side, 1.0),), 0.0) if step > 1 else ((), 1.0)
            moved = Sum(((1.0, Unit(terms, bias, move)),))
            outputs[side] = moved
            outputs[f"{side} sum"] = moved if step == 1 else moved + rectified({f"{side} sum": 1.0})
        circuit.block(name, outputs, residual=residual)
    scale = CROP_WIDTH / variant.crop_px
    per_cell = (variant.inner_px - 1) / CELLS * scale
    start = (BORDER_PX + 0.5) * scale
    circuit.block(
        names[-1],
        {
            axis: linear({f"{near} sum": per_cell, f"{far} sum": -per_cell}, start + 5 * per_cell)
            for axis, near, far in (("x", "left", "right"), ("y", "top", "bottom"))
        },
        residual=True,
    )
    circuit.channels = {name: circuit.channels[name] for name in ("x", "y", *SHAPE)}


def _arch() -> dict[str, Sum]:
    """|x|^POWER, the distance below the line between the lips, and the dip of the upper lip."""
    knots = mouth.knots()
    values = knots**mouth.POWER
    middle = CROP_WIDTH / 2
    around = [*(middle - knots[::-1]), *(middle + knots)]
    far = pieces("x", around, [*values[::-1], *values])
    down = linear({"y": 1.0}, BRIDGE_Y - MOUTH_Y) + far * (mouth.SMILE / mouth.HALF_WIDTH**mouth.POWER)
    dip = pieces("x", [middle - 0.13, middle, middle + 0.13], [0.0, mouth.BOW, 0.0])
    return {"far": far, "down": down, "dip": dip}


def _products(count: int) -> dict[str, Sum]:
    """bend * |x|^POWER of every arch, by a * b = ((a + b)^2 - (a - b)^2) / 4 with squares in `count` straight pieces.

    Both factors lie in [0, 1]; the two parabolas bend at the same places, so that the product with 0 is exactly 0.
    """
    top = mouth.knots()[-1] ** mouth.POWER
    knots = np.arange(count) * (2.0 / count)
    bends = np.diff(np.concatenate([[0.0], np.diff(np.append(knots, 2.0) ** 2) / (2.0 / count)]))
    found = {}
    for edge in EDGES:
        name = f"{edge}_bend"
        low, high = RANGES[name]
        terms: list[tuple[float, Unit]] = []
        for signs, factor in (((1.0, 1.0), 0.25), ((1.0, -1.0), -0.25), ((-1.0, 1.0), -0.25)):
            for knot, bend in zip(knots, bends, strict=True):
                if signs == (1.0, 1.0) or knot < 1.0:
                    unit = Unit(((name, signs[0]), ("far", signs[1] / top)), -float(knot))
                    terms.append((factor * float(bend) * (high - low) * top, unit))
        found[f"{edge}_fall"] = Sum(tuple(terms)) + linear({"far": low})
    return found


def _edges() -> dict[str, Sum]:
    """Fields of the layers, as in `mouth.fields`; those that cover each other follow in `_covers`."""
    k, soft = 1 / EDGE_SOFTNESS, 1 / SOFT

    def arch(edge: str, factor: float) -> tuple[dict[str, float], float]:
        low, high = RANGES[f"{edge}_height"]
        return {f"{edge}_height": factor * (high - low), f"{edge}_fall": -factor}, factor * low

    def height(edge: str, factor: float) -> tuple[dict[str, float], float]:
        low, high = RANGES[f"{edge}_height"]
        return {f"{edge}_height": factor * (high - low)}, factor * low

    def shading(half: float, fall: float, edge: str, below: float) -> Sum:
        terms, constant = height(edge, -soft)
        constant -= soft * below
        away = {"down": soft, **terms}
        up = {name: -weight for name, weight in away.items()}
        return (
            linear({"far": -soft * fall}, soft * half) + (rectified(away, constant) + rectified(up, -constant)) * -1.0
        )

    above, above_0 = arch("inner_upper", k)
    below, below_0 = arch("inner_lower", k)
    top, top_0 = arch("outer_upper", k)
    bottom, bottom_0 = arch("outer_lower", k)
    above, top = {"down": k, **above}, {"down": k, "dip": -k, **top}
    below, bottom = {"down": -k, **below}, {"down": -k, **bottom}
    thin, thin_0 = arch("outer_lower", 0.5 * k * mouth.LINE)
    crossing = rectified({"down": 0.5 * k}) + rectified({"down": -0.5 * k})
    drop, drop_0 = height("inner_lower", -0.4 * k)
    return {
        "shadow": shading(0.045, 0.45, "outer_lower", 0.055),
        "gloss": shading(0.036, 1.0, "inner_lower", 0.072),
        "lips": least(top, bottom, top_0 - mouth.CORNER, bottom_0 - mouth.CORNER),
        "upper": least(top, {name: -weight for name, weight in above.items()}, top_0, -above_0),
        "line": linear(thin, thin_0 + 0.2) + crossing * -1.0,
        "mouth": least(above, below, above_0 - mouth.MARGIN, below_0 - mouth.MARGIN),
        "teeth": linear({"far": -k * mouth.TEETH_BEND, "down": -k}, k * mouth.TEETH_Y),
        "tongue": linear(
            {"down": 0.4 * k, "far": -0.4 * k * mouth.TONGUE_BEND, **drop}, drop_0 + 0.4 * k * mouth.TONGUE_ABOVE
        ),
        **_resting(),
    }


def _resting() -> dict[str, Sum]:
    """The fields of the reference picture's mouth that can be seen."""
    k, soft = 1 / EDGE_SOFTNESS, 1 / SOFT
    height = dict(zip(SHAPE, mouth.resting(), strict=True))

    def shading(half: float, fall: float, centre: float) -> Sum:
        crossing = rectified({"down": soft}, -soft * centre) + rectified({"down": -soft}, soft * centre)
        return linear({"far": -soft * fall}, soft * half) + crossing * -1.0

    top = {"down": k, "dip": -k, "far": -k * height["outer_upper_bend"]}
    bottom = {"down": -k, "far": -k * height["outer_lower_bend"]}
    top_0, bottom_0 = k * height["outer_upper_height"], k * height["outer_lower_height"]
    line = linear({"far": 0.5 * mouth.LINE * bottom["far"]}, 0.5 * mouth.LINE * bottom_0 + 0.2)
    return {
        "rest shadow": shading(0.045, 0.45, height["outer_lower_height"] + 0.055),
        "rest gloss": shading(0.036, 1.0, 0.072),
        "rest lips": least(top, bottom, top_0 - mouth.CORNER, bottom_0 - mouth.CORNER),
        "rest upper": least(top, {"down": -k}, top_0),
        "rest line": line + (rectified({"down": 0.5 * k}) + rectified({"down": -0.5 * k})) * -1.0,
    }


def _covers() -> dict[str, Sum]:
    """What lies in the mouth is no larger than it; gloss and line stay on the lips."""

    def within(name: str, other: str) -> Sum:
        """name - relu(name - other), in a block that keeps what it does not change."""
        return linear({name: 1.0}) + rectified({name: 1.0, other: -1.0}) * -1.0

    return {
        "teeth": within("teeth", "mouth"),
        "tongue": within("tongue", "mouth"),
        "gloss": within("gloss", "lips"),
        "rest gloss": within("rest gloss", "rest lips"),
        "line": within("line", "lips") + rectified({"line": 1.0, "mouth": 1.0}, -1.0) * -1.0,
        "rest line": within("rest line", "rest lips"),
    }


def _paint(circuit: Circuit, last: int, *, deep: int) -> None:
    """The first block at full size adds the layers to the reference picture."""
    stem = Circuit(circuit.tensors, {"blue": 0, "green": 1, "red": 2})
    colours = ("blue", "green", "red")
    stem.block("inc.inconv.0", {name: rectified({name: 1.0}) for name in colours})
    circuit.channels |= {name: deep + k for k, name in enumerate(colours)}
    outputs: dict[str, Sum] = {name: rectified({name: 1.0}) for name in colours}

    def share(terms: Mapping[str, float]) -> Sum:
        return rectified(terms) + rectified(terms, -1.0) * -1.0

    for field in (name for name in circuit.channels if name not in colours):
        sign = -1.0 if field.startswith("rest ") else 1.0
        layer = COLOURS[field.removeprefix("rest ")][::-1]
        for colour, amount in zip(colours, layer, strict=True):
            outputs[colour] = outputs[colour] + share({field: 1.0}) * (sign * float(amount))
    circuit.block(f"up{last}.conv.double_conv.0", outputs)


def _undo_sigmoid(state: Tensors, last: str) -> None:
    """The second block of the last stage adds what makes its input the logit of itself, in straight pieces."""
    knots = np.array([0.02, 0.06, 0.13, 0.25, 0.40, 0.60, 0.75, 0.87, 0.94, 0.98])
    logits = np.log(knots / (1 - knots))
    slopes = np.diff(logits) / np.diff(knots)
    steps = np.concatenate([[slopes[0] - 1], np.diff(slopes), [-slopes[-1]]])  # change of slope at each knot
    for colour in range(3):
        for j, (knot, step) in enumerate(zip(knots, steps, strict=True)):
            unit = colour * len(knots) + j
            state[f"{last}.1.conv.0.weight"][unit, colour] = 1
            state[f"{last}.1.conv.1.bias"][unit] = -knot
            state[f"{last}.1.conv.3.weight"][unit, 0, 1, 1] = 1
            state[f"{last}.1.conv.6.weight"][colour, unit] = step
        state[f"{last}.1.conv.7.bias"][colour] = logits[0] - knots[0]


def write_models(folder: str | Path, size: str = "328", *, overwrite: bool = False) -> Path:
    """Write the constructed generator (with its mode) and AVE encoder as safetensors; returns the generator's path.

    Raises:
        OutputExists: they are there and `overwrite` is off.
    """
    from talkinghead.weights import write_safetensors

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "1.safetensors"
    metadata = {"mode": "ave", "hears": PHONES}
    write_safetensors(constructed_generator(size), path, metadata=metadata, overwrite=overwrite)
    write_safetensors(constructed_ave_encoder(), folder / "audio_visual_encoder.safetensors", overwrite=overwrite)
    return path
