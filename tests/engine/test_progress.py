"""One bar for a whole job."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.contracts import STAGES
from talkinghead.engine.context import ProgressEvent
from talkinghead.engine.progress import WEIGHTS, JobProgress, span_of


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


EVENTS = st.builds(ProgressEvent, st.sampled_from(list(STAGES)), st.integers(0, 300), st.none() | st.integers(0, 250))


@given(st.lists(st.tuples(EVENTS, st.floats(0, 100)), max_size=40))
def test_a_bar_never_goes_back_whatever_comes(events: list[tuple[ProgressEvent, float]]) -> None:
    clock = Clock()
    progress, before = JobProgress(clock), 0.0
    for event, seconds in events:
        clock.now += seconds
        share, left_s = progress.update(event)
        assert before <= share <= 1.0
        assert left_s is None or left_s >= 0.0
        before = share
        clock.now += 1.0
        later_share, later_left_s = progress.now()
        assert later_share == share
        assert (left_s is None) == (later_left_s is None)
        if left_s is not None and later_left_s is not None:
            assert 0.0 <= later_left_s <= left_s


@given(st.lists(st.sampled_from(list(WEIGHTS)), unique=True), st.integers(1, 50))
def test_a_job_that_ends_is_whole(left_out: list[str], total: int) -> None:
    clock, shares = Clock(), [0.0]
    progress = JobProgress(clock)
    for stage in (name for name in WEIGHTS if name not in left_out or name == "render"):
        for done in range(total + 1):
            clock.now += 0.1
            share, left_s = progress.update(ProgressEvent(stage, done, total))
            shares.append(share)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert left_s == 0.0


def test_the_vocabulary_is_in_order_and_a_job_of_one_stage_is_that_stage() -> None:
    assert [name for name in STAGES if name in WEIGHTS] == list(WEIGHTS)
    ends = [span_of(name).start + span_of(name).weight for name in WEIGHTS]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(1.0)
    progress = JobProgress(Clock())
    assert progress.update(ProgressEvent("compare", 5, 20)) == (0.25, None)


def test_the_time_left_is_that_of_the_stage_when_nothing_comes_after_it() -> None:
    clock = Clock()
    progress = JobProgress(clock)
    progress.update(ProgressEvent("render", 0, 100))
    clock.now += 0.1
    assert progress.update(ProgressEvent("render", 1, 100))[1] is None
    clock.now += 1.9
    share, left_s = progress.update(ProgressEvent("render", 20, 100))
    assert left_s == pytest.approx(8.0)
    assert progress.per_second == pytest.approx(10.0)
    assert 0.5 < share < 1.0
    clock.now += 3.0
    assert progress.now() == (share, pytest.approx(5.0))


def test_before_the_last_stage_the_pace_of_the_job_counts() -> None:
    """A job whose stages take what is expected of them: the time left is right all along."""
    clock = Clock()
    progress, begun = JobProgress(clock), clock.now
    whole_s = 200.0
    for stage in WEIGHTS:
        span = span_of(stage)
        for done in range(11):
            clock.now = begun + whole_s * (span.start + span.weight * done / 10)
            share, left_s = progress.update(ProgressEvent(stage, done, 10))
            assert share == pytest.approx((clock.now - begun) / whole_s)
            if share > 0.1:
                assert left_s == pytest.approx(whole_s - (clock.now - begun), rel=0.1, abs=0.5)
