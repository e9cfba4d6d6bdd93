"""Blinks and the movement of the head."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.families.viseme.compose import HEAD_MARGIN
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.idle import Blinks, IdleLife, idle_motion, still_life

FPS = Fraction(25)
NAMES = ("lids", "x", "y", "roll", "scale", "yaw", "pitch")


def quiet(n: int) -> np.ndarray:
    return np.zeros(n, np.float32)


def test_same_seed_same_motion() -> None:
    config = VisemeConfig(seed=5)
    a, b = (idle_motion(200, FPS, config, quiet(200), quiet(200)) for _ in range(2))
    other = idle_motion(200, FPS, VisemeConfig(seed=6), quiet(200), quiet(200))
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in NAMES)
    assert any(not np.array_equal(getattr(a, name), getattr(other, name)) for name in NAMES)


def test_beginning_does_not_depend_on_the_length() -> None:
    short, long = (idle_motion(n, FPS, VisemeConfig(), quiet(n), quiet(n)) for n in (100, 900))
    for name in NAMES:
        assert np.allclose(getattr(short, name), getattr(long, name)[:100], atol=1e-6), name


@pytest.mark.parametrize("wanted", [range(16), range(150, 180), range(290, 300)])
def test_parts_are_the_whole(wanted: range) -> None:
    rng = np.random.default_rng(1)
    speaking, jaw = rng.random((2, 300)).astype(np.float32)
    whole = idle_motion(300, FPS, VisemeConfig(), speaking, jaw)
    life = IdleLife(FPS, VisemeConfig())
    known = range(max(0, wanted.start - life.reach), min(300, wanted.stop + life.reach))
    part = life.frames(speaking[known.start : known.stop], jaw[known.start : known.stop], known, wanted)
    for name in NAMES:
        np.testing.assert_allclose(getattr(part, name), getattr(whole, name)[wanted.start : wanted.stop], atol=1e-7)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), rate=st.floats(4, 40))
def test_rate_and_shape_of_blinks(seed: int, rate: float) -> None:
    minutes = 20
    times = (np.arange(minutes * 60 * 25) + 0.5) / 25
    lids = Blinks(rate, np.random.default_rng(seed)).at(times)
    assert lids.min() >= 0
    assert lids.max() <= 1
    starts = np.flatnonzero((lids[1:] > 0.5) & (lids[:-1] <= 0.5))
    assert 0.6 * rate < len(starts) / minutes < 1.7 * rate
    ends = np.flatnonzero((lids[1:] <= 0.5) & (lids[:-1] > 0.5))
    lengths = (ends[: len(starts)] - starts[: len(ends)]) / 25
    assert 0.06 < np.median(lengths) < 0.30


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(25), Fraction(60)])
def test_every_blink_really_closes(fps: Fraction) -> None:
    times = (np.arange(int(60 * fps)) + 0.5) / float(fps)
    lids = Blinks(14, np.random.default_rng(1)).at(times)
    starts = np.flatnonzero((lids[1:] > 0) & (lids[:-1] == 0)) + 1
    assert len(starts) > 4
    for start in starts[:-1]:
        assert lids[start : start + int(0.35 * fps)].max() > 0.8


def test_no_blinks_and_no_head_when_told_so() -> None:
    config = VisemeConfig(blinks_per_minute=0, head_motion=0)
    motion = idle_motion(500, FPS, config, np.ones(500, np.float32), np.ones(500, np.float32))
    assert all(not getattr(motion, name).any() for name in NAMES)
    assert all(not getattr(still_life(3), name).any() for name in NAMES)


def test_head_moves_little_and_smoothly() -> None:
    n = 5000
    jaw = np.abs(np.sin(np.arange(n) / 4)).astype(np.float32)
    motion = idle_motion(n, FPS, VisemeConfig(), np.ones(n, np.float32), jaw)
    for name in ("x", "y", "yaw", "pitch"):
        values = getattr(motion, name)
        assert np.abs(values).max() < 0.06, name
        assert np.abs(np.diff(values)).max() < 0.006, name
        assert values.std() > 0.003, name
    assert np.degrees(np.abs(motion.roll)).max() < 2


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_head_stays_within_the_margin_that_regions_allow_for(seed: int) -> None:
    n = 1500
    config = VisemeConfig(seed=seed, head_motion=1.0)
    m = idle_motion(n, FPS, config, np.ones(n, np.float32), np.ones(n, np.float32))
    # Farthest animated point: about 2.2 eye distances from the neck.
    moved = np.hypot(np.abs(m.x) + np.abs(m.yaw), np.abs(m.y) + np.abs(m.pitch)) + 2.2 * (
        np.abs(m.roll) + np.abs(m.scale)
    )
    assert moved.max() < HEAD_MARGIN
