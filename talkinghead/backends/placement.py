"""Where and how precisely a network runs: ranked ways, each with its reason.

A network says what kind it is (an `Offer`: which runtimes and number formats it has, and which of them is the faster
one on which kind of processor); the user says what is asked; the processor decides the rest. `candidates` ranks the
ways; the first is taken, or the first that keeps its quality (`gate.first_faithful`).

The orders are those that were measured or are known, row by row, with their source. A row that was not measured says
so; `talkinghead doctor` shows the rows of the machine it runs on.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talkinghead.backends.processor import KINDS, Processor, ProcessorKind, this_processor
from talkinghead.contracts import Backend, NetworkRun, Precision
from talkinghead.errors import BackendError, MissingDependency, OptionError, choices

BACKENDS: tuple[Backend, ...] = ("torch", "onnx", "openvino")
"""Runtimes for networks."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16", "int8")
_PACKAGES: dict[str, tuple[str, str]] = {
    "torch": ("torch", "models"),
    "onnx": ("onnxruntime", "models"),
    "openvino": ("openvino", "openvino"),
}
"""Package and extra of each runtime."""
HIGHEST_PSNR_DB = 200.0
"""Equal results have no finite ratio; JSON has no word for that."""

Way = tuple[Backend, Precision]
"""Runtime and number format."""


@dataclass(frozen=True)
class Order:
    """Ways that reduce the precision on one kind of processor, the fastest first."""

    ways: tuple[Way, ...]
    source: str
    """Where the order is from, for `doctor` and the report."""


@dataclass(frozen=True)
class Offer:
    """What a kind of network can run on."""

    title: str
    """The kind in words."""
    exact: tuple[Way, ...]
    """Ways in float32 on processors, the fastest first."""
    exact_source: str
    reduced: Mapping[ProcessorKind, Order]
    """What `fast` tries before `exact`; a kind that is not there reduces nothing."""
    named: tuple[Way, ...] = ()
    """Ways on processors that are only taken when the format is asked for by name."""
    cuda: tuple[Precision, ...] = ("float16", "float32")
    """Formats on CUDA devices, where PyTorch runs everything; the order of `fast`."""
    cuda_named: tuple[Precision, ...] = ()
    auto: Literal["fast", "parity"] = "fast"
    """What `auto` means."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Runtimes that the network has."""
        return tuple(name for name in BACKENDS if any(backend == name for backend, _ in self.exact))

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Formats that can be asked for by name on some device."""
        known = {precision for _, precision in self._all_ways()} | set(self.cuda) | set(self.cuda_named)
        return tuple(name for name in PRECISIONS if name in known)

    def _all_ways(self) -> Iterator[Way]:
        for order in self.reduced.values():
            yield from order.ways
        yield from self.named
        yield from self.exact

    def ways(self, processor: Processor, precision: str) -> tuple[Way, ...]:
        """Ways on a processor for "fast" or a format by name, the best first, whatever is installed."""
        if precision != "fast":
            return tuple(dict.fromkeys(way for way in self._all_ways() if way[1] == precision))
        order = self.reduced.get(processor.kind)
        return tuple(dict.fromkeys((*(order.ways if order is not None else ()), *self.exact)))


_HALVES: tuple[Way, ...] = (("openvino", "bfloat16"), ("torch", "bfloat16"))
DENSE = Offer(
    title="convolutions with dense kernels",
    exact=(("openvino", "float32"), ("onnx", "float32"), ("torch", "float32")),
    exact_source="measured with AMX: a face in 24, 28 and 36 ms",
    reduced={
        "amx": Order(_HALVES, "measured: OpenVINO 4.1, PyTorch 6.5, best float32 24 ms a face"),
        "avx512-bf16": Order(_HALVES, "measured: OpenVINO 17, PyTorch 20, best float32 34 ms a face"),
        "arm-bf16": Order(
            (("openvino", "bfloat16"), ("openvino", "float32"), ("torch", "bfloat16")),
            "known, not measured: PyTorch gains, and OpenVINO is preferred as on other processors",
        ),
    },
    named=(("openvino", "int8"), ("onnx", "int8")),
    cuda_named=("bfloat16",),
)
"""Few layers with many channels: products are what takes the time, and a matrix unit gains most."""

_COMPACT: tuple[Way, ...] = (("openvino", "float16"), ("openvino", "bfloat16"))
DEPTHWISE = Offer(
    title="convolutions by channel on large maps",
    exact=(("onnx", "float32"), ("openvino", "float32"), ("torch", "float32")),
    exact_source="measured with AMX: a whole job in 60 and 67 ms a frame, PyTorch 2.4 times slower alone",
    reduced={
        "amx": Order(_COMPACT, "measured: 14 and 25 ms a frame, float32 33"),
        "avx512-bf16": Order(_COMPACT, "measured: a whole job in 51 ms a frame, float32 72"),
        "arm-bf16": Order(_COMPACT, "known, not measured: half the memory traffic, which limits these maps"),
        "plain": Order(_COMPACT, "known, not measured, where OpenVINO computes in them: half the memory traffic"),
    },
    named=(("torch", "float16"), ("torch", "bfloat16")),
    cuda_named=("bfloat16",),
)
"""Many cheap layers: reading and writing the maps is what takes the time, and half the bytes gain most."""

PRODUCTS = Offer(
    title="matrix products in PyTorch",
    exact=(("torch", "float32"),),
    exact_source="the only runtime",
    reduced={
        "amx": Order((("torch", "bfloat16"),), "measured: 100 000 points in 13 ms, float32 20"),
        "avx512-bf16": Order((("torch", "bfloat16"),), "known, not measured: half the memory traffic"),
        "arm-bf16": Order((("torch", "bfloat16"),), "known, not measured: half the memory traffic"),
    },
    named=(("torch", "bfloat16"),),
    cuda=("float32",),
)
"""Networks that exist in PyTorch only."""


def installed(backend: str) -> bool:
    """Whether a backend's package is there."""
    return importlib.util.find_spec(_PACKAGES[backend][0]) is not None


