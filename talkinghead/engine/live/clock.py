"""The time that a session lives in."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Time that goes on, and a way to wait for it."""

    def now(self) -> float:
        """Seconds, from anywhere, never going back."""

    def wait(self, until: float, news: threading.Condition) -> None:
        """Wait until a time, or until `news`, which is held, is told; may return early."""


class WallClock:
    """Real time."""

    def now(self) -> float:
        return time.perf_counter()

    def wait(self, until: float, news: threading.Condition) -> None:
        seconds = until - self.now()
        if seconds > 0:
            news.wait(seconds)
