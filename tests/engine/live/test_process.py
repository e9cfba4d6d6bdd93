"""What a process is set to while it shows sessions, and after."""

from __future__ import annotations

import gc
import sys

import cv2

from talkinghead.engine.live import keeping_time


def test_the_process_is_as_before_afterwards() -> None:
    before = (cv2.getNumThreads(), sys.getswitchinterval())
    assert gc.get_freeze_count() == 0
    try:
        cv2.setNumThreads(2)
        with keeping_time():
            assert (cv2.getNumThreads(), round(sys.getswitchinterval(), 6)) == (1, 0.0005)
            with keeping_time():
                pass
            assert cv2.getNumThreads() == 1
            assert gc.get_freeze_count() > 0
        assert (cv2.getNumThreads(), sys.getswitchinterval(), gc.get_freeze_count()) == (2, before[1], 0)
    finally:
        cv2.setNumThreads(before[0])
