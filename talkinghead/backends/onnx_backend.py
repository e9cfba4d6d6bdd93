"""ONNX Runtime: one package for every CPU, float32 and 8 bits."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.backends.artefacts import Compiled, samples_digest
from talkinghead.backends.base import Array, Arrays, Network, OperatorTime, SessionFacts, check_inputs
from talkinghead.backends.onnx_export import to_onnx
from talkinghead.backends.onnx_runtime import open_onnx, optimised_for
from talkinghead.backends.placement import Placement
from talkinghead.cores import available_cores
from talkinghead.errors import BackendError, OutOfMemory, UnwritableOutput
from talkinghead.places import temporary_folder


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
    """See `Session`. Any batch size; what is kept is the graph as ONNX Runtime rewrote it for this processor."""

    def __init__(
        self,
        network: Network,
        placement: Placement,
        *,
        threads: int | None = None,
        streams: int = 1,
        cache_folder: Path | None = None,
        profile: bool = False,
        int8_samples: list[dict[str, Array]] | None = None,
    ) -> None:
        started = time.perf_counter()
        self._network = network
        self._profile_folder: tempfile.TemporaryDirectory[str] | None = None
        threads = threads or available_cores()
        self._streams = max(1, min(streams, threads))
        prefix = None
        if profile:
            self._profile_folder = tempfile.TemporaryDirectory(prefix="talkinghead-")
            prefix = Path(self._profile_folder.name) / "trace"
        facts = (*optimised_for(), placement.precision, samples_digest(int8_samples or []))
        options: dict[str, Any] = {"threads": threads // self._streams, "profile_prefix": prefix}
        self._session, from_cache = self._open(
            Compiled(cache_folder, "onnx", network, facts), placement.precision, int8_samples or [], options
        )
        self.facts = SessionFacts(
            "onnx", "cpu", placement.precision, time.perf_counter() - started, from_cache, threads=threads
        )

    def _open(
        self, kept: Compiled, precision: str, int8_samples: list[dict[str, Array]], options: dict[str, Any]
    ) -> tuple[Any, bool]:
        """The session, and whether it is made of what was kept."""
        name = f"the network {self._network.name}"
        stored = kept.find()
        if stored is not None:
            with contextlib.suppress(BackendError):  # of a broken disk: made again below
                return open_onnx(stored.tobytes(), name=name, is_optimised=True, **options), True
        data = onnx_form(self._network, "ONNX Runtime")
        if precision == "int8":
            from talkinghead.backends.int8 import quantise

            data = quantise(data, int8_samples)
        if kept.is_kept:
            with contextlib.suppress(BackendError, UnwritableOutput, OSError):  # no room for it: nothing is kept
                return _open_and_keep(data, kept, name=name, **options), False
        return open_onnx(data, name=name, **options), False

    def run(self, inputs: Arrays) -> dict[str, Array]:
        check_inputs(self._network, inputs)
        try:
            values = self._session.run(None, {name: np.ascontiguousarray(value) for name, value in inputs.items()})
        except Exception as error:
            kind = OutOfMemory if "allocat" in str(error).lower() else BackendError
            raise kind(f"ONNX Runtime failed in {self._network.name}: {error}.") from error
        return dict(zip(self._network.outputs, values, strict=True))

    def run_many(self, batches: Iterable[Arrays]) -> Iterator[dict[str, Array]]:
        if self._streams == 1:
            for inputs in batches:
                yield self.run(inputs)
            return
        pending: deque[Future[dict[str, Array]]] = deque()
        with ThreadPoolExecutor(self._streams, thread_name_prefix="onnx") as pool:
            try:
                for inputs in batches:
                    if len(pending) == self._streams:
                        yield pending.popleft().result()
                    pending.append(pool.submit(self.run, inputs))
                while pending:
                    yield pending.popleft().result()
            finally:
                for each in pending:
                    each.cancel()

    def profile(self) -> list[OperatorTime]:
        if self._profile_folder is None:
            return []
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        return [
            OperatorTime(event["name"].removesuffix("_kernel_time"), event["args"]["op_name"], "", event["dur"] / 1e6)
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        ]

    def close(self) -> None:
        self._session = None
        if self._profile_folder is not None:
            self._profile_folder.cleanup()


def _open_and_keep(model: bytes, kept: Compiled, **options: Any) -> Any:
    with temporary_folder() as folder:
        path = folder / "optimised.onnx"
        session = open_onnx(model, optimised_path=path, **options)
        optimised = path.read_bytes()
    kept.keep_soon(lambda: optimised)
    return session
