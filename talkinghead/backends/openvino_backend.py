"""OpenVINO: the fastest runtime on CPUs; uses bfloat16 and 8-bit matrix units by itself."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.backends.artefacts import Compiled, samples_digest
from talkinghead.backends.base import Array, Arrays, Network, OperatorTime, SessionFacts, check_inputs
from talkinghead.backends.onnx_backend import onnx_form
from talkinghead.backends.openvino_model import to_openvino
from talkinghead.backends.placement import Placement
from talkinghead.backends.runtimes import openvino
from talkinghead.cores import available_cores
from talkinghead.errors import BackendError, MissingDependency

_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "int8": "bf16"}
"""What OpenVINO calls the precision of everything that is not quantised."""


class OpenVinoSession:
    """See `Session`. Sizes are fixed when it is opened: smaller batches are padded, larger ones are split."""

    def __init__(
        self,
        network: Network,
        placement: Placement,
        *,
        batch: int | None = None,
        threads: int | None = None,
        streams: int = 1,
        cache_folder: Path | None = None,
        profile: bool = False,
        packed: Collection[str] = (),
        int8_samples: list[dict[str, Array]] | None = None,
    ) -> None:
        try:
            ov = openvino()
        except ImportError as error:
            raise MissingDependency("openvino", extra="openvino", purpose="The backend 'openvino'") from error
        started = time.perf_counter()
        self._network = network
        self._batch = batch
        self._packed = frozenset(packed)
        self._bits = placement.precision == "bfloat16"
        self._half = placement.precision == "float16"
        threads = threads or available_cores()
        streams = max(1, min(streams, threads))
        hint = _HINTS[placement.precision]
        if placement.precision == "int8":
            from talkinghead.backends.processor import cpu_has_bfloat16

            hint = "bf16" if cpu_has_bfloat16() else "f32"
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": profile,
        }
        core = ov.Core()
        facts: tuple[Any, ...] = (ov.__version__, _processor(core), batch, sorted(config), sorted(self._packed))
        if int8_samples is not None:
            facts += (samples_digest(int8_samples),)
        facts += (placement.precision, list(config.values()))
        self._compiled, from_cache = self._open(
            core, config, Compiled(cache_folder, "openvino", network, facts), batch, placement.precision, int8_samples
        )
        self._requests = [self._compiled.create_infer_request() for _ in range(streams)]
        self._made: dict[tuple[int, str], Array] = {}
        self.facts = SessionFacts(
            "openvino", "cpu", placement.precision, time.perf_counter() - started, from_cache, threads=threads
        )

    def _open(
        self,
        core: Any,
        config: dict[str, Any],
        kept: Compiled,
        batch: int | None,
        precision: str,
        int8_samples: list[dict[str, Array]] | None,
    ) -> tuple[Any, bool]:
        stored = kept.find()
        if stored is not None:
            self._stored = stored
            with contextlib.suppress(RuntimeError):  # of a broken disk or another build: made again below
                return core.import_model(openvino().Tensor(stored, shared_memory=True), "CPU", config), True
        try:
            model = self._model(core, batch, precision, int8_samples)
            model = self._pack(model)
            compiled = core.compile_model(model, "CPU", config)
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO refused the network {self._network.name}: {str(error).strip().splitlines()[0]}.",
                remedy="--backend torch, or --backend onnx",
            ) from error
        kept.keep_soon(lambda: _exported(compiled))
        return compiled, False

    def _model(self, core: Any, batch: int | None, precision: str, int8_samples: list[dict[str, Array]] | None) -> Any:
        """The network as OpenVINO has it before compiling, with its batch size fixed."""
        if precision != "int8" and self._network.onnx_model is None:
            graph = self._network.built_graph()
            if graph is not None:
                return to_openvino(graph, batch=batch)
        data = onnx_form(self._network, "OpenVINO")
        if precision == "int8":
            from talkinghead.backends.int8 import quantise

            data = quantise(data, int8_samples or [])
        model = core.read_model(data)
        if batch is not None:
            sizes = {}
            for port in model.inputs:
                shape = self._network.inputs[port.get_any_name()].shape
                sizes[port] = [
                    batch if n is None and axis == 0 else -1 if n is None else n for axis, n in enumerate(shape)
                ]
            model.reshape(sizes)
        return model

    def _pack(self, model: Any) -> Any:
        """Let packed tensors come in the layout and number format in which the processor computes."""
        if not self._packed:
            return model
        ov = openvino()
        number = ov.Type.bf16 if self._bits else ov.Type.f16 if self._half else ov.Type.f32
        process = ov.preprocess.PrePostProcessor(model)
        ports = [(name, process.input(name)) for name in self._network.inputs]
        ports += [(name, process.output(index)) for index, name in enumerate(self._network.outputs)]
        for name, port in ports:
            if name in self._packed:
                port.tensor().set_layout(ov.Layout("NHWC"))
                port.tensor().set_element_type(number)
                port.model().set_layout(ov.Layout("NCHW"))
        return process.build()

    def run(self, inputs: Arrays) -> dict[str, Array]:
        check_inputs(self._network, inputs, self._packed)
        parts = [self._finish(*self._start(0, part)) for part in self._split(inputs)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def run_many(self, batches: Iterable[Arrays]) -> Iterator[dict[str, Array]]:
        pending: deque[tuple[int, int, Arrays]] = deque()
        count = 0
        for inputs in batches:
            check_inputs(self._network, inputs, self._packed)
            if self._batch is not None and _size(inputs) > self._batch:
                while pending:
                    yield self._finish(*pending.popleft())
                yield self.run(inputs)
                continue
            if len(pending) == len(self._requests):
                yield self._finish(*pending.popleft())
            pending.append(self._start(count % len(self._requests), inputs))
            count += 1
        while pending:
            yield self._finish(*pending.popleft())

    def _split(self, inputs: Arrays) -> Iterator[Arrays]:
        size = _size(inputs)
        step = self._batch or size
        if size <= step:
            yield inputs
            return
        for first in range(0, size, step):
            yield {name: value[first : first + step] for name, value in inputs.items()}

    def _start(self, slot: int, inputs: Arrays) -> tuple[int, int, Arrays]:
        size = _size(inputs)
        if self._batch is not None and size < self._batch:
            inputs = {name: pad_batch(value, self._batch) for name, value in inputs.items()}
        inputs = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        try:
            tensors = {name: self._tensor(name, value) for name, value in inputs.items()}
            self._set_packed_outputs(slot)
            self._requests[slot].start_async(tensors, share_inputs=True)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed in {self._network.name}: {error}.") from error
        return slot, size, inputs

    def _set_packed_outputs(self, slot: int) -> None:
        """Let packed results be written into new arrays: nothing is copied behind the call."""
        for index, name in enumerate(self._network.outputs):
            port = self._compiled.outputs[index]
            if name in self._packed and port.partial_shape.is_static:
                kind = np.uint16 if self._bits else np.float16 if self._half else np.float32
                made: Array = np.empty(tuple(port.shape), kind)
                self._made[slot, name] = made
                shared = self._tensor(name, made)
                shared = shared if self._bits else openvino().Tensor(shared, shared_memory=True)
                self._requests[slot].set_output_tensor(index, shared)

    def _tensor(self, name: str, value: Array) -> Any:
        """Packed bfloat16 travels as its bits."""
        if name not in self._packed or not self._bits:
            return value
        ov = openvino()
        return ov.Tensor(value, value.shape, ov.Type.bf16)

    def _finish(self, slot: int, size: int, _inputs: Arrays) -> dict[str, Array]:
        request = self._requests[slot]
        try:
            request.wait()
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed in {self._network.name}: {error}.") from error
        return {
            name: self._made.pop((slot, name))[:size]
            if (slot, name) in self._made
            else self._array(name, request.get_output_tensor(index))[:size].copy()
            for index, name in enumerate(self._network.outputs)
        }

    def _array(self, name: str, tensor: Any) -> Array:
        values: Array = tensor.data.view(np.uint16) if name in self._packed and self._bits else tensor.data
        return values.reshape(tuple(tensor.shape))

    def profile(self) -> list[OperatorTime]:
        return [
            OperatorTime(item.node_name, item.node_type, item.exec_type, item.real_time.total_seconds())
            for item in self._requests[0].get_profiling_info()
            if item.real_time.total_seconds() > 0
        ]

    _stored: Any = None
    """The file a compiled network came from: its weights are not copied."""

    def close(self) -> None:
        self._requests = []
        self._compiled = None
        self._stored = None


def _exported(compiled: Any) -> bytes | memoryview | None:
    try:
        data = compiled.export_model()
    except RuntimeError:
        return None
    return data if isinstance(data, bytes) else memoryview(data.getbuffer())


def _size(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))


def pad_batch(value: Array, size: int) -> Array:
    """Repeat the last item until there are `size`."""
    return np.concatenate([value, np.repeat(value[-1:], size - len(value), axis=0)])


def _processor(core: Any) -> str:
    return str(core.get_property("CPU", "FULL_DEVICE_NAME")) + str(
        sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    )
