"""Stand-in for DeepSpeech features without its network: the characters of recognised phones.

DeepSpeech says for every 20 ms how likely each character is. The phone recogniser of the package says which sound is
spoken; written as its usual character, eased in time and scaled like logits, this drives heads that were trained on
DeepSpeech features without any download. It is an approximation: it knows neither coarticulation nor the network's
own quirks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from talkinghead.audio.encoders.deepspeech import (
    BLOCK,
    CHARACTERS,
    ROW_FPS,
    logit_windows,
    num_logit_rows,
    num_windows,
)
from talkinghead.contracts import FloatArray, Speech

ALPHABET = " abcdefghijklmnopqrstuvwxyz'"
"""Characters of the logits in order; the last logit is the blank of the alignment."""
BLANK = CHARACTERS - 1
PEAK = 10.0
"""Size of a logit that is certain."""
EASE_S = 0.03
"""Standard deviation in time of the transitions."""

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
    active = np.zeros((num_rows, CHARACTERS))
    for phone in phones:
        spelled = SPELLING.get(phone.label)
        columns = [ALPHABET.index(character) for character in spelled] if spelled else [BLANK]
        bounds = np.linspace(phone.start_s, phone.end_s, len(columns) + 1)
        for column, start, stop in zip(columns, bounds[:-1], bounds[1:], strict=True):
            active[round(start * ROW_FPS) : max(round(start * ROW_FPS) + 1, round(stop * ROW_FPS)), column] = 1
    radius = round(3 * EASE_S * ROW_FPS)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (EASE_S * ROW_FPS)) ** 2)
    padded = np.pad(active, ((radius, radius), (0, 0)), mode="edge") if num_rows else active
    eased = sum(weight * padded[k : k + num_rows] for k, weight in enumerate(weights / weights.sum()))
    return (PEAK * np.asarray(eased)).astype(np.float32).reshape(num_rows, CHARACTERS)


def phone_rows(speech: Speech, watch: Callable[[float, float], None] | None = None) -> Iterator[FloatArray]:
    """Features of a speech, block by block: [R, 16, 29] float32."""
    logits = phone_logits(speech, watch)
    total = num_windows(len(speech.clip.samples))
    for start in range(0, total, BLOCK):
        yield logit_windows(logits, start, start + BLOCK)
