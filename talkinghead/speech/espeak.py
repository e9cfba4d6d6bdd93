"""espeak-ng through its C library: offline, about a hundred languages, and the exact time of every sound.

The library comes with the wheel `espeakng-loader` (extra `tts`) or from the system. It is called through ctypes and
never bundled; it is under the GPL-3. Interface: espeak-ng's `speak_lib.h`. The library has one global state, so one
thread at a time speaks, and each sentence begins with a library that is loaded anew: the same sentence in the same
voice is the same samples, whatever was said before.
"""

from __future__ import annotations

import _ctypes
import ctypes
import ctypes.util
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead import system
from talkinghead.audio.phones import fill_holes, with_closures
from talkinghead.contracts import AudioClip, Phone
from talkinghead.errors import BackendError, MissingDependency, OptionError, choices
from talkinghead.speech.ipa import phones_of_ipa, shares
from talkinghead.speech.voice import Spoken

LIBRARY_VARIABLE = "TALKINGHEAD_ESPEAK_LIBRARY"
"""Environment variable that names the library's file, where it is neither in the wheel nor in a usual place."""

WORDS_PER_MINUTE = 175
"""The library's own pace."""

_PATH_ENCODING = "mbcs" if sys.platform == "win32" else "utf-8"
"""Of paths: on Windows the library takes the system's code page."""

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _IPA, _DO_NOT_EXIT = 0x0001, 0x0002, 0x8000
_UTF8, _END_PAUSE = 1, 0x1000
_LIST_END, _PHONEME = 0, 7
_RATE, _RATE_MIN = 1, 80
_CHARACTERS = 1
_SEED = 1
"""Of the noise in voices that breathe."""

LANGUAGE_ALIASES: Mapping[str, str] = {
    "en": "en-us",
    "zh": "cmn",
    "zh-cn": "cmn",
    "zh-tw": "cmn",
    "no": "nb",
    "pt-pt": "pt",
    "es-mx": "es-419",
    "fr": "fr-fr",
}
"""Usual names that the library spells otherwise, or that leave a choice open."""


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _VoiceRow(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.POINTER(ctypes.c_char)),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass
class _Caught:
    """What the library hands over while it speaks."""

    samples: list[np.ndarray[Any, np.dtype[np.int16]]] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    """(sample at which the sound begins, IPA)."""


