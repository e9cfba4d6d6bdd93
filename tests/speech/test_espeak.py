"""Speech by espeak-ng: sound, exact phone times, languages, errors. Skipped where the library is not installed."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import talkinghead as th
from talkinghead.audio.mouth import mouth_motion
from talkinghead.audio.phones import read_phones
from talkinghead.audio.visemes import PHONES
from talkinghead.contracts import Phone
from talkinghead.errors import BackendError, InputError, MissingDependency, OptionError
from talkinghead.speech import SpeechOptions, available_engines, engines, espeak, say, speak
from talkinghead.speech.espeak import EspeakVoice, find_library, library, phones_of_events
from talkinghead.speech.ipa import phones_of_ipa

pytestmark = pytest.mark.skipif(find_library() is None, reason="espeak-ng is not installed")

SENTENCES = {
    "en": "The quick brown fox jumps over the lazy dog; church, measure, thing, joy.",
    "de": "Schöne Grüße, zwei Pfade, Bücher, ich auch.",
    "fr": "Bonjour, un bon vin blanc, la rue, le cœur, huit agneaux.",
    "es": "El perro corre, hacha, año, llave, jugar, cinco.",
    "ja": "こんにちは、これはテストです。",
    "zh": "你好，今天天气很好，出租车，知识，小雪。",
    "ru": "Привет, мир! Щука, жизнь, чай.",
    "ar": "مرحبا بالعالم",
    "hi": "नमस्ते दुनिया",
    "pl": "Cześć, dziękuję, źdźbło.",
    "da": "rødgrød med fløde",
    "vi": "Xin chào thế giới",
}


def _check(phones: tuple[Phone, ...], duration_s: float) -> None:
    """Phones cover the sound exactly, and are known."""
    assert phones[0].start_s == 0.0
    assert phones[-1].end_s == pytest.approx(duration_s, abs=1e-9)
    for before, after in itertools.pairwise(phones):
        assert before.end_s == after.start_s
        assert after.end_s > after.start_s
    assert {phone.label for phone in phones} <= PHONES


@pytest.mark.parametrize("lang", SENTENCES)
def test_every_sound_is_known(lang: str) -> None:
    voice = EspeakVoice(lang)
    loaded = library()
    with loaded.lock:
        loaded.set_voice(voice._file)
        caught = loaded.synthesise(SENTENCES[lang], 175)
    assert not "".join(phones_of_ipa(text)[1] for _, text in caught.events)
    spoken = voice.speak(SENTENCES[lang])
    assert spoken.phones is not None
    assert len(spoken.phones) > 8
    assert np.abs(spoken.clip.samples).max() > 0.05
    _check(spoken.phones, float(spoken.clip.duration_s))


def test_pieces_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = list(speak("Bob bought a map. My mum may be home! Papa?", SpeechOptions()))
    assert len(pieces) == 3
    monkeypatch.setattr(engines, "speak", lambda *_, **__: iter(pieces))
    whole = say("any", SpeechOptions())
    assert np.array_equal(whole.clip.samples, np.concatenate([piece.clip.samples for piece in pieces]))
    assert whole.phones is not None
    _check(whole.phones, float(whole.clip.duration_s))
    start = len(pieces[0].clip.samples) / pieces[0].clip.sample_rate_hz
    assert pieces[1].phones is not None
    for first in pieces[1].phones[1:4]:
        assert any(abs(p.start_s - start - first.start_s) < 1e-9 and p.label == first.label for p in whole.phones)


def test_phone_times_are_those_of_the_sound() -> None:
    """Closures of p, b and k between vowels are quiet, vowels are loud: the times belong to this sound."""
    spoken = say("A papa, a papa, a papa.", SpeechOptions(speed=0.7))
    assert spoken.phones is not None
    samples, rate = spoken.clip.samples, spoken.clip.sample_rate_hz

    def level(phone: Phone) -> float:
        return float(np.sqrt(np.mean(samples[int(phone.start_s * rate) : int(phone.end_s * rate)] ** 2)))

    vowels = [level(p) for p in spoken.phones if p.label in ("AA", "AH") and p.end_s - p.start_s > 0.03]
    assert np.median(vowels) > 0.05
    last = spoken.phones[-1]
    assert last.label == "SIL"
    assert level(Phone(last.start_s + 0.1, last.end_s, "SIL")) < 1e-3


def test_the_built_in_animator_follows_exactly() -> None:
    speech = th.say("Mamma, papa, baby Bob. Mamma, papa, baby Bob.", speed=0.8)
    assert speech.phones is not None
    assert speech.clip.sample_rate_hz == 16000
    fps = Fraction(50)
    motion = mouth_motion(speech.phones, speech.clip, fps, speech.clip.num_frames(fps))
    closures = [p for p in speech.phones if p.label in ("P", "B", "M")]
    assert len(closures) > 15
    for phone in closures:
        middle = (phone.start_s + phone.end_s) / 2
        frames = range(max(0, int(phone.start_s * 50) - 1), min(len(motion), int(phone.end_s * 50) + 2))
        assert min(motion.lips[i] for i in frames) < 0.12, (phone, middle)
    assert motion.lips.max() > 0.4


def test_speed_voice_and_language() -> None:
    text = "This is a sentence of some length."
    slow = say(text, SpeechOptions(speed=0.7)).clip.duration_s
    fast = say(text, SpeechOptions(speed=1.6)).clip.duration_s
    assert slow > 1.6 * fast
    usual, other = (say(text, SpeechOptions(voice=voice)).clip.samples for voice in (None, "f2"))
    assert usual.shape != other.shape or not np.array_equal(usual, other)
    assert EspeakVoice("en-GB").lang == "en-gb"
    assert EspeakVoice("de_AT").lang == "de"
    assert EspeakVoice("zh").lang == "cmn"


def test_the_same_sentence_is_the_same_sound_whatever_was_said_before() -> None:
    """f2 breathes and has an echo, m3 trembles; another process says the same."""
    program = (
        "import hashlib; from talkinghead.speech.espeak import EspeakVoice\n"
        "for name in ('f2', 'm3', None, 'm3', 'f2', None):\n"
        "    samples = EspeakVoice('en', name).speak('Good morning.').clip.samples\n"
        "    print(name, hashlib.sha256(samples.tobytes()).hexdigest())"
    )
    said = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in range(2)]
    assert said[0] == said[1]
    lines = said[0].splitlines()
    assert (len(lines), len(set(lines))) == (6, 3)


def test_threads_take_turns() -> None:
    def labels(lang: str) -> list[str]:
        phones = say(SENTENCES[lang], SpeechOptions(lang=lang)).phones
        assert phones is not None
        return [phone.label for phone in phones]

    wanted = {lang: labels(lang) for lang in ("en", "de")}
    got: dict[str, list[str]] = {}
    threads = [threading.Thread(target=lambda lang=lang: got.update({lang: labels(lang)})) for lang in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == wanted


@pytest.mark.parametrize("text", ["!", "[[ hello ]]x", "<speak>a</speak>", "🙂 smile", "a" * 300, "%s %n 1/0"])
def test_odd_texts(text: str) -> None:
    if not any(c.isalnum() for c in text):
        with pytest.raises(InputError):
            say(text)
        return
    spoken = say(text)
    assert spoken.phones is not None
    _check(spoken.phones, float(spoken.clip.duration_s))


def test_events_without_sound() -> None:
    assert phones_of_events([], 100, 100) == (Phone(0.0, 1.0, "SIL"),)
    phones = phones_of_events([(0, "ts"), (40, "(en)"), (60, "")], 100, 100)
    assert [(p.start_s, p.end_s, p.label) for p in phones] == [(0.0, 0.3, "T"), (0.3, 0.6, "S"), (0.6, 1.0, "SIL")]


def test_unknown_language_and_voice() -> None:
    with pytest.raises(OptionError, match=r"does not speak 'qq'(.|\n)*\bde\b"):
        say("Hello.", SpeechOptions(lang="qq"))
    with pytest.raises(OptionError, match="no voice 'nobody'"):
        say("Hello.", SpeechOptions(voice="nobody"))
    with pytest.raises(OptionError, match="speed"):
        SpeechOptions(speed=9)


def test_library_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "find_library", lambda: None)
    espeak.library.cache_clear()
    try:
        with pytest.raises(MissingDependency, match=r"talkinghead\[tts\]"):
            say("Hello.")
        assert not next(row for row in available_engines() if row.name == "espeak").usable
    finally:
        espeak.library.cache_clear()


def test_library_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"no library")
    monkeypatch.setenv(espeak.LIBRARY_VARIABLE, str(broken))
    espeak.library.cache_clear()
    try:
        with pytest.raises(BackendError, match="cannot be loaded"):
            say("Hello.")
    finally:
        espeak.library.cache_clear()


def _run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    from talkinghead.cli.main import main

    status = main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return status, out, err


def test_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sound, phones = tmp_path / "speech.wav", tmp_path / "phones.json"
    status, out, err = _run(capfd, "say", "Hello. It is me.", "--lang", "en", "-o", sound, "--phones", phones)
    assert status == 0, err
    assert "exact times" in out
    speech = th.listen(sound, phones=read_phones(phones))
    assert speech.phones is not None
    _check(tuple(p for p in speech.phones if p.end_s > p.start_s), round(speech.phones[-1].end_s, 9))
    assert float(speech.clip.duration_s) == pytest.approx(speech.phones[-1].end_s, abs=1e-3)
    assert json.loads(phones.read_text())["phones"][0][2] == "SIL"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["say", "Hello", "-o", "{}/a.mp3"], r"ends in .wav"),
        (["say", "Hello"], "No output"),
        (["say", "-o", "{}/a.wav"], "No text"),
        (["say", "...", "-o", "{}/a.wav"], "without a letter"),
        (["say", "Hello", "--lang", "xx", "-o", "{}/a.wav"], "does not speak 'xx'"),
        (["say", "Hello", "--engine", "piper", "-o", "{}/a.wav"], "needs a voice"),
        (["say", "Hello", "--voice", "{}/no.onnx", "-o", "{}/a.wav"], "there is no file"),
        (["say", "Hello", "--engine", "festival", "-o", "{}/a.wav"], "festival"),
        (["say", "Hello", "-o", "{}/no/a.wav"], "no folder"),
        (["say", "--text-file", "{}/no.txt", "-o", "{}/a.wav"], "cannot be read"),
    ],
)
def test_command_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    status, _, err = _run(capfd, *(argument.format(tmp_path) for argument in arguments))
    assert status in (1, 2)
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_command_reads_files_and_lists_voices(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("Erster Satz. Zweiter Satz.", encoding="utf-8")
    status, out, _ = _run(
        capfd, "say", "--text-file", tmp_path / "text.txt", "-l", "de", "-o", tmp_path / "a.wav", "--json"
    )
    assert status == 0
    assert json.loads(out)["voice"] == "de"
    status, out, _ = _run(capfd, "say", "--voices")
    assert status == 0
    assert "espeak" in out
    assert " de " in out


def test_a_failing_engine_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.speech import write_speech

    real: Callable[..., Any] = EspeakVoice.speak

    def fail(self: EspeakVoice, sentence: str) -> Any:
        if "second" in sentence:
            raise BackendError("broken")
        return real(self, sentence)

    monkeypatch.setattr(EspeakVoice, "speak", fail)
    with pytest.raises(BackendError):
        write_speech(tmp_path / "a.wav", speak("The first. The second.", SpeechOptions()))
    assert list(tmp_path.iterdir()) == []
