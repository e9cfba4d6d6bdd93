"""ONNX Runtime: one package for every CPU, float32 and 8 bits."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from talkinghead.backends.base import Array, Arrays, Network, OperatorTime, SessionFacts, check_inputs
from talkinghead.backends.onnx_export import to_onnx
from talkinghead.backends.onnx_runtime import open_onnx
from talkinghead.backends.placement import Placement
from talkinghead.backends.processor import available_cores
from talkinghead.errors import BackendError, OutOfMemory


def onnx_form(network: Network, runtime: str, batch: int | None = None) -> bytes:
    """The network as a serialised ONNX model.

    Raises:
        BackendError: it has no such form.
    """
    if network.onnx_model is not None:
        return network.onnx_model()
    graph = network.built_graph()
    if graph is None:
        raise BackendError(f"The network {network.name} has no form that {runtime} reads.")
    return to_onnx(graph, batch=batch)


class OnnxSession:
    """See `Session`. Any batch size; nothing is compiled, so nothing is cached but quantised weights."""

    def __init__(
        self,
        network: Network,
        placement: Placement,
        *,
        threads: int | None = None,
        cache_folder: Path | None = None,  # noqa: ARG002 - opening costs a fraction of a second
        profile: bool = False,
        int8_samples: list[dict[str, Array]] | None = None,
    ) -> None:
        started = time.perf_counter()
        self._network = network
        self._profile_folder: tempfile.TemporaryDirectory[str] | None = None
        threads = threads or available_cores()
        prefix = None
        if profile:
            self._profile_folder = tempfile.TemporaryDirectory(prefix="talkinghead-")
            prefix = Path(self._profile_folder.name) / "trace"
        data = onnx_form(network, "ONNX Runtime")
        if placement.precision == "int8":
            from talkinghead.backends.int8 import quantise

            data = quantise(data, int8_samples or [])
        self._session = open_onnx(data, name=f"the network {network.name}", threads=threads, profile_prefix=prefix)
        self.facts = SessionFacts(
            "onnx", "cpu", placement.precision, time.perf_counter() - started, False, threads=threads
        )

    def run(self, inputs: Arrays) -> dict[str, Array]:
        check_inputs(self._network, inputs)
        try:
            values = self._session.run(None, {name: np.ascontiguousarray(value) for name, value in inputs.items()})
        except Exception as error:
            kind = OutOfMemory if "allocat" in str(error).lower() else BackendError
            raise kind(f"ONNX Runtime failed in {self._network.name}: {error}.") from error
        return dict(zip(self._network.outputs, values, strict=True))

    def run_many(self, batches: Iterable[Arrays]) -> Iterator[dict[str, Array]]:
        for inputs in batches:
            yield self.run(inputs)

    def profile(self) -> list[OperatorTime]:
        if self._profile_folder is None:
            return []
        events = json.loads(Path(self._session.end_profiling()).read_text())
        return [
            OperatorTime(event["name"].removesuffix("_kernel_time"), event["args"]["op_name"], "", event["dur"] / 1e6)
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        ]

    def close(self) -> None:
        self._session = None
        if self._profile_folder is not None:
            self._profile_folder.cleanup()
