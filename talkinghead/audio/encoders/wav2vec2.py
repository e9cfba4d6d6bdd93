"""HuBERT and Esperanto wav2vec 2.0 features through transformers, in the blocks that published heads are trained with.

Rows come in blocks, in order, 25 per second of sound, so that memory does not grow with the length of the sound.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.audio.encoders.model_folder import check_model_folder
from talkinghead.contracts import FloatArray
from talkinghead.errors import MissingDependency, MissingWeights, WrongCheckpoint
from talkinghead.reading import reason

HOP = 320
"""Samples between rows of the encoders: 50 rows per second at 16 kHz."""
FIELD = 400
"""Samples that one row sees."""
VARIANCE_EPSILON = 1e-7


@dataclass(frozen=True)
class Encoder:
    """One published encoder."""

    name: str
    """Also its name in the model store."""
    model: str
    """Its name on the Hugging Face hub."""
    width: int
    """Numbers per row."""


ENCODERS: Mapping[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        Encoder("hubert", "facebook/hubert-large-ls960-ft", 1024),
        Encoder("esperanto", "cpierse/wav2vec2-large-xlsr-53-esperanto", 44),
    )
}

HUBERT_BLOCK = 1000 * HOP
"""Samples from one block to the next: 20 s. Blocks do not overlap in context, as published."""
HUBERT_OVERLAP = 80
"""Further samples that a block sees, so that it gives exactly 1000 rows."""

CONTEXT, STRIDE = 50, 10
"""Chunks of HOP samples that an Esperanto block gives, and that it sees on either side."""
WINDOW, WINDOW_STEP, WINDOW_PAD = 16, 2, 8
"""Rows per window, rows from one window to the next, zero rows on either side."""


def num_rows(samples: int) -> int:
    """Rows that the encoders give for one stretch of sound."""
    return max(0, (samples - FIELD) // HOP + 1)


def normalized(samples: FloatArray) -> FloatArray:
    """Zero mean, unit variance: what the encoders' preprocessor does."""
    mean = samples.mean(dtype=np.float64)
    variance = np.square(samples - mean, dtype=np.float64).mean()
    scaled: FloatArray = ((samples - mean) / np.sqrt(variance + VARIANCE_EPSILON)).astype(np.float32)
    return scaled


@dataclass(frozen=True)
class HubertPlan:
    """Which samples each block sees, and how many rows are kept."""

    blocks: tuple[tuple[int, int], ...]
    """(first, last) sample of each block, half open."""
    rows: int
    """Rows that are kept in the end: even, missing ones are zeros."""


