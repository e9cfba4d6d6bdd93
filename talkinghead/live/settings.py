"""What `talkinghead bench live` measures. Cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from talkinghead.bounds import Between, check_fields


@dataclass(frozen=True)
class LiveBenchSettings:
    """How much is measured."""

    model: str | None = None
    """Model that speaks; default: the built-in animator."""
    minutes: Annotated[float, Between(0, 600, above=True)] = 1.0
    """Minutes of flashes and beeps."""
    interruptions: Annotated[int, Between(1, 10_000)] = 30
    """Interruptions at random moments."""
    utterances: Annotated[int, Between(1, 1_000)] = 10
    """Utterances whose first moving mouth is waited for."""
    sessions: Annotated[int, Between(1, 64)] = 2
    """Most sessions that speak at the same time."""
    session_s: Annotated[float, Between(1, 3_600)] = 10.0
    """Seconds for which each number of sessions speaks."""

    def __post_init__(self) -> None:
        check_fields(self)
