"""Speech features from sound: golden files around the acoustic models, small models of the same kind in their place."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.audio.encoders import deepspeech, wav2vec2
from talkinghead.audio.encoders.deepspeech_graph import (
    build_deepspeech,
    graph_constants,
    read_deepspeech,
)
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


# DeepSpeech -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [0, 1])
def test_deepspeech_front_end_matches_golden(kit: SimpleNamespace, case: int) -> None:
    golden = np.load(kit.folder / "deepspeech_features.npz")
    strides = [json.loads(str(golden[name]))[case] for name in ("input_vector_strides", "windows_strides")]
    audio = golden[f"audio{case}"]
    inputs = deepspeech.network_input(audio)
    assert len(inputs) == golden[f"steps{case}"]
    rows = inputs.rows(0, len(inputs))
    np.testing.assert_allclose(rows[:: strides[0]], golden[f"input_vector{case}"], atol=1e-4)
    measured = [rows.mean(), rows.std(), rows.min(), rows.max()]
    np.testing.assert_allclose(measured, golden[f"input_vector_stats{case}_f64"], atol=1e-4)
    logits = kit.uniform(f"ds/logits{case}", (len(inputs), 1, 29), -8, 8)[:, 0]
    resampled = deepspeech.resampled(logits, len(audio))
    np.testing.assert_allclose(resampled, golden[f"interpolated{case}"], atol=1e-5)
    windows = deepspeech.logit_windows(resampled)
    assert windows.shape == tuple(golden[f"windows_shape{case}"])
    assert len(windows) == deepspeech.num_windows(len(audio))
    np.testing.assert_allclose(windows[:: strides[1]], golden[f"windows{case}"], atol=1e-5)
    # the whole chain in blocks, from floats
    samples = audio.astype(np.float32) / 32768
    found = np.concatenate(list(deepspeech.deepspeech_rows(samples, lambda _: logits)))
    np.testing.assert_array_equal(found, windows.astype(np.float32))


@FAST
@given(st.integers(0, 40_000), st.integers(0, 2**31))
def test_deepspeech_whitening_without_building_the_windows(count: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-3000, 3000, count).astype(np.int16)
    inputs = deepspeech.network_input(samples)
    rows = inputs.rows(0, len(inputs)).astype(np.float64)
    assert len(inputs) == (1 if count <= 400 else 1 + -(-(count - 400) // 160)) // 2 + (
        (1 if count <= 400 else 1 + -(-(count - 400) // 160)) % 2
    )
    assert abs(rows.mean()) < 1e-5
    assert abs(rows.std() - 1) < 1e-5


def test_deepspeech_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, 30_000).astype(np.int16)
    whole = deepspeech.mfcc_rows(samples)
    monkeypatch.setattr(deepspeech, "BLOCK", 7)
    np.testing.assert_allclose(deepspeech.mfcc_rows(samples), whole, atol=1e-9)


def test_int16_is_truncated_toward_zero() -> None:
    samples = np.array([0, 1.5 / 32768, -1.5 / 32768, 1.0, -1.0, 2.0], np.float32)
    assert deepspeech.int16_samples(samples).tolist() == [0, 1, -1, 32767, -32768, 32767]


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def constant(name: str, array: np.ndarray) -> bytes:
    """A Const node of a TensorFlow graph, in the wire format."""
    shape = b"".join(field(2, varint(1 << 3) + varint(size)) for size in array.shape)
    tensor = varint(1 << 3) + varint(1) + field(2, shape) + field(4, array.astype("<f4").tobytes())
    value = field(1, b"value") + field(2, field(8, tensor))
    kind = field(1, b"dtype") + field(2, varint(6 << 3) + varint(1))
    return field(1, field(1, name.encode()) + field(2, b"Const") + field(5, kind) + field(5, value))


def small_graph(seed: int = 0, width: int = 12, cells: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        "h1": (494, width),
        "h2": (width, width),
        "h3": (width, 2 * width),
        "h5": (2 * cells, width),
        "h6": (width, 29),
    }
    arrays: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        arrays[name] = rng.normal(0, 0.3, shape).astype(np.float32)
        arrays[name.replace("h", "b")] = rng.normal(0, 0.3, shape[1]).astype(np.float32)
    for direction in ("fw", "bw"):
        base = f"bidirectional_rnn/{direction}/basic_lstm_cell"
        arrays[f"{base}/kernel"] = rng.normal(0, 0.3, (2 * width + cells, 4 * cells)).astype(np.float32)
        arrays[f"{base}/bias"] = rng.normal(0, 0.3, 4 * cells).astype(np.float32)
    return arrays


def graph_file(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    noise = field(1, field(1, b"input_node") + field(2, b"Placeholder"))
    path.write_bytes(noise + b"".join(constant(name, array) for name, array in arrays.items()) + field(4, b"\x08\x1a"))
    return path


def plain_deepspeech(arrays: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The network of mozilla/DeepSpeech v0.1.0 in plain NumPy, TensorFlow's LSTM cell included."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    x = rows.astype(np.float64)
    for layer in (1, 2, 3):
        x = np.clip(x @ arrays[f"h{layer}"] + arrays[f"b{layer}"], 0, 20)
    outputs = []
    for direction in ("fw", "bw"):
        kernel = arrays[f"bidirectional_rnn/{direction}/basic_lstm_cell/kernel"]
        bias = arrays[f"bidirectional_rnn/{direction}/basic_lstm_cell/bias"]
        c, h = (np.zeros(len(bias) // 4) for _ in range(2))
        found = []
        for row in x if direction == "fw" else x[::-1]:
            i, j, f, o = np.split(np.concatenate([row, h]) @ kernel + bias, 4)
            c = c * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
            h = np.tanh(c) * sigmoid(o)
            found.append(h)
        outputs.append(np.array(found if direction == "fw" else found[::-1]))
    both = np.concatenate(outputs, axis=1)
    return np.clip(both @ arrays["h5"] + arrays["b5"], 0, 20) @ arrays["h6"] + arrays["b6"]


def test_deepspeech_network_from_a_frozen_graph(tmp_path: Path) -> None:
    arrays = small_graph()
    network = read_deepspeech(graph_file(tmp_path / "graph.pb", arrays))
    inputs = deepspeech.network_input(np.random.default_rng(1).integers(-8000, 8000, 9000).astype(np.int16))
    logits = network(inputs)
    assert logits.shape == (len(inputs), 29)
    np.testing.assert_allclose(logits, plain_deepspeech(arrays, inputs.rows(0, len(inputs))), atol=2e-5)


def test_damaged_graphs_are_refused(tmp_path: Path) -> None:
    arrays = small_graph()
    whole = graph_file(tmp_path / "graph.pb", arrays).read_bytes()
    with pytest.raises(MissingWeights, match="no DeepSpeech graph"):
        read_deepspeech(tmp_path / "none.pb")
    for name, data in (
        ("empty", b""),
        ("text", b"hello, world"),
        ("cut", whole[: len(whole) // 2]),
        ("bits", b"\xff" * 99),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WrongCheckpoint):
            read_deepspeech(tmp_path / name)
    missing = {name: array for name, array in arrays.items() if "bw" not in name}
    with pytest.raises(WrongCheckpoint, match="bw kernel"):
        build_deepspeech(missing, tmp_path)
    narrow = {**arrays, "h1": arrays["h1"][:100]}
    with pytest.raises(WrongCheckpoint, match="takes 100 numbers"):
        build_deepspeech(narrow, tmp_path)


@FAST
@given(st.binary(max_size=200))
def test_any_bytes_are_a_graph_or_an_error(data: bytes) -> None:
    try:
        found = graph_constants(memoryview(data))
    except (ValueError, IndexError, UnicodeDecodeError):
        return
    assert isinstance(found, dict)


def test_wire_format_numbers() -> None:
    data = constant("a/b", np.arange(6, dtype=np.float32).reshape(2, 3)) + struct.pack("<B", 0x20) + b"\x01"
    found = graph_constants(memoryview(data))
    np.testing.assert_array_equal(found["a/b"], [[0, 1, 2], [3, 4, 5]])


# HuBERT and Esperanto -------------------------------------------------------------------------------------------------


def test_hubert_rows_match_golden(kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = np.load(kit.folder / "hubert_stitch.npz")
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=1))
    for key in (key for key in golden.files if key[0] == "n" and key[1:].isdigit()):
        count = int(key[1:])
        samples = np.arange(count, dtype=np.float64)
        mean, deviation = samples.mean(), np.sqrt(np.square(samples - samples.mean()).mean() + 1e-7)

        def starts(_: object, sound: np.ndarray) -> np.ndarray:
            return sound[: wav2vec2.num_rows(len(sound)) * 320 : 320].reshape(-1, 1)

        monkeypatch.setattr(wav2vec2, "_run", starts)
        blocks = list(wav2vec2.hubert_rows(model, samples))
        rows = np.concatenate(blocks).reshape(-1).astype(np.float64)
        expected = golden[key]
        assert len(rows) == len(expected) == wav2vec2.hubert_plan(count).rows
        sound = expected >= 0
        np.testing.assert_array_equal(np.rint(rows[sound] * deviation + mean), expected[sound])
        assert wav2vec2.num_feature_rows("hubert", count) == len(expected) // 2


@FAST
@given(st.integers(1, 60_000))
def test_esperanto_rows_cover_the_sound(samples: int) -> None:
    blocks = wav2vec2.esperanto_plan(samples)
    covered = []
    for first, last, low, high in blocks:
        assert 0 <= first < last <= samples + 3200
        assert low <= high <= max(low, wav2vec2.num_rows(last - first))
        covered += [first // 320 + row for row in range(low, high)]
    # every row once, from the first real chunk on, without a gap
    assert covered == list(range(10, 10 + len(covered)))
    assert len(covered) >= (samples - 400) // 320


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


def test_hubert_in_one_block_equals_the_model(tmp_path: Path) -> None:
    from transformers import HubertModel

    folder = _as_hubert(tmp_path)
    model = HubertModel.from_pretrained(folder).eval()
    samples = np.random.default_rng(0).normal(0.1, 0.2, 16_080).astype(np.float32)
    rows = np.concatenate(list(wav2vec2.hubert_rows(model, samples)))
    with torch.inference_mode():
        expected = model(torch.from_numpy(wav2vec2.normalized(samples))[None]).last_hidden_state[0].numpy()
    np.testing.assert_allclose(rows.reshape(-1, 44), expected[: len(rows) * 2], atol=1e-5)


def test_a_missing_encoder_is_not_downloaded_unasked() -> None:
    with pytest.raises(MissingWeights, match="hubert-large-ls960-ft"):
        list(feature_source("hubert", TalkingGaussianConfig(), "cpu").blocks(speech_of(np.zeros(16_000))))
    assert wav2vec2.encoder_source("hubert", None) == ("facebook/hubert-large-ls960-ft", False)
    assert wav2vec2.encoder_source("hubert", "me/model") == ("me/model", True)


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
    with pytest.raises(MissingWeights, match="audio-features phones"):
        list(feature_source("deepspeech", TalkingGaussianConfig(), "cpu").blocks(speech_of(np.zeros(16_000))))
    with pytest.raises(AudioTooShort):
        check_rows(3, speech_of(np.zeros(2000)))


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
    with pytest.raises(UnreadableMedia, match="not a NumPy array"):
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
    assert wav2vec2.hub_revision("not a / name") is None
    (tmp_path / "empty").mkdir()
    assert (
        feature_source("hubert", TalkingGaussianConfig(audio_model=str(tmp_path / "empty")), "cpu").identity() is None
    )