def hubert_plan(samples: int) -> HubertPlan:
    """Blocks of the published script. Two rows make one video frame; an odd last row is dropped."""
    whole = samples // HUBERT_BLOCK
    blocks = [(k * HUBERT_BLOCK, min(samples, (k + 1) * HUBERT_BLOCK + HUBERT_OVERLAP)) for k in range(whole)]
    if samples - whole * HUBERT_BLOCK >= FIELD:
        blocks.append((whole * HUBERT_BLOCK, samples))
    expected = max(0, (samples - HUBERT_OVERLAP) // HOP)
    return HubertPlan(tuple(blocks), expected - expected % 2)


def esperanto_plan(samples: int) -> list[tuple[int, int, int, int]]:
    """Blocks of the published script: (first, last) sample of the sound after STRIDE zero chunks were put before it,
    and (first, last) row of the block's output that is kept.

    As published, a row is lost where a piece of a chunk ends the block before the last one.
    """
    chunks = STRIDE + -(-samples // HOP)
    padded = STRIDE * HOP + samples
    size = CONTEXT + 2 * STRIDE
    blocks = []
    full = max(0, (chunks - size) // CONTEXT + 1)
    for k in range(full):
        first, last = k * CONTEXT * HOP, min(padded, (k * CONTEXT + size) * HOP)
        rows = num_rows(last - first)
        blocks.append((first, last, STRIDE, min(rows, rows - STRIDE + 1)))
    first = full * CONTEXT * HOP
    blocks.append((first, padded, STRIDE, max(STRIDE, num_rows(padded - first))))
    return blocks


def encoder_source(name: str, given: str | None) -> tuple[str, bool]:
    """What transformers loads, and whether it may download.

    Only a model that the user named may be downloaded; the default one must be on this machine already: in the model
    store, or in the Hugging Face cache.
    """
    if given:
        return given, True
    from talkinghead.weights.store import part_folder

    stored = part_folder(name, f"{name}-config")
    return (str(stored) if stored is not None else ENCODERS[name].model), False


def hub_revision(name: str) -> str | None:
    """Name and commit of a model of the hub that is on this machine; None where it is not."""
    folder = cached_folder(name)
    return f"{name}@{folder.name}" if folder is not None else None


def cached_folder(name: str) -> Path | None:
    """The folder of a model of the hub that is on this machine; None where it is not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def load_encoder(name: str, given: str | None, device: str = "cpu") -> Any:
    """The speech encoder, float32, in evaluation mode.

    Args:
        name: a key of ENCODERS.
        given: a folder in the format of transformers or a name on the Hugging Face hub; None looks for the published
            model among those that were downloaded before.
    Raises:
        MissingDependency, MissingWeights: transformers or the model is not there. WrongCheckpoint: another model.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingDependency(
            "transformers", extra="models", purpose=f"Computing {name} features from sound"
        ) from error
    encoder = ENCODERS[name]
    source, may_download = encoder_source(name, given)
    kind = transformers.HubertModel if name == "hubert" else transformers.AutoModelForCTC
    folder = Path(source)
    there = folder if folder.is_dir() else cached_folder(source)
    if there is not None:
        check_model_folder(there)
    try:
        model = kind.from_pretrained(
            source,
            local_files_only=not may_download or folder.is_dir() or os.environ.get("HF_HUB_OFFLINE") == "1",
            trust_remote_code=False,
        )
    except Exception as error:  # the library and those below it have no common base
        raise MissingWeights(
            f"The speech encoder {source} cannot be loaded: {reason(error)}",
            accepted=f"a folder with {encoder.model} in the format of transformers, or its name to download it",
            remedy=f"talkinghead models pull {name}, --audio-model {encoder.model}, or --features FILE.npy "
            "if you have computed them before",
        ) from error
    width = model.config.hidden_size if name == "hubert" else model.config.vocab_size
    if width != encoder.width:
        raise WrongCheckpoint(
            f"{source} gives {width} numbers per row; {name} features have {encoder.width}.",
            accepted=encoder.model,
        )
    model.eval()
    moved: Any = model.to(device)  # type: ignore[arg-type]
    return moved


def _run(model: Any, samples: FloatArray) -> FloatArray:
    """One stretch of normalised sound through the encoder, [rows, width] float32."""
    import torch

    device = next(model.parameters()).device
    with torch.inference_mode():
        output = model(torch.from_numpy(samples)[None].to(device))
    rows = output.last_hidden_state if "last_hidden_state" in output else output.logits
    result: FloatArray = rows[0].float().cpu().numpy()
    return result


def hubert_rows(
    model: Any, samples: FloatArray, progress: Callable[[float, float], None] | None = None
) -> Iterator[FloatArray]:
    """HuBERT features of 16 kHz sound, block by block: [R, 2, 1024].

    Source: published `hubert.py`. Kept from it: the sound is normalised as a whole; context ends every 20 s.
    """
    plan = hubert_plan(len(samples))
    mean = samples.mean(dtype=np.float64) if len(samples) else 0.0
    deviation = np.sqrt(np.square(samples - mean, dtype=np.float64).mean() + VARIANCE_EPSILON) if len(samples) else 1.0
    done = 0
    width = model.config.hidden_size
    odd = np.empty((0, width), np.float32)
    for first, last in plan.blocks:
        if progress is not None:
            progress(first, len(samples))
        rows = _run(model, ((samples[first:last] - mean) / deviation).astype(np.float32))[: plan.rows - done]
        done += len(rows)
        rows = np.concatenate([odd, rows])
        even = len(rows) - len(rows) % 2
        odd = rows[even:]
        yield rows[:even].reshape(-1, 2, width)
    if done < plan.rows:  # at most one row is missing, and its partner waits in `odd`
        yield np.concatenate([odd, np.zeros((plan.rows - done, width), np.float32)]).reshape(-1, 2, width)


def esperanto_rows(
    model: Any, samples: FloatArray, progress: Callable[[float, float], None] | None = None
) -> Iterator[FloatArray]:
    """Esperanto logits of 16 kHz sound, block by block: [R, 16, 44].

    Source: published `wav2vec.py`. Kept from it: every block is normalised by itself; blocks of one second see 0.2 s on
    either side; the last block keeps its rows up to the end.
    """
    width = model.config.vocab_size
    pending = np.zeros((WINDOW_PAD, width), np.float32)
    for first, last, low, high in esperanto_plan(len(samples)):
        if progress is not None:
            progress(first, len(samples))
        lead = max(0, STRIDE * HOP - first)
        begin = max(0, first - STRIDE * HOP)
        sound = np.concatenate([np.zeros(lead, np.float32), samples[begin : last - STRIDE * HOP]])
        pending = np.concatenate([pending, _run(model, normalized(sound))[low:high]])
        windows, pending = _windows(pending)
        yield windows
    yield _windows(np.concatenate([pending, np.zeros((WINDOW_PAD, width), np.float32)]))[0]


class EsperantoStream:
    """`esperanto_rows` of a sound that arrives in pieces: the rows of each second as soon as 0.2 s behind it are there,
    with the same bits however the sound is cut."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known = np.zeros(STRIDE * HOP, np.float32)
        """What further blocks see; STRIDE chunks of silence come before the sound."""
        self._num_samples = self._blocks = 0
        self._pending = np.zeros((WINDOW_PAD, model.config.vocab_size), np.float32)

    def push(self, samples: FloatArray) -> FloatArray:
        """Take sound, [n] float32 at 16 kHz; give the rows that are known now, [k, 16, 44]."""
        self._num_samples += len(samples)
        self._known = np.concatenate([self._known, samples])
        windows = [_windows(self._pending[:0])[0]]
        size = (CONTEXT + 2 * STRIDE) * HOP
        while len(self._known) >= size:
            rows = num_rows(size)
            windows.append(self._take(size, STRIDE, min(rows, rows - STRIDE + 1)))
        return np.concatenate(windows)

    def flush(self) -> FloatArray:
        """The sound has ended: give the rest."""
        windows = []
        for first, last, low, high in esperanto_plan(self._num_samples)[self._blocks :]:
            windows.append(self._take(last - first, low, high))
        self._pending = np.concatenate([self._pending, np.zeros((WINDOW_PAD, self._pending.shape[1]), np.float32)])
        return np.concatenate([*windows, _windows(self._pending)[0]])

    def _take(self, size: int, low: int, high: int) -> FloatArray:
        """Hear the next block; complete windows."""
        rows = _run(self._model, normalized(self._known[:size]))[low:high]
        self._known, self._blocks = self._known[CONTEXT * HOP :].copy(), self._blocks + 1
        windows, self._pending = _windows(np.concatenate([self._pending, rows]))
        return windows


def _windows(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cut complete windows off the front: [R, WINDOW, width], and the rows that later windows still need."""
    count = max(0, (len(rows) - WINDOW) // WINDOW_STEP + 1)
    if count == 0:
        return np.empty((0, WINDOW, rows.shape[1]), np.float32), rows
    index = WINDOW_STEP * np.arange(count)[:, None] + np.arange(WINDOW)
    return rows[index], rows[WINDOW_STEP * count :]


def num_feature_rows(name: str, samples: int) -> int:
    """Video frames that get features from this many samples at 16 kHz."""
    if name == "hubert":
        return hubert_plan(samples).rows // 2
    rows = sum(high - low for _, _, low, high in esperanto_plan(samples))
    return rows // WINDOW_STEP + 1
