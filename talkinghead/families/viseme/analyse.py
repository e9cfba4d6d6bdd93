"""From frames and face boxes to the geometry of the face in every frame: the slow part of preparing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FaceStatus, FaceTrack, FloatArray, Frame
from talkinghead.engine.runner import Stage, run_stages
from talkinghead.face.mesh.networks import AT_ONCE, FaceMesh, MeshFace
from talkinghead.families.viseme.anchors import (
    Anchors,
    anchors_from_box,
    anchors_from_key_points,
    anchors_in_given_box,
    refined,
)
from talkinghead.families.viseme.corners import corners_seen
from talkinghead.families.viseme.eyelids import usable_eyes
from talkinghead.families.viseme.eyes import find_eye
from talkinghead.families.viseme.follow import HeadFollower, HeadPath, pose_of, weighted_smooth
from talkinghead.families.viseme.from_mesh import anchors_of, chin_of, eyes_of, fitted, mouth_of, sides_of
from talkinghead.families.viseme.geometry import NUM_COLUMNS, EyeGeometry, FaceGeometry, MouthGeometry
from talkinghead.families.viseme.lips import (
    CHIN_AVERAGE,
    CHIN_BELOW_LIP,
    MouthPrior,
    face_sides,
    find_mouth,
    mouth_patch,
    place_prior,
)
from talkinghead.families.viseme.opening import edges_seen

LOOK_EVERY = 4
"""Eyes are looked for in every k-th frame of a video; between them the head is followed."""
PLACE_SIGMA_S = 0.16
"""Smoothing of the mouth's place in the head over time."""
SHAPE_SIGMA_S = 0.045
"""Smoothing of the contours of the lips."""
MESH_PLACE_SIGMA_S, MESH_SHAPE_SIGMA_S = 0.035, 0.015
"""The same where landmarks tell: they tremble less, and lips that lag behind the picture leave teeth on them."""
TREMBLE = 0.01
"""Eye distances (radians for the tilt) by which the place of a mouth in the head trembles at most."""
SIDES_EVERY = 15

_CURVES = ("upper_outer", "upper_inner", "lower_inner", "lower_outer")


@dataclass(frozen=True, eq=False)
class FacePath:
    """The geometry of a face in every frame, as arrays; lengths in eye distances, in the frame of the head."""

    head: HeadPath
    mouth_place: NDArray[np.float64]
    """[n, 4] middle along and below the line of the eyes, half width, angle against it."""
    contours: FloatArray
    """[n, 4, 41] upper outer, upper inner, lower inner, lower outer."""
    chin: NDArray[np.float64]
    """[n] below the middle of the mouth."""
    sides: NDArray[np.float64]
    """[n, 2] from the middle of the mouth to the outline of the face."""
    confidence: NDArray[np.float64]
    """[n] in [0, 1]."""
    used_key_points: bool
    used_mesh: bool = False
    """Whether landmarks tell where everything is, not the image's evidence in a box."""

    def __len__(self) -> int:
        return len(self.chin)

    def at(self, index: int) -> FaceGeometry:
        """The face in one frame, pixels."""
        d = float(self.head.eye_distance[index])
        angle = float(self.head.angle[index])
        along = np.array([np.cos(angle), np.sin(angle)])
        down = np.array([-along[1], along[0]])
        x, y, half, tilt = self.mouth_place[index]
        turned = angle + float(tilt)
        upper_outer, upper_inner, lower_inner, lower_outer = (self.contours[index] * np.float32(d)).astype(np.float32)
        mouth = MouthGeometry(
            self.head.centre[index] + d * (x * along + y * down),
            np.array([np.cos(turned), np.sin(turned)]),
            float(half) * d,
            upper_outer,
            upper_inner,
            lower_inner,
            lower_outer,
            confidence=float(self.confidence[index]),
        )
        left, right = self.sides[index] * d
        return FaceGeometry(d, mouth, float(self.chin[index]) * d, (float(left), float(right)))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For the cache."""
        return {
            "centre": self.head.centre,
            "eye_distance": self.head.eye_distance,
            "angle": self.head.angle,
            "take": self.head.take,
            "mouth_place": self.mouth_place,
            "contours": self.contours,
            "chin": self.chin,
            "sides": self.sides,
            "confidence": self.confidence,
            "used_key_points": np.array(self.used_key_points),
            "used_mesh": np.array(self.used_mesh),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> FacePath:
        head = HeadPath(arrays["centre"], arrays["eye_distance"], arrays["angle"], arrays["take"])
        rest = {name: arrays[name] for name in ("mouth_place", "contours", "chin", "sides", "confidence")}
        used = (bool(arrays["used_key_points"]), bool(arrays["used_mesh"]))
        return cls(head=head, used_key_points=used[0], used_mesh=used[1], **rest)


def anchors_at(frame: Frame, track: FaceTrack, index: int) -> Anchors:
    """Eyes of a frame: the detector's key points where they make sense, else looked for in the box."""
    if track.key_points is not None:
        anchors = anchors_from_key_points(track.key_points[index])
        if anchors is not None:
            return anchors
    find = anchors_in_given_box if track.is_given else anchors_from_box
    return find(frame, track.boxes_xyxy[index])


