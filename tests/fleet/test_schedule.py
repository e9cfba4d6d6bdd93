"""Who does what next: one worker per job, attempts that end, faces that stay with a worker, and nobody left waiting."""

from __future__ import annotations

import sys
import tracemalloc
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.schedule import AWAY, MORE_KILLS, Fate, Scheduler, TimeLimits


def job(key: str, face: str = "a", head: str = "h", seconds: float = 1.0, after: tuple[str, ...] = ()) -> Job:
    row = int("".join(filter(str.isdigit, key)) or 0)
    return Job(key, row, {}, f"/out/{key}.mp4", head, f"{head}/{face}", seconds, after=after)


def done(key: str) -> Outcome:
    return Outcome(key, "done")


def failed(key: str) -> Outcome:
    return Outcome(key, "failed", error="no face", kind="NoFaceFound")


def given_to(scheduler: Scheduler, worker: str, now: float = 0.0) -> str:
    found = scheduler.next(worker, now)
    assert found is not None
    return found.key


@st.composite
def tables(draw: st.DrawFn) -> list[Job]:
    """Up to 30 jobs of a few faces and models; some need jobs of lower numbers."""
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 30))):
        needed = draw(st.sets(st.integers(0, number - 1), max_size=2)) if number and draw(st.booleans()) else set()
        jobs.append(
            job(
                f"k{number}",
                draw(st.sampled_from("abcd")),
                draw(st.sampled_from("xy")),
                draw(st.sampled_from([0.5, 1.0, 7.0])),
                tuple(f"k{other}" for other in sorted(needed)),
            )
        )
    return jobs


@dataclass
class Played:
    """A table that is worked on by workers to whom anything happens; keeps books of its own."""

    jobs: list[Job]
    scheduler: Scheduler
    now: float = 0.0
    has: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    def take(self, worker: str) -> None:
        found = self.scheduler.next(worker, self.now)
        if found is None:
            return
        assert found.key not in self.has.values(), "two workers have one job"
        assert found.key not in self.done + self.aside, "given again after its end"
        assert set(found.after) <= set(self.done), "given before what it needs"
        assert self.scheduler.attempt(worker) == 1 + self.failures.get(found.key, 0) + self.deaths.get(found.key, 0)
        self.has[worker] = found.key

    def settle(self, fate: Fate | None) -> None:
        assert fate is not None
        self.aside += [other.key for other in fate.also_aside]
        if fate.end == "aside":
            self.aside.append(fate.job.key)
        if fate.end == "done":
            self.done.append(fate.job.key)

    def end(self, worker: str, well: bool) -> None:
        key = self.has.pop(worker)
        fate = self.scheduler.ended(worker, done(key) if well else failed(key), self.now)
        if not well:
            self.failures[key] = self.failures.get(key, 0) + 1
            assert (fate.end == "aside") == (self.failures[key] == 3)
        self.settle(fate)

    def die(self, worker: str) -> None:
        key = self.has.pop(worker, None)
        fate = self.scheduler.died(worker, self.now)
        if key is None:
            assert fate is None
            return
        self.deaths[key] = self.deaths.get(key, 0) + 1
        self.settle(fate)
        assert fate is not None
        if self.deaths[key] < 2:
            assert fate.end == "again"
        innocent = any(self.deaths.get(other) for other in self.done)
        if self.deaths[key] == 2 + (MORE_KILLS if innocent else 0):
            assert fate.end == "aside"

    def check(self) -> None:
        scheduler = self.scheduler
        assert (scheduler.running, scheduler.done, scheduler.aside) == (len(self.has), len(self.done), len(self.aside))
        assert scheduler.open == len(self.jobs) - len(self.has) - len(self.done) - len(self.aside)


ACTIONS = st.tuples(st.sampled_from(["take", "take", "done", "done", "fail", "die", "wait"]), st.integers(0, 3))


