"""From the network's faces back to frames. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame

Mask = NDArray[np.float32]

LOWER_TOP = 0.46
"""Where the lower-face mask is at half strength, as a share of the box height: at the nose, above the mouth."""
MATCH_TOP = 0.375
"""From here to the middle of the box colours are compared: both faces show the same there, beside what is pasted."""
MATCH_BLOCKS = 16
"""Blocks of pixels over the width whose means are compared: single pixels would take softness for low contrast."""
BLEND_ROWS = 32
"""Rows blended at a time: what they need stays in the cache, and no large memory is asked for."""
LEAST_FEATHER = 1e-3
"""A narrower border is a hard edge at half height."""
MAX_GAIN = 1.25
"""Contrast is changed by this factor at most when colours are matched."""
MAX_SHIFT = 24.0
"""Brightness is changed by this many levels at most."""


@dataclass(frozen=True)
class Finish:
    """How a generated face becomes part of its frame; see `Wav2LipConfig`."""

    paste: str = "lower"
    feather: float = 0.12
    colour_match: bool = True


def first_row_used(finish: Finish, size: int) -> int:
    """Rows of a generated face above this one are neither pasted nor looked at.

    Args:
        size: of the face, in pixels.
    """
    if finish.paste != "lower":
        return 0
    top = LOWER_TOP - finish.feather / 2 if finish.feather >= LEAST_FEATHER else 0.5
    reach = int(np.floor(top * size - 0.5)) - 1  # a cubic looks one pixel further
    return max(0, min(reach, int(MATCH_TOP * size)))


def to_faces_bgr(output: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[B, 3, H, S] in (0, 1) to [B, H, S, 3] uint8 BGR. Truncated, not rounded, as published."""
    return np.ascontiguousarray((output * np.float32(255)).astype(np.uint8).transpose(0, 2, 3, 1))


def paste_face(
    frame: Frame,
    face_bgr: NDArray[np.uint8],
    crop_bgr: NDArray[np.uint8],
    box_xyxy: Sequence[int] | NDArray[Any],
    finish: Finish,
    strength: float = 1.0,
) -> Frame:
    """Put a generated face into a copy of its frame.

    Args:
        frame: RGB uint8.
        face_bgr: [H, S, 3] uint8, what the network made, all of it or its lower rows down to the chin.
        crop_bgr: [S, S, 3] uint8, what the network saw.
        strength: in [0, 1]; 0 keeps the frame.
    """
    not_made = len(crop_bgr) - len(face_bgr)
    if not_made:
        face_bgr = np.concatenate([crop_bgr[:not_made], face_bgr])
    if finish.colour_match:
        face_bgr = match_colours(face_bgr, crop_bgr)
    if finish.paste == "box" and strength >= 1:
        return paste_box(frame, face_bgr, box_xyxy)
    feather = 0.0 if finish.paste == "box" else finish.feather
    return paste_lower_face(frame, face_bgr, box_xyxy, feather=feather, strength=strength)


