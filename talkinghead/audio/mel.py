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

from talkinghead.audio.tiles import tiled_product
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.errors import AudioTooShort

Padding = Literal["zeros", "reflect"]

_BLOCK_COLUMNS = 4096
"""Columns per Fourier transform call: keeps memory flat for long sounds."""


@dataclass(frozen=True)
class MelSettings:
    """A mel spectrogram in decibels, scaled to [-limit, limit]. The defaults are Wav2Lip's."""

    sample_rate_hz: int = SPEECH_RATE_HZ
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


DEFAULT_MEL = MelSettings()


def hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1000 Hz, logarithmic above."""
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) * 27 / math.log(6.4)


def mel_to_hz(mel: float) -> float:
    """Inverse of `hz_to_mel`."""
    return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


@lru_cache(maxsize=8)
def mel_filter_bank(settings: MelSettings = DEFAULT_MEL) -> FloatArray:
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


def mel_spectrogram(samples: NDArray[np.floating[Any]], settings: MelSettings = DEFAULT_MEL) -> FloatArray:
    """Mel spectrogram of a whole sound.

    Args:
        samples: [n] in [-1, 1] at `settings.sample_rate_hz`; n >= 1.
    Returns:
        [bands, 1 + n // hop] float32 in [-limit, limit]. Computed in float64; column t is centred on sample t * hop.
    Raises:
        ValueError: the sound holds values that are not numbers. AudioTooShort: no samples, or too few to reflect.
    """
    _check_length(len(samples), settings)
    _check_finite(samples)
    return _columns(samples, settings, 0, settings.num_columns(len(samples)))


class MelStream:
    """The mel spectrogram of a sound that arrives in pieces; each column as soon as it can no longer change.

    However the sound is cut, the columns are those of `mel_spectrogram`, bit for bit.
    """

    def __init__(self, settings: MelSettings = DEFAULT_MEL) -> None:
        self.settings = settings
        self._kept: NDArray[np.floating[Any]] = np.zeros(0, np.float32)
        """The last samples, from `_origin` on, which columns still need."""
        self._origin = 0
        self._made = 0

    @property
    def num_samples(self) -> int:
        """Samples taken so far."""
        return self._origin + len(self._kept)

    def push(self, samples: NDArray[np.floating[Any]]) -> FloatArray:
        """Take sound, [n] in [-1, 1], any n; give the columns that are complete, [bands, k] float32.

        Raises:
            ValueError: values that are not numbers.
        """
        _check_finite(samples)
        known = np.concatenate([self._kept, samples]) if len(self._kept) else samples
        half, hop = self.settings.fft_samples // 2, self.settings.hop_samples
        num_samples = self._origin + len(known)
        complete = 0 if num_samples < half + (self.settings.padding == "reflect") else 1 + (num_samples - half) // hop
        made = self._take(known, max(self._made, complete))
        # What the next columns reach back to, also where the end of the sound is reflected, and one sample before that.
        first = max(self._origin, self._made * hop - half - 2)
        self._kept, self._origin = known[first - self._origin :].copy(), first
        return made

    def flush(self) -> FloatArray:
        """The sound has ended: give the rest of the columns, [bands, k] float32.

        Raises:
            AudioTooShort: no samples, or too few to reflect.
        """
        _check_length(self.num_samples, self.settings)
        return self._take(self._kept, self.settings.num_columns(self.num_samples))

    def _take(self, known: NDArray[np.floating[Any]], stop: int) -> FloatArray:
        first, self._made = self._made, stop
        return _columns(known, self.settings, first, stop, self._origin)


def _check_length(num_samples: int, settings: MelSettings) -> None:
    if num_samples == 0:
        raise AudioTooShort("The sound holds no samples.", accepted="at least one sample")
    half = settings.fft_samples // 2
    if settings.padding == "reflect" and num_samples <= half:
        raise AudioTooShort(
            f"{num_samples} samples cannot be reflected at their ends.", accepted=f"more than {half} samples"
        )


def _check_finite(samples: NDArray[np.floating[Any]]) -> None:
    if not np.isfinite(samples).all():
        raise ValueError("the sound holds values that are not numbers")


def _columns(
    samples: NDArray[np.floating[Any]], settings: MelSettings, first: int, stop: int, origin: int = 0
) -> FloatArray:
    """Columns first to stop of a sound's spectrogram, [bands, stop - first] float32.

    A column's bits do not depend on which others are computed with it.

    Args:
        samples: the sound from sample `origin` on, up to its end or as far as the columns reach.
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.fft_samples) / settings.fft_samples)
    bank = mel_filter_bank(settings).astype(np.float64)
    mel = np.empty((settings.bands, stop - first), np.float32)
    while first < stop:
        end = min(stop, first + _BLOCK_COLUMNS)
        part = _padded_part(samples, settings, first * settings.hop_samples, end - first, origin)
        frames = np.lib.stride_tricks.sliding_window_view(part, settings.fft_samples)[:: settings.hop_samples]
        magnitude = np.abs(np.fft.rfft(frames * window, axis=1))
        amplitude = tiled_product(magnitude, bank, first).T
        mel[:, mel.shape[1] - (stop - first) : mel.shape[1] - (stop - end)] = _scaled_decibels(amplitude, settings)
        first = end
    return mel


def _padded_part(
    samples: NDArray[np.floating[Any]], settings: MelSettings, start: int, columns: int, origin: int
) -> NDArray[np.float64]:
    """The pre-emphasised samples under `columns` windows from padded position `start`, float64."""
    n, half = origin + len(samples), settings.fft_samples // 2
    length = (columns - 1) * settings.hop_samples + settings.fft_samples
    index = np.arange(start - half, start - half + length)
    inside = (index >= 0) & (index < n)
    if settings.padding == "reflect":
        index = np.abs(index)
        index = np.where(index >= n, 2 * (n - 1) - index, index)
        inside = np.ones(length, bool)
    index = np.clip(index, 0, n - 1)
    value = samples[index - origin].astype(np.float64)
    before = np.where(index > 0, samples[np.maximum(index - 1, 0) - origin], 0).astype(np.float64)
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
    num_frames: int, fps: Fraction | float, columns_per_s: int = 80, *, lead_frames: int = 0, first_frame: int = 0
) -> NDArray[np.int64]:
    """First column of the window of each of `num_frames` frames; may lie before the first or behind the last column.

    Args:
        lead_frames: frames by which every window begins earlier.
        first_frame: those before it are left out.
    Returns:
        [num_frames - first_frame] int64, floor((i - lead_frames) * (80 / fps)) in float64.
    """
    ratio = columns_per_s / float(fps)
    frames = np.arange(first_frame, max(first_frame, num_frames)) - lead_frames
    starts: NDArray[np.int64] = np.floor(frames * ratio).astype(np.int64)
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
    if mel.shape[1] == 0:
        return np.full((len(index), mel.shape[0], width), silence, np.float32)
    known = (index >= 0) & (index < mel.shape[1])
    cut = mel[:, np.clip(index, 0, mel.shape[1] - 1)]  # [bands, N, width]
    windows = np.where(known, cut, np.float32(silence)).transpose(1, 0, 2)
    return np.ascontiguousarray(windows, dtype=np.float32)
