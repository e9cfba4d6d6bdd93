"""What `talkinghead bench wav2lip` measures besides the whole run: the network on every runtime and precision.

Without a checkpoint the weights are random numbers of the real size: the time does not depend on their values.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import DENSE, Placement, Session, artefacts, candidates, choose_device, open_session
from talkinghead.cores import available_cores
from talkinghead.errors import TalkingHeadError
from talkinghead.families.wav2lip.architecture import GENERATOR_96, Architecture
from talkinghead.families.wav2lip.engine import CPU_BATCH, GPU_BATCH
from talkinghead.families.wav2lip.graphs import feature_names, network
from talkinghead.families.wav2lip.postprocess import Finish, first_row_used
from talkinghead.families.wav2lip.weights import GeneratorWeights, load_generator
from talkinghead.measure.cases import BenchCase, BenchSettings, BenchTable, portrait_cases

SHARE = 9
"""Column of the share of the ceiling."""
CALLS = 12
"""Timed calls; the fastest quarter's median counts, which other programs on the machine disturb least."""


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Weights of the published names and sizes that keep activations in a usual range."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, shape in architecture.expected():
        if name.endswith("running_var"):
            value: NDArray[Any] = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 4:
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("1.weight"):
            value = rng.uniform(0.8, 1.2, shape)
        else:
            value = 0.05 * rng.standard_normal(shape)
        tensors[name] = value.astype(np.float32)
    last = f"{architecture.output_conv}.weight"
    tensors[last] = tensors[last] * np.float32(0.002)
    return tensors


