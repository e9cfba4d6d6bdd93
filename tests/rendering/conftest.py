"""Cameras and clouds for the rasteriser tests, as the fixture `lab`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from talkinghead.rendering.cameras import Camera, camera_from_pose
from talkinghead.rendering.gaussians import GaussianCloud
from talkinghead.rendering.spherical_harmonics import colors


def stored_case(path: Path) -> tuple[GaussianCloud, Camera, np.ndarray, dict[str, Any]]:
    """A `talkinggaussian/raster_*.npz` file: cloud, camera, background and everything in the file."""
    data = dict(np.load(path))
    width, height = (int(v) for v in data["in_size"])
    tan_x, tan_y = (float(v) for v in data["in_tanfov_f64"])
    camera = Camera(data["in_viewmatrix"], data["in_projmatrix"], data["in_campos"], (tan_x, tan_y), (width, height))
    shades = colors(int(data["in_sh_degree"]), data["in_shs"], data["in_means"], camera.position)
    cloud = GaussianCloud(data["in_means"], data["in_scales"], data["in_rotations"], data["in_opacities"][:, 0], shades)
    return cloud, camera, data["in_bg"], data


def feature_case(path: Path, uniform: Any) -> tuple[GaussianCloud, Camera, np.ndarray, dict[str, Any]]:
    """A `gagavatar/raster_*.npz` file: 32 channels, quaternions that are not unit."""
    data = dict(np.load(path))
    inputs = {}
    for text in data["inputs"]:
        spec = json.loads(str(text))
        inputs[spec["name"].rsplit("/", 1)[-1]] = uniform(
            spec["name"], tuple(spec["shape"]), spec["low"], spec["high"], int(data["seed"])
        )
    height, width = data["image"].shape[1:]
    tan = 1 / float(data["focal"])
    camera = Camera(data["view"], data["proj"], np.zeros(3, np.float32), (tan, tan), (width, height))
    cloud = GaussianCloud(data["xyz"], inputs["scales"], data["quat"], data["opac"][:, 0], inputs["colors"])
    return cloud, camera, data["bg"], data


def front_camera(width: int, height: int, focal_px: float | None = None) -> Camera:
    """Looks at the origin from 0.85 in front."""
    pose = np.eye(4)
    pose[2, 3] = 0.85
    return camera_from_pose(pose, focal_px or 2.0 * max(width, height), (width, height))


def random_cloud(
    seed: int, count: int, *, channels: int = 3, spread: float = 0.15, scale: tuple[float, float] = (-6.5, -3.5)
) -> GaussianCloud:
    """Gaussians around the origin with all kinds of sizes and opacities."""
    rng = np.random.default_rng(seed)
    rotations = rng.normal(size=(count, 4)).astype(np.float32)
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    return GaussianCloud(
        means=rng.uniform(-spread, spread, (count, 3)).astype(np.float32),
        scales=np.exp(rng.uniform(*scale, (count, 3))).astype(np.float32),
        rotations=rotations,
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        colors=rng.uniform(0, 1, (count, channels)).astype(np.float32),
    )


def load_synthetic(folder: Path) -> Any:
    """The module that regenerates golden weights and inputs."""
    spec = importlib.util.spec_from_file_location("golden_synthetic", folder / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def lab(golden: Path) -> SimpleNamespace:
    return SimpleNamespace(
        stored_case=lambda name: stored_case(golden / "talkinggaussian" / f"raster_{name}.npz"),
        feature_case=lambda name: feature_case(
            golden / "gagavatar" / f"raster_{name}.npz", load_synthetic(golden).uniform
        ),
        front_camera=front_camera,
        random_cloud=random_cloud,
        synthetic=load_synthetic(golden),
    )
