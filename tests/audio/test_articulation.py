import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.audio.articulation import (
    LABELS,
    NUM_BANDS,
    NUM_FEATURES,
    REACH_FRAMES,
    band_energies,
    features,
    mel_filters,
    network,
    phone_posteriors,
    tables,
)
from talkinghead.audio.visemes import PHONES
from talkinghead.media import read_audio

CORPUS = Path(__file__).resolve().parent.parent / "data" / "mouth_corpus"


def test_labels_are_all_phones_with_a_mouth() -> None:
    assert set(LABELS) == set(PHONES)


def test_the_table_is_small_and_of_plain_numbers() -> None:
    fitted = tables()
    assert len(fitted.weights) == len(fitted.biases) == 4
    assert sum(w.size for w in fitted.weights) < 150_000
    assert fitted.typical.shape == (NUM_BANDS,)
    for table, axis in ((fitted.log_recognised, 0), (fitted.log_follows, 1)):
        np.testing.assert_allclose(np.exp(table.astype(np.float64)).sum(axis=axis), 1.0, atol=0.02)
    assert np.exp(fitted.log_prior).sum() == pytest.approx(1.0, abs=1e-3)


def test_filters_cover_the_band_evenly() -> None:
    filters = mel_filters()
    np.testing.assert_allclose(filters.sum(axis=1), 1.0, rtol=1e-5)
    assert np.all(np.diff(filters.argmax(axis=1)) > 0)


def test_band_energies_follow_a_tone_and_equal_a_plain_loop() -> None:
    x = (0.3 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.float32)
    bands = band_energies(x)
    assert bands.shape == (101, NUM_BANDS)
    k = 50
    window = np.hanning(401)[:-1]
    power = np.abs(np.fft.rfft(x[k * 160 - 200 : k * 160 + 200] * window, 512)) ** 2
    np.testing.assert_allclose(bands[k], np.log(mel_filters() @ power + 1e-9), rtol=2e-3, atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 4000), st.floats(1e-4, 1.0))
def test_any_length_and_level_gives_proper_probabilities(n: int, level: float) -> None:
    x = (level * np.random.default_rng(n).standard_normal(n).clip(-1, 1)).astype(np.float32)
    found = phone_posteriors(x)
    assert found.shape == (1 + n // 160, len(LABELS))
    np.testing.assert_allclose(np.exp(found.astype(np.float64)).sum(axis=1), 1.0, atol=0.02)


def test_features_do_not_depend_on_the_recording_level() -> None:
    x = read_audio(sorted(CORPUS.glob("*.flac"))[0], 16000).samples
    typical = tables().typical
    loud, quiet = features(x, typical), features(x * np.float32(0.3), typical)
    assert loud.shape[1] == NUM_FEATURES
    np.testing.assert_allclose(loud, quiet, atol=0.05)


def test_blocks_equal_the_whole() -> None:
    fitted = tables()
    seen = np.random.default_rng(0).standard_normal((200, NUM_FEATURES)).astype(np.float32)
    whole = network(seen, fitted)
    part = network(seen[50 - REACH_FRAMES : 100 + REACH_FRAMES], fitted)[REACH_FRAMES:-REACH_FRAMES]
    np.testing.assert_allclose(part, whole[50:100], rtol=1e-4, atol=1e-4)


def test_closed_lips_are_seen_in_voices_and_sentences_never_fitted() -> None:
    seen = total = wrong = others = 0
    for path in sorted(CORPUS.glob("*.json"))[::2]:
        phones = json.loads(path.read_text(encoding="utf-8"))["phones"]
        lips = np.exp(phone_posteriors(read_audio(path.with_suffix(".flac"), 16000).samples)[:, 1:4].astype(float))
        closed = lips.sum(axis=1) > 0.4
        for start, end, label in phones:
            span = closed[int(np.ceil(start * 100)) : int(end * 100) + 1]
            if label in "PBM":
                total, seen = total + 1, seen + bool(span.any())
            elif label != "SIL":
                others, wrong = others + len(span), wrong + int(span.sum())
    assert seen / total >= 0.9
    assert wrong / others <= 0.1
