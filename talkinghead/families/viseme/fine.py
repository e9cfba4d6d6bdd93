"""A still picture between its pixels: enlarged once, so that moving it by parts of a pixel costs it no sharpness.

Reading a picture between four pixels blurs it, most where it is read half way between them, so that a head that moves
slowly would grow sharp and soft in turn. The part that can move is therefore enlarged several times by a long kernel.
What linear sampling of the enlarged picture still takes away, on the average over all positions, its new pixels have
been given in advance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import Region, Values

EMPHASIS: Mapping[int, float] = MappingProxyType({4: 0.012, 3: 0.024, 2: 0.05})
"""Times the picture is enlarged, the most first, and how much its new pixels are sharpened: what they differ from their
neighbours a picture's pixel away, so that the energy of fine detail stays what it was."""
MAX_PIXELS = 24_000_000
MAX_SIDE = 32_000
"""Largest enlarged picture; sampling cannot address more than 32767 pixels."""
HALF_TAPS = 12
"""Pixels to either side that make a new one."""
WINDOW_BETA = 5.0
"""Of the Kaiser window: flat up to nine tenths of the finest detail that pixels can hold."""
STRIPE_ROWS = 48
"""Rows of the picture that are enlarged at once."""


@dataclass(frozen=True, eq=False)
class FinePicture:
    """A part of a still picture, enlarged."""

    pixels: Frame
    """[factor (h - 1) + 1, factor (w - 1) + 1, 3] uint8; pixel (x, y) of the part is (factor x, factor y) here."""
    box: Region
    """The part."""
    factor: int


def fine_picture(frame: Frame, box: Region) -> FinePicture | None:
    """A part of a picture enlarged as far as its size allows; None where it is empty or too large."""
    width, height = box.x2 - box.x1, box.y2 - box.y1
    if box.is_empty:
        return None
    for factor in EMPHASIS:
        if width * height * factor**2 <= MAX_PIXELS and factor * max(width, height) <= MAX_SIDE:
            return FinePicture(enlarged(np.ascontiguousarray(frame[box.slices]), factor), box, factor)
    return None


def enlarged(picture: Frame, factor: int) -> Frame:
    """A picture with `factor - 1` new pixels between any two, and its own unchanged.

    Args:
        picture: [h, w, 3] uint8.
    Returns:
        [factor (h - 1) + 1, factor (w - 1) + 1, 3] uint8.
    """
    import cv2

    kernels = between_pixels(factor)
    border = HALF_TAPS
    height, width = picture.shape[:2]
    padded = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REFLECT_101)
    out = np.empty((factor * height, factor * width, 3), np.uint8)
    for top in range(0, height, STRIPE_ROWS):
        rows = min(STRIPE_ROWS, height - top)
        stripe = padded[top : top + rows + 2 * border].astype(np.float32)
        wide = np.empty((len(stripe), width, factor, 3), np.float32)
        for column, kernel in enumerate(kernels):
            across = cv2.filter2D(stripe, cv2.CV_32F, kernel[None], anchor=(border - 1, 0)) if column else stripe
            wide[:, :, column] = across[:, border:-border]
        flat = wide.reshape(len(stripe), -1)
        target = out[factor * top : factor * (top + rows)].reshape(rows, factor, -1)
        for row, kernel in enumerate(kernels):
            down = cv2.filter2D(flat, cv2.CV_32F, kernel[:, None], anchor=(0, border - 1)) if row else flat
            target[:, row] = np.clip(np.rint(down[border:-border]), 0, 255)
    return np.ascontiguousarray(out[: factor * (height - 1) + 1, : factor * (width - 1) + 1])


def between_pixels(factor: int) -> FloatArray:
    """[factor, 24] float32: what the pixels from 11 before to 12 behind weigh, at 0, 1 / factor, 2 / factor ... of the
    way from one pixel to the next; each row sums to 1."""
    place = np.arange(1 - HALF_TAPS, HALF_TAPS + 1) - np.arange(factor)[:, None] / factor
    window = np.i0(WINDOW_BETA * np.sqrt(np.clip(1 - (place / HALF_TAPS) ** 2, 0, 1)))
    kernels = np.sinc(place) * window
    kernels /= kernels.sum(axis=1, keepdims=True)
    neighbours: Values = np.pad(kernels, ((0, 0), (1, 1)))
    new = kernels + EMPHASIS[factor] * (2 * kernels - neighbours[:, :-2] - neighbours[:, 2:])
    new[0] = kernels[0]
    new /= new.sum(axis=1, keepdims=True)
    return new.astype(np.float32)
