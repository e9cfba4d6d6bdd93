"""A face followed through a video: exactly, steadily, across cuts and gaps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.contracts import FaceStatus, FaceTrack, Frame
from talkinghead.families.viseme.analyse import FacePath, analyse_picture, analyse_video
from talkinghead.families.viseme.anchors import Anchors
from talkinghead.families.viseme.follow import HeadFollower, pose_of, weighted_smooth
from tests.families.viseme.faces import Drawing, DrawnFace, draw_face

N = 24


def moving(face: DrawnFace, n: int = N) -> tuple[list[Frame], np.ndarray, np.ndarray]:
    """Frames of a head that sways: frames, [n, 2] shift of the middle of the picture, [n] angle."""
    height, width = face.frame.shape[:2]
    t = np.arange(n) / n * 2 * np.pi
    shifts = np.stack([6 * np.sin(t), 3 * np.cos(2 * t)], axis=1)
    angles = 0.06 * np.sin(t + 1)
    frames = []
    rng = np.random.default_rng(0)
    for shift, angle in zip(shifts, angles, strict=True):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -float(np.degrees(angle)), 1.0)
        matrix[:, 2] += shift
        frame = cv2.warpAffine(
            face.frame, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        noisy = frame + rng.normal(size=frame.shape) * 2
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return frames, shifts, angles


def moved(point: np.ndarray, shape: tuple[int, ...], shift: np.ndarray, angle: float) -> np.ndarray:
    """Where a point of the still picture is after `moving`."""
    middle = np.array([shape[1], shape[0]]) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    return middle + np.array([[cos, -sin], [sin, cos]]) @ (point - middle) + shift


@pytest.fixture(scope="module")
def swaying() -> tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray]:
    face = draw_face(Drawing(eye_distance=56))
    return (face, *moving(face))


def test_flow_removes_the_tremble_of_detections(
    swaying: tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray],
) -> None:
    face, frames, shifts, angles = swaying
    rng = np.random.default_rng(1)
    follower = HeadFollower()
    truth = []
    for i, frame in enumerate(frames):
        eyes = [moved(p, frame.shape, shifts[i], angles[i]) for p in face.key_points[:2].astype(float)]
        truth.append((eyes[0] + eyes[1]) / 2)
        seen = Anchors(eyes[0] + rng.normal(size=2) * 2.5, eyes[1] + rng.normal(size=2) * 2.5)
        follower.add(frame, seen if i % 4 == 0 else None, pose_of(seen))
    path = follower.path(25.0)
    error = path.centre - np.array(truth)
    error -= error.mean(axis=0)  # a constant offset does not tremble
    assert np.abs(error).max() < 0.8
    assert np.abs(np.diff(error, axis=0)).max() < 0.35
    assert np.abs((path.angle - path.angle.mean()) - (angles - angles.mean())).max() < 0.03
    assert not path.take.any()


def test_a_cut_begins_a_new_take(swaying: tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray]) -> None:
    face, frames, _, _ = swaying
    other = draw_face(Drawing(eye_distance=56, skin=(70, 45, 35), background=(240, 240, 240)))
    follower = HeadFollower()
    for frame in [*frames[:4], *[other.frame] * 4]:
        anchors = Anchors(*face.key_points[:2].astype(float))
        follower.add(frame, anchors, pose_of(anchors))
    assert follower.path(25.0).take.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_weighted_smoothing_keeps_constants_and_ignores_weightless_rows() -> None:
    values = np.full((30, 2), 7.0)
    values[10] = 1000
    weight = np.ones(30)
    weight[10] = 0
    assert np.allclose(weighted_smooth(values, weight, 3.0), 7.0, atol=1e-3)
    assert np.allclose(weighted_smooth(values[:1], weight[:1], 3.0), 7.0)


@pytest.fixture(scope="module")
def path(swaying: tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray]) -> FacePath:
    face, frames, shifts, _ = swaying
    boxes = np.clip(face.box_xyxy + np.round(np.tile(shifts, 2)).astype(int), 0, None).astype(np.int32)
    track = FaceTrack(boxes, np.zeros(N, np.uint8), np.ones(N, np.float32))
    done: list[int] = []
    result = analyse_video(lambda: iter(frames), track, 25.0, done.append)
    assert done == list(range(1, 2 * N + 1))
    return result


def test_mouth_moves_with_the_head_and_does_not_tremble(
    swaying: tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray], path: FacePath
) -> None:
    face, frames, shifts, angles = swaying
    assert len(path) == N
    truth = np.array([moved(face.mouth, frames[0].shape, shifts[i], angles[i]) for i in range(N)])
    found = np.array([path.at(i).mouth.centre for i in range(N)])
    error = found - truth
    assert np.abs(error.mean(axis=0)).max() < 0.06 * face.eye_distance
    assert np.abs(error - error.mean(axis=0)).max() < 1.2
    assert np.abs(np.diff(error, axis=0)).max() < 0.4
    gaps = np.array([path.at(i).mouth.gap for i in range(N)])
    assert gaps.max() < 0.07


def test_path_survives_the_cache(path: FacePath) -> None:
    copy = FacePath.from_arrays({name: array.copy() for name, array in path.to_arrays().items()})
    for index in (0, N // 2, N - 1):
        a, b = path.at(index), copy.at(index)
        assert np.array_equal(a.mouth.centre, b.mouth.centre)
        assert np.array_equal(a.mouth.lower_inner, b.mouth.lower_inner)
        assert a.chin == b.chin
        assert a.sides == b.sides
    assert copy.used_key_points == path.used_key_points


def test_fewer_frames_than_the_track_promises(
    swaying: tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray],
) -> None:
    face, frames, _, _ = swaying
    assert len(analyse_video(lambda: iter(frames[:3]), face.track(n=10), 25.0)) == 3


def test_picture_and_one_frame_video_agree() -> None:
    face = draw_face(Drawing(eye_distance=50))
    still = analyse_picture(face.frame, face.track(key_points=True))[0].at(0)
    video = analyse_video(lambda: iter([face.frame]), face.track(key_points=True), 25.0).at(0)
    assert np.abs(still.mouth.centre - video.mouth.centre).max() < 2
    assert abs(still.mouth.half_width - video.mouth.half_width) < 2.5


def test_frames_without_a_face_do_not_disturb_the_rest(
    swaying: tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray],
) -> None:
    face, frames, _, _ = swaying
    track = face.track(n=12)
    status = track.status.copy()
    status[4:7] = FaceStatus.MISSING
    track = FaceTrack(track.boxes_xyxy, status, track.scores)
    blank = np.full_like(frames[0], 128)
    some = [*frames[:4], blank, blank, blank, *frames[7:12]]
    path = analyse_video(lambda: iter(some), track, 25.0)
    assert len(path) == 12
    for index in (2, 10):
        assert np.abs(path.at(index).mouth.centre - face.mouth).max() < 14


class Blind:
    """A mesh that sees no face."""

    def fit(self, frame: Frame, square: object) -> object:
        return None


def test_progress_never_goes_back(swaying: tuple[DrawnFace, list[Frame], np.ndarray, np.ndarray]) -> None:
    """The mesh sees too little, and the analysis begins again by the picture's evidence."""
    face, frames, _, _ = swaying
    told: list[int] = []
    few = frames[:8]
    analyse_video(lambda: iter(few), face.track(n=8), 25.0, told.append, Blind())  # type: ignore[arg-type]
    assert told == sorted(told)
    assert told[-1] == 16
