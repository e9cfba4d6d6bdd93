"""Laws of the timeline: which source frame each output frame shows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.engine import timeline
from talkinghead.engine.timeline import (
    LOOP_POLICIES,
    FramePlan,
    SourceIndices,
    frame_plan,
    frames_between,
    held_first,
    in_groups,
    planned_frames,
    source_indices,
    speaking_fps,
)
from talkinghead.errors import OptionError

lengths = st.tuples(st.integers(1, 60), st.integers(0, 300))


@given(lengths, st.sampled_from(LOOP_POLICIES))
def test_indices_are_valid(sizes, policy):
    num_source, num_frames = sizes
    index = source_indices(num_source, num_frames, policy)
    assert len(index) == (min(num_source, num_frames) if policy == "trim" else num_frames)
    assert index.dtype == np.int64
    assert ((index >= 0) & (index < num_source)).all()


@given(lengths)
def test_pingpong_moves_by_one_and_turns_without_a_stop(sizes):
    num_source, num_frames = sizes
    index = source_indices(num_source, num_frames, "pingpong")
    steps = np.diff(index)
    assert (np.abs(steps) == (1 if num_source > 1 else 0)).all()
    turns = np.flatnonzero(np.diff(steps)) + 1
    assert set(index[turns]) <= {0, num_source - 1}


@given(lengths)
def test_a_source_that_is_long_enough_is_shown_as_it_is(sizes):
    num_source, num_frames = sizes
    if num_frames <= num_source:
        for policy in LOOP_POLICIES:
            np.testing.assert_array_equal(source_indices(num_source, num_frames, policy), np.arange(num_frames))


@given(lengths)
def test_loop_and_hold(sizes):
    num_source, num_frames = sizes
    expected = [i % num_source for i in range(num_frames)]
    assert source_indices(num_source, num_frames, "loop").tolist() == expected
    expected = [min(i, num_source - 1) for i in range(num_frames)]
    assert source_indices(num_source, num_frames, "hold").tolist() == expected


def test_an_unknown_policy_is_refused():
    with pytest.raises(OptionError, match="bounce"):
        source_indices(3, 5, "bounce")


class Pictures:
    """A FrameSource of numbered pictures that counts how often it is asked."""

    def __init__(self, num_frames: int) -> None:
        self.frames = [np.full((2, 2, 3), i, np.uint8) for i in range(num_frames)]
        self.reads = 0

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[np.ndarray]:
        self.reads += 1
        if stop is None:
            stop = len(self.frames) if step > 0 else -1
        for i in range(start, stop, step):
            assert 0 <= i < len(self.frames)
            yield self.frames[i]


@given(st.integers(1, 12), st.integers(0, 60), st.sampled_from(LOOP_POLICIES))
def test_planned_frames_follow_the_plan(num_source, num_frames, policy):
    source = Pictures(num_source)
    plan = FramePlan(Fraction(25), source_indices(num_source, num_frames, policy))
    shown = list(planned_frames(source, plan))
    assert [item.index for item in shown] == list(range(len(plan)))
    assert [item.source_index for item in shown] == list(plan.indices)
    assert [int(item.frame[0, 0, 0]) for item in shown] == list(plan.indices)


@given(st.lists(st.integers(0, 9), max_size=40))
def test_any_plan_can_be_read(indices):
    plan = FramePlan(Fraction(25), np.array(indices, np.int64))
    assert [int(item.frame[0, 0, 0]) for item in planned_frames(Pictures(10), plan)] == indices


def test_a_run_of_frames_is_read_in_one_pass():
    source = Pictures(10)
    list(planned_frames(source, FramePlan(Fraction(25), source_indices(10, 37, "pingpong"))))
    assert source.reads == 4  # there, back, there, back


RATES = st.sampled_from([Fraction(25), Fraction(50), Fraction(10), Fraction(30000, 1001), Fraction(24000, 1001)])


@given(st.integers(1, 40), st.none() | RATES, RATES, st.integers(0, 300), st.sampled_from(LOOP_POLICIES), st.data())
def test_a_plan_shows_the_source_in_its_own_time(num_source, source_fps, fps, num_frames, policy, data):
    plan = frame_plan(num_source, source_fps, num_frames, fps, policy)
    at = [i if source_fps is None else math.floor(i * source_fps / fps) for i in range(num_frames)]
    shown = source_indices(num_source, max(at, default=-1) + 1, policy).tolist()
    expected = [shown[i] for i in at if i < len(shown)]
    assert list(plan.indices) == expected
    assert plan.num_distinct == len(set(expected))
    array = np.asarray(plan.indices)
    assert (array.dtype, array.tolist()) == (np.int64, expected)
    if expected:
        place = data.draw(st.integers(-len(expected), len(expected) - 1))
        assert plan.indices[place] == expected[place]
    assert plan.indices[2:7] == expected[2:7]
    with pytest.raises(IndexError):
        plan.indices[len(expected)]


def test_a_day_is_planned_block_by_block():
    computed = []

    def at(index):
        computed.append(len(index))
        return index % 10

    plan = FramePlan(Fraction(25), SourceIndices(24 * 3600 * 25, at))
    assert [item.index for item in itertools.islice(planned_frames(Pictures(10), plan), 5000)] == list(range(5000))
    assert len(computed) < 12
    assert plan.indices[-1] == 9
    assert plan.num_distinct == 10
    assert set(computed) <= {timeline.BLOCK, 24 * 3600 * 25 % timeline.BLOCK}


@given(lengths, st.integers(0, 400), st.sampled_from(LOOP_POLICIES))
def test_the_first_frame_is_held_before_the_plan(sizes, num_held, policy):
    num_source, num_frames = sizes
    plan = frame_plan(num_source, Fraction(25), num_frames, Fraction(30), policy)
    held = held_first(plan, num_held)
    shown = np.asarray(plan.indices)
    assert np.asarray(held.indices).tolist() == [*shown[:1].tolist() * num_held, *shown.tolist()]
    assert (held.fps, len(held)) == (plan.fps, len(plan) + (num_held if len(plan) else 0))


def test_the_first_frame_of_an_array_is_held_too():
    plan = FramePlan(Fraction(25), np.array([3, 4, 5]))
    assert np.asarray(held_first(plan, 2).indices).tolist() == [3, 3, 3, 4, 5]
    assert held_first(plan, 0) is plan


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        (None, 25),
        (25, 25),
        (10, 30),
        (12, 24),
        (20, 40),
        (Fraction(24_000, 1001), Fraction(24_000, 1001)),
        (Fraction(23), 46),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (8, 24),
        (5, 25),
        (1, 25),
        (Fraction(1, 3), 25),
        (Fraction(1, 600), 25),
        (Fraction(999, 100), Fraction(2997, 100)),
    ],
)
def test_slow_faces_speak_at_a_multiple_of_their_rate(own: Fraction | int | None, shown: Fraction | int) -> None:
    assert speaking_fps(None if own is None else Fraction(own)) == shown


@given(
    st.lists(st.floats(0, 20), max_size=4).map(sorted),
    st.sampled_from([Fraction(25), Fraction(30_000, 1001), Fraction(1, 3), Fraction(60)]),
    st.integers(1, 700),
)
def test_stretches_share_no_frame_and_leave_none_out(cuts, fps, num_frames):
    edges = [0.0, *cuts, 1e5]
    frames = []
    for stretch in itertools.pairwise(edges):
        try:
            part = frames_between(stretch, fps, num_frames)
        except OptionError as error:
            assert "No frame begins" in str(error)  # noqa: PT017 (an empty part is one of the cases)
            continue
        frames += part
        assert all(stretch[0] <= index / fps < stretch[1] for index in part)
    assert frames == list(range(num_frames))


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 40))
def test_groups_are_whole_and_no_more(start, count, size):
    wanted = range(start, min(100, start + count))
    whole = in_groups(wanted, size, 100)
    assert whole.start % size == 0
    assert whole.start <= wanted.start < whole.start + size
    assert whole.stop == 100 or (whole.stop % size == 0 and whole.stop - size < wanted.stop <= whole.stop)


@given(lengths, st.sampled_from(LOOP_POLICIES), st.integers(0, 299))
def test_a_plan_can_be_read_from_any_frame_on(sizes, policy, first):
    num_source, num_frames = sizes
    plan = FramePlan(Fraction(25), source_indices(num_source, num_frames, policy))
    shown = [item.source_index for item in planned_frames(Pictures(num_source), plan, first)]
    assert shown == list(plan.indices[first:])