def paste_box(frame: Frame, face_bgr: NDArray[np.uint8], box_xyxy: Sequence[int] | NDArray[Any]) -> Frame:
    """The published paste: the face resized to the box (bilinear, on uint8) replaces the whole box. A copy, RGB."""
    x1, y1, x2, y2 = (int(edge) for edge in box_xyxy)
    pasted = frame.copy()
    patch = cv2.resize(face_bgr, dsize=(x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    pasted[y1:y2, x1:x2] = patch[..., ::-1]
    return pasted


def paste_lower_face(
    frame: Frame,
    face_bgr: NDArray[np.uint8],
    box_xyxy: Sequence[int] | NDArray[Any],
    *,
    feather: float,
    strength: float = 1.0,
) -> Frame:
    """Blend the lower face into a copy of the frame; nothing above the nose and outside the box changes.

    Args:
        frame: RGB uint8.
        feather: width of the border, a share of the box.
        strength: in [0, 1]; 0 keeps the frame.
    """
    if strength <= 0:
        return frame
    x1, y1, x2, y2 = (int(edge) for edge in box_xyxy)
    width, height = x2 - x1, y2 - y1
    interpolation = cv2.INTER_CUBIC if height > face_bgr.shape[0] else cv2.INTER_AREA
    top, mask = _mask_rows(width, height, feather)
    if strength < 1:
        mask = mask * np.float32(strength)
    patch = cv2.resize(cv2.cvtColor(face_bgr, cv2.COLOR_BGR2RGB), dsize=(width, height), interpolation=interpolation)
    pasted = frame.copy()
    for row in range(top, height, BLEND_ROWS):
        rows = slice(row, row + BLEND_ROWS)
        region = pasted[y1:y2, x1:x2][rows]
        below = region.astype(np.float32)
        blended = patch[rows].astype(np.float32)
        blended -= below
        blended *= mask[row - top : row - top + BLEND_ROWS]
        blended += below
        blended += np.float32(0.5)
        region[...] = blended.astype(np.uint8)
    return pasted


@lru_cache(maxsize=16)
def _mask_rows(width: int, height: int, feather: float) -> tuple[int, Mask]:
    """The first row that is touched, and the mask from there on, [rows, width, 3]: planes side by side are fast."""
    mask = lower_face_mask(width, height, feather)
    top = int(np.argmax(mask.max(axis=1) > 0))
    rows = np.repeat(mask[top:, :, None], 3, axis=2)
    rows.setflags(write=False)
    return top, rows


@lru_cache(maxsize=64)
def lower_face_mask(width: int, height: int, feather: float) -> Mask:
    """1 in the lower face, falling to 0 at the sides, the bottom and towards the eyes. [height, width] float32.

    Args:
        feather: width of the soft border as a share of the box; 0 gives a hard edge at half height.
    """
    column = np.arange(width) + 0.5
    from_side = np.minimum(column, width - column) / width  # the same on both sides, to the bit
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    if feather < LEAST_FEATHER:
        mask: Mask = np.repeat((y >= 0.5).astype(np.float32)[:, None], width, axis=1)
    else:
        side = _smooth(from_side / feather)
        bottom = _smooth((1 - y) / (0.5 * feather))
        top = _smooth((y - LOWER_TOP) / feather + 0.5)
        mask = (np.minimum(top, bottom)[:, None] * side[None, :]).astype(np.float32)
    mask.setflags(write=False)
    return mask


def _smooth(value: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    v = np.clip(value, 0, 1).astype(np.float32)
    smooth: NDArray[np.float32] = v * v * (3 - 2 * v)
    return smooth


def match_colours(generated: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring a generated face to the colours of the source.

    The network sees the upper half, so that both show the same there; mean and contrast of its lowest rows tell what
    the network changed.

    Args:
        generated, source: [S, S, 3] uint8.
    Returns:
        [S, S, 3] uint8, a copy; gain and shift are bounded by MAX_GAIN and MAX_SHIFT.
    """
    made_mean, made_std = _mean_and_contrast(generated)
    mean, std = _mean_and_contrast(source)
    gain = np.clip((std + 1) / (made_std + 1), 1 / MAX_GAIN, MAX_GAIN)
    shift = np.clip(mean - gain * made_mean, -MAX_SHIFT, MAX_SHIFT)
    levels = np.arange(256)[:, None, None]
    table = np.clip(levels * gain + shift + 0.5, 0, 255).astype(np.uint8)  # [256, 1, 3]
    return np.asarray(cv2.LUT(generated, table.transpose(1, 0, 2)), np.uint8)


def _mean_and_contrast(face: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the blocks beside what is pasted, per channel, [3] float32 each."""
    size = face.shape[0]
    block = size // MATCH_BLOCKS
    beside = face[int(MATCH_TOP * size) : size // 2].astype(np.float32)
    blocks = beside.reshape(-1, block, MATCH_BLOCKS, block, 3).mean(axis=(1, 3))
    return blocks.mean(axis=(0, 1)), blocks.std(axis=(0, 1))
