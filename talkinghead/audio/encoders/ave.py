"""The audio-visual encoder ("AVE") of SyncTalk: mel windows to 512 numbers per video frame at 25 frames per second.

Source: ZiqiaoPeng/SyncTalk and SyncTalk_2D, `AudioEncoder`; the mel spectrogram is Wav2Lip's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.mel import DEFAULT_MEL, MelStream, mel_spectrogram, mel_windows
from talkinghead.backends import Graph, GraphBuilder
from talkinghead.backends.layers import Conv, fold_batch_norm
from talkinghead.contracts import Backend, FloatArray
from talkinghead.errors import WrongCheckpoint

Array = NDArray[Any]

WINDOW_COLUMNS = 16
MEL_COLUMNS_PER_S = 80.0
FPS = 25.0
FEATURE_WIDTH = 512
BATCH = 32
"""Windows per call; values do not depend on it beyond rounding."""
LIVE_BATCH = 2
"""Windows per call where they come one by one: the values are those of larger batches, which those of 1 are not."""
LOOKAHEAD_SAMPLES = (WINDOW_COLUMNS - 1) * DEFAULT_MEL.hop_samples + DEFAULT_MEL.fft_samples // 2
"""From the time of a window's first column to the end of what its last one hears."""


@dataclass(frozen=True)
class _Layer:
    """One published block: convolution with bias, BatchNorm, the input again where residual, ReLU."""

    in_width: int
    out_width: int
    kernel: int
    stride: tuple[int, int]
    padding: int
    residual: bool = False


LAYERS: tuple[_Layer, ...] = (
    _Layer(1, 32, 3, (1, 1), 1),
    _Layer(32, 32, 3, (1, 1), 1, residual=True),
    _Layer(32, 32, 3, (1, 1), 1, residual=True),
    _Layer(32, 64, 3, (3, 1), 1),
    _Layer(64, 64, 3, (1, 1), 1, residual=True),
    _Layer(64, 64, 3, (1, 1), 1, residual=True),
    _Layer(64, 128, 3, (3, 3), 1),
    _Layer(128, 128, 3, (1, 1), 1, residual=True),
    _Layer(128, 128, 3, (1, 1), 1, residual=True),
    _Layer(128, 256, 3, (3, 2), 1),
    _Layer(256, 256, 3, (1, 1), 1, residual=True),
    _Layer(256, 512, 3, (1, 1), 0),
    _Layer(512, 512, 1, (1, 1), 0),
)


def num_windows(columns: int) -> int:
    """Windows of a mel spectrogram.

    Args:
        columns: T, at least WINDOW_COLUMNS.
    Kept from the published code: double precision in this order of operations, which gives one less than exact
    arithmetic for some lengths (T = 384 gives 116).
    """
    return int((columns - WINDOW_COLUMNS) / MEL_COLUMNS_PER_S * FPS) + 2


def window_starts(columns: int) -> NDArray[np.int64]:
    """First mel column of each window, [num_windows] int64; the last one or two repeat the final columns."""
    starts = [_window_start(j) for j in range(num_windows(columns))]
    return np.minimum(np.array(starts, np.int64), columns - WINDOW_COLUMNS)


def _window_start(index: int) -> int:
    return int(MEL_COLUMNS_PER_S * (index / FPS))


def num_rows(num_samples: int) -> int:
    """Feature rows of a sound of so many samples at 16 kHz."""
    return num_windows(DEFAULT_MEL.num_columns(max(num_samples, MIN_SAMPLES))) + 2


MIN_SAMPLES = (WINDOW_COLUMNS - 1) * DEFAULT_MEL.hop_samples
"""Samples that give one window; shorter sounds are followed by silence (the published code stops at them)."""


def samples_for_rows(rows: int) -> int:
    """The shortest sound, in samples, that gives at least so many rows."""
    columns = WINDOW_COLUMNS
    while num_windows(columns) + 2 < rows:
        columns += max(1, int((rows - num_windows(columns) - 2) * MEL_COLUMNS_PER_S / FPS * 0.9))
    while columns > WINDOW_COLUMNS and num_windows(columns - 1) + 2 >= rows:
        columns -= 1
    return (columns - 1) * DEFAULT_MEL.hop_samples


def encoder_windows(samples: FloatArray) -> FloatArray:
    """The encoder's inputs for a sound.

    Args:
        samples: [n] float32 in [-1, 1], 16 kHz.
    Returns:
        [num_windows, 1, 80, 16] float32 in [-4, 4].
    """
    if len(samples) < MIN_SAMPLES:
        samples = np.pad(samples, (0, MIN_SAMPLES - len(samples)))
    mel = mel_spectrogram(samples)
    return mel_windows(mel, window_starts(mel.shape[1]), WINDOW_COLUMNS)[:, None]


