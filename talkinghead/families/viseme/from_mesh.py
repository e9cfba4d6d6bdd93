"""The geometry of a face from the landmarks of the face mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FaceTrack, Frame
from talkinghead.face.identity import overlap
from talkinghead.face.mesh.networks import FaceMesh, MeshFace, placed_in_box
from talkinghead.face.mesh.points import CHIN, LEFT_EYE, LIPS_INSIDE, LIPS_OUTSIDE, MOUTH_CORNERS, OUTLINE, RIGHT_EYE
from talkinghead.families.viseme.anchors import Anchors
from talkinghead.families.viseme.geometry import COLUMNS, OPEN_MOUTH, EyeGeometry, MouthGeometry, Values, gap_between

SAME_FACE = 0.25
"""Least overlap of a mesh that is followed with the box of the tracked face."""
EDGE = 10
"""Points of the upper lip after its left corner, the right corner included; of an eye's upper lid, EYE_EDGE."""
EYE_EDGE = 8
SAMPLES = 8
"""Points of a smooth curve from one landmark to the next."""
_STEP = (np.arange(SAMPLES) / SAMPLES)[None, :, None]
_STEP_SQUARED, _STEP_CUBED = _STEP**2, _STEP**3


def fitted(mesh: FaceMesh, frame: Frame, track: FaceTrack, index: int, last: MeshFace | None) -> MeshFace | None:
    """The mesh of the tracked face in a frame, or None where there is none.

    Args:
        last: that of the frame before, from which it is followed as long as it lies in the track's box.
    """
    box = track.boxes_xyxy[index].astype(np.float32)
    if last is not None and overlap(last.box_xyxy[None], box[None])[0, 0] >= SAME_FACE:
        face = mesh.follow(frame, last)
        if face is not None and overlap(face.box_xyxy[None], box[None])[0, 0] >= SAME_FACE:
            return face
    return placed_in_box(mesh, frame, track.boxes_xyxy[index], _tilt(track, index))


def _tilt(track: FaceTrack, index: int) -> float:
    """Of the line between the eyes, radians; 0 where it is not known."""
    if track.key_points is not None:
        across = track.key_points[index][1] - track.key_points[index][0]
        if np.isfinite(across).all() and float(np.hypot(*across)) > 1:
            return float(np.arctan2(across[1], across[0]))
    return 0.0


def mouth_of(face: MeshFace) -> MouthGeometry:
    """Corners and contours of the lips; lips that nearly touch do touch."""
    points = face.points[:, :2].astype(np.float64)
    corners = points[list(MOUTH_CORNERS)]
    span = corners[1] - corners[0]
    length = float(np.hypot(*span))
    axis = span / length
    half = length / 2
    centre = corners.mean(axis=0)

    def curve(indices: Sequence[int]) -> Values:
        return _below(points[list(indices)], centre, axis, half)

    left, right = MOUTH_CORNERS
    upper_outer = curve(LIPS_OUTSIDE[: EDGE + 1])
    lower_outer = curve((left, *LIPS_OUTSIDE[:EDGE:-1], right))
    upper_inner = curve((left, *LIPS_INSIDE[: EDGE + 1], right))
    lower_inner = curve((left, LIPS_INSIDE[0], *LIPS_INSIDE[:EDGE:-1], LIPS_INSIDE[EDGE], right))
    if gap_between(upper_inner, lower_inner, half) <= OPEN_MOUTH:
        upper_inner = lower_inner = (upper_inner + lower_inner) / 2
    lower_inner = np.maximum(lower_inner, upper_inner)
    return MouthGeometry(
        centre=centre,
        axis=axis,
        half_width=half,
        upper_outer=np.minimum(upper_outer, upper_inner).astype(np.float32),
        upper_inner=upper_inner.astype(np.float32),
        lower_inner=lower_inner.astype(np.float32),
        lower_outer=np.maximum(lower_outer, lower_inner).astype(np.float32),
        confidence=face.presence,
    )


def eyes_of(face: MeshFace) -> tuple[EyeGeometry, EyeGeometry]:
    """Lids of the left and the right eye of the image."""
    return _eye(face, LEFT_EYE, outer_is_left=True), _eye(face, RIGHT_EYE, outer_is_left=False)


def _eye(face: MeshFace, indices: Sequence[int], *, outer_is_left: bool) -> EyeGeometry:
    points = face.points[list(indices), :2].astype(np.float64)
    upper, lower = points[: EYE_EDGE + 1], np.concatenate([points[:1], points[: EYE_EDGE - 1 : -1]])
    if not outer_is_left:
        upper, lower = upper[::-1], lower[::-1]
    span = upper[-1] - upper[0]
    length = float(np.hypot(*span))
    axis, half, centre = span / max(length, 1e-6), max(length / 2, 1e-6), (upper[0] + upper[-1]) / 2
    return EyeGeometry(
        centre=centre,
        axis=axis,
        half_width=half,
        upper_lid=np.minimum(_below(upper, centre, axis, half), 0).astype(np.float32),
        lower_lid=np.maximum(_below(lower, centre, axis, half), 0).astype(np.float32),
        confidence=face.presence,
    )


def anchors_of(face: MeshFace) -> Anchors:
    """Eyes and corners of the mouth."""
    points = face.points[:, :2].astype(np.float64)
    left, right = ((points[eye[0]] + points[eye[EYE_EDGE]]) / 2 for eye in (LEFT_EYE, RIGHT_EYE))
    return Anchors(left, right, points[list(MOUTH_CORNERS)])


def chin_of(face: MeshFace, mouth: MouthGeometry) -> float:
    """Pixels from the middle of the mouth down to the tip of the chin."""
    return float((face.points[CHIN, :2].astype(np.float64) - mouth.centre) @ mouth.down)


def sides_of(face: MeshFace, mouth: MouthGeometry) -> tuple[float, float]:
    """Pixels from the middle of the mouth to the outline of the face on the left and on the right."""
    offset = face.points[[*OUTLINE, OUTLINE[0]], :2].astype(np.float64) - mouth.centre
    along, below = (offset @ mouth.axis).tolist(), (offset @ mouth.down).tolist()
    found = []
    for sign in (-1.0, 1.0):
        crossings = [
            a0 + (a1 - a0) * (-b0) / (b1 - b0)
            for a0, a1, b0, b1 in zip(along, along[1:], below, below[1:], strict=False)
            if (b0 < 0) != (b1 < 0)
        ]
        found.append(max([sign * value for value in crossings if sign * value > 0], default=mouth.half_width))
    return float(found[0]), float(found[1])


def _below(points: NDArray[Any], centre: NDArray[Any], axis: NDArray[Any], half: float) -> Values:
    """[41] heights below the line between the corners, at `COLUMNS`, of a smooth curve through points."""
    offset = _smooth(points) - centre
    along = np.maximum.accumulate((offset @ axis) / half)
    down = np.array([-axis[1], axis[0]])
    heights: Values = np.interp(COLUMNS, along, offset @ down)
    return heights


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A Catmull-Rom curve through points [n, 2], `SAMPLES` for each step."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    p0, p1, p2, p3 = (padded[k : len(padded) - 3 + k, None] for k in range(4))
    square, cubic = 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3
    curve = 0.5 * (2 * p1 + (p2 - p0) * _STEP + square * _STEP_SQUARED + cubic * _STEP_CUBED)
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])