@given(tables(), st.lists(ACTIONS, max_size=120))
@settings(max_examples=60, deadline=None)
def test_every_job_ends_once_whatever_happens(jobs: list[Job], actions: list[tuple[str, int]]) -> None:
    played = Played(jobs, Scheduler(jobs))
    names = [f"w{number}" for number in range(4)]
    more = count(4)
    for action, which in actions:
        worker = names[which]
        if action == "wait":
            played.now += 3.0
        elif action == "die":
            played.die(worker)
            names[which] = f"w{next(more)}"
        elif worker not in played.has:
            played.take(worker)
        elif action != "take":
            played.end(worker, action == "done")
        played.check()
    for _ in range(10 * len(jobs)):
        for worker in names:
            if worker in played.has:
                played.end(worker, well=True)
            else:
                played.take(worker)
        played.now += 60.0
        played.check()
    assert played.scheduler.is_over
    assert sorted(played.done + played.aside) == sorted(item.key for item in jobs)
    for item in jobs:
        if item.key in played.done:
            assert set(item.after) <= set(played.done)
    assert played.scheduler.left_s(played.now) in (0.0, None)


@given(tables(), st.lists(st.integers(0, 3), max_size=80))
@settings(max_examples=40, deadline=None)
def test_faces_stay_with_a_worker_and_no_worker_waits_while_there_is_work(jobs: list[Job], turns: list[int]) -> None:
    jobs = [job(item.key, item.face, item.head, item.seconds) for item in jobs]
    scheduler = Scheduler(jobs)
    waiting = {item.key: item for item in jobs}
    has: dict[str, Job] = {}
    face: dict[str, str] = {}
    for turn in turns:
        worker = f"w{turn}"
        if worker in has:
            scheduler.ended(worker, done(has.pop(worker).key), 1.0)
        found = scheduler.next(worker, 1.0)
        assert (found is None) == (not waiting)
        if found is None:
            face.pop(worker, None)
            continue
        taken = {other for name, other in face.items() if name != worker}
        if face.get(worker) in {item.face for item in waiting.values()}:
            assert found.face == face[worker]
        elif {item.face for item in waiting.values()} - taken:
            assert found.face not in taken
        assert found.seconds == max(item.seconds for item in waiting.values() if item.face == found.face)
        face[worker] = found.face
        has[worker] = waiting.pop(found.key)


def test_the_loaded_model_is_kept_where_the_next_face_is_free_to_choose() -> None:
    jobs = [job("k1", "a", "x", 8.0), job("k2", "b", "x", 8.0), job("k3", "c", "y", 9.0), job("k4", "d", "y", 1.0)]
    scheduler = Scheduler(jobs)
    assert given_to(scheduler, "one") == "k3"
    scheduler.ended("one", done("k3"), 1.0)
    assert given_to(scheduler, "one") == "k4"
    scheduler.ended("one", done("k4"), 2.0)
    assert given_to(scheduler, "one") in ("k1", "k2")


def test_one_face_is_shared_when_nothing_else_is_left() -> None:
    scheduler = Scheduler([job(f"k{number}", seconds=number) for number in range(1, 6)])
    assert [given_to(scheduler, worker) for worker in ("one", "two", "three")] == ["k5", "k4", "k3"]


def test_the_face_with_most_left_per_worker_is_shared() -> None:
    jobs = [job(f"a{number}", "a", seconds=10.0) for number in range(6)]
    jobs += [job(f"b{number}", "b", seconds=1.0) for number in range(6)]
    scheduler = Scheduler(jobs)
    keys = [given_to(scheduler, worker) for worker in ("one", "two", "three", "four")]
    assert [key[0] for key in keys] == ["a", "b", "a", "a"]


def test_what_was_given_already_does_not_count_when_a_face_is_shared() -> None:
    scheduler = Scheduler(
        [job("a1", "a", seconds=9), job("a2", "a"), job("b1", "b", seconds=3), job("b2", "b", seconds=3)]
    )
    assert [given_to(scheduler, worker) for worker in ("one", "two", "three")] == ["a1", "b1", "b2"]


def test_a_face_is_free_again_when_its_worker_dies() -> None:
    scheduler = Scheduler(
        [job("a1", "a", seconds=99), job("a2", "a"), *(job(f"b{n}", "b", seconds=9) for n in range(5))]
    )
    assert given_to(scheduler, "one") == "a1"
    assert given_to(scheduler, "two") == "b0"
    scheduler.ended("one", done("a1"), 1.0)
    scheduler.died("one", 1.0)
    assert given_to(scheduler, "three") == "a2"


