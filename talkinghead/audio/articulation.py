"""Which speech sound is heard in every hundredth of a second: spectral evidence, independent of the language.

A small network over band energies. `scripts/fit_articulation.py` fits it on synthetic speech whose phone times are
known exactly, and writes its numbers (8 bits each) to `assets/articulation.npz`; no recording of a person and no
published model is involved. It sees what an all-phone recogniser misses too often: that the lips are closed.

    29 features x 5 frames → 128 → 3 frames, 30 ms apart → 128 → 3 frames, 50 ms apart → 128 → 40 phones
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.energy import frame_rms, speech_levels_db, to_db
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.reading import read_npz

HOP_SAMPLES = 160
HOP_S = HOP_SAMPLES / SPEECH_RATE_HZ
WINDOW_SAMPLES = 400
FFT_SAMPLES = 512
NUM_BANDS = 28
LOW_HZ, HIGH_HZ = 80.0, 6800.0
NUM_FEATURES = NUM_BANDS + 1
DYNAMIC_RANGE = 14.0
"""Band energies (natural logarithm of power) further than this under the loudest typical band are clipped."""
QUIETEST_DB = -70.0
"""Loud levels under this count as this, so that digital silence is not blown up."""
MEAN_WINDOW_FRAMES = 500
"""Half width of the window over which the average spectrum is taken off."""
MEAN_PRIOR_FRAMES = 60.0
"""How many frames the typical spectrum of speech counts for in that average."""
DILATIONS = (1, 3, 5)
"""Frames between the taps of each layer."""
REACHES = (2, 3, 5)
"""How far each layer looks to either side."""
REACH_FRAMES = sum(REACHES)
"""How far to either side the network looks."""
LIVE_AHEAD = 6
"""The live network tells of the sound so many frames after the middle of what it sees, so it looks the less ahead."""
BLOCK_FRAMES = 2000

LABELS = (
    "SIL", "P", "B", "M", "F", "V", "TH", "DH", "T", "D", "N", "L", "S", "Z", "SH", "ZH", "CH", "JH", "K", "G", "NG",
    "HH", "R", "W", "Y", "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW",
)  # fmt: skip
"""Order of the network's outputs."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Everything that was fitted."""

    typical: FloatArray
    """[28] float32, average band energies of speech less its loud level."""
    weights: tuple[FloatArray, ...]
    """Per layer [taps * inputs, outputs] float32."""
    biases: tuple[FloatArray, ...]
    """Per layer [outputs] float32."""
    log_prior: FloatArray
    """[40] float32, how often each phone is heard."""
    log_recognised: FloatArray
    """[40, 40] float32, log P(phone spoken | phone that all-phone recognition gives)."""
    log_follows: FloatArray
    """[40, 40] float32, log P(next phone | phone)."""


@cache
def tables() -> Tables:
    """The fitted numbers, read once."""
    data = _asset("articulation.npz")
    weights, biases = _layers(data)
    return Tables(
        typical=data["typical"].astype(np.float32),
        weights=weights,
        biases=biases,
        log_prior=data["log_prior"].astype(np.float32),
        log_recognised=data["log_recognised"].astype(np.float32),
        log_follows=data["log_follows"].astype(np.float32),
    )


@cache
def live_tables() -> Tables:
    """The same with the network that tells of the sound LIVE_AHEAD frames after the middle of what it sees."""
    weights, biases = _layers(_asset("articulation_live.npz"))
    return replace(tables(), weights=weights, biases=biases)


def _asset(name: str) -> dict[str, NDArray[Any]]:
    with as_file(files("talkinghead.assets") / name) as path:
        return read_npz(path)


def _layers(data: Mapping[str, NDArray[Any]]) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """Weights and biases of a network from 8 bits."""
    layers = range(len([name for name in data if name.startswith("weight")]))
    weights = tuple(data[f"weight{k}"].astype(np.float32) * data[f"scale{k}"] for k in layers)
    return weights, tuple(data[f"bias{k}"].astype(np.float32) for k in layers)


def phone_posteriors(samples: FloatArray) -> NDArray[np.float16]:
    """Log probability of every phone in every hundredth of a second.

    Args:
        samples: [n] float32 at 16 kHz, at any level.
    Returns:
        [1 + n // 160, 40] float16, columns as LABELS; frame k is centred on sample 160 k.
    """
    fitted = tables()
    return _posteriors(features(samples, fitted.typical), fitted)


def both_posteriors(samples: FloatArray) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """`phone_posteriors`, and by the live network, which errs in other places; both [1 + n // 160, 40] float16."""
    fitted = tables()
    seen = features(samples, fitted.typical)
    before = np.concatenate((np.repeat(seen[:1], LIVE_AHEAD, axis=0), seen))
    return _posteriors(seen, fitted), _posteriors(before, live_tables())[: len(seen)]


def _posteriors(seen: FloatArray, fitted: Tables) -> NDArray[np.float16]:
    """[n, 40] log probabilities of [n, 29] features."""
    out = np.empty((len(seen), len(LABELS)), dtype=np.float16)
    for first in range(0, len(seen), BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, len(seen))
        low, high = max(first - REACH_FRAMES, 0), min(last + REACH_FRAMES, len(seen))
        scores = network(seen[low:high], fitted)[first - low : last - low]
        scores -= scores.max(axis=1, keepdims=True)
        out[first:last] = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return out


