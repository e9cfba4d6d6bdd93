"""What to say with which voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MAX_CHARACTERS = 100_000
"""Longest text: nearly two hours of speech."""

EngineName = Literal["espeak", "gtts", "piper"]
EngineChoice = Literal["auto", EngineName]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


@dataclass(frozen=True)
class SpeechOptions:
    """How a text is spoken."""

    lang: str = "en"
    """Language, such as en, en-gb, de, fr, es, ja, zh."""
    voice: str | None = None
    """Voice of the engine: a variant of espeak-ng (f2, m3, croak), or a Piper voice file (.onnx)."""
    engine: EngineChoice = "auto"
    """espeak works offline and knows the exact time of each sound; gtts sends the text to Google; piper needs a voice
    file. auto takes piper if a voice file is given, else espeak."""
    speed: float = 1.0
    """Pace: 0.5 is half, 2 is double."""

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineChoice):
            raise ValueError(f"engine is {self.engine!r}; accepted: auto, {', '.join(ENGINES)}")
        if not 0.3 <= self.speed <= 3.0:
            raise ValueError(f"speed is {self.speed}; accepted: 0.3 to 3")
        if not self.lang.strip():
            raise ValueError("lang is empty; accepted: a language such as en, de or zh")
