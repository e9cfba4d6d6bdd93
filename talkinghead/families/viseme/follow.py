"""Follow a head through a video without jitter.

Detections say where the head is but tremble; optical flow says exactly how it moved but drifts. Here the flow gives
the fast part of the movement and the detections, averaged over about a second, the slow part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.anchors import Anchors
from talkinghead.families.viseme.rectify import cut_patch, similarity

SCALE_EYE_DISTANCE = 56.0
"""Eye distance in the small pictures in which movement is measured."""
PATCH = (144, 128)
PATCH_EYES = (72.0, 62.0)
MAX_POINTS = 90
MIN_POINTS = 10
CUT_DIFFERENCE = 45.0
"""Mean absolute difference of two small pictures, 0..255, above which they are not of one take."""


@dataclass(frozen=True, eq=False)
class HeadPath:
    """Where the head is in each frame; the unit of length is the eye distance."""

    centre: NDArray[np.float64]
    """[n, 2] pixels, middle between the eyes."""
    eye_distance: NDArray[np.float64]
    """[n] pixels."""
    angle: NDArray[np.float64]
    """[n] radians, direction from the left to the right eye."""
    take: NDArray[np.int32]
    """[n] number of the uninterrupted take that the frame belongs to."""

    def __len__(self) -> int:
        return len(self.eye_distance)

    def eyes(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eye centres [2] of a frame."""
        half = np.array([np.cos(self.angle[index]), np.sin(self.angle[index])]) * self.eye_distance[index] / 2
        return self.centre[index] - half, self.centre[index] + half


def pose_of(anchors: Anchors) -> NDArray[np.float64]:
    """[4] middle x, middle y, log eye distance, angle."""
    span = anchors.right_eye - anchors.left_eye
    middle = (anchors.left_eye + anchors.right_eye) / 2
    return np.array([middle[0], middle[1], np.log(max(anchors.eye_distance, 1e-3)), np.arctan2(span[1], span[0])])


