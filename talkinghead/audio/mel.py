"""Mel spectrogram of speech, as the Wav2Lip family of networks hears it, and the window of each video frame.

Source: Prajwal et al. 2020 (Wav2Lip), `audio.py` and `hparams.py`; the same features as Tacotron 2 implementations by
R. Yamamoto. Filters: Slaney's Auditory Toolbox scale and normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.errors import AudioTooShort

Padding = Literal["zeros", "reflect"]

_BLOCK_COLUMNS = 4096
"""Columns per Fourier transform call: keeps memory flat for long sounds."""


@dataclass(frozen=True)
class MelSettings:
    """A mel spectrogram in decibels, scaled to [-limit, limit]. The defaults are Wav2Lip's."""

    sample_rate_hz: int = 16_000
    fft_samples: int = 800
    """Also the length of the Hann window."""
    hop_samples: int = 200
    bands: int = 80
    low_hz: float = 55.0
    high_hz: float = 7600.0
    pre_emphasis: float = 0.97
    min_level_db: float = -100.0
    reference_db: float = 20.0
    limit: float = 4.0
    """Values lie in [-limit, limit]; digital silence is -limit."""
    padding: Padding = "zeros"
    """What lies before and behind the sound: zeros (librosa since 0.9), or its reflection (librosa up to 0.8)."""

    @property
    def columns_per_s(self) -> Fraction:
        return Fraction(self.sample_rate_hz, self.hop_samples)

    def num_columns(self, num_samples: int) -> int:
        """Columns of a sound: the first is centred on its first sample."""
        return 1 + num_samples // self.hop_samples


WAV2LIP_MEL = MelSettings()


def hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1000 Hz, logarithmic above."""
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) * 27 / math.log(6.4)


def mel_to_hz(mel: float) -> float:
    """Inverse of `hz_to_mel`."""
    return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


@lru_cache(maxsize=8)
def mel_filter_bank(settings: MelSettings = WAV2LIP_MEL) -> FloatArray:
    """[bands, fft_samples / 2 + 1] float32: triangles of unit area (Slaney norm) over the Fourier bins."""
    edges = np.array(
        [
            mel_to_hz(mel)
            for mel in np.linspace(hz_to_mel(settings.low_hz), hz_to_mel(settings.high_hz), settings.bands + 2)
        ]
    )
    bins = np.arange(settings.fft_samples // 2 + 1) * (settings.sample_rate_hz / settings.fft_samples)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    bank = triangles.astype(np.float32) * (2 / (high - low))
    result: FloatArray = bank.astype(np.float32)
    result.setflags(write=False)
    return result


def mel_spectrogram(samples: NDArray[np.floating[Any]], settings: MelSettings = WAV2LIP_MEL) -> FloatArray:
    """Mel spectrogram of a whole sound.

    Args:
        samples: [n] in [-1, 1] at `settings.sample_rate_hz`; n >= 1.
    Returns:
        [bands, 1 + n // hop] float32 in [-limit, limit]. Computed in float64; column t is centred on sample t * hop.
    Raises:
        ValueError: the sound holds values that are not numbers. AudioTooShort: no samples, or too few to reflect.
    """
    n = len(samples)
    if n == 0:
        raise AudioTooShort("The sound holds no samples.", accepted="at least one sample")
    half = settings.fft_samples // 2
    if settings.padding == "reflect" and n <= half:
        raise AudioTooShort(f"{n} samples cannot be reflected at their ends.", accepted=f"more than {half} samples")
    if not np.isfinite(samples).all():
        raise ValueError("the sound holds values that are not numbers")
    columns = settings.num_columns(n)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.fft_samples) / settings.fft_samples)
    bank = mel_filter_bank(settings).astype(np.float64)
    mel = np.empty((settings.bands, columns), np.float32)
    for first in range(0, columns, _BLOCK_COLUMNS):
        stop = min(columns, first + _BLOCK_COLUMNS)
        part = _padded_part(samples, settings, first * settings.hop_samples, stop - first)
        frames = np.lib.stride_tricks.sliding_window_view(part, settings.fft_samples)[:: settings.hop_samples]
        magnitude = np.abs(np.fft.rfft(frames * window, axis=1))
        mel[:, first:stop] = _scaled_decibels(bank @ magnitude.T, settings)
    return mel


def _padded_part(
    samples: NDArray[np.floating[Any]], settings: MelSettings, start: int, columns: int
) -> NDArray[np.float64]:
    """The pre-emphasised samples under `columns` windows from padded position `start`, float64."""
    n, half = len(samples), settings.fft_samples // 2
    length = (columns - 1) * settings.hop_samples + settings.fft_samples
    index = np.arange(start - half, start - half + length)
    inside = (index >= 0) & (index < n)
    if settings.padding == "reflect":
        index = np.abs(index)
        index = np.where(index >= n, 2 * (n - 1) - index, index)
        inside = np.ones(length, bool)
    index = np.clip(index, 0, n - 1)
    value = samples[index].astype(np.float64)
    before = np.where(index > 0, samples[np.maximum(index - 1, 0)], 0).astype(np.float64)
    emphasised: NDArray[np.float64] = np.where(inside, value - settings.pre_emphasis * before, 0.0)
    return emphasised


def _scaled_decibels(amplitude: NDArray[np.float64], settings: MelSettings) -> NDArray[np.float64]:
    """20 log10, floored, relative to the reference, then [min_level, 0] to [-limit, limit], clipped."""
    floor = 10 ** (settings.min_level_db / 20)
    decibels = 20 * np.log10(np.maximum(floor, amplitude)) - settings.reference_db
    scaled = 2 * settings.limit * ((decibels - settings.min_level_db) / -settings.min_level_db) - settings.limit
    return np.clip(scaled, -settings.limit, settings.limit)


# Windows ------------------------------------------------------------------------------------------------------------


def published_window_starts(
    num_columns: int, fps: Fraction | float, width: int = 16, columns_per_s: int = 80
) -> NDArray[np.int64]:
    """First column of each window, by the published rule; as many video frames as windows.

    Args:
        num_columns: T.
        fps: frames per second of the video.
        width: columns per window.
    Returns:
        [N] int64: trunc(i * (80 / fps)) in float64 as long as the window fits, then once more the last `width` columns.
        For one second at 25 fps that is 22 windows: the video is about 0.12 s shorter than the sound.
    Raises:
        AudioTooShort: T < width, for which nothing is published.
    """
    if num_columns < width:
        raise AudioTooShort(
            f"The sound gives {num_columns} mel columns.",
            accepted=f"at least {width} ({(width - 1) / columns_per_s:.2f} s)",
            remedy="pad the sound with silence, or use `talkinghead generate` without --compat",
        )
    ratio = columns_per_s / float(fps)
    count = math.ceil((num_columns - width + 1) / ratio) + 2
    starts = (np.arange(count) * ratio).astype(np.int64)
    starts = starts[: int(np.argmax(starts + width > num_columns))]
    return np.append(starts, num_columns - width).astype(np.int64)


def frame_window_starts(
    num_frames: int, fps: Fraction | float, columns_per_s: int = 80, *, lead_frames: int = 0
) -> NDArray[np.int64]:
    """First column of the window of each of `num_frames` frames; may lie before the first or behind the last column.

    Args:
        lead_frames: frames by which every window begins earlier.
    Returns:
        [num_frames] int64, floor((i - lead_frames) * (80 / fps)) in float64.
    """
    ratio = columns_per_s / float(fps)
    starts: NDArray[np.int64] = np.floor((np.arange(num_frames) - lead_frames) * ratio).astype(np.int64)
    return starts


def mel_windows(
    mel: FloatArray, starts: NDArray[np.int64] | Sequence[int], width: int = 16, *, silence: float = -4.0
) -> FloatArray:
    """Cut windows out of a mel spectrogram; columns that the sound does not have are silence.

    Args:
        mel: [bands, T] float32.
        starts: [N] first columns.
    Returns:
        [N, bands, width] float32, a copy.
    """
    index = np.asarray(starts, np.int64)[:, None] + np.arange(width)  # [N, width]
    known = (index >= 0) & (index < mel.shape[1])
    cut = mel[:, np.clip(index, 0, mel.shape[1] - 1)]  # [bands, N, width]
    windows = np.where(known, cut, np.float32(silence)).transpose(1, 0, 2)
    return np.ascontiguousarray(windows, dtype=np.float32)
