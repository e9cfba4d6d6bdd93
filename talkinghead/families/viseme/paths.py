"""The way along a contour that costs least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkinghead.families.viseme.geometry import Values


def cheapest_paths(price: Values, bend: float, steps: int) -> NDArray[np.intp]:
    """Rows [B, columns] of the paths from the left to the right with the least price and the fewest steps.

    Args:
        price: [B, rows, columns] of being in a row.
        bend: price of a step of one row to the next column; of more rows it grows with their square.
        steps: rows that a path may go up or down at most from one column to the next.
    """
    batch, rows, columns = price.shape
    offsets = np.arange(-steps, steps + 1)
    reach = np.arange(rows)[:, None] + offsets  # [rows, offsets]
    toll = np.where((reach < 0) | (reach >= rows), np.float32(np.inf), bend * offsets.astype(np.float32) ** 2)
    reach = np.clip(reach, 0, rows - 1)
    came = np.zeros((columns, batch, rows), np.intp)
    total = price[..., 0].copy()
    for k in range(1, columns):
        candidate = total[:, reach] + toll
        came[k] = candidate.argmin(axis=-1)
        total = candidate.min(axis=-1) + price[..., k]
    path = np.zeros((batch, columns), np.intp)
    path[:, -1] = total.argmin(axis=1)
    every = np.arange(batch)
    for k in range(columns - 1, 0, -1):
        here = path[:, k]
        path[:, k - 1] = reach[here, came[k, every, here]]
    return path
