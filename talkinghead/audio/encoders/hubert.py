"""HuBERT features in the published conventions.

| convention  | layer                          | chunks of 20 s | odd number of rows   | smoothed |
|-------------|--------------------------------|----------------|----------------------|----------|
| synctalk    | last, after its norm           | yes            | a zero row is added  | no       |
| udh-classic | last, after its norm           | yes            | the last row is lost | no       |
| ilg         | output of the 12th of 24       | no             | the last row repeats | yes      |

All use facebook/hubert-large-ls960-ft and give [n, 2, 1024] rows, 25 per second. A generator that was trained with one
does not work with another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.encoders.model_folder import check_model_folder
from talkinghead.contracts import FloatArray
from talkinghead.errors import BackendError, MissingDependency, MissingWeights, OptionError, choices

SHIFT_SAMPLES, RECEPTIVE_SAMPLES = 320, 400
CHUNK_SAMPLES = 320_000
CHUNK_OVERLAP = RECEPTIVE_SAMPLES - SHIFT_SAMPLES
"""Samples that a chunk needs of the next one, so that no row is lost between them."""
MODEL_NAME = "facebook/hubert-large-ls960-ft"


@dataclass(frozen=True)
class Convention:
    """How hidden states become rows."""

    name: str
    layer: int | None
    """Index into the hidden states, or None for the last one behind its layer norm."""
    chunked: bool
    odd: str
    """"zero", "drop" or "repeat"."""
    smoothed: bool


CONVENTIONS: Mapping[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention("synctalk", None, True, "zero", False),
        Convention("udh-classic", None, True, "drop", False),
        Convention("ilg", 12, False, "repeat", True),
    )
}


def convention(name: str) -> Convention:
    """A convention by name.

    Raises:
        OptionError: no such convention.
    """
    if name not in CONVENTIONS:
        raise OptionError(f"There is no HuBERT convention {name!r}.", accepted=choices(list(CONVENTIONS)))
    return CONVENTIONS[name]


def normalise(samples: FloatArray) -> FloatArray:
    """Zero mean and unit variance over the whole sound, before it is cut into chunks."""
    x = np.asarray(samples, np.float32)
    normal: FloatArray = ((x - x.mean()) / np.sqrt(x.var() + 1e-7)).astype(np.float32)
    return normal


def chunk_bounds(num_samples: int) -> list[tuple[int, int]]:
    """[start, stop) of each chunk: 20 s and the overlap; the rest if it gives a row."""
    whole = num_samples // CHUNK_SAMPLES
    bounds = [(k * CHUNK_SAMPLES, k * CHUNK_SAMPLES + CHUNK_SAMPLES + CHUNK_OVERLAP) for k in range(whole)]
    bounds = [(start, min(stop, num_samples)) for start, stop in bounds]
    if num_samples - whole * CHUNK_SAMPLES >= RECEPTIVE_SAMPLES:
        bounds.append((whole * CHUNK_SAMPLES, num_samples))
    return bounds


def fit_rows(rows: FloatArray, count: int) -> FloatArray:
    """Cut or fill up with zeros to `count` rows."""
    if len(rows) >= count:
        return rows[:count]
    return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]), rows.dtype)])


def expected_rows(num_samples: int) -> int:
    """Rows of 20 ms of a sound."""
    return max(0, (num_samples - CHUNK_OVERLAP) // SHIFT_SAMPLES)


def paired(rows: FloatArray, odd: str) -> FloatArray:
    """[n, width] rows of 20 ms to [ceil or floor(n / 2), 2, width] rows of 40 ms.

    Args:
        odd: what happens to a single last row: "zero", "drop" or "repeat".
    """
    if len(rows) % 2:
        if odd == "drop":
            rows = rows[:-1]
        else:
            last = rows[-1:] if odd == "repeat" else np.zeros_like(rows[-1:])
            rows = np.concatenate([rows, last])
    return rows.reshape(-1, 2, rows.shape[1])


def smoothed(rows: NDArray[Any]) -> FloatArray:
    """Mean over three neighbours in time, the ends repeated."""
    edges = np.concatenate([rows[:1], rows, rows[-1:]]).astype(np.float32)
    mean: FloatArray = ((edges[:-2] + edges[1:-1] + edges[2:]) / np.float32(3)).astype(np.float32)
    return mean


class HubertEncoder:
    """A HuBERT model of transformers."""

    def __init__(self, model: Any, *, device: str = "cpu") -> None:
        """
        Args:
            model: a transformers `HubertModel`.
        """
        self._model = model.eval().to(device)
        self._device = device

    def hidden_rows(self, values: FloatArray, layer: int | None) -> FloatArray:
        """Rows of one stretch of normalised sound.

        Args:
            values: [n] float32, at least RECEPTIVE_SAMPLES.
            layer: index into the hidden states (0 is the input of the first layer), None for the final output.
        Returns:
            [(n - 80) // 320, width] float32.
        """
        import torch

        with torch.inference_mode():
            out = self._model(torch.from_numpy(values)[None].to(self._device), output_hidden_states=layer is not None)
            state = out.last_hidden_state if layer is None else out.hidden_states[layer]
            rows: FloatArray = state[0].float().cpu().numpy()
        return rows

    def rows(
        self, samples: FloatArray, name: str = "synctalk", progress: Callable[[float, float], None] | None = None
    ) -> FloatArray:
        """Rows of 20 ms of a whole sound, [n, width], before pairing; see `features`."""
        how = convention(name)
        if len(samples) < RECEPTIVE_SAMPLES:
            samples = np.pad(samples, (0, RECEPTIVE_SAMPLES - len(samples)))
        values = normalise(samples)
        if not how.chunked:
            return self.hidden_rows(values, how.layer)
        parts = []
        for start, stop in chunk_bounds(len(values)):
            if progress is not None:
                progress(start, len(values))
            parts.append(self.hidden_rows(values[start:stop], how.layer))
        rows = np.concatenate(parts)
        expected = expected_rows(len(values))
        if abs(len(rows) - expected) > 1:
            raise BackendError(f"HuBERT gave {len(rows)} rows for {len(values)} samples instead of {expected}.")
        return fit_rows(rows, expected)

    def features(
        self, samples: FloatArray, name: str = "synctalk", progress: Callable[[float, float], None] | None = None
    ) -> FloatArray:
        """Features of a whole sound.

        Args:
            samples: [n] float32 in [-1, 1], 16 kHz mono.
            name: a convention of CONVENTIONS.
            progress: called with (done, in all) now and then; what it raises ends the work.
        Returns:
            [n, 2, 1024] float32, 25 rows per second: what `aud_hu.npy` holds (smoothed where the convention smooths).
        """
        how = convention(name)
        found = paired(self.rows(samples, name, progress), how.odd)
        return smoothed(found) if how.smoothed else found


def read_hubert(source: str | Path = MODEL_NAME, *, device: str = "cpu", download: bool = False) -> HubertEncoder:
    """Load a HuBERT model.

    Args:
        source: a folder with config.json and weights, or a model name that is in the local Hugging Face cache.
        download: fetch it (1.3 GB) when it is not there.
    Raises:
        MissingDependency: transformers is not installed. MissingWeights: the model is not on this machine.
    """
    try:
        from transformers import HubertModel
    except ImportError as error:
        raise MissingDependency("transformers", extra="models", purpose="HuBERT features") from error
    if Path(source).is_dir():
        check_model_folder(Path(source))
    try:
        model = HubertModel.from_pretrained(str(source), local_files_only=not download)
    except Exception as error:  # the library and those below it have no common base
        raise MissingWeights(
            f"The HuBERT model {source} is not on this machine.",
            accepted="a folder with config.json and model.safetensors or pytorch_model.bin",
            remedy=f"talkinghead models pull hubert, or download {MODEL_NAME} from Hugging Face and give its folder",
        ) from error
    return HubertEncoder(model, device=device)
