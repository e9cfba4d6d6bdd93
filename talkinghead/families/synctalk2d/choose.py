"""Choosing where and how precisely the generator runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from talkinghead.backends.placement import choose_device, installed
from talkinghead.errors import BackendError, MissingDependency, OptionError, choices
from talkinghead.families.synctalk2d.crop import Picture
from talkinghead.families.synctalk2d.engine import Engine, OnnxEngine, OpenVinoEngine, TorchEngine
from talkinghead.families.synctalk2d.folded import FoldedUNet

BACKENDS = ("auto", "torch", "onnx", "openvino")
PRECISIONS = ("auto", "parity", "fast", "float32", "bfloat16", "float16")
MIN_PSNR_DB = 45.0
"""What a fast precision must keep against float32, else the next one is taken."""
GPU_BATCH = 16
_PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
_EXTRAS = {"torch": "models", "onnx": "models", "openvino": "openvino"}


@dataclass(frozen=True)
class EngineChoice:
    """One way to run the generator."""

    backend: str
    device: str
    precision: str
    threads: int = 0

    @property
    def name(self) -> str:
        return f"{self.backend} {self.precision} on {self.device}"


def openvino_precisions() -> tuple[str, ...]:
    """Precisions that this processor computes in itself, fastest faithful one first."""
    import openvino

    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    fast = [name for code, name in (("FP16", "float16"), ("BF16", "bfloat16")) if code in able]
    return (*fast, "float32")


def has_cuda() -> bool:
    """A CUDA device is there, and a torch that can use it."""
    return choose_device("auto") != "cpu"


def candidates(backend: str, device: str, precision: str, *, compat: bool, threads: int = 0) -> list[EngineChoice]:
    """The ways to run that fit what was asked, best first.

    Args:
        backend, device, precision: as in `LoadOptions`.
        compat: float32 unless a precision is named.
    Raises:
        OptionError: unknown or contradictory. MissingDependency: a named back end is not installed.
        BackendError: a GPU was asked for and there is none.
    """
    if backend not in BACKENDS:
        raise OptionError(f"There is no back end {backend!r}.", accepted=choices(BACKENDS))
    if precision not in PRECISIONS:
        raise OptionError(f"There is no precision {precision!r}.", accepted=choices(PRECISIONS))
    if backend != "auto" and not installed(backend):
        raise MissingDependency(_PACKAGES[backend], extra=_EXTRAS[backend], purpose=f"The back end {backend}")
    if device.startswith("cuda") and backend in ("onnx", "openvino"):
        raise OptionError(f"The back end {backend} runs on the CPU.", accepted="--backend torch with --device cuda")
    found_device = choose_device(device) if backend in ("auto", "torch") else "cpu"
    if precision == "auto":
        precision = "parity" if compat else "fast"
    if precision == "parity":
        precision = "float32"
    found = list(_candidates(backend, found_device, precision))
    if not found:
        missing = backend if backend != "auto" else "onnx"
        if backend == "auto" or not installed(backend):
            raise MissingDependency(_PACKAGES[missing], extra=_EXTRAS[missing], purpose="The generator")
        raise OptionError(f"The back end {backend} does not run {precision} here.", accepted="--precision float32")
    return [replace(choice, threads=threads) for choice in found]


def _candidates(backend: str, device: str, precision: str) -> Iterator[EngineChoice]:
    fast = precision == "fast"
    if device != "cpu":
        for kind in ("float16", "float32") if fast else (precision,):
            yield EngineChoice("torch", device, kind)
        return
    with_openvino = backend in ("auto", "openvino") and installed("openvino")
    able = openvino_precisions() if with_openvino else ()
    for kind in able if fast else (precision,):
        if kind in able and kind != "float32":
            yield EngineChoice("openvino", "cpu", kind)
    if fast or precision == "float32":  # where ONNX Runtime is the faster one
        if backend in ("auto", "onnx") and installed("onnx"):
            yield EngineChoice("onnx", "cpu", "float32")
        if with_openvino:
            yield EngineChoice("openvino", "cpu", "float32")
    if backend in ("auto", "torch") and installed("torch"):
        yield EngineChoice("torch", "cpu", "float32" if fast else precision)


def build_engine(choice: EngineChoice, net: FoldedUNet) -> Engine:
    """Make the generator ready.

    Raises:
        BackendError: the runtime refuses.
    """
    try:
        if choice.backend == "openvino":
            return OpenVinoEngine(net, precision=choice.precision, threads=choice.threads)
        if choice.backend == "onnx":
            return OnnxEngine(net, threads=choice.threads)
        batch = GPU_BATCH if choice.device.startswith("cuda") else 1
        return TorchEngine(net, device=choice.device, precision=choice.precision, batch=batch)
    except RuntimeError as error:
        raise BackendError(f"{choice.name} cannot be started: {error}.", remedy="--backend onnx") from error


def psnr_db(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio of two pictures; infinite if they are equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255.0**2 / error))


def runtime_identity(backend: str) -> str:
    """Version of a back end's package and the processor: what its rounding depends on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(_PACKAGES[backend])
    except PackageNotFoundError:
        found = "?"
    return f"{backend} {found} {platform.machine()} {_processor_name()}"


def _processor_name() -> str:
    if installed("openvino"):
        import openvino

        return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"))
    import platform

    return platform.processor()