def analyse_picture(
    frame: Frame, track: FaceTrack, mesh: FaceMesh | None = None
) -> tuple[FacePath, tuple[EyeGeometry, EyeGeometry] | None]:
    """Geometry of a still picture, and its eyes if they may blink.

    Args:
        mesh: finds the landmarks; without it, or where it sees no face, the picture's evidence is weighed.
    """
    face = fitted(mesh, frame, track, 0, None) if mesh is not None else None
    if face is not None:
        return _picture_with_mesh(frame, face)
    anchors = refined(frame, anchors_at(frame, track, 0), count=2500, rounds=7)
    mouth, _ = find_mouth(
        frame, anchors.left_eye, anchors.right_eye, prior=_prior(frame, anchors), count=6000, rounds=10
    )
    mouth = corners_seen(frame, edges_seen(frame, mouth))
    d = anchors.eye_distance
    pose = pose_of(anchors)
    head = HeadPath(pose[None, :2], np.array([d]), pose[3:4], np.zeros(1, np.int32))
    path = FacePath(
        head=head,
        mouth_place=_place(mouth, pose)[None],
        contours=_contours(mouth, d)[None],
        chin=np.array([_chin(frame, track, 0, mouth, d)]),
        sides=np.array([face_sides(frame, mouth, d)]) / d,
        confidence=np.array([mouth.confidence]),
        used_key_points=anchors.mouth_corners is not None and not track.is_given,
    )
    axis = np.array([np.cos(pose[3]), np.sin(pose[3])])
    left, right = (find_eye(frame, eye, axis, d) for eye in (anchors.left_eye, anchors.right_eye))
    eyes = usable_eyes(left, right, least=0.6 if anchors.seen else 0.8)
    return path, eyes


def _picture_with_mesh(frame: Frame, face: MeshFace) -> tuple[FacePath, tuple[EyeGeometry, EyeGeometry] | None]:
    seen = _Seen.of(frame, face)
    pose = pose_of(anchors_of(face))
    path = FacePath(
        head=HeadPath(pose[None, :2], np.exp(pose[2:3]), pose[3:4], np.zeros(1, np.int32)),
        mouth_place=_place(seen.mouth, pose)[None],
        contours=_contours(seen.mouth, float(np.exp(pose[2])))[None],
        chin=np.array([seen.chin]) / np.exp(pose[2]),
        sides=np.array([seen.sides]) / np.exp(pose[2]),
        confidence=np.array([seen.mouth.confidence]),
        used_key_points=True,
        used_mesh=True,
    )
    return path, usable_eyes(*eyes_of(face))


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a frame shows where its mesh says, pixels."""

    mouth: MouthGeometry
    chin: float
    sides: tuple[float, float]

    @classmethod
    def of(cls, frame: Frame, face: MeshFace) -> _Seen:
        mouth = corners_seen(frame, edges_seen(frame, mouth_of(face)))
        return cls(mouth, chin_of(face, mouth), sides_of(face, mouth))


MESH_SHARE = 0.5
"""Of the frames with a face: where the mesh is seen in fewer, the image's evidence is weighed instead."""


