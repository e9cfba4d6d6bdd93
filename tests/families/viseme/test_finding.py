"""Eyes, lids and mouth are found where they are: in drawn faces exactly, in a photograph within a pixel or two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import FaceStatus, FaceTrack, Frame
from talkinghead.families.viseme.analyse import analyse_picture
from talkinghead.families.viseme.anchors import anchors_from_box, anchors_from_key_points
from talkinghead.families.viseme.compose import Face
from talkinghead.families.viseme.lips import face_sides
from talkinghead.families.viseme.rectify import nearest
from tests.families.viseme.conftest import ASTRONAUT_BOX
from tests.families.viseme.faces import MOUTH_BELOW, Drawing, draw_face

SKINS = {
    "light": Drawing(skin=(250, 235, 225), lips=(230, 150, 150)),
    "medium": Drawing(),
    "dark": Drawing(skin=(90, 60, 45), lips=(110, 55, 55)),
    "grey": Drawing(skin=(180, 180, 180), lips=(120, 120, 120)),
    "dim": Drawing(skin=(70, 50, 42), lips=(58, 26, 26), background=(20, 20, 24)),
    "tilted": Drawing(roll_degrees=12),
    "grin": Drawing(gap=0.15, teeth=True, half_width=0.5, grin=0.1),
    "open": Drawing(gap=0.25),
    "noisy": Drawing(noise=9.0),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", SKINS)
@pytest.mark.parametrize("key_points", [False, True], ids=["box", "points"])
def test_mouth_of_drawn_face(name: str, key_points: bool) -> None:
    face = draw_face(SKINS[name])
    path, _ = analyse_picture(face.frame, face.track(key_points=key_points))
    mouth, d = path.at(0).mouth, face.eye_distance
    tolerance = 0.05 if key_points else 0.09
    assert np.abs(mouth.centre - face.mouth).max() < tolerance * d
    assert abs(mouth.half_width / d - face.drawing.half_width) < 0.06
    assert abs(np.degrees(np.arctan2(mouth.axis[1], mouth.axis[0])) - face.drawing.roll_degrees) < 4
    assert abs(mouth.gap * mouth.half_width / d - face.drawing.gap) < 0.06
    assert mouth.is_open == (face.drawing.gap > 0)


@pytest.mark.thorough
@pytest.mark.parametrize("eye_distance", [11.0, 16.0, 40.0, 300.0])
def test_any_size(eye_distance: float) -> None:
    face = draw_face(Drawing(eye_distance=eye_distance))
    path, _ = analyse_picture(face.frame, face.track())
    geometry = path.at(0)
    assert abs(geometry.eye_distance / eye_distance - 1) < 0.1
    assert np.abs(geometry.mouth.centre - face.mouth).max() < max(0.1 * eye_distance, 1.5)


@pytest.mark.thorough
def test_line_of_lips_is_followed() -> None:
    """A crooked seam, which no parameter describes, is found by following the dark line."""
    face = draw_face(Drawing(eye_distance=90))
    frame = face.frame.copy()
    # Shear the mouth's patch: its right half half a lip lower, smoothly.
    x, y = (int(v) for v in face.mouth)
    crooked = {}
    for column in range(x - 30, x + 31):
        crooked[column] = round(5 * np.exp(-(((column - x - 12) / 9) ** 2)))
        shift = crooked[column]
        if shift:
            frame[y - 20 : y + 30, column] = np.roll(face.frame[y - 20 : y + 30, column], shift, axis=0)
    path, _ = analyse_picture(frame, face.track(key_points=True))
    straight, _ = analyse_picture(face.frame, face.track(key_points=True))
    difference = path.at(0).mouth.lower_inner - straight.at(0).mouth.lower_inner
    bump = int(np.argmax(difference))
    assert difference[bump] > 2.5
    assert 21 <= bump <= 33  # right of the middle


def test_astronaut(astronaut_face: Face) -> None:
    """Hand-measured in the picture: corners (208, 140) and (246, 141), teeth between 144 and 151 in the middle."""
    mouth = astronaut_face.geometry.mouth
    left, right = mouth.centre - mouth.half_width * mouth.axis, mouth.centre + mouth.half_width * mouth.axis
    assert np.abs(left - [205, 141]).max() < 5
    assert np.abs(right - [244, 141]).max() < 5
    assert mouth.is_open
    top = mouth.centre[1] + mouth.upper_inner[20]
    bottom = mouth.centre[1] + mouth.lower_inner[20]
    assert 139 < top < 146
    assert 146 < bottom < 153
    assert mouth.confidence > 0.8
    assert astronaut_face.own_teeth is not None
    assert len(astronaut_face.eyes) == 2


@pytest.mark.thorough
def test_mirrored_photograph_gives_mirrored_mouth(astronaut: Frame, astronaut_track: FaceTrack) -> None:
    width = astronaut.shape[1]
    x1, y1, x2, y2 = ASTRONAUT_BOX[0]
    box = np.array([[width - x2, y1, width - x1, y2]], np.int32)
    mirrored_track = FaceTrack(box, np.full(1, FaceStatus.DETECTED, np.uint8), np.ones(1, np.float32))
    a = analyse_picture(astronaut, astronaut_track)[0].at(0).mouth
    b = analyse_picture(np.ascontiguousarray(astronaut[:, ::-1]), mirrored_track)[0].at(0).mouth
    assert abs((width - 1 - b.centre[0]) - a.centre[0]) < 2.5
    assert abs(b.centre[1] - a.centre[1]) < 2.5
    assert abs(a.half_width - b.half_width) < 3


@pytest.mark.thorough
@pytest.mark.parametrize("change", ["bright", "dark", "grey", "twice", "half"])
def test_photograph_in_other_conditions(astronaut: Frame, astronaut_face: Face, change: str) -> None:
    import cv2

    scale = {"twice": 2.0, "half": 0.5}.get(change, 1.0)
    frame = astronaut
    if change == "bright":
        frame = np.clip(astronaut * 1.25 + 10, 0, 255).astype(np.uint8)
    elif change == "dark":
        frame = (astronaut * 0.35).astype(np.uint8)
    elif change == "grey":
        frame = np.repeat(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    elif scale != 1:
        kind = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        frame = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=kind)
    box = (ASTRONAUT_BOX * scale).astype(np.int32)
    track = FaceTrack(box, np.full(1, FaceStatus.DETECTED, np.uint8), np.ones(1, np.float32))
    mouth = analyse_picture(frame, track)[0].at(0).mouth
    expected = astronaut_face.geometry.mouth
    assert np.abs(mouth.centre / scale - expected.centre).max() < 4
    assert abs(mouth.half_width / scale - expected.half_width) < 5


@pytest.mark.thorough
def test_deterministic(astronaut: Frame, astronaut_track: FaceTrack) -> None:
    first, second = (analyse_picture(astronaut, astronaut_track)[0].to_arrays() for _ in range(2))
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name


def test_key_points_that_make_no_face_are_not_believed() -> None:
    good = draw_face().key_points
    assert anchors_from_key_points(good) is not None
    for bad in (good * np.nan, good * 0, good[[3, 4, 2, 0, 1]], good * np.array([0.1, 1], np.float32)):
        assert anchors_from_key_points(bad.astype(np.float32)) is None


def test_box_cut_by_the_border_still_places_the_eyes() -> None:
    """The top of the head is outside: the box is shorter than a face."""
    whole = draw_face(Drawing(eye_distance=50))
    cut = int(whole.box_xyxy[1]) + 40
    frame = np.ascontiguousarray(whole.frame[cut:])
    box = whole.box_xyxy.copy()
    box[[1, 3]] -= cut
    box[1] = 0
    anchors = anchors_from_box(frame, box)
    expected = whole.key_points[:2] - [0, cut]
    assert np.abs(np.stack([anchors.left_eye, anchors.right_eye]) - expected).max() < 0.15 * 50


def test_outline_of_the_face_limits_the_cheeks() -> None:
    near, far = Drawing(eye_distance=80, shift=(0, 0)), Drawing(eye_distance=80)
    face = draw_face(far)
    mouth = analyse_picture(face.frame, face.track(key_points=True))[0].at(0).mouth
    left, right = face_sides(face.frame, mouth, 80)
    assert abs(left - right) < 0.12 * 80
    # A wall of background close to the left corner.
    frame = face.frame.copy()
    wall = int(mouth.centre[0] - 0.58 * 80)
    frame[:, :wall] = near.background
    closer, _ = face_sides(frame, mouth, 80)
    assert closer < left
    assert closer < 0.62 * 80


def test_eyes_are_found() -> None:
    face = draw_face(Drawing(eye_distance=70))
    _, eyes = analyse_picture(face.frame, face.track(key_points=True))
    assert eyes is not None
    for eye, point in zip(eyes, face.key_points[:2], strict=True):
        assert np.abs(eye.centre - point).max() < 0.05 * 70
        assert abs(eye.half_width / 70 - 0.215) < 0.05
        assert abs(float(eye.upper_lid.min()) / 70 + 0.10) < 0.05


def test_mouth_below_is_where_it_was_drawn() -> None:
    face = draw_face()
    middle = face.key_points[:2].mean(axis=0)
    assert np.allclose(face.mouth - middle, [0, MOUTH_BELOW * face.eye_distance], atol=1e-3)


@given(st.floats(-20, 40), st.integers(1, 12))
@settings(max_examples=30)
def test_nearest_pixels_lie_inside_and_are_nearest(position: float, size: int) -> None:
    found = int(nearest(np.array(position, np.float32), size))
    distances = [abs(np.float32(position) - pixel) for pixel in range(size)]
    assert distances[found] == min(distances)
