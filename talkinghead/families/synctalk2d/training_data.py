"""What an avatar is trained with: crops on disk, rows of sound, where the mouth is, and which frames look alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray
from talkinghead.families.synctalk2d.crop import crop_box, inner_picture, resize_crop, resize_filters
from talkinghead.families.synctalk2d.features import window_rows
from talkinghead.families.synctalk2d.template import TemplateFolder
from talkinghead.families.synctalk2d.variants import BORDER_PX, Variant
from talkinghead.files import unwritable
from talkinghead.places import partial_name

LIPS = slice(90, 110)
"""Landmarks of the lips, outside and inside."""
STEADY = (*range(0, 5), *range(28, 33), *range(51, 66), *range(66, 74), *range(78, 86))
"""Landmarks that do not move with the mouth: temples, nose, eyes."""
MOUTH_ACROSS, MOUTH_UP = 0.85, 0.70
"""Half axes of the mouth's ellipse, in widths of the lips."""
APART = 25
"""A reference lies at least so many frames away: nearer ones show nearly the same mouth."""
ALIKE = 24
"""How many references of the same pose a frame has."""
HELD_OUT = 0.1
"""Share of the video, at its end, that is never learned from."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Frames and sound of one person."""

    variant: Variant
    crops: NDArray[np.uint8]
    """[N, P, P, 3] BGR, a memory map: the network's picture of every frame."""
    rows: tuple[FloatArray, ...]
    """[M, row_size] float32 each, M at least N: rows of the sound, first as it is, then as other voices."""
    mouths: FloatArray
    """[N, 4] float32: middle and half axes of the mouth's ellipse, pixels of the crop."""
    poses: FloatArray
    """[N, D] float32: where steady landmarks lie in the crop."""
    usable: NDArray[np.bool_]
    """[N] whether a face was seen."""

    @property
    def num_frames(self) -> int:
        return len(self.crops)

    @property
    def first_held_out(self) -> int:
        """From this frame on, nothing is learned from."""
        return self.num_frames - max(1, round(self.num_frames * HELD_OUT))

    @cached_property
    def learned(self) -> NDArray[np.int64]:
        """Frames that are learned from: usable, and none of whose sound is that of held-out frames."""
        last = self.first_held_out - self.variant.audio.window_rows
        return np.flatnonzero(self.usable[: max(last, 1)])

    @cached_property
    def held_out(self) -> NDArray[np.int64]:
        """Frames that are measured."""
        return np.flatnonzero(self.usable[self.first_held_out :]) + self.first_held_out

    @cached_property
    def alike(self) -> NDArray[np.int64]:
        """[N, K]: for every frame, learned frames of about the same pose, from the most similar on."""
        pool = self.learned
        poses = self.poses[pool]
        count = max(1, min(ALIKE, len(pool)))
        found = np.empty((self.num_frames, count), np.int64)
        norms = np.square(poses).sum(axis=1)
        for k in range(self.num_frames):
            far = norms - 2 * poses @ self.poses[k]
            far = np.where(np.abs(pool - k) >= min(APART, len(pool) // 4), far, np.inf)
            nearest = np.argpartition(far, count - 1)[:count]
            found[k] = pool[nearest[np.argsort(far[nearest], kind="stable")]]
        return found

    def windows(self, frames: IntArray | NDArray[np.int64], voices: NDArray[np.int64]) -> FloatArray:
        """Windows of sound, [n, *input_shape]; `voices` says for each frame which rows."""
        audio = self.variant.audio
        out = np.empty((len(frames), audio.window_rows, audio.row_size), np.float32)
        for k, (frame, voice) in enumerate(zip(frames.tolist(), voices.tolist(), strict=True)):
            rows = self.rows[voice]
            index = window_rows(len(rows), [frame], audio.window_rows)[0]
            out[k] = rows[np.maximum(index, 0)]
            out[k][index < 0] = 0
        return out.reshape(len(frames), *audio.input_shape)

    def masks(self, frames: IntArray | NDArray[np.int64]) -> FloatArray:
        """[n, P, P] float32: 1 at the mouth, 0 outside, a soft edge between."""
        side = np.arange(self.variant.size.inner_px, dtype=np.float32) + 0.5
        x, y, across, up = self.mouths[frames].T[..., None]
        squares = (((side - x) / across) ** 2)[:, None, :] + (((side - y) / up) ** 2)[:, :, None]
        mask: FloatArray = np.clip(3.0 - 2.0 * np.sqrt(squares), 0.0, 1.0).astype(np.float32)
        return mask


@dataclass(frozen=True, eq=False)
class Places:
    """Where things are in the crops of a template folder."""

    mouths: FloatArray
    poses: FloatArray
    jumps: NDArray[np.int64]
    """Frames whose square lies far from that of the frame before."""


def find_places(template: TemplateFolder, variant: Variant, size: tuple[int, int], jump: float) -> Places:
    """Read all landmarks.

    Args:
        size: (width, height) of the frames.
        jump: share of its side by which a square moves that jumps.
    """
    inner, crop = variant.size.inner_px, variant.size.crop_px
    mouths, poses, corners, sides = [], [], [], []
    for k in range(template.num_frames):
        points = template.read_landmarks(k)
        box = crop_box(points, *size, source=str(template.landmarks[k]))
        scale = crop / np.array(box.size, np.float64)
        placed = (points - np.array([box.x1, box.y1])) * scale - BORDER_PX
        lips = placed[LIPS]
        middle, width = (lips.min(axis=0) + lips.max(axis=0)) / 2, max(float(np.ptp(lips[:, 0])), inner * 0.1)
        mouths.append([*middle, MOUTH_ACROSS * width, MOUTH_UP * width])
        poses.append((placed[list(STEADY)] / inner).ravel())
        corners.append((box.x1, box.y1))
        sides.append(box.x2 - box.x1)
    moved = np.abs(np.diff(np.array(corners), axis=0)).max(axis=1, initial=0) > jump * np.array(sides[1:])
    return Places(np.array(mouths, np.float32), np.array(poses, np.float32), np.flatnonzero(moved) + 1)


def cut_crops(
    template: TemplateFolder, variant: Variant, path: Path, tell: Callable[[int, int], None]
) -> NDArray[np.uint8]:
    """The network's picture of every frame, written once into a .npy file and read as a memory map.

    Raises:
        UnwritableOutput: no room.
    """
    if not path.is_file():
        side = variant.size.inner_px
        partial = path.with_name(partial_name(path.name))
        filters = resize_filters(variant.size)
        try:
            out = np.lib.format.open_memmap(partial, "w+", np.uint8, (template.num_frames, side, side, 3))

            def cut(k: int) -> None:
                frame = template.read_frame(k)
                box = crop_box(template.read_landmarks(k), frame.shape[1], frame.shape[0])
                out[k] = inner_picture(resize_crop(frame, box, variant.size, filters))[:, :, ::-1]

            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                for done, _ in enumerate(pool.map(cut, range(template.num_frames)), start=1):
                    tell(done, template.num_frames)
            out.flush()
            del out
            partial.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            partial.unlink(missing_ok=True)
    mapped: Any = np.lib.format.open_memmap(path, "r")
    return mapped  # type: ignore[no-any-return]
