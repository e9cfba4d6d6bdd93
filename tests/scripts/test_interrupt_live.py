"""The script that interrupts a live session again and again, on a head without a model."""

from __future__ import annotations

import threading

import pytest

from talkinghead.engine.live import LiveOptions
from tests.engine.live.stage import plain_session
from tests.scripts.scripts import load_script


@pytest.mark.thorough
def test_interruptions_leave_no_old_sound_and_nothing_behind() -> None:
    """60 of them at random moments of the real clock: none of the old sound is given afterwards, all that was pushed is
    accounted for, and threads and handles are as many as before."""
    script = load_script("interrupt_live")
    before = threading.active_count()
    with plain_session(None, options=LiveOptions(sample_rate_hz=16_000)) as session:
        figures = script.interrupt_often(session, 60, seed=3, longest_s=0.2)
        assert session.stats().interruptions == 60
        assert session.stats().waiting_s == 0
    assert figures.after_return == 0
    assert figures.lost_s == pytest.approx(0, abs=1e-6)
    assert 0 < figures.in_speech < 60
    assert figures.held_after.threads == figures.held_before.threads
    assert figures.held_after.handles == figures.held_before.handles
    assert threading.active_count() == before
