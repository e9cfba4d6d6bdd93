"""WeNet features as Ultralight-Digital-Human computes them: Kaldi filter banks through the user's `encoder.onnx`.

The encoder is a streaming conformer that is fed one window at a time with the same empty caches each time, so a row
depends on its own 0.69 s of sound alone. 20 rows per second.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.tiles import tiled_product
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.errors import BackendError, MissingWeights, WrongCheckpoint

Float64 = NDArray[np.float64]

FRAME_SAMPLES, SHIFT_SAMPLES, FFT_SAMPLES = 400, 160, 512
NUM_BINS = 80
LOW_HZ, HIGH_HZ = 20.0, SPEECH_RATE_HZ / 2
PRE_EMPHASIS = 0.97
LOG_FLOOR = 1.1920928955078125e-07
"""float32 epsilon."""

WINDOW_FRAMES, WINDOW_STEP = 67, 5
"""Filter-bank frames per window and between windows: 50 ms, hence 20 rows per second."""
SILENCE_BEFORE, SILENCE_AFTER = 32 * SHIFT_SAMPLES, 35 * SHIFT_SAMPLES
LOOKAHEAD_SAMPLES = (WINDOW_FRAMES - 1) * SHIFT_SAMPLES + FRAME_SAMPLES - SILENCE_BEFORE
"""From the time of a row to the end of what it hears."""
ROW_SHAPE = (16, 512)


@lru_cache(maxsize=1)
def _povey_window() -> Float64:
    phase = 2 * np.pi * np.arange(FRAME_SAMPLES) / (FRAME_SAMPLES - 1)
    window: Float64 = (0.5 - 0.5 * np.cos(phase)) ** 0.85
    return window


def _mel(hz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hz, np.float64) / 700.0)


@lru_cache(maxsize=1)
def _mel_bank() -> Float64:
    """[NUM_BINS, FFT / 2] triangles on Kaldi's mel scale; the bin at half the sample rate is left out."""
    low, high = _mel(LOW_HZ), _mel(HIGH_HZ)
    step = (high - low) / (NUM_BINS + 1)
    left = low + np.arange(NUM_BINS)[:, None] * step
    bins = _mel(np.arange(FFT_SAMPLES // 2) * (SPEECH_RATE_HZ / FFT_SAMPLES))[None]
    rising, falling = (bins - left) / step, (left + 2 * step - bins) / step
    bank: Float64 = np.maximum(0.0, np.minimum(rising, falling))
    return bank


def filter_bank(samples_int16: NDArray[Any], *, snip_edges: bool = True, first: int = 0) -> FloatArray:
    """Kaldi's log mel filter bank without dither.

    Args:
        samples_int16: [n] on the scale of 16-bit integers.
        snip_edges: only frames that lie inside the sound (1 + (n - 400) // 160). Otherwise frame k is centred on
            sample 160 k + 80, the sound is mirrored before its start, and frames that need sound behind its end are
            left out, as a streaming front end does.
        first: number of the first frame in its sound; a frame's bits do not depend on which others are computed.
    Returns:
        [F, 80] float32, natural logarithm of the power.
    """
    samples = np.asarray(samples_int16, np.float64)
    before = 0 if snip_edges else FRAME_SAMPLES // 2 - SHIFT_SAMPLES // 2
    padded = np.concatenate([samples[:before][::-1], samples])
    count = 1 + (len(padded) - FRAME_SAMPLES) // SHIFT_SAMPLES
    if count < 1:
        return np.zeros((0, NUM_BINS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::SHIFT_SAMPLES][:count]
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    emphasised = (frames - PRE_EMPHASIS * previous) * _povey_window()
    power = np.abs(np.fft.rfft(emphasised, FFT_SAMPLES, axis=1)[:, : FFT_SAMPLES // 2]) ** 2
    energies = tiled_product(power, _mel_bank(), first)
    logarithms: FloatArray = np.log(np.maximum(energies, LOG_FLOOR)).astype(np.float32)
    return logarithms


def padded_int16(samples: FloatArray) -> NDArray[np.int16]:
    """The sound with silence around it, as 16-bit integers: times 32767, truncated."""
    return np.concatenate([np.zeros(SILENCE_BEFORE, np.int16), _int16(samples), np.zeros(SILENCE_AFTER, np.int16)])


def _int16(samples: FloatArray) -> NDArray[np.int16]:
    return (np.clip(samples.astype(np.float64), -1.0, 1.0) * 32767).astype(np.int16)


def window_starts(num_frames: int) -> NDArray[np.int64]:
    """First filter-bank frame of each window: every fifth, until a window reaches the last frame."""
    count = max(1, -(-(num_frames - WINDOW_FRAMES) // WINDOW_STEP) + 1)
    return np.arange(count, dtype=np.int64) * WINDOW_STEP


def num_rows(num_samples: int) -> int:
    """Feature rows of a sound of so many samples at 16 kHz."""
    padded = num_samples + SILENCE_BEFORE + SILENCE_AFTER
    return len(window_starts(1 + (padded - FRAME_SAMPLES) // SHIFT_SAMPLES))


def samples_for_rows(rows: int) -> int:
    """The shortest sound, in samples, that gives at least so many rows."""
    shift = WINDOW_STEP * SHIFT_SAMPLES
    samples = 0
    while num_rows(samples) < rows:
        samples += max(1, rows - num_rows(samples)) * shift
    while samples > 0 and num_rows(samples - 1) >= rows:
        samples -= 1
    return samples


def encoder_windows(frames: FloatArray) -> FloatArray:
    """[F, 80] to [n, 67, 80]; frames behind the end are zeros."""
    starts = window_starts(len(frames))
    index = starts[:, None] + np.arange(WINDOW_FRAMES)
    windows: FloatArray = frames[np.minimum(index, len(frames) - 1)]
    windows[index >= len(frames)] = 0
    return windows


class WenetEncoder:
    """The user's `encoder.onnx`."""

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        path = Path(path)
        if not path.is_file():
            raise MissingWeights(
                f"There is no WeNet encoder {path}.",
                accepted="encoder.onnx as Ultralight-Digital-Human distributes it",
            )
        from talkinghead.backends.onnx_runtime import open_onnx
        from talkinghead.reading.onnx_file import check_onnx_file

        check_onnx_file(path, error=WrongCheckpoint)
        try:
            self._session = open_onnx(path, name=str(path), purpose="The WeNet encoder", threads=threads)
        except BackendError as error:
            raise WrongCheckpoint(f"{path} is not an ONNX model that can be run: {error.__cause__}.") from error
        names = {entry.name for entry in self._session.get_inputs()}
        wanted = {"chunk", "offset", "att_cache", "cnn_cache"}
        if not wanted <= names:
            raise WrongCheckpoint(
                f"{path} takes {', '.join(sorted(names))}.",
                accepted=f"a WeNet encoder with the inputs {', '.join(sorted(wanted))}",
            )
        self._fixed = {
            "offset": np.array([100], np.int64),
            "att_cache": np.zeros((3, 8, 16, 128), np.float32),
            "cnn_cache": np.zeros((3, 1, 512, 14), np.float32),
        }

    def features(self, samples: FloatArray) -> FloatArray:
        """Features of a whole sound.

        Args:
            samples: [n] float32 in [-1, 1], 16 kHz.
        Returns:
            [n, 16, 512] float32, 20 rows per second: what `aud_wenet.npy` holds.
        Raises:
            BackendError: the encoder fails or gives another shape.
        """
        return self.encode(encoder_windows(filter_bank(padded_int16(samples))))

    def encode(self, windows: FloatArray) -> FloatArray:
        """[n, 67, 80] to [n, 16, 512] float32; see `features`."""
        rows = np.empty((len(windows), *ROW_SHAPE), np.float32)
        for k, window in enumerate(windows):
            try:
                row = self._session.run(None, {"chunk": window[None, None], **self._fixed})[0]
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                raise BackendError(f"The WeNet encoder failed: {error}.") from error
            if row.shape[-2:] != ROW_SHAPE:
                raise BackendError(f"The WeNet encoder gave {list(row.shape)}.", accepted="[1, 16, 512]")
            rows[k] = row.reshape(ROW_SHAPE)
        return rows


class WenetStream:
    """`WenetEncoder.features` of a sound that arrives in pieces: each row as soon as it can no longer change, with the
    same bits however the sound is cut."""

    def __init__(self, encoder: WenetEncoder) -> None:
        self._encoder = encoder
        self._samples = np.zeros(SILENCE_BEFORE, np.int16)
        """What further frames need, from frame `_next_frame` on."""
        self._num_samples = 0
        self._frames: FloatArray = np.empty((0, NUM_BINS), np.float32)
        """What further windows need."""
        self._next_frame = self._made = 0

    def push(self, samples: FloatArray) -> FloatArray:
        """Take sound, [n] float32 at 16 kHz; give the rows that are known now, [k, 16, 512]."""
        self._num_samples += len(samples)
        return self._take(_int16(samples))

    def flush(self, min_rows: int | None = None) -> FloatArray:
        """The sound has ended: give the rest.

        Args:
            min_rows: silence follows the sound until it gives so many rows in all.
        """
        silent = 0
        if min_rows is not None and num_rows(self._num_samples) < min_rows:
            silent = max(0, samples_for_rows(min_rows) - self._num_samples)
        rows = [self._take(np.zeros(silent + SILENCE_AFTER, np.int16))]
        missing = len(window_starts(self._next_frame)) - self._made
        windows = np.zeros((missing, WINDOW_FRAMES, NUM_BINS), np.float32)
        for k in range(missing):
            left = self._frames[k * WINDOW_STEP : k * WINDOW_STEP + WINDOW_FRAMES]
            windows[k, : len(left)] = left
        rows.append(self._encoder.encode(windows))
        return np.concatenate(rows)

    def silent_row(self) -> FloatArray:
        """What is heard in silence, [16, 512]."""
        frames = filter_bank(np.zeros((WINDOW_FRAMES - 1) * SHIFT_SAMPLES + FRAME_SAMPLES, np.int16))
        row: FloatArray = self._encoder.encode(frames[None])[0]
        return row

    def _take(self, samples: NDArray[np.int16]) -> FloatArray:
        self._samples = np.concatenate([self._samples, samples])
        new = filter_bank(self._samples, first=self._next_frame)
        self._samples = self._samples[len(new) * SHIFT_SAMPLES :].copy()
        self._next_frame += len(new)
        self._frames = np.concatenate([self._frames, new])
        count = max(0, (len(self._frames) - WINDOW_FRAMES) // WINDOW_STEP + 1)
        windows = np.stack([self._frames[k * WINDOW_STEP :][:WINDOW_FRAMES] for k in range(count)]) if count else None
        self._frames = self._frames[count * WINDOW_STEP :].copy()
        self._made += count
        return np.empty((0, *ROW_SHAPE), np.float32) if windows is None else self._encoder.encode(windows)
