"""What the network of `articulation` sees, of sound that arrives bit by bit: level and average spectrum are judged by
what was heard so far.

Loud level and noise floor are percentiles of the levels heard, older ones fading. They begin with a few frames of a
typical level: one loud frame lifts the loud level at once, so that the first word counts already, and a single knock
is soon forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.articulation import (
    DYNAMIC_RANGE,
    MEAN_PRIOR_FRAMES,
    NUM_BANDS,
    NUM_FEATURES,
    QUIETEST_DB,
    WINDOW_SAMPLES,
    log_bands,
)
from talkinghead.audio.energy import FLOOR_DB, to_db
from talkinghead.contracts import FloatArray

LOUD_DB, LOUD_PRIOR_FRAMES, LOUD_FADE_FRAMES = -40.0, 8.0, 1000.0
"""Loud level before anything was heard, how many hundredths of a second of sound it counts for, and over how many of
them what was heard fades. The same of the noise floor."""
NOISE_DB, NOISE_PRIOR_FRAMES, NOISE_FADE_FRAMES = -70.0, 10.0, 300.0
MEAN_FADE_FRAMES = 500.0
"""Over how many frames of voice the average spectrum fades."""
SILENT_DB = -85.0
"""Nothing is said under this level, whatever was heard before."""
DB = np.log(10) / 10
"""A decibel in natural logarithms of power."""


class LevelPercentile:
    """A percentile of levels, older ones fading.

    Args:
        share: which, in [0, 1].
        prior_db, prior_frames: where it begins, and for how many levels that counts.
        fade_frames: after how many more levels one counts 1 / e.
    """

    def __init__(self, share: float, prior_db: float, prior_frames: float, fade_frames: float) -> None:
        self._counts = np.zeros(2 - round(FLOOR_DB), np.float64)  # per decibel, from FLOOR_DB on
        self._counts[self._bin(prior_db)] = prior_frames
        self._share, self._keep = share, 1.0 - 1.0 / fade_frames

    def _bin(self, level_db: float) -> int:
        return min(max(int(level_db - FLOOR_DB), 0), len(self._counts) - 1)

    def add(self, level_db: float) -> None:
        """Take the next level."""
        self._counts *= self._keep
        self._counts[self._bin(level_db)] += 1.0

    @property
    def level_db(self) -> float:
        """Where it is now; between whole decibels by interpolation."""
        below = self._counts.cumsum()
        wanted = self._share * below[-1]
        at = int(below.searchsorted(wanted))
        return float(at + FLOOR_DB + 1.0 - (below[at] - wanted) / self._counts[at])


class HeardFrames(NamedTuple):
    """What is known of some hundredths of a second."""

    features: FloatArray
    """[n, 29] float32, as `articulation.features`."""
    level_db: FloatArray
    """[n] float32."""
    loud_db: FloatArray
    """[n] float32, loud level by what was heard until then."""
    active: NDArray[np.bool_]
    """[n] whether something is heard, by its level."""


class LiveFeatures:
    """Makes features of windows of sound, in order; made for one sound.

    Args:
        typical: as for `articulation.features`.
    """

    def __init__(self, typical: FloatArray) -> None:
        self._typical = typical.astype(np.float64)
        self._lowest = float(typical.max()) - DYNAMIC_RANGE
        self._loud = LevelPercentile(0.95, LOUD_DB, LOUD_PRIOR_FRAMES, LOUD_FADE_FRAMES)
        self._noise = LevelPercentile(0.1, NOISE_DB, NOISE_PRIOR_FRAMES, NOISE_FADE_FRAMES)
        self._loud_db = LOUD_DB
        self._sum, self._weight = np.zeros(NUM_BANDS), 0.0

    def push(self, windows: FloatArray) -> HeardFrames:
        """Features of the next hundredths of a second.

        Args:
            windows: [n, 400] float32, sound around each.
        """
        assert windows.shape[1:] == (WINDOW_SAMPLES,)
        bands = log_bands(windows).astype(np.float64)
        level = to_db(np.sqrt(np.mean(np.square(windows, dtype=np.float64), axis=1)).astype(np.float32))
        out = np.empty((len(windows), NUM_FEATURES), np.float32)
        loud, active = np.empty(len(windows), np.float32), np.empty(len(windows), np.bool_)
        for k, level_db in enumerate(level.tolist()):
            active[k] = self._hear(level_db)
            loud[k] = self._loud_db
            bounded = np.maximum(bands[k] - self._loud_db * DB, self._lowest)
            out[k, :NUM_BANDS] = (bounded - self._mean_with(bounded, level_db)) / 3.0
            out[k, NUM_BANDS] = min(max((level_db - self._loud_db) / 20.0, -3.0), 1.0)
        return HeardFrames(out, level, loud, active)

    def silence(self) -> FloatArray:
        """Features of digital silence before anything was heard; [29] float32."""
        return np.append((self._lowest - self._typical) / 3.0, -3.0).astype(np.float32)

    def _hear(self, level_db: float) -> bool:
        """Follow the level; whether something is heard, by the rule of `energy.voice_activity`."""
        self._noise.add(level_db)
        floor = min(self._noise.level_db, self._loud_db - 25.0)
        threshold = max(self._loud_db - 40.0, min(floor + 10.0, self._loud_db - 15.0), SILENT_DB)
        if level_db <= threshold:
            return False
        self._loud.add(level_db)
        before, self._loud_db = self._loud_db, max(self._loud.level_db, QUIETEST_DB)
        self._sum -= self._weight * (self._loud_db - before) * DB  # bands are relative to the loud level
        return True

    def _mean_with(self, bands: NDArray[np.float64], level_db: float) -> NDArray[np.float64]:
        """Average spectrum of the voice and channel, with these bands; [28]."""
        voice = 1.0 / (1.0 + np.exp(-(level_db - self._loud_db + 25.0) / 3.0))
        keep = 1.0 - 1.0 / MEAN_FADE_FRAMES
        self._sum = keep * self._sum + voice * bands
        self._weight = keep * self._weight + voice
        mean: NDArray[np.float64] = (self._sum + MEAN_PRIOR_FRAMES * self._typical) / (self._weight + MEAN_PRIOR_FRAMES)
        return mean
