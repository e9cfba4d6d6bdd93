"""A small description of feed-forward networks from which every backend makes its own form.

Values are named; an operator takes values and gives one. Layout is [B, C, H, W]. The operators are the few that
convolutional networks need after BatchNorm is folded away; each has one meaning, written in `numpy_backend`, and
the tests hold every runtime to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

OPERATORS = (
    "conv",
    "conv_transpose",
    "relu",
    "add",
    "concat",
    "depth_to_space",
    "sigmoid",
    "max_pool",
    "l2_norm",
    "max_channels",
    "slice_channels",
    "drop_rows",
    "softmax_channels",
    "upsample",
    "mean",
    "scale",
    "flatten",
    "from_pixels",
    "to_pixels",
)


@dataclass(frozen=True, eq=False)
class Node:
    """One operator."""

    operator: str
    """A name of `OPERATORS`."""
    inputs: tuple[str, ...]
    output: str
    weights: Mapping[str, Array] = field(default_factory=dict)
    """float32 arrays by role: "weight", "bias"."""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: nodes in an order in which they can run."""

    name: str
    inputs: Mapping[str, tuple[int | None, ...]]
    """Name to [B, C, H, W]; None may change from call to call."""
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]

    def type_of(self, name: str) -> str:
        """ "uint8" for pixels that come in or go out, else "float32"."""
        pixels = any(
            (node.operator == "from_pixels" and name in node.inputs)
            or (node.operator == "to_pixels" and name == node.output)
            for node in self.nodes
        )
        return "uint8" if pixels else "float32"

    def digest(self) -> str:
        """Hash of structure and weights."""
        sha = hashlib.sha256()
        sha.update(repr((sorted(self.inputs.items()), self.outputs)).encode())
        for node in self.nodes:
            sha.update(repr((node.operator, node.inputs, node.output, sorted(node.settings.items()))).encode())
            for name, value in sorted(node.weights.items()):
                sha.update(f"{name}{value.shape}{value.dtype}".encode())
                sha.update(np.ascontiguousarray(value).data)
        return sha.hexdigest()

    def last_uses(self) -> dict[int, list[str]]:
        """Values that are not needed any more behind each node, by its number."""
        last: dict[str, int] = {}
        for index, node in enumerate(self.nodes):
            for name in node.inputs:
                last[name] = index
        found: dict[int, list[str]] = {}
        for name, index in last.items():
            if name not in self.outputs:
                found.setdefault(index, []).append(name)
        return found

    def macs(self, sizes: Mapping[str, tuple[int, ...]]) -> int:
        """Multiply-adds of the convolutions for inputs of these [B, C, H, W]."""
        shapes = dict(sizes)
        total = 0
        for node in self.nodes:
            shape = output_shape(node, [shapes[name] for name in node.inputs])
            shapes[node.output] = shape
            if node.operator == "conv":
                total += int(np.prod(node.weights["weight"].shape)) * shape[0] * shape[2] * shape[3]
            elif node.operator == "conv_transpose":
                _, _, height, width = shapes[node.inputs[0]]
                total += int(np.prod(node.weights["weight"].shape)) * shape[0] * height * width
        return total


Shape = tuple[int, ...]


def output_shape(node: Node, shapes: Sequence[Shape]) -> Shape:
    """[B, C, H, W] of what an operator gives for inputs of these shapes."""
    rule = _SHAPES.get(node.operator)
    return rule(node, shapes) if rule is not None else tuple(shapes[0])


def _conv_shape(node: Node, shapes: Sequence[Shape]) -> Shape:
    batch, _, height, width = shapes[0]
    top, left, bottom, right = node.settings["padding"]
    down, across = node.settings["stride"]
    filters, _, rows, columns = node.weights["weight"].shape
    return batch, filters, (height + top + bottom - rows) // down + 1, (width + left + right - columns) // across + 1


def _conv_transpose_shape(node: Node, shapes: Sequence[Shape]) -> Shape:
    batch, _, height, width = shapes[0]
    down, across = node.settings["stride"]
    _, filters, rows, columns = node.weights["weight"].shape
    more = node.settings["output_padding"] - 2 * node.settings["padding"]
    return batch, filters, (height - 1) * down + rows + more, (width - 1) * across + columns + more


def _concat_shape(_: Node, shapes: Sequence[Shape]) -> Shape:
    batch, __, height, width = shapes[0]
    return batch, sum(shape[1] for shape in shapes), height, width


def _depth_to_space_shape(node: Node, shapes: Sequence[Shape]) -> Shape:
    batch, channels, height, width = shapes[0]
    block = node.settings["block"]
    return batch, channels // block**2, height * block, width * block


def _slice_shape(node: Node, shapes: Sequence[Shape]) -> Shape:
    batch, _, height, width = shapes[0]
    return batch, node.settings["stop"] - node.settings["start"], height, width


def _dropped_shape(node: Node, shapes: Sequence[Shape]) -> Shape:
    batch, channels, height, width = shapes[0]
    return batch, channels, height - node.settings["count"], width


def _plain(change: Callable[[int, int, int, int], Shape]) -> Callable[[Node, Sequence[Shape]], Shape]:
    """A rule that needs nothing but the (first) input's shape."""
    return lambda _, shapes: change(*shapes[0])