def analyse_video(
    frames: Callable[[], Iterable[Frame]],
    track: FaceTrack,
    fps: float,
    progress: Callable[[int], None] | None = None,
    mesh: FaceMesh | None = None,
) -> FacePath:
    """Geometry of every frame of a video, steady over time.

    Args:
        frames: gives the frames from the beginning each time it is called (up to three times); may give fewer than
            the track.
        progress: called with the number of frames seen, up to twice their number.
        mesh: finds the landmarks; without it, or where it sees no face, the image's evidence is weighed.
    """
    told = _Onward(progress, 2 * len(track))
    found = _video_with_mesh(frames, track, fps, told, mesh) if mesh is not None else None
    told.again()
    return found or _video_by_evidence(lambda: _beside(frames()), track, fps, told)


class _Onward:
    """Progress of ways that are tried one after the other: what the first one did stays done."""

    def __init__(self, progress: Callable[[int], None] | None, total: int) -> None:
        self._progress, self._total = progress, max(1, total)
        self._start = self._last = 0

    def __call__(self, done: int) -> None:
        self._last = self._start + (self._total - self._start) * done // self._total
        if self._progress is not None:
            self._progress(self._last)

    def again(self) -> None:
        """The next way begins at its first frame."""
        self._start = self._last


def _video_with_mesh(
    frames: Callable[[], Iterable[Frame]],
    track: FaceTrack,
    fps: float,
    progress: Callable[[int], None],
    mesh: FaceMesh,
) -> FacePath | None:
    """By landmarks; None where they are seen in too few frames.

    The meshes of two frames are followed from the last one before both, at the same time: points of talking people
    differ by less than 0.1 % of the face's width from those followed frame by frame.
    """
    follower = HeadFollower()
    seen: list[_Seen | None] = []
    wanted, missed = int((track.status != FaceStatus.MISSING).sum()), 0

    def place(pictures: Iterator[Frame]) -> Iterator[tuple[Frame, MeshFace | None]]:
        def fit(number: int, frame: Frame) -> MeshFace | None:
            here = track.status[number] != FaceStatus.MISSING
            return fitted(mesh, frame, track, number, last) if here else None

        last: MeshFace | None = None
        numbered = enumerate(itertools.islice(pictures, len(track)))
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mesh") as pool:
            while few := list(itertools.islice(numbered, AT_ONCE)):
                faces = list(pool.map(lambda each: fit(*each), few))
                yield from ((frame, face) for (_, frame), face in zip(few, faces, strict=True))
                last = faces[-1]

    with closing(_beside(frames(), place)) as placed:  # the networks, optical flow and decoding let each other run
        for index, (frame, face) in enumerate(placed):
            anchors = None if face is None else anchors_of(face)
            follower.add(frame, anchors, _rough_pose(track, index, anchors))
            seen.append(None if face is None else _Seen.of(frame, face))
            missed += bool(track.status[index] != FaceStatus.MISSING) and face is None
            if missed > (1 - MESH_SHARE) * wanted:
                return None
            progress(2 * index + 1)
    if not seen:
        raise ValueError("a video without frames")
    known = np.array([each is not None for each in seen])
    if not known.any():
        return None
    head = follower.path(fps)
    places, contours, chins, sides = [], [], [], []
    rows = np.flatnonzero(known)
    for number in range(len(seen)):
        nearest = int(rows[np.abs(rows - number).argmin()])
        each = seen[nearest]
        assert each is not None
        d = float(head.eye_distance[nearest])
        pose = np.array([*head.centre[nearest], np.log(d), head.angle[nearest]])
        places.append(_place(each.mouth, pose))
        contours.append(_contours(each.mouth, d))
        chins.append(each.chin / d)
        sides.append(np.array(each.sides) / d)
    return _steady(
        FacePath(
            head=head,
            mouth_place=np.array(places),
            contours=np.array(contours),
            chin=np.array(chins),
            sides=np.array(sides),
            confidence=np.where(known, 1.0, 1e-3),
            used_key_points=True,
            used_mesh=True,
        ),
        fps,
        MESH_PLACE_SIGMA_S,
        MESH_SHAPE_SIGMA_S,
    )


