"""Channels to one: the mean, and a single channel where the mean has lost the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from talkinghead.media import read_audio
from talkinghead.media.mixdown import Mixdown
from tests.sound_files import write_stream
from tests.synthetic_media import make_sound, speech_like

RATE = 16_000
VOICE = speech_like(8.0, RATE)
LEVEL = float(np.sqrt((VOICE**2).mean()))
FRONT_LEFT, FRONT_RIGHT, CENTRE = 0, 1, 2


def level(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt((samples.astype(np.float64) ** 2).mean()))


def heard(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    warnings: list[str] = []
    return read_audio(path, RATE, warnings=warnings).samples, warnings


def stereo(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([left, right], axis=1)


@pytest.mark.parametrize("right", [-1.0, -0.9, -0.6, -1.2])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.m4a"])
def test_channels_that_cancel_each_other(right: float, name: str, tmp_path: Path) -> None:
    path = make_sound(tmp_path / name, rate=RATE, samples=stereo(VOICE, right * VOICE))
    samples, warnings = heard(path)
    assert level(samples) == pytest.approx(max(1, abs(right)) * LEVEL, rel=0.1)
    assert "the mean of the 2 channels" in warnings[0].lower()


@pytest.mark.parametrize("right", [1.0, 0.5, 0.0, -0.2])
def test_channels_that_do_not(right: float, tmp_path: Path) -> None:
    """A voice in one channel alone too: its mean is half of it, as the published systems hear it."""
    path = make_sound(tmp_path / "a.wav", rate=RATE, samples=stereo(VOICE, right * VOICE), bits="float")
    samples, warnings = heard(path)
    assert np.array_equal(samples, stereo(VOICE, np.float32(right) * VOICE).mean(axis=1))
    assert warnings == []


def test_two_microphones_that_hear_different_things(tmp_path: Path) -> None:
    other = speech_like(8.0, RATE, seed=3)[::-1].copy()
    path = make_sound(tmp_path / "a.wav", rate=RATE, samples=stereo(VOICE, other), bits="float")
    samples, warnings = heard(path)
    assert np.array_equal(samples, stereo(VOICE, other).mean(axis=1))
    assert warnings == []


def surround(**channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """FL FR FC LFE BL BR."""
    out = np.zeros((len(VOICE), 6), np.float32)
    for name, values in channels.items():
        out[:, ("fl", "fr", "fc", "lfe", "bl", "br").index(name)] = values
    return out


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mkv"])
def test_dialogue_in_the_centre(name: str, tmp_path: Path) -> None:
    music = (0.3 * LEVEL * np.random.default_rng(0).standard_normal((2, len(VOICE)))).astype(np.float32)
    samples = surround(fc=VOICE, fl=music[0], fr=music[1])
    if name == "a.mkv":
        path = write_stream(tmp_path / name, samples, RATE, "flac")
    else:
        path = make_sound(tmp_path / name, rate=RATE, samples=samples)
    out, warnings = heard(path)
    assert np.abs(out - VOICE).max() < 1e-3
    assert "channel 3" in warnings[0]


def test_a_part_that_cancels_is_heard_without_a_step(tmp_path: Path) -> None:
    """The first half in phase, the second against it: as loud as each other, and nothing jumps."""
    hum = (0.3 * np.sin(2 * np.pi * 200 * np.arange(16 * RATE) / RATE)).astype(np.float32)
    sign = np.where(np.arange(len(hum)) < 8 * RATE, 1, -1).astype(np.float32)
    out, warnings = heard(make_sound(tmp_path / "a.wav", rate=RATE, samples=stereo(hum, sign * hum), bits="float"))
    assert "8." in warnings[0] or "7." in warnings[0]
    assert np.abs(np.diff(out)).max() < 1.2 * np.abs(np.diff(hum)).max()
    for start in (0, 2, 5, 9, 12, 15):
        assert level(out[start * RATE :][:RATE]) == pytest.approx(level(hum), rel=0.02)


def test_short_moments_change_nothing(tmp_path: Path) -> None:
    sign = np.ones(len(VOICE), np.float32)
    sign[3 * RATE : 3 * RATE + RATE // 2] = -1
    both = stereo(VOICE, sign * VOICE)
    samples, warnings = heard(make_sound(tmp_path / "a.wav", rate=RATE, samples=both, bits="float"))
    assert np.array_equal(samples, both.mean(axis=1))
    assert warnings == []


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_silence_stays_silent(channels: int, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", rate=RATE, samples=np.zeros((RATE, channels), np.float32))
    samples, warnings = heard(path)
    assert not samples.any()
    assert warnings == []


@pytest.mark.parametrize("size", [1, 100, 1024, 50_000])
def test_the_verdict_does_not_depend_on_the_blocks(size: int) -> None:
    both = stereo(VOICE, -VOICE)
    mixdown = Mixdown(RATE, 2)
    for at in range(0, len(both) if size > 1 else 2 * RATE, size):
        mixdown.push(both[at : at + size])
    lost = mixdown.lost()
    assert lost is not None
    assert lost.channel == FRONT_LEFT
    assert np.array_equal(lost.mix(both[:100], 0)[:, 0], VOICE[:100])