def available_backends() -> dict[str, str]:
    """Backends to "" (usable) or the reason why not."""
    return {
        name: "" if installed(name) else f'{package} is not installed (pip install "talkinghead[{extra}]")'
        for name, (package, extra) in _PACKAGES.items()
    }


def missing_backend(backend: str, purpose: str) -> MissingDependency:
    """The error that names a runtime's package."""
    package, extra = _PACKAGES[backend]
    return MissingDependency(package, extra=extra, purpose=purpose)


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
    backend: Backend
    precision: Precision
    why: str = ""
    """For the report, as a sentence."""

    @property
    def name(self) -> str:
        """For messages and keys."""
        return f"{self.backend} {self.precision} on {self.device}"

    def run(self, name: str, *, psnr_db: float | None = None) -> NetworkRun:
        """What the report says of a network that ran here."""
        kept = None if psnr_db is None else round(min(psnr_db, HIGHEST_PSNR_DB), 1)
        return NetworkRun(name, self.backend, self.device, self.precision, self.why, kept)

    @staticmethod
    def choose(
        device: str = "auto", backend: str = "auto", precision: str = "auto", *, offer: Offer = DENSE
    ) -> Placement:
        """The best of `candidates`."""
        return candidates(offer, device, backend, precision)[0]


def candidates(
    offer: Offer,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    *,
    processor: Processor | None = None,
) -> tuple[Placement, ...]:
    """The ways to run that fit what was asked, the best first; the last one computes in float32 unless another format
    was asked for by name.

    "auto" takes a CUDA device if there is one: with PyTorch, the only runtime here that keeps data on it.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N".
        backend: "auto" or a runtime of the offer.
        precision: "auto" (what the offer means by it), "fast" (reduced where that gains on this processor, float32
            behind it), "parity" (float32), or a number format.
        processor: default: this machine's.
    Raises:
        OptionError: unknown names, or a combination that does not exist.
        MissingDependency: the runtime is not installed. BackendError: no such device.
    """
    if backend not in ("auto", *offer.backends):
        raise OptionError(f"There is no backend {backend!r} here.", accepted=choices(("auto", *offer.backends)))
    accepted = ("auto", "parity", "fast", *offer.precisions)
    if precision not in accepted:
        raise OptionError(f"There is no precision {precision!r} here.", accepted=choices(accepted))
    if backend not in ("auto", "torch"):
        if device.startswith("cuda"):
            raise OptionError(
                f"The backend {backend!r} runs on the CPU, and {device!r} was asked for.",
                accepted="--backend torch with a CUDA device",
            )
        device = choose_device(device) if device not in ("auto", "cpu") else "cpu"
    else:
        device = choose_device(device)
    if backend != "auto" and not installed(backend):
        raise missing_backend(backend, f"The backend {backend!r}")
    asked = offer.auto if precision == "auto" else precision
    asked = "float32" if asked == "parity" else asked
    if device != "cpu":
        return tuple(_on_cuda(offer, device, asked))
    return tuple(_on_processor(offer, backend, asked, precision, processor or this_processor()))


def _on_cuda(offer: Offer, device: str, asked: str) -> Iterator[Placement]:
    formats = offer.cuda if asked == "fast" else tuple(p for p in (*offer.cuda, *offer.cuda_named) if p == asked)
    if not formats:
        able = choices(tuple(dict.fromkeys((*offer.cuda, *offer.cuda_named))))
        raise OptionError(f"This network does not run {asked} on {device}.", accepted=f"there: {able}")
    for precision in formats:
        why = f"{device} is there; torch runs on it"
        if asked == "fast" and precision != "float32":
            why += f"; {precision} is its fast format"
        yield Placement(device, "torch", precision, why + ".")


