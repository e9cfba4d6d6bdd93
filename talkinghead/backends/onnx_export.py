"""A `Graph` as an ONNX model, for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from talkinghead.backends.graph import Graph
from talkinghead.backends.lowering import lower
from talkinghead.errors import MissingDependency

ONNX_OPSET = 18


def to_onnx(graph: Graph, *, batch: int | None = None) -> bytes:
    """The graph as a serialised ONNX model; sizes that are None become named dimensions.

    Args:
        batch: the only batch size that will be used; makes small pictures faster.
    Raises:
        MissingDependency: the package onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        purpose = "Handing a network to ONNX Runtime or OpenVINO"
        raise MissingDependency("onnx", extra="models", purpose=purpose) from error
    sink = _OnnxSink()
    lower(graph, sink, batch=batch)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, _dimensions(name, shape, batch))
        for name, shape in graph.inputs.items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in graph.outputs]
    model = helper.make_model(
        helper.make_graph(sink.nodes, graph.name, inputs, outputs, sink.constants),
        opset_imports=[helper.make_opsetid("", ONNX_OPSET)],
        ir_version=9,
        producer_name="talkinghead",
    )
    data: bytes = model.SerializeToString()
    return data


def _dimensions(name: str, shape: Sequence[int | None], batch: int | None) -> list[int | str]:
    first: int | str = "batch" if batch is None else batch
    return [size if size is not None else first if axis == 0 else f"{name}_{axis}" for axis, size in enumerate(shape)]


class _OnnxSink:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> None:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))

    def emit(self, operator: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Any]) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
