"""Whether a mouth can be seen: masks, hands, scarves and microphones before it.

The mesh places lips wherever they would be. What lies there tells whether they are: lips are redder and darker than
the skin around them and part along a dark line, and the network is less sure of a face that is half covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FaceStatus, FaceTrack, FloatArray, Frame, FrameSource, IntArray
from talkinghead.face.mesh.networks import FaceMesh, MeshFace, cut, placed_in_box
from talkinghead.face.mesh.points import LIPS_INSIDE, LIPS_OUTSIDE

SIDE = 160
"""Of the picture of the face that is measured, pixels."""
RIDGE = (168, 6, 197, 195, 5, 4, 1, 2, 164, 0)
"""From between the eyes down the nose to the upper lip: the edge of a mask crosses it."""
COLUMNS = slice(3, 8)
"""Points of the upper lip through which profiles run down to the lower one."""
WEIGHTS = {"sureness": -7.40, "contrast": -2.92, "line": -1.81, "redness": -3.22, "edge": 4.08, "always": 4.44}
"""Of a logistic regression on 617 photographs, drawings and paintings, 280 of them of people in masks."""
COVERED = 2.5
"""Log odds from which on a mouth counts as covered: of pictures that the weights were not fitted to, 83 of 100 masks
and 3 of 1000 others (dark faces in heavy noise)."""
MAX_LOGIT = 20.0
COVERED_NOTE = (
    "The mouth seems to be covered (a mask, a hand, a scarf, a microphone before it): a mouth is drawn over what "
    "covers it. Another picture, or one in which the mouth can be seen, is needed for a believable one."
)


def mouth_is_covered(looks: Iterable[tuple[Frame, IntArray]], mesh: FaceMesh) -> bool:
    """Whether the mouth is hidden in most of some frames, each with the box [4] of the face.

    A frame in which the mesh sees no face does not count.
    """
    faces = ((frame, placed_in_box(mesh, frame, box)) for frame, box in looks)
    found = [cover_evidence(frame, face) for frame, face in faces if face is not None]
    return bool(found) and float(np.median(found)) >= COVERED


def looks_at(frames: FrameSource, track: FaceTrack, count: int = 3) -> Iterator[tuple[Frame, IntArray]]:
    """Some frames in which the face was seen, evenly spread, each with its box."""
    seen = np.flatnonzero(track.status == FaceStatus.DETECTED)
    for place in sorted({round(at) for at in np.linspace(0, len(seen) - 1, min(count, len(seen)))}):
        number = int(seen[place])
        for frame in frames.read(number, number + 1):
            yield frame, track.boxes_xyxy[number]


def cover_evidence(frame: Frame, face: MeshFace) -> float:
    """Log odds that the mouth of a face is covered.

    Args:
        frame: RGB uint8 [H, W, 3].
    """
    to_frame = face.square.to_frame(SIDE)
    lab = cv2.cvtColor(cut(frame, to_frame, SIDE).astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
    smooth = np.asarray(cv2.GaussianBlur(lab, (0, 0), 1.5), np.float32)
    to_picture = cv2.invertAffineTransform(to_frame)
    points = face.points[:, :2].astype(np.float64) @ to_picture[:, :2].T + to_picture[:, 2]
    outer, inner = points[list(LIPS_OUTSIDE)], points[list(LIPS_INSIDE)]
    middle = outer.mean(axis=0)
    lips, around = _at(smooth, (outer + inner) / 2), _at(smooth, middle + 1.35 * (outer - middle))
    fine = np.asarray(cv2.GaussianBlur(lab, (0, 0), 0.7), np.float32)
    values = {
        "sureness": np.clip(_logit(face.presence), 0.0, MAX_LOGIT) / MAX_LOGIT,
        "contrast": np.log1p(np.median(np.linalg.norm((lips - around) * (0.5, 1, 1), axis=1))),
        "line": np.log1p(np.abs(np.diff(_profile(fine, outer))).max()),
        "redness": np.clip(np.median(lips[:, 1]) - np.median(around[:, 1]), -5, 15) / 10,
        "edge": np.log1p(np.abs(np.diff(_at(smooth, points[list(RIDGE)])[:, 1:], axis=0)).max()),
        "always": 1.0,
    }
    return float(sum(WEIGHTS[name] * float(value) for name, value in values.items()))


def _profile(picture: FloatArray, outer: NDArray[np.float64]) -> FloatArray:
    """[25] lightness from above the upper lip to below the lower one, the median of some columns."""
    upper, lower = outer[COLUMNS], outer[20 - np.arange(len(outer))[COLUMNS]]
    share = np.linspace(-0.3, 1.3, 25)[None, :, None]
    places = upper[:, None] + share * (lower - upper)[:, None]
    lightness = _at(picture, places.reshape(-1, 2))[:, 0].reshape(len(upper), -1)
    return np.asarray(np.median(lightness, axis=0), np.float32)


def _at(picture: FloatArray, points: NDArray[np.float64]) -> FloatArray:
    """[n, 3] colours of a picture at points [n, 2], between pixels."""
    places = points.astype(np.float32).reshape(-1, 1, 2)
    colours = cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colours[:, 0], np.float32)


def _logit(chance: float) -> float:
    kept = min(max(chance, 1e-9), 1 - 1e-9)
    return float(np.log(kept / (1 - kept)))
