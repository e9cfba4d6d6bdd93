"""Settings of the built-in animator."""

from __future__ import annotations

from dataclasses import dataclass

from talkinghead.errors import OptionError


@dataclass(frozen=True)
class VisemeConfig:
    """How the built-in animator moves a face. Every factor is 1.0 for natural speech."""

    strength: float = 1.0
    """Factor on all mouth movement; 0.5 mumbles, 1.3 articulates; in [0, 2]."""
    jaw: float = 1.0
    """Factor on how far the jaw and chin drop; in [0, 2]."""
    width: float = 1.0
    """Factor on how much the lips round and spread; in [0, 2]."""
    teeth: bool = True
    """Show teeth inside the mouth."""
    idle_motion: bool = True
    """On a still picture: blink and move the head a little. Videos keep the person's own motion."""
    head_motion: float = 1.0
    """Factor on the head movement of a still picture; in [0, 3]."""
    blinks_per_minute: float = 14.0
    """Mean rate of blinks on a still picture; in [0, 60], 0 never blinks."""
    seed: int = 0
    """Of the random times of blinks and of the head movement."""

    def __post_init__(self) -> None:
        _within("strength", self.strength, 0.0, 2.0)
        _within("jaw", self.jaw, 0.0, 2.0)
        _within("width", self.width, 0.0, 2.0)
        _within("head_motion", self.head_motion, 0.0, 3.0)
        _within("blinks_per_minute", self.blinks_per_minute, 0.0, 60.0)
        if not 0 <= self.seed < 2**63:
            raise OptionError(f"seed is {self.seed}.", accepted="0 to 2**63 - 1")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(f"{name} is {value}.", accepted=f"{low:g} to {high:g}")