class Library:
    """The loaded library. One for the process: `library()`."""

    def __init__(self, path: str, data: str | None) -> None:
        self.path, self._given_data = path, data
        self.lock = threading.RLock()
        self._caught = _Caught()
        self._callback = _CALLBACK(self._catch)  # kept alive as long as the library may call it
        self._load()
        folder = ctypes.c_char_p()
        self.version = self._c.espeak_Info(ctypes.byref(folder)).decode("ascii", "replace")
        self.data = Path(folder.value.decode(_PATH_ENCODING, "replace")) if folder.value else None

    def _load(self) -> None:
        path, data = self.path, self._given_data
        self._c = ctypes.CDLL(path)
        self._c.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRow))
        self._c.espeak_Info.restype = ctypes.c_char_p
        self._c.espeak_SetSynthCallback.argtypes = [_CALLBACK]
        self.sample_rate_hz = int(
            self._c.espeak_Initialize(
                ctypes.c_int(_SYNCHRONOUS),
                ctypes.c_int(0),
                _path_bytes(data) if data is not None else None,
                ctypes.c_int(_PHONEME_EVENTS | _IPA | _DO_NOT_EXIT),
            )
        )
        if self.sample_rate_hz <= 0:
            raise BackendError(
                f"espeak-ng ({path}) does not start.", remedy="install its language data, or the wheel espeakng-loader"
            )
        self._c.espeak_SetSynthCallback(self._callback)
        seed = getattr(self._c, "espeak_ng_SetRandSeed", None)  # it takes the time of day otherwise
        if seed is not None:
            seed(ctypes.c_long(_SEED))

    def renew(self) -> None:
        """Load the library again; the lock must be held. Half a millisecond.

        Tremor, echo and breath of a voice go on from where the sentence before left them, and nothing in the library
        sets them back: only so is the same sentence the same sound, whoever said what before.
        """
        self._c.espeak_Terminate()
        # Names differ between systems; where a program holds the library itself, it stays as it is.
        unload: Any = getattr(_ctypes, "dlclose" if os.name == "posix" else "FreeLibrary")
        unload(self._c._handle)
        self._load()

    def _catch(self, wave: Any, count: int, events: Any) -> int:
        caught = self._caught
        if wave and count > 0:
            caught.samples.append(np.ctypeslib.as_array(wave, shape=(count,)).copy())
        index = 0
        while events[index].type != _LIST_END:
            event = events[index]
            if event.type == _PHONEME:
                text = bytes(event.id.string).decode("utf-8", "ignore")
                caught.events.append((int(event.sample), text))
            index += 1
        return 0

    @cache  # noqa: B019 (one library for the life of the process)
    def languages(self) -> Mapping[str, str]:
        """Language codes, lower case, to the voice files that speak them."""
        with self.lock:
            rows = self._c.espeak_ListVoices(None)
            found: dict[str, str] = {}
            index = 0
            while rows[index]:
                row = rows[index].contents
                for code in _language_codes(row.languages):
                    found.setdefault(code.lower(), row.identifier.decode("utf-8", "replace"))
                index += 1
        return dict(sorted(found.items()))

    def set_voice(self, name: str) -> bool:
        """Choose a voice by its file ("gmw/de", "gmw/en-US+f3"); False if there is none of that name."""
        return int(self._c.espeak_SetVoiceByName(name.encode())) == 0

    def synthesise(self, text: str, words_per_minute: int) -> _Caught:
        """Speak with the voice that is set; the lock must be held."""
        self._caught = caught = _Caught()
        self._c.espeak_SetParameter(ctypes.c_int(_RATE), ctypes.c_int(words_per_minute), ctypes.c_int(0))
        raw = text.encode("utf-8") + b"\0"
        status = self._c.espeak_Synth(
            ctypes.c_char_p(raw),
            ctypes.c_size_t(len(raw)),
            ctypes.c_uint(0),
            ctypes.c_int(_CHARACTERS),
            ctypes.c_uint(0),
            ctypes.c_uint(_UTF8 | _END_PAUSE),
            None,
            None,
        )
        self._c.espeak_Synchronize()
        self._caught = _Caught()
        if status != 0:
            raise BackendError(f"espeak-ng could not say {text[:60]!r} (status {status}).")
        return caught


def _language_codes(raw: Any) -> list[str]:
    """Codes of a voice: each a byte of priority and text up to a zero; a zero ends the list."""
    codes, index = [], 0
    while raw[index] != b"\0":
        index += 1
        start = index
        while raw[index] != b"\0":
            index += 1
        codes.append(b"".join(raw[i] for i in range(start, index)).decode("ascii", "ignore"))
        index += 1
    return codes


def find_library() -> tuple[str, str | None] | None:
    """The library's file and its data folder (None: its own choice), or None if there is none."""
    given = os.environ.get(LIBRARY_VARIABLE)
    if given:
        return given, None
    try:
        import espeakng_loader
    except ImportError:
        pass
    else:
        path = Path(espeakng_loader.get_library_path())
        if path.is_file():
            return str(path), str(espeakng_loader.get_data_path())
    found = ctypes.util.find_library("espeak-ng") or next(
        (path for path in usual_places() if Path(path).is_file()), None
    )
    return (found, None) if found else None


def usual_places() -> tuple[str, ...]:
    """Files of the library where installers put them and the system does not look."""
    if sys.platform == "darwin":
        return tuple(f"{prefix}/lib/libespeak-ng.dylib" for prefix in ("/opt/homebrew", "/usr/local", "/opt/local"))
    if system.WINDOWS:
        folders = (os.environ.get(name, "") for name in ("ProgramFiles", "ProgramFiles(x86)"))
        return tuple(f"{folder}\\eSpeak NG\\libespeak-ng.dll" for folder in folders if folder)
    return ()


def _path_bytes(path: str) -> bytes:
    """A path as the library takes it.

    Raises:
        BackendError: it has letters that the system's code page lacks (Windows).
    """
    try:
        return path.encode(_PATH_ENCODING, "strict" if system.WINDOWS else "surrogateescape")
    except UnicodeEncodeError as error:
        raise BackendError(
            f"espeak-ng cannot find its data in {path!r}: its path has letters that this Windows does not know.",
            remedy="install this program in a folder with plain letters",
        ) from error