def test_a_failed_job_goes_to_another_worker_after_a_pause_and_aside_the_third_time() -> None:
    scheduler = Scheduler([job("k1"), job("k2", "b")])
    assert given_to(scheduler, "one") == "k1"
    assert given_to(scheduler, "two") == "k2"
    assert scheduler.ended("one", failed("k1"), 0.0).end == "again"
    assert scheduler.next("one", 6.0) is None, "it failed there, and another worker may take it"
    scheduler.ended("two", done("k2"), 1.0)
    assert scheduler.next("two", 1.0) is None, "it failed just now"
    assert given_to(scheduler, "two", 6.0) == "k1"
    assert scheduler.ended("two", failed("k1"), 7.0).end == "again"
    assert scheduler.next("one", 26.0) is None
    assert given_to(scheduler, "one", 28.0) == "k1"
    fate = scheduler.ended("one", failed("k1"), 29.0)
    assert (fate.end, fate.attempt) == ("aside", 3)
    assert scheduler.is_over
    assert (scheduler.done, scheduler.aside) == (1, 1)


def test_failed_jobs_go_to_workers_whose_last_job_went_well() -> None:
    jobs = [job(f"k{number}", str(number), seconds=20 - number) for number in range(9)]
    scheduler = Scheduler(jobs)
    bad, good = given_to(scheduler, "bad"), given_to(scheduler, "good")
    scheduler.ended("bad", failed(bad), 0.0)
    assert given_to(scheduler, "new", 50.0) != bad, "nobody knows whether it is any good"
    scheduler.ended("good", done(good), 51.0)
    other = given_to(scheduler, "bad", 52.0)
    scheduler.ended("bad", failed(other), 52.0)
    assert given_to(scheduler, "newer", 100.0) not in (bad, other)
    assert given_to(scheduler, "good", 100.0) == bad
    scheduler.ended("good", done(bad), 101.0)
    scheduler.died("good", 101.0)
    assert scheduler.is_spoiled("bad") is False
    assert given_to(scheduler, "bad", 102.0) not in (bad, other), "new workers may turn out well"
    assert given_to(scheduler, "newest", 400.0) == other, "it has waited long enough"


def test_a_job_that_came_back_goes_where_its_model_is_loaded() -> None:
    jobs = [job("k1", "a", "x", 9.0), job("k2", "b", "y", 8.0), job("k3", "c", "y", 7.0), job("k4", "d", "x", 0.5)]
    scheduler = Scheduler(jobs)
    assert [given_to(scheduler, worker) for worker in ("one", "two", "three")] == ["k1", "k2", "k3"]
    scheduler.died("one", 1.0)
    scheduler.died("two", 2.0)
    scheduler.ended("three", done("k3"), 3.0)
    assert given_to(scheduler, "three", 3.0) == "k2"
    assert given_to(scheduler, "four", 3.0) == "k1"


def test_while_storage_is_away_jobs_wait_and_keep_their_tries() -> None:
    scheduler = Scheduler([job("k1")])
    away = Outcome("k1", "failed", error="no answer", kind="StorageError", blames="place", may_pass=True)
    now = 0.0
    for pause_s in (30.0, 60.0, 120.0, 240.0):
        assert given_to(scheduler, "one", now) == "k1"
        assert scheduler.ended("one", away, now).end == "again"
        assert scheduler.next("one", now + pause_s - 1.0) is None
        now += pause_s
    for tries in (1, 2, 3):
        assert given_to(scheduler, "one", now) == "k1"
        fate = scheduler.ended("one", failed("k1"), now)
        assert (fate.end == "aside") == (tries == 3)
        now += 30.0
    assert fate.attempt == 7
    assert not scheduler.is_spoiled("one")


