"""Dataset folders of trained heads: camera poses, action units, the picture behind the head.

    ID/
      transforms_train.json, transforms_val.json   focal length and one camera pose per frame
      bc.jpg                                       background
      torso_imgs/<img_id>.png                      shoulders, RGBA, laid over the background
      au.csv                                       OpenFace action units, row img_id

Everything else in such a folder (ori_imgs, parsing, teeth_mask, gt_imgs, features) was for training and is not needed.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.engine.lru import Lru
from talkinghead.errors import MediaNotFound, UnreadableMedia
from talkinghead.media.pictures import read_stored
from talkinghead.reading import bounded_lines, read_json, reading, reason
from talkinghead.rendering.cameras import Camera, camera_from_pose
from talkinghead.rendering.jit import kernel

FPS = 25
"""Frames per second of every scene."""
AU_COLUMNS = ("AU01_r", "AU04_r", "AU05_r", "AU06_r", "AU07_r", "AU45_r")
"""Action units that the face network knows, in its order; the last one is the blink."""
BLINK_MAX = 2.0
"""The blink is limited to this, the others are taken as they are."""
SPLITS = ("train", "val")
MAX_FRAMES = 1_000_000
CACHE_BYTES = 256 * 1024 * 1024
"""Composited backgrounds that are kept."""


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """One frame of the recording that the head was trained on."""

    img_id: int
    """Number of the frame: its torso picture, its row of action units and of features."""
    pose: NDArray[np.float64]
    """[4, 4] float64 camera-to-world matrix, OpenGL axes."""


@dataclass(frozen=True, eq=False)
class Poses:
    """One `transforms_*.json`."""

    path: Path
    focal_px: float
    frames: tuple[PosedFrame, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def camera(self, index: int, size: tuple[int, int]) -> Camera:
        """Camera of frame `index` of the list. The file's `cx`, `cy` are ignored, as published."""
        return camera_from_pose(self.frames[index].pose, self.focal_px, size)


def read_poses(path: Path) -> Poses:
    """Read a `transforms_*.json`.

    Raises:
        MediaNotFound: no such file. UnreadableMedia: not JSON, no frames, or a pose that is not a finite matrix.
    """
    if not path.is_file():
        raise MediaNotFound(f"There is no {path}.", accepted="a scene folder with transforms_train.json and _val.json")
    data = read_json(path, error=UnreadableMedia)
    if not isinstance(data, dict) or not isinstance(data.get("frames"), list):
        raise UnreadableMedia(f"{path} has no list of frames.", accepted='{"focal_len": ..., "frames": [...]}')
    focal = data.get("focal_len")
    if isinstance(focal, bool) or not isinstance(focal, (int, float)) or not (math.isfinite(focal) and focal > 0):
        raise UnreadableMedia(f"{path}: focal_len is {focal!r}.", accepted="pixels, more than 0")
    frames = data["frames"]
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise UnreadableMedia(f"{path} has {len(frames)} frames.", accepted=f"1 to {MAX_FRAMES}")
    return Poses(path, float(focal), tuple(_posed_frame(path, index, item) for index, item in enumerate(frames)))


