"""Speech from text: engines behind one interface, sentence by sentence. Importing this package loads no engine.

for piece in speak("Hello. How are you?", SpeechOptions(lang="en")): ...     # streamed
spoken = say("Hello.", SpeechOptions(lang="en"))                             # whole
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from talkinghead.lazy import lazy_names

if TYPE_CHECKING:
    from talkinghead.speech.engines import (
        EngineStatus,
        available_engines,
        open_voice,
        say,
        speak,
        voice_for,
        write_speech,
    )
    from talkinghead.speech.options import MAX_CHARACTERS, SpeechOptions
    from talkinghead.speech.sentences import split_sentences
    from talkinghead.speech.voice import Spoken, Voice

_HOME = {
    "MAX_CHARACTERS": "options",
    "EngineStatus": "engines",
    "SpeechOptions": "options",
    "Spoken": "voice",
    "Voice": "voice",
    "available_engines": "engines",
    "open_voice": "engines",
    "say": "engines",
    "speak": "engines",
    "split_sentences": "sentences",
    "voice_for": "engines",
    "write_speech": "engines",
}

__all__ = [
    "MAX_CHARACTERS",
    "EngineStatus",
    "SpeechOptions",
    "Spoken",
    "Voice",
    "available_engines",
    "open_voice",
    "say",
    "speak",
    "split_sentences",
    "voice_for",
    "write_speech",
]

__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
