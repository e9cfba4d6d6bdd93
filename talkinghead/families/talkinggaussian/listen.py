"""From sound to what the networks of a head understand: features block by block, one code per video frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import FloatArray, Speech
from talkinghead.errors import AudioTooShort, MissingWeights, OptionError
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.extractors import EXTRACTORS, Extractor
from talkinghead.families.talkinggaussian.windows import MIN_ROWS, feature_rows, read_features

BLOCK = 1024
"""Rows of stored features that are read together."""


@dataclass(frozen=True)
class FeatureSource:
    """Where a head's speech features come from."""

    extractor: Extractor
    method: str
    """For the report."""
    blocks: Callable[[Speech], Iterator[FloatArray]]
    """Rows in order, [R, width, positions] float32, as the audio network takes them."""
    num_rows: Callable[[Speech], int]
    """Rows that `blocks` will give, without computing them."""
    stored: bool = False
    """The rows come from a file, whatever the sound is."""
    approximate: bool = False


def feature_source(extractor_name: str, config: TalkingGaussianConfig, device: str) -> FeatureSource:
    """Decide once how features are made; models are loaded when they are first needed.

    Raises:
        OptionError: an option that does not fit the head.
    """
    extractor = EXTRACTORS[extractor_name]
    if config.features is not None:
        return stored_source(extractor, config.features)
    if extractor.name == "deepspeech":
        if config.audio_model is not None:
            raise OptionError(
                "audio_model is for HuBERT and Esperanto heads; this one was trained on DeepSpeech features.",
                remedy="--deepspeech-graph FILE.pb, or --audio-features phones",
            )
        return _deepspeech_source(extractor, config)
    if config.audio_features == "phones":
        raise OptionError(
            f"Phones can stand in for DeepSpeech features only; this head listens to {extractor.name}.",
            remedy=f"--audio-model {extractor.model}",
        )
    if config.deepspeech_graph is not None:
        raise OptionError(f"deepspeech_graph has no effect: this head listens to {extractor.name}.")
    return _transformer_source(extractor, config, device)


def stored_source(extractor: Extractor, path: Path) -> FeatureSource:
    """Features of a file; opened at once, so that a wrong file is found before anything slow."""
    stored = read_features(path, extractor)

    def blocks(_: Speech) -> Iterator[FloatArray]:
        for start in range(0, len(stored), BLOCK):
            yield feature_rows(stored, start, min(start + BLOCK, len(stored)))

    return FeatureSource(extractor, f"{path.name}", blocks, lambda _: len(stored), stored=True)


def _deepspeech_source(extractor: Extractor, config: TalkingGaussianConfig) -> FeatureSource:
    from talkinghead.families.talkinggaussian.features import deepspeech, phones
    from talkinghead.weights.store import part

    def num_rows(speech: Speech) -> int:
        return deepspeech.num_windows(len(speech.clip.samples))

    if config.audio_features == "phones":

        def from_phones(speech: Speech) -> Iterator[FloatArray]:
            return _channels_first(phones.phone_rows(speech))

        return FeatureSource(extractor, "recognised phones", from_phones, num_rows, approximate=True)
    loaded: list[Any] = []
    graph = config.deepspeech_graph or part("deepspeech")

    def from_network(speech: Speech) -> Iterator[FloatArray]:
        from talkinghead.families.talkinggaussian.features.deepspeech_graph import read_deepspeech

        if graph is None:
            raise MissingWeights(
                "This head listens to DeepSpeech features, and the network that computes them is not given.",
                accepted=f"the frozen graph {extractor.model} of DeepSpeech 0.1.0",
                remedy="talkinghead models pull deepspeech; or --deepspeech-graph FILE.pb; or --features FILE.npy "
                "computed before; "
                "or --audio-features phones, an approximation that needs no files",
            )
        if not loaded:
            loaded.append(read_deepspeech(graph))
        return _channels_first(deepspeech.deepspeech_rows(speech.clip.samples, loaded[0]))

    return FeatureSource(extractor, "DeepSpeech 0.1.0", from_network, num_rows)


def _transformer_source(extractor: Extractor, config: TalkingGaussianConfig, device: str) -> FeatureSource:
    from talkinghead.families.talkinggaussian.features import transformer

    loaded: list[Any] = []

    def num_rows(speech: Speech) -> int:
        return transformer.num_feature_rows(extractor.name, len(speech.clip.samples))

    def blocks(speech: Speech) -> Iterator[FloatArray]:
        if not loaded:
            loaded.append(transformer.load_encoder(extractor, config.audio_model, device))
        compute = transformer.hubert_rows if extractor.name == "hubert" else transformer.esperanto_rows
        return _channels_first(compute(loaded[0], speech.clip.samples))

    return FeatureSource(extractor, config.audio_model or extractor.model, blocks, num_rows)


def _channels_first(blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
    for block in blocks:
        if len(block):
            yield np.ascontiguousarray(block.transpose(0, 2, 1))


def check_rows(count: int, speech: Speech) -> None:
    """Refuse sound that is too short for one window.

    Raises:
        AudioTooShort: fewer than MIN_ROWS rows.
    """
    if count < MIN_ROWS:
        raise AudioTooShort(
            f"{float(speech.clip.duration_s):.2f} s of sound give {count} rows of speech features.",
            accepted=f"at least {MIN_ROWS} rows, about 0.25 s",
        )
