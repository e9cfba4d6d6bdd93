"""The annotations of a dataset folder: landmarks, face parsing, statistics of the recording.

Training used them; rendering does not. Here they tell measures where the lips are (`talkinghead evaluate --scene`), and
keep the reader complete for whoever continues training elsewhere. In a `.lms` file column 0 is x and column 1 is y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import MediaNotFound, UnreadableMedia
from talkinghead.families.talkinggaussian.scene import BLINK_MAX, PosedFrame, read_columns, read_rgb
from talkinghead.reading import read_npy, read_text, reading
from talkinghead.rendering.cameras import world_to_camera

NUM_LANDMARKS = 68
MAX_LANDMARK_BYTES = 100_000
NOSE_BOTTOM = slice(31, 36)
OUTER_LIPS = slice(48, 60)
INNER_LIPS = slice(60, 68)
RADIUS_MARGIN = 1.1
AU25_CLIP_PERCENTILE = 95

Rows = tuple[int, int, int, int]
"""(first row, last row, first column, last column) in pixels."""


def read_landmarks(path: Path) -> NDArray[np.float32]:
    """[68, 2] float32 x and y in pixels.

    Raises:
        MediaNotFound, UnreadableMedia: not there, or not 68 points.
    """
    if not path.is_file():
        raise MediaNotFound(f"There are no landmarks {path}.", accepted="ori_imgs/<img_id>.lms of the preprocessing")
    accepted = f"{NUM_LANDMARKS} lines of x y"
    text = read_text(path, error=UnreadableMedia, accepted=accepted, max_bytes=MAX_LANDMARK_BYTES)
    with reading(path, UnreadableMedia, what="does not hold landmarks", accepted=accepted):
        rows = [[float(word) for word in line.partition("#")[0].split()] for line in text.splitlines()]
        points = np.array([row for row in rows if row], np.float32)
    if points.shape != (NUM_LANDMARKS, 2) or not np.isfinite(points).all():
        raise UnreadableMedia(f"{path} holds {list(points.shape)} numbers.", accepted=accepted)
    return points


def lips_rect(landmarks: NDArray[np.float32]) -> Rows:
    """Square around the outer lips. Kept from the published reader: truncated limits, floored halves."""
    rows, columns = landmarks[OUTER_LIPS, 1], landmarks[OUTER_LIPS, 0]
    r0, r1, c0, c1 = (int(value) for value in (rows.min(), rows.max(), columns.min(), columns.max()))
    row, column, half = (r0 + r1) // 2, (c0 + c1) // 2, max(r1 - r0, c1 - c0) // 2
    return row - half, row + half, column - half, column + half


def recorded_lips(folder: Path, poses: str) -> list[tuple[int, int, int, int]]:
    """Square around the lips in each frame of a recording, (x1, y1, x2, y2).

    Args:
        poses: "train", "val", or a transforms file: which frames.
    """
    from talkinghead.families.talkinggaussian.pipeline import poses_path
    from talkinghead.families.talkinggaussian.scene import read_poses

    boxes = []
    for frame in read_poses(poses_path(folder, poses)).frames:
        row0, row1, column0, column1 = lips_rect(read_landmarks(folder / "ori_imgs" / f"{frame.img_id}.lms"))
        boxes.append((column0, row0, column1, row1))
    return boxes


def lower_half_rect(landmarks: NDArray[np.float32]) -> Rows:
    """From below the nose to the chin, over the width of the face."""
    rows, columns = landmarks[:, 1], landmarks[:, 0]
    return int(rows[NOSE_BOTTOM].min()), int(rows.max()), int(columns.min()), int(columns.max())


def inner_lip_height(landmarks: NDArray[np.float32]) -> int:
    """Rows that the inner lips span."""
    rows = landmarks[INNER_LIPS, 1]
    return int(rows.max()) - int(rows.min())


def mouth_bounds(heights: Sequence[int]) -> NDArray[np.int32]:
    """[n, 3] int32: smallest and largest inner lip height of the recording, and that of each frame."""
    values = np.asarray(heights, np.int32)
    return np.stack([np.full_like(values, values.min()), np.full_like(values, values.max()), values], axis=1)


@dataclass(frozen=True, eq=False)
class Masks:
    """Parts of a frame, each [H, W] bool."""

    face: NDArray[np.bool_]
    hair: NDArray[np.bool_]
    mouth: NDArray[np.bool_]


def read_masks(folder: Path, img_id: int) -> Masks:
    """Parts of a frame by the colours of its parsing picture and its teeth mask.

    Raises:
        MediaError: one is missing or damaged.
    """
    parsing = read_rgb(folder / "parsing" / f"{img_id}.png").astype(np.int16)
    path = folder / "teeth_mask" / f"{img_id}.npy"
    if not path.is_file():
        raise MediaNotFound(f"There is no teeth mask {path}.")
    with reading(path, UnreadableMedia, what="is not a mask"):
        teeth = read_npy(path, error=UnreadableMedia).astype(bool)
    red, green, blue = (parsing[..., channel] for channel in range(3))
    if teeth.shape != red.shape:
        raise UnreadableMedia(f"{path} is {list(teeth.shape)}, the parsing {list(red.shape)}.")
    face = (blue > 254) & (red == 0) & (green == 0)
    hair: NDArray[np.bool_] = np.asarray((parsing < 1).all(axis=2))
    mouth: NDArray[np.bool_] = np.asarray((parsing == 100).all(axis=2) | teeth)
    return Masks(np.asarray(face ^ teeth), hair, mouth)


def blink(action_unit_45: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 open to 1 closed."""
    return np.clip(action_unit_45, 0, BLINK_MAX) / BLINK_MAX


def lips_part(action_unit_25: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 5]: AU25 of each frame, its quartiles and largest value over the recording, outliers cut off."""
    cut = np.clip(action_unit_25, 0, np.percentile(action_unit_25, AU25_CLIP_PERCENTILE))
    shared = [*np.percentile(cut, (25, 50, 75)), cut.max()]
    return np.column_stack([cut, np.tile(shared, (len(cut), 1))])


def read_column(path: Path, name: str) -> NDArray[np.float64]:
    """One column of an OpenFace table by its name, blanks stripped."""
    return read_columns(path, (name,))[:, 0]


def camera_radius(frames: Sequence[PosedFrame]) -> float:
    """Radius of the ball that holds all cameras, with a margin; the learning rate's unit of length."""
    centres = []
    for frame in frames:
        rotation, translation = world_to_camera(frame.pose)
        centres.append(-rotation @ translation)
    middle = np.mean(centres, axis=0)
    return float(np.max(np.linalg.norm(np.array(centres) - middle, axis=1)) * RADIUS_MARGIN)
