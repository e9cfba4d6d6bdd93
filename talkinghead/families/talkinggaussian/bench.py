"""What `talkinghead bench talkinggaussian` measures: synthetic heads of 20 000, 100 000 and 300 000 Gaussians.

Besides the size of the cloud, the 100 000 one is drawn in other sizes and with other numbers of threads, so that the
scaling with Gaussians, pixels and threads can be read off. Each face comes with 30 % as many Gaussians for the mouth.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.families.talkinggaussian.checkpoint import (
    CanonicalCloud,
    TrainedHead,
    check_network,
    write_head_safetensors,
)
from talkinghead.families.talkinggaussian.network import FACE, MOUTH, NetworkKind, expected_shapes
from talkinghead.families.talkinggaussian.procedural.build import AU_NUMBERS, head_poses
from talkinghead.families.talkinggaussian.scene import FPS
from talkinghead.measure.bench import BenchCase, BenchSettings
from talkinghead.rendering.jit import available_threads

FACE_COUNTS = (20_000, 100_000, 300_000)
MOUTH_SHARE = 0.3
SIZE = 512
OTHER_SIZES = (256, 1024)
RADII = np.array([0.072, 0.095, 0.08])
"""Of the synthetic head, world units."""
POSES = 50


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
    scenes = {size: write_bench_scene(folder / f"scene-{size}", size) for size in (SIZE, *OTHER_SIZES)}
    heads = {}
    for count in FACE_COUNTS:
        heads[count] = folder / f"head-{count}.safetensors"
        write_head_safetensors(synthetic_head(count), heads[count])
    every = available_threads()

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