def network(seen: FloatArray, fitted: Tables) -> FloatArray:
    """Unnormalised scores of the phones.

    Args:
        seen: [n, 29] float32. Beyond the ends every layer sees zeros.
    Returns:
        [n, 40] float32.
    """
    hidden = seen
    for layer, reach in enumerate(REACHES):
        hidden = hidden_layer(np.pad(hidden, ((reach, reach), (0, 0))), layer, fitted)
    scores: FloatArray = hidden @ fitted.weights[-1] + fitted.biases[-1]
    return scores


def hidden_layer(inputs: FloatArray, layer: int, fitted: Tables) -> FloatArray:
    """One layer of the network, where it sees all it looks at; [n + 2 * REACHES[layer], inputs] to [n, 128] float32."""
    reach, dilation, weight = REACHES[layer], DILATIONS[layer], fitted.weights[layer]
    taps, n = 2 * reach // dilation + 1, len(inputs) - 2 * reach
    stacked = np.concatenate(
        [inputs[k * dilation : k * dilation + n] for k in range(taps)], axis=1
    )  # [n, taps * inputs]
    out: FloatArray = np.maximum(stacked @ weight + fitted.biases[layer], 0.0)
    return out


@cache
def mel_filters() -> FloatArray:
    """Triangles on the mel scale, each of unit sum; [NUM_BANDS, FFT_SAMPLES // 2 + 1] float32."""
    mel = np.linspace(2595 * np.log10(1 + LOW_HZ / 700), 2595 * np.log10(1 + HIGH_HZ / 700), NUM_BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.arange(FFT_SAMPLES // 2 + 1) * SPEECH_RATE_HZ / FFT_SAMPLES
    rise = (bins - edges[:-2, None]) / (edges[1:-1, None] - edges[:-2, None])
    fall = (edges[2:, None] - bins) / (edges[2:, None] - edges[1:-1, None])
    weights = np.maximum(np.minimum(rise, fall), 0.0)
    filters: FloatArray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return filters


@cache
def _hann_window() -> FloatArray:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


def band_energies(samples: FloatArray) -> FloatArray:
    """Natural logarithm of the power in mel bands.

    Args:
        samples: [n] float32 at 16 kHz; beyond its ends there is silence.
    Returns:
        [1 + n // 160, 28] float32; frame k is centred on sample 160 k.
    """
    num = 1 + len(samples) // HOP_SAMPLES
    out = np.empty((num, NUM_BANDS), dtype=np.float32)
    half = WINDOW_SAMPLES // 2
    for first in range(0, num, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, num)
        low, high = first * HOP_SAMPLES - half, (last - 1) * HOP_SAMPLES + half
        piece = np.zeros(high - low, dtype=np.float32)
        a, b = max(low, 0), min(high, len(samples))
        piece[a - low : b - low] = samples[a:b]
        frames = np.lib.stride_tricks.sliding_window_view(piece, WINDOW_SAMPLES)[::HOP_SAMPLES]
        out[first:last] = log_bands(frames)
    return out


def log_bands(windows: FloatArray) -> FloatArray:
    """Natural logarithm of the power in mel bands of windows of sound; [n, 400] float32 to [n, 28] float32."""
    power = np.square(np.abs(np.fft.rfft(windows * _hann_window(), n=FFT_SAMPLES, axis=1))).astype(np.float32)
    logarithm: FloatArray = np.log(power @ mel_filters().T + 1e-9)
    return logarithm


def features(samples: FloatArray, typical: FloatArray) -> FloatArray:
    """What the network sees: band energies less the average spectrum of the voice and channel, and the level.

    Args:
        samples: [n] float32 at 16 kHz, at any level.
        typical: [28] float32, average band energies of speech less its loud level.
    Returns:
        [1 + n // 160, 29] float32, about -4 to 2.
    """
    bands = band_energies(samples)
    level = to_db(frame_rms(samples, SPEECH_RATE_HZ, hop_s=HOP_S, num_frames=len(bands)))
    loud_db = max(speech_levels_db(level)[1], QUIETEST_DB)
    bands = np.maximum(bands - loud_db * (np.log(10) / 10), typical.max() - DYNAMIC_RANGE).astype(np.float32)
    active = (1.0 / (1.0 + np.exp(-(level - loud_db + 25.0) / 3.0))).astype(np.float32)
    mean = _local_mean(bands, active, typical)
    relative = np.clip((level - loud_db) / 20.0, -3.0, 1.0)
    return np.concatenate([(bands - mean) / 3.0, relative[:, None]], axis=1).astype(np.float32)


def _local_mean(bands: FloatArray, weight: FloatArray, typical: FloatArray) -> FloatArray:
    """Weighted mean of bands within MEAN_WINDOW_FRAMES, drawn towards the typical spectrum; [n, 28] float32."""
    n = len(bands)
    w = np.concatenate(([0.0], np.cumsum(weight, dtype=np.float64)))
    total = np.concatenate((np.zeros((1, NUM_BANDS)), np.cumsum(bands * weight[:, None], axis=0, dtype=np.float64)))
    low = np.maximum(np.arange(n) - MEAN_WINDOW_FRAMES, 0)
    high = np.minimum(np.arange(n) + MEAN_WINDOW_FRAMES, n)
    sums = total[high] - total[low] + MEAN_PRIOR_FRAMES * typical
    return np.asarray(sums / (w[high] - w[low] + MEAN_PRIOR_FRAMES)[:, None], dtype=np.float32)
