"""Listening to sound that arrives bit by bit."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.assets import demo_speech_path
from talkinghead.audio.live_mouth import LOOKAHEAD_SAMPLES, LiveMouth
from talkinghead.contracts import MOUTH_COLUMNS, FloatArray
from talkinghead.media import read_audio

RATE = 16000
RATES = (Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(12), Fraction(7, 2), Fraction(250))
JAW, LIPS, SPEAKING = (MOUTH_COLUMNS.index(name) for name in ("jaw", "lips", "speaking"))


@pytest.fixture(scope="module")
def speech() -> FloatArray:
    """Five seconds of it."""
    return read_audio(demo_speech_path(), RATE).samples[: 5 * RATE]


def rows_of(samples: FloatArray, fps: Fraction = Fraction(25), cuts: list[int] | None = None) -> FloatArray:
    """All rows of a sound that is pushed in pieces."""
    mouth = LiveMouth(fps)
    rows = [row for piece in np.split(samples, sorted(cuts or [])) for row in mouth.push(piece)]
    return np.array([*rows, *mouth.flush()], np.float32).reshape(-1, len(MOUTH_COLUMNS))


@settings(max_examples=12, deadline=None)
@given(
    fps=st.sampled_from(RATES),
    start=st.integers(0, 3 * RATE),
    length=st.one_of(st.integers(0, 400), st.integers(0, 12_000)),
    shares=st.lists(st.floats(0, 1), max_size=12),
    gain_db=st.sampled_from((-40, 0, 20)),
)
def test_rows_are_the_same_however_the_sound_is_cut(
    speech: FloatArray, fps: Fraction, start: int, length: int, shares: list[float], gain_db: int
) -> None:
    sound = np.clip(speech[start : start + length] * 10 ** (gain_db / 20), -1, 1).astype(np.float32)
    whole = rows_of(sound, fps)
    assert whole.shape == (-(-length * fps.numerator // (RATE * fps.denominator)), 6)
    np.testing.assert_array_equal(rows_of(sound, fps, [round(share * length) for share in shares]), whole)


def test_single_samples_are_as_good_as_all_at_once(speech: FloatArray) -> None:
    sound = speech[RATE : RATE + 5000]
    np.testing.assert_array_equal(rows_of(sound, cuts=list(range(5000))), rows_of(sound))


@pytest.mark.parametrize("fps", [*RATES[:2], *RATES[3:5]], ids=str)
def test_a_row_needs_no_sound_from_its_lookahead_on(speech: FloatArray, fps: Fraction) -> None:
    sound = speech[: 3 * RATE // 2]
    whole = rows_of(sound, fps)
    for index in sorted({0, len(whole) // 3, len(whole) // 2}):
        needed = int(index * RATE / fps) + LOOKAHEAD_SAMPLES
        mouth = LiveMouth(fps)
        early = mouth.push(sound[: needed - 1])
        assert len(early) == index
        rows = [*early, *mouth.push(sound[needed - 1 : needed])]
        assert len(rows) > index
        rest = np.random.default_rng(0).normal(0, 0.1, len(sound)).astype(np.float32)
        rows += mouth.push(rest)
        np.testing.assert_array_equal(np.array(rows)[: index + 1], whole[: index + 1])
    assert mouth.lookahead_s <= 0.2


@pytest.mark.parametrize("length", [0, 1, 100, 640, 641])
def test_short_sounds_have_as_many_rows_as_frames(length: int) -> None:
    rows = rows_of(np.full(length, 0.1, np.float32))
    assert len(rows) == -(-length // 640)
    assert np.all(rows[:, :2] >= 0)


@pytest.mark.parametrize("fps", RATES[:5], ids=str)
def test_digital_silence_is_exactly_at_rest(fps: Fraction) -> None:
    np.testing.assert_array_equal(rows_of(np.zeros(RATE, np.float32), fps), 0.0)


def test_the_mouth_comes_to_rest_after_speech(speech: FloatArray) -> None:
    rows = rows_of(np.concatenate((speech, np.zeros(RATE, np.float32))))
    assert rows[:120, LIPS].max() > 0.5
    np.testing.assert_array_equal(rows[-15:], 0.0)


@pytest.mark.parametrize("level_db", [-70, -40, -15])
@pytest.mark.parametrize("steepness", [0.0, 0.5, 1.0])
def test_steady_noise_keeps_the_mouth_closed(level_db: float, steepness: float) -> None:
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=3 * RATE))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 150) ** steepness)
    noise *= 10 ** (level_db / 20) / np.std(noise)
    rows = rows_of(noise.astype(np.float32))
    assert np.mean(rows[:, LIPS] > 0.05) < 0.1


@pytest.mark.thorough
@pytest.mark.parametrize(("gain_db", "alike"), [(-30, 0.7), (-15, 0.7), (12, 0.5)], ids=["-30", "-15", "clipped"])
def test_levels_hardly_matter(speech: FloatArray, gain_db: float, alike: float) -> None:
    usual = rows_of(speech)
    other = rows_of(np.clip(speech * 10 ** (gain_db / 20), -1, 1).astype(np.float32))
    late = slice(50, None)  # the first word of a very quiet voice is lower
    assert np.corrcoef(usual[late, LIPS], other[late, LIPS])[0, 1] > alike
    assert other[late, LIPS].mean() == pytest.approx(usual[late, LIPS].mean(), rel=0.35)


def test_a_pushed_piece_may_be_used_again(speech: FloatArray) -> None:
    mouth, piece, rows = LiveMouth(Fraction(25)), np.empty(800, np.float32), []
    for at in range(0, 16_000, 800):
        piece[:] = speech[at : at + 800]
        rows += mouth.push(piece)
    np.testing.assert_array_equal(np.array([*rows, *mouth.flush()]), rows_of(speech[:16_000]))


def test_nothing_grows_with_the_length(speech: FloatArray) -> None:
    mouth, sizes = LiveMouth(Fraction(25)), []
    for _ in range(2):
        for at in range(0, len(speech), 8000):
            mouth.push(speech[at : at + 8000])
        sizes.append(len(pickle.dumps(mouth)))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_a_tune_keeps_the_mouth_closed_after_its_first_notes() -> None:
    t = np.arange(4 * RATE) / RATE
    hertz = np.repeat(np.random.default_rng(0).choice((220, 262, 294, 330, 392), 16), RATE // 4)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    tune = sum(np.sin(h * phase) / h for h in range(1, 7)) * np.exp(-4 * (t % 0.25)) * 0.1
    rows = rows_of(tune.astype(np.float32))
    assert np.mean(rows[25:, LIPS] > 0.05) < 0.1


@pytest.mark.thorough
def test_speech_over_noise_is_followed(speech: FloatArray) -> None:
    noise = np.random.default_rng(0).normal(0, np.std(speech) / 3, len(speech)).astype(np.float32)
    usual, noisy = rows_of(speech)[:, LIPS], rows_of(speech + noise)[:, LIPS]
    assert np.corrcoef(usual, noisy)[0, 1] > 0.6
