"""Feature rows of a sound, from files or encoders, and the window of rows that each frame hears.

rows    0  1  2 ... i-8 ... i ... i+7 ... N-1
frame i hears rows i-8 .. i+7: row 8 of its window is its own; rows that do not exist are zeros
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.encoders.hubert import smoothed
from talkinghead.contracts import FloatArray
from talkinghead.errors import InputError, MediaNotFound, OptionError, choices
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, AudioVariant
from talkinghead.reading import read_npy

EDGES = ("zeros", "repeat")


@dataclass(frozen=True, eq=False)
class Features:
    """What a network hears of a sound, one row or one ready window per frame."""

    audio: AudioVariant
    rows: FloatArray | None
    """[N, row_size] float32, or None if ready windows were given."""
    ready: FloatArray | None = None
    """[N, *input_shape] float32: windows that were cut before."""
    source: str = ""
    fill: Callable[[int], None] | None = None
    """Called with k before rows below k are read, where rows are computed as they are needed."""

    def __len__(self) -> int:
        found = self.ready if self.ready is not None else self.rows
        assert found is not None
        return len(found)

    def windows(self, indices: Sequence[int] | NDArray[np.int64], *, edges: str = "zeros") -> FloatArray:
        """The windows of some frames.

        Args:
            indices: frames; may lie behind the end, where the window holds what is left of the sound.
            edges: one of EDGES.
        Returns:
            [n, *input_shape] float32.
        """
        index = np.asarray(indices, np.int64)
        if self.ready is not None:
            return self.ready[np.clip(index, 0, len(self.ready) - 1)]
        assert self.rows is not None
        rows = window_rows(len(self.rows), index, self.audio.window_rows, edges=edges)
        if self.fill is not None:
            self.fill(int(rows.max(initial=-1)) + 1)
        cut = self.rows[np.maximum(rows, 0)]  # [n, window_rows, row_size]
        cut[rows < 0] = 0
        return cut.reshape(len(index), *self.audio.input_shape)


def window_rows(
    num_rows: int, indices: NDArray[np.int64] | Sequence[int], width: int = 16, *, edges: str = "zeros"
) -> NDArray[np.int64]:
    """Source row of every row of the windows.

    Args:
        num_rows: N, at least 1.
        indices: [n] frames.
        width: rows per window, of which the first half lies before the frame.
        edges: "zeros", or "repeat" as in the Dk0071942 fork: row 0 before the beginning, and a window that passes the
            end is the last row throughout.
    Returns:
        [n, width] int64; -1 is a row of zeros. The published code gives fewer than `width` rows for very short sounds
        and stops there; here the missing ones are zeros too.
    """
    if edges not in EDGES:
        raise OptionError(f"There are no window edges {edges!r}.", accepted=choices(EDGES))
    index = np.asarray(indices, np.int64)[:, None] - width // 2 + np.arange(width)
    if edges == "repeat":
        passes = index[:, -1:] >= num_rows
        return np.where(passes, num_rows - 1, np.maximum(index, 0))
    return np.where((index >= 0) & (index < num_rows), index, -1)


def smoothed_features(features: Features) -> Features:
    """Every row averaged with its neighbours (ILG2021 fork)."""
    if features.rows is None:
        raise OptionError("Ready windows cannot be smoothed.", accepted="features as rows")
    if features.fill is not None:
        features.fill(len(features.rows))
    return Features(features.audio, smoothed(features.rows), None, features.source)


def describe_shapes(audio: AudioVariant) -> str:
    """The shapes of features of a network, for messages."""
    rows = [f"[N, {', '.join(map(str, shape))}]" for shape in audio.row_shapes]
    return choices([*rows, f"[N, {', '.join(map(str, audio.input_shape))}] (ready windows)"])


def features_of(array: NDArray[Any], audio: AudioVariant, source: str = "the features") -> Features:
    """Check an array of features.

    Args:
        array: [N, ...] of any published shape: rows, or ready windows.
    Raises:
        InputError: wrong shape, kind of number, no rows, or values that are not numbers.
    """
    array = np.asarray(array)
    accepted = f"float32 {describe_shapes(audio)} for the mode {audio.mode}"
    if array.dtype.kind != "f":
        raise InputError(f"{source} holds {array.dtype}, not real numbers.", accepted=accepted)
    if array.ndim < 2 or len(array) == 0:
        raise InputError(f"{source} is {list(array.shape)}.", accepted=accepted)
    row = array.shape[1:]
    ready = row == audio.input_shape
    if not ready and row not in audio.row_shapes:
        others = [
            other.mode
            for other in AUDIO_VARIANTS.values()
            if other.mode != audio.mode and (row == other.input_shape or row in other.row_shapes)
        ]
        hint = f": those are {choices(sorted(set(others)))} features" if others else ""
        raise InputError(f"{source} is {list(array.shape)}{hint}.", accepted=accepted)
    values = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{source} holds values that are not numbers.", accepted=accepted)
    if ready:
        return Features(audio, None, values, source)
    return Features(audio, values.reshape(len(values), -1), None, source)


def load_array(path: str | Path) -> NDArray[Any]:
    """The array of a .npy file, without unpickling.

    Raises:
        MediaNotFound: no such file. InputError: not a .npy of plain numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaNotFound(f"There is no feature file {path}.", accepted="a .npy file")
    return read_npy(path)


def load_features(path: str | Path, audio: AudioVariant) -> Features:
    """Features from a .npy file of any published shape.

    Raises:
        MediaNotFound: no such file. InputError: not features of this network.
    """
    return features_of(load_array(path), audio, str(path))
