"""Cameras and spherical harmonics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from talkinghead.rendering.cameras import camera_from_pose, fov_from_focal, orbit, projection_matrix, world_to_camera
from talkinghead.rendering.spherical_harmonics import basis, colors, directions_from, evaluate, num_coefficients
from talkinghead.rendering.spherical_harmonics_cpu import colors_cpu
from tests.golden_files import Golden, read_json
from tests.tolerances import tolerance


@pytest.mark.parametrize("split", ["train", "val"])
def test_cameras_match_golden(split: str) -> None:
    data, scene = Golden("talkinggaussian/dataset"), read_json("talkinggaussian/scene.json")
    for row, img_id in enumerate(data[f"{split}_img_id"]):
        pose = data["poses_f64"][img_id]
        width, height = (int(v) for v in data[f"{split}_size"][row])
        camera = camera_from_pose(pose, scene["focal"], (width, height))
        rotation, translation = world_to_camera(pose)
        data.check(f"{split}_R_f64", rotation, row)
        data.check(f"{split}_T_f64", translation, row)
        fov = fov_from_focal(scene["focal"], width), fov_from_focal(scene["focal"], height)
        data.check(f"{split}_fov_f64", fov, row)
        data.check(f"{split}_projection", projection_matrix(*fov), row)
        data.check(f"{split}_world_view", camera.world_view, row)
        data.check(f"{split}_full_proj", camera.full_projection, row)
        data.check(f"{split}_camera_center", camera.position, row)


@settings(max_examples=50, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 3))
def test_orbit_keeps_the_pivot_in_place(yaw: float, pitch: float, zoom: float) -> None:
    pose = np.eye(4)
    pose[:3, 3] = (0.02, -0.01, 0.85)
    pivot = np.array([0.01, 0.02, 0.03])
    moved = orbit(pose, pivot, yaw=yaw, pitch=pitch, zoom=zoom)
    before, after = (np.linalg.inv(p) @ [*pivot, 1] for p in (pose, moved))
    np.testing.assert_allclose(after[:2], before[:2], atol=1e-9)
    np.testing.assert_allclose(after[2], before[2] / zoom, atol=1e-9)
    np.testing.assert_allclose(moved[:3, :3] @ moved[:3, :3].T, np.eye(3), atol=1e-9)


def test_orbit_directions() -> None:
    pose = np.eye(4)
    pose[2, 3] = 1.0
    assert orbit(pose, np.zeros(3), yaw=0.3)[0, 3] > 0.2  # the camera goes to the right
    assert orbit(pose, np.zeros(3), pitch=0.3)[1, 3] > 0.2  # and up
    np.testing.assert_array_equal(orbit(pose, np.zeros(3)), pose)
    with pytest.raises(ValueError, match="zoom"):
        orbit(pose, np.zeros(3), zoom=0)


def test_bad_cameras_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        camera_from_pose(np.array([[1, 0, 0, np.nan], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), 100.0, (10, 10))


@pytest.mark.parametrize("degree", range(4))
def test_harmonics_match_golden(degree: int) -> None:
    data = Golden("talkinggaussian/sh_eval")
    coefficients, means, position = (data.inputs()[name] for name in ("coeffs", "means", "campos"))
    raw = evaluate(degree, coefficients, directions_from(position, means))
    data.check(f"raw_deg{degree}", raw)
    for shade in (colors, colors_cpu):
        data.check(f"color_deg{degree}", shade(degree, coefficients, means, position))


def test_harmonics_agree_with_scipy() -> None:
    """Independent oracle: the real harmonics made of SciPy's complex ones, in the published order and signs."""
    directions = np.random.default_rng(0).normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    polar, azimuth = np.arccos(directions[:, 2]), np.arctan2(directions[:, 1], directions[:, 0])
    columns = []
    for band in range(4):
        for order in range(-band, band + 1):
            value = sph_harm_y(band, abs(order), polar, azimuth)
            if order < 0:
                columns.append(math.sqrt(2) * value.imag)
            elif order > 0:
                columns.append(math.sqrt(2) * value.real)
            else:
                columns.append(value.real)
    np.testing.assert_allclose(basis(3, directions.astype(np.float32)), np.stack(columns, 1), atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 3), st.integers(0, 50))
def test_compiled_colours_equal_the_twin(seed: int, degree: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(count, num_coefficients(degree), 3)).astype(np.float32)
    means, position = (rng.normal(size=shape).astype(np.float32) for shape in ((count, 3), (3,)))
    means[:1] = position  # no direction: the zero vector, as for the twin
    expected = colors(degree, coefficients, means, position)
    np.testing.assert_allclose(colors_cpu(degree, coefficients, means, position), expected, atol=tolerance("twins"))


def test_too_few_coefficients_are_refused() -> None:
    few = np.zeros((2, 4, 3), np.float32)
    for shade in (colors, colors_cpu):
        with pytest.raises(ValueError, match="degree 2 needs 9"):
            shade(2, few, np.zeros((2, 3), np.float32), np.ones(3, np.float32))
        with pytest.raises(ValueError, match="degree must be"):
            shade(4, few, np.zeros((2, 3), np.float32), np.ones(3, np.float32))
