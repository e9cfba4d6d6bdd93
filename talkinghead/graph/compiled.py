"""Running an ONNX graph: named arrays in, named arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import OptionError, choices

Array = NDArray[Any]
RUNTIMES = ("onnx", "openvino")


class CompiledGraph(Protocol):
    """A graph that is ready to run."""

    backend: str
    precision: str

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]: ...


class OnnxRuntimeGraph:
    """A graph in ONNX Runtime on the CPU, float32."""

    backend = "onnx"
    precision = "float32"

    def __init__(self, model: bytes, *, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other stages need the cores
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._outputs: Sequence[str] = [out.name for out in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, self._session.run(None, dict(inputs)), strict=True))


class OpenVinoGraph:
    """A graph in OpenVINO on the CPU."""

    backend = "openvino"

    def __init__(self, model: bytes, *, precision: str = "float32", threads: int = 0) -> None:
        import openvino

        self.precision = precision
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": OPENVINO_PRECISIONS[precision]}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        self._ov = openvino
        compiled = core.compile_model(core.read_model(model=model), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._outputs = [out.get_any_name() for out in compiled.outputs]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, value in inputs.items():
            self._request.set_tensor(name, self._ov.Tensor(np.ascontiguousarray(value)))
        self._request.infer()
        return {name: np.array(self._request.get_tensor(name).data) for name in self._outputs}


OPENVINO_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def compile_graph(model: bytes, backend: str, *, precision: str = "float32", threads: int = 0) -> CompiledGraph:
    """Make a graph ready to run.

    Args:
        model: the serialised ONNX model.
        backend: one of RUNTIMES.
    Raises:
        OptionError: no such back end, or one that lacks the precision.
    """
    if backend == "openvino":
        return OpenVinoGraph(model, precision=precision, threads=threads)
    if backend != "onnx":
        raise OptionError(f"There is no back end {backend!r} for graphs.", accepted=choices(RUNTIMES))
    if precision != "float32":
        raise OptionError(f"ONNX Runtime does not run {precision} here.", accepted="float32")
    return OnnxRuntimeGraph(model, threads=threads)
