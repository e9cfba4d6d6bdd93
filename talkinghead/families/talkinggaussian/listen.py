"""From sound to what the networks of a head understand: features block by block, one code per video frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from talkinghead.contracts import FloatArray, Speech
from talkinghead.errors import AudioTooShort, MissingWeights, OptionError
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.extractors import EXTRACTORS, Extractor
from talkinghead.families.talkinggaussian.windows import MIN_ROWS, feature_rows, read_features
from talkinghead.version import __version__

if TYPE_CHECKING:
    from talkinghead.engine.cache import Cache
    from talkinghead.families.talkinggaussian.renderer import HeadRenderer, SpeechCodes

Watch = Callable[[float, float], None]
"""Called with (done, in all) now and then; what it raises ends the work."""
ROWS_KIND = "talkinggaussian speech/1"
MODEL_FILES = (".json", ".safetensors", ".bin")
"""Files of a model folder that decide what it computes."""
BLOCK = 1024
"""Rows of stored features that are read together."""


@dataclass(frozen=True)
class FeatureSource:
    """Where a head's speech features come from."""

    extractor: Extractor
    method: str
    """For the report."""
    blocks: Callable[[Speech, Watch | None], Iterator[FloatArray]]
    """Rows in order, [R, width, positions] float32, as the audio network takes them; tells how far it is."""
    num_rows: Callable[[Speech], int]
    """Rows that `blocks` will give, without computing them."""
    identity: Callable[[], str | None]
    """Names what computes the rows so that other content has another name; None: what it computes is not kept."""
    stored: bool = False
    """The rows come from a file, whatever the sound is."""
    approximate: bool = False
    fallback: str = ""
    """How this differs from what the head was trained with, as a sentence, where nobody asked for that."""


NO_NETWORK = (
    "The speech network of this head is not installed: recognised speech sounds stand in for what it would hear "
    "(talkinghead models pull deepspeech brings it)."
)


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

    def blocks(_: Speech, _watch: Watch | None = None) -> Iterator[FloatArray]:
        for start in range(0, len(stored), BLOCK):
            yield feature_rows(stored, start, min(start + BLOCK, len(stored)))

    return FeatureSource(extractor, f"{path.name}", blocks, lambda _: len(stored), lambda: None, stored=True)


def _deepspeech_source(extractor: Extractor, config: TalkingGaussianConfig) -> FeatureSource:
    from talkinghead.audio.encoders import deepspeech
    from talkinghead.families.talkinggaussian import phone_features
    from talkinghead.weights.store import named_part, part_of_kind

    def num_rows(speech: Speech) -> int:
        return deepspeech.num_windows(len(speech.clip.samples))

    graph = named_part(config.deepspeech_graph) or part_of_kind("deepspeech")
    if config.audio_features == "phones" or (config.audio_features == "auto" and graph is None):

        def from_phones(speech: Speech, watch: Watch | None = None) -> Iterator[FloatArray]:
            return _channels_first(phone_features.phone_rows(speech, watch))

        told = "" if config.audio_features == "phones" else NO_NETWORK
        return FeatureSource(
            extractor, "recognised phones", from_phones, num_rows, lambda: f"phones {__version__}",
            approximate=not told, fallback=told,
        )  # fmt: skip
    loaded: list[Any] = []

    def from_network(speech: Speech, _watch: Watch | None = None) -> Iterator[FloatArray]:
        from talkinghead.audio.encoders.deepspeech_graph import read_deepspeech

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

    return FeatureSource(
        extractor,
        "DeepSpeech 0.1.0",
        from_network,
        num_rows,
        lambda: None if graph is None else files_identity([graph]),
    )


def _transformer_source(extractor: Extractor, config: TalkingGaussianConfig, device: str) -> FeatureSource:
    from talkinghead.audio.encoders import wav2vec2

    loaded: list[Any] = []

    def num_rows(speech: Speech) -> int:
        return wav2vec2.num_feature_rows(extractor.name, len(speech.clip.samples))

    def blocks(speech: Speech, watch: Watch | None = None) -> Iterator[FloatArray]:
        if not loaded:
            loaded.append(wav2vec2.load_encoder(extractor.name, config.audio_model, device))
        compute = wav2vec2.hubert_rows if extractor.name == "hubert" else wav2vec2.esperanto_rows
        return _channels_first(compute(loaded[0], speech.clip.samples, watch))

    def identity() -> str | None:
        source, _ = wav2vec2.encoder_source(extractor.name, config.audio_model)
        folder = Path(source)
        if folder.is_dir():
            return files_identity(sorted(path for path in folder.iterdir() if path.suffix in MODEL_FILES))
        return wav2vec2.hub_revision(source)

    return FeatureSource(extractor, config.audio_model or extractor.model, blocks, num_rows, identity)


def files_identity(paths: Sequence[Path]) -> str | None:
    """Name of the content of some files; None where one cannot be read."""
    from talkinghead.files import file_sha256

    try:
        return " ".join(file_sha256(path) for path in paths) or None
    except OSError:
        return None


def speech_rows(
    renderer: HeadRenderer,
    source: FeatureSource,
    speech: Speech,
    *,
    head_sha256: str | None,
    cache: Cache,
    watch: Watch | None = None,
) -> tuple[SpeechCodes, int]:
    """What the head's audio networks say about every row of the speech features, remembered from run to run.

    Memory and the entry in the cache grow by 256 bytes per row only: the features themselves are not kept.

    Args:
        head_sha256: of the trained head.
    Returns:
        Codes of the rows ([T, 32] per network), and the number of positions in a row of features.
    """
    import torch

    from talkinghead.families.talkinggaussian.renderer import SpeechCodes
    from talkinghead.files import cache_key

    identity = source.identity() if head_sha256 is not None else None
    key = None
    if identity is not None:
        said = [(phone.start_s, phone.end_s, phone.label) for phone in speech.phones or ()]
        key = cache_key(
            ROWS_KIND, head=head_sha256, features=identity, phones=said, exact=speech.phones is not None,
            samples=speech.clip.samples, device=renderer.device.type,
        )  # fmt: skip
        known = cache.get(key)
        if known is not None:
            face, mouth = (torch.from_numpy(known[name]).to(renderer.device) for name in ("face", "mouth"))
            return SpeechCodes(face, mouth), int(known["positions"])
    parts: list[SpeechCodes] = []
    positions = 0
    for block in source.blocks(speech, watch):
        positions = block.shape[2]
        parts.append(renderer.audio_rows(block))
    check_rows(sum(len(part) for part in parts), speech)
    rows = SpeechCodes(torch.cat([part.face for part in parts]), torch.cat([part.mouth for part in parts]))
    if key is not None:
        arrays = {"face": rows.face.cpu().numpy(), "mouth": rows.mouth.cpu().numpy(), "positions": np.array(positions)}
        cache.put(key, arrays)
    return rows, positions


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
