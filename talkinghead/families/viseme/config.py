"""Settings of the built-in animator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from talkinghead.bounds import SEEDS, Between, check_fields
from talkinghead.enhance.config import EnhanceConfig


@dataclass(frozen=True)
class VisemeConfig(EnhanceConfig):
    """How the built-in animator moves a face. Every factor is 1.0 for natural speech."""

    strength: Annotated[float, Between(0, 2)] = 1.0
    """Factor on all mouth movement; 0.5 mumbles, 1.3 articulates."""
    jaw: Annotated[float, Between(0, 2)] = 1.0
    """Factor on how far the jaw and chin drop."""
    width: Annotated[float, Between(0, 2)] = 1.0
    """Factor on how much the lips round and spread."""
    teeth: bool = True
    """Show teeth inside the mouth."""
    idle_motion: bool = True
    """On a still picture: blink and move the head a little. Videos keep the person's own motion."""
    head_motion: Annotated[float, Between(0, 3)] = 1.0
    """Factor on the head movement of a still picture."""
    blinks_per_minute: Annotated[float, Between(0, 60)] = 14.0
    """Mean rate of blinks on a still picture; 0 never blinks."""
    seed: Annotated[int, SEEDS] = 0
    """Of the random times of blinks and of the head movement."""

    def __post_init__(self) -> None:
        check_fields(self)
