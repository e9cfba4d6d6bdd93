"""What `talkinghead bench talkinggaussian` measures: synthetic heads of 20 000, 100 000 and 300 000 Gaussians.

Besides the size of the cloud, the 100 000 one is drawn in other sizes and with other numbers of threads, so that the
scaling with Gaussians, pixels and threads can be read off. Each face comes with 30 % as many Gaussians for the mouth.
On a processor two tables follow: the steps of one frame, alone, and the memory of a run of each head.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.cores import available_cores
from talkinghead.families.talkinggaussian.checkpoint import (
    CanonicalCloud,
    TrainedHead,
    check_network,
    write_head_safetensors,
)
from talkinghead.families.talkinggaussian.frames import BLACK
from talkinghead.families.talkinggaussian.network import (
    ACTION_UNITS,
    AUDIO_CODE,
    FACE,
    MOUTH,
    NetworkKind,
    expected_shapes,
)
from talkinghead.families.talkinggaussian.procedural.build import AU_NUMBERS, head_poses
from talkinghead.families.talkinggaussian.renderer import DrawnHead, SpeechCodes
from talkinghead.families.talkinggaussian.scene import FPS
from talkinghead.measure.cases import BenchCase, BenchSettings, BenchTable
from talkinghead.places import temporary_folder
from talkinghead.rendering.rasterize_cpu import composite_cpu, project_cpu, sort_by_depth, tile_lists_cpu

if TYPE_CHECKING:
    from talkinghead.families.talkinggaussian.pipeline import TalkingGaussianHead

FACE_COUNTS = (20_000, 100_000, 300_000)
MOUTH_SHARE = 0.3
SIZE = 512
OTHER_SIZES = (256, 1024)
RADII = np.array([0.072, 0.095, 0.08])
"""Of the synthetic head, world units."""
POSES = 50
STEPS = ("motion", "harmonics", "projection", "sorting", "tile lists", "pixels", "composing")
"""Of one frame, in order; from the second on for both clouds."""
STEP_REPEATS = 5
MEMORY_S = 4.0
"""Sound of the runs whose memory is measured."""


def synthetic_head(count: int, seed: int = 0) -> TrainedHead:
    """A head of the shape, sizes and opacities of trained ones, with random networks that move it a little.

    Args:
        count: Gaussians of the face.
    """
    rng = np.random.default_rng(seed)
    return TrainedHead(
        face=_cloud(rng, count, RADII, np.zeros(3)),
        mouth=_cloud(rng, int(MOUTH_SHARE * count), RADII * 0.4, np.array([0.0, -0.035, 0.035])),
        face_motion=_network(rng, FACE),
        mouth_motion=_network(rng, MOUTH),
        extractor="deepspeech",
    )


def _cloud(
    rng: np.random.Generator, count: int, radii: NDArray[np.float64], centre: NDArray[np.float64]
) -> CanonicalCloud:
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    spacing = float(np.sqrt(4 * np.pi * np.mean(radii) ** 2 / max(1, count)))
    scales = spacing * np.exp(rng.normal(0, 0.5, (count, 3))) * 0.8
    features = rng.normal(0, 0.15, (count, 9, 3))
    features[:, 0] = rng.normal(0.3, 0.5, (count, 3))
    return CanonicalCloud(
        xyz=(directions * radii * rng.uniform(0.93, 1, (count, 1)) + centre).astype(np.float32),
        features=features.astype(np.float32),
        scaling=np.log(np.expm1(scales)).astype(np.float32),
        rotation=rng.normal(size=(count, 4)).astype(np.float32),
        opacity=rng.normal(1.0, 2.0, (count, 1)).astype(np.float32),
        sh_degree=2,
    )


def _network(
    rng: np.random.Generator, kind: NetworkKind
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    weights = {
        name: (rng.normal(0, 0.6 / np.sqrt(np.prod(shape[1:]) or 1), shape)).astype(np.float32)
        for name, shape in expected_shapes(kind, 29).items()
        if not name.endswith(".offsets")
    }
    weights.update({f"encoder_{plane}.offsets": kind.grid.offsets for plane in ("xy", "yz", "xz")})  # type: ignore[misc]
    return check_network("synthetic", weights, kind, 29)


def write_bench_scene(folder: Path, size: int) -> Path:
    """A dataset folder with POSES frames of size x size."""
    rng = np.random.default_rng(0)
    (folder / "torso_imgs").mkdir(parents=True)
    frames = [{"img_id": i, "transform_matrix": pose.tolist()} for i, pose in enumerate(head_poses(POSES))]
    data = {"focal_len": 2.3 * size, "frames": frames}
    for name in ("train", "val"):
        (folder / f"transforms_{name}.json").write_text(json.dumps(data), encoding="utf-8")
    rows, columns = np.mgrid[:size, :size] / size
    picture = np.stack([90 + 60 * rows, 110 + 40 * columns, 130 + 30 * rows], axis=2).astype(np.uint8)
    torso = np.zeros((size, size, 4), np.uint8)
    cv2.ellipse(torso, (size // 2, size), (size // 2, size // 3), 0, 0, 360, (90, 60, 50, 255), -1, cv2.LINE_AA)
    torso[..., :3] += rng.integers(0, 12, (size, size, 3), dtype=np.uint8) * (torso[..., 3:] > 0)
    for name, pixels in (("bc.jpg", picture), *((f"torso_imgs/{i}.png", torso) for i in range(POSES))):
        done, encoded = cv2.imencode(Path(name).suffix, pixels)
        assert done
        (folder / name).write_bytes(encoded.tobytes())
    header = ", ".join(f"AU{number:02d}_r" for number in AU_NUMBERS)
    lines = [", ".join(f"{value:.2f}" for value in row) for row in rng.uniform(0, 1, (POSES, len(AU_NUMBERS)))]
    (folder / "au.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def write_bench_features(path: Path, seconds: float) -> Path:
    """Random speech features of a length."""
    rng = np.random.default_rng(0)
    np.save(path, rng.normal(0, 3, (max(4, round(seconds * FPS)), 16, 29)).astype(np.float32))
    return path


def cases(settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:
    """The heads and scenes to measure, written into `folder`."""
    features = write_bench_features(folder / "features.npy", settings.seconds)
    scenes = {size: write_bench_scene(_scene(folder, size), size) for size in (SIZE, *OTHER_SIZES)}
    heads = {count: _head(folder, count) for count in FACE_COUNTS}
    for count, path in heads.items():
        write_head_safetensors(synthetic_head(count), path)
    every = available_cores()

    def case(count: int, size: int, threads: int) -> BenchCase:
        return BenchCase(
            name=f"{count // 1000}k-{size}-{threads}t",
            source=scenes[size],
            description=f"{count} face and {int(MOUTH_SHARE * count)} mouth Gaussians at {size}x{size}, "
            f"{threads} rasteriser threads",
            load={"checkpoint": heads[count], "features": features, "threads": threads},
        )

    found = [case(count, SIZE, every) for count in FACE_COUNTS]
    found += [case(FACE_COUNTS[1], size, every) for size in OTHER_SIZES]
    found += [case(FACE_COUNTS[1], SIZE, threads) for threads in sorted({1, every}) if threads != every]
    return found


def tables(settings: BenchSettings, folder: Path, tell: Callable[[str], None]) -> Sequence[BenchTable]:
    """Steps of a frame and memory of the heads that `cases` wrote; nothing on a GPU or for a given input."""
    if settings.source is not None or settings.load.get("device", "auto") not in ("auto", "cpu"):
        return []
    load = {**settings.load, "device": "cpu"}
    return [_step_table(folder, load, tell), _memory_table(folder, load, tell)]


def _step_table(folder: Path, load: dict[str, Any], tell: Callable[[str], None]) -> BenchTable:
    rows: list[tuple[Any, ...]] = []
    every = available_cores()
    wanted = [(count, SIZE, 1) for count in FACE_COUNTS]
    wanted += [(FACE_COUNTS[1], size, 1) for size in OTHER_SIZES]
    wanted += [(FACE_COUNTS[1], SIZE, every)] if every > 1 else []
    for count, size, threads in wanted:
        tell(f"steps of {count} Gaussians at {size}x{size}, {threads} threads")
        milliseconds = step_times(folder, count, size, threads, load)
        numbers = (*milliseconds, sum(milliseconds))
        rows.append((count, f"{size}x{size}", threads, *(f"{value:.1f}" for value in numbers)))
    return BenchTable(
        title="milliseconds of one frame, each step alone",
        columns=("face Gaussians", "picture", "threads", *STEPS, "sum"),
        rows=tuple(rows),
        note=f"best of {STEP_REPEATS}; reading the torso and encoding not included",
    )


def step_times(folder: Path, count: int, size: int, threads: int, load: dict[str, Any]) -> list[float]:
    """Milliseconds of each of STEPS for one frame of a head that `cases` wrote; the best of STEP_REPEATS."""
    import torch

    head = _load(folder, count, threads, load)
    avatar = head.prepare(_scene(folder, size))
    renderer, camera, backdrop = head.renderer, avatar.poses.camera(0, avatar.size), avatar.backdrop.frame(0)
    rng = np.random.default_rng(0)
    codes = SpeechCodes(*(torch.from_numpy(rng.normal(size=(1, AUDIO_CODE)).astype(np.float32)) for _ in range(2)))
    units = np.zeros((1, ACTION_UNITS), np.float32)
    runs = []
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(STEP_REPEATS + 1):  # the first one compiles
            seconds = dict.fromkeys(STEPS, 0.0)
            with _timed(seconds, "motion"):
                [moved] = renderer.deform([codes[0]], units)
            with _timed(seconds, "harmonics"):
                clouds = renderer.colored(moved, camera)
            rasters = []
            for cloud in clouds:
                with _timed(seconds, "projection"):
                    packed = project_cpu(cloud, camera, threads)
                with _timed(seconds, "sorting"):
                    order = sort_by_depth(packed.keys)
                with _timed(seconds, "tile lists"):
                    lists = tile_lists_cpu(packed, order, camera.size, threads)
                with _timed(seconds, "pixels"):
                    rasters.append(
                        composite_cpu(cloud, packed, lists, camera.size, BLACK, depth=False, threads=threads)
                    )
            with _timed(seconds, "composing"):
                renderer.compose(DrawnHead(*rasters), backdrop)
            runs.append([1000 * seconds[name] for name in STEPS])
    finally:
        torch.set_num_threads(torch_threads)
    return [min(values) for values in zip(*runs, strict=True)]


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - started


def _memory_table(folder: Path, load: dict[str, Any], tell: Callable[[str], None]) -> BenchTable:
    rows = []
    for count in FACE_COUNTS:
        tell(f"memory of {count} Gaussians")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as child:
            started, peak = child.submit(memory_of_run, folder, count, SIZE, load).result()
        rows.append((count, *("unknown" if value is None else f"{value / 2**20:.0f}" for value in (started, peak))))
    return BenchTable(
        title="memory of a process that renders one head, MiB",
        columns=("face Gaussians", "libraries loaded", "peak of the run"),
        rows=tuple(rows),
        note=f"{MEMORY_S:g} s of sound at {SIZE}x{SIZE}, encoding included; it does not grow with the sound's length",
    )


def memory_of_run(folder: Path, count: int, size: int, load: dict[str, Any]) -> tuple[int | None, int | None]:
    """Peak memory of this process before and after a run, bytes."""
    import talkinghead.families.talkinggaussian.pipeline  # noqa: F401 (the libraries that every run loads)
    from talkinghead.contracts import AudioClip
    from talkinghead.engine.speech_input import listen
    from talkinghead.measure.memory import peak_memory_bytes

    before = peak_memory_bytes()
    silence = listen(AudioClip(np.zeros(round(SPEECH_RATE_HZ * MEMORY_S), np.float32), SPEECH_RATE_HZ))
    with temporary_folder("talkinghead-bench-") as work:
        features = write_bench_features(work / "features.npy", MEMORY_S)
        head = _load(folder, count, available_cores(), {**load, "features": features})
        head.render(head.prepare(_scene(folder, size)), silence, work / "out.mp4")
    return before, peak_memory_bytes()


def _load(folder: Path, count: int, threads: int, load: dict[str, Any]) -> TalkingGaussianHead:
    from talkinghead.engine.head import LoadOptions
    from talkinghead.families.talkinggaussian.pipeline import build

    given = {"features": folder / "features.npy", **load, "checkpoint": _head(folder, count), "threads": threads}
    return build(LoadOptions.of(given))


def _scene(folder: Path, size: int) -> Path:
    return folder / f"scene-{size}"


def _head(folder: Path, count: int) -> Path:
    return folder / f"head-{count}.safetensors"
