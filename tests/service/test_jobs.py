"""Jobs: order, positions, progress, cancelling."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.errors import Cancelled, InputError
from talkinghead.service.jobs import JobQueue, JobState, QueueFull


class Gate:
    """Work that waits until it is let go; tells when it began."""

    def __init__(self, value: Any = None) -> None:
        self.value, self.began, self.go = value, threading.Event(), threading.Event()

    def __call__(self, progress: Progress, cancel: CancelToken) -> Any:
        self.began.set()
        while not self.go.wait(0.01):
            cancel.check()
        return self.value


def test_one_lane_runs_one_at_a_time_in_order_and_tells_positions() -> None:
    jobs = JobQueue(at_once=1)
    gates = [Gate(number) for number in range(3)]
    handed_in = [jobs.submit(gate, "model") for gate in gates]
    assert gates[0].began.wait(10)
    assert [job.state().phase for job in handed_in] == ["working", "waiting", "waiting"]
    assert [job.state().position for job in handed_in] == [0, 1, 2]
    assert handed_in[2].state().waiting == 2
    gates[0].go.set()
    assert handed_in[0].result() == 0
    assert gates[1].began.wait(10)
    assert not gates[2].began.is_set()
    for gate in gates[1:]:
        gate.go.set()
    assert [job.result() for job in handed_in] == [0, 1, 2]


def test_lanes_do_not_wait_for_each_other_and_several_may_run() -> None:
    jobs = JobQueue(at_once=2)
    gates = [Gate() for _ in range(4)]
    lanes = ["a", "a", "a", "b"]
    handed_in = [jobs.submit(gate, lane) for gate, lane in zip(gates, lanes, strict=True)]
    assert all(gates[index].began.wait(10) for index in (0, 1, 3))
    assert handed_in[2].state().position == 1
    jobs.close()
    assert {job.state().phase for job in handed_in} == {"cancelled"}


def test_cancelling_one_that_waits_ends_it_at_once_and_moves_the_others_up() -> None:
    jobs = JobQueue()
    first, second, third = Gate(), Gate(), Gate(3)
    running, waiting, last = (jobs.submit(gate) for gate in (first, second, third))
    assert first.began.wait(10)
    waiting.cancel()
    assert waiting.state().phase == "cancelled"
    with pytest.raises(Cancelled):
        waiting.result()
    assert last.state().position == 1
    running.cancel()
    with pytest.raises(Cancelled):
        running.result()
    third.go.set()
    assert last.result() == 3
    assert not second.began.is_set()


def test_a_full_line_refuses_more() -> None:
    jobs = JobQueue(at_once=1, max_waiting=1)
    jobs.submit(Gate())
    jobs.submit(Gate())
    with pytest.raises(QueueFull, match="1 jobs are waiting"):
        jobs.submit(Gate())
    jobs.close()
    with pytest.raises(Cancelled):
        jobs.submit(Gate())


def test_errors_and_results_come_out_and_states_end() -> None:
    def fails(progress: Progress, cancel: CancelToken) -> None:
        raise InputError("No good.")

    job = JobQueue().submit(fails)
    states = list(job.states(0.01))
    assert states[-1].phase == "failed"
    assert all(not state.ended for state in states[:-1])
    with pytest.raises(InputError, match="No good"):
        job.result()


def test_progress_tells_stage_rate_and_time_left() -> None:
    checked = threading.Event()

    def work(progress: Progress, cancel: CancelToken) -> str:
        progress(ProgressEvent("detect-faces", 1, 1))
        progress(ProgressEvent("render", 0, 100))
        time.sleep(0.6)
        progress(ProgressEvent("render", 50, 100))
        assert checked.wait(10)
        return "made"

    job = JobQueue().submit(work)
    state = next(state for state in job.states(0.02) if state.done == 50)
    assert (state.stage, state.total) == ("render", 100)
    assert 0.2 < state.share < 0.8
    assert state.per_second is not None
    assert state.left_s is not None
    assert 0.3 < state.left_s < 30
    checked.set()
    assert job.result() == "made"


def test_a_job_that_is_done_is_whole_and_one_that_waits_promises_nothing() -> None:
    job = JobQueue().submit(lambda progress, _: progress(ProgressEvent("load", 3, None)))
    job.result()
    state = job.state()
    assert (state.stage, state.done, state.share, state.left_s) == ("load", 3, 1.0, 0.0)
    assert JobState("waiting").left_s is None
