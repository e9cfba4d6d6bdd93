"""The node that speaks a text."""

from __future__ import annotations

from functools import cache
from typing import Any

from talkinghead.engine.context import ProgressEvent
from talkinghead.engine.options import build_config, option_fields
from talkinghead.errors import TalkingHeadError
from talkinghead.service.request import SpokenText
from talkinghead.service.run import hear
from talkinghead.speech.engines import EngineStatus, available_engines
from talkinghead.speech.options import SpeechOptions
from talkinghead.speech.piper import is_voice_file

from . import host, values
from .options import CATEGORY, Widget
from .words import NodeError, in_nodes

USUAL = "usual"
"""The voice that an engine takes by itself."""


@cache
def _engines() -> tuple[EngineStatus, ...]:
    return tuple(available_engines())


def _voices() -> list[str]:
    own = [name for engine in _engines() for name in engine.variants]
    return [USUAL, *own, *(name for name in host.model_files() if is_voice_file(name))]


class SpeechFromText:
    """Text as a sound."""

    TITLE = "Speech from Text (talkinghead)"
    DESCRIPTION = (
        "Speaks a text: offline with espeak-ng, which also tells the head when each sound is spoken; with Piper voices "
        "from models/talkinghead; or with Google, which is sent the text."
    )
    CATEGORY = CATEGORY
    FUNCTION = "speak"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        known = {item.name: item for item in option_fields(SpeechOptions)}
        languages = sorted({code for engine in _engines() for code in engine.languages})
        pace = known["speed"]
        return {
            "required": {
                "text": ("STRING", {"default": "Hello. I am a talking head.", "multiline": True}),
                "lang": (["auto", *languages], {"default": "auto", "tooltip": known["lang"].help}),
                "voice": (_voices(), {"default": USUAL, "tooltip": known["voice"].help}),
                "engine": (list(known["engine"].choices), {"default": "auto", "tooltip": known["engine"].help}),
                "speed": (
                    "FLOAT",
                    {
                        "default": pace.default,
                        "min": float(pace.bound.least),  # type: ignore[union-attr]
                        "max": float(pace.bound.most),  # type: ignore[union-attr]
                        "step": 0.05,
                        "round": False,
                        "tooltip": pace.help,
                    },
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, text: str | None = None) -> bool | str:
        """Before anything runs; None where the text comes from another node."""
        if text is None:
            return True
        try:
            SpokenText(text)
        except TalkingHeadError as error:
            return in_nodes(error.in_one_line)
        return True

    def speak(self, text: str, lang: str, voice: str, engine: str, speed: float) -> tuple[dict[str, Any]]:
        chosen = None if voice == USUAL else str(host.model_file(voice)) if is_voice_file(voice) else voice
        if chosen is not None and voice not in _voices():
            raise NodeError(f"There is no voice {voice!r}.", accepted="one of the list")
        with host.Work() as work:
            given = {"lang": lang, "voice": chosen, "engine": engine, "speed": speed}
            spoken = SpokenText(text, build_config(SpeechOptions, given, owner="Speech"))

            def told(event: ProgressEvent) -> None:
                work.progress(event)

            speech = hear(spoken, progress=told, cancel=work.cancel)
            work.tell(speech.warnings)
            return (values.audio_of(speech),)
