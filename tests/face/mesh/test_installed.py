"""The published networks, as the installed package carries them."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.assets import demo_speech_path
from talkinghead.cli.main import main
from talkinghead.contracts import Frame
from talkinghead.face import FaceOptions, track_faces
from talkinghead.face.mesh.files import find_mesh_file
from talkinghead.face.mesh.networks import found_mesh
from talkinghead.face.mesh.points import NUM_POINTS, mouth_opening
from talkinghead.measure.inspect import inspect_media
from talkinghead.media import write_png, write_video
from talkinghead.media.arrays import ArraySource


def test_the_tests_see_it_only_where_they_ask() -> None:
    assert found_mesh() is None
    program = "from talkinghead.face.mesh.files import find_mesh_file; print(find_mesh_file())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["None"]


def test_a_photograph(installed_mesh: Path, astronaut: Frame) -> None:
    assert find_mesh_file() == installed_mesh
    mesh = found_mesh()
    assert mesh is not None
    assert mesh.input_px == 192
    (face,) = mesh.find(astronaut)
    assert face.points.shape == (NUM_POINTS, 3)
    assert face.presence > 0.9
    # By eye, in a picture of nine times the size: pupils, tip of the nose, corners of the mouth.
    seen = np.array([[203, 101], [246, 103], [224, 126], [202, 140], [246, 140]])
    assert np.abs(face.key_points - seen).max() < 3
    assert mouth_opening(face.points) == pytest.approx(8 / 65, abs=0.05)  # the teeth, over the corners of the eyes
    turned = np.ascontiguousarray(np.rot90(astronaut))
    (same,) = mesh.find(turned)
    back = np.stack([astronaut.shape[1] - 1 - same.points[:, 1], same.points[:, 0]], axis=1)
    assert np.hypot(*(back - face.points[:, :2]).T).max() < 4


def test_the_automatic_detector_is_this_one(installed_mesh: Path, astronaut: Frame) -> None:
    track = track_faces(ArraySource([astronaut]), FaceOptions())
    assert track.detector == f"mesh ({installed_mesh.name})"
    assert track.key_points is not None


@pytest.mark.thorough
def test_the_animator_is_told_by_it(
    installed_mesh: Path,
    astronaut: Frame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_png(tmp_path / "me.png", astronaut[20:260, 100:340])
    sound = ["--audio", str(demo_speech_path()), "--duration", "0.4"]
    made, report = str(tmp_path / "me.mp4"), tmp_path / "report.json"
    words = ["generate", "--face", str(tmp_path / "me.png"), *sound, "-o", made, "--report", str(report)]
    assert main(words) == 0
    assert "pull face-mesh" not in capsys.readouterr().err
    found = json.loads(report.read_text())
    assert found["model_details"]["landmarks"] == "mesh"
    assert found["model_details"]["blinks"]


def test_the_opening_of_a_mouth_is_inspected(
    installed_mesh: Path,
    astronaut: Frame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "smile.mp4"
    write_video(path, [astronaut, astronaut, np.zeros_like(astronaut)], fps=Fraction(25))
    found = inspect_media(path)
    assert found.mouth is not None
    assert found.mouth.gaps[2] is None
    assert found.mouth.known == pytest.approx([8 / 65] * 2, abs=0.05)
    assert found.mouth.closed_share == 0
    assert found.to_dict()["mouth"]["gaps"] == found.mouth.gaps
    assert main(["inspect", str(path), "-q"]) == 0
    assert "closed in 0% of 2 frames [face mesh (face_landmark.tflite)]" in capsys.readouterr().out


@pytest.mark.thorough
def test_videos_are_compared_by_it(
    installed_mesh: Path,
    astronaut: Frame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    still, other = tmp_path / "a.mp4", tmp_path / "b.mp4"
    lower = astronaut.copy()
    lower[156:170, 190:260] = astronaut[150:164, 190:260]  # the lower lip is drawn down
    lower[150:156, 190:260] = astronaut[150:151, 190:260]
    write_video(still, [astronaut] * 2, fps=Fraction(25))
    write_video(other, [lower] * 2, fps=Fraction(25))
    assert main(["evaluate", str(other), str(still), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "face_landmark.tflite" in found["details"]["landmarks"]
    assert found["mean"]["lmd_px"] > 0.5
    assert found["mean"]["lmd_px"] > found["mean"]["f_lmd_px"] > 0
    assert main(["evaluate", str(still), str(still), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"]["lmd_px"] == 0