def _beside(frames: Iterable[Frame], *steps: Callable[[Iterator[Any]], Iterator[Any]]) -> Generator[Any, None, None]:
    """Frames after some steps; decoding and each step run in threads of their own."""
    yield from run_stages(frames, [Stage("read", iter, 4), *(Stage("analyse-face", step, 4) for step in steps)])


def _steady(
    path: FacePath, fps: float, place_sigma_s: float = PLACE_SIGMA_S, shape_sigma_s: float = SHAPE_SIGMA_S
) -> FacePath:
    """Smoothed over time, each take by itself; what was seen well counts more."""
    place, shape, trust = path.mouth_place.copy(), path.contours.astype(np.float64), path.confidence
    chin, sides = path.chin.copy(), path.sides.copy()
    for number in range(int(path.head.take[-1]) + 1):
        part = np.flatnonzero(path.head.take == number)
        seen = place[part]
        place[part] = weighted_smooth(seen, trust[part], place_sigma_s * fps)
        if path.used_mesh:
            place[part] = _not_behind(seen, place[part])
        shape[part] = weighted_smooth(shape[part], trust[part], shape_sigma_s * fps)
        chin[part] = np.median(chin[part])
        known = sides[part][~np.isnan(sides[part, 0])]
        sides[part] = np.median(known, axis=0) if len(known) else np.array([0.6, 0.6])
    return replace(
        path,
        mouth_place=place,
        contours=shape.astype(np.float32),
        chin=chin,
        sides=sides,
        confidence=np.clip(trust, 0, 1),
    )


