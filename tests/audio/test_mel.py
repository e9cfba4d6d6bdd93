"""Mel spectrogram and windows against librosa's results (golden) and by their laws."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.audio.mel import (
    MelSettings,
    MelStream,
    frame_window_starts,
    mel_filter_bank,
    mel_spectrogram,
    mel_windows,
    published_window_starts,
)
from talkinghead.errors import AudioTooShort
from tests.golden_files import Golden


def test_filter_bank() -> None:
    Golden("wav2lip/mel_basis").check("basis", mel_filter_bank())


@pytest.mark.parametrize("name", ["long", "odd", "short", "tiny"])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_golden_mel(name: str, padding: str) -> None:
    data = Golden(f"wav2lip/mel_{name}")
    key = "mel" if padding == "zeros" else "mel_reflect"
    wave = (data["pcm16"] / 32768).astype(np.float32)
    if key not in data:
        with pytest.raises(AudioTooShort):
            mel_spectrogram(wave, MelSettings(padding="reflect"))
        return
    mel = mel_spectrogram(wave, MelSettings(padding=padding))  # type: ignore[arg-type]
    assert mel.dtype == np.float32
    data.check(key, mel)


def test_golden_window_starts() -> None:
    data = Golden("wav2lip/mel_chunks")
    for row, (fps, columns) in enumerate(zip(data["fps"], data["T"], strict=True)):
        np.testing.assert_array_equal(published_window_starts(int(columns), float(fps)), data[f"starts{row:02d}"])


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, 9001).astype(np.float32)
    whole = mel_spectrogram(wave)
    monkeypatch.setattr("talkinghead.audio.mel._BLOCK_COLUMNS", 7)
    np.testing.assert_array_equal(mel_spectrogram(wave), whole)


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 30_000),
    cuts=st.lists(st.integers(0, 30_000), max_size=12),
    padding=st.sampled_from(["zeros", "reflect"]),
)
def test_pieces_give_the_columns_of_the_whole(samples: int, cuts: list[int], padding: str) -> None:
    wave = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    mel_settings = MelSettings(padding=padding)  # type: ignore[arg-type]
    stream = MelStream(mel_settings)
    parts = [stream.push(piece) for piece in np.split(wave, sorted(min(cut, samples) for cut in cuts))]
    if padding == "reflect" and samples <= 400:
        with pytest.raises(AudioTooShort):
            stream.flush()
        return
    known = sum(part.shape[1] for part in parts)
    assert known == max(0, (samples - 400) // 200 + 1)  # every column that lies within the sound
    np.testing.assert_array_equal(np.concatenate([*parts, stream.flush()], axis=1), mel_spectrogram(wave, mel_settings))


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(1, 4000))
def test_number_of_columns_and_silence(samples: int) -> None:
    mel = mel_spectrogram(np.zeros(samples, np.float32))
    assert mel.shape == (80, 1 + samples // 200)
    assert (mel == -4).all()


@settings(max_examples=60, deadline=None)
@given(columns=st.integers(16, 400), fps=st.sampled_from([24, 25, 30, 50, 60, Fraction(30000, 1001)]))
def test_published_windows_lie_inside_and_end_at_the_end(columns: int, fps: Fraction) -> None:
    starts = published_window_starts(columns, fps)
    assert starts[0] == 0
    assert starts[-1] == columns - 16
    assert (np.diff(starts) >= 0).all()
    assert (starts + 16 <= columns).all()
    mel = np.random.default_rng(1).uniform(-4, 4, (80, columns)).astype(np.float32)
    windows = mel_windows(mel, starts)
    for start, window in zip(starts, windows, strict=True):
        np.testing.assert_array_equal(window, mel[:, start : start + 16])


def test_windows_beyond_the_sound_are_silence() -> None:
    mel = np.ones((80, 20), np.float32)
    first, last = mel_windows(mel, np.array([-3, 18]))
    assert (first[:, :3] == -4).all()
    assert (first[:, 3:] == 1).all()
    assert (last[:, 2:] == -4).all()
    assert (mel_windows(mel[:, :0], np.array([-3, 0])) == np.full((2, 80, 16), -4)).all()


def test_frame_windows_lead() -> None:
    np.testing.assert_array_equal(frame_window_starts(4, 25), [0, 3, 6, 9])
    np.testing.assert_array_equal(frame_window_starts(4, 25, lead_frames=1), [-4, 0, 3, 6])


def test_short_and_broken_sounds() -> None:
    with pytest.raises(AudioTooShort):
        published_window_starts(15, 25)
    with pytest.raises(AudioTooShort):
        mel_spectrogram(np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="not numbers"):
        mel_spectrogram(np.array([0, np.nan], np.float32))
    with pytest.raises(AudioTooShort):
        MelStream().flush()
    with pytest.raises(ValueError, match="not numbers"):
        MelStream().push(np.array([0, np.inf], np.float32))