def test_what_the_place_fails_for_ever_is_put_aside_in_the_end() -> None:
    scheduler = Scheduler([job("k1")])
    now, ends = 0.0, []
    while not scheduler.is_over:
        given_to(scheduler, "one", now)
        ends.append(scheduler.ended("one", Outcome("k1", "failed", blames="place"), now).end)
        now += TimeLimits().away_most_s
    assert ends == ["again"] * (AWAY - 1) + ["aside"]


def test_a_worker_that_is_alone_gets_its_failed_job_again() -> None:
    scheduler = Scheduler([job("k1")])
    for now in (0.0, 100.0, 200.0):
        assert given_to(scheduler, "one", now) == "k1"
        fate = scheduler.ended("one", failed("k1"), now)
    assert fate.end == "aside"


def test_a_failed_job_that_no_other_worker_takes_goes_back_in_the_end() -> None:
    scheduler = Scheduler([job("k1"), job("k2", "b")])
    given_to(scheduler, "one")
    given_to(scheduler, "two")
    scheduler.ended("one", failed("k1"), 0.0)
    assert scheduler.next("one", 300.0) is None
    assert given_to(scheduler, "one", 306.0) == "k1"


def test_a_job_that_kills_its_worker_twice_is_put_aside_and_what_needs_it_with_it() -> None:
    scheduler = Scheduler([job("k1"), job("k2", after=("k1",)), job("k3", after=("k2",)), job("k4", "b")])
    assert given_to(scheduler, "one") == "k1"
    fate = scheduler.died("one", 1.0)
    assert fate is not None
    assert fate.end == "again"
    assert given_to(scheduler, "two", 1.0) == "k1"
    fate = scheduler.died("two", 2.0)
    assert fate is not None
    assert (fate.end, fate.attempt, [item.key for item in fate.also_aside]) == ("aside", 2, ["k2", "k3"])
    assert given_to(scheduler, "three", 2.0) == "k4"
    assert (scheduler.aside, scheduler.workers) == (3, 1)


def test_where_workers_die_of_other_things_two_deaths_put_no_job_aside() -> None:
    scheduler = Scheduler([job(f"k{number}", seconds=100 - number) for number in range(100)])
    names = (f"w{number}" for number in count())
    for _ in range(10):
        worker = next(names)
        key = given_to(scheduler, worker)
        scheduler.died(worker, 0.0)
        worker = next(names)
        assert given_to(scheduler, worker) == key
        scheduler.ended(worker, done(key), 0.0)
        scheduler.died(worker, 0.0)
    ends: list[str] = []
    while "aside" not in ends:
        worker = next(names)
        given_to(scheduler, worker)
        fate = scheduler.died(worker, 0.0)
        assert fate is not None
        ends.append(fate.end)
    assert 2 < len(ends) <= 2 + MORE_KILLS


def test_a_worker_without_a_job_may_die_and_strangers_too() -> None:
    scheduler = Scheduler([job("k1")])
    assert scheduler.died("nobody", 0.0) is None
    given_to(scheduler, "one")
    scheduler.ended("one", done("k1"), 1.0)
    assert scheduler.died("one", 1.0) is None
    assert scheduler.workers == 0


def test_time_follows_from_the_length_and_the_measured_pace() -> None:
    limits = TimeLimits(start_s=100.0, warm_s=10.0, pace=50.0, patience=5.0, silent_s=1e6)
    scheduler = Scheduler([job("k1", seconds=4.0), job("k2", seconds=3.0)], limits=limits)
    given_to(scheduler, "one", 0.0)
    assert scheduler.overdue(299.0) == []
    scheduler.ended("one", done("k1"), 8.0)  # 2 s of work per second of video
    given_to(scheduler, "one", 1000.0)
    assert scheduler.overdue(1000.0 + 10.0 + 3.0 * 2.0 * 5.0 - 0.5) == []
    assert scheduler.overdue(1040.0) == ["one"]
    assert scheduler.overdue(1041.0) == [], "named once"
    scheduler.died("one", 1041.0)
    given_to(scheduler, "two", 2000.0)
    assert scheduler.overdue(2000.0 + 2 * (100.0 + 30.0) - 0.5) == [], "lost before: twice the time"
    assert scheduler.overdue(2260.0) == ["two"]


