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
    Float64Array,
    logit_windows,
    num_logit_rows,
    num_windows,
)
from talkinghead.contracts import FloatArray, Phone, Speech

ALPHABET = " abcdefghijklmnopqrstuvwxyz'"
"""Characters of the logits in order; the last logit is the blank of the alignment."""
BLANK = CHARACTERS - 1
PEAK = 10.0
"""Size of a logit that is certain."""
EASE_S = 0.03
"""Standard deviation in time of the transitions."""
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
