"""The grain of a picture: painted parts get as much as the rest has."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from talkinghead.contracts import FloatArray

SIDE = 128


def noise(rows: int, columns: int) -> FloatArray:
    """[rows, columns] float32 of standard deviation 1, the same in every run; repeats every 128 pixels."""
    tile = _tile()
    return tile[np.arange(rows)[:, None] % SIDE, np.arange(columns)[None, :] % SIDE]


@lru_cache(maxsize=1)
def _tile() -> FloatArray:
    tile = np.random.default_rng(20).normal(size=(SIDE, SIDE)).astype(np.float32)
    tile.setflags(write=False)
    return tile
