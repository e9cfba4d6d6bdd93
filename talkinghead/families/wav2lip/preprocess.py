"""From frames and boxes to what the network sees, and the published rules for boxes. Pure functions.

Boxes here are (x1, y1, x2, y2), half open; published files hold (y1, y2, x1, x2), see `to_coords` and `from_coords`.
Pictures of this module are BGR: the network was trained on what OpenCV reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame

SMOOTHING_FRAMES = 5
"""Window of the published smoothing."""


def face_crop_bgr(frame: Frame, box_xyxy: Sequence[int] | NDArray[Any], size: int) -> NDArray[np.uint8]:
    """The face as the network takes it: [size, size, 3] uint8 BGR, bilinear also when it shrinks, as published.

    Args:
        frame: RGB uint8 [H, W, 3].
        box_xyxy: inside the frame, not empty.
    """
    x1, y1, x2, y2 = (int(edge) for edge in box_xyxy)
    face = cv2.resize(frame[y1:y2, x1:x2], dsize=(size, size), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(face[..., ::-1])


def network_faces(faces_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Masked and whole faces, scaled: [B, S, S, 3] uint8 to [B, 6, S, S] float32 in [0, 1].

    Channels are B, G, R with the lower half black, then B, G, R. The division is by 255 in float32, which equals the
    published float64 division for all 256 values (a product with 1 / 255 would not).
    """
    batch, size = faces_bgr.shape[:2]
    planes = np.empty((batch, 6, size, size), np.float32)
    np.divide(faces_bgr.transpose(0, 3, 1, 2), np.float32(255), out=planes[:, 3:], dtype=np.float32)
    planes[:, :3, : size // 2] = planes[:, 3:, : size // 2]
    planes[:, :3, size // 2 :] = 0
    return planes


# Published box rules --------------------------------------------------------------------------------------------------


def pad_rects(rects: NDArray[Any], pads: tuple[int, int, int, int], width: int, height: int) -> NDArray[np.int64]:
    """Padded and clipped boxes of a detector.

    Args:
        rects: [n, 4] integers, (x1, y1, x2, y2).
        pads: top, bottom, left, right.
    Returns:
        [n, 4] int64.
    """
    top, bottom, left, right = pads
    x1, y1, x2, y2 = np.asarray(rects, np.int64).T
    return np.stack(
        [
            np.maximum(0, x1 - left),
            np.maximum(0, y1 - top),
            np.minimum(width, x2 + right),
            np.minimum(height, y2 + bottom),
        ],
        axis=1,
    )


def smooth_rects(rects: NDArray[Any], window: int = SMOOTHING_FRAMES) -> NDArray[np.int64]:
    """The published smoothing: forward means, truncated, in place.

    Kept from it: row i becomes the mean of rows i .. i + window - 1, rows before it being smoothed already; near the
    end the last `window` rows are taken, some of them smoothed. With n < window rows the published slice begins at
    n - window, counted from the end: four rows all become the last one.
    """
    boxes = np.array(rects, np.int64)
    n = len(boxes)
    for i in range(n):
        part = boxes[n - window :] if i + window > n else boxes[i : i + window]
        boxes[i] = np.mean(part, axis=0)
    return boxes


def to_coords(boxes_xyxy: NDArray[Any]) -> NDArray[np.int64]:
    """(x1, y1, x2, y2) to the order of published files: (y1, y2, x1, x2)."""
    return np.asarray(boxes_xyxy, np.int64)[:, [1, 3, 0, 2]]


def from_coords(coords_yyxx: NDArray[Any]) -> NDArray[np.int32]:
    """(y1, y2, x1, x2) to (x1, y1, x2, y2)."""
    return np.asarray(coords_yyxx)[:, [2, 0, 3, 1]].astype(np.int32)


def mirror_index(index: NDArray[np.int64], num_frames: int) -> NDArray[np.int64]:
    """Frames shown by LiveTalking at `index`: forwards, then backwards, the end frames twice in a row. [n] int64."""
    turn, rest = np.divmod(index, num_frames)
    return np.where(turn % 2 == 0, rest, num_frames - 1 - rest)
