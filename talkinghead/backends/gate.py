"""The quality gate: a reduced precision is taken only if it stays near float32 with these weights on this machine.

What was measured is remembered per weights, network, way to run, version of the runtime and processor, so that it costs
one run only. Whoever asks for a number format by name gets it without being measured.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.placement import Placement
from talkinghead.backends.processor import this_processor
from talkinghead.contracts import ArrayStore, NetworkRun
from talkinghead.files import cache_key

MIN_PSNR_DB = 45.0
"""What a reduced precision must keep against float32; else the next way is taken."""
_PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True)
class Verdict:
    """The way that was taken."""

    placement: Placement
    psnr_db: float | None = None
    """Against float32, where the precision is reduced and was measured (or remembered)."""
    refused: tuple[str, ...] = ()
    """A sentence for each way that was not faithful enough."""

    def run(self, name: str) -> NetworkRun:
        """For the report."""
        return self.placement.run(name, psnr_db=self.psnr_db)


def first_faithful(
    places: Sequence[Placement],
    measure: Callable[[Placement], float],
    *,
    network: str,
    weights_sha256: Callable[[], str] | str | None,
    store: ArrayStore | None,
    trusted: bool = False,
) -> Verdict:
    """The first place that computes in float32, or whose reduced precision keeps MIN_PSNR_DB.

    Args:
        places: ranked ways (`placement.candidates`).
        measure: gives the PSNR in dB of the network's output at a place against float32, on the user's own input.
        network: name and version of the network; part of what is remembered.
        weights_sha256: hash of the weights, or what gives it (asked for only when something is to be measured); None
            where it is unknown, and nothing is remembered.
        store: None remembers nothing.
        trusted: the format was asked for by name: the first place is taken as it is.
    """
    if not places:
        raise ValueError("first_faithful needs at least one place")
    refused: list[str] = []
    for place in places:
        if trusted or place.precision == "float32":
            return Verdict(place, None, tuple(refused))
        found = _remembered(place, measure, network, weights_sha256, store)
        if found >= MIN_PSNR_DB:
            return Verdict(place, found, tuple(refused))
        refused.append(refusal(network, place, found))
    raise AssertionError("ranked ways end with float32 unless a format was asked for by name")


class _Unmeasured(Exception):
    """Something has to be measured."""


def recall(
    places: Sequence[Placement],
    *,
    network: str,
    weights_sha256: Callable[[], str] | str | None,
    store: ArrayStore | None,
    trusted: bool = False,
) -> Verdict | None:
    """`first_faithful` without measuring: None where something would have to be."""

    def unknown(_: Placement) -> float:
        raise _Unmeasured

    try:
        return first_faithful(
            places, unknown, network=network, weights_sha256=weights_sha256, store=store, trusted=trusted
        )
    except _Unmeasured:
        return None


def refusal(network: str, place: Placement, psnr_db: float) -> str:
    """Why a way was not taken, as a fallback of the report."""
    kept = "no" if math.isnan(psnr_db) else f"only {psnr_db:.1f}"
    return (
        f"{network.partition('/')[0]}: {place.name} keeps {kept} dB of {MIN_PSNR_DB:.0f} with these weights; "
        "the next precision was taken."
    )


def _remembered(
    place: Placement,
    measure: Callable[[Placement], float],
    network: str,
    weights_sha256: Callable[[], str] | str | None,
    store: ArrayStore | None,
) -> float:
    if store is None or weights_sha256 is None:
        return measure(place)
    sha256 = weights_sha256() if callable(weights_sha256) else weights_sha256
    key = verdict_key(network, sha256, place)
    known = store.get(key)
    if known is not None and "psnr_db" in known:
        return float(known["psnr_db"])
    found = measure(place)
    store.put(key, {"psnr_db": np.array(found, np.float64)})
    return found


def verdict_key(network: str, weights_sha256: str, place: Placement) -> str:
    """64 hexadecimal digits of everything that decides what a precision loses."""
    return cache_key(
        "quality-gate/1",
        network=network,
        weights=weights_sha256,
        place=place.name,
        runtime=runtime_version(place.backend),
        machine=machine(place.device),
    )


def runtime_version(backend: str) -> str:
    """Version of a runtime's package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(_PACKAGES.get(backend, backend))
    except PackageNotFoundError:
        return "?"


def machine(device: str) -> str:
    """What computes: the processor with its features, or the GPU."""
    if device == "cpu":
        processor = this_processor()
        return " ".join((platform.machine(), processor.name or "?", *processor.features))
    import torch

    return torch.cuda.get_device_name(device)


def exact_place(place: Placement) -> Placement:
    """Where float32 is computed to compare a place with: on the same GPU, or by NumPy, which compiles nothing."""
    if place.device == "cpu":
        return Placement("cpu", "numpy", "float32")
    return Placement(place.device, "torch", "float32")


def psnr_db(found: NDArray[Any], exact: NDArray[Any], peak: float) -> float:
    """Peak signal-to-noise ratio in dB; infinite if both are equal, NaN where something is not finite.

    Args:
        peak: the largest difference that values can have: 255 for bytes, 1 for [0, 1].
    """
    if found.shape != exact.shape:
        raise ValueError(f"shapes differ: {list(found.shape)} and {list(exact.shape)}")
    error = float(np.mean((found.astype(np.float64) - exact.astype(np.float64)) ** 2)) if found.size else 0.0
    if not math.isfinite(error):
        return math.nan
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf


def spread_psnr_db(found: NDArray[Any], exact: NDArray[Any]) -> float:
    """`psnr_db` of values without a fixed range: the peak is the spread of the exact ones."""
    spread = float(exact.max() - exact.min()) if exact.size else 0.0
    return psnr_db(found, exact, spread or 1.0)
