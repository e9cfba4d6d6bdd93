"""What to say with which voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from talkinghead.bounds import Between, Length, check_fields
from talkinghead.speech.script import AUTO

MAX_CHARACTERS = 100_000
"""Longest text: nearly two hours of speech."""

EngineName = Literal["espeak", "gtts", "piper"]
EngineChoice = Literal["auto", EngineName]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


@dataclass(frozen=True)
class SpeechOptions:
    """How a text is spoken."""

    lang: Annotated[str, Length(40)] = AUTO
    """Language, such as en, en-gb, de, fr, es, ja, zh. auto goes by the letters of the text: Chinese, Japanese, Korean,
    Cyrillic, Arabic and other letters tell their language, Latin ones are read as English."""
    voice: str | None = None
    """Voice of the engine: a variant of espeak-ng (f2, m3, croak), or a Piper voice file (.onnx)."""
    engine: EngineChoice = "auto"
    """espeak works offline and knows the exact time of each sound; gtts sends the text to Google; piper needs a voice
    file. auto takes piper if a voice file is given, else espeak."""
    speed: Annotated[float, Between(0.3, 3)] = 1.0
    """Pace: 0.5 is half, 2 is double."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.engine not in get_args(EngineChoice):
            raise ValueError(f"engine is {self.engine!r}; accepted: auto, {', '.join(ENGINES)}")
        if not self.lang.strip():
            raise ValueError("lang is empty; accepted: a language such as en, de or zh")
