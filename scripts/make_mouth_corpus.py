#!/usr/bin/env python3
"""Synthesise speech whose phone times are known exactly, for fitting and measuring mouth motion.

    python scripts/make_mouth_corpus.py OUT --set fit        # what scripts/fit_articulation.py learns from
    python scripts/make_mouth_corpus.py OUT --set held-out   # other voices, other sentences: the benchmark
    python scripts/make_mouth_corpus.py tests/data/mouth_corpus --set small

Needs espeak-ng (its shared library), flite and, for the sets `fit` and `held-out`, festival with voices; on Debian
`apt-get install espeak-ng flite festival festlex-cmu festlex-poslex festvox-kallpc16k festvox-kdlpc16k
festvox-us-slt-hts festvox-italp16k festvox-itapc16k festvox-suopuhe-mv festvox-suopuhe-lj festvox-czech-dita
festvox-czech-machac festvox-ca-ona-hts`. Each utterance becomes NAME.flac (16 kHz mono) and NAME.json:
{"engine", "voice", "language", "text", "phones": [[start_s, end_s, "ARPAbet"], ...]}, silence as "SIL".

Where the times come from: flite and festival print the ends of their segments; espeak-ng reports a sample number when
it begins to synthesise each phoneme. espeak-ng renders the closure of a voiceless stop as digital silence before that
moment, so a run of zero samples that ends there is counted to the stop, where it belongs.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr

RATE_HZ = 16000
PAD_S = 0.25
"""Silence added before and after each utterance."""

FIT_SENTENCES = """
Put the big map above my bed, please.
Peter promised to bring a basket of ripe plums on Monday.
My mother bought a pumpkin, some bread and a bottle of milk.
The baby crawled toward the table and grabbed a spoon.
Thousands of people jumped up and clapped when the band began to play.
We should leave early, because the road is often blocked by snow.
Seven silver swans swam silently across the shallow lake.
Every good recipe begins with fresh butter and warm water.
He asked them whether the evening flight had already landed.
Please remember to empty the cup before you wipe the shelf.
I think this chapter is better than the previous one.
Could you show me how the camera works, just once more?
A bright lamp hung above the wooden desk in the library.
They measured the temperature at noon, at six, and again at midnight.
Bob made a model of a boat from paper and cardboard.
The judge gave him five more minutes to find the missing file.
Nobody knows why the yellow bus stopped in front of our house.
Her voice was calm, warm and very easy to follow.
What a lovely surprise, I never expected to meet you here!
The farmer fed his sheep, then fixed the fence behind the barn.
Oh yes, of course. I will call you back tomorrow.
Few visitors ever see the famous valley in full bloom.
The chemist mixed a pale blue powder with purified oil.
We hope the members of the jury will agree by Thursday.
Put on your boots, pick up the rope, and climb.
One hundred and twenty five pounds is far too much.
The museum shop sells maps, stamps, postcards and pens.
Sam rubbed his elbow and mumbled an apology.
Both teams played well, but the home team won by a point.
A small bird hopped along the window and pecked at a crumb.
Open the cupboard. Take out the cups. Pour the coffee.
The old harbour smells of tar, rope, fish and smoke.
Would you rather walk home through the woods or wait for a cab?
Measure twice, cut once, and keep your fingers away from the blade.
The number you have dialled is not available at the moment.
Do you believe in the power of a simple thank you?
Mum and pop pop up by the pub, maybe by bus, maybe by bike.
The shepherd watched the clouds gather over the western hills.
I am happy, you are happy, and the puppy is happy too.
Thick fog covered the airport, so all flights were delayed.
She sells fine cloth, leather gloves and woollen hats.
Many thanks for your patience while we prepare the film.
""".strip().splitlines()

HELD_OUT_SENTENCES = """
A brown paper parcel was waiting at the bottom of the stairs.
My brother plays the trumpet in a marching band.
Push the button, hold it, and count up to ten.
Before breakfast, the boys swam in the bay.
How many people would you like to invite to the party?
The weather forecast promises sunshine, then thunder and heavy rain.
Maybe we might move the meeting to the beginning of November.
She opened the umbrella, stepped over a puddle and began to hum.
It is easier to forgive an enemy than to forgive a friend.
Our company builds pumps and valves for big ships.
The poet whispered a few verses about the moon and the sea.
Jump! Grab the rope! Now climb up, and be quick about it.
You were right about the value of those five old violins.
Tim bumped his thumb on the lamp, but he laughed about it.
Good morning, and welcome to this short demonstration.
The rabbit vanished behind a bush at the top of the slope.
We walked along the river, talking about music and work.
All of them agreed that the soup was warm, simple and good.
Pamela mopped up the spilled pepper soup with an apron.
Is this the job that you have always dreamed of?
""".strip().splitlines()

OTHER_SENTENCES = {
    "de": [
        "Am Morgen bringt mein Bruder Brot und Butter vom Markt mit.",
        "Der Bus kommt um halb sieben, aber pünktlich ist er selten.",
    ],
    "es": [
        "Mi hermana compra pan y mantequilla en el mercado por la mañana.",
        "El pueblo es bonito, pero el camino es muy malo.",
    ],
    "fr": [
        "Ma mère prépare une bonne soupe avec du pain et du beurre.",
        "Le petit bateau part demain pour le port de Marseille.",
    ],
    "it": [
        "Mia mamma prepara una buona zuppa con pane e burro.",
        "Il bambino beve un bicchiere di latte prima di dormire.",
        "Domani mattina il treno parte molto presto, amico mio.",
    ],
    "fi": [
        "Minun äitini ostaa leipää, voita ja maitoa kaupasta.",
        "Poika pelaa palloa puistossa, mutta ilma on kylmä.",
        "Me menemme huomenna mummon luo maalle.",
    ],
    "cs": [
        "Moje maminka kupuje na trhu chleba, mléko a maso.",
        "Malý pes běhal po poli a pak spal pod stromem.",
    ],
    "ca": [
        "La meva mare compra pa i mantega al mercat.",
        "El vaixell petit surt demà pel matí cap al port.",
    ],
    "pl": ["Moja mama kupuje chleb, masło i mleko na bazarze.", "Mały pies biega po polu, a potem śpi pod drzewem."],
    "cmn": ["妈妈明天早上去买面包和苹果。", "我的朋友不喜欢跑步,但是他每天爬山。"],
    "ja": ["母は毎朝市場でパンとバターを買います。", "ぼくの部屋の窓から海が見えます。"],
}


@dataclass(frozen=True)
class Voice:
    """One way to speak."""

    engine: str
    """espeak, flite or festival"""
    name: str
    language: str = "en"
    rate: int = 165
    """Words per minute, espeak only."""
    pitch: int = 50
    """0 to 99, espeak only."""
    amplitude: int = 100
    stretch: float = 1.0
    """Duration factor, flite only."""

    @property
    def slug(self) -> str:
        extra = f"-{self.rate}" if self.engine == "espeak" else ("" if self.stretch == 1.0 else f"-{self.stretch:g}")
        return f"{self.engine}-{self.name}{extra}".replace("+", "_").replace("/", "_")


Spoken = tuple[np.ndarray, int, list[tuple[float, float, str]]]
"""Samples, their rate, and phones: start and end in seconds, ARPAbet."""
Speak = Callable[[Voice, str], Spoken]


FIT_VOICES = (
    Voice("espeak", "en-us", rate=150),
    Voice("espeak", "en-us+f2", rate=175, pitch=60),
    Voice("espeak", "en+m3", rate=165, pitch=40),
    Voice("espeak", "en-us+klatt2", rate=160),
    Voice("espeak", "en-us+m7", rate=155, pitch=35),
    Voice("espeak", "en+f5", rate=170, pitch=65),
    Voice("espeak", "en-us-nyc+m1", rate=180, pitch=48),
    Voice("flite", "slt"),
    Voice("flite", "slt", stretch=0.85),
    Voice("flite", "awb"),
    Voice("flite", "awb", stretch=1.15),
    Voice("flite", "kal16"),
    Voice("festival", "kal_diphone"),
    Voice("festival", "cmu_us_slt_arctic_hts"),
)
FIT_OTHER_VOICES = (
    Voice("festival", "lp_diphone", "it"),
    Voice("festival", "hy_fi_mv_diphone", "fi"),
    Voice("festival", "czech_dita", "cs"),
    Voice("espeak", "de", "de"),
    Voice("espeak", "es", "es"),
    Voice("espeak", "pl", "pl"),
)
FIT_ACCENTS = (
    Voice("festival", "lp_diphone", "it"),
    Voice("festival", "hy_fi_mv_diphone", "fi"),
    Voice("festival", "czech_dita", "cs"),
    Voice("espeak", "de+m2", "de", pitch=40),
    Voice("espeak", "es+f3", "es", rate=175, pitch=60),
    Voice("espeak", "it+m4", "it", rate=170),
    Voice("espeak", "pl+f1", "pl", pitch=55),
    Voice("espeak", "pt", "pt"),
    Voice("espeak", "nl+m6", "nl", pitch=45),
    Voice("espeak", "tr+f2", "tr", rate=160, pitch=62),
    Voice("espeak", "sv+m1", "sv", pitch=42),
    Voice("espeak", "id+f5", "id", rate=180, pitch=58),
    Voice("espeak", "ro+m8", "ro", rate=160),
)
"""Voices that read rows of English words as if they were of their own language: its sounds, in any order."""
HELD_OUT_VOICES = (
    Voice("flite", "rms"),
    Voice("flite", "rms", stretch=0.85),
    Voice("festival", "ked_diphone"),
    Voice("espeak", "en-gb-x-rp+f4", rate=160, pitch=55),
    Voice("espeak", "en-gb-scotland+m5", rate=180, pitch=45),
    Voice("espeak", "en-us+klatt4", rate=150, pitch=50),
)
HELD_OUT_OTHER_VOICES = (
    Voice("festival", "pc_diphone", "it"),
    Voice("festival", "suo_fi_lj_diphone", "fi"),
    Voice("festival", "czech_machac", "cs"),
    Voice("festival", "upc_ca_ona_hts", "ca"),
    Voice("espeak", "fr+f3", "fr"),
    Voice("espeak", "cmn", "cmn", rate=150),
    Voice("espeak", "ja", "ja", rate=150),
)

# Sound symbols of the engines in ARPAbet without stress. Symbols of one or more letters, longest match first.
IPA = {
    "aɪə": "AY", "aʊə": "AW", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "ɔø": "OY",
    "tʃ": "CH", "dʒ": "JH", "tɕ": "CH", "dʑ": "JH", "ts": "S", "dz": "Z", "pf": "F", "ɑ": "AA", "ɒ": "AA", "a": "AA",
    "æ": "AE", "ɐ": "AH", "ʌ": "AH", "ə": "AH", "ɜ": "ER", "ɚ": "ER", "ɝ": "ER", "ɤ": "AH", "ɔ": "AO", "o": "AO",
    "e": "EH", "ɛ": "EH", "ɪ": "IH", "ɨ": "IH", "i": "IY", "ᵻ": "IH", "ʊ": "UH", "u": "UW", "ʉ": "UW", "ɯ": "UH",
    "y": "UW",
    "ʏ": "UH", "ø": "ER", "œ": "ER", "p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "ʋ": "V", "β": "B", "ɸ": "F",
    "θ": "TH", "ð": "DH", "t": "T", "d": "D", "ɾ": "D", "ʔ": "HH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH",
    "ɕ": "SH", "ʑ": "ZH", "ʂ": "SH", "ʐ": "ZH", "ç": "HH", "x": "HH", "χ": "HH", "h": "HH", "ɦ": "HH", "k": "K",
    "ɡ": "G", "g": "G", "ɣ": "G", "n": "N", "ɲ": "N", "ɴ": "NG", "ŋ": "NG", "l": "L", "ɫ": "L", "ʎ": "L", "ɬ": "L",
    "ɟ": "G", "ɵ": "UH", "?": "HH", "ɭ": "L",
    "r": "R", "ɹ": "R", "ʁ": "R", "ɻ": "R", "ɽ": "R", "j": "Y", "ʝ": "Y", "ɥ": "W", "w": "W", "ʍ": "W", "ɕʰ": "SH",
}  # fmt: skip
IGNORED = "ˈˌːˑ‿ʰʲˠ|'-˥˦˧˨˩0123456789"
"""Marks of stress, length, secondary articulation and tone."""
RADIO = {
    "pau": "SIL", "ssil": "SIL", "brth": "SIL", "h#": "SIL", "sil": "SIL", "_": "SIL", "#": "SIL", "##": "SIL",
    "ax": "AH",
    "axr": "ER", "dx": "D", "nx": "N", "el": "L", "em": "M", "en": "N", "ix": "IH", "ux": "UW", "hv": "HH",
}  # fmt: skip
"""Symbols of flite and of festival's English voices that ARPAbet lacks."""
LETTERS = {
    "a": "AA", "e": "EH", "i": "IY", "o": "AO", "u": "UW", "y": "UW", "@": "AH", "ax": "AH", "ea": "EH", "oa": "AO",
    "uu": "UW", "ae": "AE", "oe": "ER", "ee": "EH", "oo": "AO", "ou": "OW", "au": "AW", "eu": "EH", "p": "P",
    "b": "B", "m": "M", "f": "F", "v": "V", "t": "T", "d": "D", "n": "N", "l": "L", "s": "S", "z": "Z", "k": "K",
    "g": "G", "r": "R", "j": "Y", "w": "W", "h": "HH", "x": "HH", "ch": "HH", "c": "CH", "ts": "S", "dz": "Z",
    "tS": "CH", "dZ": "JH", "S": "SH", "Z": "ZH", "SS": "SH", "ss": "SH", "J": "N", "nf": "N", "ng": "NG", "N": "NG",
    "L": "L", "LL": "L", "q": "K", "rr": "R", "th": "TH", "dh": "DH", "bb": "B", "dd": "D", "gg": "G",
}  # fmt: skip
"""Symbols of festival's voices for other languages, after marks of length and stress are taken off."""
CZECH = {"c~": "CH", "s~": "SH", "z~": "ZH", "r~": "ZH", "n~": "N", "d~": "D", "t~": "T", "ch": "HH", "h": "HH",
         "c": "S", "j": "Y", "x": "HH", "dz~": "JH", "dz": "Z", "N*": "NG"}  # fmt: skip


