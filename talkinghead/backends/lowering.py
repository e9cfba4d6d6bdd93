"""A `Graph` in the operators that ONNX Runtime and OpenVINO share; what becomes of each operator, a `Sink` decides.

For a known batch, convolutions of very small pictures are written side by side: CPU runtimes treat the pictures of a
batch one by one and read all weights again for each, which at 3x3 positions and 512x512 channels costs far more than
the arithmetic. The pictures are laid into one wide picture with columns of zeros between them, convolved once, and
taken apart. The sums are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from talkinghead.backends.graph import Graph, Node, output_shape

SIDE_BY_SIDE_POSITIONS = 9
"""Pictures of at most this many positions are convolved side by side; for 36 the copies cost what is gained."""
SIDE_BY_SIDE_WEIGHTS = 200_000
"""And only where there are this many weights to read."""


class Sink(Protocol):
    """Takes constants and operators one after another. Operators and attributes are ONNX's, opset 18."""

    def constant(self, name: str, value: Any) -> None:
        """A constant array."""

    def emit(self, operator: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Any]) -> None:
        """An operator with the names of its inputs and of its only output."""


def lower(graph: Graph, sink: Sink, *, batch: int | None = None) -> None:
    """Write every node of a graph into a sink.

    Args:
        batch: the only batch size that will be used; makes small pictures faster.
    """
    lowering = _Lowering(graph, sink, batch)
    for node in graph.nodes:
        lowering.write(node)


