"""Encoders leave the priorities of threads alone, whoever runs them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.media import EncodeOptions, write_video
from talkinghead.media.encoders import encoder_status
from talkinghead.media.priority import priorities_kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")


def policies() -> dict[int, int]:
    return {int(entry.name): os.sched_getscheduler(int(entry.name)) for entry in Path("/proc/self/task").iterdir()}


@pytest.fixture
def usual() -> Iterator[int]:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    yield before[0]
    os.sched_setscheduler(0, *before)


def test_a_raised_thread_and_those_that_it_starts_are_put_back(usual: int) -> None:
    stop = threading.Event()
    worker = threading.Thread(target=stop.wait)
    with priorities_kept():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # any user may do this; real time only root
        worker.start()
        assert os.sched_getscheduler(worker.native_id or 0) == os.SCHED_BATCH
    try:
        assert os.sched_getscheduler(worker.native_id or 0) == usual
        assert os.sched_getscheduler(0) == usual
    finally:
        stop.set()
        worker.join()


def test_what_a_thread_had_before_stays(usual: int) -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with priorities_kept():
        os.sched_setscheduler(0, usual, os.sched_param(0))
    assert os.sched_getscheduler(0) == os.SCHED_BATCH


def test_priorities_are_put_back_after_a_failure(usual: int) -> None:
    def fail() -> None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        raise ValueError("no such encoder")

    with pytest.raises(ValueError, match="no such encoder"), priorities_kept():
        fail()
    assert os.sched_getscheduler(0) == usual


def test_av1_makes_nothing_real_time(tmp_path: Path, usual: int) -> None:
    """By root, SVT-AV1 sets its threads and the one that opens it to SCHED_FIFO, priority 99."""
    if not encoder_status("libsvtav1").works:
        pytest.skip("there is no libsvtav1")
    seen: list[set[int]] = []
    write_video(
        tmp_path / "a.mp4",
        [np.zeros((128, 128, 3), np.uint8)] * 3,
        fps=Fraction(25),
        options=EncodeOptions(codec="av1"),
        on_frame=lambda _: seen.append(set(policies().values())),
    )
    assert seen == [{usual}] * 3
    assert set(policies().values()) == {usual}