def _on_processor(offer: Offer, backend: str, asked: str, precision: str, processor: Processor) -> Iterator[Placement]:
    ways = [way for way in offer.ways(processor, asked) if backend in ("auto", way[0])]
    here = [way for way in ways if installed(way[0]) and _computes(processor, way)]
    if not here:
        raise _nothing(offer, backend, asked, ways)
    for index, (runtime, number) in enumerate(here):
        reasons = []
        if backend != "auto":
            reasons.append(f"{backend} was asked for")
        else:
            lacking = _lacking(ways[: ways.index((runtime, number))], runtime)
            rank = "the fastest" if index == 0 else "the next"
            reasons.append(
                f"{runtime} is {rank} runtime installed for {number} on this CPU"
                + (f" (faster, but not installed: {', '.join(lacking)})" if lacking else "")
            )
        if asked == "fast":
            reasons.append(_why_format(offer, number, processor))
        elif precision == "auto":
            reasons.append("reduced formats change what this network says, so they are only taken when asked for")
        yield Placement("cpu", runtime, number, "; ".join(reasons) + ".")


def _lacking(better: Sequence[Way], taken: str) -> list[str]:
    """Runtimes of better ways that are not installed."""
    return list(dict.fromkeys(name for name, _ in better if name != taken and not installed(name)))


def _why_format(offer: Offer, number: Precision, processor: Processor) -> str:
    order = offer.reduced.get(processor.kind)
    if number != "float32":
        assert order is not None
        return f"{number} is fast here ({order.source})"
    if processor.kind == "plain":
        return "this CPU has no bfloat16 arithmetic, so float32 is the fastest"
    return "float32 is what the published network computes in"


def _computes(processor: Processor, way: Way) -> bool:
    """Whether a runtime really computes in the format here."""
    backend, precision = way
    if backend != "openvino" or precision in ("float32", "int8"):
        return True
    if precision == "bfloat16" and processor.kind in ("amx", "avx512-bf16"):
        return True  # what OpenVINO says too, without the time to ask
    return precision in processor.openvino_formats()


def _nothing(offer: Offer, backend: str, asked: str, ways: Sequence[Way]) -> OptionError | MissingDependency:
    """The error when no way is left."""
    missing = [name for name, _ in ways if not installed(name)]
    if backend == "auto" and missing:
        preferred = next((name for name in missing if name in ("onnx", "torch")), missing[0])
        return missing_backend(preferred, "This model")
    able = tuple(name for name in PRECISIONS if (backend, name) in (*offer.exact, *offer.named))
    if ways:
        return OptionError(
            f"{backend} does not compute in {asked} on this CPU.", accepted="--precision auto, or --backend torch"
        )
    return OptionError(
        f"{'No runtime' if backend == 'auto' else backend} does not run {asked} on cpu here."
        if backend != "auto"
        else f"This network does not run {asked} on the CPU.",
        accepted=f"with {backend}: {choices(able or ('float32',))}" if backend != "auto" else "--precision auto",
        remedy="--precision auto, or another --backend",
    )


def asked_by_name(precision: str) -> bool:
    """Whether a number format was asked for, so that nobody has to measure what it loses."""
    return precision not in ("auto", "fast")


# What `doctor` shows --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RankedWays:
    """The order of one kind of network on one processor."""

    network: str
    precision: str
    """"fast" or "parity"."""
    ways: tuple[str, ...]
    """"openvino bfloat16", ..., the best first; only what is installed and what the processor computes in."""
    why: str


def ranking(processor: Processor | None = None) -> tuple[RankedWays, ...]:
    """The order for each kind of network and each precision on a processor.

    A format that is asked for by name runs on the first of the ways that compute in it.
    """
    processor = processor or this_processor()
    rows = []
    for offer in (DENSE, DEPTHWISE, PRODUCTS):
        for precision in ("fast", "parity"):
            number = "float32" if precision == "parity" else precision
            ways = tuple(
                way for way in offer.ways(processor, number) if installed(way[0]) and _computes(processor, way)
            )
            order = offer.reduced.get(processor.kind)
            reduces = any(name != "float32" for _, name in ways)
            if precision == "parity":
                why = offer.exact_source
            elif order is not None and reduces:
                why = order.source
            else:
                why = f"{KINDS[processor.kind]}: nothing to gain, so as parity"
            rows.append(RankedWays(offer.title, precision, tuple(" ".join(way) for way in ways), why))
    return tuple(rows)
