"""Speech from text: engines behind one interface, sentence by sentence. Importing this package loads no engine.

for piece in speak("Hello. How are you?", SpeechOptions(lang="en")): ...     # streamed
spoken = say("Hello.", SpeechOptions(lang="en"))                             # whole
"""

from talkinghead.speech.engines import EngineStatus, available_engines, open_voice, say, speak, write_speech
from talkinghead.speech.options import MAX_CHARACTERS, SpeechOptions
from talkinghead.speech.sentences import split_sentences
from talkinghead.speech.voice import Spoken, Voice

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
    "write_speech",
]
