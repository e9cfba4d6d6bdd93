"""Mouth over background, face over mouth, and the step to 8 bits."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.cores import available_cores
from talkinghead.rendering.jit import chunks, kernel, spread

F = np.float32
DILATION = 13
"""Side in pixels of the window of `dilate`."""
BYTE_VALUES = np.arange(256, dtype=np.float32) / F(255)
"""Byte to [0, 1]."""


def dilate(alpha: FloatArray) -> FloatArray:
    """Largest value in a 13 x 13 window around each pixel; at the border the window shrinks. [H, W] float32."""
    return np.asarray(cv2.dilate(alpha, np.ones((DILATION, DILATION), np.uint8)), np.float32)


def quantize(color: FloatArray) -> Frame:
    """[3, H, W] float32 to RGB uint8 [H, W, 3]: clamped to [0, 1], times 255, truncated (not rounded)."""
    scaled = np.clip(color, F(0), F(1)) * F(255)
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(1, 2, 0))


def compose_reference(
    face: FloatArray, face_alpha: FloatArray, mouth: FloatArray, mouth_alpha: FloatArray, background: Frame
) -> Frame:
    """Face over mouth over background.

    Args:
        face, mouth: [3, H, W] float32 on black, weighted by their alpha.
        face_alpha, mouth_alpha: [H, W] float32; the mouth's may be dilated, which cuts the background only.
        background: RGB uint8 [H, W, 3].
    Returns:
        RGB uint8 [H, W, 3].
    """
    behind = BYTE_VALUES[background].transpose(2, 0, 1)
    inner = mouth + behind * (F(1) - mouth_alpha)
    return quantize(face + inner * (F(1) - face_alpha))


@kernel(contract=True)
def compose_rows(
    first: int,
    last: int,
    face: Any,
    face_alpha: Any,
    mouth: Any,
    mouth_alpha: Any,
    background: Any,
    values: Any,
    out: Any,
) -> None:
    """Rows [first, last) of `compose_reference`."""
    for row in range(first, last):
        for column in range(out.shape[1]):
            open_mouth = F(1) - mouth_alpha[row, column]
            open_face = F(1) - face_alpha[row, column]
            for channel in range(3):
                inner = mouth[channel, row, column] + values[background[row, column, channel]] * open_mouth
                value = face[channel, row, column] + inner * open_face
                out[row, column, channel] = np.uint8(min(max(value, F(0)), F(1)) * F(255))


def compose(
    face: FloatArray,
    face_alpha: FloatArray,
    mouth: FloatArray,
    mouth_alpha: FloatArray,
    background: Frame,
    *,
    threads: int | None = None,
) -> Frame:
    """`compose_reference`, compiled."""
    threads = threads or available_cores()
    out = np.empty(background.shape, np.uint8)
    arrays = (face, face_alpha, mouth, mouth_alpha, np.ascontiguousarray(background), BYTE_VALUES, out)
    spread(compose_rows, ((*piece, *arrays) for piece in chunks(len(out), 2 * threads)), threads)
    return out