_SHAPES: Mapping[str, Callable[[Node, Sequence[Shape]], Shape]] = {
    "conv": _conv_shape,
    "conv_transpose": _conv_transpose_shape,
    "concat": _concat_shape,
    "depth_to_space": _depth_to_space_shape,
    "slice_channels": _slice_shape,
    "drop_rows": _dropped_shape,
    "max_pool": _plain(lambda batch, channels, height, width: (batch, channels, height // 2, width // 2)),
    "max_channels": _plain(lambda batch, __, height, width: (batch, 1, height, width)),
    "upsample": _plain(lambda batch, channels, height, width: (batch, channels, 2 * height, 2 * width)),
    "mean": _plain(lambda batch, channels, *__: (batch, channels, 1, 1)),
    "flatten": _plain(lambda batch, channels, height, width: (batch, channels * height * width)),
    "from_pixels": _plain(lambda batch, height, width, channels: (batch, channels, height, width)),
    "to_pixels": _plain(lambda batch, channels, height, width: (batch, height, width, channels)),
}
"""Operators that are not named keep the shape."""


class GraphBuilder:
    """Writes a graph operator by operator; every method gives the name of its result."""

    def __init__(self, name: str, inputs: Mapping[str, tuple[int | None, ...]]) -> None:
        self.name = name
        self.inputs = dict(inputs)
        self._nodes: list[Node] = []
        self._names: set[str] = set(inputs)

    def _add(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str | None = None,
        weights: Mapping[str, Array] | None = None,
        **settings: Any,
    ) -> str:
        for source in inputs:
            if source not in self._names:
                raise ValueError(f"{operator} uses {source!r} before it exists")
        output = name or f"{operator}_{len(self._nodes)}"
        if output in self._names:
            raise ValueError(f"two values are called {output!r}")
        self._names.add(output)
        kept = {role: np.ascontiguousarray(value, np.float32) for role, value in (weights or {}).items()}
        self._nodes.append(Node(operator, tuple(inputs), output, kept, settings))
        return output

    def conv(
        self,
        x: str,
        weight: Array,
        bias: Array,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
        name: str | None = None,
    ) -> str:
        """Convolution. weight [out, in / groups, kh, kw], bias [out], padding (top, left, bottom, right) of zeros."""
        return self._add(
            "conv", [x], name, {"weight": weight, "bias": bias}, stride=stride, padding=padding, groups=groups
        )

    def conv_transpose(
        self,
        x: str,
        weight: Array,
        bias: Array,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: int = 0,
        output_padding: int = 0,
        name: str | None = None,
    ) -> str:
        """Transposed convolution. weight [in, out, kh, kw], bias [out]."""
        return self._add(
            "conv_transpose",
            [x],
            name,
            {"weight": weight, "bias": bias},
            stride=stride,
            padding=padding,
            output_padding=output_padding,
        )

    def relu(self, x: str, name: str | None = None) -> str:
        return self._add("relu", [x], name)

    def add(self, a: str, b: str, name: str | None = None) -> str:
        """Sum of two values of one shape."""
        return self._add("add", [a, b], name)

    def concat(self, values: Sequence[str], name: str | None = None) -> str:
        """Values one behind the other on the channels."""
        return self._add("concat", values, name)

    def depth_to_space(self, x: str, block: int, name: str | None = None) -> str:
        """[B, block * block * C, H, W] -> [B, C, block * H, block * W]; channel (r * block + s) * C + c goes to row r,
        column s of its block."""
        return self._add("depth_to_space", [x], name, block=block)

    def sigmoid(self, x: str, name: str | None = None) -> str:
        return self._add("sigmoid", [x], name)

    def max_pool(self, x: str, name: str | None = None) -> str:
        """Largest of each 2x2 block; an odd last row or column is left out."""
        return self._add("max_pool", [x], name)

    def l2_norm(self, x: str, weight: Array, epsilon: float, name: str | None = None) -> str:
        """x / (sqrt(sum over channels of x^2) + epsilon) * weight [C]."""
        return self._add("l2_norm", [x], name, {"weight": weight}, epsilon=epsilon)

    def max_channels(self, x: str, name: str | None = None) -> str:
        """Largest channel, [B, 1, H, W]."""
        return self._add("max_channels", [x], name)

    def slice_channels(self, x: str, start: int, stop: int, name: str | None = None) -> str:
        """Channels start to stop - 1."""
        return self._add("slice_channels", [x], name, start=start, stop=stop)

    def drop_rows(self, x: str, count: int, name: str | None = None) -> str:
        """Without the first `count` rows."""
        return self._add("drop_rows", [x], name, count=count)

    def softmax_channels(self, x: str, name: str | None = None) -> str:
        """Softmax over the channels."""
        return self._add("softmax_channels", [x], name)

    def upsample(self, x: str, name: str | None = None) -> str:
        """Twice the size, bilinear, corners aligned."""
        return self._add("upsample", [x], name)

    def mean(self, x: str, name: str | None = None) -> str:
        """Mean over the picture, [B, C, 1, 1]."""
        return self._add("mean", [x], name)

    def scale(self, x: str, factor: Array, name: str | None = None) -> str:
        """x times a constant that is broadcast to it."""
        return self._add("scale", [x], name, {"factor": factor})

    def flatten(self, x: str, name: str | None = None) -> str:
        """[B, C, H, W] -> [B, C * H * W]."""
        return self._add("flatten", [x], name)

    def from_pixels(self, x: str, name: str | None = None) -> str:
        """uint8 [B, H, W, C], an input of the graph, -> [B, C, H, W] in [0, 1]: divided by 255 in float32."""
        return self._add("from_pixels", [x], name, {"levels": np.array([255])})

    def to_pixels(self, x: str, name: str | None = None) -> str:
        """[B, C, H, W] in [0, 1] -> uint8 [B, H, W, C], an output of the graph: times 255, truncated."""
        return self._add("to_pixels", [x], name, {"levels": np.array([255])})

    def build(self, outputs: Sequence[str]) -> Graph:
        """The graph with these values as outputs."""
        for output in outputs:
            if output not in self._names:
                raise ValueError(f"there is no value {output!r}")
        return Graph(self.name, self.inputs, tuple(outputs), tuple(self._nodes))
