"""Frame times: the rate behind timestamps, and the grid of a constant rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.media import open_frames
from talkinghead.media.timing import STANDARD_RATES, even_timeline, timeline
from tests.synthetic_media import make_video

CLOCKS = [Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 12_800), Fraction(1, 30_000), Fraction(1, 1_000_000)]


def ticks_of(rate: Fraction, count: int, time_base: Fraction, rounding: str = "near") -> np.ndarray:
    exact = [i / rate / time_base for i in range(count)]
    return np.array([round(t) if rounding == "near" else int(t) for t in exact], np.int64)


@given(
    rate=st.sampled_from(STANDARD_RATES),
    count=st.integers(150, 400),  # fewer do not tell 60 from 59.94 in a clock of 1/1000 s
    time_base=st.sampled_from(CLOCKS),
    rounding=st.sampled_from(["near", "down"]),
    start=st.integers(-(10**9), 10**9),
)
def test_standard_rates_are_found_in_any_clock(
    rate: Fraction, count: int, time_base: Fraction, rounding: str, start: int
) -> None:
    found, notes = timeline(ticks_of(rate, count, time_base, rounding) + start, time_base, [])
    assert (found.rate, found.constant, len(found), notes) == (rate, True, count, ())
    assert found.duration_s == count / rate
    assert found.source_of_slots(rate) is None


@given(rate=st.fractions(1, 120, max_denominator=1001), count=st.integers(2, 50))
def test_a_hint_that_fits_exactly_is_believed(rate: Fraction, count: int) -> None:
    time_base = 1 / (rate * 512)
    found, _ = timeline(np.arange(count, dtype=np.int64) * 512, time_base, [None, rate])
    assert (found.rate, found.constant) == (rate, True)


def test_a_wrong_hint_is_not_believed() -> None:
    found, _ = timeline(
        ticks_of(Fraction(25), 100, Fraction(1, 1000)), Fraction(1, 1000), [Fraction(50), Fraction(1000)]
    )
    assert (found.rate, found.constant) == (25, True)


def test_one_frame() -> None:
    found, _ = timeline(np.array([77], np.int64), Fraction(1, 1000), [Fraction(30)])
    assert (found.rate, len(found), found.duration_s) == (30, 1, Fraction(1, 30))
    assert timeline(np.array([77], np.int64), Fraction(1, 1000), [None])[0].rate == 25


def test_dropped_frames_make_a_variable_rate() -> None:
    ticks = np.delete(ticks_of(Fraction(30), 100, Fraction(1, 90_000)), [10, 11, 50])
    found, _ = timeline(ticks, Fraction(1, 90_000), [Fraction(30)])
    assert (found.rate, found.constant) == (30, False)
    slots = found.source_of_slots(Fraction(30))
    assert slots is not None
    assert len(slots) == 100
    assert slots[9:13].tolist() == [9, 9, 9, 10]


@settings(max_examples=60)
@given(
    intervals=st.lists(st.integers(1, 200), min_size=1, max_size=40),
    fps=st.fractions(1, 100, max_denominator=1001),
)
def test_slots_against_a_plain_loop(intervals: list[int], fps: Fraction) -> None:
    ticks = np.array([0, *np.cumsum(intervals)], np.int64)
    time_base = Fraction(1, 1000)
    found, _ = timeline(ticks, time_base, [])
    slots = found.source_of_slots(fps)
    if slots is None:
        assert found.constant
        assert fps == found.rate
        return
    times = [i / found.rate for i in range(len(ticks))] if found.constant else [int(t) * time_base for t in ticks]
    for slot, source in enumerate(slots.tolist()):
        shown = 0
        for i, time in enumerate(times):
            if time * fps < slot + Fraction(1, 2):
                shown = i
        assert source == shown
    assert slots[0] >= 0
    assert np.all(np.diff(slots) >= 0)
    assert slots[-1] < len(ticks)
    assert abs(len(slots) / fps - found.duration_s) <= 1 / fps


@given(rate=st.sampled_from(STANDARD_RATES), factor=st.integers(2, 5), count=st.integers(1, 60))
def test_whole_factors_skip_and_repeat_evenly(rate: Fraction, factor: int, count: int) -> None:
    line = even_timeline(count, rate)
    more = line.source_of_slots(rate * factor)
    assert more is not None
    counts = np.bincount(more, minlength=count)
    assert counts[1:-1].tolist() == [factor] * max(0, count - 2)
    fewer = line.source_of_slots(rate / factor)
    assert fewer is not None
    assert np.all(np.diff(fewer) == factor)


def test_holes_of_hours_are_closed() -> None:
    ticks = np.array([0, 40, 80, 80 + 3_600_000, 120 + 3_600_000], np.int64)
    found, notes = timeline(ticks, Fraction(1, 1000), [Fraction(25)])
    assert found.ticks.tolist() == [0, 40, 80, 120, 160]
    assert "jump" in notes[0]


@pytest.mark.parametrize("gap_s", [5, 500])
def test_long_stills_are_kept(gap_s: int) -> None:
    ticks = np.array([0, 40, 80, 80 + gap_s * 1000, 120 + gap_s * 1000], np.int64)
    found, notes = timeline(ticks, Fraction(1, 1000), [Fraction(25)])
    assert notes == ()
    slots = found.source_of_slots(Fraction(25))
    assert slots is not None
    assert len(slots) == gap_s * 25 + 4


RATES_IN_MILLISECONDS = [Fraction(r) for r in ("24", "24000/1001", "25", "30", "30000/1001", "50", "60", "60000/1001")]


@pytest.mark.parametrize("rate", RATES_IN_MILLISECONDS)
@pytest.mark.parametrize("count", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("rounding", ["near", "down"])
def test_a_declared_rate_that_fits_is_believed_in_milliseconds(rate: Fraction, count: int, rounding: str) -> None:
    clock = Fraction(1, 1000)
    ticks = ticks_of(rate, count, clock, rounding)
    for hint in (rate, rate.limit_denominator(500), Fraction(round(float(rate) * 1000), 1000)):
        found, _ = timeline(ticks, clock, [hint, Fraction(1000)])
        assert (found.rate, found.constant) == (rate, True)


def test_a_declared_rate_that_does_not_fit_is_not_believed() -> None:
    """An hour at 29.97 that calls itself 30, and a screen recording that calls itself constant."""
    clock = Fraction(1, 1000)
    found, _ = timeline(ticks_of(Fraction(30000, 1001), 300, clock), clock, [Fraction(30)])
    assert (found.rate, found.constant) == (Fraction(30000, 1001), True)
    uneven = np.cumsum([0, 33, 34, 120, 33, 500, 33, 34, 33, 81])
    found, _ = timeline(uneven.astype(np.int64), clock, [Fraction(30)])
    assert (found.rate, found.constant) == (30, False)


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
@pytest.mark.parametrize("rate", RATES_IN_MILLISECONDS)
@pytest.mark.parametrize("count", [2, 3, 10])
def test_short_clips_have_the_rate_that_they_declare(suffix: str, rate: Fraction, count: int, tmp_path: Path) -> None:
    codec = "flv" if suffix == "flv" else "libx264"
    path = make_video(tmp_path / f"a.{suffix}", count, fps=rate, codec=codec, b_frames=0)
    info = open_frames(path).info
    assert (info.fps, info.num_frames, info.variable_frame_rate) == (rate, count, False)
