"""Products of a filter bank with frames of sound, whose bits do not depend on which frames are computed together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE_FRAMES = 8
"""Frames per product: so few that OpenBLAS makes it in one thread. Its others would keep a core busy by waiting, most
of all while sound arrives in small pieces."""


def tiled_product(frames: NDArray[Any], bank: NDArray[Any], first: int) -> NDArray[np.float64]:
    """Each frame times the bank, in tiles of one shape that begin at fixed frames. (A matrix product sums in another
    order where it is narrow.)

    Args:
        frames: [n, k] float64.
        bank: [m, k] float64.
        first: number of the first frame in its sound.
    Returns:
        [n, m] float64.
    """
    before = first % TILE_FRAMES
    tiles = -(-(before + len(frames)) // TILE_FRAMES)
    padded = np.zeros((tiles * TILE_FRAMES, frames.shape[1]))
    padded[before : before + len(frames)] = frames
    made: NDArray[np.float64] = padded.reshape(tiles, TILE_FRAMES, -1) @ bank.T
    return made.reshape(-1, len(bank))[before : before + len(frames)]
