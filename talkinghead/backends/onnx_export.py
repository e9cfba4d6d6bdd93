"""A `Graph` as an ONNX model, for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from talkinghead._version import __version__
from talkinghead.backends.graph import Graph, output_shape
from talkinghead.backends.lowering import lower
from talkinghead.errors import MissingDependency, OptionError

ONNX_OPSET = 18
MIN_OPSET, MAX_OPSET = 11, 24
_NEEDS_18 = ("l2_norm", "max_channels")
_IR_VERSIONS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}
"""Container version of each opset: the first one that came with it, for old readers."""


def to_onnx(
    graph: Graph, *, batch: int | None = None, opset: int = ONNX_OPSET, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The graph as a serialised ONNX model; sizes that are None become named dimensions.

    Args:
        batch: the only batch size that will be used; makes small pictures faster.
        opset: of the file, from MIN_OPSET to MAX_OPSET.
        metadata: text that the file carries.
    Raises:
        OptionError: an opset out of range, or one that lacks an operator.
        MissingDependency: the package onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        purpose = "Handing a network to ONNX Runtime or OpenVINO"
        raise MissingDependency("onnx", extra="models", purpose=purpose) from error
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise OptionError(f"Opset {opset} is out of range.", accepted=f"{MIN_OPSET} to {MAX_OPSET}")
    if opset < 18 and any(node.operator in _NEEDS_18 for node in graph.nodes):
        raise OptionError(f"The network {graph.name} cannot be written in opset {opset}.", accepted="18 or newer")
    types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
    sink = _OnnxSink()
    lower(graph, sink, batch=batch)
    inputs = [
        helper.make_tensor_value_info(name, types[graph.type_of(name)], _dimensions(name, shape, batch))
        for name, shape in graph.inputs.items()
    ]
    shapes = _output_shapes(graph)
    outputs = [
        helper.make_tensor_value_info(
            name, types[graph.type_of(name)], _dimensions(name, shapes[name], batch) if shapes else None
        )
        for name in graph.outputs
    ]
    model = helper.make_model(
        helper.make_graph(sink.nodes, graph.name, inputs, outputs, sink.constants),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSIONS[opset],
        producer_name="talkinghead",
        producer_version=__version__,
    )
    if metadata:
        helper.set_model_props(model, dict(metadata))
    data: bytes = model.SerializeToString()
    return data


def _output_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shapes of all values where every size but the batch is known, else nothing."""
    if any(None in shape[1:] for shape in graph.inputs.values()):
        return {}
    shapes: dict[str, Any] = dict(graph.inputs)
    for node in graph.nodes:
        shapes[node.output] = output_shape(node, [shapes[name] for name in node.inputs])
    return shapes


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
