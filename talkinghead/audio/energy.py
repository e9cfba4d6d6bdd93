"""Loudness and voice activity from the samples alone.

Everything here walks over the sound in blocks, so that memory beyond the result itself does not grow with length.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import AudioClip, FloatArray

FLOOR_DB = -100.0
"""Level given to digital silence, in dB relative to full scale."""

_BLOCK_FRAMES = 4096


def frame_rms(
    samples: FloatArray,
    sample_rate_hz: int,
    hop_s: float = 0.01,
    window_s: float = 0.025,
    num_frames: int | None = None,
) -> FloatArray:
    """Root mean square of the sound in windows centred on k * hop_s.

    Args:
        samples: [n] float32 in [-1, 1].
        hop_s: seconds between the centres of windows; need not be a whole number of samples.
        window_s: seconds per window. Beyond either end the sound counts as silence.
        num_frames: how many windows; `1 + floor(duration / hop_s)` when None.
    Returns:
        [num_frames] float32 in [0, 1].
    """
    n = len(samples)
    if num_frames is None:
        num_frames = 1 + int(n / sample_rate_hz / hop_s + 1e-9)
    centres = np.rint(np.arange(num_frames, dtype=np.float64) * (hop_s * sample_rate_hz)).astype(np.int64)
    half = max(1, round(window_s * sample_rate_hz / 2))
    return _rms_between(samples, centres - half, centres + half)


def _rms_between(samples: FloatArray, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> FloatArray:
    """RMS of samples[start:stop] for each pair, zero outside the sound; the pairs ascend."""
    n = len(samples)
    out = np.zeros(len(starts), dtype=np.float32)
    for first in range(0, len(starts), _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        low = np.clip(starts[block], 0, n)
        high = np.clip(stops[block], 0, n)
        base, end = int(low[0]), int(high[-1])
        if end <= base:
            continue
        energy = np.concatenate(([0.0], np.cumsum(np.square(samples[base:end], dtype=np.float64))))
        total = energy[np.maximum(high - base, 0)] - energy[np.maximum(low - base, 0)]
        width = np.maximum(stops[block] - starts[block], 1)
        out[block] = np.sqrt(np.maximum(total, 0.0) / width)
    return out


def to_db(rms: FloatArray) -> FloatArray:
    """20 log10, floored at FLOOR_DB."""
    return np.maximum(20.0 * np.log10(np.maximum(rms, 1e-9)), FLOOR_DB).astype(np.float32)


def frame_level_db(clip: AudioClip, hop_s: float = 0.01, window_s: float = 0.025) -> FloatArray:
    """Level of the sound around k * hop_s, in dB relative to full scale; [1 + floor(duration / hop_s)] float32."""
    return to_db(frame_rms(clip.samples, clip.sample_rate_hz, hop_s=hop_s, window_s=window_s))


def envelope_per_frame(clip: AudioClip, fps: Fraction, num_frames: int) -> FloatArray:
    """RMS of the sound within each video frame's own interval [i / fps, (i + 1) / fps).

    Returns:
        [num_frames] float32; 0 beyond the end of the sound. Frame times are exact: no drift at any length.
    """
    rate = clip.sample_rate_hz
    # Integer arithmetic: floor(i * rate / fps) without rounding error at any i.
    edges = np.array([(i * rate * fps.denominator) // fps.numerator for i in range(num_frames + 1)], dtype=np.int64)
    return _rms_between(clip.samples, edges[:-1], edges[1:])


def speech_levels_db(level_db: FloatArray) -> tuple[float, float]:
    """Noise floor and typical loud level of a recording, in dB.

    The floor is the 10th percentile of the level, the loud level the 95th of what lies above the floor; in a
    recording without pauses the floor is at most 25 dB under the loud level away.
    """
    heard = level_db[level_db > FLOOR_DB + 10]
    if len(heard) == 0:
        return FLOOR_DB, FLOOR_DB
    loud = float(np.percentile(heard, 95))
    floor = float(np.percentile(level_db, 10))
    return max(min(floor, loud - 25.0), FLOOR_DB), loud


def voice_activity(level_db: FloatArray, hop_s: float = 0.01, hold_s: float = 0.1) -> NDArray[np.bool_]:
    """Where something is said, by level alone.

    The threshold lies between noise floor and loud level, at least 12 dB over the floor where the recording allows
    and never more than 40 dB under the loud level; gaps and blips shorter than `hold_s` are closed and removed.

    Args:
        level_db: [n] as from `frame_level_db`.
    Returns:
        [n] bool.
    """
    floor, loud = speech_levels_db(level_db)
    if loud <= -70.0:
        return np.zeros(len(level_db), dtype=np.bool_)
    threshold = max(loud - 40.0, min(floor + 10.0, loud - 15.0))
    active = level_db > threshold
    width = max(1, round(hold_s / hop_s))
    return _drop_short_runs(_drop_short_runs(active, False, width), True, max(1, width // 3))


def _drop_short_runs(values: NDArray[np.bool_], kind: bool, width: int) -> NDArray[np.bool_]:
    """Flip runs of `kind` shorter than `width` that have the other kind on both sides."""
    out = values.copy()
    for start, stop in runs(values == kind):
        if stop - start < width and start > 0 and stop < len(values):
            out[start:stop] = not kind
    return out


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open intervals where a mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
