"""The one place where sessions of ONNX Runtime are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from talkinghead.backends.processor import this_processor
from talkinghead.backends.runtimes import onnxruntime
from talkinghead.cores import available_cores
from talkinghead.errors import BackendError, MissingDependency

_BACKEND = "The backend 'onnx'"


def optimised_for() -> tuple[Any, ...]:
    """All that decides what ONNX Runtime makes of a model on the CPU: its version and the processor.

    Raises:
        MissingDependency: no ONNX Runtime.
    """
    processor = this_processor()
    return _onnxruntime(_BACKEND).__version__, processor.name, sorted(processor.flags)


def _onnxruntime(purpose: str) -> Any:
    try:
        return onnxruntime()
    except ImportError as error:
        raise MissingDependency("onnxruntime", extra="models", purpose=purpose) from error


def open_onnx(
    model: bytes | str | Path,
    *,
    name: str,
    purpose: str = _BACKEND,
    threads: int = 0,
    profile_prefix: Path | None = None,
    optimised_path: Path | None = None,
    is_optimised: bool = False,
) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU.

    Its threads sleep while they wait: decoding, drawing and encoding run at the same time on the same cores.

    Args:
        model: serialised, or a file.
        name: of the network, for messages.
        purpose: what needs it, for the message when the package is missing.
        threads: 0 is all cores that this process may use.
        profile_prefix: measure every operator and write files of this name and a date.
        optimised_path: write there what it made of the model, which fits this processor and this version alone.
        is_optimised: the model is such a file: nothing is looked for that could be made faster.
    Raises:
        MissingDependency: no ONNX Runtime. BackendError: it refuses the model.
    """
    ort = _onnxruntime(purpose)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    if optimised_path is not None:
        options.optimized_model_filepath = str(optimised_path)
    if is_optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    given = str(model) if isinstance(model, Path) else model
    try:
        return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise BackendError(f"ONNX Runtime refused {name}: {error}.") from error
