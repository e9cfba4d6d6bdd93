from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import AudioClip, FaceTrack, FloatArray, Frame
from talkinghead.errors import AudioTooShort, OptionError
from talkinghead.measure.sync import MouthWatch, audio_video_offset

RATE = 16000


def syllables(seconds: float, seed: int = 0) -> tuple[AudioClip, np.ndarray, np.ndarray]:
    """Noise whose loudness rises and falls like syllables; and (times, loudness) at 1000 per second."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * 1000)) / 1000
    loudness = np.zeros(len(times))
    t = 0.2
    while t < seconds:
        length = rng.uniform(0.1, 0.3)
        loudness = np.maximum(loudness, rng.uniform(0.3, 1) * np.exp(-0.5 * ((times - t) / (length / 3)) ** 2))
        t += length + (rng.uniform(0.3, 0.8) if rng.random() < 0.15 else rng.uniform(0.02, 0.12))
    shape = np.interp(np.arange(round(seconds * RATE)) / RATE, times, loudness)
    return AudioClip((0.2 * shape * rng.standard_normal(len(shape))).astype(np.float32), RATE), times, loudness


def opening(
    times: np.ndarray, loudness: np.ndarray, fps: Fraction, seconds: float, lag_s: float, slip: float = 0.0
) -> np.ndarray:
    """What a mouth shows that follows the loudness late by `lag_s`, more and more so by `slip` seconds per second."""
    middles = (np.arange(int(seconds * fps)) + 0.5) / float(fps)
    return np.interp(middles - lag_s - slip * middles, times, np.sqrt(loudness)).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(
    lag_ms=st.floats(-400, 400),
    fps=st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30), Fraction(60)]),
    seed=st.integers(0, 50),
)
def test_a_known_offset_is_found_to_a_few_milliseconds(lag_ms: float, fps: Fraction, seed: int) -> None:
    clip, times, loudness = syllables(8.0, seed)
    rng = np.random.default_rng(seed)
    mouth = opening(times, loudness, fps, 8.0, lag_ms / 1000)
    mouth = 3.0 * mouth + 0.15 * rng.standard_normal(len(mouth)).astype(np.float32) + 7.0
    found = audio_video_offset(mouth, fps, clip)
    assert found.lag_ms == pytest.approx(lag_ms, abs=8)
    assert found.confidence > 0.3
    assert found.drift_ms_per_min is None
    assert ("after" if lag_ms > 1 else "before") in found.sentences[0] or abs(lag_ms) <= 8


@pytest.mark.thorough
@pytest.mark.parametrize("drift", [0.0, 30.0, -60.0])
def test_drift_is_found_and_its_absence_too(drift: float) -> None:
    clip, times, loudness = syllables(180.0)
    mouth = opening(times, loudness, Fraction(25), 180.0, 0.05, slip=drift / 60_000)
    found = audio_video_offset(mouth, Fraction(25), clip)
    assert found.drift_ms_per_min == pytest.approx(drift, abs=2.0)
    assert "drift" in found.sentences[1]


def test_a_mouth_that_has_nothing_to_do_with_the_sound_is_not_trusted() -> None:
    clip, _, _ = syllables(20.0, seed=1)
    _, times, loudness = syllables(20.0, seed=2)
    found = audio_video_offset(opening(times, loudness, Fraction(25), 20.0, 0.0), Fraction(25), clip)
    assert found.confidence < 0.2
    assert "not measurable" in found.sentences[0]
    still = audio_video_offset(np.zeros(500, np.float32), Fraction(25), clip)
    assert still.confidence == 0.0


def test_too_short_or_not_finite_is_refused() -> None:
    clip, _, _ = syllables(2.0)
    with pytest.raises(AudioTooShort):
        audio_video_offset(np.zeros(10, np.float32), Fraction(25), clip)
    with pytest.raises(OptionError, match="finite"):
        audio_video_offset(np.full(50, np.nan, np.float32), Fraction(25), clip)


def face(opening: float, size: int = 160, shift: int = 0, light: float = 1.0, seed: int = 0) -> np.ndarray:
    """A drawn face whose mouth is open by `opening` in [0, 1]."""
    rng = np.random.default_rng(seed)
    frame = np.full((size, size, 3), (205, 160, 140), np.float64)
    y, x = np.mgrid[:size, :size]
    x0, y0 = size / 2 + shift, 0.78 * size
    for eye in (-0.2, 0.2):
        frame[np.hypot(x - x0 - eye * size, y - 0.4 * size) < 0.05 * size] = (60, 40, 40)
    lips = ((x - x0) / (0.17 * size)) ** 2 + ((y - y0) / ((0.035 + 0.09 * opening) * size)) ** 2 < 1
    inside = ((x - x0) / (0.14 * size)) ** 2 + ((y - y0) / (max(0.085 * opening, 1e-6) * size)) ** 2 < 1
    frame[lips] = (170, 90, 90)
    frame[inside] = (50, 20, 20)
    return np.clip(frame * light + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)


def track_of(shifts: np.ndarray, size: int = 160, key_points: bool = False) -> FaceTrack:
    n = len(shifts)
    boxes = np.tile(np.array([0, 0, size, size], np.int32), (n, 1))
    points = None
    if key_points:
        points = np.zeros((n, 5, 2), np.float32)
        points[:, 3] = np.stack([size * 0.33 + shifts, np.full(n, 0.78 * size)], axis=1)
        points[:, 4] = np.stack([size * 0.67 + shifts, np.full(n, 0.78 * size)], axis=1)
    return FaceTrack(boxes, np.zeros(n, np.uint8), np.ones(n, np.float32), points)


def watched(frames: Iterable[Frame], track: FaceTrack) -> FloatArray:
    watch = MouthWatch(track)
    for frame in frames:
        watch.see(frame)
    return watch.opening()


@pytest.mark.parametrize("key_points", [False, True])
def test_the_opening_of_a_drawn_mouth_is_seen(key_points: bool) -> None:
    rng = np.random.default_rng(0)
    wanted = np.clip(np.convolve(rng.normal(0.3, 0.6, 120), np.ones(3) / 3, mode="same"), 0, 1)
    shifts = np.zeros(120) if not key_points else 8 * np.sin(np.arange(120) / 9)
    light = 1.0 + 0.08 * np.sin(np.arange(120) / 15)
    frames = (
        face(w, shift=round(s), light=g, seed=i) for i, (w, s, g) in enumerate(zip(wanted, shifts, light, strict=True))
    )
    seen = watched(frames, track_of(np.round(shifts), key_points=key_points))
    assert seen.shape == (120,)
    assert np.corrcoef(seen, wanted)[0, 1] > 0.9


def test_no_frames_no_opening() -> None:
    assert watched([], track_of(np.zeros(3))).shape == (0,)


def test_frames_behind_the_end_of_a_track_are_not_looked_at() -> None:
    assert watched([face(0.5)] * 4, track_of(np.zeros(3))).shape == (3,)


@pytest.mark.parametrize("lag_frames", [-3, 0, 4])
def test_a_whole_video_is_measured_to_about_a_frame(lag_frames: int) -> None:
    clip, times, loudness = syllables(8.0, seed=3)
    wanted = opening(times, loudness, Fraction(25), 8.0, lag_frames / 25)
    frames = (face(float(w), seed=i) for i, w in enumerate(wanted))
    found = audio_video_offset(watched(frames, track_of(np.zeros(len(wanted)))), Fraction(25), clip)
    assert found.lag_ms == pytest.approx(40 * lag_frames, abs=25)
    assert found.confidence > 0.2
