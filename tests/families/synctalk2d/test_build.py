"""Template folders made from videos, and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.cli.main import main
from talkinghead.contracts import AudioClip
from talkinghead.errors import InputError, NoFaceFound, OptionError, OutputExists
from talkinghead.face import FaceOptions
from talkinghead.face.detectors.mesh import MeshDetector
from talkinghead.face.landmarks import layout
from talkinghead.families.synctalk2d.build import (
    BuildOptions,
    Landmarker,
    _told_of_gaps,
    build_template,
    check_template,
    held,
    longest_stretch,
    smoothed_landmarks,
)
from talkinghead.families.synctalk2d.template import landmark_text, open_template
from talkinghead.media import read_audio, read_picture, write_video
from tests.face.mesh.fake import draw, fake_mesh
from tests.sound_files import click_times, clicks, write_video_and_sound

Make = Callable[[], Path]
BOX = FaceOptions(box=(40, 10, 110, 90))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames at 30 per second, with sound."""
    from fractions import Fraction

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (20, 22, 3)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    sound = AudioClip(rng.uniform(-0.1, 0.1, 6400).astype(np.float32), 16_000)
    path = tmp_path_factory.mktemp("video") / "a person.mp4"
    write_video(path, (np.roll(picture, k, axis=1) for k in range(12)), fps=Fraction(30), soundtrack=sound)
    return path


@pytest.mark.parametrize(("sound_late_s", "pictures_late_s", "click_s"), [(0.4, 0.0, 0.7), (0.0, 0.2, 0.1)])
def test_the_sound_of_the_frames_begins_where_they_do(
    sound_late_s: float, pictures_late_s: float, click_s: float, tmp_path: Path
) -> None:
    """A click at 0.3 s of a sound that begins later, or earlier, than the first picture."""
    path = write_video_and_sound(
        tmp_path / "a.mkv",
        25,
        clicks(1.5, 48_000, (0.3,)),
        48_000,
        sound_late_s=sound_late_s,
        pictures_late_s=pictures_late_s,
        size=(176, 160),
    )
    build_template(path, tmp_path / "out", BuildOptions(), BOX)
    assert click_times(tmp_path / "out" / "aud.wav") == pytest.approx([click_s], abs=0.04)
    heard = read_audio(tmp_path / "out" / "aud.wav")
    assert float(heard.duration_s) == pytest.approx(1.0, abs=0.01)


def test_build(tmp_path: Path, video: Path, models: Path) -> None:
    out = tmp_path / "dataset" / "May"
    steps: list[str] = []
    options = BuildOptions(encoder=models / "audio_visual_encoder.pth", smooth=True)
    made = build_template(video, out, options, BOX, tell=lambda step, _n, _of: steps.append(step))
    assert made.num_frames == 10  # 0.4 s at 25 frames per second
    assert made.features == ("aud_ave.npy",)
    assert made.num_without_face == made.num_left_out == 0
    assert set(steps) == {"detect-faces", "listen"}
    template = open_template(out)
    assert template.num_frames == 10
    assert template.strays == ()
    assert template.modes == ("ave",)
    assert np.load(out / "aud_ave.npy").shape[1] == 512
    assert read_picture(made.contact_sheet).shape[1] == 5 * 320
    assert not (out / ".build").exists()
    points = template.read_landmarks(0)
    wanted = layout.place_in_box((40, 10, 110, 90))
    np.testing.assert_allclose(points, wanted, atol=0.5 + 1e-3)  # smoothing moves halves to either side
    found = check_template(out)
    assert found.usable
    assert found.findings == ()
    assert found.size == (176, 160)
    with pytest.raises(OutputExists, match="not empty"):
        build_template(video, out, options, BOX)
    assert build_template(video, out, BuildOptions(), BOX, force=True).features == ()
    assert not (out / "aud_ave.npy").exists()


