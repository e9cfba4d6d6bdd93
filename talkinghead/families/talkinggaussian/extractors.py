"""The speech features that heads are trained with: facts only, importing nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from talkinghead.audio.encoders.deepspeech import CHARACTERS, GRAPH
from talkinghead.audio.encoders.wav2vec2 import ENCODERS


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
        Extractor("deepspeech", CHARACTERS, 16, "aud_ds.npy", GRAPH),
        Extractor("hubert", ENCODERS["hubert"].width, 2, "aud_hu.npy", ENCODERS["hubert"].model),
        Extractor("esperanto", ENCODERS["esperanto"].width, 16, "aud_eo.npy", ENCODERS["esperanto"].model),
    )
}


def extractor_of_width(width: int) -> Extractor | None:
    """The extractor whose features have `width` numbers."""
    return next((item for item in EXTRACTORS.values() if item.width == width), None)
