"""NumPy: what graphs mean, in float32, readable and without any runtime.

It is the twin that the other runtimes are compared with, in tests and by the quality gate: nothing is compiled, so that
one picture costs less than opening a second runtime would. For whole videos it is far too slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from talkinghead.backends.base import Array, Arrays, Network, OperatorTime, SessionFacts, check_inputs
from talkinghead.backends.graph import Graph
from talkinghead.errors import BackendError

Settings = Mapping[str, Any]
Operator = Callable[[Sequence[Array], Mapping[str, Array], Settings], Array]

STRIP_VALUES = 4_000_000
"""Values of the neighbourhoods that a convolution lays out at once: 16 MB, which large caches hold."""


class NumpySession:
    """See `Session`."""

    def __init__(self, network: Network) -> None:
        started = time.perf_counter()
        graph = network.built_graph()
        if graph is None:
            raise BackendError(f"The network {network.name} has no form that NumPy runs.")
        self._network = network
        self._graph: Graph = graph
        self._last_uses = graph.last_uses()
        self._operators: list[OperatorTime] = []
        self.facts = SessionFacts("numpy", "cpu", "float32", time.perf_counter() - started, False)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        check_inputs(self._network, inputs)
        values: dict[str, Array] = {name: inputs[name] for name in self._graph.inputs}
        self._operators = []
        for index, node in enumerate(self._graph.nodes):
            started = time.perf_counter()
            given = [values[name] for name in node.inputs]
            values[node.output] = OPERATORS[node.operator](given, node.weights, node.settings)
            for name in self._last_uses.get(index, ()):
                del values[name]
            seconds = time.perf_counter() - started
            self._operators.append(OperatorTime(node.output, node.operator, "numpy", seconds))
        found = (values[name] for name in self._graph.outputs)
        return dict(zip(self._network.outputs, found, strict=True))

    def run_many(self, batches: Iterable[Arrays]) -> Iterator[dict[str, Array]]:
        for inputs in batches:
            yield self.run(inputs)

    def profile(self) -> list[OperatorTime]:
        return self._operators

    def close(self) -> None:
        pass


def conv(inputs: Sequence[Array], weights: Mapping[str, Array], settings: Settings) -> Array:
    """Neighbourhoods as columns of a matrix, some output rows at a time, times the kernels."""
    weight, bias, groups = weights["weight"], weights["bias"], settings["groups"]
    top, left, bottom, right = settings["padding"]
    down, across = settings["stride"]
    filters, depth, rows, columns = weight.shape
    x = np.pad(inputs[0], ((0, 0), (0, 0), (top, bottom), (left, right)))
    batch = len(x)
    windows = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(2, 3))[:, :, ::down, ::across]
    height, width = windows.shape[2:4]
    kernels = weight.reshape(groups, filters // groups, depth * rows * columns)
    made = np.empty((batch, filters, height, width), np.float32)
    step = max(1, STRIP_VALUES // max(1, batch * x.shape[1] * rows * columns * width))
    for first in range(0, height, step):
        part = windows[:, :, first : first + step].transpose(0, 1, 4, 5, 2, 3)
        count = part.shape[4]
        matrix = part.reshape(batch, groups, depth * rows * columns, count * width)
        made[:, :, first : first + count] = np.matmul(kernels, matrix).reshape(batch, filters, count, width)
    return made + bias[:, None, None]


def conv_transpose(inputs: Sequence[Array], weights: Mapping[str, Array], settings: Settings) -> Array:
    """A convolution with the kernel turned round, over an input with zeros between its values."""
    x, weight = inputs[0], weights["weight"]
    down, across = settings["stride"]
    batch, channels, height, width = x.shape
    spread = np.zeros((batch, channels, (height - 1) * down + 1, (width - 1) * across + 1), np.float32)
    spread[:, :, ::down, ::across] = x
    top, left = (size - 1 - settings["padding"] for size in weight.shape[2:])
    more = settings["output_padding"]
    turned = {"weight": weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), "bias": weights["bias"]}
    padding = (top, left, top + more, left + more)
    return conv([spread], turned, {"groups": 1, "stride": (1, 1), "padding": padding})


def depth_to_space(inputs: Sequence[Array], _: Mapping[str, Array], settings: Settings) -> Array:
    x, block = inputs[0], settings["block"]
    batch, channels, height, width = x.shape
    depth = channels // block**2
    x = x.reshape(batch, block, block, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
    return x.reshape(batch, depth, height * block, width * block)


def max_pool(inputs: Sequence[Array], _: Mapping[str, Array], __: Settings) -> Array:
    height, width = (size // 2 * 2 for size in inputs[0].shape[2:])
    x = inputs[0][:, :, :height, :width]
    top, bottom = x[:, :, ::2], x[:, :, 1::2]
    rows = np.maximum(top, bottom)
    return np.maximum(rows[..., ::2], rows[..., 1::2])


def l2_norm(inputs: Sequence[Array], weights: Mapping[str, Array], settings: Settings) -> Array:
    x = inputs[0]
    norm = np.sqrt((x**2).sum(axis=1, keepdims=True)) + np.float32(settings["epsilon"])
    found: Array = x / norm * weights["weight"][:, None, None]
    return found


def softmax_channels(inputs: Sequence[Array], _: Mapping[str, Array], __: Settings) -> Array:
    exponents = np.exp(inputs[0] - inputs[0].max(axis=1, keepdims=True))
    found: Array = exponents / exponents.sum(axis=1, keepdims=True)
    return found


def upsample(inputs: Sequence[Array], _: Mapping[str, Array], __: Settings) -> Array:
    x: Array = inputs[0]
    for axis in (2, 3):
        size = x.shape[axis]
        position = np.linspace(0, size - 1, 2 * size)
        before = np.minimum(position.astype(np.int64), max(0, size - 2))
        after = np.minimum(before + 1, size - 1)
        share = (position - before).astype(np.float32).reshape((-1, 1) if axis == 2 else (-1,))
        x = x.take(before, axis) * (1 - share) + x.take(after, axis) * share
    return x


def sigmoid(inputs: Sequence[Array], _: Mapping[str, Array], __: Settings) -> Array:
    small = np.exp(-np.abs(inputs[0]))  # never overflows
    found: Array = np.where(inputs[0] >= 0, 1 / (1 + small), small / (1 + small))
    return found


def from_pixels(inputs: Sequence[Array], weights: Mapping[str, Array], _: Settings) -> Array:
    return np.ascontiguousarray(inputs[0].transpose(0, 3, 1, 2)).astype(np.float32) / weights["levels"]


def to_pixels(inputs: Sequence[Array], weights: Mapping[str, Array], _: Settings) -> Array:
    return np.ascontiguousarray((inputs[0] * weights["levels"]).astype(np.uint8).transpose(0, 2, 3, 1))


OPERATORS: Mapping[str, Operator] = {
    "conv": conv,
    "conv_transpose": conv_transpose,
    "relu": lambda inputs, _, __: np.maximum(inputs[0], 0),
    "add": lambda inputs, _, __: inputs[0] + inputs[1],
    "concat": lambda inputs, _, __: np.concatenate(inputs, axis=1),
    "depth_to_space": depth_to_space,
    "sigmoid": sigmoid,
    "max_pool": max_pool,
    "l2_norm": l2_norm,
    "max_channels": lambda inputs, _, __: inputs[0].max(axis=1, keepdims=True),
    "slice_channels": lambda inputs, _, settings: inputs[0][:, settings["start"] : settings["stop"]],
    "drop_rows": lambda inputs, _, settings: inputs[0][:, :, settings["count"] :],
    "softmax_channels": softmax_channels,
    "upsample": upsample,
    "mean": lambda inputs, _, __: inputs[0].mean(axis=(2, 3), keepdims=True),
    "scale": lambda inputs, weights, _: inputs[0] * weights["factor"],
    "flatten": lambda inputs, _, __: inputs[0].reshape(len(inputs[0]), -1),
    "from_pixels": from_pixels,
    "to_pixels": to_pixels,
}
"""Each operator of `graph.OPERATORS`, as `GraphBuilder` describes it."""
