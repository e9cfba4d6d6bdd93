"""Rectified patches: a part of a face at a fixed size, upright, with colours measured against the person's own skin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame

SKIN_PERCENTILE = 60.0
"""Of the lightness of the skin samples: above shadows and stubble, below highlights."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of a picture, turned upright and scaled."""

    pixels: Frame
    """[H, W, 3] uint8, RGB."""
    to_patch: NDArray[np.float64]
    """[2, 3], from pixels of the picture to pixels of the patch; a similarity."""

    @property
    def scale(self) -> float:
        """Patch pixels per picture pixel."""
        return float(np.hypot(self.to_patch[0, 0], self.to_patch[1, 0]))

    def into_patch(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points [..., 2] of the picture, in the patch."""
        mapped: NDArray[np.float64] = points @ self.to_patch[:, :2].T + self.to_patch[:, 2]
        return mapped

    def into_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points [..., 2] of the patch, in the picture."""
        inverse = np.linalg.inv(self.to_patch[:, :2])
        mapped: NDArray[np.float64] = (points - self.to_patch[:, 2]) @ inverse.T
        return mapped


def similarity(
    origin: NDArray[np.float64], direction: NDArray[np.float64], scale: float, target: tuple[float, float]
) -> NDArray[np.float64]:
    """[2, 3] map that puts `origin` on `target`, turns `direction` into +x and multiplies lengths by `scale`."""
    cos, sin = direction / max(float(np.hypot(direction[0], direction[1])), 1e-9)
    linear = np.array([[cos, sin], [-sin, cos]]) * scale
    shift = np.asarray(target, dtype=np.float64) - linear @ origin
    return np.hstack([linear, shift[:, None]])


def cut_patch(frame: Frame, to_patch: NDArray[np.float64], size: tuple[int, int]) -> Patch:
    """Cut a patch; pictures that are larger are low-passed first, pixels outside repeat the border.

    Args:
        size: (width, height) of the patch.
    """
    import cv2

    width, height = size
    patch = Patch(np.zeros((0, 0, 3), np.uint8), to_patch)
    corners = patch.into_picture(np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64))
    sigma = 0.45 / patch.scale if patch.scale < 0.8 else 0.0
    margin = int(np.ceil(4 * sigma)) + 2
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + margin, [frame.shape[1], frame.shape[0]])
    low = np.minimum(low, np.maximum(high - 1, 0))
    high = np.maximum(high, low + 1)
    crop = frame[low[1] : high[1], low[0] : high[0]]
    if sigma:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigmaX=sigma), np.uint8)
    shifted = to_patch.copy()
    shifted[:, 2] += to_patch[:, :2] @ low
    pixels = cv2.warpAffine(crop, shifted, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Patch(np.asarray(pixels, np.uint8), to_patch)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a patch says about where skin ends; each map [H, W] float32, in units of the person's own skin."""

    valley: FloatArray
    """[0, 1.5], how much darker than both what lies above and what lies below: lip lines, lash lines."""
    redness: FloatArray
    """[-1.5, 2.5], Lab a* above that of the skin."""
    darkness: FloatArray
    """[-1, 1], below the lightness of the skin."""
    greyness: FloatArray
    """[-1, 1.5], less colourful than the skin: teeth, the white of the eye."""
    slope: FloatArray
    """[-1, 1], lightness change downwards."""
    colour: FloatArray
    """[3, H, W], Lab relative to the skin, for distances between regions."""

    def stack(self) -> FloatArray:
        """[8, H, W]: valley, redness, darkness, greyness, slope, colour."""
        planes = [self.valley, self.redness, self.darkness, self.greyness, self.slope, *self.colour]
        return np.ascontiguousarray(np.stack(planes), dtype=np.float32)


VALLEY, REDNESS, DARKNESS, GREYNESS, SLOPE = range(5)
COLOUR = slice(5, 8)


def evidence(pixels: Frame, skin: NDArray[np.bool_], reach: tuple[int, ...] = (3, 5, 8)) -> Evidence:
    """Measure a patch.

    Args:
        pixels: [H, W, 3] uint8, RGB.
        skin: [H, W], where the patch shows mostly skin; only robust statistics are taken there.
        reach: how many pixels above and below a valley its walls are looked for.
    """
    import cv2

    lab = cv2.cvtColor(pixels.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    lightness = cv2.GaussianBlur(lab[..., 0], (0, 0), sigmaX=1.2)
    red = cv2.GaussianBlur(lab[..., 1], (0, 0), sigmaX=1.6)
    yellow = cv2.GaussianBlur(lab[..., 2], (0, 0), sigmaX=1.6)
    skin_l = float(np.percentile(lightness[skin], SKIN_PERCENTILE))
    skin_a, skin_b = float(np.median(red[skin])), float(np.median(yellow[skin]))
    chroma = np.hypot(red, yellow)
    skin_chroma = float(np.median(chroma[skin]))

    height = len(lightness)
    pad = max(reach)
    tall = cv2.copyMakeBorder(lightness, pad, pad, 0, 0, cv2.BORDER_REPLICATE)
    valley = np.full_like(lightness, -np.inf)
    for h in reach:
        walls = np.minimum(tall[pad - h : pad - h + height], tall[pad + h : pad + h + height])
        np.maximum(valley, walls - lightness, out=valley)
    slope = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, ksize=3) / 8
    relative = (lightness - skin_l) / (skin_l * 0.5 + 5)
    return Evidence(
        valley=np.clip(valley / (skin_l * 0.12 + 1), 0, 1.5),
        redness=np.clip((red - skin_a) / 8, -1.5, 2.5),
        darkness=np.clip(-relative, -1, 1),
        greyness=np.clip((skin_chroma - chroma) / (skin_chroma * 0.4 + 4), -1, 1.5),
        slope=np.clip(slope / (skin_l * 0.06 + 1), -1, 1),
        colour=np.stack([relative, (red - skin_a) / 12, (yellow - skin_b) / 12]),
    )


def nearest(position: NDArray[Any], size: int) -> NDArray[np.intp]:
    """The pixels nearest to positions along an axis of so many pixels; those outside are its ends."""
    pixels: NDArray[np.intp] = np.minimum(np.maximum(np.rint(position), 0), size - 1).astype(np.intp)
    return pixels