def test_silent_workers_are_given_up_and_signs_of_life_put_that_off() -> None:
    scheduler = Scheduler([job("k1", seconds=1000.0), job("k2", "b")], limits=TimeLimits(silent_s=60.0))
    given_to(scheduler, "one", 0.0)
    given_to(scheduler, "two", 0.0)
    scheduler.progressed("one", 50.0)
    scheduler.progressed("nobody", 50.0)
    assert scheduler.overdue(100.0) == ["two"]
    assert scheduler.overdue(109.0) == []
    assert scheduler.overdue(110.0) == ["one"]


def test_a_worker_that_fails_where_others_succeed_is_spoiled() -> None:
    jobs = [job(f"k{number}", str(number)) for number in range(10)]
    scheduler = Scheduler(jobs)
    for turn in range(3):
        assert not scheduler.is_spoiled("bad")
        key = given_to(scheduler, "bad", float(turn))
        scheduler.ended("bad", failed(key), float(turn))
    assert not scheduler.is_spoiled("bad"), "perhaps all rows of the table are bad"
    scheduler.ended("good", done(given_to(scheduler, "good", 3.0)), 4.0)
    assert scheduler.is_spoiled("bad")
    assert not scheduler.is_spoiled("good")
    assert not scheduler.is_spoiled("nobody")


def test_time_left_follows_from_what_was_measured_per_model() -> None:
    jobs = [job("k1", "a", "x", 10.0), job("k2", "a", "x", 10.0), job("k3", "b", "y", 5.0), job("k4", "b", "y", 5.0)]
    scheduler = Scheduler(jobs)
    assert scheduler.left_s(0.0) is None
    assert given_to(scheduler, "one") == "k1"
    assert given_to(scheduler, "two") == "k3"
    scheduler.ended("one", done("k1"), 20.0)
    scheduler.ended("two", done("k3"), 20.0)
    assert scheduler.left_s(20.0) == pytest.approx((10 * 2 + 5 * 4) / 2)
    given_to(scheduler, "one", 20.0)
    assert scheduler.left_s(25.0) == pytest.approx((10 * 2 + 5 * 4 - 5) / 2)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="one key"):
        Scheduler([job("k1"), job("k1")])
    with pytest.raises(ValueError, match="in a circle: rows 1, 2"):
        Scheduler([job("k1", after=("k2",)), job("k2", after=("k1",)), job("k3")])
    scheduler = Scheduler([job("k1", after=("done before",)), job("k2")])
    given_to(scheduler, "one")
    with pytest.raises(ValueError, match="has a job already"):
        scheduler.next("one", 0.0)
    with pytest.raises(ValueError, match="but it was given"):
        scheduler.ended("one", done("k9"), 0.0)
    with pytest.raises(ValueError, match="no job"):
        scheduler.ended("two", done("k2"), 0.0)


def work_off(jobs: int, workers: int) -> tuple[int, int]:
    """Calls of functions per job from the first to the last, and bytes per job beside the jobs."""
    table = [job(f"k{number}", str(number % (jobs // 10)), str(number % 7), 1 + number % 13) for number in range(jobs)]
    tracemalloc.start()
    scheduler = Scheduler(table)
    bytes_per_job = tracemalloc.get_traced_memory()[0] // jobs
    tracemalloc.stop()
    calls = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        has: dict[str, str] = {}
        now = 0.0
        while not scheduler.is_over:
            now += 1.0
            scheduler.overdue(now)
            worker = f"w{int(now) % workers}"
            key = has.pop(worker, None)
            if key is not None:
                scheduler.ended(worker, failed(key) if int(now) % 50 == 0 else done(key), now)
            found = scheduler.next(worker, now)
            if found is not None:
                has[worker] = found.key
    finally:
        sys.setprofile(before)
    return calls // jobs, bytes_per_job


def test_calls_and_memory_per_job_do_not_grow_with_the_table() -> None:
    few, few_bytes = work_off(500, 10)
    many, many_bytes = work_off(8000, 100)
    assert many < 1.5 * few
    assert many_bytes < 1.5 * few_bytes
    assert many_bytes < 400
