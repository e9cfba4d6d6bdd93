"""Listening: sound in pieces to one conditioning window per video frame.

    listener = head.listener(avatar, fps, run)
    for piece in sound:
        windows += listener.push(piece)        # those that can no longer change
    windows += listener.flush()                # the rest

The law that every listener keeps: however the sound is cut, the windows are the same. Offline is the listener given the
whole sound at once. A window depends on no sound later than `lookahead_s` after the time of its frame; where something
is computed over the whole sound, `lookahead_s` is infinite, nothing comes before `flush`, and the family's manifest
names what it is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, overload

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray, Phone

WindowT = TypeVar("WindowT")
"""What a model hears of one video frame."""


class Told(NamedTuple):
    """What there is to say of a sound that was listened to."""

    method: str = ""
    """How it was understood, for the report."""
    phones: tuple[Phone, ...] | None = None
    """Those that the windows were made from; None where none are recognised."""
    notes: tuple[str, ...] = ()
    """What a reader of the report should know, as sentences."""


@dataclass(frozen=True, eq=False)
class Heard(Generic[WindowT]):
    """What a model understood of a sound."""

    windows: Sequence[WindowT]
    """One per output frame, from the first. While the sound still arrives it grows: frame i is worked on only once
    window i is there, and a slice gives those that are. Then those of frames that left long ago are let go
    (`RecentWindows`). While a whole sound is still listened to, whoever asks for a window waits for it."""
    told: Callable[[], Told] = Told
    """Waits until all has been listened to."""

    @property
    def method(self) -> str:
        """See `Told`."""
        return self.told().method

    @property
    def phones(self) -> tuple[Phone, ...] | None:
        """See `Told`."""
        return self.told().phones

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Told`."""
        return self.told().notes


class Listener(ABC, Generic[WindowT]):
    """Turns 16 kHz sound into windows; made for one sound."""

    @property
    @abstractmethod
    def lookahead_s(self) -> float:
        """Sound after a frame's time that its window needs, in seconds; `math.inf` where it is all of it."""

    @abstractmethod
    def push(self, samples: FloatArray) -> Sequence[WindowT]:
        """Take sound, [n] float32 at 16 kHz, any n; give the windows that can no longer change."""

    @abstractmethod
    def flush(self) -> Sequence[WindowT]:
        """The sound has ended: give the rest, so that there are as many windows as the sound has frames."""

    def told(self) -> Told:
        """What there is to say of the sound; to be asked after `flush`, and waits until all has been listened to."""
        return Told()


class RecentWindows(Sequence[WindowT]):
    """Windows of a sound that goes on: all are counted, the latest are there. Different threads may add and read.

    Args:
        behind: how many are kept of frames that have left; who looks back further gets an IndexError.
    """

    def __init__(self, behind: int = 256) -> None:
        self._behind = behind
        self._kept: dict[int, WindowT] = {}
        self._num = 0

    def extend(self, windows: Iterable[WindowT]) -> None:
        """Add the next ones."""
        for window in windows:
            self._kept[self._num] = window
            self._num += 1

    def has_left(self, index: int) -> None:
        """A frame has left: what lies far enough behind it is let go. To be called for every frame, in order."""
        self._kept.pop(index - self._behind, None)

    def __len__(self) -> int:
        """Of all that ever came."""
        return self._num

    @overload
    def __getitem__(self, index: int) -> WindowT: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[WindowT]: ...

    def __getitem__(self, index: int | slice) -> WindowT | Sequence[WindowT]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._num))]
        number = index + self._num if index < 0 else index
        if number not in self._kept:
            raise IndexError(f"window {index} of {self._num} is not there (any more)")
        return self._kept[number]


class WholeSound(Listener[WindowT]):
    """Listens to a sound once it is complete.

    Args:
        hear: what the model understands of a whole sound: 16 kHz mono in, everything that there is to know out.
    """

    def __init__(self, hear: Callable[[AudioClip], Heard[WindowT]]) -> None:
        self._hear = hear
        self._pieces: list[FloatArray] = []
        self._heard: Heard[WindowT] | None = None

    @property
    def lookahead_s(self) -> float:
        return math.inf

    def push(self, samples: FloatArray) -> Sequence[WindowT]:
        if len(samples):
            self._pieces.append(samples)
        return ()

    def flush(self) -> Sequence[WindowT]:
        pieces, self._pieces = self._pieces, []
        samples = pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, np.float32), *pieces])
        del pieces  # a long sound: freed as soon as it has been listened to
        self._heard = self._hear(AudioClip(samples, SPEECH_RATE_HZ))
        return self._heard.windows

    def told(self) -> Told:
        return Told() if self._heard is None else self._heard.told()


def hear_all(listener: Listener[WindowT], pieces: Iterable[FloatArray]) -> Heard[WindowT]:
    """Give a listener a whole sound, in one or more pieces."""
    parts = [listener.push(piece) for piece in pieces]
    parts.append(listener.flush())
    parts = [part for part in parts if len(part)]
    windows: Sequence[WindowT] = parts[0] if len(parts) == 1 else [window for part in parts for window in part]
    return Heard(windows, listener.told)
