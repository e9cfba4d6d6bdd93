"""Cameras and clouds for the rasteriser tests, as the fixture `lab`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from talkinghead.rendering.cameras import Camera, camera_from_pose
from talkinghead.rendering.gaussians import GaussianCloud
from talkinghead.rendering.spherical_harmonics import colors
from tests.golden_files import Golden


def stored_case(case: Golden) -> tuple[GaussianCloud, Camera, np.ndarray, dict[str, Any]]:
    """A `talkinggaussian/raster_*.npz` file: cloud, camera, background and everything in the file."""
    data = dict(case.arrays)
    width, height = (int(v) for v in data["in_size"])
    tan_x, tan_y = (float(v) for v in data["in_tanfov_f64"])
    camera = Camera(data["in_viewmatrix"], data["in_projmatrix"], data["in_campos"], (tan_x, tan_y), (width, height))
    shades = colors(int(data["in_sh_degree"]), data["in_shs"], data["in_means"], camera.position)
    cloud = GaussianCloud(data["in_means"], data["in_scales"], data["in_rotations"], data["in_opacities"][:, 0], shades)
    return cloud, camera, data["in_bg"], data


def feature_case(case: Golden) -> tuple[GaussianCloud, Camera, np.ndarray, dict[str, Any]]:
    """A `gagavatar/raster_*.npz` file: 32 channels, quaternions that are not unit."""
    data, inputs = dict(case.arrays), case.inputs()
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


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    return SimpleNamespace(
        stored_case=lambda name: stored_case(Golden(f"talkinggaussian/raster_{name}")),
        feature_case=lambda name: feature_case(Golden(f"gagavatar/raster_{name}")),
        front_camera=front_camera,
        random_cloud=random_cloud,
    )
