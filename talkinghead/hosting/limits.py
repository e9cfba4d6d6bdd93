"""How much work a server takes on, whatever its door."""

from __future__ import annotations

from typing import Protocol


class Limits(Protocol):
    """Fields that the options of every server have."""

    @property
    def at_once(self) -> int:
        """Videos of one model that are made at the same time; the others wait in line."""

    @property
    def max_waiting(self) -> int:
        """Videos of one model that may wait."""

    @property
    def max_upload_mb(self) -> int:
        """Largest file that can be sent, in megabytes."""

    @property
    def max_minutes(self) -> float:
        """Longest speech, in minutes."""


class SendingLimits(Protocol):
    """Fields that say how much is taken from one sender."""

    @property
    def max_upload_mb(self) -> int:
        """Largest file that can be sent, in megabytes."""

    @property
    def visitor_bytes(self) -> int:
        """What one sender may have here: at least one file of the largest size."""
