"""Rows of our own: the same however the sound is cut, no further ahead than stated, the same at any level."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from talkinghead.assets import demo_speech_path
from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.families.synctalk2d.sound_rows import AUDIO, DELAY, LOOKAHEAD_S, SoundRows, sound_rows, tiled
from talkinghead.families.synctalk2d.training_sound import heard_otherwise, rows_of_voices
from talkinghead.media import read_audio


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_audio(demo_speech_path(), SPEECH_RATE_HZ, duration_s=2.3).samples


@pytest.fixture(scope="module")
def whole(speech: np.ndarray) -> np.ndarray:
    return sound_rows(speech)


def test_rows_do_not_depend_on_how_the_sound_is_cut(speech: np.ndarray, whole: np.ndarray) -> None:
    stream, rows, at = SoundRows(), [], 0
    for size in np.random.default_rng(0).integers(1, 5000, 100).tolist():
        rows.append(stream.push(speech[at : at + size]))
        at += size
    assert at > len(speech)
    assert np.array_equal(np.concatenate([*rows, stream.flush()]), whole)
    assert whole.shape == (58 + DELAY, AUDIO.row_size)  # 2.3 s are 57.5 frames
    assert whole.dtype == np.float32
    assert whole.min() >= 0
    assert whole.max() <= 1


def test_rows_hear_no_further_than_stated(speech: np.ndarray, whole: np.ndarray) -> None:
    """The window of frame i ends with row i + 7, which must be there at i / 25 + LOOKAHEAD_S."""
    frame = 20
    known = round((frame / 25 + LOOKAHEAD_S) * SPEECH_RATE_HZ)
    rows = SoundRows().push(speech[:known])
    assert len(rows) == frame + AUDIO.window_rows // 2
    assert np.array_equal(rows, whole[: len(rows)])


def test_silence(whole: np.ndarray) -> None:
    stream = SoundRows()
    row = stream.silent_row()
    rows = np.concatenate([stream.push(np.zeros(8000, np.float32)), stream.flush()])
    assert np.abs(rows - row).max() < 0.1
    assert np.abs(whole - row).max() > 0.5


def test_the_level_does_not_matter(speech: np.ndarray, whole: np.ndarray) -> None:
    softer = sound_rows(speech * np.float32(10 ** (-14 / 20)))
    assert np.abs(softer - whole)[len(whole) // 3 :].mean() < 0.02
    assert np.abs(sound_rows(speech[::-1].copy()) - whole).mean() > 0.05


def test_rows_are_tiles() -> None:
    values = np.arange(32, dtype=np.float32)[None]
    maps = tiled(values).reshape(2, 16, 16)
    for y in (0, 4, 7, 12):
        assert np.array_equal(maps[0, y : y + 4, 8:12].ravel()[: 16].reshape(4, 4), np.roll(
            values[0, :16].reshape(4, 4), -(y % 4), axis=0))  # fmt: skip
    assert np.array_equal(maps[1, :4, :4].ravel(), values[0, 16:])


def test_silence_follows_until_there_are_enough(speech: np.ndarray) -> None:
    assert len(sound_rows(speech[:3200], num_frames=20)) == 20 + DELAY


def test_other_voices_say_the_same_at_the_same_frames(speech: np.ndarray, whole: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    heard, length = heard_otherwise(speech, rng)
    assert len(heard) == pytest.approx(len(speech) * length, abs=2)
    assert Fraction(85, 100) <= length <= Fraction(118, 100)
    rows = rows_of_voices(speech, 58, 1, 0, lambda *_: None)
    assert [len(each) for each in rows] == [58 + DELAY] * 2
    assert np.array_equal(rows[0], whole)
    lips = [each[:, 1] for each in rows]
    late = [float(np.corrcoef(lips[0][4:-4], np.roll(lips[1], shift)[4:-4])[0, 1]) for shift in range(-3, 4)]
    assert int(np.argmax(late)) == 3
    assert max(late) > 0.5