def ipa_to_arpabet(symbol: str) -> str | None:
    """ARPAbet of one espeak-ng phoneme in IPA; None for marks without sound."""
    plain = ""
    for character in unicodedata.normalize("NFC", symbol):
        base = character if character in IPA else unicodedata.normalize("NFD", character)
        plain += "".join(c for c in base if not unicodedata.combining(c) and c not in IGNORED)
    if not plain or plain.startswith("("):
        return "SIL" if symbol == "" else None
    if plain in ("əl", "ᵊl"):
        return "L"
    for length in (3, 2, 1):
        if plain[:length] in IPA:
            return IPA[plain[:length]]
    raise SystemExit(f"no ARPAbet for the phoneme {symbol!r} ({plain!r})")


def segment_to_arpabet(symbol: str, language: str) -> str:
    """ARPAbet of one segment of flite or festival."""
    if symbol in RADIO or symbol.lower() in RADIO:
        return RADIO.get(symbol, RADIO.get(symbol.lower(), ""))
    if language == "en":
        return symbol.upper()
    if language == "cs" and symbol in CZECH:
        return CZECH[symbol]
    plain = symbol
    for mark in ("1", "2", ":", "~", "*", "^", "'", "0"):
        plain = plain.replace(mark, "")
    for candidate in (
        plain,
        plain[: len(plain) // 2] if len(plain) % 2 == 0 else plain,
        plain.lower(),
        plain[:1].lower(),
    ):
        if candidate in LETTERS:
            return LETTERS[candidate]
    raise SystemExit(f"no ARPAbet for the segment {symbol!r} ({language})")


class Espeak:
    """espeak-ng through its C interface, which reports when each phoneme begins."""

    def __init__(self) -> None:
        class Identity(ctypes.Union):
            _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]

        class Event(ctypes.Structure):
            _fields_ = [
                ("type", ctypes.c_int), ("uid", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("id", Identity),
            ]  # fmt: skip

        self.library = ctypes.CDLL("libespeak-ng.so.1")
        synchronous_retrieval, phoneme_events_in_ipa = 2, 3
        self.rate_hz = self.library.espeak_Initialize(synchronous_retrieval, 0, None, phoneme_events_in_ipa)
        self.pieces: list[np.ndarray] = []
        self.events: list[tuple[int, str]] = []

        def receive(samples: Any, count: int, events: Any) -> int:
            if count > 0:
                self.pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
            index = 0
            while events[index].type != 0:
                if events[index].type == 7:  # a phoneme begins
                    self.events.append((events[index].sample, events[index].id.string.decode("utf-8", "ignore")))
                index += 1
            return 0

        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
        self.receive = kind(receive)
        self.library.espeak_SetSynthCallback(self.receive)

    def speak(self, voice: Voice, text: str) -> Spoken:
        self.pieces.clear()
        self.events.clear()
        if self.library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice {voice.name}")
        for parameter, value in ((1, voice.rate), (2, voice.amplitude), (3, voice.pitch)):
            self.library.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        self.library.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
        self.library.espeak_Synchronize()
        samples = np.concatenate(self.pieces).astype(np.float32) / 32768.0
        marks = [(at, ipa_to_arpabet(name)) for at, name in self.events]
        starts = [(at, label) for at, label in marks if label is not None]
        starts = [(closure_start(samples, at) if label in "PTK" else at, label) for at, label in starts]
        phones: list[tuple[float, float, str]] = []
        if not starts or starts[0][0] > 0:
            starts.insert(0, (0, "SIL"))
        for (at, label), (end, _) in zip(starts, [*starts[1:], (len(samples), "")], strict=True):
            if end > at:
                phones.append((at / self.rate_hz, end / self.rate_hz, label))
        return samples, self.rate_hz, phones


def closure_start(samples: np.ndarray, at: int) -> int:
    """Where the run of digital silence that ends at a sample begins (at most 0.15 s before)."""
    low = max(0, at - 3307)
    loud = np.flatnonzero(np.abs(samples[low:at]) > 2.5 / 32768.0)
    return at if len(loud) == 0 else low + int(loud[-1]) + 1


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path), "rb") as file:
        data = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return data.astype(np.float32) / 32768.0, file.getframerate()


