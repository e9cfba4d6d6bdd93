"""Windows: as published and as LiveTalking cuts them (golden), however the sound arrives, and no later than said."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.audio.mel import (
    MelSettings,
    frame_window_starts,
    mel_spectrogram,
    mel_windows,
    published_window_starts,
)
from talkinghead.contracts import AudioClip
from talkinghead.engine.listener import Listener, hear_all
from talkinghead.errors import AudioTooShort
from talkinghead.families.wav2lip.listening import (
    PublishedWindows,
    SoundWindows,
    Windows,
    gated,
    speech_gate,
    stack_windows,
)
from talkinghead.families.wav2lip.livetalking import EARLY_FRAMES, FRAME_SAMPLES, LiveTalkingWindows
from tests.golden_files import Golden
from tests.synthetic_media import speech_like
from tests.tolerances import tolerance


@dataclass(frozen=True)
class Kind:
    """A way to listen."""

    name: str
    make: Callable[[], Listener[Windows]]
    fps: Fraction = Fraction(25)
    shortest: int = 1
    """Samples that it needs."""


KINDS = [
    Kind("training", lambda: SoundWindows(Fraction(25), lead_frames=1, mel_padding="zeros")),
    Kind("at the frame's time", lambda: SoundWindows(Fraction(25), lead_frames=0, mel_padding="zeros")),
    Kind(
        "another rate",
        lambda: SoundWindows(Fraction(30000, 1001), lead_frames=1, mel_padding="reflect"),
        Fraction(30000, 1001),
        401,
    ),
    Kind("few frames", lambda: SoundWindows(Fraction(2), lead_frames=1, mel_padding="zeros"), Fraction(2)),
    Kind("published", lambda: PublishedWindows(Fraction(25), mel_padding="zeros"), shortest=3000),
    Kind(
        "published, reflected",
        lambda: PublishedWindows(Fraction(24), mel_padding="reflect"),
        Fraction(24),
        3000,
    ),
    Kind("livetalking", lambda: LiveTalkingWindows(4, silence_gate=False)),
    Kind("livetalking, gated", lambda: LiveTalkingWindows(8, silence_gate=True)),
    Kind("livetalking, small steps", lambda: LiveTalkingWindows(1, silence_gate=True)),
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def heard(kind: Kind, *pieces: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """[n, 80, 16] and [n] gates."""
    windows = [window for (window,) in hear_all(kind.make(), pieces).windows]
    return stack_windows(windows), [window.gate for window in windows]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """With pauses of silence."""
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)
    wave[np.arange(samples) % 15_000 > 7_000] = 0
    return wave


@pytest.mark.thorough
@kinds
@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 30_000), cuts=st.lists(st.integers(0, 30_000), max_size=12))
def test_pieces_give_the_windows_of_the_whole(kind: Kind, samples: int, cuts: list[int]) -> None:
    """Bit for bit."""
    wave = noise(max(kind.shortest, samples))
    pieces = np.split(wave, sorted(min(cut, len(wave)) for cut in cuts))
    whole, parts = heard(kind, wave), heard(kind, *pieces)
    np.testing.assert_array_equal(parts[0], whole[0])
    assert parts[1] == whole[1]
    if not kind.name.startswith("published"):
        assert len(whole[0]) == math.ceil(len(wave) * kind.fps / 16_000)


def needed(kind: Kind, frame: int, listener: Listener[Windows]) -> int:
    """Samples that the window of a frame needs, by `lookahead_s`."""
    return math.ceil(Fraction(frame) / kind.fps * 16_000 + Fraction(listener.lookahead_s * 16_000) - Fraction(1, 1000))


@pytest.mark.thorough
@kinds
def test_no_later_sound_is_needed_than_said(kind: Kind) -> None:
    listener, wave = kind.make(), noise(24_000)
    windows, gates = heard(kind, wave)
    frames = [frame for frame in range(len(windows)) if needed(kind, frame, listener) <= len(wave)]
    assert len(frames) > len(windows) / 2
    changed_just_before = 0
    for frame in frames:
        stop = needed(kind, frame, listener)
        later = np.concatenate([wave[:stop], noise(len(wave) - stop, seed=1) + np.float32(0.3)])
        found, other_gates = heard(kind, later)
        np.testing.assert_array_equal(found[frame], windows[frame])
        assert other_gates[frame] == gates[frame]
        earlier = wave.copy()
        earlier[stop - 1] += 0.5
        found, other_gates = heard(kind, earlier)
        changed_just_before += bool((found[frame] != windows[frame]).any() or other_gates[frame] != gates[frame])
    assert listener.lookahead_s == 0 or changed_just_before > 0


@kinds
def test_windows_come_as_soon_as_said(kind: Kind) -> None:
    listener, wave = kind.make(), noise(32_000)
    given, made = 0, 0
    for piece in np.split(wave, range(160, len(wave), 160)):
        made += len(listener.push(piece))
        given += len(piece)
        assert needed(kind, made, listener) > given or made >= math.ceil(given * kind.fps / 16_000)


def test_lookahead() -> None:
    """A window is 16 columns of 12.5 ms, and the last one hears 25 ms more."""
    found = {kind.name: kind.make().lookahead_s for kind in KINDS}
    assert found["at the frame's time"] == found["published"] == found["livetalking"] == 0.2125
    assert found["training"] == pytest.approx(0.2125 - 0.04)
    assert found["few frames"] == 0
    assert found["livetalking, gated"] == 8 / 25
    assert found["livetalking, small steps"] == 0.2125


@pytest.mark.parametrize("samples", [1, 100, 8000, 9001, 1_000_001])
@pytest.mark.parametrize("lead_frames", [0, 1])
def test_windows_of_a_whole_sound(samples: int, lead_frames: int) -> None:
    wave, fps = noise(samples), Fraction(25)
    listener = SoundWindows(fps, lead_frames=lead_frames, mel_padding="zeros")
    windows = stack_windows([window for (window,) in hear_all(listener, [wave]).windows])
    starts = frame_window_starts(-(-samples // 640), fps, lead_frames=lead_frames)
    np.testing.assert_array_equal(windows, mel_windows(mel_spectrogram(wave), starts))


@pytest.mark.parametrize("num_frames", [3, 25, 60])
def test_windows_for_a_picture_of_another_length(num_frames: int) -> None:
    wave, fps = noise(16_000), Fraction(25)
    listener = SoundWindows(fps, lead_frames=1, mel_padding="zeros", num_frames=num_frames)
    windows = stack_windows([window for (window,) in hear_all(listener, [wave]).windows])
    starts = frame_window_starts(num_frames, fps, lead_frames=1)
    np.testing.assert_array_equal(windows, mel_windows(mel_spectrogram(wave), starts))


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_published_windows(padding: Any) -> None:
    for samples, fps in ((3000, Fraction(25)), (16_000, Fraction(25)), (50_003, Fraction(30000, 1001))):
        wave = noise(samples)
        windows = hear_all(PublishedWindows(fps, mel_padding=padding), [wave]).windows
        mel = mel_spectrogram(wave, MelSettings(padding=padding))
        expected = mel_windows(mel, published_window_starts(mel.shape[1], fps))
        np.testing.assert_array_equal(stack_windows([window for (window,) in windows]), expected)
    with pytest.raises(AudioTooShort):
        hear_all(PublishedWindows(Fraction(25), mel_padding=padding), [noise(2900)])


def test_training_alignment_is_one_frame_early() -> None:
    wave = speech_like(1.0)
    early, late = (heard(KINDS[index], wave)[0] for index in (0, 1))
    np.testing.assert_array_equal(early[1:], late[:-1])
    assert (early[0, :, :4] == -4).all()
    assert (late[24, :, -11:] == -4).all()


def test_gate_holds_over_short_pauses() -> None:
    sound = np.concatenate([speech_like(0.6), np.zeros(1600, np.float32), speech_like(0.6), np.zeros(16_000)])
    clip = AudioClip(sound.astype(np.float32), 16_000)
    gate = speech_gate(clip, Fraction(25), 57)
    assert (gate[2:30] == 1).all()
    assert gate[-1] == 0
    assert gate.min() >= 0
    assert gate.max() <= 1
    assert np.abs(np.diff(gate)).max() <= 0.5
    windows = hear_all(KINDS[0].make(), [clip.samples]).windows
    with_gate = list(gated(windows, clip, Fraction(25)))
    assert [window.gate for (window,) in with_gate] == speech_gate(clip, Fraction(25), len(windows)).tolist()
    assert all(a.mel is b.mel and a.start == b.start for (a,), (b,) in zip(windows, with_gate, strict=True))


# LiveTalking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [320, 777, 7680])
def test_golden_live_windows(piece: int) -> None:
    data = Golden("wav2lip/livetalking_stream")
    expected = data["chunks"].reshape(-1, 80, 16)
    wave = data["wave"]
    listener = LiveTalkingWindows(int(data["batch"]), silence_gate=False)
    listener._made = -EARLY_FRAMES  # its first windows, of what comes before the sound, are left out otherwise
    windows = hear_all(listener, [wave[first : first + piece] for first in range(0, len(wave), piece)]).windows
    found = stack_windows([window for (window,) in windows])
    assert len(found) == len(wave) // FRAME_SAMPLES + EARLY_FRAMES
    np.testing.assert_allclose(
        found[: len(expected)], expected, atol=tolerance("wav2lip/livetalking_stream:mel"), rtol=0
    )
    kind = Kind("", lambda: LiveTalkingWindows(int(data["batch"]), silence_gate=False))
    np.testing.assert_array_equal(heard(kind, wave)[0], found[EARLY_FRAMES:])


def test_silent_steps_are_closed() -> None:
    wave = np.zeros(40 * FRAME_SAMPLES, np.float32)
    wave[14 * FRAME_SAMPLES + 5] = 0.1
    gates = [window.gate for (window,) in hear_all(LiveTalkingWindows(4, silence_gate=True), [wave]).windows]
    assert [frame for frame, gate in enumerate(gates) if gate] == [11, 12, 13, 14]  # steps begin five frames early
    assert set(gates) == {0.0, 1.0}
