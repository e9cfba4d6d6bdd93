"""What `talkinghead bench artalk` measures: the speaking mesh, as published and in natural colours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkinghead.families.artalk.procedural.head import procedural_head
from talkinghead.families.artalk.viseme_driver import WIDEST_JAW
from talkinghead.measure.bench import BenchCase, BenchSettings
from talkinghead.rendering.mesh import MeshRenderer


def cases(settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:  # noqa: ARG001 (nothing has to be written)
    """The mesh; its size and samples come from the settings of the model (--image-size, --antialias)."""
    return [BenchCase("mesh", "mesh", "a mesh head, driven as the options say")]


@dataclass(frozen=True)
class MeshSpeed:
    """Drawing alone, without encoding."""

    vertices: int
    faces: int
    frames_per_second: float
    posing_ms: float
    drawing_ms: float


def mesh_speed(size: int = 512, antialias: int = 1, num_frames: int = 100, threads: int | None = None) -> MeshSpeed:
    """Pose and draw a head that opens its jaw, as fast as possible."""
    head = procedural_head()
    motion = np.zeros((num_frames, 106), np.float32)
    motion[:, 103] = WIDEST_JAW * np.abs(np.sin(np.arange(num_frames) / 5))
    renderer = MeshRenderer(head.flame.faces, size, antialias=antialias, threads=threads)
    renderer.frame(head.flame.motion_vertices(motion[:2])[0])  # compiles
    started = time.perf_counter()
    vertices = np.concatenate([head.flame.motion_vertices(motion[i : i + 32]) for i in range(0, num_frames, 32)])
    posed = time.perf_counter()
    for one in vertices:
        renderer.frame(one)
    drawn = time.perf_counter()
    return MeshSpeed(
        vertices=head.flame.num_vertices,
        faces=len(head.flame.faces),
        frames_per_second=num_frames / (drawn - started),
        posing_ms=1000 * (posed - started) / num_frames,
        drawing_ms=1000 * (drawn - posed) / num_frames,
    )


@dataclass(frozen=True)
class MotionSpeed:
    """Sound to motion with networks of the published size and random weights."""

    seconds_of_sound: float
    realtime_factor: float
    encoder_s: float
    generator_s: float


def motion_speed(seconds: float = 8.0, device: str = "cpu", seed: int = 0) -> MotionSpeed:
    """Time the motion networks at their published size; needs about 4 GB of memory."""
    import torch

    from talkinghead.families.artalk.motion.engine import MotionModel, num_motion_frames

    torch.manual_seed(seed)
    model = MotionModel().eval().requires_grad_(False).to(device)
    samples = (0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).astype(np.float32)

    def clock() -> float:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    model.generate(samples[:64_000])
    started = clock()
    with torch.inference_mode():
        features = list(model._features(model.chunks(samples), 4))
    encoded = clock()
    model.generate_from(iter(features), len(samples))
    done = clock()
    covered = num_motion_frames(len(samples)) / 25
    return MotionSpeed(covered, covered / (done - started), encoded - started, done - encoded)