def cases(settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:
    """A picture and a video; with random weights where no checkpoint is given."""
    from dataclasses import replace

    load: dict[str, Any] = {}
    if "checkpoint" not in settings.load:
        load["checkpoint"] = _written(folder)
    return [replace(case, load=load) for case in portrait_cases(settings, folder)]


def _written(folder: Path) -> Path:
    from talkinghead.weights import write_safetensors

    path = folder / "wav2lip-random.safetensors"
    if not path.exists():
        write_safetensors(random_weights(GENERATOR_96), path)
    return path


def tables(settings: BenchSettings, folder: Path, tell: Callable[[str], None]) -> Sequence[BenchTable]:
    """The generator alone, per runtime and precision, against the machine's ceiling."""
    checkpoint = settings.load.get("checkpoint") or _written(folder)
    weights = load_generator(checkpoint)
    ceilings: dict[tuple[str, str], float] = {}
    rows: list[tuple[list[Any], tuple[str, str], float]] = []
    exact: dict[str, NDArray[np.float32]] = {}
    for placement in _placements():
        tell(f"{placement.backend}, {placement.precision}")
        key: tuple[str, str] = (placement.device, placement.precision)

        def look(key: tuple[str, str] = key) -> None:  # before and after: machines are not equally fast all the time
            ceilings[key] = max(ceilings.get(key, 0.0), matmul_ceiling(*key))

        look()
        try:
            for row, rate in _measure(weights, placement, exact, folder):
                rows.append((row, key, rate))
        except TalkingHeadError as error:
            rows.append(([placement.backend, placement.precision, "-", *["-"] * 7, str(error.what)], key, 0.0))
        look()
    for row, key, rate in rows:
        if rate:
            row[SHARE] = f"{rate / ceilings[key]:.0%}"
    columns = ["runtime", "numbers", "part", "batch", "cold open s", "warm open s", "ms/frame", "frames/s"]
    columns += ["GFLOP/s", "of ceiling", "PSNR dB"]
    macs = weights.architecture.macs()
    note = (
        f"{weights.architecture.name}, {available_cores()} cores. FLOP are those of the published network "
        f"({2 * (sum(macs.values()) - macs['audio_encoder']) / 1e9:.2f} G per frame without the audio encoder, two per "
        "multiply-add), so what is computed once and kept, or not at all, counts as done. Jobs that paste the lower "
        "face (the default) make the rows that are pasted. Ceiling: the fastest matrix product of 512 to 2048 rows by "
        "PyTorch in the same precision: "
        + ", ".join(f"{numbers} on {device} {value / 1e9:.0f} GFLOP/s" for (device, numbers), value in ceilings.items())
        + ". PSNR is that of the network's output against float32 of the first runtime."
    )
    return [BenchTable("The generator alone", tuple(columns), tuple(tuple(row) for row, _, _ in rows), note)]


def _placements() -> Iterator[Placement]:
    """Every way to run here, float32 first: the others are compared with it."""
    if choose_device("auto") != "cpu":
        yield from reversed(candidates(DENSE, "cuda", "torch", "fast"))
    found = candidates(DENSE, "cpu", "auto", "fast")
    yield from sorted(found, key=lambda place: place.precision != "float32")


def _measure(
    weights: GeneratorWeights,
    placement: Placement,
    exact: dict[str, NDArray[np.float32]],
    folder: Path,
) -> Iterator[tuple[list[Any], float]]:
    """Rows of the table, with FLOP per second."""
    architecture = weights.architecture
    batch = CPU_BATCH if placement.device == "cpu" else GPU_BATCH
    rng = np.random.default_rng(0)
    face = rng.random((batch, 6, architecture.size, architecture.size), dtype=np.float32)
    face[:, :3, architecture.size // 2 :] = 0
    audio = np.abs(rng.standard_normal((batch, 512, 1, 1))).astype(np.float32)
    packed = feature_names(architecture)
    cache = folder / "compiled"

    def opened(part: str, first_row: int) -> tuple[Session, float, float]:
        net = network(part, architecture, lambda: weights.folded, weights.sha256, first_row)
        times = []
        for _ in range(2):
            started = time.perf_counter()
            session = open_session(net, placement, batch=batch, cache_folder=cache, packed=packed)
            times.append(time.perf_counter() - started)
            artefacts.wait()
        return session, times[0], times[1]

    macs = architecture.macs()
    flop = 2 * (macs["face_encoder"] + macs["face_decoder"] + macs["output"])
    encoder, _, _ = opened("face", 0)
    features = encoder.run({"face": face})
    both, kept = {"audio": audio, "face": face}, {"audio": audio, **features}
    pasted = first_row_used(Finish(), architecture.size)
    for label, part, inputs, first_row in (
        ("whole", "generator", both, 0),
        ("pasted rows", "generator", both, pasted),
        ("pasted rows, features kept", "decoder", kept, pasted),
    ):
        session, cold_s, warm_s = opened(part, first_row)
        output = session.run(inputs)["output"]
        exact.setdefault(architecture.name, output)
        error = float(np.mean((output - exact[architecture.name][:, :, first_row:]) ** 2))
        seconds = fastest(lambda s=session, i=inputs: s.run(i)) / batch  # type: ignore[misc]
        rate = flop / seconds
        row = [
            placement.backend,
            placement.precision,
            label,
            batch,
            f"{cold_s:.2f}",
            f"{warm_s:.2f}",
            f"{1000 * seconds:.2f}",
            f"{1 / seconds:.1f}",
            f"{rate / 1e9:.0f}",
            "",
            f"{-10 * np.log10(max(error, 1e-13)):.1f}",
        ]
        yield row, rate
        session.close()


def fastest(call: Callable[[], Any]) -> float:
    """Seconds of a call: median of the fastest quarter, after one that warms up."""
    call()
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(sorted(times)[: max(1, CALLS // 4)])


def matmul_ceiling(device: str, precision: str) -> float:
    """FLOP per second of the fastest matrix product on a device in a precision."""
    try:
        import torch
    except ImportError:
        if precision != "float32":
            return float("nan")
        one, other = (np.random.default_rng(0).random((1024, 1024), dtype=np.float32) for _ in range(2))
        return 2 * 1024**3 / fastest(lambda: one @ other)
    from talkinghead.backends.torch_backend import DTYPES

    torch.set_num_threads(available_cores())
    best = 0.0
    for size in (512, 1024, 2048) if device == "cpu" else (2048, 4096, 8192):
        a, b = (torch.rand(size, size, device=device).to(DTYPES[precision]) for _ in range(2))

        def product(a: Any = a, b: Any = b) -> None:
            a @ b
            if device != "cpu":
                torch.cuda.synchronize()

        best = max(best, 2 * size**3 / fastest(product))
    return best
