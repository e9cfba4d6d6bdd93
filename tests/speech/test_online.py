"""gTTS and Piper: through stand-ins for their packages, without network."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.contracts import AudioClip
from talkinghead.errors import BackendError, MissingDependency, OptionError, TalkingHeadError
from talkinghead.speech import SpeechOptions, available_engines, say
from tests.conftest import ROOT
from tests.synthetic_media import make_sound


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Half a second of MP3 at 24 kHz, as the service sends it."""
    return make_sound(tmp_path_factory.mktemp("answer") / "answer.mp3", 0.5, 24_000).read_bytes()


@pytest.fixture
def gtts(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> types.SimpleNamespace:
    """A package `gtts` whose answer is set by the test; it records what it was asked."""
    monkeypatch.delenv("TALKINGHEAD_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    state = types.SimpleNamespace(asked=[], answer=answer, error=None)

    class Error(Exception):
        pass

    class Fake:
        def __init__(self, text: str, lang: str, slow: bool, lang_check: bool, timeout: float) -> None:
            state.asked.append((text, lang, slow))

        def write_to_fp(self, file: io.BytesIO) -> None:
            if state.error is not None:
                raise state.error
            file.write(state.answer)

    module: Any = types.ModuleType("gtts")
    module.gTTS, module.gTTSError = Fake, Error
    module.lang = types.ModuleType("gtts.lang")
    module.lang.tts_langs = lambda: {c: c for c in ("en", "zh-CN", "zh-TW", "ja", "de", "fr", "es", "no")}
    monkeypatch.setitem(sys.modules, "gtts", module)
    monkeypatch.setitem(sys.modules, "gtts.lang", module.lang)
    state.Error = Error
    return state


@pytest.mark.parametrize(
    ("lang", "asked"), [("en", "en"), ("zh", "zh-CN"), ("ja", "ja"), ("de-AT", "de"), ("fr", "fr"), ("es_MX", "es")]
)
def test_google(gtts: types.SimpleNamespace, lang: str, asked: str) -> None:
    spoken = say("One. Two.", SpeechOptions(lang=lang, engine="gtts"))
    assert gtts.asked == [("One.", asked, False), ("Two.", asked, False)]
    assert spoken.phones is None
    assert spoken.clip.sample_rate_hz == 24000
    assert len(spoken.clip.samples) == 24000


def test_google_refuses(gtts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="does not speak 'xx'"):
        say("One.", SpeechOptions(lang="xx", engine="gtts"))
    with pytest.raises(OptionError, match="one voice"):
        say("One.", SpeechOptions(voice="f2", engine="gtts"))
    with pytest.raises(OptionError, match="speed"):
        say("One.", SpeechOptions(speed=1.4, engine="gtts"))
    gtts.error = gtts.Error("Failed to connect")
    with pytest.raises(BackendError, match="Failed to connect"):
        say("One.", SpeechOptions(engine="gtts"))
    gtts.error, gtts.answer = None, b"<html>busy</html>" * 50
    with pytest.raises(BackendError, match="not sound"):
        say("One.", SpeechOptions(engine="gtts"))
    gtts.asked.clear()
    monkeypatch.setenv("TALKINGHEAD_OFFLINE", "1")
    with pytest.raises(BackendError, match="TALKINGHEAD_OFFLINE"):
        say("One.", SpeechOptions(engine="gtts"))
    assert gtts.asked == []
    row = next(row for row in available_engines() if row.name == "gtts")
    assert not row.usable


def test_google_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALKINGHEAD_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setitem(sys.modules, "gtts", None)
    with pytest.raises(MissingDependency, match="tts"):
        say("One.", SpeechOptions(engine="gtts"))


def test_piper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = tmp_path / "amy.onnx"
    voice.write_bytes((ROOT / "tests" / "fuzz" / "seeds" / "onnx-file" / "detector.onnx").read_bytes())
    with pytest.raises(OptionError, match=r"amy\.onnx\.json"):
        say("One.", SpeechOptions(voice=str(voice)))
    Path(f"{voice}.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(TalkingHeadError, match="piper-tts"):
        say("One.", SpeechOptions(voice=str(voice)))

    class Loaded:
        config = types.SimpleNamespace(sample_rate=16000)

        def synthesize(self, text: str, syn_config: Any) -> Any:
            for _ in range(2):
                yield types.SimpleNamespace(audio_float_array=np.full(1600, 0.1, np.float32))

    module: Any = types.ModuleType("piper")
    module.PiperVoice = types.SimpleNamespace(load=lambda path: Loaded())
    module.SynthesisConfig = lambda length_scale: length_scale
    monkeypatch.setitem(sys.modules, "piper", module)
    spoken = say("One. Two.", SpeechOptions(voice=str(voice), speed=1.5))
    assert isinstance(spoken.clip, AudioClip)
    assert spoken.clip.sample_rate_hz == 16000
    assert len(spoken.clip.samples) == 2 * (3200 + 3200)
    assert spoken.phones is None