def test_a_stopped_build_goes_on(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "May"
    looked: list[int] = []
    find = Landmarker.find

    def counting(self: Landmarker, frame: np.ndarray) -> np.ndarray | None:
        looked.append(1)
        if len(looked) == 5:
            raise KeyboardInterrupt
        return find(self, frame)

    monkeypatch.setattr(Landmarker, "find", counting)
    with pytest.raises(KeyboardInterrupt):
        build_template(video, out, BuildOptions(workers=1), BOX)
    assert not any((out / "landmarks").iterdir())
    assert "unfinished" in str(check_template(out).findings[0])
    with pytest.raises(OutputExists, match="unfinished work of other options"):
        build_template(video, out, BuildOptions(workers=1, quality=50), BOX)
    assert build_template(video, out, BuildOptions(workers=2), BOX).num_frames == 10
    assert 10 < len(looked) <= 5 + 7  # four frames were there, the fifth was not


def test_workers_change_nothing(tmp_path: Path, video: Path) -> None:
    one = build_template(video, tmp_path / "1", BuildOptions(workers=1), BOX)
    four = build_template(video, tmp_path / "4", BuildOptions(workers=4), BOX)
    for a, b in zip(open_template(one.path).images, open_template(four.path).images, strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize(("policy", "kept", "bare"), [("hold", 10, 4), ("trim", 4, 0)])
def test_frames_without_a_face_leave_no_hole(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, policy: str, kept: int, bare: int
) -> None:
    seen = [False, True, True, False, True, True, True, True, False, False]
    order = iter(seen)
    find = Landmarker.find
    monkeypatch.setattr(Landmarker, "find", lambda self, frame: find(self, frame) if next(order) else None)
    made = build_template(video, tmp_path / "May", BuildOptions(no_face=policy, workers=1), BOX)  # type: ignore[arg-type]
    assert (made.num_frames, made.num_without_face, made.num_left_out) == (kept, bare, 10 - kept)
    assert open_template(made.path).num_frames == kept
    assert check_template(made.path).usable


def test_a_long_absence_is_told_and_a_moment_is_not() -> None:
    fps = Fraction(25)
    there, moment, long = (np.full(n, value) for n, value in ((20, True), (12, False), (13, False)))
    assert _told_of_gaps(np.concatenate([there, moment, there]), fps) == []
    (told,) = _told_of_gaps(np.concatenate([there, long, there, moment, there, long]), fps)
    assert "In 26 frames nobody is seen for more than 0.5 s" in told
    assert "--no-face trim" in told


def test_a_video_without_faces_is_refused(tmp_path: Path, video: Path) -> None:
    with pytest.raises(NoFaceFound, match="10 frames"):
        build_template(video, tmp_path / "May", BuildOptions(), FaceOptions(detector="haar"))


def test_pictures_and_wrong_options_are_refused(tmp_path: Path) -> None:
    from talkinghead.media import write_png

    write_png(tmp_path / "a.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(InputError, match="is a picture"):
        build_template(tmp_path / "a.png", tmp_path / "May", BuildOptions(), BOX)
    for wrong in ({"no_face": "skip"}, {"quality": 0}, {"workers": -1}, {"mode": "mfcc"}):
        with pytest.raises(OptionError):
            BuildOptions(**wrong)


def test_longest_stretch_and_hold() -> None:
    assert longest_stretch(np.array([0, 1, 1, 0, 1, 1, 1], bool)) == (4, 7)
    assert longest_stretch(np.ones(3, bool)) == (0, 3)
    points = [None, np.full((110, 2), 1, np.float32), None, np.full((110, 2), 3, np.float32), None]
    assert held(points)[:, 0, 0].tolist() == [1, 1, 1, 3, 3]


def test_smoothing_keeps_straight_motion() -> None:
    line = np.arange(20.0)[:, None, None] * np.ones((20, 110, 2))
    np.testing.assert_allclose(smoothed_landmarks(line), line, atol=1e-9)
    rough = line + np.random.default_rng(0).standard_normal(line.shape)
    assert np.abs(smoothed_landmarks(rough) - line).mean() < np.abs(rough - line).mean()
    assert smoothed_landmarks(line[:4]) is not None


def test_check_finds_everything(fresh_template: Make) -> None:
    import cv2

    folder = fresh_template()
    images, landmarks = folder / "full_body_img", folder / "landmarks"
    assert check_template(folder).usable
    for k in (3, 4, 5, 7):
        cv2.imwrite(str(images / f"{k}.jpg"), np.zeros((150, 170, 3), np.uint8))
    cv2.imwrite(str(images / "4.jpg"), np.zeros((80, 90, 3), np.uint8))
    (images / "5.jpg").write_bytes(b"no picture")
    (images / "Thumbs.db").write_bytes(b"x")
    (landmarks / "3.lms").write_text("1 2\n" * 68)
    (landmarks / "5.lms").write_text("1 2\n" * 110)
    (landmarks / "7.lms").write_text("1 2\n" * 110)
    (landmarks / "9.lms").write_text("1 2\n" * 110)
    points = open_template_points(landmarks / "2.lms")
    points[:, 0] += 60
    (landmarks / "2.lms").write_text(landmark_text(points))
    np.save(folder / "aud_ave.npy", np.zeros((90, 512), np.float32))
    found = check_template(folder)
    assert not found.usable
    text = "\n".join(str(finding) for finding in found.findings)
    for expected in (
        "missing in the numbering (6)",
        "frames without landmarks (4)",
        "landmarks without a frame (9)",
        "Thumbs.db",
        "cannot be decoded (5)",
        "another size than the others (4)",
        "not 110 points (3)",
        "no square inside the frame (7)",
        "jump from the frame before (2)",
        "aud_ave.npy has 90 rows",
    ):
        assert expected in text, expected
    with pytest.raises(InputError):
        check_template(folder / "nothing")


def open_template_points(path: Path) -> np.ndarray:
    from talkinghead.families.synctalk2d.template import read_landmarks

    return read_landmarks(path).copy()


@pytest.mark.thorough
def test_commands(tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "May"
    arguments = ["template", "build", str(video), "-o", str(out), "--detector", "haar", "--quiet"]
    assert main(arguments) == 2  # no face
    assert not (out / "landmarks" / "0.lms").exists()
    build_template(video, out, BuildOptions(), BOX, force=True)
    capsys.readouterr()
    assert main(["template", "check", str(out), "-o", str(tmp_path / "sheet.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usable"] is True
    assert read_picture(tmp_path / "sheet.png").size
    (out / "landmarks" / "0.lms").unlink()
    assert main(["template", "check", str(out)]) == 1
    assert "not usable" in capsys.readouterr().out


# The standard face ------------------------------------------------------------------------------------------------


KEY_POINTS = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.66), (-0.38, 1.10), (0.38, 1.10)])
"""Of a face seen from the front, in distances between the eyes."""


def box_around(centre: tuple[float, float], eye_distance: float) -> tuple[float, float, float, float]:
    """As a detector draws it."""
    half = 0.5 / layout.EYE_DISTANCE_IN_BOX * eye_distance
    return centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half


def test_standard_face_has_its_key_points() -> None:
    face = layout.standard_face()
    assert face.shape == (110, 2)
    placed = layout.place_on_key_points(KEY_POINTS.astype(np.float32), box_around((0, 0.3), 1.0))
    np.testing.assert_allclose(placed, face, atol=1e-5)
    assert face[1, 0] < face[66:78, 0].min() < face[52, 0] < face[31, 0]
    assert face[16, 1] == face[:33, 1].max()
    for k, (x, y) in zip((range(66, 78), range(78, 90)), KEY_POINTS[:2], strict=True):
        np.testing.assert_allclose(face[list(k)].mean(axis=0), (x, y), atol=1e-6)


def test_the_square_is_that_of_the_mean_face_of_the_landmark_network() -> None:
    """Points 1, 31 and 52 of the published mean face, in distances between its eyes."""
    face = layout.standard_face()
    np.testing.assert_allclose((face[1, 0], face[31, 0], face[52, 1]), (-1.183, 1.183, 0.342), atol=0.005)


@given(st.floats(-3, 3), st.floats(5, 500), st.floats(-900, 900), st.floats(-900, 900))
def test_placing_follows_turns_scales_and_shifts(angle: float, scale: float, dx: float, dy: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    key_points = KEY_POINTS @ turn.T + (dx, dy)
    box = box_around((dx, dy), scale)
    placed = layout.place_on_key_points(key_points.astype(np.float32), box)
    np.testing.assert_allclose(placed, layout.standard_face() @ turn.T + (dx, dy), atol=scale * 1e-3 + 1e-3)


def test_one_wrong_measure_of_size_changes_little() -> None:
    """A smile lifts the mouth, a turned head brings the eyes together, hair widens the box."""
    box = box_around((0, 0.3), 1.0)
    smile = KEY_POINTS.copy()
    smile[3:, 1] -= 0.25
    turned = KEY_POINTS.copy()
    turned[:2, 0] *= 0.7
    wide = (2 * box[0], box[1], 2 * box[2], box[3])
    for points, around in ((smile, box), (turned, box), (KEY_POINTS, wide)):
        placed = layout.place_on_key_points(points.astype(np.float32), around)
        np.testing.assert_allclose(placed, layout.standard_face(), atol=0.02)


def test_the_square_follows_the_box_sideways_and_the_eyes_in_height() -> None:
    key_points = KEY_POINTS - (0.2, 0.0)
    placed = layout.place_on_key_points(key_points.astype(np.float32), box_around((0, 5), 1.0))
    np.testing.assert_allclose(placed, layout.standard_face(), atol=1e-5)
    same = np.full((5, 2), 3, np.float32)
    np.testing.assert_array_equal(layout.place_on_key_points(same, (0, 0, 9, 9)), layout.place_in_box((0, 0, 9, 9)))


def test_real_faces_get_a_plausible_square(shared_media: Path) -> None:
    """On a photograph, key points and the plain box give nearly the same square."""
    data = pytest.importorskip("skimage.data")
    frame = np.ascontiguousarray(data.astronaut())
    model = shared_media / "scrfd_2.5g_kps.onnx"
    with_points = Landmarker(FaceOptions(detector="scrfd", detector_model=model), None).find(frame)
    with_box = Landmarker(FaceOptions(detector="haar"), None).find(frame)
    assert with_points is not None
    assert with_box is not None
    used = [1, 31, 52]
    side = with_points[31, 0] - with_points[1, 0]
    assert 85 < side < 120
    assert np.abs(with_points[used] - with_box[used]).max() < 0.1 * side


def test_the_face_mesh_gives_the_landmarks_where_it_is_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = MeshDetector(fake_mesh(), max_side=320)
    monkeypatch.setattr("talkinghead.face.detectors.load_detector", lambda options: detector)
    frame = np.full((480, 640, 3), 60, np.uint8)
    landmarker = Landmarker(FaceOptions(), None)
    assert landmarker.description == "face mesh, mesh (drawn.task at 320 pixels)"
    assert landmarker.identity.endswith("; face mesh/1")
    assert landmarker.find(frame) is None
    draw(frame, (300, 240), 80)
    points = landmarker.find(frame)
    assert points is not None
    assert points.shape == (110, 2)
    np.testing.assert_allclose(points.mean(axis=0), [300, 240], atol=40)
    np.testing.assert_allclose(points[[66, 78]], [[260, 208], [340, 208]], atol=4)  # outer corners of the eyes
