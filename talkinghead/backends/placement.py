"""Where and how a network runs: device, runtime and precision, decided once and said in words."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from talkinghead.errors import BackendError, MissingDependency, OptionError, choices

BACKENDS = ("torch", "onnx", "openvino")
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
_PACKAGES = {"torch": ("torch", "models"), "onnx": ("onnxruntime", "models"), "openvino": ("openvino", "openvino")}

_SPEED_ORDER: dict[str, tuple[str, ...]] = {
    "float32": ("openvino", "onnx", "torch"),
    "bfloat16": ("openvino", "torch"),
    "int8": ("openvino", "onnx"),
}
"""Runtimes for CPUs, fastest first, as measured (see docs/performance.md)."""


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Instruction set flags of the processor; empty where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself (AMX or AVX-512 BF16 on x86, BF16 on Arm)."""
    return bool(cpu_flags() & {"amx_bf16", "avx512_bf16", "bf16"})


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def installed(backend: str) -> bool:
    """Whether a backend's package is there."""
    return importlib.util.find_spec(_PACKAGES[backend][0]) is not None


def available_backends() -> dict[str, str]:
    """Backends to "" (usable) or the reason why not."""
    return {
        name: "" if installed(name) else f'{package} is not installed (pip install "talkinghead[{extra}]")'
        for name, (package, extra) in _PACKAGES.items()
    }


def _cuda_devices() -> int:
    if not installed("torch"):
        return 0
    if not (Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists() or platform.system() == "Windows"):
        return 0  # answering without importing torch saves a second on machines without a GPU
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def choose_device(device: str = "auto") -> str:
    """ "cpu" or "cuda:N" for what was asked.

    Raises:
        OptionError: not a device name. BackendError: no such device here.
    """
    name, _, index = device.partition(":")
    if device not in ("auto", "cpu") and not (name == "cuda" and (not index or index.isdigit())):
        raise OptionError(f"There is no device {device!r}.", accepted="auto, cpu, cuda or cuda:N")
    if device == "cpu":
        return "cpu"
    count = _cuda_devices()
    if device == "auto":
        return "cuda:0" if count else "cpu"
    number = int(index or 0)
    if number >= count:
        raise BackendError(
            f"The device {device!r} was asked for and this machine offers {count or 'no'} CUDA device(s) to PyTorch.",
            remedy="--device cpu, or a PyTorch with CUDA (pytorch.org) and a driver that fits it",
        )
    return f"cuda:{number}"


@dataclass(frozen=True)
class Placement:
    """A decision: device, runtime, precision, and why."""

    device: str
    backend: str
    precision: str
    why: str
    """For the report, as a sentence."""

    @staticmethod
    def choose(
        device: str = "auto",
        backend: str = "auto",
        precision: str = "auto",
        *,
        offers: Sequence[str] = BACKENDS,
        precisions: Sequence[str] = ("float32", "bfloat16", "float16"),
    ) -> Placement:
        """Decide.

        "auto" takes a CUDA device if there is one (with PyTorch, the only runtime here that keeps data on it). On a
        CPU it takes OpenVINO where it is installed: it ran the Wav2Lip generator two to five times as fast as the
        others, in bfloat16 and in float32 alike; then ONNX Runtime for float32 and PyTorch for bfloat16.

        Args:
            precision: "auto" and "fast" take bfloat16 on CPUs that have it and float16 on CUDA, else float32; "parity"
                is float32; or a name of `PRECISIONS`.
            offers: runtimes that the network can use.
            precisions: number formats that the network keeps its quality in.
        Raises:
            OptionError: unknown names, or a combination that does not exist.
            MissingDependency: the runtime is not installed. BackendError: no such device.
        """
        if backend not in ("auto", *offers):
            raise OptionError(f"There is no backend {backend!r} here.", accepted=choices(("auto", *offers)))
        accepted = ("auto", "parity", "fast", *precisions)
        if precision not in accepted:
            raise OptionError(f"There is no precision {precision!r} here.", accepted=choices(accepted))
        if backend not in ("auto", "torch") and device == "auto":
            device = "cpu"  # the other runtimes are used for CPUs
        device = choose_device(device)
        reasons = []
        if device != "cpu":
            if backend not in ("auto", "torch"):
                raise OptionError(
                    f"The backend {backend!r} runs on the CPU, and {device!r} was asked for.",
                    accepted="--backend torch with a CUDA device",
                )
            backend = "torch"
            reasons.append(f"{device} is there")
        number = _precision(precision, device, precisions)
        if backend == "auto":
            order = _SPEED_ORDER.get(number, ("torch",))
            able = [name for name in order if name in offers and installed(name)]
            if not able:
                package, extra = _PACKAGES[next(name for name in order if name in offers)]
                raise MissingDependency(package, extra=extra, purpose="This model")
            backend = able[0]
            lacking = [name for name in order[: order.index(backend)] if name in offers and not installed(name)]
            reasons.append(
                f"{backend} is the fastest runtime installed for {number} on this CPU"
                + (f" (faster, but not installed: {', '.join(lacking)})" if lacking else "")
            )
        elif not installed(backend):
            missing, brings = _PACKAGES[backend]
            raise MissingDependency(missing, extra=brings, purpose=f"The backend {backend!r}")
        else:
            reasons.append(f"{backend} was asked for" if device == "cpu" else f"{backend} runs on it")
        _check(backend, number, device)
        if precision in ("auto", "fast"):
            if number == "float32":
                reasons.append("this CPU has no bfloat16 arithmetic, so float32 is the fastest")
            else:
                reasons.append(f"{number} is fast and stays above 45 dB")
        return Placement(device, backend, number, "; ".join(reasons) + ".")


def _precision(precision: str, device: str, precisions: Sequence[str]) -> str:
    if precision == "parity":
        return "float32"
    if precision in ("auto", "fast"):
        if device != "cpu":
            return "float16" if "float16" in precisions else "float32"
        return "bfloat16" if cpu_has_bfloat16() and "bfloat16" in precisions else "float32"
    return precision


def _check(backend: str, precision: str, device: str) -> None:
    """Refuse what a runtime cannot do.

    Raises:
        OptionError: naming what it can.
    """
    able = {
        "torch": ("float32", "bfloat16", "float16") if device != "cpu" else ("float32", "bfloat16"),
        "onnx": ("float32", "int8"),
        "openvino": ("float32", "bfloat16", "int8"),
    }[backend]
    if precision not in able:
        raise OptionError(
            f"{backend} does not run {precision} on {device}.",
            accepted=f"with {backend}: {choices(able)}",
            remedy="--precision auto, or another --backend",
        )
