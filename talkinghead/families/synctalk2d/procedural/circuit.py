"""Networks written down by hand: named channels, and blocks whose outputs are sums of rectified sums.

An inverted residual block computes, at every pixel, out = sum of factor * relu(sum of weight * channel + bias), and its
depthwise convolution can take the rectified value from a neighbour instead. All BatchNorms are the identity but for
their biases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.layers import BATCH_NORM_EPS

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Unit:
    """relu(sum of weight * channel + bias), of the pixel `step` = (dy, dx) away; 0 beyond the edge of the map."""

    terms: tuple[tuple[str, float], ...]
    bias: float = 0.0
    step: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Sum:
    """A channel: sum of factor * unit + constant."""

    units: tuple[tuple[float, Unit], ...] = ()
    constant: float = 0.0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.units + other.units, self.constant + other.constant)

    def __mul__(self, factor: float) -> Sum:
        return Sum(tuple((factor * own, unit) for own, unit in self.units), factor * self.constant)


def linear(terms: Mapping[str, float], constant: float = 0.0) -> Sum:
    """A weighted sum of channels of either sign."""
    items = tuple(terms.items())
    return Sum(((1.0, Unit(items)), (-1.0, Unit(tuple((name, -weight) for name, weight in items)))), constant)


def rectified(terms: Mapping[str, float], bias: float = 0.0) -> Sum:
    """relu(weighted sum + bias)."""
    return Sum(((1.0, Unit(tuple(terms.items()), bias)),))


def pieces(channel: str, knots: Sequence[float], values: Sequence[float]) -> Sum:
    """A function of a channel in straight pieces, constant beyond the knots; the channel and the knots are positive."""
    slopes = np.diff(values) / np.diff(knots)
    bends = np.diff(np.concatenate([[0.0], slopes, [0.0]]))
    units = tuple(
        (float(bend), Unit(((channel, 1.0),), -float(knot)))
        for bend, knot in zip(bends, knots, strict=True)
        if abs(bend) > 1e-12
    )
    return Sum(units, float(values[0]))


def least(a: Mapping[str, float], b: Mapping[str, float], constant_a: float = 0.0, constant_b: float = 0.0) -> Sum:
    """The smaller one of two weighted sums of channels: a - relu(a - b)."""
    difference = dict(a)
    for name, weight in b.items():
        difference[name] = difference.get(name, 0.0) - weight
    return linear(a, constant_a) + rectified(difference, constant_a - constant_b) * -1.0


@dataclass
class Circuit:
    """The weights of a network, and the channels that flow through it."""

    tensors: Tensors
    channels: dict[str, int] = field(default_factory=dict)
    """Column of each named channel in the input of the next block."""

    def block(self, name: str, outputs: Mapping[str, Sum], *, residual: bool = False) -> None:
        """Write one inverted residual block.

        Args:
            outputs: what the channels become; all others are lost, or stay as they are where the block is residual.
        """
        expand, norm = self.tensors[f"{name}.conv.0.weight"], self.tensors[f"{name}.conv.1.bias"]
        depth, project = self.tensors[f"{name}.conv.3.weight"], self.tensors[f"{name}.conv.6.weight"]
        places = dict(self.channels) if residual else {}
        for channel in outputs:
            places.setdefault(channel, len(places))
        units: dict[Unit, int] = {}
        for channel, total in outputs.items():
            if residual and channel in self.channels:
                total = total + linear({channel: -1.0})
            for factor, unit in total.units:
                row = units.setdefault(unit, len(units))
                project[places[channel], row, 0, 0] += factor
            self.tensors[f"{name}.conv.7.bias"][places[channel]] = total.constant
        assert len(units) <= len(expand), f"{name} needs {len(units)} of {len(expand)} units"
        assert len(places) <= len(project), f"{name} needs {len(places)} of {len(project)} channels"
        for unit, row in units.items():
            for channel, weight in unit.terms:
                expand[row, self.channels[channel], 0, 0] += weight
            norm[row] = unit.bias
            depth[row, 0, 1 + unit.step[0], 1 + unit.step[1]] = 1
        self.channels = places

    def carry(self, *names: str) -> dict[str, Sum]:
        """Outputs that pass channels on."""
        return {name: linear({name: 1.0}) for name in names}


def identity_tensors(shapes: Mapping[str, tuple[int, ...]]) -> Tensors:
    """All weights zero, all BatchNorms the identity."""
    found: Tensors = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        value = np.zeros(shape, np.float32)
        norm = f"{name.rpartition('.')[0]}.running_var" in shapes
        if name.endswith("running_var"):
            value[:] = 1
        elif norm and name.endswith(".weight"):
            value[:] = np.sqrt(1 + BATCH_NORM_EPS)
        found[name] = value
    return found
