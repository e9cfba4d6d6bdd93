"""A `Graph` as an OpenVINO model, built in memory: no file format between, and weights are not copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.graph import Graph
from talkinghead.backends.lowering import lower
from talkinghead.backends.runtimes import openvino

Values = list[Any]
"""Nodes of OpenVINO."""
Attributes = Mapping[str, Any]


def to_openvino(graph: Graph, *, batch: int | None = None) -> Any:
    """The graph as an `openvino.Model`; inputs keep their names, outputs their order.

    Args:
        batch: the only batch size that will be used; makes small pictures faster.
    """
    ov, ops = openvino(), openvino().opset13
    sink = _OpenVinoSink()
    parameters = []
    for name, shape in graph.inputs.items():
        sizes = [(batch or -1) if axis == 0 and size is None else size or -1 for axis, size in enumerate(shape)]
        kind = ov.Type.u8 if graph.type_of(name) == "uint8" else ov.Type.f32
        parameter = ops.parameter(ov.PartialShape(sizes), kind)
        parameter.output(0).set_names({name})
        parameters.append(parameter)
        sink.values[name] = parameter
    lower(graph, sink, batch=batch)
    results = []
    for name in graph.outputs:
        value = sink.values[name]
        value.output(0).set_names({name})
        results.append(ops.result(value))
    return ov.Model(results, parameters, graph.name)


class _OpenVinoSink:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._arrays: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, value: Any) -> None:
        # Shared memory must be writable: arrays read from an ONNX file are not, and are copied.
        self._arrays[name] = np.require(np.ascontiguousarray(value), requirements="W")

    def emit(self, operator: str, inputs: Sequence[str], output: str, attributes: Attributes) -> None:
        if operator in _CONVOLUTIONS:
            node = self._convolve(operator, inputs, attributes)
        elif operator == "Resize":  # the region of interest is not used
            node = _OPERATORS[operator]([self._value(inputs[0]), self._value(inputs[2])], attributes)
        else:
            node = _OPERATORS[operator]([self._value(name) for name in inputs], attributes)
        node.set_friendly_name(output)
        self.values[output] = node

    def _value(self, name: str) -> Any:
        ops = openvino().opset13
        if name not in self.values:
            self.values[name] = ops.constant(self._arrays[name], shared_memory=True)
        return self.values[name]

    def _convolve(self, operator: str, inputs: Sequence[str], attributes: Attributes) -> Any:
        """A convolution with its bias, which is an operator of its own here."""
        ops = openvino().opset13
        x, weight = self._value(inputs[0]), self._arrays[inputs[1]]
        groups = attributes.get("group", 1)
        if groups > 1:
            weight = weight.reshape(groups, -1, *weight.shape[1:])
        kernel = ops.constant(weight, shared_memory=True)
        strides, pads = list(attributes["strides"]), list(attributes["pads"])
        begin, end = pads[:2], pads[2:]
        if operator == "ConvTranspose":
            extra = list(attributes["output_padding"])
            node = ops.convolution_backprop_data(
                x, kernel, strides, None, begin, end, [1, 1], "explicit", output_padding=extra
            )
        elif groups > 1:
            node = ops.group_convolution(x, kernel, strides, begin, end, [1, 1])
        else:
            node = ops.convolution(x, kernel, strides, begin, end, [1, 1])
        bias = ops.constant(self._arrays[inputs[2]].reshape(1, -1, 1, 1), shared_memory=True)
        return ops.add(node, bias)


_CONVOLUTIONS = ("Conv", "ConvTranspose")


def _operators() -> dict[str, Callable[[Values, Attributes], Any]]:
    """What each operator of ONNX is called here."""

    def ops() -> Any:
        return openvino().opset13

    def pad(x: Values, _: Attributes) -> Any:
        amounts = x[1].get_data().tolist()
        half = len(amounts) // 2
        return ops().pad(x[0], amounts[:half], amounts[half:], "constant", np.float32(0))

    def resize(x: Values, a: Attributes) -> Any:
        return ops().interpolate(
            x[0],
            x[1].get_data()[2:],
            "linear_onnx",
            "scales",
            coordinate_transformation_mode=a["coordinate_transformation_mode"],
            axes=np.array([2, 3], np.int64),
        )

    def pool(x: Values, a: Attributes) -> Any:
        zero = [0, 0]
        opset1 = openvino().opset1  # later ones also give the places of the maxima
        return opset1.max_pool(x[0], list(a["strides"]), zero, zero, list(a["kernel_shape"]))

    return {
        "Relu": lambda x, _: ops().relu(x[0]),
        "Sigmoid": lambda x, _: ops().sigmoid(x[0]),
        "Sqrt": lambda x, _: ops().sqrt(x[0]),
        "Add": lambda x, _: ops().add(x[0], x[1]),
        "Mul": lambda x, _: ops().multiply(x[0], x[1]),
        "Div": lambda x, _: ops().divide(x[0], x[1]),
        "Concat": lambda x, a: ops().concat(x, a["axis"]),
        "Softmax": lambda x, a: ops().softmax(x[0], a["axis"]),
        "ReduceSum": lambda x, a: ops().reduce_sum(x[0], x[1], bool(a["keepdims"])),
        "ReduceMax": lambda x, a: ops().reduce_max(x[0], x[1], bool(a["keepdims"])),
        "Reshape": lambda x, _: ops().reshape(x[0], x[1], False),
        "Transpose": lambda x, a: ops().transpose(x[0], np.array(a["perm"], np.int64)),
        "Slice": lambda x, _: ops().slice(x[0], x[1], x[2], np.array([1], np.int64), x[3]),
        "DepthToSpace": lambda x, a: ops().depth_to_space(x[0], "blocks_first", a["blocksize"]),
        "Resize": resize,
        "GlobalAveragePool": lambda x, _: ops().reduce_mean(x[0], np.array([2, 3], np.int64), True),
        "Flatten": lambda x, _: ops().reshape(x[0], np.array([0, -1], np.int64), True),
        "Cast": lambda x, a: ops().convert(x[0], {1: "f32", 2: "u8"}[a["to"]]),
        "Pad": pad,
        "MaxPool": pool,
    }


_OPERATORS = _operators()