def with_repeated_ends(rows: FloatArray) -> FloatArray:
    """The first and the last row once more, as training and inference both do."""
    return np.concatenate([rows[:1], rows, rows[-1:]])


def fold_encoder(tensors: Mapping[str, Array]) -> tuple[Conv, ...]:
    """The encoder's convolutions with BatchNorm folded in."""
    return tuple(
        fold_batch_norm(tensors, f"{k}.conv_block.0", f"{k}.conv_block.1", stride=layer.stride, padding=layer.padding)
        for k, layer in enumerate(LAYERS)
    )


def encode(graph: GraphBuilder, convs: Sequence[Conv], windows: str) -> list[str]:
    """Write the encoder into a graph: [B, 1, 80, 16] to [B, 512, 1, 1], all values at least 0.

    Returns:
        The result of every block.
    """
    results: list[str] = []
    x = windows
    for layer, conv in zip(LAYERS, convs, strict=True):
        x = graph.relu(graph.add(conv.write(graph, x), x)) if layer.residual else conv.write(graph, x, relu=True)
        results.append(x)
    return results


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Name to shape of every entry of the published checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {}
    for k, layer in enumerate(LAYERS):
        shapes[f"{k}.conv_block.0.weight"] = (layer.out_width, layer.in_width, layer.kernel, layer.kernel)
        shapes[f"{k}.conv_block.0.bias"] = (layer.out_width,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{k}.conv_block.1.{part}"] = (layer.out_width,)
    return shapes


def encoder_tensors(tensors: Mapping[str, Array], source: str | Path) -> dict[str, Array]:
    """Check the tensors of a checkpoint; names may begin with `audio_encoder.`.

    Raises:
        WrongCheckpoint: missing or misshapen tensors.
    """
    named = {name.removeprefix("audio_encoder."): value for name, value in tensors.items()}
    wanted = expected_shapes()
    wrong = [name for name, shape in wanted.items() if name not in named or named[name].shape != shape]
    if wrong:
        found = f"{wrong[0]} is {list(named[wrong[0]].shape)}" if wrong[0] in named else f"{wrong[0]} is missing"
        raise WrongCheckpoint(
            f"{source} is not an AVE audio encoder ({found}; {len(wrong)} of {len(wanted)} entries do not fit).",
            accepted="audio_visual_encoder.pth of SyncTalk or SyncTalk_2D (91 entries, about 11 MB)",
        )
    return {name: np.asarray(named[name], np.float32) for name in wanted}


class AveEncoder:
    """The encoder, ready to run."""

    def __init__(
        self,
        tensors: Mapping[str, Array],
        *,
        source: str | Path = "the checkpoint",
        backend: Backend = "onnx",
        threads: int = 0,
        sha256: str | None = None,
        cache_folder: Path | None = None,
        batch: int = BATCH,
    ) -> None:
        from talkinghead.backends import Placement, network_of, open_session

        self._batch = batch
        self.sha256 = sha256
        self.source = str(source)
        convs = fold_encoder(encoder_tensors(tensors, source))
        place = Placement("cpu", backend, "float32")
        self._session = open_session(
            network_of(encoder_graph(convs)), place, batch=batch, threads=threads or None, cache_folder=cache_folder
        )

    def encode(self, windows: FloatArray) -> FloatArray:
        """[n, 1, 80, 16] to [n, 512] float32."""
        rows = np.empty((len(windows), FEATURE_WIDTH), np.float32)
        for start in range(0, len(windows), self._batch):
            part = windows[start : start + self._batch]
            full = np.concatenate([part, np.zeros((self._batch - len(part), *part.shape[1:]), np.float32)])
            rows[start : start + len(part)] = self._session.run({"mel": full})["features"][: len(part)]
        return rows

    def features(self, samples: FloatArray) -> FloatArray:
        """Features of a whole sound.

        Args:
            samples: [n] float32 in [-1, 1], 16 kHz.
        Returns:
            [num_rows(n), 512] float32, 25 rows per second: what `aud_ave.npy` holds.
        """
        rows = self.lazy_features(samples)
        rows.fill(len(rows.rows))
        return rows.rows

    def lazy_features(self, samples: FloatArray) -> AveRows:
        """The same, computed as far as it is asked for: speech can begin before all of it is encoded."""
        return AveRows(self, encoder_windows(samples))


class AveRows:
    """Features of a sound that are computed from the front."""

    def __init__(self, encoder: AveEncoder, windows: FloatArray) -> None:
        self._encoder = encoder
        self._windows = windows
        self._done = 0
        self.rows: FloatArray = np.zeros((len(windows) + 2, FEATURE_WIDTH), np.float32)
        """[num_rows, 512]; rows that were not asked for yet are zeros."""

    def fill(self, stop: int) -> None:
        """Compute all rows before `stop`: the first window, every window, the last window again."""
        count = len(self._windows)
        wanted = min(count, -(-stop // BATCH) * BATCH)
        if wanted <= self._done:
            return
        encoded = self._encoder.encode(self._windows[self._done : wanted])
        self.rows[1 + self._done : 1 + wanted] = encoded
        if self._done == 0:
            self.rows[0] = encoded[0]
        if wanted == count:
            self.rows[-1] = encoded[-1]
        self._done = wanted


class AveStream:
    """`AveEncoder.features` of a sound that arrives in pieces: each row as soon as it can no longer change, with the
    same bits however the sound is cut. Row k needs `LOOKAHEAD_SAMPLES` of sound after the time of row k - 1.

    Args:
        encoder: with a batch of `LIVE_BATCH`, where rows are wanted one by one.
    """

    def __init__(self, encoder: AveEncoder) -> None:
        self._encoder = encoder
        self._mel = MelStream()
        self._columns: FloatArray = np.empty((DEFAULT_MEL.bands, 0), np.float32)
        """Columns from `_first` on."""
        self._first = 0
        self._encoded = 0
        """Windows."""

    def push(self, samples: FloatArray) -> FloatArray:
        """Take sound, [n] float32 at 16 kHz; give the rows that are known now, [k, 512]."""
        return self._take(self._mel.push(samples))

    def flush(self, min_rows: int | None = None) -> FloatArray:
        """The sound has ended: give the rest.

        Args:
            min_rows: silence follows the sound until it gives so many rows in all.
        """
        samples = max(self._mel.num_samples, MIN_SAMPLES)
        if min_rows is not None and num_rows(samples) < min_rows:
            samples = max(samples, samples_for_rows(min_rows))
        rows = [self._take(self._mel.push(np.zeros(samples - self._mel.num_samples, np.float32)))]
        rows.append(self._take(self._mel.flush(), ended=True))
        return np.concatenate(rows)

    def silent_row(self) -> FloatArray:
        """What is heard in silence, [512]."""
        windows = np.full((1, 1, DEFAULT_MEL.bands, WINDOW_COLUMNS), -DEFAULT_MEL.limit, np.float32)
        row: FloatArray = self._encoder.encode(windows)[0]
        return row

    def _take(self, columns: FloatArray, *, ended: bool = False) -> FloatArray:
        self._columns = np.concatenate([self._columns, columns], axis=1)
        known = self._first + self._columns.shape[1]
        if ended:
            starts = window_starts(known)[self._encoded :]
        else:
            found: list[int] = []
            while (start := _window_start(self._encoded + len(found))) + WINDOW_COLUMNS <= known:
                found.append(start)
            starts = np.array(found, np.int64)
        if not len(starts):
            return np.empty((0, FEATURE_WIDTH), np.float32)
        rows = self._encoder.encode(mel_windows(self._columns, starts - self._first, WINDOW_COLUMNS)[:, None])
        before = rows[:1] if self._encoded == 0 else rows[:0]
        self._encoded += len(starts)
        kept = max(0, min(_window_start(self._encoded), known - WINDOW_COLUMNS) - self._first)
        self._columns, self._first = self._columns[:, kept:].copy(), self._first + kept
        return np.concatenate([before, rows, rows[-1:] if ended else rows[:0]])


def encoder_graph(convs: Sequence[Conv]) -> Graph:
    """The encoder for any batch: `mel` [B, 1, 80, 16] to `features` [B, 512]."""
    graph = GraphBuilder("ave_encoder", {"mel": (None, 1, 80, WINDOW_COLUMNS)})
    return graph.build([graph.flatten(encode(graph, convs, "mel")[-1], "features")])


def read_ave_encoder(path: str | Path, **options: Any) -> AveEncoder:
    """Load the encoder from its checkpoint.

    Args:
        options: keyword arguments of `AveEncoder`.
    Raises:
        CheckpointError: not this encoder, or unsafe.
    """
    from talkinghead.reading import reading
    from talkinghead.weights import read_checkpoint

    checkpoint = read_checkpoint(path)
    with reading(path, WrongCheckpoint, what="is not an AVE audio encoder"):
        return AveEncoder(checkpoint.tensors, source=path, sha256=checkpoint.sha256, **options)