@cache
def library() -> Library:
    """Load the library.

    Raises:
        MissingDependency: it is not there. BackendError: it does not start.
    """
    found = find_library()
    if found is None:
        raise MissingDependency("espeakng_loader", extra="tts", purpose="Speech from text")
    try:
        return Library(*found)
    except (OSError, AttributeError) as error:
        raise BackendError(
            f"espeak-ng ({found[0]}) cannot be loaded: {error}.", remedy="pip install espeakng-loader"
        ) from error


def language_code(lang: str, known: Mapping[str, str]) -> str:
    """The library's code for a language.

    Raises:
        OptionError: it has none.
    """
    wanted = lang.strip().lower().replace("_", "-")
    for code in (LANGUAGE_ALIASES.get(wanted, wanted), wanted):
        if code in known:
            return code
    base = wanted.split("-")[0]
    if base != wanted and base:
        return language_code(base, known)
    near = [code for code in known if code.split("-")[0] == base]
    if near:
        return near[0]
    raise OptionError(
        f"espeak-ng does not speak {lang!r}.",
        accepted="one of " + ", ".join(known),
        remedy="talkinghead say --voices lists all languages",
    )


class EspeakVoice:
    """A voice of espeak-ng.

    Args:
        lang: language; regional forms that are unknown fall back to the language itself.
        variant: a variant of the voice ("f2", "m3", "croak"), or None.
        speed: 1 is the usual pace.
    Raises:
        MissingDependency: the library is not installed. OptionError: no such language or variant.
    """

    engine = "espeak"

    def __init__(self, lang: str, variant: str | None = None, speed: float = 1.0) -> None:
        self._library = library()
        self.sample_rate_hz = self._library.sample_rate_hz
        self.lang = language_code(lang, self._library.languages())
        known = variants(self._library)
        if variant is not None and known and variant not in known:
            raise OptionError(
                f"espeak-ng has no voice {variant!r}.", accepted=choices(known), remedy="leave it out for the usual one"
            )
        self.name = self.lang if variant is None else f"{self.lang}+{variant}"
        file = self._library.languages()[self.lang]
        self._file = file if variant is None else f"{file}+{variant}"
        self.words_per_minute = max(_RATE_MIN, round(WORDS_PER_MINUTE * speed))
        with self._library.lock:
            if not self._library.set_voice(self._file):
                raise OptionError(f"espeak-ng has no voice {self.name!r}.", accepted="a language and a variant of it")

    def speak(self, sentence: str) -> Spoken:
        with self._library.lock:
            self._library.renew()
            self._library.set_voice(self._file)
            caught = self._library.synthesise(sentence, self.words_per_minute)
        samples = np.concatenate([np.zeros(0, np.int16), *caught.samples])
        if len(samples) == 0:
            samples = np.zeros(self.sample_rate_hz // 10, np.int16)  # nothing audible, such as a lone sign
        clip = AudioClip(samples.astype(np.float32) / np.float32(32768), self.sample_rate_hz)
        phones = phones_of_events(caught.events, len(samples), self.sample_rate_hz)
        return Spoken(clip, with_closures(phones, clip), sentence)


def phones_of_events(events: list[tuple[int, str]], num_samples: int, sample_rate_hz: int) -> tuple[Phone, ...]:
    """Phones from the library's events.

    A sound lasts until the next one begins. Marks without a sound lengthen the sound before them; a sound of several
    phones ("ts") shares its time among them.

    Returns:
        From 0 to num_samples / sample_rate_hz without holes.
    """
    rate = float(sample_rate_hz)
    heard: list[tuple[int, tuple[str, ...]]] = []
    for sample, text in sorted(events, key=lambda event: event[0]):
        labels, _ = phones_of_ipa(text)
        if labels:
            heard.append((sample, labels))
    phones: list[Phone] = []
    for index, (start, labels) in enumerate(heard):
        stop = heard[index + 1][0] if index + 1 < len(heard) else num_samples
        time = start / rate
        parts = shares(labels)
        for number, (label, share) in enumerate(zip(labels, parts, strict=True), 1):
            end = stop / rate if number == len(parts) else time + share * (stop - start) / rate
            phones.append(Phone(time, end, label))
            time = end
    return fill_holes(phones, num_samples / rate)


def variants(loaded: Library) -> list[str]:
    """Names of voice variants, where the data folder is known."""
    if loaded.data is None:
        return []
    folder = loaded.data / "voices" / "!v"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
