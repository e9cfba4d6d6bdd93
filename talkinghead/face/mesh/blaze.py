"""BlazeFace, short range: what its two outputs mean.

Source: Bazarevsky et al. 2019; MediaPipe's `face_detection_short_range` (128 x 128 pixels in [-1, 1], 896 anchors of
fixed size, boxes that overlap by more than 0.3 are averaged by score).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.face.identity import overlap

INPUT_PX = 128
GRIDS = ((16, 2), (8, 6))
"""Cells along a side, and anchors of each cell."""
NUM_ANCHORS = sum(cells * cells * each for cells, each in GRIDS)
NUM_KEY_POINTS = 6
"""Left eye, right eye, nose, mouth, left and right ear (of the image)."""
MERGE_OVERLAP = 0.3
MAX_LOGIT = 100.0


@dataclass(frozen=True, eq=False)
class Found:
    """A face in the picture that the network saw."""

    box: NDArray[np.float64]
    """(x1, y1, x2, y2), in shares of the picture's side; may leave it."""
    key_points: NDArray[np.float64]
    """[6, 2], the same unit."""
    score: float


@cache
def anchors() -> NDArray[np.float64]:
    """[896, 2] middles (x, y) of the anchors, as shares of the picture's side; row by row, the fine grid first."""
    grids = []
    for cells, each in GRIDS:
        middles = (np.arange(cells) + 0.5) / cells
        rows = np.stack(np.broadcast_arrays(middles[None, :], middles[:, None]), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(rows, each, axis=0))
    return np.concatenate(grids)


def faces(scores: NDArray[Any], regressors: NDArray[Any], min_score: float) -> list[Found]:
    """Faces from the network's outputs, best score first.

    Args:
        scores: [896] logits. regressors: [896, 16]: middle, size and six points, in pixels of the input, from the
            anchor's middle.
    """
    chance = 1.0 / (1.0 + np.exp(-np.clip(scores.astype(np.float64), -MAX_LOGIT, MAX_LOGIT)))
    kept = np.flatnonzero(chance >= min_score)
    kept = kept[np.argsort(-chance[kept], kind="stable")]
    values = regressors[kept].astype(np.float64).reshape(len(kept), 2 + NUM_KEY_POINTS, 2) / INPUT_PX
    origins = anchors()[kept]
    middles, sizes, points = values[:, 0] + origins, values[:, 1], values[:, 2:] + origins[:, None]
    boxes = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)
    return _merged(boxes, points, chance[kept])


def _merged(boxes: NDArray[np.float64], points: NDArray[np.float64], chance: NDArray[np.float64]) -> list[Found]:
    """Each best box with all that overlap it, averaged by score."""
    found = []
    single = boxes.astype(np.float32)
    left = np.arange(len(boxes))
    while len(left):
        near = overlap(single[left[:1]], single[left])[0] > MERGE_OVERLAP
        near[0] = True
        group = left[near]
        weights = chance[group] / chance[group].sum()
        found.append(
            Found(
                np.tensordot(weights, boxes[group], axes=1),
                np.tensordot(weights, points[group], axes=1),
                float(chance[left[0]]),
            )
        )
        left = left[~near]
    return found
