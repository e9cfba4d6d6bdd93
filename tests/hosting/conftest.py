"""A clock that a test moves."""

from __future__ import annotations

import pytest


class Clock:
    """Seconds that go on only when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
