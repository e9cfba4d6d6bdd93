"""Phones of sound that arrives bit by bit.

    windows of sound → features → network → search → phones until REACH_FRAMES - LIVE_AHEAD before the last window

Of the witnesses of `phones` only the spectrum and the level are heard, by a network that looks less far ahead. The
search tells the row of phones that suits best what was heard so far; what comes may still change the last ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.articulation import (
    HOP_S,
    HOP_SAMPLES,
    LABELS,
    LIVE_AHEAD,
    NUM_FEATURES,
    REACH_FRAMES,
    REACHES,
    WINDOW_SAMPLES,
    Tables,
    hidden_layer,
    live_tables,
)
from talkinghead.audio.live_features import HeardFrames, LiveFeatures
from talkinghead.audio.mouth import MouthConfig, loudness_gain
from talkinghead.audio.phone_search import PhoneSearch
from talkinghead.audio.phones import BILABIALS, SILENT, ListeningConfig, log_normalised
from talkinghead.contracts import FloatArray, Phone

LOOKAHEAD_FRAMES = REACH_FRAMES - LIVE_AHEAD
"""How many windows after a hundredth of a second are heard before its phone is known."""
LIVE_LISTENING = ListeningConfig(bilabial_bonus=1.0)
"""Without all-phone recognition, which misses p, b, m, these need less of a bonus."""
SHORTEST_PAUSE = 10
"""Hundredths of a second below the level of voice from which on they are a pause, not the closure of a stop."""
REMEMBERED = 60
"""Hundredths of a second for which the best row of phones may still change."""
KEPT = 100
"""Hundredths of a second whose phones are kept."""


LEAST_VARIETY = 0.5
"""Nats of `Variety` under which sound is no speech. Speech of nine languages gives 0.8 or more, 0.7 over music 10 dB
softer; noise and hum give at most 0.1, melodies, bands, birds and engines at most 0.55."""
VARIETY_FADE_FRAMES = 150.0
FIRST_FRAMES, ALL_FRAMES = 30.0, 100.0
"""Frames of sound from which on variety is asked for, and from which on all of it; between them, as much less."""
NOT_SPOKEN = 20.0
"""Added for silence where no speech is heard."""

Witness = Callable[[HeardFrames, FloatArray], None]
"""Is told of the hundredths of a second that were heard next, and of the log probabilities [n, 40] of the phones of
those that can be told now, LOOKAHEAD_FRAMES before them."""


class Variety:
    """How much time tells of the phones that the network sees (their mutual information, older sound fading).

    Speech moves from one clear phone to the next. What nobody says either looks like one phone for long, or like many
    at once.
    """

    def __init__(self) -> None:
        self._seen, self._doubt, self._frames = np.zeros(len(LABELS)), 0.0, 0.0

    def add(self, log_probability: FloatArray, *, active: bool) -> None:
        """Take what is seen next; [40] log probabilities."""
        keep = 1.0 - 1.0 / VARIETY_FADE_FRAMES
        self._seen, self._doubt, self._frames = keep * self._seen, keep * self._doubt, keep * self._frames
        if active:
            probability = np.exp(log_probability)
            self._seen += probability
            self._doubt -= float(probability @ log_probability)
            self._frames += 1.0

    @property
    def is_speech(self) -> bool:
        """Whether it may be speech; of few frames it may."""
        asked = LEAST_VARIETY * min((self._frames - FIRST_FRAMES) / (ALL_FRAMES - FIRST_FRAMES), 1.0)
        if asked <= 0:
            return True
        mean = self._seen / self._frames
        return float(-(mean @ np.log(mean + 1e-9))) - self._doubt / self._frames >= asked


class NetworkStream:
    """`articulation.network` over features that arrive bit by bit; before them there is silence.

    Args:
        silence: [29] features of digital silence.
    """

    def __init__(self, fitted: Tables, silence: FloatArray) -> None:
        self._fitted = fitted
        widths = (NUM_FEATURES, *(len(bias) for bias in fitted.biases[: len(REACHES) - 1]))
        self._held = [np.zeros((reach, width), np.float32) for reach, width in zip(REACHES, widths, strict=True)]
        self.push(np.repeat(silence[None], LIVE_AHEAD, axis=0))

    def push(self, features: FloatArray) -> FloatArray:
        """Take the next features; give log probabilities of the phones of those that can be told now, [n, 40]."""
        hidden = features
        for layer, reach in enumerate(REACHES):
            inputs = np.concatenate((self._held[layer], hidden))
            self._held[layer] = inputs[max(len(inputs) - 2 * reach, 0) :]
            if len(inputs) <= 2 * reach:
                return np.zeros((0, len(LABELS)), np.float32)
            hidden = hidden_layer(inputs, layer, self._fitted)
        return log_normalised(hidden @ self._fitted.weights[-1] + self._fitted.biases[-1])


class LivePhones:
    """Finds the phones of sound that arrives bit by bit; made for one sound.

    Memory does not grow with length. Before the sound there is silence.

    Args:
        witness: is told of everything that is heard, in order.
    """

    def __init__(self, config: ListeningConfig = LIVE_LISTENING, witness: Witness | None = None) -> None:
        self._witness = witness
        fitted = live_tables()
        self._config = config
        self._features = LiveFeatures(fitted.typical)
        self._network = NetworkStream(fitted, self._features.silence())
        self._search = PhoneSearch(
            fitted,
            sequence_weight=config.sequence_weight,
            change_cost=config.change_cost,
            resting=True,
            remembered=REMEMBERED,
        )
        self._variety = Variety()
        self._num = 0  # hundredths whose phones are known
        self._labels = np.zeros(KEPT, np.int16)  # of the last of them
        # Of the last KEPT + LOOKAHEAD_FRAMES hundredths heard:
        self._active = np.zeros(KEPT + LOOKAHEAD_FRAMES, np.bool_)
        self._level = np.full(KEPT + LOOKAHEAD_FRAMES, -100.0, np.float32)
        self._loud = np.zeros(KEPT + LOOKAHEAD_FRAMES, np.float32)
        self._gains: dict[tuple[int, int, str], float] = {}

    def push(self, windows: FloatArray) -> None:
        """Hear the next hundredths of a second.

        Args:
            windows: [n, 400] float32, the sound around each.
        """
        heard = self._features.push(windows)
        self._active = np.concatenate((self._active, heard.active))
        self._level = np.concatenate((self._level, heard.level_db))
        self._loud = np.concatenate((self._loud, heard.loud_db))
        evidence = self._network.push(heard.features)
        if self._witness is not None:
            self._witness(heard, evidence.copy())
        first = len(self._active) - LOOKAHEAD_FRAMES - len(evidence)
        for k, row in enumerate(evidence):
            self._variety.add(row, active=bool(self._active[first + k]))
            row[BILABIALS] += self._config.bilabial_bonus
            row[SILENT] += self._silence(first + k) + (0.0 if self._variety.is_speech else NOT_SPOKEN)
            self._search.step(row)
        self._num += len(evidence)
        path = self._search.path(unfinished=True)
        self._labels = np.concatenate((self._labels, np.zeros(len(evidence), np.int16)))
        self._labels[len(self._labels) - len(path) :] = path
        self._labels = self._labels[-KEPT:]
        kept = KEPT + LOOKAHEAD_FRAMES
        self._active, self._level, self._loud = self._active[-kept:], self._level[-kept:], self._loud[-kept:]

    def _silence(self, index: int) -> float:
        """The level's word on silence: for it in pauses, against it within speech.

        Args:
            index: in what is kept.
        """
        if self._active[index]:
            return -0.5 * self._config.silence_bonus
        around = self._active[index + 1 - SHORTEST_PAUSE : index + LOOKAHEAD_FRAMES + 1]
        before, after = around[SHORTEST_PAUSE - 1 :: -1], around[SHORTEST_PAUSE - 1 :]
        length = _length_of_false(before) + _length_of_false(after) - 1
        return self._config.silence_bonus if length >= SHORTEST_PAUSE else 0.0

    def phones(self) -> list[Phone]:
        """Those of the last second, without holes; the last one goes on, and the first one began earlier."""
        labels = self._labels
        first = self._num - len(labels)
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        return [
            Phone((first + a - 0.5) * HOP_S, (first + b - 0.5) * HOP_S, LABELS[labels[a]])
            for a, b in itertools.pairwise(edges)
        ]

    def gains(self, phones: list[Phone], config: MouthConfig) -> list[float]:
        """`loudness_gain` of each phone, against the loud level by what was heard until its end."""
        out = {}
        start = self._num - len(self._labels)
        for phone in phones:
            first, last = round(phone.start_s / HOP_S + 0.5), round(phone.end_s / HOP_S + 0.5)
            key = (first, last, phone.label)
            gain = self._gains.get(key)
            if gain is None:
                levels = self._level[first - start : last - start]
                gain = loudness_gain(phone.label, levels, float(self._loud[last - 1 - start]), config)
            out[key] = gain
        self._gains = out
        return list(out.values())


class SoundOfPhones:
    """Sound that arrives bit by bit, cut into the windows that `LivePhones` hears; before it there is silence.

    Args:
        witness: see `LivePhones`.
    """

    def __init__(self, witness: Witness | None = None) -> None:
        self.phones = LivePhones(witness=witness)
        self.num_samples = 0
        """That have come."""
        self._samples = np.zeros(WINDOW_SAMPLES // 2, np.float32)
        self._begin = -len(self._samples)  # where they begin, in samples of the sound
        self._pieces: list[FloatArray] = []
        self._heard = 0

    def push(self, samples: FloatArray) -> None:
        """Take sound, [n] float32 at 16 kHz, any n."""
        if len(samples):
            self._pieces.append(np.array(samples, np.float32))
            self.num_samples += len(samples)

    def pad(self, num_samples: int) -> None:
        """Silence follows what has come, until there are so many samples."""
        if num_samples > self.num_samples:
            self.push(np.zeros(num_samples - self.num_samples, np.float32))

    def hear(self, num_samples: int) -> None:
        """Hear the windows that lie within so many samples, which must have come."""
        count = (num_samples - WINDOW_SAMPLES // 2) // HOP_SAMPLES + 1
        if count <= self._heard:
            return
        self._samples = np.concatenate((self._samples, *self._pieces))
        self._pieces = []
        starts = np.arange(self._heard, count) * HOP_SAMPLES - WINDOW_SAMPLES // 2 - self._begin
        self.phones.push(self._samples[starts[:, None] + np.arange(WINDOW_SAMPLES)])
        self._heard = count
        keep = count * HOP_SAMPLES - WINDOW_SAMPLES // 2 - self._begin
        self._samples, self._begin = self._samples[keep:].copy(), self._begin + keep


def _length_of_false(values: NDArray[np.bool_]) -> int:
    """How many are false before the first that is true."""
    return int(values.argmax()) if values.any() else len(values)
