"""From the landmarks of the face mesh to the geometry of mouth, eyes, chin and cheeks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import FaceStatus, FaceTrack, Frame
from talkinghead.face.mesh.networks import FaceMesh, MeshFace, Square
from talkinghead.face.mesh.points import CHIN, LEFT_EYE, LIPS_INSIDE, LIPS_OUTSIDE, OUTLINE, RIGHT_EYE
from talkinghead.families.viseme import analyse
from talkinghead.families.viseme.analyse import FacePath, analyse_picture, analyse_video
from talkinghead.families.viseme.follow import HeadPath
from talkinghead.families.viseme.from_mesh import anchors_of, chin_of, eyes_of, mouth_of, sides_of
from talkinghead.families.viseme.geometry import COLUMNS, NUM_COLUMNS

UPPER, LOWER = 0.30, 0.42
"""Thickness of the lips in half widths."""
INNER = 0.9
"""Where the lips begin to part, between the middle and the corners."""


def face(
    centre: tuple[float, float] = (320, 300),
    half: float = 40.0,
    angle: float = 0.0,
    gap: float = 0.3,
    bend: float = 0.1,
) -> MeshFace:
    """A mesh with parabolic lips, round lids and an oval outline; lengths in half widths of the mouth."""
    points = np.zeros((478, 2))
    arch = lambda u: 1 - u**2  # noqa: E731
    along = np.linspace(-1, 1, 11)
    points[list(LIPS_OUTSIDE[:11])] = np.stack([along, (bend - gap / 2 - UPPER) * arch(along)], 1)
    points[list(LIPS_OUTSIDE[:10:-1])] = np.stack([along[1:-1], (bend + gap / 2 + LOWER) * arch(along[1:-1])], 1)
    inside = np.linspace(-INNER, INNER, 11)
    parted = gap / 2 * arch(inside / INNER)
    points[list(LIPS_INSIDE[:11])] = np.stack([inside, bend * arch(inside) - parted], 1)
    points[list(LIPS_INSIDE[:10:-1])] = np.stack([inside, bend * arch(inside) + parted], 1)[1:-1]
    for indices, x, sign in ((LEFT_EYE, -1.3, 1.0), (RIGHT_EYE, 1.3, -1.0)):  # from the outer corner over the top
        turn = np.pi * np.arange(16) / 8
        points[list(indices)] = np.stack([x - sign * 0.5 * np.cos(turn), -2.8 - 0.2 * np.sin(turn)], 1)
    turn = 2 * np.pi * np.arange(36) / 36
    points[list(OUTLINE)] = np.stack([2.4 * np.sin(turn), -1.4 - 3.4 * np.cos(turn)], 1)
    points[CHIN] = 0, 2.0
    c, s = half * np.cos(angle), half * np.sin(angle)
    flat = points @ np.array([[c, -s], [s, c]]).T + np.array(centre)
    return MeshFace(np.column_stack([flat, np.zeros(478)]).astype(np.float32), 0.99, 0.99)


@settings(max_examples=30, deadline=None)
@given(
    half=st.floats(8, 200), angle=st.floats(-1, 1), gap=st.floats(0.1, 1.5), bend=st.floats(-0.2, 0.3),
)  # fmt: skip
def test_contours_are_those_of_the_lips(half: float, angle: float, gap: float, bend: float) -> None:
    mouth = mouth_of(face((300, 200), half, angle, gap, bend))
    assert mouth.half_width == pytest.approx(half, rel=1e-4)
    np.testing.assert_allclose(mouth.centre, [300, 200], atol=0.01)
    assert np.arctan2(mouth.axis[1], mouth.axis[0]) == pytest.approx(angle, abs=1e-3)
    assert mouth.is_open
    assert mouth.gap == pytest.approx(gap, rel=0.06)
    arch, parted = 1 - COLUMNS**2, gap / 2 * np.maximum(1 - (COLUMNS / INNER) ** 2, 0)
    for found, wanted in (
        (mouth.upper_outer, (bend - gap / 2 - UPPER) * arch),
        (mouth.upper_inner, bend * arch - parted),
        (mouth.lower_inner, bend * arch + parted),
        (mouth.lower_outer, (bend + gap / 2 + LOWER) * arch),
    ):
        np.testing.assert_allclose(found / half, wanted, atol=0.03)
    assert (mouth.upper_outer <= mouth.upper_inner).all()
    assert (mouth.upper_inner <= mouth.lower_inner).all()
    assert (mouth.lower_inner <= mouth.lower_outer).all()


def test_lips_that_nearly_touch_do_touch() -> None:
    mouth = mouth_of(face(gap=0.05))
    np.testing.assert_array_equal(mouth.upper_inner, mouth.lower_inner)
    assert mouth.gap == 0
    np.testing.assert_allclose(mouth.upper_inner[20] / 40, 0.1, atol=0.01)


def test_eyes_chin_and_cheeks() -> None:
    found = face(angle=0.4)
    left, right = eyes_of(found)
    turned = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    for eye, x in ((left, -1.3), (right, 1.3)):
        np.testing.assert_allclose(eye.centre, turned @ [40 * x, -112] + [320, 300], atol=0.1)
        assert eye.half_width == pytest.approx(20, rel=0.01)
        assert eye.upper_lid.min() == pytest.approx(-8, rel=0.03)
        assert eye.lower_lid.max() == pytest.approx(8, rel=0.03)
        assert np.arctan2(eye.axis[1], eye.axis[0]) == pytest.approx(0.4, abs=0.01)
    anchors = anchors_of(found)
    assert anchors.eye_distance == pytest.approx(104, rel=0.01)
    mouth = mouth_of(found)
    assert chin_of(found, mouth) == pytest.approx(80, rel=0.01)
    across = 40 * 2.4 * np.sqrt(1 - (1.4 / 3.4) ** 2)
    assert sides_of(found, mouth) == pytest.approx((across, across), rel=0.03)


class Planted:
    """Stands for a `FaceMesh` that sees a face where it is told, at most `until` times."""

    def __init__(self, faces: list[MeshFace], seen: list[bool] | None = None) -> None:
        self.faces, self.number = faces, -1
        self.seen = seen or [True] * len(faces)
        self.followed = 0

    def fit(self, frame: Frame, square: Square) -> MeshFace | None:
        self.number = int(frame[0, 0, 0])
        return self.faces[self.number] if self.seen[self.number] else None

    def follow(self, frame: Frame, last: MeshFace) -> MeshFace | None:
        self.followed += 1
        return self.fit(frame, last.square)


def track_of(faces: list[MeshFace]) -> FaceTrack:
    boxes = np.stack([np.rint(each.box_xyxy).astype(np.int32) for each in faces])
    n = len(faces)
    return FaceTrack(boxes, np.full(n, FaceStatus.DETECTED, np.uint8), np.ones(n, np.float32), detector="planted")


def numbered(count: int) -> Iterator[Frame]:
    for number in range(count):
        frame = np.random.default_rng(7).integers(0, 255, (480, 640, 3), np.uint8)
        frame[0, 0, 0] = number
        yield frame


def test_a_video_is_followed_by_its_landmarks() -> None:
    faces = [face((320, 300), gap=0.2 + 0.1 * (k % 3)) for k in range(20)]
    mesh = Planted(faces, [k not in (7, 8) for k in range(20)])
    path = analyse_video(lambda: numbered(20), track_of(faces), 25.0, None, mesh)  # type: ignore[arg-type]
    assert path.used_mesh
    assert mesh.followed >= 17  # the square of a box is needed at the start and after a gap only
    for index in range(20):
        np.testing.assert_allclose(path.at(index).mouth.centre, [320, 300], atol=1.0)
        assert path.at(index).mouth.half_width == pytest.approx(40, rel=0.02)
        assert path.at(index).mouth.is_open
    assert path.confidence[[7, 8]].max() < 0.01
    assert path.confidence[[0, 19]].min() > 0.9
    again = type(path).from_arrays(path.to_arrays())
    assert again.used_mesh
    np.testing.assert_array_equal(again.contours, path.contours)


def test_where_the_mesh_sees_little_the_image_is_weighed() -> None:
    faces = [face() for _ in range(6)]
    mesh = Planted(faces, [k == 2 for k in range(6)])
    path = analyse_video(lambda: numbered(6), track_of(faces), 25.0, None, mesh)  # type: ignore[arg-type]
    assert not path.used_mesh
    picture = next(numbered(1))
    blind = Planted(faces, [False] * 6)
    assert not analyse_picture(picture, track_of(faces[:1]), blind)[0].used_mesh  # type: ignore[arg-type]
    seen, eyes = analyse_picture(picture, track_of(faces[:1]), Planted(faces))  # type: ignore[arg-type]
    assert seen.used_mesh
    assert eyes is not None


def test_planted_meshes_have_the_methods_that_are_used() -> None:
    assert {name for name in vars(Planted) if not name.startswith("_")} <= set(vars(FaceMesh))


def test_a_mouth_is_smoothed_over_time_but_does_not_stay_behind() -> None:
    """Of a place that trembles and then leaps, the trembling goes and the leap stays."""
    trembling = 0.004 * np.where(np.arange(40) % 2, 1.0, -1.0)
    leap = np.where(np.arange(40) >= 20, 0.3, 0.0)
    path = FacePath(
        head=HeadPath(np.zeros((40, 2)), np.full(40, 60.0), np.zeros(40), np.zeros(40, np.int32)),
        mouth_place=np.stack([trembling + leap, *[np.full(40, value) for value in (0.9, 0.4, 0.0)]], axis=1),
        contours=np.zeros((40, 4, NUM_COLUMNS), np.float32),
        chin=np.full(40, 0.7),
        sides=np.full((40, 2), 0.6),
        confidence=np.ones(40),
        used_key_points=True,
        used_mesh=True,
    )
    smooth = analyse._steady(path, 25.0, analyse.MESH_PLACE_SIGMA_S, analyse.MESH_SHAPE_SIGMA_S).mouth_place[:, 0]
    assert np.abs(smooth[5:16]).max() < 0.002
    assert np.abs(smooth[24:35] - 0.3).max() < 0.002
    np.testing.assert_allclose(smooth[19:21], path.mouth_place[19:21, 0], atol=1e-9)
    # Where evidence of the image tells, which errs by more, a leap is smoothed like all else.
    seen = analyse._steady(replace(path, used_mesh=False), 25.0, analyse.MESH_PLACE_SIGMA_S).mouth_place[:, 0]
    assert np.abs(seen[19:21] - path.mouth_place[19:21, 0]).max() > 0.05
