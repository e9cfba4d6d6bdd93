"""HuBERT and Esperanto features in the blocks of the published scripts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talkinghead.audio.encoders import wav2vec2
from tests.golden_files import Golden

torch = pytest.importorskip("torch")

FAST = settings(max_examples=40, deadline=None)


def test_hubert_rows_match_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden("talkinggaussian/hubert_stitch")
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=1))
    for key in (key for key in golden.arrays.files if key[0] == "n" and key[1:].isdigit()):
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
@example(34_881)
def test_esperanto_rows_cover_the_sound(samples: int) -> None:
    blocks = wav2vec2.esperanto_plan(samples)
    covered = []
    for first, last, low, high in blocks:
        assert 0 <= first < last <= samples + 3200
        assert low <= high <= max(low, wav2vec2.num_rows(last - first))
        covered += [first // 320 + row for row in range(low, high)]
    # every row once, from the first real chunk on; the one before the last block is lost where a piece of a chunk ends
    # the block before it
    missing = set(range(10, max(covered, default=9) + 1)) - set(covered)
    assert len(covered) == len(set(covered))
    assert covered == sorted(covered)
    assert missing <= ({blocks[-1][0] // 320 + 9} if samples % 320 else set())
    assert len(covered) + len(missing) >= (samples - 400) // 320


def test_hubert_in_one_block_equals_the_model(tmp_path: Path) -> None:
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=44, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    HubertModel(config).save_pretrained(tmp_path / "narrow")
    model = HubertModel.from_pretrained(tmp_path / "narrow").eval()
    samples = np.random.default_rng(0).normal(0.1, 0.2, 16_080).astype(np.float32)
    rows = np.concatenate(list(wav2vec2.hubert_rows(model, samples)))
    with torch.inference_mode():
        expected = model(torch.from_numpy(wav2vec2.normalized(samples))[None]).last_hidden_state[0].numpy()
    np.testing.assert_allclose(rows.reshape(-1, 44), expected[: len(rows) * 2], atol=1e-5)


def test_only_what_is_named_may_be_downloaded() -> None:
    assert wav2vec2.encoder_source("hubert", None) == ("facebook/hubert-large-ls960-ft", False)
    assert wav2vec2.encoder_source("hubert", "me/model") == ("me/model", True)
    assert wav2vec2.hub_revision("not a / name") is None


@FAST
@given(st.integers(0, 60_000), st.integers(1, 30_000))
def test_esperanto_of_a_sound_in_pieces(samples: int, piece: int) -> None:
    """The same rows to the bit; each second's as soon as 0.2 s behind it are there."""
    sound = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    model = SimpleNamespace(config=SimpleNamespace(vocab_size=2))

    def rows(_: object, heard: np.ndarray) -> np.ndarray:
        count = wav2vec2.num_rows(len(heard))
        return np.stack([heard[: count * 320 : 320], np.full(count, heard.std())], axis=1).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wav2vec2, "_run", rows)
        stream = wav2vec2.EsperantoStream(model)
        found, given = [], 0
        for start in range(0, samples, piece):
            part = sound[start : start + piece]
            found.append(stream.push(part))
            given += len(found[-1])
            known = max(0, (start + len(part) - 3_200) // 16_000 * 50)  # rows of whole blocks
            assert given == max(0, (known + 8 - 16) // 2 + 1)
        found.append(stream.flush())
        expected = list(wav2vec2.esperanto_rows(model, sound))
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))
