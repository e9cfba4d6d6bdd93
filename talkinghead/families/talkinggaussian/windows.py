"""Which rows of the speech features each video frame listens to, and reading stored features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.errors import MediaNotFound, UnreadableMedia
from talkinghead.families.talkinggaussian.extractors import Extractor, extractor_of_width
from talkinghead.reading import read_npy

ROWS_BEFORE = 4
ROWS = 8
"""Rows of a window: index - 4 ... index + 3."""
MIN_ROWS = 4
"""The published code fails on fewer rows of features."""
NO_ROW = -1


def window_rows(indices: NDArray[np.int64], num_rows: int) -> NDArray[np.int64]:
    """Source row of each slot of the windows around `indices`.

    Args:
        indices: [F] int64, frame positions; any value.
    Returns:
        [F, ROWS] int64 in [0, num_rows), or NO_ROW where the slot holds zeros.
    Source: published `get_audio_features`, attention mode 2.
    """
    rows = np.asarray(indices, np.int64)[:, None] + np.arange(-ROWS_BEFORE, ROWS - ROWS_BEFORE)
    return np.where((rows >= 0) & (rows < num_rows), rows, NO_ROW)


def read_features(path: str | Path, extractor: Extractor) -> NDArray[np.floating]:
    """Speech features stored by the published scripts, memory-mapped.

    Returns:
        [T, positions, width] of the stored dtype, one row per frame of 25 per second.
    Raises:
        MediaNotFound: no such file. UnreadableMedia: not features of this extractor, too short, or not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaNotFound(f"There are no speech features {path}.", remedy="give a sound file instead (--audio)")
    accepted = f"[T, {extractor.positions}, {extractor.width}] floats, at least {MIN_ROWS} rows"
    stored = read_npy(path, error=UnreadableMedia, accepted=accepted, mapped=True)
    if stored.ndim != 3 or stored.dtype.kind != "f":
        raise UnreadableMedia(f"{path} holds {list(stored.shape)}, not speech features.", accepted=accepted)
    if stored.shape[2] != extractor.width or stored.shape[1] < 1:
        other = extractor_of_width(stored.shape[2])
        hint = f"; these are features of {other.name}" if other is not None else ""
        raise UnreadableMedia(f"{path} is {list(stored.shape)}{hint}.", accepted=accepted)
    if len(stored) < MIN_ROWS:
        raise UnreadableMedia(f"{path} has only {len(stored)} rows of speech features.", accepted=accepted)
    return stored


def feature_rows(stored: NDArray[np.floating], start: int, stop: int) -> FloatArray:
    """Rows [start, stop) as the audio network takes them: [R, width, positions] float32.

    Raises:
        UnreadableMedia: values that are not finite.
    """
    rows = np.ascontiguousarray(np.asarray(stored[start:stop], np.float32).transpose(0, 2, 1))
    if not np.isfinite(rows).all():
        bad = start + int(np.argmin(np.isfinite(rows).all(axis=(1, 2))))
        raise UnreadableMedia(f"Row {bad} of the speech features is not finite.")
    return rows