def flite_speak(voice: Voice, text: str) -> Spoken:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.wav"
        command = ["flite", "-voice", voice.name, "--setf", f"duration_stretch={voice.stretch}", "-psdur"]
        done = subprocess.run([*command, "-t", text, "-o", str(path)], check=True, capture_output=True, text=True)
        samples, rate = read_wav(path)
    phones, start, offset = [], 0.0, 0.0
    for token in done.stdout.split():
        label, end = token.rsplit(":", 1)
        if float(end) + offset < start:  # flite speaks sentence by sentence and counts each from zero
            offset = start
        phones.append((start, float(end) + offset, segment_to_arpabet(label, voice.language)))
        start = float(end) + offset
    return samples, rate, phones


def festival_speak(voice: Voice, text: str) -> Spoken:
    with tempfile.TemporaryDirectory() as folder:
        script, segments, sound = (Path(folder) / name for name in ("s.scm", "o.segs", "o.wav"))
        script.write_bytes(
            f'(voice_{voice.name})\n(set! u (utt.synth (Utterance Text "{text}")))\n'
            f'(utt.save.segs u "{segments}")\n(utt.save.wave u "{sound}")\n'.encode(
                "iso-8859-2" if voice.language == "cs" else "iso-8859-1"
            )
        )
        subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
        samples, rate = read_wav(sound)
        phones, start = [], 0.0
        for line in segments.read_text(encoding="iso-8859-1").splitlines()[1:]:
            end, _, label = line.split()
            phones.append((start, float(end), segment_to_arpabet(label, voice.language)))
            start = float(end)
    return samples, rate, phones


