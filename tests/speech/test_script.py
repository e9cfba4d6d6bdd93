"""The language of a text by its letters."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest

from talkinghead.errors import InputError, OptionError
from talkinghead.speech import SpeechOptions, say, voice_for
from talkinghead.speech.script import base_language, notice_language, script_shares

TEXTS = {
    "en": "Hello. How are you?",
    "zh": "你好，世界。今天天气很好。",
    "ja": "今日は天気がいいですね。",
    "ko": "안녕하세요, 世界 여러분.",
    "ru": "Привет, как дела?",
    "uk": "Привіт, як справи сьогодні?",
    "be": "Добры дзень, як справы ў вас?",
    "sr": "Добар дан, љубав и њива.",
    "kk": "Қалайсыз, бүгін ауа райы жақсы.",
    "el": "Καλημέρα κόσμε",
    "ar": "صباح الخير كيف حالك اليوم",
    "fa": "سلام چطوری",
    "ur": "آپ کیسے ہیں؟ میں ٹھیک ہوں",
    "he": "שלום עולם",
    "hi": "नमस्ते आप कैसे हैं",
    "th": "สวัสดีชาวโลก",
    "ta": "வணக்கம் உலகம்",
    "ka": "გამარჯობა",
    "am": "ሰላም እንደምን ነህ",
}


@pytest.mark.parametrize("lang", TEXTS)
def test_letters_tell_the_language(lang: str) -> None:
    noticed = notice_language(TEXTS[lang])
    assert noticed.lang == lang
    assert (noticed.note == "") == (lang == "en")


@pytest.mark.parametrize(
    "text", ["Grüß Gott, schöne Welt", "Ça va ? Très bien.", "Ｈｅｌｌｏ", "3.5", "Ich mag 寿司 sehr gern."]
)
def test_latin_letters_and_none_are_english_unless_said(text: str) -> None:
    assert notice_language(text) == notice_language("Hello")


def test_a_japanese_name_does_not_make_chinese_japanese() -> None:
    assert notice_language("我昨天在东京的商店里买了很多东西，店名叫サ。").lang == "zh"
    assert set(script_shares("ｶﾀｶﾅ ひらがな カタカナ 漢字")) == {"KANA"}


def test_a_mix_is_asked_about() -> None:
    with pytest.raises(InputError, match="mixes Latin and Chinese letters") as caught:
        notice_language("Hello 你好 world 世界 this")
    assert caught.value.accepted == "--lang en or --lang zh"


def test_letters_of_no_known_language() -> None:
    with pytest.raises(InputError, match="Cherokee letters"):
        notice_language("ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ")


@pytest.mark.parametrize(
    ("lang", "base"), [("en_US", "en"), ("cmn", "zh"), (" ZH-tw ", "zh"), ("nb", "no"), ("de", "de")]
)
def test_base_language(lang: str, base: str) -> None:
    assert base_language(lang) == base


def test_espeak_takes_it_and_says_so() -> None:
    pytest.importorskip("espeakng_loader")
    spoken = say("你好，世界。")
    assert spoken.notes == ("The text is in Chinese letters and is spoken as --lang zh.",)
    voice, notes = voice_for("你好", SpeechOptions(lang="de"))
    assert (voice.lang, notes) == ("de", ())
    assert say("Hello.").notes == ()


def test_a_language_that_the_engine_lacks() -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(OptionError, match=r"The text is in Lao letters\. espeak-ng does not speak 'lo'"):
        say("ສະບາຍດີ")


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A German voice of Piper, opened by a stand-in for its package."""
    import talkinghead.speech.piper as module

    def load(_: str) -> Any:
        return types.SimpleNamespace(config=types.SimpleNamespace(sample_rate=16_000))

    package = types.SimpleNamespace(PiperVoice=types.SimpleNamespace(load=load))
    monkeypatch.setattr(module, "import_module", lambda _: package)
    monkeypatch.setattr(module, "check_onnx_file", lambda *_, **__: None)
    path = tmp_path / "eva.onnx"
    path.write_bytes(b"onnx")
    Path(f"{path}.json").write_text(json.dumps({"language": {"code": "de_DE"}}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "lang", "why"),
    [
        ("Guten Tag.", "auto", None),
        ("Guten Tag 你好 世界, alle.", "auto", None),
        ("Guten Tag.", "de-at", None),
        ("Good day.", "en", "en was asked for"),
        ("你好，世界。", "auto", "the text is in Chinese letters"),
    ],
)
def test_the_language_of_a_piper_voice(german: str, text: str, lang: str, why: str | None) -> None:
    voice, notes = voice_for(text, SpeechOptions(lang=lang, voice=german))
    assert voice.lang == "de_DE"
    expected = () if why is None else (f"The voice eva speaks de_DE, and {why}: it may be hard to understand.",)
    assert notes == expected
