"""Features and phones of sound that arrives bit by bit."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.assets import demo_speech_path
from talkinghead.audio.articulation import LIVE_AHEAD, NUM_FEATURES, REACH_FRAMES, features, live_tables, network
from talkinghead.audio.live_features import LevelPercentile, LiveFeatures
from talkinghead.audio.live_phones import LOOKAHEAD_FRAMES, LivePhones, NetworkStream, Variety
from talkinghead.audio.phones import log_normalised
from talkinghead.contracts import FloatArray
from talkinghead.media import read_audio

RATE = 16000


def windows(samples: FloatArray) -> FloatArray:
    """Sound around every hundredth of a second, silence beyond its ends."""
    padded = np.pad(samples, (200, 200))
    return np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]


def test_a_stream_through_the_network_gives_what_the_network_gives() -> None:
    fitted = live_tables()
    seen = np.random.default_rng(0).normal(0, 1, (90, NUM_FEATURES)).astype(np.float32)
    silence = LiveFeatures(fitted.typical).silence()
    stream = NetworkStream(fitted, silence)
    got = np.concatenate([stream.push(part) for part in np.split(seen, (1, 2, 12, 40))])
    assert len(got) == len(seen) - LOOKAHEAD_FRAMES
    whole = log_normalised(network(np.concatenate((np.repeat(silence[None], LIVE_AHEAD, axis=0), seen)), fitted))
    np.testing.assert_allclose(got, whole[: len(got)], rtol=0, atol=1e-4)
    assert LOOKAHEAD_FRAMES == REACH_FRAMES - LIVE_AHEAD


def test_features_come_to_those_of_the_whole_sound() -> None:
    speech = read_audio(demo_speech_path(), RATE).samples[: 5 * RATE]
    fitted = live_tables()
    heard = LiveFeatures(fitted.typical).push(windows(speech))
    whole = features(speech, fitted.typical)
    later = slice(200, len(heard.features))
    assert np.abs(heard.features[later] - whole[later]).mean() < 0.25
    assert np.abs(heard.loud_db[later].mean() - heard.loud_db[later]).max() < 6


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-120, 10), min_size=1, max_size=60), st.sampled_from((0.1, 0.5, 0.95)))
def test_a_percentile_without_fading_is_that_of_what_was_heard(levels: list[float], share: float) -> None:
    percentile = LevelPercentile(share, -50.0, 1e-6, 1e9)
    for level_db in levels:
        percentile.add(level_db)
    lower, upper = (
        np.percentile(np.clip(levels, -100, 1), 100 * (share + error), method="inverted_cdf") for error in (-1e-4, 1e-4)
    )
    assert lower - 1.01 <= percentile.level_db <= upper + 1.01


def test_a_loud_level_rises_at_once_and_forgets_a_knock() -> None:
    percentile = LevelPercentile(0.95, -40.0, 8.0, 1000.0)
    percentile.add(-20.0)
    assert percentile.level_db > -21
    for _ in range(60):
        percentile.add(-50.0)
    assert percentile.level_db < -38


def test_phones_have_no_holes_and_end_where_what_is_known_ends() -> None:
    speech = read_audio(demo_speech_path(), RATE).samples[: 3 * RATE]
    listening = LivePhones()
    for part in np.split(windows(speech), range(7, 300, 7)):
        listening.push(part)
        phones = listening.phones()
        assert all(a.end_s == b.start_s for a, b in pairwise(phones))
    assert phones[-1].end_s == pytest.approx((301 - LOOKAHEAD_FRAMES - 0.5) / 100)
    assert len({phone.label for phone in phones}) > 3


def test_what_stays_the_same_or_in_doubt_is_no_speech() -> None:
    rng = np.random.default_rng(0)
    steady, doubtful, clear = Variety(), Variety(), Variety()
    one = np.log(np.full(40, 0.1 / 39))
    one[9] = np.log(0.9)
    for k in range(200):
        steady.add(one, active=True)
        doubtful.add(log_normalised(rng.normal(0, 0.3, (1, 40)))[0], active=True)
        clear.add(np.roll(one, k // 8 * 7), active=True)
        if k < 25:
            assert steady.is_speech  # of a first sound nobody knows
    assert not steady.is_speech
    assert not doubtful.is_speech
    assert clear.is_speech
    for _ in range(400):
        steady.add(one, active=False)
    assert steady.is_speech  # forgotten in silence
