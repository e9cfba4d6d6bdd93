"""One utterance of a live session: sound that comes in pieces, and what is heard in each of its frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Generic

import numpy as np

from talkinghead.bounds import Between
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.engine.listener import Listener, WindowT
from talkinghead.errors import InputError, OptionError
from talkinghead.media.resampling import PromptResampler

RATES = Between(1_000, 768_000)
"""Sample rates that are taken, Hz."""
MOST_CHANNELS = 64


def mono(samples: Any, sample_rate_hz: int) -> tuple[FloatArray, int]:
    """Sound as it is pushed, checked.

    Args:
        samples: [n] or [n, channels], float in [-1, 1] or int16; channels are averaged.
    Returns:
        [n] float32 in [-1, 1], a copy, and how many samples of it were no finite numbers: they are silence now.
    Raises:
        InputError: another shape or kind. OptionError: no such sample rate.
    """
    if not RATES.holds(sample_rate_hz):
        raise OptionError(f"Sound of {sample_rate_hz} Hz was pushed.", accepted=f"{RATES} Hz")
    values = np.asarray(samples)
    fits = values.ndim == 1 or (values.ndim == 2 and 1 <= values.shape[1] <= MOST_CHANNELS)
    if not fits or values.dtype not in (np.float32, np.float64, np.float16, np.int16):
        raise InputError(
            f"Sound of the shape {list(values.shape)} and the type {values.dtype} was pushed.",
            accepted="[n] or [n, channels], float in [-1, 1] or int16",
        )
    sound = values.astype(np.float32) / np.float32(32768) if values.dtype == np.int16 else values.astype(np.float32)
    if sound.ndim == 2:
        sound = sound.mean(axis=1, dtype=np.float32)
    wrong = ~np.isfinite(sound)
    cleaned = int(np.count_nonzero(wrong))
    if cleaned:
        sound[wrong] = 0
    return np.clip(sound, -1, 1), cleaned


class Rates:
    """Sound at whatever rates it comes, at one rate."""

    def __init__(self, rate_out_hz: int) -> None:
        self._rate_out_hz = rate_out_hz
        self._rate_in_hz = 0
        self._resampler: PromptResampler | None = None

    def push(self, sound: FloatArray, sample_rate_hz: int) -> FloatArray:
        """Take [n] float32; give what is ready, [m] float32."""
        before = self.finish() if sample_rate_hz != self._rate_in_hz else None
        if self._resampler is None:
            self._rate_in_hz = sample_rate_hz
            self._resampler = PromptResampler(sample_rate_hz, self._rate_out_hz)
        out = self._resampler.push(sound)
        return out if before is None else np.concatenate([before, out])

    def finish(self) -> FloatArray:
        """The rest of what came."""
        resampler, self._resampler, self._rate_in_hz = self._resampler, None, 0
        return np.zeros(0, np.float32) if resampler is None else resampler.finish()


class Ears(Generic[WindowT]):
    """Turns the pieces of an utterance into sound that is played and windows that are shown; keeps no lock.

    Args:
        listener: of the utterance's family.
        sample_rate_hz: of the sound that is played.
    """

    def __init__(self, listener: Listener[WindowT], sample_rate_hz: int) -> None:
        self._listener = listener
        self._played, self._heard = Rates(sample_rate_hz), Rates(SPEECH_RATE_HZ)

    def push(self, sound: FloatArray, sample_rate_hz: int) -> tuple[FloatArray, Sequence[WindowT]]:
        """What can no longer change: sound to be played, and windows."""
        heard = self._heard.push(sound, sample_rate_hz)
        return _within(self._played.push(sound, sample_rate_hz)), self._listener.push(heard)

    def finish(self) -> tuple[FloatArray, Sequence[WindowT]]:
        """The rest."""
        windows = [*self._listener.push(self._heard.finish()), *self._listener.flush()]
        return _within(self._played.finish()), windows


def _within(sound: FloatArray) -> FloatArray:
    """Sound in [-1, 1]: at another rate, loud sound reaches beyond."""
    return np.clip(sound, -1, 1)


class Utterance(Generic[WindowT]):
    """What is said from one silence to the next. Guarded by the session's lock.

    Args:
        number: as the session counts them.
        begun: when its first sound came, seconds of the session's clock.
    """

    def __init__(self, number: int, begun: float) -> None:
        self.number = number
        self.begun = begun
        self.latest = begun
        """When its latest sound came."""
        self.pushed_s = 0.0
        """Seconds of sound that have come."""
        self.played_s = 0.0
        """Seconds of it that were given out."""
        self.is_closed = False
        """Nothing more is pushed."""
        self.is_dropped = False
        """It was interrupted."""
        self.has_begun = False
        """Its first frame was given out."""
        self.has_ended = False
        """All that was pushed has been listened to."""
        self.is_told = False
        """A frame is settled with which it ends."""
        self.shown = 0
        """Frames that are settled."""
        self._flows = False
        self._sound: deque[FloatArray] = deque()
        self._num_sound = 0
        self._windows: deque[WindowT] = deque()

    def add(self, sound: FloatArray, windows: Iterable[WindowT]) -> None:
        """What its ears gave."""
        if len(sound):
            self._sound.append(sound)
            self._num_sound += len(sound)
        self._windows.extend(windows)

    @property
    def is_over(self) -> bool:
        """Whether all of its sound is settled."""
        return self.has_ended and self._num_sound == 0

    def can_go_on(self, num_samples: int, cushion: int) -> bool:
        """Whether the next frame can be settled.

        Args:
            num_samples: of its sound.
            cushion: samples that must be there beyond it where the utterance begins or broke off.
        """
        if self.has_ended:
            return True
        wanted = num_samples if self._flows else num_samples + cushion
        return bool(self._windows) and self._num_sound >= wanted

    def break_off(self) -> bool:
        """The next frame cannot be settled and is due; whether it was going on until now."""
        flowed, self._flows = self._flows, False
        return flowed

    def take(self, num_samples: int) -> tuple[FloatArray, int, WindowT | None]:
        """Sound of the next frame, how many samples of it come before its end (the rest is silence), and its window;
        None where a rounded-up frame has none."""
        self._flows = True
        self.shown += 1
        parts: list[FloatArray] = []
        missing = num_samples
        while missing and self._sound:
            part = self._sound.popleft()
            if len(part) > missing:
                self._sound.appendleft(part[missing:])
                part = part[:missing]
            parts.append(part)
            missing -= len(part)
        self._num_sound -= num_samples - missing
        parts.append(np.zeros(missing, np.float32))
        return np.concatenate(parts), num_samples - missing, self._windows.popleft() if self._windows else None