def dictionary_sentences(count: int, words: int = 7, seed: int = 1) -> list[str]:
    """Meaningless rows of words from the dictionary that comes with pocketsphinx: every sound in every context."""
    import pocketsphinx

    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    plain = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    plain = [word for word in plain if re.fullmatch(r"[a-z]{3,9}", word)]
    chosen = np.random.default_rng(seed).choice(len(plain), size=count * words, replace=False)
    rows = [[plain[i] for i in chosen[k * words : (k + 1) * words]] for k in range(count)]
    return [" ".join(row[:4]) + ", " + " ".join(row[4:]) + "." for row in rows]


def utterances(which: str) -> Iterator[tuple[Voice, str, str]]:
    """(voice, name, text) of a set."""
    if which == "fit":
        yield from fit_utterances()
    elif which == "held-out":
        yield from (
            (voice, f"{voice.slug}-{k:02d}", text)
            for voice in HELD_OUT_VOICES
            for k, text in enumerate(HELD_OUT_SENTENCES)
        )
        yield from in_other_languages(HELD_OUT_OTHER_VOICES)
    else:
        voices = [voice for voice in HELD_OUT_VOICES if voice.engine != "festival" and voice.stretch == 1.0]
        for k, text in enumerate(HELD_OUT_SENTENCES):
            voice = voices[k % len(voices)]
            yield voice, f"{k:02d}-{voice.slug}", text


