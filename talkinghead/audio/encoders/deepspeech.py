"""DeepSpeech 0.1.0 features: the MFCC front end, the released network, and the windows of the heads.

16 kHz sound -> MFCC, 50 rows a second -> windows of 19 rows, whitened -> network -> 29 logits -> windows of 16 rows
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray

Float64Array = NDArray[np.float64]

GRAPH = "deepspeech-0_1_0-b90017e8.pb"
"""File of the released network."""
PRE_EMPHASIS = 0.97
FRAME, HOP, FFT = 400, 160, 512
"""Samples per frame and from frame to frame; length of the transform."""
FILTERS = 26
LIFTER = 22
EVERY = 2
"""Every second row is used: 50 per second."""
ROW_FPS = 50
CONTEXT = 9
"""Rows on either side that the network sees."""
INPUTS = FILTERS * (2 * CONTEXT + 1)
"""Numbers that the network takes per row: 494."""
CHARACTERS = 29
"""Logits per row: blank space, a to z, apostrophe, blank of the alignment."""
WINDOW, WINDOW_STEP, WINDOW_PAD = 16, 2, 8
BLOCK = 2000
"""Rows that go through the dense layers together."""
EPS = float(np.finfo(np.float64).eps)


def int16_samples(samples: FloatArray) -> NDArray[np.int16]:
    """[-1, 1] float32 to int16, truncated toward zero as published."""
    return np.clip(np.trunc(samples.astype(np.float64) * 32768.0), -32768, 32767).astype(np.int16)


@lru_cache(maxsize=1)
def mel_filters() -> Float64Array:
    """[FILTERS, FFT / 2 + 1] triangles between 0 and 8000 Hz, evenly spaced in mel."""
    top = 2595 * np.log10(1 + SPEECH_RATE_HZ / 2 / 700.0)
    hz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595.0) - 1)
    edges = np.floor((FFT + 1) * hz / SPEECH_RATE_HZ)
    bank = np.zeros((FILTERS, FFT // 2 + 1))
    for j in range(FILTERS):
        low, middle, high = edges[j : j + 3].astype(int)
        bank[j, low:middle] = (np.arange(low, middle) - edges[j]) / (edges[j + 1] - edges[j])
        bank[j, middle:high] = (edges[j + 2] - np.arange(middle, high)) / (edges[j + 2] - edges[j + 1])
    return bank


@lru_cache(maxsize=1)
def _cosines() -> Float64Array:
    """[FILTERS, FILTERS] orthonormal DCT-II times the lifter: column k is coefficient k."""
    n = np.arange(FILTERS)
    table = np.cos(np.pi * np.outer(n + 0.5, n) / FILTERS) * np.sqrt(2.0 / FILTERS)
    table[:, 0] /= np.sqrt(2.0)
    lifted: Float64Array = table * (1 + LIFTER / 2 * np.sin(np.pi * n / LIFTER))
    return lifted


def mfcc_rows(samples: NDArray[np.int16]) -> Float64Array:
    """Every second row of the cepstral coefficients, [S, FILTERS] float64.

    Source: python_speech_features 0.6 with its defaults, rectangular window, coefficient 0 replaced by the log energy.
    """
    count = 1 if len(samples) <= FRAME else 1 + -(-(len(samples) - FRAME) // HOP)
    rows = np.arange(0, count, EVERY)
    found = np.empty((len(rows), FILTERS))
    for start in range(0, len(rows), BLOCK):
        picked = rows[start : start + BLOCK]
        first, last = int(picked[0]) * HOP, int(picked[-1]) * HOP + FRAME
        stretch = np.zeros(last - first)
        known = samples[first:last].astype(np.float64)
        stretch[: len(known)] = known
        before = np.float64(samples[first - 1]) if first else 0.0
        stretch[1 : len(known)] -= PRE_EMPHASIS * known[:-1]
        if len(known):
            stretch[0] -= PRE_EMPHASIS * before
        frames = stretch[(picked - picked[0])[:, None] * HOP + np.arange(FRAME)]
        power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
        energy = power.sum(axis=1)
        bands = power @ mel_filters().T
        block = np.log(np.where(bands == 0, EPS, bands)) @ _cosines()
        block[:, 0] = np.log(np.where(energy == 0, EPS, energy))
        found[start : start + BLOCK] = block
    return found


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What the network sees of a sound; whitened windows are cut when they are needed."""

    padded: Float64Array
    """[S + 2 CONTEXT, FILTERS] float64, rows of zeros on both sides."""
    mean: float
    deviation: float
    """Mean and standard deviation over all numbers of all windows."""

    def __len__(self) -> int:
        return len(self.padded) - 2 * CONTEXT

    def rows(self, start: int, stop: int) -> FloatArray:
        """Windows [start, stop): [n, INPUTS] float32, time-major."""
        index = np.arange(start, stop)[:, None] + np.arange(2 * CONTEXT + 1)
        windows = self.padded[index].reshape(stop - start, INPUTS)
        whitened: FloatArray = ((windows - self.mean) / self.deviation).astype(np.float32)
        return whitened


def network_input(samples: NDArray[np.int16]) -> NetworkInput:
    """MFCC windows of a sound, whitened over the whole of it as published."""
    rows = mfcc_rows(samples)
    padded = np.pad(rows, ((CONTEXT, CONTEXT), (0, 0)))
    # In how many windows each padded row stands; sums over all windows without building them.
    times = np.convolve(np.ones(len(rows)), np.ones(2 * CONTEXT + 1))
    total = times.sum() * FILTERS
    mean = float((times @ padded).sum() / total)
    variance = float((times @ np.square(padded - mean)).sum() / total)
    return NetworkInput(padded, mean, np.sqrt(variance) if variance > 0 else 1.0)


def num_logit_rows(samples: int) -> int:
    """Rows after the resampling step: its length is rounded half to even, and the published script loses the last."""
    return max(0, round(samples / SPEECH_RATE_HZ * ROW_FPS) - 1)


def num_windows(samples: int) -> int:
    """Video frames that get features: usually one less than the video has."""
    return -(-num_logit_rows(samples) // WINDOW_STEP)


def resampled(logits: FloatArray, samples: int) -> FloatArray:
    """Logits at exactly 50 per second, [num_logit_rows, CHARACTERS]: the network's rows, the last one repeated."""
    rows = np.minimum(np.arange(num_logit_rows(samples)), len(logits) - 1)
    return logits[rows]


def logit_windows(rows: FloatArray, start: int = 0, stop: int | None = None) -> FloatArray:
    """Windows of 16 rows, two rows apart, zeros beyond the ends: [T, 16, 29]."""
    total = -(-len(rows) // WINDOW_STEP)
    index = WINDOW_STEP * np.arange(start, total if stop is None else min(stop, total))[:, None]
    index = index + np.arange(-WINDOW_PAD, WINDOW - WINDOW_PAD)
    inside = (index >= 0) & (index < len(rows))
    return np.where(inside[..., None], rows[np.clip(index, 0, max(0, len(rows) - 1))], rows.dtype.type(0))


def deepspeech_rows(samples: FloatArray, network: Callable[[NetworkInput], FloatArray]) -> Iterator[FloatArray]:
    """DeepSpeech features of 16 kHz sound, block by block: [R, 16, 29] float32.

    Args:
        samples: [n] float32 in [-1, 1], mono.
        network: whitened windows to logits [S, 29].
    """
    logits = resampled(network(network_input(int16_samples(samples))), len(samples))
    total = num_windows(len(samples))
    for start in range(0, total, BLOCK):
        yield logit_windows(logits, start, start + BLOCK).astype(np.float32)
