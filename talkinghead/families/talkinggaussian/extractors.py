"""The speech features that heads are trained with: facts only, importing nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Extractor:
    """One kind of speech features."""

    name: str
    width: int
    """Numbers per position."""
    positions: int
    """Positions per video frame in the stored array [T, positions, width]."""
    dataset_file: str
    """Name of the features inside a dataset folder."""
    model: str
    """What computes them from sound: a model on the Hugging Face hub, or a file."""


EXTRACTORS: Mapping[str, Extractor] = {
    item.name: item
    for item in (
        Extractor("deepspeech", 29, 16, "aud_ds.npy", "deepspeech-0_1_0-b90017e8.pb"),
        Extractor("hubert", 1024, 2, "aud_hu.npy", "facebook/hubert-large-ls960-ft"),
        Extractor("esperanto", 44, 16, "aud_eo.npy", "cpierse/wav2vec2-large-xlsr-53-esperanto"),
    )
}


def extractor_of_width(width: int) -> Extractor | None:
    """The extractor whose features have `width` numbers."""
    return next((item for item in EXTRACTORS.values() if item.width == width), None)