def fit_utterances() -> Iterator[tuple[Voice, str, str]]:
    """The set "fit"."""
    for number, voice in enumerate(FIT_VOICES):
        for k, text in enumerate(FIT_SENTENCES):
            if (k + number) % 2 == 0 or voice.engine != "espeak":
                yield voice, f"{voice.slug}-{k:02d}", text
    yield from in_rows_of_words(FIT_VOICES, each=24, seed=1)
    yield from in_other_languages(FIT_OTHER_VOICES)
    yield from in_rows_of_words(FIT_ACCENTS, each=40, seed=2)


def in_rows_of_words(voices: Sequence[Voice], each: int, seed: int) -> Iterator[tuple[Voice, str, str]]:
    rows = dictionary_sentences(each * len(voices), seed=seed)
    for number, voice in enumerate(voices):
        for k, text in enumerate(rows[each * number : each * (number + 1)]):
            yield voice, f"{voice.slug}-words-{k:02d}", text


def in_other_languages(voices: Sequence[Voice]) -> Iterator[tuple[Voice, str, str]]:
    for voice in voices:
        for k, text in enumerate(OTHER_SENTENCES[voice.language]):
            yield voice, f"{voice.slug}-{k:02d}", text


def write_utterance(folder: Path, name: str, voice: Voice, text: str, speak: Speak) -> float:
    samples, rate, phones = speak(voice, text)
    sound = soxr.resample(samples, rate, RATE_HZ, quality="HQ").astype(np.float32)
    pad = np.zeros(round(PAD_S * RATE_HZ), dtype=np.float32)
    sound = np.concatenate([pad, sound, pad])
    phones = [(0.0, PAD_S, "SIL"), *((start + PAD_S, end + PAD_S, label) for start, end, label in phones)]
    duration = len(sound) / RATE_HZ
    pcm = np.clip(np.rint(sound * 32767.0), -32768, 32767).astype("<i2")
    with av.open(str(folder / f"{name}.flac"), "w") as container:
        stream = container.add_stream("flac", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    merged: list[list[object]] = []
    for start, end, label in phones:
        end = min(end, duration)
        if end <= start:
            continue
        if merged and label == "SIL" == merged[-1][2]:
            merged[-1][1] = round(end, 4)
        else:
            merged.append([round(start, 4), round(end, 4), label])
    if merged and duration - float(str(merged[-1][1])) > 1e-3:
        merged.append([merged[-1][1], round(duration, 4), "SIL"])
    facts = {"engine": voice.engine, "voice": voice.name, "language": voice.language, "text": text, "phones": merged}
    (folder / f"{name}.json").write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
    return duration


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=("fit", "held-out", "small"), default="small", dest="which")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for tool in ("flite", "espeak-ng", *(() if arguments.which == "small" else ("festival",))):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed")
    espeak = Espeak()
    engines: dict[str, Speak] = {"espeak": espeak.speak, "flite": flite_speak, "festival": festival_speak}
    total, count = 0.0, 0
    for voice, name, text in utterances(arguments.which):
        total += write_utterance(arguments.out, name, voice, text, engines[voice.engine])
        count += 1
    print(f"{count} utterances, {total:.1f} s, in {arguments.out}")


if __name__ == "__main__":
    main()
