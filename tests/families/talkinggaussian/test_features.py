"""Speech features of heads: from encoders, from phones, from files; and what is remembered of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.audio.encoders import deepspeech
from talkinghead.contracts import AudioClip, Phone, Speech
from talkinghead.engine.cache import Cache, NullCache
from talkinghead.errors import (
    AudioTooShort,
    MediaNotFound,
    MissingWeights,
    OptionError,
    UnreadableMedia,
    WrongCheckpoint,
)
from talkinghead.families.talkinggaussian import phone_features
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.extractors import EXTRACTORS, extractor_of_width
from talkinghead.families.talkinggaussian.listen import (
    FeatureSource,
    check_rows,
    feature_source,
    files_identity,
    speech_rows,
)
from talkinghead.families.talkinggaussian.renderer import HeadRenderer, SpeechCodes
from talkinghead.families.talkinggaussian.windows import feature_rows, read_features

FAST = settings(max_examples=40, deadline=None)


def speech_of(samples: np.ndarray, **more: object) -> Speech:
    clip = AudioClip(samples.astype(np.float32), 16_000)
    return Speech(clip, clip, **more)


# Encoders -------------------------------------------------------------------------------------------------------------


def test_small_encoders_end_to_end(tmp_path: Path) -> None:
    """Real transformers models of the right kind and width, tiny otherwise, saved and loaded from a folder."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(0)
    small = {
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "conv_dim": (8,) * 7,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
    }  # fmt: skip
    HubertModel(HubertConfig(hidden_size=1024, **small)).save_pretrained(tmp_path / "hubert")
    Wav2Vec2ForCTC(Wav2Vec2Config(hidden_size=16, vocab_size=44, **small)).save_pretrained(tmp_path / "eo")
    samples = np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32)
    for name, folder, positions in (("hubert", "hubert", 2), ("esperanto", "eo", 16)):
        config = TalkingGaussianConfig(audio_model=str(tmp_path / folder))
        source = feature_source(name, config, "cpu")
        speech = speech_of(samples)
        blocks = list(source.blocks(speech))
        rows = np.concatenate(blocks)
        assert rows.shape == (source.num_rows(speech), EXTRACTORS[name].width, positions)
        assert np.isfinite(rows).all()
        assert rows.std() > 0
    with pytest.raises(WrongCheckpoint, match="44"):
        list(
            feature_source("hubert", TalkingGaussianConfig(audio_model=str(_as_hubert(tmp_path))), "cpu").blocks(speech)
        )


def _as_hubert(folder: Path) -> Path:
    """A HuBERT of the wrong width (44)."""
    from transformers import HubertConfig, HubertModel

    config = HubertConfig(
        hidden_size=44, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    HubertModel(config).save_pretrained(folder / "narrow")
    return folder / "narrow"


def test_a_missing_encoder_is_not_downloaded_unasked() -> None:
    with pytest.raises(MissingWeights, match="hubert-large-ls960-ft"):
        list(feature_source("hubert", TalkingGaussianConfig(), "cpu").blocks(speech_of(np.zeros(16_000))))


# Phones ---------------------------------------------------------------------------------------------------------------


def test_phones_write_characters() -> None:
    spoken = (Phone(0, 0.5, "SIL"), Phone(0.5, 1.0, "M"), Phone(1.0, 1.5, "AA"), Phone(1.5, 2.0, "SIL"))
    logits = phone_features.phone_logits(speech_of(np.zeros(32_000), phones=spoken))
    assert logits.shape == (deepspeech.num_logit_rows(32_000), 29)
    assert logits.min() >= 0
    np.testing.assert_allclose(logits.sum(axis=1), phone_features.PEAK, rtol=1e-5)
    likely = logits.argmax(axis=1)
    assert likely[12] == phone_features.BLANK
    assert likely[37] == phone_features.ALPHABET.index("m")
    assert likely[62] == phone_features.ALPHABET.index("a")


@FAST
@given(st.integers(0, 50_000))
def test_phone_features_have_the_layout_of_deepspeech(samples: int) -> None:
    speech = speech_of(np.zeros(samples), phones=(Phone(0, samples / 16_000, "EY"),))
    rows = [block for block in phone_features.phone_rows(speech) if len(block)]
    assert sum(len(block) for block in rows) == deepspeech.num_windows(samples)
    assert all(block.shape[1:] == (16, 29) for block in rows)


# Choosing and reading -------------------------------------------------------------------------------------------------


def test_options_that_do_not_fit_the_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="HuBERT and Esperanto"):
        feature_source("deepspeech", TalkingGaussianConfig(audio_model="x"), "cpu")
    with pytest.raises(OptionError, match="stand in for DeepSpeech"):
        feature_source("hubert", TalkingGaussianConfig(audio_features="phones"), "cpu")
    with pytest.raises(OptionError, match="no effect"):
        feature_source("hubert", TalkingGaussianConfig(deepspeech_graph=tmp_path), "cpu")
    trained = TalkingGaussianConfig(audio_features="trained")
    with pytest.raises(MissingWeights, match="audio-features phones"):
        list(feature_source("deepspeech", trained, "cpu").blocks(speech_of(np.zeros(16_000))))
    with pytest.raises(AudioTooShort):
        check_rows(3, speech_of(np.zeros(2000)))


