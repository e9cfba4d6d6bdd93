"""What animating may change in a picture, and what not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.families.viseme import compose
from talkinghead.families.viseme.compose import (
    Face,
    Pose,
    Region,
    animate,
    animated_region,
    boundary_gradient_ratio,
    eye_region,
    opening_alpha,
)
from talkinghead.families.viseme.eyelids import lid_field, read_lid
from talkinghead.families.viseme.idle import HeadPose
from talkinghead.families.viseme.warp import MouthPose
from tests.families.viseme.conftest import Prepared, prepare_face
from tests.families.viseme.faces import Drawing, draw_face

POSES = {
    "sealed": MouthPose(),
    "wide": MouthPose(1.0, 1.0),
    "round": MouthPose(0.2, 0.25, -1.0),
    "spread": MouthPose(0.15, 0.3, 1.0),
    "tuck": MouthPose(0.1, 0.1, 0.0, 1.0),
    "tongue": MouthPose(0.4, 0.4, 0.0, 0.0, 1.0),
    "shout": MouthPose(1.6, 1.6),
}
FACES = {
    "medium": {},
    "dark": {"skin": (90, 60, 45), "lips": (110, 55, 55)},
    "bright": {"skin": (255, 246, 240), "lips": (246, 190, 190)},
    "grey": {"skin": (180, 180, 180), "lips": (120, 120, 120)},
    "grin": {"gap": 0.15, "teeth": True, "half_width": 0.5, "grin": 0.1},
    "open": {"gap": 0.3},
    "tilted": {"roll_degrees": 15.0},
}
Drawn = Callable[..., Prepared]


def mask_of(region: Region, frame: Frame) -> np.ndarray:
    mask = np.zeros(frame.shape[:2], bool)
    mask[region.slices] = True
    return mask


@pytest.mark.thorough
@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("pose", POSES)
def test_pixels_outside_the_region_are_bit_identical(drawn: Drawn, name: str, pose: str) -> None:
    frame, face = drawn(**FACES[name])
    result = animate(frame, face, Pose(POSES[pose]))
    region = animated_region(face.geometry, (frame.shape[1], frame.shape[0]))
    changed = (result != frame).any(axis=-1)
    assert not changed[~mask_of(region, frame)].any()
    assert result.shape == frame.shape
    assert result.dtype == np.uint8
    if pose != "sealed" or name in ("grin", "open"):
        assert changed.any()


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("pose", POSES)
def test_border_of_the_region_does_not_show(drawn: Drawn, name: str, pose: str) -> None:
    frame, face = drawn(**FACES[name])
    result = animate(frame, face, Pose(POSES[pose]))
    region = animated_region(face.geometry, (frame.shape[1], frame.shape[0]))
    assert boundary_gradient_ratio(frame, result, mask_of(region, frame)) <= 1.15


@pytest.mark.parametrize("pose", POSES)
def test_photograph(astronaut: Frame, astronaut_face: Face, pose: str) -> None:
    result = animate(astronaut, astronaut_face, Pose(POSES[pose]))
    region = animated_region(astronaut_face.geometry, (512, 512))
    mask = mask_of(region, astronaut)
    assert np.array_equal(result[~mask], astronaut[~mask])
    assert boundary_gradient_ratio(astronaut, result, mask) <= 1.15
    changed = (result != astronaut).any(axis=-1)
    assert boundary_gradient_ratio(astronaut, result, changed) <= 1.15


def test_measure_sees_a_pasted_patch(astronaut: Frame) -> None:
    mask = np.zeros((512, 512), bool)
    mask[100:160, 180:260] = True
    pasted = astronaut.copy()
    pasted[mask] = np.clip(pasted[mask].astype(int) + 12, 0, 255).astype(np.uint8)
    assert boundary_gradient_ratio(astronaut, astronaut, mask) == 1.0
    assert boundary_gradient_ratio(astronaut, pasted, mask) > 1.15
    assert boundary_gradient_ratio(astronaut, pasted, np.ones_like(mask)) == 1.0


def test_closed_mouth_at_rest_returns_the_frame_itself(drawn: Drawn) -> None:
    frame, face = drawn()
    assert animate(frame, face, Pose()) is frame


@pytest.mark.parametrize("name", ["medium", "grin", "open"])
def test_sealed_lips_show_no_inside(drawn: Drawn, name: str) -> None:
    """The inside is painted green: none may be seen at p, b, m, and some at a vowel."""
    frame, face = drawn(**FACES[name])
    green = np.array([0, 255, 0], np.float32)
    palette = face.palette.__class__(green, green, green, green, face.palette.softness, 0.0)
    marked = Face(face.geometry, palette)
    for jaw in (0.0, 0.3):
        sealed = animate(frame, marked, Pose(MouthPose(jaw=jaw))).astype(int)
        assert (sealed[..., 1] - sealed[..., 0]).max() < 40
    wide = animate(frame, marked, Pose(MouthPose(0.8, 0.8))).astype(int)
    assert (wide[..., 1] - wide[..., 0]).max() > 100


def test_opening_alpha_is_nothing_on_touching_lips() -> None:
    y = np.linspace(-5, 5, 41, dtype=np.float32)[:, None]
    zero = np.zeros_like(y)
    assert opening_alpha(zero, zero, y, 2.0).max() == 0
    wide = opening_alpha(zero - 4, zero + 4, y, 1.0)
    assert wide[20, 0] == 1
    assert wide[0, 0] == 0


def test_grin_is_closed(drawn: Drawn) -> None:
    """Teeth that the source shows are gone when the lips are sealed."""
    frame, face = drawn(**FACES["grin"])
    region = animated_region(face.geometry, (frame.shape[1], frame.shape[0]))

    def white(picture: Frame) -> int:
        patch = picture[region.slices].astype(int)
        return int(((patch.min(axis=-1) > 185) & (np.ptp(patch, axis=-1) < 40)).sum())

    assert white(frame) > 100
    assert white(animate(frame, face, Pose())) < 0.1 * white(frame)


def test_teeth_can_be_left_out(drawn: Drawn) -> None:
    frame, face = drawn()
    pose = Pose(MouthPose(0.6, 0.7))
    with_teeth, without = (animate(frame, face, pose, teeth=flag).astype(int) for flag in (True, False))
    assert with_teeth.sum() > without.sum()


def test_deterministic_and_pure(drawn: Drawn) -> None:
    frame, face = drawn(fine=True)
    before = frame.copy()
    pose = Pose(MouthPose(0.5, 0.5, 0.2), 0.4, HeadPose(0.01, 0.01, 0.01, 0.002, 0.01, 0.01))
    first, second = animate(frame, face, pose), animate(frame, face, pose)
    assert np.array_equal(first, second)
    assert np.array_equal(frame, before)
    assert first is not frame


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("width", "height", "shift"),
    [
        (201, 233, (0, 0)),
        (160, 160, (0, 10)),  # the chin is cut off
        (150, 200, (-60, 0)),  # half the face is outside
        (150, 200, (60, 40)),
        (90, 70, (0, -40)),  # hardly more than the mouth
    ],
)
def test_faces_at_the_border_of_the_picture(width: int, height: int, shift: tuple[float, float]) -> None:
    drawn_face = draw_face(Drawing(eye_distance=48, size=(width, height), shift=shift))
    face = prepare_face(drawn_face.frame, drawn_face.track(), fine=True)
    for pose in (*POSES.values(), MouthPose(0.7, 0.7)):
        for head in (None, HeadPose(0.02, 0.02, 0.02, 0.01, 0.02, 0.02)):
            result = animate(drawn_face.frame, face, Pose(pose, 0.7, head))
            assert result.shape == drawn_face.frame.shape
            assert result.dtype == np.uint8


@pytest.mark.thorough
@pytest.mark.parametrize("eye_distance", [12.0, 17.0, 230.0])
def test_tiny_and_large_faces(eye_distance: float) -> None:
    drawn_face = draw_face(Drawing(eye_distance=eye_distance))
    face = prepare_face(drawn_face.frame, drawn_face.track(key_points=True))
    result = animate(drawn_face.frame, face, Pose(POSES["wide"]))
    changed = np.argwhere((result != drawn_face.frame).any(axis=-1))
    height = np.ptp(changed[:, 0])
    assert 0.3 * eye_distance < height < 3.2 * eye_distance


@pytest.mark.large
def test_face_of_two_thousand_pixels() -> None:
    drawn_face = draw_face(Drawing(eye_distance=860, size=(2300, 2900)))
    face = prepare_face(drawn_face.frame, drawn_face.track(key_points=True), fine=True)
    assert face.fine is None  # too large to keep twice
    result = animate(drawn_face.frame, face, Pose(POSES["wide"], 0.5, HeadPose(x=0.01)))
    assert (result != drawn_face.frame).any()


def test_blink_changes_only_the_eyes(drawn: Drawn) -> None:
    frame, face = drawn(eye_distance=70)
    size = (frame.shape[1], frame.shape[0])
    assert len(face.eyes) == 2
    result = animate(frame, face, Pose(lids=1.0))
    changed = (result != frame).any(axis=-1)
    allowed = np.zeros_like(changed)
    for eye in face.eyes:
        allowed |= mask_of(eye_region(eye.geometry, eye.eye_distance, size), frame)
    assert changed.any()
    assert not changed[~allowed].any()


def test_shut_eyes_hide_the_iris(drawn: Drawn) -> None:
    frame, face = drawn(eye_distance=70)
    for eye in face.eyes:
        x, y = (round(float(v)) for v in eye.geometry.centre)
        around = (slice(y - 7, y + 1), slice(x - 4, x + 5))
        still, half, shut = (float(animate(frame, face, Pose(lids=lids))[around].mean()) for lids in (0.0, 0.5, 1.0))
        assert shut > still + 40
        assert still < half < shut


def test_a_shut_lid_rests_on_the_lower_lid(drawn: Drawn) -> None:
    """In a drawing the white of the eye would show below it as a grey band."""
    _, face = drawn(eye_distance=60)
    for eye in face.eyes:
        middle = np.zeros(1, np.float32)
        field = lid_field(eye, 1.0, middle, middle)
        assert field.edge[0] >= field.lower[0] - 1e-3


def test_a_drawn_eye_that_is_larger_than_was_found_is_covered(drawn: Drawn) -> None:
    frame, face = drawn(eye_distance=120)
    for eye in face.eyes:
        found = eye.geometry
        smaller = replace(found, lower_lid=(found.lower_lid - 0.06 * 120).astype(np.float32))
        assert 0.05 <= read_lid(frame, smaller, 120.0).rest <= 0.09
        assert read_lid(frame, found, 120.0).rest == 0


@pytest.mark.parametrize("fine", [False, True])
def test_head_movement_keeps_the_border_of_the_picture(drawn: Drawn, fine: bool) -> None:
    frame, face = drawn(fine=fine)
    result = animate(frame, face, Pose(head=HeadPose(0.02, 0.015, 0.01, 0.004, 0.02, 0.02)))
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.array_equal(result[edge], frame[edge])
    assert (result != frame).mean() > 0.05


def test_head_at_rest_changes_nothing(drawn: Drawn) -> None:
    """Sampling a fine picture at whole pixels gives exactly these pixels."""
    frame, face = drawn(fine=True)
    assert face.fine is not None
    assert np.array_equal(animate(frame, face, Pose(head=HeadPose())), frame)


@pytest.mark.parametrize("name", ["medium", "tilted", "grin"])
@pytest.mark.parametrize("fine", [False, True])
def test_what_is_left_out_to_be_fast_changes_no_pixel(
    drawn: Drawn, name: str, fine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every point moved, and as if each row had pixels above and below the opening."""
    frame, face = drawn(fine=fine, **FACES[name])
    poses = [
        Pose(MouthPose(0.7, 0.8, 0.4), 0.6, HeadPose(0.02, 0.015, 0.01, 0.004, 0.02, 0.02)),
        Pose(MouthPose(0.3, 0.2, -0.8), 0.0, HeadPose(-0.01, 0.0, -0.01, 0.0, 0.0, -0.01)),
        Pose(MouthPose(1.0, 1.0)),
    ]
    fast = [animate(frame, face, pose) for pose in poses]
    monkeypatch.setattr(compose, "STILL_PX", -1.0)
    monkeypatch.setattr(compose, "_band", lambda y, step, height, lips: slice(0, height))
    for pose, quick in zip(poses, fast, strict=True):
        assert np.array_equal(animate(frame, face, pose), quick)


def test_head_moves_the_way_it_is_told(drawn: Drawn) -> None:
    import cv2

    frame, face = drawn(eye_distance=70, fine=True)
    d = face.geometry.eye_distance
    result = animate(frame, face, Pose(head=HeadPose(x=0.04, y=-0.03)))
    x, y = (int(v) for v in face.geometry.mouth.centre)
    patch = np.s_[y - int(1.2 * d) : y, x - int(0.6 * d) : x + int(0.6 * d)]
    a, b = (cv2.cvtColor(p[patch], cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (frame, result))
    (dx, dy), _ = cv2.phaseCorrelate(a, b, cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F))
    assert dx == pytest.approx(0.04 * d, abs=0.4)
    assert dy == pytest.approx(-0.03 * d, abs=0.4)
