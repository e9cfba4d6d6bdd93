"""From a frame to the points of a mesh and back: squares, parts of the frame, following."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import FaceStatus
from talkinghead.face import FaceOptions, track_faces
from talkinghead.face.detectors.mesh import MeshDetector
from talkinghead.face.mesh import networks
from talkinghead.face.mesh.networks import AT_ONCE, MeshFace, Square, cut
from talkinghead.face.mesh.points import LIPS_INSIDE, LIPS_OUTSIDE, OUTLINE, face_box, key_points, mouth_opening
from talkinghead.media.arrays import ArraySource
from tests.face.mesh.fake import draw, fake_mesh, placed


def blank(width: int = 640, height: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 60, np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(200, 440), y=st.floats(180, 300), radius=st.floats(40, 150), angle=st.floats(-1.2, 1.2),
)  # fmt: skip
def test_points_come_back_to_where_the_face_is(x: float, y: float, radius: float, angle: float) -> None:
    frame = blank()
    draw(frame, (x, y), radius, angle)
    before = frame.copy()
    (face,) = fake_mesh().find(frame)
    # A pixel's middle is drawn at .5 and sampled at whole numbers: half a pixel between the two.
    error = np.hypot(*(face.points[:, :2] + 0.5 - placed((x, y), radius, angle)).T)
    assert error.max() < 0.02 * radius + 0.6
    np.testing.assert_array_equal(frame, before)
    assert face.square.angle == pytest.approx(angle, abs=0.03)
    assert 2.7 * radius < face.square.side < 4.6 * radius


def test_large_pictures_are_averaged_not_picked_from() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), np.uint8)
    square = Square(1000, 1000, 1900, 0.3)
    small = cut(frame, square.to_frame(256), 256)
    assert small[64:192, 64:192].std() < 25  # a picture that is picked from keeps the noise: 74
    assert small.mean() == pytest.approx(127, abs=15)


@settings(max_examples=30, deadline=None)
@given(
    side=st.floats(600, 3000), angle=st.floats(-3, 3), x=st.floats(300, 1500), y=st.floats(300, 1100),
)  # fmt: skip
def test_a_large_square_shows_what_a_small_one_would(side: float, angle: float, x: float, y: float) -> None:
    rows, columns = np.mgrid[:1400, :1800].astype(np.float32)
    frame = np.stack([columns / 8, rows / 8, (rows + columns) / 16], axis=-1).astype(np.uint8)
    to_frame = Square(x, y, side, angle).to_frame(256)
    found = cut(frame, to_frame, 256).astype(np.int16)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    plain = cv2.warpAffine(frame, to_frame, (256, 256), flags=flags).astype(np.int16)
    both = ((plain.min(axis=2) > 4) & (found.min(axis=2) > 4)).astype(np.uint8)
    inside = cv2.erode(both, np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    if inside.any():
        assert np.abs(found - plain)[inside].max() <= 2


@pytest.mark.parametrize("radius", [16, 20, 40, 100])
def test_small_faces_are_found_in_parts_of_the_frame(radius: float) -> None:
    frame = blank(1920, 1080)
    draw(frame, (1500, 300), radius)
    (face,) = fake_mesh().find(frame)
    assert np.hypot(*(face.points[:, :2].mean(axis=0) - [1500, 300])) < 0.3 * radius
    found = fake_mesh().find(frame, small=False)
    assert len(found) == (1 if radius >= 100 else 0)


def test_a_frame_without_a_face_has_none() -> None:
    assert fake_mesh().find(blank()) == []
    assert fake_mesh().find(blank(20, 3)) == []
    with pytest.raises(ValueError, match="uint8"):
        fake_mesh().find(blank().astype(np.float32))  # type: ignore[arg-type]


def test_a_face_is_followed_without_the_detector() -> None:
    mesh = fake_mesh()
    frame = blank()
    draw(frame, (300, 240), 80)
    (face,) = mesh.find(frame)
    mesh._detector = None  # type: ignore[assignment]
    for step in range(1, 8):
        frame = blank()
        draw(frame, (300 + 12 * step, 240 - 5 * step), 80 + 2 * step, 0.06 * step)
        followed = mesh.follow(frame, face)
        assert followed is not None
        face = followed
        assert np.hypot(*(face.points[:, :2].mean(axis=0) - [300 + 12 * step, 240 - 5 * step])) < 6
    assert mesh.follow(blank(), face) is None


def test_tracking_looks_for_small_faces_only_where_there_is_no_other() -> None:
    looks: list[bool] = []
    mesh = fake_mesh()
    genuine = mesh.find
    mesh.find = lambda frame, **given: looks.append(given["small"]) or genuine(frame, **given)  # type: ignore[method-assign]
    frames = [blank(1920, 1080) for _ in range(3)]
    for frame in frames:
        draw(frame, (1500, 300), 20)
    track = track_faces(ArraySource(frames), FaceOptions(), detector=MeshDetector(mesh))
    assert looks == [False] * 3 + [True] * 3
    assert (track.status == FaceStatus.DETECTED).all()
    assert track.key_points is not None
    looks.clear()
    for frame in frames:
        draw(frame, (600, 500), 200)
    track_faces(ArraySource(frames), FaceOptions(), detector=MeshDetector(mesh))
    assert looks == [False] * 3


def test_boxes_of_a_frame_made_smaller_are_those_of_the_frame() -> None:
    frame = blank(1600, 1200)
    draw(frame, (700, 600), 240)
    (whole,) = MeshDetector(fake_mesh()).detect([frame])[0]
    (small,) = MeshDetector(fake_mesh(), max_side=400).detect([frame])[0]
    assert np.abs(whole.box_xyxy - small.box_xyxy).max() < 8


def test_points_are_numbered_as_published() -> None:
    assert len(set(LIPS_OUTSIDE)) == len(set(LIPS_INSIDE)) == 20
    assert len(set(OUTLINE)) == 36
    assert not set(LIPS_OUTSIDE) & set(LIPS_INSIDE)
    points = np.zeros((478, 3), np.float32)
    points[list(OUTLINE), 0] = np.linspace(10, 90, 36)
    points[list(OUTLINE), 1] = np.linspace(20, 120, 36)
    assert face_box(points).tolist() == [10, 20, 90, 120]
    assert face_box(points[:468])[3] == pytest.approx(120 + 0.028 * 100)
    points[[33, 263], 0] = 30, 70
    points[[82, 13, 312], 1], points[[87, 14, 317], 1] = 100, 110
    assert mouth_opening(points) == pytest.approx(10 / 40)
    points[[61, 291], :2] = (1, 2), (3, 4)
    assert key_points(points)[3:].tolist() == [[1, 2], [3, 4]]


def test_a_quick_detector_sees_nearly_the_same_and_is_kept_apart() -> None:
    frame = blank(1600, 1200)
    draw(frame, (700, 600), 240)
    detector = MeshDetector(fake_mesh(), max_side=800, min_score=0.4)
    quick = detector.quick()
    assert (quick.max_side, quick.min_score, quick.small) == (800, 0.4, False)
    assert quick.identity != detector.identity
    deeper = quick.for_small_faces()
    assert deeper is not None
    assert not deeper.refine
    (twice,), (once,) = detector.detect([frame])[0], quick.detect([frame])[0]
    size = float((twice.box_xyxy[2:] - twice.box_xyxy[:2]).max())
    np.testing.assert_allclose(once.box_xyxy, twice.box_xyxy, atol=0.05 * size)


def test_a_quick_detector_carries_a_mesh_along_within_a_batch_and_no_farther_than_a_face_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = MeshDetector(fake_mesh()).quick()
    fits: list[Square] = []
    fit = quick.mesh.fit
    monkeypatch.setattr(quick.mesh, "fit", lambda frame, square, **k: fits.append(square) or fit(frame, square, **k))
    moves = [((140.0, 140.0), 80.0, 0.0), ((146.0, 137.0), 82.0, 0.05), ((153.0, 135.0), 84.0, 0.1)]
    frames = [blank(480, 320) for _ in range(5)]
    for frame, move in zip(frames, [*moves, ((380.0, 220.0), 84.0, 0.1)], strict=False):
        draw(frame, *move)  # nobody is in the last
    found = quick.detect(frames)
    assert len(fits) == 2  # in the first frame, and after the leap
    assert [len(faces) for faces in found] == [1, 1, 1, 1, 0]
    for frame, (carried,) in zip(frames, found[:3], strict=False):
        ((anew,),) = quick.detect([frame])
        np.testing.assert_allclose(carried.box_xyxy, anew.box_xyxy, atol=2)
        assert carried.key_points is not None
        np.testing.assert_allclose(carried.key_points, anew.key_points, atol=2)


@given(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(0.9, 1.1), st.floats(-0.1, 0.1))
@settings(max_examples=30, deadline=None)
def test_a_carried_mesh_moves_with_the_square_in_which_it_was_seen(dx: float, dy: float, grown: float, turned: float):
    before = Square(100.0, 80.0, 60.0, 0.3)
    after = Square(100.0 + 60 * dx, 80.0 + 60 * dy, 60.0 * grown, 0.3 + turned)
    flat = placed((100.0, 80.0), 20.0, 0.3)
    points = np.concatenate([flat, flat[:, :1] * 0 + 3], axis=1).astype(np.float32)
    face = MeshFace(points, 0.9, 0.8, before)
    carried = face.carried(after, 0.7)
    assert carried is not None
    assert (carried.presence, carried.score, carried.detected) == (0.9, 0.7, after)
    wanted = placed((after.x, after.y), 20.0 * grown, after.angle)
    np.testing.assert_allclose(carried.points[:, :2], wanted, atol=1e-3)
    np.testing.assert_allclose(carried.points[:, 2], 3 * grown, rtol=1e-5)
    assert MeshFace(points, 0.9, 0.8).carried(after, 0.7) is None
    assert face.carried(Square(112.0, 80.0, 60.0, 0.3), 0.7) is None
    assert face.carried(Square(100.0, 80.0, 75.0, 0.3), 0.7) is None
    assert face.carried(Square(100.0, 80.0, 60.0, 0.6), 0.7) is None


def test_two_pictures_go_through_a_network_at_the_same_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(AT_ONCE)
    read: list[Copy] = []

    class Copy:
        """Answers its input, once another copy was asked, too."""

        def __init__(self) -> None:
            read.append(self)

        def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
            return ("out",)

        def setInput(self, picture: np.ndarray) -> None:
            self._picture = picture

        def forward(self, names: tuple[str, ...]) -> list[np.ndarray]:
            together.wait(timeout=30)
            return [self._picture for _ in names]

    monkeypatch.setattr(cv2.dnn, "readNetFromTFLite", lambda _: Copy())
    network = networks._Network(b"", Path("drawn.task"))
    assert len(read) == 1  # another is read when it is needed
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        pictures = [np.full((1, 3, 2, 2), number, np.float32) for number in range(4 * AT_ONCE)]
        found = list(pool.map(network.run, pictures))
    assert [float(out.mean()) for (out,) in found] == list(range(4 * AT_ONCE))
    assert len(read) == AT_ONCE
