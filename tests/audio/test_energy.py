from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.audio.energy import (
    FLOOR_DB,
    envelope_per_frame,
    frame_level_db,
    frame_rms,
    runs,
    speech_levels_db,
    voice_activity,
)
from talkinghead.contracts import AudioClip

RATE = 16000


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_rms_of_a_sine_is_its_amplitude_over_root_two() -> None:
    sine = (0.5 * np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE)).astype(np.float32)
    rms = frame_rms(sine, RATE)
    assert rms.shape == (101,)
    np.testing.assert_allclose(rms[5:-5], 0.5 / np.sqrt(2), rtol=1e-2)


@given(st.integers(0, 3000), st.sampled_from([0.005, 0.01, 0.0125]), st.integers(0, 2**31 - 1))
def test_rms_equals_a_plain_loop(n: int, hop_s: float, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)
    got = frame_rms(x, RATE, hop_s=hop_s, window_s=0.02)
    for k, value in enumerate(got):
        centre = int(np.rint(k * (hop_s * RATE)))
        piece = x[max(centre - 160, 0) : max(centre + 160, 0)].astype(np.float64)
        assert value == pytest.approx(np.sqrt(np.sum(piece**2) / 320), abs=1e-6)


def test_blocks_of_the_walk_do_not_show() -> None:
    x = noise(60.0)
    whole = frame_rms(x, RATE, hop_s=0.005)
    part = frame_rms(x[: 30 * RATE], RATE, hop_s=0.005)
    np.testing.assert_array_equal(whole[:5000], part[:5000])


def test_envelope_frames_never_drift() -> None:
    fps = Fraction(30000, 1001)
    x = np.zeros(600 * RATE, dtype=np.float32)
    n = AudioClip(x, RATE).num_frames(fps)
    at = 590 * RATE
    x[at : at + 10] = 1.0
    envelope = envelope_per_frame(AudioClip(x, RATE), fps, n)
    assert int(np.argmax(envelope)) == int(Fraction(at, RATE) * fps)
    assert np.count_nonzero(envelope) == 1


def test_silence_is_the_floor_and_not_active() -> None:
    clip = AudioClip(np.zeros(RATE, dtype=np.float32), RATE)
    level = frame_level_db(clip)
    assert np.all(level == FLOOR_DB)
    assert not voice_activity(level).any()
    assert speech_levels_db(level) == (FLOOR_DB, FLOOR_DB)


@pytest.mark.parametrize("gain_db", [-40, -20, 0])
def test_voice_activity_finds_the_loud_part_at_any_recording_level(gain_db: float) -> None:
    gain = 10 ** (gain_db / 20)
    x = np.concatenate([noise(1, 0.0005), noise(1, 0.1, seed=1), noise(1, 0.0005, seed=2)]) * np.float32(gain)
    active = voice_activity(frame_level_db(AudioClip(x, RATE)))
    assert active[105:195].all()
    assert not active[:95].any()
    assert not active[205:].any()


@given(st.lists(st.booleans(), max_size=60))
def test_runs_cover_exactly_what_is_true(mask: list[bool]) -> None:
    rebuilt = np.zeros(len(mask), dtype=bool)
    for start, stop in runs(np.array(mask, dtype=bool)):
        assert start < stop
        rebuilt[start:stop] = True
    assert rebuilt.tolist() == mask
