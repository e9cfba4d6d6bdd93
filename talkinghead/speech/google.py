"""gTTS: the voice of Google Translate, over the network, through the package `gtts`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import AudioClip
from talkinghead.errors import BackendError, MediaError, MissingDependency, OptionError
from talkinghead.speech.voice import Spoken
from talkinghead.weights.offline import offline_reason

TIMEOUT_S = 20.0

LANGUAGE_ALIASES: Mapping[str, str] = {"zh": "zh-CN", "zh-cn": "zh-CN", "zh-tw": "zh-TW", "cmn": "zh-CN", "nb": "no"}


def _import() -> Any:
    try:
        import gtts
        import gtts.lang
    except ImportError as error:
        raise MissingDependency("gtts", extra="online-tts", purpose="The voice of Google Translate") from error
    return gtts


def languages() -> Mapping[str, str]:
    """Language codes to names, as the installed package knows them.

    Raises:
        MissingDependency: gtts is not installed.
    """
    found: Mapping[str, str] = _import().lang.tts_langs()
    return found


def language_code(lang: str, known: Mapping[str, str]) -> str:
    """The service's code for a language.

    Raises:
        OptionError: it has none.
    """
    wanted = lang.strip().lower().replace("_", "-")
    lower = {code.lower(): code for code in known}
    for code in (LANGUAGE_ALIASES.get(wanted, wanted).lower(), wanted, wanted.split("-")[0]):
        if code in lower:
            return lower[code]
    raise OptionError(f"gTTS does not speak {lang!r}.", accepted="one of " + ", ".join(known))


class GoogleVoice:
    """The voice of Google Translate. Every sentence is sent to Google.

    Raises:
        MissingDependency: gtts is not installed. OptionError: no such language, or an option that it lacks.
        BackendError: offline mode is on.
    """

    engine = "gtts"
    sample_rate_hz: int | None = None

    def __init__(self, lang: str, speed: float = 1.0) -> None:
        if reason := offline_reason():
            raise BackendError(
                f"The engine gtts speaks over the network, and {reason} forbids it.",
                remedy="--engine espeak works offline",
            )
        if speed not in (1.0, 0.5):
            raise OptionError(f"gTTS cannot speak at speed {speed}.", accepted="1, or 0.5 for its slow voice")
        self._gtts = _import()
        self.name = language_code(lang, languages())
        self.lang = self.name
        self._slow = speed == 0.5

    def speak(self, sentence: str) -> Spoken:
        raw = io.BytesIO()
        try:
            self._gtts.gTTS(sentence, lang=self.name, slow=self._slow, lang_check=False, timeout=TIMEOUT_S).write_to_fp(
                raw
            )
        except (self._gtts.gTTSError, OSError, AssertionError) as error:
            raise BackendError(
                f"Google's voice could not be reached: {str(error) or type(error).__name__}.",
                remedy="check the connection, or --engine espeak, which works offline",
            ) from error
        return Spoken(decode(raw.getvalue()), None, sentence)


def decode(sound: bytes) -> AudioClip:
    """Samples of a sound file in memory, mixed to mono at its own rate.

    Raises:
        BackendError: it is not a sound file.
    """
    from talkinghead.media.container import audio_stream, open_bytes, sound_frames
    from talkinghead.media.sound import float_samples

    parts: list[Any] = []
    rate = 0
    answer = Path("answer.mp3")
    try:
        with open_bytes(sound, "mp3") as container:
            for frame in sound_frames(container, audio_stream(container, answer), answer):
                if frame is not None:
                    rate = frame.sample_rate
                    parts.append(float_samples(frame).mean(axis=1, dtype=np.float32))
    except MediaError as error:
        raise BackendError(
            "The service answered with something that is not sound.", remedy="try again later"
        ) from error
    if not parts or rate <= 0:
        raise BackendError("The service answered with an empty sound.", remedy="try again later")
    return AudioClip(np.ascontiguousarray(np.concatenate(parts), np.float32), rate)
