"""Whether a mouth can be seen: lips drawn where the mesh has them, and the same face with something over them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.contracts import FaceStatus, FaceTrack, Frame
from talkinghead.face.mesh.covered import COVERED, RIDGE, cover_evidence, looks_at, mouth_is_covered
from talkinghead.face.mesh.networks import MeshFace
from talkinghead.face.mesh.points import EYE_CORNERS, LIPS_INSIDE, LIPS_OUTSIDE, NUM_POINTS
from talkinghead.media.arrays import ArraySource

SIZE, MIDDLE, MOUTH = 240, np.array([120.0, 110.0]), np.array([120.0, 165.0])
SKIN, LIPS, LINE = (205, 160, 135), (170, 80, 80), (60, 30, 30)


def points() -> np.ndarray:
    """A face of 120 x 150 pixels; only what is looked at has its place."""
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, NUM_POINTS), np.sqrt(rng.uniform(0, 1, NUM_POINTS))
    places = MIDDLE + radius[:, None] * np.stack([60 * np.cos(angle), 75 * np.sin(angle)], axis=1)
    for names, width, height in ((LIPS_OUTSIDE, 26, 10), (LIPS_INSIDE, 22, 2)):
        turn = np.pi + 2 * np.pi * np.arange(20) / 20
        places[list(names)] = MOUTH + np.stack([width * np.cos(turn), height * np.sin(turn)], axis=1)
    places[list(RIDGE)] = np.stack([np.full(10, 120.0), np.linspace(90, 155, 10)], axis=1)
    places[list(EYE_CORNERS)] = [[85, 95], [155, 95]]
    return np.concatenate([places, np.zeros((NUM_POINTS, 1))], axis=1).astype(np.float32)


def face(presence: float) -> MeshFace:
    return MeshFace(points(), presence, presence)


def portrait(*, cover: tuple[int, int, int] | None = None, closed: bool = True) -> Frame:
    picture = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    outer, inner = (points()[list(names), :2].round().astype(np.int32) for names in (LIPS_OUTSIDE, LIPS_INSIDE))
    cv2.fillPoly(picture, [outer], LIPS)
    if closed:
        cv2.line(picture, (96, 165), (144, 165), LINE, 2)
    else:
        cv2.fillPoly(picture, [inner], LINE)
    cv2.ellipse(picture, (120, 148), (8, 3), 0, 0, 180, (150, 105, 90), 1)
    if cover is not None:
        cv2.rectangle(picture, (55, 135), (185, 200), cover, -1)
    return picture


@pytest.mark.parametrize("closed", [True, False])
def test_lips_that_are_seen(closed: bool) -> None:
    assert cover_evidence(portrait(closed=closed), face(1 - 1e-7)) < 0


@pytest.mark.parametrize("cover", [(120, 170, 210), (240, 240, 240), (20, 20, 25), (150, 30, 40)])
def test_a_mask_over_them(cover: tuple[int, int, int]) -> None:
    assert cover_evidence(portrait(cover=cover), face(0.99999)) > COVERED


def test_a_surer_network_counts_against_a_cover() -> None:
    picture = portrait(cover=(200, 170, 150))
    assert cover_evidence(picture, face(0.9999)) > cover_evidence(picture, face(1 - 1e-8))


class Mesh:
    """Sees a face in frames that are not black."""

    def fit(self, frame: Frame, square: object) -> MeshFace | None:
        return face(0.99999) if frame.any() else None

    def follow(self, frame: Frame, last: MeshFace) -> MeshFace | None:
        return last


def test_most_frames_decide() -> None:
    masked, bare, black = portrait(cover=(120, 170, 210)), portrait(), np.zeros((SIZE, SIZE, 3), np.uint8)
    box = np.array([60, 35, 180, 185], np.int32)

    def covered(*frames: Frame) -> bool:
        return mouth_is_covered([(frame, box) for frame in frames], Mesh())  # type: ignore[arg-type]

    assert covered(masked)
    assert covered(masked, bare, masked)
    assert not covered(masked, bare, bare)
    assert covered(masked, black, black)
    assert not covered(black)
    assert not covered()


def test_frames_that_show_the_face_are_looked_at() -> None:
    frames = [np.full((8, 8, 3), number, np.uint8) for number in range(10)]
    status = np.full(10, FaceStatus.MISSING, np.uint8)
    status[[2, 3, 5, 8]] = FaceStatus.DETECTED
    boxes = np.stack([[0, 0, 1 + number % 7, 4] for number in range(10)]).astype(np.int32)
    track = FaceTrack(boxes, status, np.ones(10, np.float32))
    looks = list(looks_at(ArraySource(frames), track))
    assert [int(frame[0, 0, 0]) for frame, _ in looks] == [2, 5, 8]
    assert all(box.tolist() == boxes[int(frame[0, 0, 0])].tolist() for frame, box in looks)
    status[:] = FaceStatus.HELD
    assert list(looks_at(ArraySource(frames), track)) == []
