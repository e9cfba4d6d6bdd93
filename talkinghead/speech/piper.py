"""Piper: neural voices that run offline, through the package `piper` (piper-tts) and a voice file of the user."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import AudioClip
from talkinghead.errors import BackendError, OptionError, TalkingHeadError
from talkinghead.reading import read_json
from talkinghead.reading.onnx_file import check_onnx_file
from talkinghead.speech.voice import Spoken


def is_voice_file(voice: str | None) -> bool:
    """Whether a voice names a Piper file rather than a variant."""
    return voice is not None and voice.lower().endswith(".onnx")


class PiperVoice:
    """A Piper voice.

    Args:
        path: the voice, .onnx, with its .onnx.json beside it.
        speed: 1 is the voice's own pace.
    Raises:
        OptionError: no such file. TalkingHeadError: the package is not installed.
    """

    engine = "piper"

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        config = Path(f"{path}.json")
        if not path.is_file() or not config.is_file():
            missing = path if not path.is_file() else config
            raise OptionError(
                f"The Piper voice {str(path)!r} cannot be used: there is no file {str(missing)!r}.",
                accepted="a voice file .onnx with its .onnx.json beside it",
            )
        try:
            module: Any = import_module("piper")
        except ImportError as error:
            raise TalkingHeadError(
                "A Piper voice needs the package 'piper', which is not installed.", remedy="pip install piper-tts"
            ) from error
        check_onnx_file(path, error=OptionError, accepted="a voice of Piper")
        self.lang = _language(read_json(config, error=OptionError, accepted="the settings of a voice of Piper"))
        try:
            self._voice: Any = module.PiperVoice.load(str(path))
            self._config: Any = module.SynthesisConfig(length_scale=1.0 / speed) if speed != 1.0 else None
            self.sample_rate_hz: int | None = int(self._voice.config.sample_rate)
        except Exception as error:
            raise BackendError(f"The Piper voice {path} cannot be loaded: {error}.") from error
        self.name = path.stem

    def speak(self, sentence: str) -> Spoken:
        try:
            chunks = list(self._voice.synthesize(sentence, syn_config=self._config))
            parts = [np.asarray(chunk.audio_float_array, np.float32).reshape(-1) for chunk in chunks]
        except Exception as error:
            raise BackendError(f"Piper could not say {sentence[:60]!r}: {error}.") from error
        rate = self.sample_rate_hz or 22_050
        samples = np.concatenate([*parts, np.zeros(rate // 5, np.float32)])
        return Spoken(AudioClip(np.clip(samples, -1, 1).astype(np.float32), rate), None, sentence)


def _language(settings: Any) -> str:
    """The language that a voice's settings name, or an empty text."""
    for part, name in (("language", "code"), ("espeak", "voice")):
        found = settings.get(part) if isinstance(settings, dict) else None
        if isinstance(found, dict) and isinstance(found.get(name), str):
            return str(found[name])
    return ""
