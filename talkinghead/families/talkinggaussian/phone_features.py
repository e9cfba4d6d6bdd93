"""Stand-in for DeepSpeech features without its network: the characters of recognised phones.

DeepSpeech says for every 20 ms how likely each character is. The phone recogniser of the package says which sound is
spoken; written as its usual character, eased in time and scaled like logits, this drives heads that were trained on
DeepSpeech features without any download. It is an approximation: it knows neither coarticulation nor the network's
own quirks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from talkinghead.audio.encoders.deepspeech import (
    BLOCK,
    CHARACTERS,
    ROW_FPS,
    WINDOW,
    WINDOW_PAD,
    WINDOW_STEP,
    Float64Array,
    logit_windows,
    num_logit_rows,
    num_windows,
)
from talkinghead.audio.live_phones import SoundOfPhones
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray, Phone, Speech

ALPHABET = " abcdefghijklmnopqrstuvwxyz'"
"""Characters of the logits in order; the last logit is the blank of the alignment."""
BLANK = CHARACTERS - 1
PEAK = 10.0
"""Size of a logit that is certain."""
EASE_S = 0.03
"""Standard deviation in time of the transitions."""
SETTLED_SAMPLES = 1800
"""Sound after a row of logits that is heard before its phone is told live: 40 ms of look-ahead of the network, half a
window, and 60 ms in which the search may change its mind."""
RADIUS = round(3 * EASE_S * ROW_FPS)
"""Rows over which they reach."""

SPELLING = {
    "AA": "a", "AE": "a", "AH": "u", "AO": "o", "AW": "ao", "AY": "ai", "B": "b", "CH": "c", "D": "d", "DH": "t",
    "EH": "e", "ER": "r", "EY": "ei", "F": "f", "G": "g", "HH": "h", "IH": "i", "IY": "y", "JH": "j", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "n", "OW": "ow", "OY": "oi", "P": "p", "R": "r", "S": "s", "SH": "c",
    "T": "t", "TH": "t", "UH": "u", "UW": "w", "V": "v", "W": "w", "Y": "y", "Z": "z", "ZH": "c",
}  # fmt: skip
"""Phone to the characters that are spoken one after the other."""


def phone_logits(speech: Speech, watch: Callable[[float, float], None] | None = None) -> FloatArray:
    """[num_logit_rows, CHARACTERS] float32 in [0, PEAK], 50 rows per second."""
    from talkinghead.audio.phones import recognise_phones

    phones = speech.phones if speech.phones is not None else recognise_phones(speech.clip, progress=watch).phones
    num_rows = num_logit_rows(len(speech.clip.samples))
    active = spelled_rows(phones, 0, num_rows)
    padded = np.pad(active, ((RADIUS, RADIUS), (0, 0)), mode="edge") if num_rows else active
    return eased_rows(padded).reshape(num_rows, CHARACTERS)


def spelled_rows(phones: Sequence[Phone], first: int, stop: int) -> Float64Array:
    """Which characters are spoken in rows [first, stop), [n, CHARACTERS]: 1, or 0."""
    active = np.zeros((stop - first, CHARACTERS))
    for phone in phones:
        spelled = SPELLING.get(phone.label)
        columns = [ALPHABET.index(character) for character in spelled] if spelled else [BLANK]
        bounds = np.linspace(phone.start_s, phone.end_s, len(columns) + 1)
        for column, start, end in zip(columns, bounds[:-1], bounds[1:], strict=True):
            begin = round(start * ROW_FPS)
            active[max(0, begin - first) : max(0, max(begin + 1, round(end * ROW_FPS)) - first), column] = 1
    return active


def eased_rows(active: Float64Array) -> FloatArray:
    """[n + 2 RADIUS, CHARACTERS] to the logits of the n rows in the middle, float32."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / (EASE_S * ROW_FPS)) ** 2)
    count = max(0, len(active) - 2 * RADIUS)
    eased = sum(weight * active[k : k + count] for k, weight in enumerate(weights / weights.sum()))
    return (PEAK * np.asarray(eased)).astype(np.float32)


def phone_rows(speech: Speech, watch: Callable[[float, float], None] | None = None) -> Iterator[FloatArray]:
    """Features of a speech, block by block: [R, 16, 29] float32."""
    logits = phone_logits(speech, watch)
    total = num_windows(len(speech.clip.samples))
    for start in range(0, total, BLOCK):
        yield logit_windows(logits, start, start + BLOCK)


class LivePhoneRows:
    """Features of a sound that arrives in pieces, by the phones that are known SETTLED_SAMPLES after each row of
    logits; the same however the sound is cut."""

    def __init__(self) -> None:
        self._sound = SoundOfPhones()
        self._active: Float64Array = np.zeros((0, CHARACTERS))
        """Rows from the first on that easing still needs; before the first row, itself."""
        self._spelled = 0
        """Rows of logits whose characters are known."""
        self._logits: FloatArray = np.zeros((WINDOW_PAD, CHARACTERS), np.float32)
        """What further windows need."""
        self._made = 0

    def push(self, samples: FloatArray) -> FloatArray:
        """Take sound, [n] float32 at 16 kHz; give the rows that are known now, [k, 16, 29]."""
        self._sound.push(samples)
        while self._needed(self._spelled) <= self._sound.num_samples:
            self._spell()
        return self._windows()

    def flush(self) -> FloatArray:
        """The sound has ended: give the rest."""
        samples = self._sound.num_samples
        total, windows = num_logit_rows(samples), num_windows(samples)
        if total:
            self._sound.pad(self._needed(total - 1))
            while self._spelled < total:
                self._spell()
            self._active = np.concatenate([self._active, np.repeat(self._active[-1:], RADIUS, axis=0)])
        self._logits = np.concatenate([self._logits, self._eased()])
        missing = WINDOW_STEP * (windows - self._made - 1) + WINDOW - len(self._logits)
        self._logits = np.concatenate([self._logits, np.zeros((max(0, missing), CHARACTERS), np.float32)])
        return self._cut(windows - self._made)

    def _needed(self, row: int) -> int:
        return (row + 1) * SPEECH_RATE_HZ // ROW_FPS + SETTLED_SAMPLES

    def _spell(self) -> None:
        row = self._spelled
        self._sound.hear(self._needed(row))
        spoken = spelled_rows(self._sound.phones.phones(), row, row + 1)
        self._active = np.concatenate([self._active, np.repeat(spoken, 1 if row else 1 + RADIUS, axis=0)])
        self._spelled += 1

    def _eased(self) -> FloatArray:
        logits = eased_rows(self._active).reshape(-1, CHARACTERS)
        self._active = self._active[len(logits) :]
        return logits

    def _windows(self) -> FloatArray:
        self._logits = np.concatenate([self._logits, self._eased()])
        return self._cut(max(0, (len(self._logits) - WINDOW) // WINDOW_STEP + 1))

    def _cut(self, count: int) -> FloatArray:
        index = WINDOW_STEP * np.arange(max(0, count))[:, None] + np.arange(WINDOW)
        windows: FloatArray = self._logits[index]
        self._logits, self._made = self._logits[WINDOW_STEP * len(windows) :], self._made + len(windows)
        return windows


def silent_row() -> FloatArray:
    """What is heard in silence, [16, 29]."""
    row = np.zeros((WINDOW, CHARACTERS), np.float32)
    row[:, BLANK] = PEAK
    return row
