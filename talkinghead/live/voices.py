"""Who speaks texts: what those who speak through a session may choose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from talkinghead.engine.options import build_config
from talkinghead.errors import OptionError
from talkinghead.speech.options import SpeechOptions


class Voices:
    """Voices that are offered: those of the engine that works offline, and what the server itself was given.

    Args:
        usual: how texts are spoken where a message says nothing else.
    """

    def __init__(self, usual: SpeechOptions) -> None:
        self._usual = usual

    @cached_property
    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Languages and voices."""
        from talkinghead.speech.engines import available_engines

        engine = next((row for row in available_engines() if row.name == "espeak" and row.usable), None)
        return ((), ()) if engine is None else (engine.languages, engine.variants)

    def about(self) -> dict[str, Any]:
        """Languages, as (name, code), and names of voices."""
        from talkinghead.webui.languages import language_choices

        languages, names = self._names
        return {"languages": language_choices(languages), "names": list(names)}

    def options(self, message: Mapping[str, Any]) -> SpeechOptions:
        """How a message wants its text spoken.

        Raises:
            OptionError: it names no voice that is here; files are named by who serves alone.
        """
        values = {"lang": self._usual.lang, "voice": self._usual.voice, "engine": self._usual.engine,
                  "speed": self._usual.speed}  # fmt: skip
        for name in ("lang", "speed"):
            if message.get(name) is not None:
                values[name] = message[name]
        voice = message.get("voice")
        if voice:
            if voice not in self._names[1]:
                raise OptionError(f"There is no voice {str(voice)[:40]!r}.", accepted="one that `ready` lists")
            values |= {"voice": voice, "engine": "auto"}
        return build_config(SpeechOptions, values, owner="Speech")

    def check(self, text: str, options: SpeechOptions) -> tuple[str, ...]:
        """Look whether a text can be spoken, before a session is asked to; gives what is to be known about it.

        Raises:
            As `talkinghead.speech.engines.voice_for`.
        """
        from talkinghead.speech.engines import voice_for

        return voice_for(text, options)[1]
