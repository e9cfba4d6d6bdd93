"""Choosing an engine, and speaking a text sentence by sentence."""

from __future__ import annotations

import importlib.util
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from talkinghead.audio.phones import fill_holes
from talkinghead.contracts import AudioClip, Phone
from talkinghead.errors import BackendError, OptionError
from talkinghead.speech.options import SpeechOptions
from talkinghead.speech.piper import is_voice_file
from talkinghead.speech.script import AUTO, CLEAR_SHARE, base_language, notice_language, script_shares
from talkinghead.speech.sentences import split_sentences
from talkinghead.speech.voice import Spoken, Voice

Progress = Callable[[int, int], None]
"""Called with sentences done and sentences in all."""


@dataclass(frozen=True)
class EngineStatus:
    """What `talkinghead say --voices` and the web page show of one engine."""

    name: str
    summary: str
    usable: bool
    why_not: str
    """Empty when usable."""
    languages: tuple[str, ...]
    """Empty where the voice file decides, or the engine is not usable."""
    variants: tuple[str, ...] = ()


def available_engines() -> list[EngineStatus]:
    """Every engine with whether it can be used now. Uses no network."""
    from talkinghead.errors import TalkingHeadError
    from talkinghead.speech import espeak, google
    from talkinghead.weights.offline import offline_reason

    rows = []
    spoken: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()
    why_not = ""
    try:
        loaded = espeak.library()
        spoken, voices = tuple(loaded.languages()), tuple(espeak.variants(loaded))
    except TalkingHeadError as error:
        why_not = str(error).replace("\n", " ")
    rows.append(
        EngineStatus("espeak", "espeak-ng: offline, knows when each sound begins", not why_not, why_not, spoken, voices)
    )
    spoken, why_not = (), ""
    try:
        spoken = tuple(google.languages())
    except TalkingHeadError as error:
        why_not = str(error).replace("\n", " ")
    if not why_not and (reason := offline_reason()):
        why_not = f"{reason} forbids the network"
    rows.append(EngineStatus("gtts", "Google Translate: sends the text to Google", not why_not, why_not, spoken))
    installed = importlib.util.find_spec("piper") is not None
    rows.append(
        EngineStatus(
            "piper", "Piper: neural voices from a file", installed, "" if installed else "pip install piper-tts", ()
        )
    )
    return rows


def voice_for(text: str, options: SpeechOptions) -> tuple[Voice, tuple[str, ...]]:
    """The voice that the options ask for, in the language of the text where they leave it open.

    Returns:
        The voice, and what the user should know about its language, as sentences.
    Raises:
        InputError: the language is left open, and the text mixes letters of several. And as `open_voice`.
    """
    asked = options.lang.strip().lower()
    if asked != AUTO:
        voice = open_voice(options)
        return voice, _mismatch(voice, base_language(asked), f"{options.lang} was asked for")
    if is_voice_file(options.voice):
        voice = open_voice(options)
        # A voice of another alphabet cannot read the text; within an alphabet the file knows best.
        shares = script_shares(text)
        noticed = notice_language(text) if max(shares.values(), default=0.0) >= CLEAR_SHARE else None
        if noticed is None or noticed.lang == "en":
            return voice, ()
        return voice, _mismatch(voice, base_language(noticed.lang), f"the text is in {noticed.script} letters")
    noticed = notice_language(text)
    try:
        voice = open_voice(replace(options, lang=noticed.lang))
    except OptionError as error:
        if not noticed.note:
            raise
        raise OptionError(
            f"The text is in {noticed.script} letters. {error.what}", remedy="--lang, or another --engine"
        ) from error
    return voice, (noticed.note,) if noticed.note else ()


def _mismatch(voice: Voice, wanted: str, why: str) -> tuple[str, ...]:
    if voice.engine != "piper" or not voice.lang or base_language(voice.lang) == wanted:
        return ()
    return (f"The voice {voice.name} speaks {voice.lang}, and {why}: it may be hard to understand.",)


def open_voice(options: SpeechOptions) -> Voice:
    """The voice that the options ask for; English where they leave the language open.

    The engine "auto" is piper for a voice file, else espeak; there is no other in its place when it is missing.

    Raises:
        OptionError: no such language or voice. MissingDependency: the engine is not installed.
        BackendError: the engine does not start, or offline mode forbids it.
    """
    engine = options.engine
    lang = "en" if options.lang.strip().lower() == AUTO else options.lang
    if engine == "auto":
        engine = "piper" if is_voice_file(options.voice) else "espeak"
    if engine == "piper":
        from talkinghead.speech.piper import PiperVoice

        if options.voice is None:
            raise OptionError("The engine piper needs a voice.", accepted="--voice FILE.onnx")
        return PiperVoice(Path(options.voice), options.speed)
    if is_voice_file(options.voice):
        raise OptionError(f"{options.voice!r} is a voice of Piper, not of {engine}.", remedy="--engine piper")
    if engine == "gtts":
        from talkinghead.speech.google import GoogleVoice

        if options.voice is not None:
            raise OptionError("The engine gtts has one voice for each language.", remedy="leave --voice out")
        return GoogleVoice(lang, options.speed)
    from talkinghead.speech.espeak import EspeakVoice

    return EspeakVoice(lang, options.voice, options.speed)


