"""How much of a picture's fine detail is left when it moves, and how steadily."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from talkinghead.contracts import Frame

Part = tuple[slice, slice]
"""Rows and columns of a frame."""


@dataclass(frozen=True)
class DetailKept:
    """Energy of the fine detail of frames, as shares of that of the still picture."""

    mean: float
    lowest: float
    """Of any frame."""
    highest: float

    @property
    def swing(self) -> float:
        """How far frames stray from the middle between the softest and the sharpest, as a share of it."""
        return (self.highest - self.lowest) / (self.highest + self.lowest)


def detail_energy(frame: Frame, part: Part) -> float:
    """Mean square of the Laplacian of the brightness (0..255) in a part of a frame."""
    import cv2

    laplacian = cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    return float(np.mean(np.square(laplacian[part], dtype=np.float64)))


def detail_kept(frames: Iterable[Frame], still: Frame, part: Part) -> DetailKept:
    """Compare the detail of moving frames with that of the still picture that they were made from.

    Args:
        part: what is compared; it should show the same things in every frame, and something else than plain colour.
    Raises:
        ValueError: no frames, or a part without any detail.
    """
    full = detail_energy(still, part)
    shares = [detail_energy(frame, part) / full for frame in frames] if full > 0 else []
    if not shares:
        raise ValueError("there is no frame, or no detail in the still picture, to compare")
    return DetailKept(float(np.mean(shares)), min(shares), max(shares))