def _posed_frame(path: Path, index: int, item: Any) -> PosedFrame:
    where = f"{path}: frame {index}"
    if not isinstance(item, dict):
        raise UnreadableMedia(f"{where} is not an object.")
    img_id = item.get("img_id")
    if isinstance(img_id, bool) or not isinstance(img_id, int) or img_id < 0:
        raise UnreadableMedia(f"{where}: img_id is {img_id!r}.", accepted="a whole number from 0")
    try:
        pose = np.array(item.get("transform_matrix"), np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (4, 4):
        raise UnreadableMedia(f"{where} (img_id {img_id}): transform_matrix is not 4 x 4.")
    if not np.isfinite(pose).all():
        raise UnreadableMedia(f"{where} (img_id {img_id}): transform_matrix holds values that are not finite.")
    if abs(np.linalg.det(pose[:3, :3])) < 1e-6 or np.abs(pose).max() > 1e6:
        raise UnreadableMedia(f"{where} (img_id {img_id}): transform_matrix is not a camera pose.")
    return PosedFrame(img_id, pose)


def read_action_units(path: Path) -> FloatArray:
    """Read an OpenFace table.

    Args:
        path: CSV with a header; blanks around names do not matter.
    Returns:
        [rows, 6] float32, AU_COLUMNS, the blink limited to [0, BLINK_MAX]. Row 0 is the first line after the header.
    Raises:
        MediaNotFound: no such file. UnreadableMedia: a column is missing, a line is short or not a number.
    """
    if not path.is_file():
        raise MediaNotFound(f"There is no {path}.", remedy="--expression neutral needs no action units")
    table = read_columns(path, AU_COLUMNS)
    if not len(table):
        raise UnreadableMedia(f"{path} has a header but no rows.")
    table[:, -1] = np.clip(table[:, -1], 0, BLINK_MAX)
    return table.astype(np.float32)


def read_columns(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Some columns of an OpenFace table by their names, blanks stripped: [rows, names].

    Raises:
        UnreadableMedia: a column is missing, a line is short or not a number, or there are more than MAX_FRAMES.
    """
    values = array("d")
    with reading(path, UnreadableMedia), path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(bounded_lines(file))
        header = [name.strip() for name in next(lines, [])]
        missing = [name for name in names if name not in header]
        if missing:
            raise UnreadableMedia(
                f"{path} has no column {', '.join(missing)}.", accepted="the table that OpenFace writes (-aus)"
            )
        columns = [header.index(name) for name in names]
        for number, line in enumerate(lines, start=2):
            if number > MAX_FRAMES:
                raise UnreadableMedia(f"{path} has more than {MAX_FRAMES} rows.")
            if line:
                values.extend(_au_row(path, number, line, columns))
    return np.array(values, np.float64).reshape(-1, len(names))


def _au_row(path: Path, number: int, line: Sequence[str], columns: Sequence[int]) -> list[float]:
    try:
        values = [float(line[column]) for column in columns]
    except (IndexError, ValueError) as error:
        raise UnreadableMedia(f"{path}, line {number}: not a row of numbers ({reason(error)}).") from error
    if not all(math.isfinite(value) and abs(value) < 1e6 for value in values):
        raise UnreadableMedia(f"{path}, line {number}: an action unit is not finite.")
    return values


def read_rgb(path: Path) -> Frame:
    """Picture as stored, EXIF orientation ignored as in the published reader: RGB uint8 [H, W, 3]."""
    return np.ascontiguousarray(read_stored(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[..., ::-1])


def read_rgba(path: Path) -> NDArray[np.uint8]:
    """Picture with straight alpha, [H, W, 4] uint8 RGBA; opaque where the file has no alpha."""
    stored = read_stored(path, cv2.IMREAD_UNCHANGED)
    if stored.dtype != np.uint8:
        raise UnreadableMedia(f"{path} has {stored.dtype} pixels.", accepted="8 bits per channel")
    if stored.ndim == 2:
        stored = np.repeat(stored[..., None], 3, axis=2)
    if stored.shape[2] == 3:
        stored = np.concatenate([stored, np.full_like(stored[..., :1], 255)], axis=2)
    return np.ascontiguousarray(stored[..., [2, 1, 0, 3]])


def lay_over_reference(torso: NDArray[np.uint8], background: Frame) -> Frame:
    """Straight-alpha torso over a background, as published: float64, then truncated to uint8.

    Args:
        torso: [H, W, 4] uint8 RGBA. background: [H, W, 3] uint8.
    """
    alpha = torso[..., 3:].astype(np.float64)
    color = torso[..., :3].astype(np.float64)
    blended: Frame = (color * alpha / 255.0 + background * (1.0 - alpha / 255.0)).astype(np.uint8)
    return blended


@kernel
def _lay_over_pixels(torso: Any, background: Any, out: Any) -> None:
    for pixel in range(len(out)):
        alpha = np.float64(torso[pixel, 3])
        through = 1.0 - alpha / 255.0
        for channel in range(3):
            value = np.float64(torso[pixel, channel]) * alpha / 255.0 + np.float64(background[pixel, channel]) * through
            out[pixel, channel] = np.uint8(value)


def lay_over(torso: NDArray[np.uint8], background: Frame) -> Frame:
    """`lay_over_reference`, compiled; the same bytes."""
    out = np.empty(background.shape, np.uint8)
    _lay_over_pixels(torso.reshape(-1, 4), background.reshape(-1, 3), out.reshape(-1, 3))
    return out


class Backdrop:
    """What stands behind the head in each frame of the recording; thread-safe, memory limited.

    Args:
        scene: the folder.
        background: picture under the torso; None is the scene's `bc.jpg`. It is scaled and cut to the scene's size.
        torso: lay the torso pictures over it.
    """

    def __init__(
        self, scene: Path, *, background: Path | None = None, torso: bool = True, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._scene = scene
        self._torso = torso
        own = read_rgb(scene / "bc.jpg")
        self._base = own if background is None else cover(read_rgb(background), own.shape[1], own.shape[0])
        self._kept: Lru[int, Frame] = Lru(max(1, cache_bytes // max(1, own.nbytes)))
        self._lock = Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        height, width = self._base.shape[:2]
        return width, height

    def torso_path(self, img_id: int) -> Path:
        return self._scene / "torso_imgs" / f"{img_id}.png"

    def check(self, frames: Sequence[PosedFrame]) -> None:
        """Raise MediaNotFound if a torso picture of these frames is missing."""
        if not self._torso:
            return
        missing = [frame.img_id for frame in frames if not self.torso_path(frame.img_id).is_file()]
        if missing:
            names = ", ".join(str(number) for number in missing[:8]) + (", ..." if len(missing) > 8 else "")
            raise MediaNotFound(
                f"{self._scene / 'torso_imgs'} lacks the pictures of {len(missing)} frames: {names}.",
                remedy="--no-torso shows the head alone over bc.jpg",
            )

    def frame(self, img_id: int) -> Frame:
        """RGB uint8 [H, W, 3]; do not modify.

        Raises:
            MediaError: the torso picture is missing, damaged or of another size.
        """
        if not self._torso:
            return self._base
        with self._lock:
            kept = self._kept.find(img_id)
        if kept is not None:
            return kept
        torso = read_rgba(self.torso_path(img_id))
        if torso.shape[:2] != self._base.shape[:2]:
            raise UnreadableMedia(
                f"{self.torso_path(img_id)} is {torso.shape[1]}x{torso.shape[0]}, "
                f"bc.jpg {self.size[0]}x{self.size[1]}.",
                accepted="pictures of one size in a scene",
            )
        made = lay_over(torso, self._base)
        with self._lock:
            self._kept.keep(img_id, made)
        return made


def cover(picture: Frame, width: int, height: int) -> Frame:
    """Scale a picture until it covers width x height, then cut the middle out."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    scaled_size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    scaled = cv2.resize(picture, dsize=scaled_size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (scaled_size[0] - width) // 2, (scaled_size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def scene_folder(source: str | Path) -> Path:
    """Check that a path is a scene folder.

    Raises:
        MediaNotFound: it is not.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise MediaNotFound(
            f"{folder} is not a folder.", accepted="a scene folder with transforms_*.json, bc.jpg, torso_imgs, au.csv"
        )
    if not any((folder / f"transforms_{split}.json").is_file() for split in SPLITS):
        raise MediaNotFound(
            f"{folder} has neither transforms_train.json nor transforms_val.json.", accepted="a dataset folder"
        )
    return folder


def action_units_of(table: FloatArray, frames: Sequence[PosedFrame], path: Path) -> FloatArray:
    """Rows of the frames' `img_id`, [n, 6] float32.

    Raises:
        UnreadableMedia: the table is shorter than the recording.
    """
    ids = np.array([frame.img_id for frame in frames], np.int64)
    if len(ids) and ids.max() >= len(table):
        raise UnreadableMedia(
            f"{path} has {len(table)} rows, but the frames go up to img_id {int(ids.max())}.",
            accepted="one row per frame of the recording",
            remedy="--expression neutral",
        )
    return table[ids]
