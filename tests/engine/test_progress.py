"""One bar for a whole job."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.contracts import STAGES
from talkinghead.engine.context import ProgressEvent
from talkinghead.engine.progress import COSTS, MOST, JobProgress, Paces


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


SIZES = st.dictionaries(st.sampled_from(["sound_s", "face_frames"]), st.floats(0, 1e5), max_size=2)
EVENTS = st.builds(
    ProgressEvent, st.sampled_from(list(STAGES)), st.integers(0, 300), st.none() | st.integers(0, 250),
    job=st.sampled_from(["", "a", "b"]), sizes=SIZES,
    stages=st.lists(st.sampled_from(list(COSTS)), max_size=3).map(tuple),
)  # fmt: skip


@given(st.lists(st.tuples(EVENTS, st.floats(0, 100)), max_size=40))
def test_a_bar_never_goes_back_whatever_comes_and_ends_whole(events: list[tuple[ProgressEvent, float]]) -> None:
    clock = Clock()
    progress, before = JobProgress(clock, Paces()), 0.0
    for event, seconds in events:
        clock.now += seconds
        share, left_s = progress.update(event)
        assert before <= share <= 1.0
        assert left_s is None or left_s >= 0.0
        clock.now += 1.0
        before, left_s = progress.now()
        assert share <= before <= 1.0
        assert left_s is None or left_s >= 0.0
    progress.finish()
    assert progress.now() == (1.0, 0.0)


def job(clock: Clock, paces: Paces, took: dict[str, float], sound_s: float, frames: int) -> list[tuple[float, float]]:
    """A job whose stages take so long; (share, seconds left; -1 where none is told) after each of 20 steps of each."""
    progress, told = JobProgress(clock, paces), []
    for number, (stage, seconds) in enumerate(took.items()):
        known = {} if number else {"job": "x", "stages": tuple(took), "sizes": {"sound_s": sound_s}}
        for done in range(21):
            clock.now += seconds / 20 if done else 0.0
            total = frames if stage in ("detect-faces", "analyse-face", "render") else None
            event = ProgressEvent(stage, round(done / 20 * total) if total else 0, total, **known)  # type: ignore[arg-type]
            share, left_s = progress.update(event)
            told.append((share, -1.0 if left_s is None else left_s))
    progress.finish()
    return told


@given(
    st.lists(st.sampled_from([name for name in COSTS if name != "render"]), unique=True),
    st.lists(st.floats(0.1, 30), min_size=9, max_size=9),
)
def test_the_second_job_of_a_kind_is_foreseen_by_the_first(left_out: list[str], seconds: list[float]) -> None:
    """Whatever each stage takes on this machine, the bar of the second job follows the clock."""
    took = {name: took for name, took in zip(COSTS, seconds, strict=True) if name not in left_out}
    clock, paces = Clock(), Paces()
    job(clock, paces, took, sound_s=10.0, frames=60)
    told = job(clock, paces, took, sound_s=10.0, frames=60)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert MOST - 0.01 <= shares[-1] <= 1.0
    whole, passed = sum(took.values()), 0.0
    clock_shares = []
    for stage in took.values():
        clock_shares += [(passed + stage * step / 20) / whole for step in range(21)]
        passed += stage
    factors = [value / paces_cost for value, paces_cost in ((took[name], cost(name)) for name in took)]
    if all(0.05 < factor < 15 for factor in factors):  # beyond that nobody believes a measurement
        assert max(abs(a - b) for a, b in zip(shares, clock_shares, strict=True)) < 0.1


def cost(name: str) -> float:
    known = COSTS[name]
    return known.fixed + 60 * known.per_frame + 10 * known.per_second


def test_the_first_job_has_a_time_left_that_is_near() -> None:
    """Stages that take twice what was measured elsewhere."""
    took = {name: 2 * cost(name) for name in COSTS if name not in ("load", "speak")}
    whole, clock = sum(took.values()), Clock()
    told = job(clock, Paces(), took, sound_s=10.0, frames=60)
    passed = [sum(list(took.values())[:number]) + step / 20 * seconds
              for number, seconds in enumerate(took.values()) for step in range(21)]  # fmt: skip
    for (_, left_s), at in zip(told, passed, strict=True):
        if at > 0.3 * whole:
            assert left_s == pytest.approx(whole - at, abs=0.3 * whole)


def test_time_left_goes_down_between_events_and_does_not_tremble() -> None:
    clock = Clock()
    progress = JobProgress(clock, Paces())
    progress.update(ProgressEvent("render", 0, 100, sizes={"sound_s": 30.0}))
    assert progress.now()[1] is None
    seen: list[float] = []
    for done in range(1, 100):
        clock.now += 0.1 if done % 2 else 0.14
        _, left_s = progress.update(ProgressEvent("render", done, 100))
        if left_s is not None:
            seen.append(left_s)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 0.5
    assert progress.per_second == pytest.approx(1 / 0.12, rel=0.05)


def test_a_job_of_one_stage_is_that_stage() -> None:
    clock = Clock()
    progress = JobProgress(clock)
    assert progress.update(ProgressEvent("compare", 0, 20)) == (0.0, None)
    clock.now += 5
    assert progress.update(ProgressEvent("compare", 5, 20)) == (0.25, pytest.approx(15.0))
    clock.now += 3
    assert progress.now() == (0.25, pytest.approx(12.0))


def test_stages_are_in_the_order_of_the_vocabulary() -> None:
    assert [name for name in STAGES if name in COSTS] == list(COSTS)


def test_what_is_not_foreseen_costs_nothing() -> None:
    clock = Clock()
    few = JobProgress(clock, Paces())
    every = JobProgress(clock, Paces())
    few.update(ProgressEvent("read-sound", 0, None, stages=("read-sound", "render"), sizes={"sound_s": 10.0}))
    every.update(ProgressEvent("read-sound", 0, None, sizes={"sound_s": 10.0, "face_frames": 300.0}))
    clock.now += 1.5
    assert few.now()[0] > 3 * every.now()[0]