def _not_behind(seen: NDArray[np.float64], smooth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smoothed places [n, 4] of the mouth, but as they were seen where they differ by more than landmarks tremble: a
    head that turns fast would leave its teeth on its lips."""
    apart = np.abs(seen - smooth).max(axis=1, keepdims=True)
    share = np.clip((apart - TREMBLE) / TREMBLE, 0, 1)
    return np.asarray(smooth + (seen - smooth) * share)


def _video_by_evidence(
    frames: Callable[[], Iterable[Frame]],
    track: FaceTrack,
    fps: float,
    progress: Callable[[int], None],
) -> FacePath:
    """By what the image shows in the box."""
    follower = HeadFollower()
    expected: list[Anchors | None] = []
    seen = 0
    for index, frame in enumerate(frames()):
        if index >= len(track):
            break
        here = track.status[index] != FaceStatus.MISSING
        has_points = track.key_points is not None
        found = anchors_at(frame, track, index) if here and (has_points or index % LOOK_EVERY == 0) else None
        expected.append(found)
        # Lids place the eyes better than any detector, and every few frames is enough.
        looks = found is not None and index % LOOK_EVERY == 0
        anchors = refined(frame, found, count=600, rounds=4) if found is not None and looks else None
        follower.add(frame, anchors, _rough_pose(track, index, found))
        seen = index + 1
        progress(seen)
    if seen == 0:
        raise ValueError("a video without frames")
    head = follower.path(fps)

    places, contours, chins, trust = [], [], [], []
    sides = np.full((seen, 2), np.nan)
    start: FloatArray | None = None
    for index, frame in enumerate(frames()):
        if index >= seen:
            break
        left, right = head.eyes(index)
        d = float(head.eye_distance[index])
        fresh = start is None or (index > 0 and head.take[index] != head.take[index - 1])
        prior = None
        found = expected[index]
        if found is not None and found.mouth_corners is not None:
            ends = found.mouth_corners
            prior = place_prior(mouth_patch(frame, left, right), ends[0], ends[1], found.mouth_trust)
        mouth, shapes = find_mouth(
            frame,
            left,
            right,
            prior=prior,
            start=None if fresh else start,
            rounds=8 if fresh else 3,
            per_round=600 if fresh else 240,
        )
        mouth = corners_seen(frame, edges_seen(frame, mouth))
        start = shapes[:24]
        pose = np.array([*head.centre[index], np.log(d), head.angle[index]])
        places.append(_place(mouth, pose))
        contours.append(_contours(mouth, d))
        chins.append(_chin(frame, track, index, mouth, d))
        trust.append(max(mouth.confidence, 0.02) * (track.status[index] != FaceStatus.MISSING) + 1e-3)
        if index % SIDES_EVERY == 0:
            sides[index] = np.array(face_sides(frame, mouth, d)) / d
        progress(seen + index + 1)

    return _steady(
        FacePath(
            head=head,
            mouth_place=np.array(places),
            contours=np.array(contours),
            chin=np.array(chins),
            sides=sides,
            confidence=np.array(trust),
            used_key_points=track.key_points is not None,
        ),
        fps,
    )


def _prior(frame: Frame, anchors: Anchors) -> MouthPrior | None:
    if anchors.mouth_corners is None:
        return None
    patch = mouth_patch(frame, anchors.left_eye, anchors.right_eye)
    left, right = anchors.mouth_corners
    return place_prior(patch, left, right, anchors.mouth_trust)


def _rough_pose(track: FaceTrack, index: int, anchors: Anchors | None) -> NDArray[np.float64]:
    if anchors is not None:
        return pose_of(anchors)
    x1, y1, x2, y2 = (float(v) for v in track.boxes_xyxy[index])
    return np.array([(x1 + x2) / 2, y1 + 0.412 * (y2 - y1), np.log(max(0.43 * (x2 - x1), 2.0)), 0.0])


def _place(mouth: MouthGeometry, pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4] the mouth's place in the frame of the head."""
    d, angle = float(np.exp(pose[2])), float(pose[3])
    along = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-along[1], along[0]])
    offset = (mouth.centre - pose[:2]) / d
    tilt = float(np.arctan2(mouth.axis[1], mouth.axis[0])) - angle
    tilt = (tilt + np.pi) % (2 * np.pi) - np.pi
    return np.array([offset @ along, offset @ down, mouth.half_width / d, tilt])


def _contours(mouth: MouthGeometry, d: float) -> FloatArray:
    stacked = np.stack([getattr(mouth, name) for name in _CURVES]) / np.float32(d)
    assert stacked.shape == (4, NUM_COLUMNS)
    return stacked.astype(np.float32)


def _chin(frame: Frame, track: FaceTrack, index: int, mouth: MouthGeometry, d: float) -> float:
    """Eye distances from the mouth to the chin: average anatomy and, unless it was cut, the box."""
    bottom = float(track.boxes_xyxy[index][3])
    chin = CHIN_AVERAGE
    if bottom < frame.shape[0]:
        box = (bottom - float(mouth.centre[1])) / max(float(mouth.down[1]), 0.5) / d
        chin = 0.5 * CHIN_AVERAGE + 0.5 * float(np.clip(box, 0.5, 1.0))
    return max(chin, float(mouth.lower_outer.max()) / d + CHIN_BELOW_LIP)