def test_phones_stand_in_where_the_speech_network_is_missing_and_it_is_said() -> None:
    unasked = feature_source("deepspeech", TalkingGaussianConfig(), "cpu")
    asked = feature_source("deepspeech", TalkingGaussianConfig(audio_features="phones"), "cpu")
    assert unasked.method == asked.method == "recognised phones"
    assert "speech network of this head is not installed" in unasked.fallback
    assert (asked.fallback, asked.approximate, unasked.approximate) == ("", True, False)


def test_stored_features(tmp_path: Path) -> None:
    extractor = EXTRACTORS["deepspeech"]
    path = tmp_path / "aud.npy"
    with pytest.raises(MediaNotFound):
        read_features(path, extractor)
    stored = np.random.default_rng(0).normal(size=(9, 16, 29))
    np.save(path, stored)
    rows = feature_rows(read_features(path, extractor), 2, 5)
    np.testing.assert_array_equal(rows, stored[2:5].astype(np.float32).transpose(0, 2, 1))
    stored[4, 3, 2] = np.nan
    np.save(path, stored)
    with pytest.raises(UnreadableMedia, match="Row 4"):
        feature_rows(read_features(path, extractor), 0, 9)
    for bad, words in (
        (np.zeros((9, 2, 1024)), "hubert"),
        (np.zeros((3, 16, 29)), "only 3 rows"),
        (np.zeros((9, 29)), "not speech features"),
        (np.zeros((9, 16, 29), int), "not speech features"),
    ):
        np.save(path, bad)
        with pytest.raises(UnreadableMedia, match=words):
            read_features(path, extractor)
    path.write_bytes(b"not numpy")
    with pytest.raises(UnreadableMedia, match=r"not a \.npy file of plain numbers"):
        read_features(path, extractor)
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UnreadableMedia):
        read_features(path, extractor)


def test_extractors_are_told_by_their_width() -> None:
    assert [extractor_of_width(width) for width in (29, 1024, 44, 30)] == [
        EXTRACTORS["deepspeech"], EXTRACTORS["hubert"], EXTRACTORS["esperanto"], None
    ]  # fmt: skip


def test_what_was_heard_is_remembered_per_sound_head_and_model(scene: SimpleNamespace, tmp_path: Path) -> None:
    renderer = HeadRenderer(scene.head, threads=1)
    graph = tmp_path / "model.pb"
    graph.write_bytes(b"one")
    computed: list[int] = []

    def blocks(speech: Speech, watch: object = None) -> Iterator[np.ndarray]:
        computed.append(len(speech.clip.samples))
        yield np.full((5, 29, 16), speech.clip.samples[0], np.float32)

    source = FeatureSource(
        EXTRACTORS["deepspeech"], "test", blocks, lambda _: 5, lambda: files_identity([graph])
    )  # fmt: skip
    cache = Cache(tmp_path / "cache")

    def hear(level: float, head: str | None = "a", cache: Cache = cache, **more: object) -> SpeechCodes:
        speech = speech_of(np.full(1600, level), **more)
        rows, positions = speech_rows(renderer, source, speech, head_sha256=head, cache=cache)
        assert positions == 16
        return rows

    first = hear(0.5)
    again = hear(0.5)
    assert torch.equal(first.face, again.face)
    assert torch.equal(first.mouth, again.mouth)
    assert len(computed) == 1
    hear(0.25)
    hear(0.5, head="b")
    hear(0.5, phones=(Phone(0.0, 0.1, "AA"),))
    graph.write_bytes(b"two")
    hear(0.5)
    assert len(computed) == 5
    hear(0.5, head=None)
    hear(0.5, cache=NullCache())
    graph.unlink()
    hear(0.5)
    assert len(computed) == 8


def test_models_are_told_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _as_hubert(tmp_path)
    source = feature_source("hubert", TalkingGaussianConfig(audio_model=str(folder)), "cpu")
    before = source.identity()
    assert before is not None
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert source.identity() not in (before, None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    elsewhere = feature_source("hubert", TalkingGaussianConfig(audio_model="nobody/no-such-model"), "cpu")
    assert elsewhere.identity() is None
    (tmp_path / "empty").mkdir()
    assert (
        feature_source("hubert", TalkingGaussianConfig(audio_model=str(tmp_path / "empty")), "cpu").identity() is None
    )
