"""Where the eyes are: the frame of reference in which mouth, lids and chin are looked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray
from talkinghead.face.cascades import open_cascade

EYE_IN_BOX = np.array([[0.285, 0.412], [0.715, 0.412]])
"""[2, 2] left and right eye of an average face in its box (hairline to chin), as shares of width and height."""
FACE_ASPECT = 1.37
"""Height over width of the box of an average face."""
CASCADE = "haarcascade_eye.xml"
SIDE = 160
"""Width of the picture in which eyes are looked for."""
NEAR = 0.10
"""An eye further than this from where it is expected, in box widths, is not believed."""
PULL = 0.35
"""How far an eye that was seen is drawn back to where it is expected."""


MOUTH_BELOW_EYES, MOUTH_HALF_WIDTH = 1.04, 0.38
"""Of an average face, in eye distances."""
LOWEST_ASPECT = 1.15
"""Of a face in a box that the user gave: lower boxes are wider than their face."""
GIVEN_TRUST = 0.6
"""In the mouth of an average face, where the user gave the box of the face."""
REFINE = 0.8
"""How far anchors move to eyes whose lids were found with confidence."""


@dataclass(frozen=True, eq=False)
class Anchors:
    """The eye centres of one frame, and the mouth corners where a detector gave them."""

    left_eye: NDArray[np.float64]
    """[2] pixels, left of the image."""
    right_eye: NDArray[np.float64]
    mouth_corners: NDArray[np.float64] | None = None
    """[2, 2] pixels, left and right."""
    seen: bool = True
    """False where the eyes are only guessed from the box."""
    mouth_trust: float = 1.0
    """How far the corners are believed; below 1 where they are those of an average face in a box that the user gave."""

    @property
    def eye_distance(self) -> float:
        return float(np.hypot(*(self.right_eye - self.left_eye)))


def anchors_from_key_points(points: FloatArray) -> Anchors | None:
    """Anchors from the five key points [5, 2], or None if they make no face (profile, garbage)."""
    p = points.astype(np.float64)
    if not np.isfinite(p).all():
        return None
    span = p[1] - p[0]
    distance = float(np.hypot(span[0], span[1]))
    if distance < 4:
        return None
    axis = span / distance
    down = np.array([-axis[1], axis[0]])
    drop = float(((p[3] + p[4]) / 2 - (p[0] + p[1]) / 2) @ down) / distance
    width = float((p[4] - p[3]) @ axis) / distance
    if not (0.6 < drop < 1.9 and 0.3 < width < 1.7):
        return None
    return Anchors(p[0], p[1], p[3:5])


def anchors_from_box(frame: Frame, box_xyxy: IntArray) -> Anchors:
    """Anchors from a face box alone: the expected place, corrected by where a cascade sees eyes.

    The box may be cut by the border of the picture; what is missing is put back by the aspect of a face.
    """
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    height, width = frame.shape[:2]
    w, h = x2 - x1, y2 - y1
    # A box that touches the border was cut there; the longer side tells how large the face is.
    if h < 0.85 * w * FACE_ASPECT and (y1 <= 0 or y2 >= height):
        full = w * FACE_ASPECT
        if y1 <= 0 and y2 < height:
            y1 = y2 - full
        h = full
    elif h > 1.2 * w * FACE_ASPECT and (x1 <= 0 or x2 >= width):
        full = h / FACE_ASPECT
        if x1 <= 0 and x2 < width:
            x1 = x2 - full
        w = full
    origin, size = np.array([x1, y1]), np.array([w, h])
    expected = origin + EYE_IN_BOX * size
    seen = _look_for_eyes(frame, origin, size, expected)
    eyes = expected.copy()
    found = ~np.isnan(seen[:, 0])
    eyes[found] = seen[found] * (1 - PULL) + expected[found] * PULL
    if found.sum() == 1:  # the face is where the one eye says
        one = int(np.flatnonzero(found)[0])
        eyes[1 - one] += eyes[one] - expected[one]
    return Anchors(eyes[0], eyes[1], None, bool(found.all()))


def anchors_in_given_box(frame: Frame, box_xyxy: IntArray) -> Anchors:
    """Anchors of a face that the user sees in a box, whatever its shape and whatever face it is: a cat's, a robot's.

    The face stands in the middle of the box's width, as high as the box; the mouth is expected where that of an average
    face is, and so within the box.
    """
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    width = min(x2 - x1, (y2 - y1) / LOWEST_ASPECT)
    middle = (x1 + x2) / 2
    face = np.array([round(middle - width / 2), y1, round(middle + width / 2), y2]).astype(np.int32)
    anchors = anchors_from_box(frame, face)
    across = (anchors.right_eye - anchors.left_eye) * MOUTH_HALF_WIDTH
    below = np.array([-across[1], across[0]]) * (MOUTH_BELOW_EYES / MOUTH_HALF_WIDTH)
    mouth = (anchors.left_eye + anchors.right_eye) / 2 + below
    return replace(anchors, mouth_corners=np.stack([mouth - across, mouth + across]), mouth_trust=GIVEN_TRUST)


def _look_for_eyes(
    frame: Frame, origin: NDArray[np.float64], size: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[2, 2] eye centres seen by the cascade near where they are expected; NaN where none is."""
    import cv2

    scale = SIDE / size[0]
    shape = (SIDE, max(8, round(0.62 * size[1] * scale)))
    to_patch = np.array([[scale, 0, -origin[0] * scale], [0, scale, -origin[1] * scale]])
    from talkinghead.families.viseme.rectify import cut_patch

    patch = cut_patch(frame, to_patch, shape)
    grey = cv2.cvtColor(patch.pixels, cv2.COLOR_RGB2GRAY)
    least = round(0.13 * SIDE)
    boxes = _cascade().detectMultiScale(grey, 1.05, 3, minSize=(least, least), maxSize=(least * 3, least * 3))
    result = np.full((2, 2), np.nan)
    if len(boxes) == 0:
        return result
    found = np.array([[x + w / 2, y + h / 2] for x, y, w, h in boxes], dtype=np.float64)
    candidates = patch.into_picture(found)
    for side in range(2):
        distance = np.hypot(*(candidates - expected[side]).T)
        best = int(distance.argmin())
        if distance[best] < NEAR * size[0]:
            result[side] = candidates[best]
    return result


@lru_cache(maxsize=1)
def _cascade() -> Any:
    return open_cascade(CASCADE)


def refined(frame: Frame, anchors: Anchors, *, count: int = 1500, rounds: int = 5) -> Anchors:
    """Anchors moved to where eyes are seen, if both are and make sense together."""
    from talkinghead.families.viseme.eyes import find_eye

    d = anchors.eye_distance
    axis = (anchors.right_eye - anchors.left_eye) / max(d, 1e-6)
    left, right = (
        find_eye(frame, eye, axis, d, count=count, rounds=rounds) for eye in (anchors.left_eye, anchors.right_eye)
    )
    trust = min(left.confidence, right.confidence)
    span = right.centre - left.centre
    distance = float(np.hypot(span[0], span[1]))
    turn = abs(float(np.arctan2(span[1] * axis[0] - span[0] * axis[1], span @ axis)))
    widths = left.half_width / right.half_width
    if trust < 0.5 or not 0.75 < distance / d < 1.35 or turn > 0.2 or not 0.7 < widths < 1.43:
        return anchors
    share = REFINE * min(1.0, (trust - 0.5) / 0.3)
    return replace(
        anchors,
        left_eye=anchors.left_eye * (1 - share) + left.centre * share,
        right_eye=anchors.right_eye * (1 - share) + right.centre * share,
        seen=True,
    )
