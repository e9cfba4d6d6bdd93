"""Networks over `Ops` as ONNX graphs, written node by node: no tracing, any opset from 11 on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from talkinghead import __version__
from talkinghead.contracts import FloatArray
from talkinghead.errors import OptionError
from talkinghead.graph.conv import Conv

MIN_OPSET = 11
MAX_OPSET = 24
DEFAULT_OPSET = 17

_IR_VERSIONS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}
"""Container version of each opset: the first one that came with it, for old readers."""


class OnnxOps:
    """`Ops` that writes nodes; values are names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []
        self._count = 0

    def _constant(self, value: NDArray[Any], hint: str) -> str:
        name = self._names.get(id(value))
        if name is None:
            name = f"{hint}_{len(self.initializers)}"
            self._names[id(value)] = name
            self._kept.append(value)  # its id must stay taken
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def _node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        self._count += 1
        out = f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def conv(self, x: str, conv: Conv, *, relu: bool = False) -> str:
        inputs = [x, self._constant(conv.weight, "weight")]
        if conv.bias is not None:
            inputs.append(self._constant(conv.bias, "bias"))
        y = self._node(
            "Conv",
            inputs,
            kernel_shape=list(conv.weight.shape[2:]),
            strides=list(conv.stride),
            pads=[conv.padding] * 4,
            group=conv.groups,
        )
        return self._node("Relu", [y]) if relu else y

    def add(self, a: str, b: str, *, relu: bool = False) -> str:
        y = self._node("Add", [a, b])
        return self._node("Relu", [y]) if relu else y

    def concat(self, a: str, b: str) -> str:
        return self._node("Concat", [a, b], axis=1)

    def upsample(self, x: str) -> str:
        roi = self._constant_of("roi", np.zeros(0, np.float32))  # optional only since opset 13
        scales = self._constant_of("scales", np.array([1, 1, 2, 2], np.float32))
        return self._node("Resize", [x, roi, scales], mode="linear", coordinate_transformation_mode="align_corners")

    def planes(self, picture: str) -> str:
        x = self._node("Cast", [picture], to=TensorProto.FLOAT)
        x = self._node("Div", [x, self._constant_of("levels", np.array(255, np.float32))])
        return self._node("Transpose", [x], perm=[0, 3, 1, 2])

    def masked(self, x: str, mask: FloatArray) -> str:
        return self._node("Mul", [x, self._constant(mask, "mask")])

    def pooled(self, x: str) -> str:
        return self._node("GlobalAveragePool", [x])

    def sigmoid(self, x: str) -> str:
        return self._node("Sigmoid", [x])

    def picture(self, x: str) -> str:
        y = self._node("Mul", [x, self._constant_of("levels", np.array(255, np.float32))])
        y = self._node("Cast", [y], to=TensorProto.UINT8)
        return self._node("Transpose", [y], perm=[0, 2, 3, 1])

    def _constant_of(self, name: str, value: NDArray[Any]) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(value, name)
        return name

    def flat(self, x: str) -> str:
        """[B, C, H, W] to [B, C * H * W]."""
        return self._node("Flatten", [x], axis=1)

    def named(self, value: str, name: str) -> str:
        """Give the result of a node its public name."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for k, old in enumerate(names):
                    if old == value:
                        names[k] = name
        return name


Shape = Sequence[int | str]


def build_model(
    ops: OnnxOps,
    name: str,
    inputs: Sequence[tuple[str, int, Shape]],
    outputs: Sequence[tuple[str, int, Shape]],
    *,
    opset: int = DEFAULT_OPSET,
    metadata: dict[str, str] | None = None,
) -> ModelProto:
    """Put the nodes into a model.

    Args:
        inputs, outputs: name, TensorProto type, shape.
        opset: from MIN_OPSET to MAX_OPSET.
    Raises:
        OptionError: an opset out of range.
    """
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise OptionError(f"Opset {opset} is out of range.", accepted=f"{MIN_OPSET} to {MAX_OPSET}")
    graph = helper.make_graph(
        ops.nodes,
        name,
        [helper.make_tensor_value_info(n, t, list(s)) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, list(s)) for n, t, s in outputs],
        list(ops.initializers.values()),
    )
    model = helper.make_model(
        graph,
        producer_name="talkinghead",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSIONS[opset],
    )
    if metadata:
        helper.set_model_props(model, metadata)
    return model
