"""Landmarks against drawn heads of which every point is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkinghead.face.mesh.networks import load_mesh
from tests.scripts.scripts import load_script

script = load_script("measure_landmarks")


def test_known_points_have_no_error() -> None:
    frame, truth = script.picture(15, 0.15, 120, degraded=False)
    found = script.Found(truth.corners, truth.upper_lip, truth.lower_lip, truth.lids, truth.chin)
    assert script.errors(found, truth) == dict.fromkeys(("corners", "inner lips", "chin", "eyelids"), 0.0)
    moved = script.Found(truth.corners + np.array([3, 4]), truth.upper_lip, truth.lower_lip, None, truth.chin)
    assert script.errors(moved, truth)["corners"] == pytest.approx(100 * 5 / 120, rel=0.01)
    rows = np.rint(np.linspace(truth.upper_lip[10], truth.lower_lip[10], 9)).astype(int)
    inside = frame[rows[3:-2, 1], rows[3:-2, 0]].mean()
    beside = frame[int(truth.chin[1]) - 6, int(truth.chin[0])].mean()
    assert inside < 0.6 * beside  # the open mouth is dark, and it is where the points say


@pytest.mark.thorough
def test_a_mesh_finds_the_mouth(installed_mesh: Path) -> None:
    mesh = load_mesh(installed_mesh)
    for yaw in (0, 30):
        frame, truth = script.picture(yaw, 0.0, 120, degraded=False)
        found = script.found_by_mesh(mesh, frame)
        measured = script.errors(found, truth)
        assert measured["corners"] < 3.5
        assert measured["inner lips"] < 1.5
        alone = script.errors(script.found_by_picture(frame, truth), truth)
        assert set(alone) >= {"corners", "inner lips", "chin"}


def test_the_table_has_a_row_for_each_group() -> None:
    errors = {"corners": 1.0, "inner lips": 0.5, "chin": 2.0}
    rows = [script.Row("mesh", yaw, 0.0, 60, True, errors if yaw else None) for yaw in script.YAWS]
    lines = script.table(rows).splitlines()
    assert lines[2] == "| mesh | all | 3 of 4 | 1.0 (at most 1.0) | 0.5 (at most 0.5) | - | 2.0 (at most 2.0) |"
    assert sum("0 of 1" in line for line in lines) == 1
