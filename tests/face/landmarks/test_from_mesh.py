"""From the points of the face mesh to the 110 landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import Frame
from talkinghead.face.landmarks.from_mesh import BRIDGE, LIPS, NOSE, TEMPLES, WIDEN, contour, landmarks_110, sides
from talkinghead.face.landmarks.layout import place_on_key_points
from talkinghead.face.mesh.networks import load_mesh
from talkinghead.face.mesh.points import EYE_CORNERS, OUTLINE

USED = [1, 31, 52]
"""Those that the crop of SyncTalk_2D is made from."""


def mesh_points(seed: int = 0) -> np.ndarray:
    """Points without meaning, but with an outline around them."""
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (468, 3))
    turn = 2 * np.pi * np.arange(36) / 36
    points[list(OUTLINE), :2] = np.stack([np.sin(turn), -np.cos(turn)], axis=1)
    points[list(EYE_CORNERS), :2] = (-0.6, 0), (0.6, 0)
    return points


def test_every_landmark_is_the_point_that_lies_there() -> None:
    points = mesh_points()
    found = landmarks_110(points)
    assert found.shape == (110, 2)
    assert found.dtype == np.float32
    for place, mesh in ((51, BRIDGE), (55, NOSE), (90, LIPS)):
        np.testing.assert_allclose(found[place : place + len(mesh)], points[list(mesh), :2], atol=1e-6)
    np.testing.assert_allclose(found[[66, 70, 78, 82]], points[[33, 133, 263, 362], :2], atol=1e-6)
    np.testing.assert_allclose(found[74], found[75])


def test_the_contour_is_even_and_wider_than_the_mesh() -> None:
    points = mesh_points()
    line = contour(points[:, :2])
    left, right = sides()
    assert left[-1] == right[-1] == 152
    assert (left[1], right[1]) == TEMPLES
    np.testing.assert_allclose(line[16], points[152, :2], atol=1e-9)
    np.testing.assert_allclose(line[:, 0], -line[::-1, 0], atol=1e-9)
    steps = np.hypot(np.diff(line[:, 0]) / WIDEN, np.diff(line[:, 1]))
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.02)
    np.testing.assert_allclose(np.hypot(line[:, 0] / WIDEN, line[:, 1]), 1, atol=0.005)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(5, 500), st.floats(-100, 1000), st.integers(0, 100))
def test_they_turn_grow_and_move_with_the_face(angle: float, scale: float, shift: float, seed: int) -> None:
    points = mesh_points(seed)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    moved = points.copy()
    moved[:, :2] = points[:, :2] @ turn.T + shift
    np.testing.assert_allclose(landmarks_110(moved), landmarks_110(points) @ turn.T + shift, atol=1e-3 * scale)


def test_on_a_photograph_the_square_is_that_of_the_standard_face(installed_mesh: Path, astronaut: Frame) -> None:
    (face,) = load_mesh(installed_mesh).find(astronaut)
    found = landmarks_110(face.points)
    placed = place_on_key_points(face.key_points, face.box_xyxy)
    side = found[31, 0] - found[1, 0]
    assert side == pytest.approx(101, abs=8)
    assert np.abs(found[USED] - placed[USED]).max() < 0.08 * side
    assert np.hypot(*(found[33:] - placed[33:]).T).mean() < 0.06 * side