class _Lowering:
    def __init__(self, graph: Graph, sink: Sink, batch: int | None) -> None:
        self._sink = sink
        self._batch = batch
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._aliases: dict[str, str] = {}
        if batch is not None and all(None not in shape[1:] for shape in graph.inputs.values()):
            self._shapes = {
                name: (batch, *(int(size or 0) for size in shape[1:])) for name, shape in graph.inputs.items()
            }
        self._only_relu = _followed_by_relu(graph)

    def constant(self, name: str, value: Any) -> str:
        self._sink.constant(name, np.asarray(value))
        return name

    def emit(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._sink.emit(operator, inputs, output, attributes)
        return output

    def write(self, node: Node) -> None:
        """One operator of the graph."""
        if self._shapes:
            self._shapes[node.output] = output_shape(node, [self._shapes[name] for name in node.inputs])
        if node.output in self._aliases:
            return  # its ReLU was written with the convolution
        method = getattr(self, f"_{node.operator}", None)
        if method is not None:
            method(node)
            return
        operator, attributes = _SIMPLE[node.operator]
        self.emit(operator, node.inputs, node.output, **attributes)

    def _conv(self, node: Node) -> None:
        weight, bias = node.weights["weight"], self.constant(f"{node.output}.bias", node.weights["bias"])
        if self._suits_side_by_side(node):
            self._side_by_side(node, bias)
            return
        self.emit(
            "Conv",
            [node.inputs[0], self.constant(f"{node.output}.weight", weight), bias],
            node.output,
            kernel_shape=list(weight.shape[2:]),
            strides=list(node.settings["stride"]),
            pads=list(node.settings["padding"]),
            group=node.settings["groups"],
        )

    def _conv_transpose(self, node: Node) -> None:
        weight = node.weights["weight"]
        names = [self.constant(f"{node.output}.{role}", node.weights[role]) for role in ("weight", "bias")]
        self.emit(
            "ConvTranspose",
            [node.inputs[0], *names],
            node.output,
            kernel_shape=list(weight.shape[2:]),
            strides=list(node.settings["stride"]),
            pads=[node.settings["padding"]] * 4,
            output_padding=[node.settings["output_padding"]] * 2,
        )

    def _l2_norm(self, node: Node) -> None:
        out, x = node.output, node.inputs[0]
        squared = self.emit("Mul", [x, x], f"{out}.squared")
        total = self.emit("ReduceSum", [squared, self.constant(f"{out}.axis", [1])], f"{out}.sum", keepdims=1)
        norm = self.emit("Sqrt", [total], f"{out}.norm")
        epsilon = self.constant(f"{out}.epsilon", np.array([node.settings["epsilon"]], np.float32))
        unit = self.emit("Div", [x, self.emit("Add", [norm, epsilon], f"{out}.safe")], f"{out}.unit")
        self.emit("Mul", [unit, self.constant(f"{out}.scale", node.weights["weight"].reshape(1, -1, 1, 1))], out)

    def _slice_channels(self, node: Node) -> None:
        bounds = [self.constant(f"{node.output}.{key}", [node.settings[key]]) for key in ("start", "stop")]
        self.emit("Slice", [node.inputs[0], *bounds, self.constant(f"{node.output}.axis", [1])], node.output)

    def _drop_rows(self, node: Node) -> None:
        # The end is any number behind the last row.
        bounds = [
            self.constant(f"{node.output}.{name}", [value])
            for name, value in (("from", node.settings["count"]), ("to", _NO_END), ("axis", 2))
        ]
        self.emit("Slice", [node.inputs[0], *bounds], node.output)

    def _max_channels(self, node: Node) -> None:
        self.emit("ReduceMax", [node.inputs[0], self.constant(f"{node.output}.axis", [1])], node.output, keepdims=1)

    def _depth_to_space(self, node: Node) -> None:
        self.emit("DepthToSpace", node.inputs, node.output, blocksize=node.settings["block"], mode="DCR")

    def _upsample(self, node: Node) -> None:
        roi = self.constant(f"{node.output}.roi", np.zeros(0, np.float32))  # optional only since opset 13
        scales = self.constant(f"{node.output}.scales", np.array([1, 1, 2, 2], np.float32))
        self.emit(
            "Resize",
            [node.inputs[0], roi, scales],
            node.output,
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )

    def _scale(self, node: Node) -> None:
        factor = self.constant(f"{node.output}.factor", node.weights["factor"])
        self.emit("Mul", [node.inputs[0], factor], node.output)

    def _from_pixels(self, node: Node) -> None:
        out = node.output
        x = self.emit("Cast", node.inputs, f"{out}.float", to=_FLOAT)
        x = self.emit("Div", [x, self.constant(f"{out}.levels", node.weights["levels"])], f"{out}.unit")
        self.emit("Transpose", [x], out, perm=[0, 3, 1, 2])

    def _to_pixels(self, node: Node) -> None:
        out = node.output
        levels = self.constant(f"{out}.levels", node.weights["levels"])
        x = self.emit("Mul", [node.inputs[0], levels], f"{out}.levelled")
        x = self.emit("Cast", [x], f"{out}.truncated", to=_UINT8)
        self.emit("Transpose", [x], out, perm=[0, 2, 3, 1])

    # Small pictures side by side --------------------------------------------------------------------------------------

    def _suits_side_by_side(self, node: Node) -> bool:
        if not self._shapes or self._batch in (None, 1) or node.settings["groups"] != 1:
            return False
        _, _, height, width = self._shapes[node.inputs[0]]
        if height * width > SIDE_BY_SIDE_POSITIONS or node.weights["weight"].size < SIDE_BY_SIDE_WEIGHTS:
            return False
        # The wide picture must give as many columns as its parts: neither a kernel that lies in padding alone, nor
        # one that does not fit at the end of the row.
        kernel, step = self._kernel(node)[1], node.settings["stride"][1]
        _, left, _, right = node.settings["padding"]
        return self._covers(node) or kernel - step <= left + right < kernel

    @staticmethod
    def _kernel(node: Node) -> tuple[int, int]:
        height, width = node.weights["weight"].shape[2:]
        return height, width

    def _covers(self, node: Node) -> bool:
        """Whether the kernel is as large as the picture, so that the convolution is a matrix product."""
        _, _, height, width = self._shapes[node.inputs[0]]
        return self._kernel(node) == (height, width) and not any(node.settings["padding"]) and height * width > 1

    def _side_by_side(self, node: Node, bias: str) -> None:
        """Lay the batch into one wide picture, convolve it (and apply its ReLU), take it apart."""
        assert self._batch is not None
        out, x, batch = node.output, node.inputs[0], self._batch
        weight, (step_y, step_x) = node.weights["weight"], node.settings["stride"]
        top, left, bottom, right = node.settings["padding"]
        _, channels, height, width = self._shapes[x]
        _, made, made_height, made_width = self._shapes[out]
        if self._covers(node):
            weight = weight.reshape(made, -1, 1, 1)
            channels, height, width, step_y, step_x = weight.shape[1], 1, 1, 1, 1
            x = self.emit("Reshape", [x, self._sizes(out, "flat", batch, channels, 1, 1)], f"{out}.flat")
        gap = 0 if weight.shape[3] == 1 else max(left, right)
        gap += -(width + gap) % step_x  # every picture begins at a multiple of the stride
        if gap:
            pads = self.constant(f"{out}.gap", [0, 0, 0, 0, 0, 0, 0, gap])
            x = self.emit("Pad", [x, pads], f"{out}.spaced")
        x = self.emit("Transpose", [x], f"{out}.turned", perm=[1, 2, 0, 3])
        x = self.emit(
            "Reshape", [x, self._sizes(out, "wide", 1, channels, height, batch * (width + gap))], f"{out}.wide"
        )
        x = self.emit(
            "Conv",
            [x, self.constant(f"{out}.weight", weight), bias],
            f"{out}.product",
            kernel_shape=list(weight.shape[2:]),
            strides=[step_y, step_x],
            pads=[top, left, bottom, right],
        )
        target = out
        if out in self._only_relu:
            x = self.emit("Relu", [x], f"{out}.positive")
            target = self._only_relu[out]
            self._aliases[target] = out
        kept = (width + gap) // step_x
        x = self.emit("Reshape", [x, self._sizes(out, "apart", made, made_height, batch, kept)], f"{out}.apart")
        if kept != made_width:
            bounds = [self.constant(f"{out}.{name}", [value]) for name, value in (("from", 0), ("to", made_width))]
            x = self.emit("Slice", [x, *bounds, self.constant(f"{out}.along", [3])], f"{out}.cut")
        self.emit("Transpose", [x], target, perm=[2, 0, 1, 3])

    def _sizes(self, out: str, name: str, *sizes: int) -> str:
        return self.constant(f"{out}.{name}.sizes", np.array(sizes, np.int64))


_SIMPLE: Mapping[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "add": ("Add", {}),
    "sigmoid": ("Sigmoid", {}),
    "concat": ("Concat", {"axis": 1}),
    "softmax_channels": ("Softmax", {"axis": 1}),
    "max_pool": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "mean": ("GlobalAveragePool", {}),
    "flatten": ("Flatten", {"axis": 1}),
}
_NO_END = 1 << 30
_FLOAT, _UINT8 = 1, 2
"""Number formats in ONNX's counting."""


def _followed_by_relu(graph: Graph) -> dict[str, str]:
    """Values that go into one ReLU and nowhere else, with its result."""
    uses: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            uses.setdefault(name, []).append(node)
    return {
        name: nodes[0].output
        for name, nodes in uses.items()
        if len(nodes) == 1 and nodes[0].operator == "relu" and name not in graph.outputs
    }
