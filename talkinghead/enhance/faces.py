"""Where the face is that was made: five steady points in each frame, from the best that is known of it."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from talkinghead.contracts import FaceStatus, FaceTrack, FloatArray, Frame, IntArray
from talkinghead.face.landmarks.layout import key_points_of, place_in_box

if TYPE_CHECKING:
    from talkinghead.face import Detector

FOLLOWED = 0.25
"""Share of a new place that the points take on per frame where they are found in finished frames: the alignment may lag
behind the head, for crop and way back are the same, but it must not tremble."""
FOLLOWED_FRAMES = 24
"""Frames that the points follow: what was found before them would move the points by less than a thousandth of what it
was away, and a video can be made in parts."""
JUMP = 0.5
"""Points that move further from frame to frame than this share of the distance between the eyes are another shot, and
taken as they are."""


@dataclass(frozen=True, eq=False)
class MadeFace:
    """One face in one output frame, as far as the model knows it."""

    person: int = 0
    """Tells faces of one video apart."""
    share: float = 1.0
    """In [0, 1]: how much of it is made by the model; 0 where the source is shown."""
    key_points: FloatArray | None = None
    """[5, 2] float32 in the order of `KEY_POINT_NAMES`, pixels of the frame, steady over time; None: to be found."""
    box_xyxy: IntArray | None = None
    """[4], where to look for the points; None: somewhere in the frame."""
    is_steady: bool = True
    """Whether the key points do not tremble from frame to frame."""


def tracked_face(track: FaceTrack, source_index: int, *, person: int = 0, share: float = 1.0) -> MadeFace | None:
    """The face of a track in one of its frames; None where it is not there."""
    if track.status[source_index] == FaceStatus.MISSING:
        return None
    points = None if track.key_points is None else track.key_points[source_index]
    if points is not None and not np.isfinite(points).all():
        points = None
    return MadeFace(person, share, points, track.boxes_xyxy[source_index])


class Finder:
    """Five steady points of faces, in frames that come in order. Where the model gives none they are found: by the face
    mesh where its file is there, else from the box, else by a detector.
    """

    def __init__(self) -> None:
        from talkinghead.face.mesh.networks import found_mesh

        self._mesh = found_mesh()
        self._found_last: dict[int, deque[FloatArray]] = {}
        """By person, what was found in the last frames."""
        self._detector: Detector | None = None

    def points(self, face: MadeFace, frame: Frame) -> FloatArray | None:
        """[5, 2] float32 in the order of `KEY_POINT_NAMES`, pixels; None where there is no face."""
        if face.key_points is not None and face.is_steady:
            return face.key_points
        found = face.key_points if face.key_points is not None else self._found(face, frame)
        if found is None:
            self._found_last.pop(face.person, None)
            return None
        lately = self._found_last.setdefault(face.person, deque(maxlen=FOLLOWED_FRAMES))
        if lately and float(np.abs(found - lately[-1]).max()) >= JUMP * float(np.hypot(*(found[1] - found[0]))):
            lately.clear()
        lately.append(found)
        points = lately[0]
        for later in itertools.islice(lately, 1, None):
            points = (points + np.float32(FOLLOWED) * (later - points)).astype(np.float32)
        return points

    def _found(self, face: MadeFace, frame: Frame) -> FloatArray | None:
        if self._mesh is not None:
            from talkinghead.face.mesh.networks import placed_in_box

            if face.box_xyxy is not None:
                looked = placed_in_box(self._mesh, frame, face.box_xyxy)
            else:
                looked = next(iter(self._mesh.find(frame, small=False)), None)
            if looked is not None:
                return looked.key_points
        if face.box_xyxy is not None:
            return key_points_of(place_in_box(face.box_xyxy))
        return self._detected(frame)

    def _detected(self, frame: Frame) -> FloatArray | None:
        from talkinghead.face import FaceOptions, load_detector

        if self._detector is None:
            self._detector = load_detector(FaceOptions())
        (seen,) = self._detector.detect([frame])
        best = max(seen, key=lambda found: found.score, default=None)
        if best is None:
            return None
        return best.key_points if best.key_points is not None else key_points_of(place_in_box(best.box_xyxy))
