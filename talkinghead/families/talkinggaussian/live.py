"""TalkingGaussian in live sessions: codes of speech as the sound arrives, and what a scene shows of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import torch

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray, Phone, Speech
from talkinghead.engine.listener import Listener, Told
from talkinghead.engine.live.face import LiveFace
from talkinghead.errors import OptionError
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.phone_features import (
    RADIUS,
    SETTLED_SAMPLES,
    LivePhoneRows,
    phone_rows,
    silent_row,
)
from talkinghead.families.talkinggaussian.renderer import HeadRenderer, SpeechCode, SpeechCodes
from talkinghead.families.talkinggaussian.scene import FPS
from talkinghead.families.talkinggaussian.windows import ROWS, ROWS_BEFORE

ROWS_AFTER = ROWS - ROWS_BEFORE - 1
"""Rows that a frame hears after its own."""
POSITIONS = 16
"""Per row, of the features that can be live."""


class RowStream(Protocol):
    """Rows of speech features of a sound that arrives in pieces."""

    def push(self, samples: FloatArray) -> FloatArray:
        """Take sound, [n] float32 at 16 kHz; give the rows that can no longer change, [k, positions, width]."""

    def flush(self) -> FloatArray:
        """The sound has ended: give the rest."""


class KnownPhoneRows:
    """Rows of a sentence whose phones are known."""

    def __init__(self, phones: tuple[Phone, ...]) -> None:
        self._phones = phones
        self._pieces: list[FloatArray] = []

    def push(self, samples: FloatArray) -> FloatArray:
        self._pieces.append(samples)
        return np.zeros((0, *silent_row().shape), np.float32)

    def flush(self) -> FloatArray:
        clip = AudioClip(np.concatenate([np.zeros(0, np.float32), *self._pieces]), SPEECH_RATE_HZ)
        rows = list(phone_rows(Speech(clip, clip, phones=self._phones)))
        return np.concatenate([np.zeros((0, *silent_row().shape), np.float32), *rows])


class LiveCodes(Listener[SpeechCode]):
    """What the audio networks understand of each frame, as soon as the rows of features around it are known.

    Args:
        rows: of this sound.
        lookahead_s: sound after the time of a frame that is needed for the last row that it hears.
        renderer: its audio networks.
        lock: held while networks listen, which all sessions share.
    """

    def __init__(self, rows: RowStream, lookahead_s: float, renderer: HeadRenderer, lock: threading.Lock) -> None:
        self._stream, self._lookahead_s, self._renderer, self._lock = rows, lookahead_s, renderer, lock
        self._num_samples = self._made = self._first = 0
        self._rows: SpeechCodes | None = None
        """Those of rows from `_first` on."""

    @property
    def lookahead_s(self) -> float:
        return self._lookahead_s

    def push(self, samples: FloatArray) -> list[SpeechCode]:
        self._num_samples += len(samples)
        with self._lock:
            self._add(self._stream.push(samples))
            return self._cut(self._known - ROWS_AFTER)

    def flush(self) -> list[SpeechCode]:
        if not self._num_samples:
            return []
        with self._lock:
            self._add(self._stream.flush())
            return self._cut(math.ceil(Fraction(self._num_samples, SPEECH_RATE_HZ) * FPS))

    def told(self) -> Told:
        return Told(method="live")

    @property
    def _known(self) -> int:
        return self._first + (0 if self._rows is None else len(self._rows))

    def _add(self, features: FloatArray) -> None:
        if len(features) or self._rows is None:
            new = coded(self._renderer, features)
            old = self._rows
            self._rows = (
                new if old is None else SpeechCodes(*map(torch.cat, ((old.face, new.face), (old.mouth, new.mouth))))
            )

    def _cut(self, stop: int) -> list[SpeechCode]:
        if stop <= self._made:
            return []
        assert self._rows is not None
        indices = np.arange(self._made, stop) - self._first
        codes = self._renderer.codes(self._rows, indices, POSITIONS)
        self._made = stop
        first = max(self._first, min(stop - ROWS_BEFORE, self._known))
        self._rows, self._first = self._rows[first - self._first :], first
        return list(codes)


def coded(renderer: HeadRenderer, features: FloatArray) -> SpeechCodes:
    """Rows of features one by one; [R, positions, width] to [R, 32] per network."""
    return renderer.audio_rows(np.ascontiguousarray(features.transpose(0, 2, 1)))


@dataclass(eq=False)
class LiveHearing:
    """What listens in the sessions of a head; a speech encoder is loaded when it is first needed."""

    config: TalkingGaussianConfig
    extractor: str
    load_encoder: Callable[[], Any]

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._encoder: Any = None
        self._silence: FloatArray | None = None

    def listener(self, renderer: HeadRenderer, phones: tuple[Phone, ...] | None = None) -> LiveCodes:
        """For one utterance.

        Args:
            phones: those of a sentence that is said, where they are known.
        Raises:
            OptionError: features that are made of the whole sound.
        """
        self._check()
        if self._hears_phones and phones is not None:
            return LiveCodes(KnownPhoneRows(phones), 0.0, renderer, self._lock)
        if self._hears_phones:
            return LiveCodes(LivePhoneRows(), PHONE_LOOKAHEAD_S, renderer, self._lock)
        from talkinghead.audio.encoders.wav2vec2 import EsperantoStream

        return LiveCodes(EsperantoStream(self._loaded()), ESPERANTO_LOOKAHEAD_S, renderer, self._lock)

    def rest(self, renderer: HeadRenderer) -> SpeechCode:
        """What is heard in silence."""
        self._check()
        with self._lock:
            if self._silence is None:
                self._silence = silent_row() if self._hears_phones else self._silent_esperanto()
            rows = coded(renderer, np.repeat(self._silence[None], ROWS, axis=0))
            return renderer.codes(rows, np.array([ROWS_BEFORE]), POSITIONS)[0]

    @property
    def _hears_phones(self) -> bool:
        return self.config.audio_features == "phones"

    def _loaded(self) -> Any:
        with self._lock:
            return self._load()

    def _load(self) -> Any:
        if self._encoder is None:
            self._encoder = self.load_encoder()
        return self._encoder

    def _silent_esperanto(self) -> FloatArray:
        from talkinghead.audio.encoders.wav2vec2 import esperanto_rows

        rows = np.concatenate(list(esperanto_rows(self._load(), np.zeros(2 * SPEECH_RATE_HZ, np.float32))))
        middle: FloatArray = rows[len(rows) // 2]
        return middle

    def _check(self) -> None:
        """Refuse what cannot be live."""
        if self.config.features is not None:
            raise OptionError(
                f"The features of {self.config.features} belong to one sound, and a live session hears another.",
                remedy="leave --features out",
            )
        if self.extractor == "deepspeech" and not self._hears_phones:
            raise OptionError(
                "DeepSpeech cannot be live: its network goes through the sound backwards too, and hears it at the "
                "level of the whole.",
                remedy="--audio-features phones, which stand in for its features",
            )
        if self.extractor == "hubert":
            raise OptionError(
                "A head that was trained on HuBERT features cannot be live: every row is heard with all sound before "
                "and after it, at the level of the whole sound.",
                accepted="heads of DeepSpeech features, driven by phones, and of Esperanto features",
                remedy="use frames() with each whole sentence",
            )


PHONE_LOOKAHEAD_S = (2 * ROWS_AFTER + 8 + RADIUS) / 50 + SETTLED_SAMPLES / SPEECH_RATE_HZ
"""The last row that a frame hears ends with row 2 (i + ROWS_AFTER) + 7 of logits; easing brings RADIUS more into it."""
ESPERANTO_LOOKAHEAD_S = 1.44
"""The last row that a frame hears may begin a block of a second, which is heard 0.2 s after its end."""


class LiveSceneFace(LiveFace[SpeechCode]):
    """A scene in one session: its poses and action units go on.

    Args:
        rest: what is heard in silence.
    """

    def __init__(self, rest: SpeechCode) -> None:
        self._rest = rest

    @property
    def rest(self) -> SpeechCode:
        return self._rest

    def eased(self, window: SpeechCode, share: float) -> SpeechCode:
        return SpeechCode(
            torch.lerp(self._rest.face, window.face, share), torch.lerp(self._rest.mouth, window.mouth, share)
        )

    def pose(self, index: int, window: SpeechCode) -> tuple[int, SpeechCode]:
        return index, window