class HeadFollower:
    """Collects frames one by one; `path` gives the result."""

    def __init__(self) -> None:
        self._seen: list[NDArray[np.float64]] = []  # [4] or NaN where the frame was not looked at
        self._trust: list[float] = []
        self._step: list[NDArray[np.float64] | None] = []  # [2, 3] from the previous frame, None at a cut
        self._previous: tuple[NDArray[np.uint8], NDArray[np.float64]] | None = None
        self._where: NDArray[np.float64] | None = None

    def add(self, frame: Frame, anchors: Anchors | None, hint: NDArray[np.float64]) -> None:
        """Take the next frame.

        Args:
            anchors: what was detected in it, if it was looked at.
            hint: [4] as `pose_of`, a rough place that always exists (from the face box).
        """
        import cv2

        self._seen.append(pose_of(anchors) if anchors is not None else np.full(4, np.nan))
        self._trust.append(0.0 if anchors is None else 1.0 if anchors.seen else 0.15)
        where = hint if self._where is None else self._where
        if np.hypot(*(where[:2] - hint[:2])) > 0.8 * np.exp(hint[2]):
            where = hint
        direction = np.array([np.cos(where[3]), np.sin(where[3])])
        to_patch = similarity(where[:2], direction, SCALE_EYE_DISTANCE / float(np.exp(where[2])), PATCH_EYES)
        patch = cut_patch(frame, to_patch, PATCH)
        grey = np.asarray(cv2.cvtColor(patch.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        step = None
        if self._previous is not None:
            step = _movement(self._previous[0], grey, self._previous[1], to_patch)
        self._step.append(step)
        if step is not None and self._where is not None:
            self._where = _moved(self._where, step)
            pull = 0.08  # keep the small picture on the face
            self._where[:2] += pull * (hint[:2] - self._where[:2])
        else:
            self._where = hint.copy()
        self._previous = (grey, to_patch)

    def path(self, fps: float) -> HeadPath:
        """Combine what was measured so far."""
        n = len(self._seen)
        take = np.cumsum([0 if i == 0 else int(step is None) for i, step in enumerate(self._step)]).astype(np.int32)
        result = np.zeros((n, 4))
        seen, trust = np.array(self._seen).reshape(n, 4), np.array(self._trust)
        for number in range(int(take[-1]) + 1 if n else 0):
            part = np.flatnonzero(take == number)
            chain = np.zeros((len(part), 4))
            known = part[trust[part] > 0]
            chain[0] = seen[known[0]] if len(known) else 0.0
            for k in range(1, len(part)):
                step = self._step[part[k]]
                assert step is not None
                chain[k] = _moved(chain[k - 1], step)
            residual = np.where(trust[part, None] > 0, seen[part] - chain, 0.0)
            result[part] = chain + weighted_smooth(residual, trust[part], 0.9 * fps)
        return HeadPath(result[:, :2], np.exp(result[:, 2]), result[:, 3], take)


def _moved(pose: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose [4] after a similarity [2, 3] of the picture."""
    point = step[:, :2] @ pose[:2] + step[:, 2]
    scale = float(np.hypot(step[0, 0], step[1, 0]))
    turn = float(np.arctan2(step[1, 0], step[0, 0]))
    return np.array([point[0], point[1], pose[2] + np.log(scale), pose[3] + turn])


def _movement(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    to_before: NDArray[np.float64],
    to_after: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Similarity [2, 3] from pixels of the previous frame to this frame's, or None across a cut."""
    import cv2

    if float(np.abs(before.astype(np.int16) - after).mean()) > CUT_DIFFERENCE:
        return None
    mask = np.zeros_like(before)
    mask[14:100, 18:126] = 255  # brows, eyes and nose; not the mouth
    points = cv2.goodFeaturesToTrack(before, MAX_POINTS, 0.01, 4, mask=mask)
    if points is None or len(points) < MIN_POINTS:
        return _in_picture(np.eye(3)[:2], to_before, to_after)
    moved, ok, _ = cv2.calcOpticalFlowPyrLK(before, after, points, np.zeros_like(points), winSize=(15, 15), maxLevel=2)
    back, ok2, _ = cv2.calcOpticalFlowPyrLK(after, before, moved, np.zeros_like(points), winSize=(15, 15), maxLevel=2)
    good = (ok[:, 0] > 0) & (ok2[:, 0] > 0) & (np.abs(back - points).max(axis=(1, 2)) < 0.7)
    if int(good.sum()) < MIN_POINTS:
        return _in_picture(np.eye(3)[:2], to_before, to_after)
    cv2.setRNGSeed(1)
    fitted, inliers = cv2.estimateAffinePartial2D(points[good], moved[good], ransacReprojThreshold=1.0)
    if fitted is None or int(inliers.sum()) < MIN_POINTS:
        return _in_picture(np.eye(3)[:2], to_before, to_after)
    return _in_picture(fitted, to_before, to_after)


def _in_picture(
    step: NDArray[np.float64], to_before: NDArray[np.float64], to_after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A movement between small pictures as one between the frames that they were cut from."""
    square = [np.vstack([matrix, [0.0, 0.0, 1.0]]) for matrix in (to_before, step, to_after)]
    result: NDArray[np.float64] = (np.linalg.inv(square[2]) @ square[1] @ square[0])[:2]
    return result


def weighted_smooth(values: NDArray[np.float64], weight: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Gaussian smoothing of rows [n, d] over time, with the weight of each row [n]; ends are not drawn inwards."""
    n = len(values)
    reach = min(max(1, int(np.ceil(3 * sigma))), max(n - 1, 1))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    weight = np.maximum(weight, 1e-9)
    total = np.convolve(weight, kernel, mode="full")[reach : reach + n]
    flat = values.reshape(n, -1)
    sums = np.stack(
        [np.convolve(flat[:, j] * weight, kernel, mode="full")[reach : reach + n] for j in range(flat.shape[1])], axis=1
    )
    smooth: NDArray[np.float64] = (sums / total[:, None]).reshape(values.shape)
    return smooth


__all__ = ["FloatArray", "HeadFollower", "HeadPath", "pose_of", "weighted_smooth"]
