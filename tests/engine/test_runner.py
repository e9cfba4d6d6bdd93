"""Laws of the runner: order, exceptions, cancelling, cleaning up, flat memory, overlapped equals sequential."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.engine import runner
from talkinghead.engine.context import CancelToken
from talkinghead.engine.runner import Stage, run_stages
from talkinghead.engine.timeline import PlannedFrame
from talkinghead.errors import Cancelled

BOTH = pytest.mark.parametrize("overlap", [True, False], ids=["overlapped", "sequential"])


def each(function):
    """A stage body that maps one value to one value."""

    def run(values: Iterator) -> Iterator:
        for value in values:
            yield function(value)

    return run


def stage_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("stage-")]


@pytest.fixture(autouse=True)
def _no_threads_left():
    yield
    deadline = time.monotonic() + 2
    while stage_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not stage_threads()


def batches(size: int):
    def run(values: Iterator) -> Iterator:
        batch: list = []
        for value in values:
            batch.append(value)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    return run


def flatten(values: Iterator) -> Iterator:
    for value in values:
        yield from value


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.integers(), max_size=40),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    batch=st.integers(1, 7),
)
def test_overlapped_equals_sequential_and_keeps_order(values, sizes, batch):
    stages = [Stage(f"add {i}", each(lambda x, i=i: x * 3 + i), size) for i, size in enumerate(sizes)]
    stages += [Stage("batch", batches(batch), 1), Stage("flatten", flatten, 2)]
    expected = list(values)
    for i in range(len(sizes)):
        expected = [x * 3 + i for x in expected]
    assert list(run_stages(values, stages, overlap=True)) == expected
    assert list(run_stages(values, stages, overlap=False)) == expected


@BOTH
def test_a_stage_may_drop_and_add_values(overlap):
    odd = Stage("odd", lambda values: (value for value in values if value % 2))
    twice = Stage("twice", lambda values: (value for value in values for _ in range(2)))
    assert list(run_stages(range(6), [odd, twice], overlap=overlap)) == [1, 1, 3, 3, 5, 5]


@BOTH
def test_values_before_an_error_arrive_and_the_error_is_the_same_object(overlap):
    error = ValueError("frame 5 is bad")

    def fail(value: int) -> int:
        if value == 5:
            raise error
        return value

    run = run_stages(count(), [Stage("a", each(lambda x: x)), Stage("b", each(fail)), Stage("c", each(lambda x: x))],
                     overlap=overlap)  # fmt: skip
    seen: list[int] = []
    with pytest.raises(ValueError, match="frame 5") as caught:
        seen.extend(run)
    assert caught.value is error
    assert seen == [0, 1, 2, 3, 4]


@BOTH
def test_an_error_of_the_source_arrives(overlap):
    def source() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    run = run_stages(source(), [Stage("a", each(lambda x: x))], overlap=overlap)
    with pytest.raises(OSError, match="disk"):
        list(run)


@BOTH
def test_an_error_before_the_first_value(overlap):
    def broken(values: Iterator) -> Iterator:
        raise RuntimeError("cannot start")
        yield

    with pytest.raises(RuntimeError, match="cannot start"):
        list(run_stages(range(3), [Stage("broken", broken)], overlap=overlap))


@BOTH
def test_leaving_early_closes_every_generator_and_the_source(overlap):
    closed: list[str] = []

    def watched(name: str):
        def run(values: Iterator) -> Iterator:
            try:
                yield from values
            finally:
                closed.append(name)

        return run

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append("source")

    run = iter(run_stages(source(), [Stage("a", watched("a")), Stage("b", watched("b"))], overlap=overlap))
    assert [next(run), next(run)] == [0, 1]
    run.close()
    assert sorted(closed) == ["a", "b", "source"]


@BOTH
def test_an_error_closes_every_generator_and_the_source(overlap):
    closed: list[str] = []

    def watched(values: Iterator) -> Iterator:
        try:
            yield from values
        finally:
            closed.append("stage")

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append("source")

    def fail(value: int) -> int:
        raise ValueError(f"bad {value}")

    with pytest.raises(ValueError, match="bad 0"):
        list(run_stages(source(), [Stage("a", watched), Stage("b", each(fail))], overlap=overlap))
    assert sorted(closed) == ["source", "stage"]


def test_an_error_while_cleaning_up_arrives():
    def untidy(values: Iterator) -> Iterator:
        try:
            yield from values
        finally:
            raise RuntimeError("cannot close")

    with pytest.raises(RuntimeError, match="cannot close"):
        list(run_stages(range(3), [Stage("untidy", untidy)]))


@BOTH
def test_cancelling_stops_within_a_second(overlap):
    token = CancelToken()
    run = run_stages(count(), [Stage("slow", each(lambda x: (time.sleep(0.02), x)[1])), Stage("b", each(lambda x: x))],
                     cancel=token, overlap=overlap)  # fmt: skip
    started = time.monotonic()
    timer = threading.Timer(0.15, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        for _ in run:
            pass
    timer.join()
    assert time.monotonic() - started < 1.0


def test_cancelling_reaches_a_consumer_that_waits_for_a_stuck_source():
    token, release = CancelToken(), threading.Event()

    def source() -> Iterator[int]:
        yield 1
        release.wait(5)
        yield 2

    run = iter(run_stages(source(), [Stage("a", each(lambda x: x))], cancel=token))
    assert next(run) == 1
    threading.Timer(0.1, token.cancel).start()
    threading.Timer(0.3, release.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        next(run)
    assert time.monotonic() - started < 1.0


def test_a_token_cancelled_before_the_start():
    token = CancelToken()
    token.cancel()
    for overlap in (True, False):
        with pytest.raises(Cancelled):
            list(run_stages(range(3), [Stage("a", each(lambda x: x))], cancel=token, overlap=overlap))


def test_an_exception_of_the_consumer_stops_the_threads():
    def consume() -> None:
        for value in run_stages(count(), [Stage("a", each(lambda x: x)), Stage("b", each(lambda x: x))]):
            if value == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    gc.collect()
    assert not stage_threads()


def test_a_run_is_iterated_once():
    run = run_stages(range(2), [Stage("a", each(lambda x: x))])
    assert list(run) == [0, 1]
    with pytest.raises(RuntimeError):
        iter(run)


@BOTH
def test_times_are_measured_at_the_seams(overlap):
    stages = [
        Stage("quick", each(lambda x: (time.sleep(0.002), x)[1]), 2),
        Stage("slow", each(lambda x: (time.sleep(0.02), x)[1]), 2),
    ]
    run = run_stages(range(15), stages, overlap=overlap)
    assert len(list(run)) == 15
    quick, slow = run.times
    assert (quick.name, slow.name) == ("quick", "slow")
    assert quick.items == slow.items == 15
    assert slow.busy_s >= 15 * 0.02
    assert 15 * 0.002 <= quick.busy_s < slow.busy_s
    if overlap:  # the slow stage sets the pace: the quick one waits for room, the slow one hardly for input
        assert quick.wait_output_s > slow.wait_output_s
        assert quick.wait_output_s > 0.1


def test_stages_overlap():
    stages = [Stage(name, each(lambda x: (time.sleep(0.01), x)[1])) for name in "abc"]
    started = time.perf_counter()
    list(run_stages(range(30), stages))
    assert time.perf_counter() - started < 0.7 * 3 * 30 * 0.01


def peak_bytes(num_values: int) -> int:
    """Peak memory of a run over `num_values` pictures of 1 MB each."""

    def source() -> Iterator[np.ndarray]:
        for i in range(num_values):
            yield np.full((512, 512, 4), i % 256, np.uint8)

    stages = [Stage("copy", each(lambda frame: frame + 1), 4), Stage("crop", each(lambda frame: frame[::2].copy()), 4)]
    gc.collect()
    tracemalloc.start()
    for _ in run_stages(source(), stages):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.thorough
def test_memory_does_not_grow_with_length():
    """What the queues and the hands of the stages can hold at most, whatever the length."""
    whole, half = 2**20, 2**19
    at_most = (
        whole * (1 + 4 + 2) + half * (1 + 4 + 2) + whole
    )  # each stage: making one, 4 queued, one taken; and crumbs
    for num_values in (150, 1500):
        assert peak_bytes(num_values) <= 1.15 * at_most


def test_a_slow_consumer_bounds_what_is_in_flight():
    made = 0

    def source() -> Iterator[int]:
        nonlocal made
        for i in count():
            made = i + 1
            yield i

    run = iter(run_stages(source(), [Stage("a", each(lambda x: x), 3), Stage("b", each(lambda x: x), 3)]))
    next(run)
    time.sleep(0.3)
    assert made <= 1 + 3 + 3 + 2 + 1  # taken, queued, one in each stage's hands, one read ahead
    run.close()


def test_large_frames_are_bounded_by_their_bytes(monkeypatch):
    monkeypatch.setattr(runner, "QUEUE_BYTES", 3 * 2**20)
    frames = (PlannedFrame(i, i, np.zeros((2**20,), np.uint8)) for i in range(40))
    made = 0

    def counted(values):
        nonlocal made
        for value in values:
            made += 1
            yield value

    run = iter(run_stages(frames, [Stage("a", counted, 8), Stage("b", each(lambda x: x.frame), 8)]))
    assert next(run) is not None
    time.sleep(0.3)
    assert made <= 1 + 3 + 3 + 2 + 1  # as above, with 3 MB of frames in each queue
    assert len(list(run)) == 39