def speak(
    text: str, options: SpeechOptions | None = None, *, progress: Progress | None = None, voice: Voice | None = None
) -> Iterator[Spoken]:
    """Say a text, sentence by sentence; memory does not grow with the text.

    Args:
        text: what to say, in the language of the options.
        voice: a voice that is open already; else the one that the options ask for.
    Returns:
        One piece per sentence; the phones of each count from its own beginning. All have the same sample rate. Text
        and options are checked before the first piece is asked for.
    Raises:
        InputError: nothing to say, or too long. And as `open_voice`.
    """
    sentences = split_sentences(text)
    chosen = voice or voice_for(text, options or SpeechOptions())[0]
    return _speak(chosen, sentences, progress)


def _speak(voice: Voice, sentences: list[str], progress: Progress | None) -> Iterator[Spoken]:
    rate: int | None = None
    for index, sentence in enumerate(sentences):
        if progress is not None and index == 0:
            progress(0, len(sentences))
        piece = voice.speak(sentence)
        if rate is None:
            rate = piece.clip.sample_rate_hz
        elif piece.clip.sample_rate_hz != rate:
            from talkinghead.media.sound import resample_clip

            piece = replace(piece, clip=resample_clip(piece.clip, rate))
        yield piece
        if progress is not None:
            progress(index + 1, len(sentences))


def say(text: str, options: SpeechOptions | None = None, *, progress: Progress | None = None) -> Spoken:
    """Say a text and give it whole: the pieces of `speak`, joined; phones count from the beginning of all."""
    split_sentences(text)  # what cannot be said is refused before a voice is opened
    voice, notes = voice_for(text, options or SpeechOptions())
    joined = _Joiner()
    parts = [joined.add(piece) for piece in speak(text, progress=progress, voice=voice)]
    samples = np.concatenate(parts)
    del parts
    return Spoken(AudioClip(samples, joined.sample_rate_hz), joined.phones(), text, notes)


class _Joiner:
    """Puts pieces one after the other: counts samples, shifts phones."""

    def __init__(self) -> None:
        self.sample_rate_hz = 0
        self.num_samples = 0
        self._phones: list[Phone] | None = []

    def add(self, piece: Spoken) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Take a piece; returns its samples."""
        self.sample_rate_hz = piece.clip.sample_rate_hz
        start_s = self.num_samples / self.sample_rate_hz
        if piece.phones is None:
            self._phones = None
        elif self._phones is not None:
            self._phones.extend(Phone(start_s + p.start_s, start_s + p.end_s, p.label) for p in piece.phones)
        self.num_samples += len(piece.clip.samples)
        samples: np.ndarray[tuple[int], np.dtype[np.float32]] = piece.clip.samples
        return samples

    def phones(self) -> tuple[Phone, ...] | None:
        if self._phones is None:
            return None
        return fill_holes(self._phones, self.num_samples / self.sample_rate_hz)


def write_speech(
    path: str | os.PathLike[str], pieces: Iterator[Spoken], *, overwrite: bool = True
) -> tuple[float, tuple[Phone, ...] | None]:
    """Write pieces into a 16-bit mono WAV file as they come; the name appears only when it is complete.

    Returns:
        Seconds of sound, and the phones if the engine tells them.
    Raises:
        OptionError: the name does not end in .wav. OutputError: it cannot be written.
        BackendError: more than a WAV file holds.
    """
    from talkinghead.files import PendingOutput, unwritable
    from talkinghead.media.sound import pcm16_from_float

    if Path(path).suffix.lower() != ".wav":
        raise OptionError(f"The output is {Path(path).name!r}.", accepted="a name that ends in .wav")
    joined = _Joiner()
    with PendingOutput(path, overwrite=overwrite) as pending:
        try:
            with pending.temporary.open("r+b") as file:
                file.write(b"\0" * 44)
                for piece in pieces:
                    file.write(pcm16_from_float(joined.add(piece)).astype("<i2").tobytes())
                size = 2 * joined.num_samples
                if size > 0xFFFFFFFF - 36:
                    raise BackendError("The speech is longer than a WAV file can hold.", remedy="speak it in parts")
                rate = joined.sample_rate_hz
                file.seek(0)
                file.write(
                    struct.pack(
                        "<4sI4s4sIHHIIHH4sI",
                        *(b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", size),
                    )
                )
        except OSError as error:
            raise unwritable(pending.named, error) from error
        pending.commit()
    return joined.num_samples / joined.sample_rate_hz, joined.phones()
