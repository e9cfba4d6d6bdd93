"""What an agent sent, in order, until it was heard: sound, and things that have their place in it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

ThingT = TypeVar("ThingT")

ROUNDING_S = Fraction(1, 500)
"""Sound that was resampled may be a few samples shorter than it was."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Sound as it was sent."""

    samples: NDArray[np.int16]
    """[n, channels] int16."""
    sample_rate_hz: int
    origin: Any = None
    """What it came in; given back with the sound."""
    keeps: bool = False
    """Whether an interruption leaves it."""

    @property
    def seconds(self) -> Fraction:
        """How long it is."""
        return Fraction(len(self.samples), self.sample_rate_hz)


@dataclass(frozen=True, eq=False)
class Sent:
    """Sound in its place."""

    utterance: int
    starts: Fraction
    """Seconds from the beginning of the utterance."""
    piece: Piece

    @property
    def ends(self) -> Fraction:
        return self.starts + self.piece.seconds


@dataclass(frozen=True, eq=False)
class Mark(Generic[ThingT]):
    """A thing in its place."""

    utterance: int
    ends: Fraction
    """The sound before it, in seconds of the utterance."""
    thing: ThingT
    is_end: bool
    """Behind the whole utterance, with whatever rounding left of it."""
    keeps: bool
    """Whether an interruption leaves it."""


class Ledger(Generic[ThingT]):
    """See the module. Things are whatever has its place between sounds: the end of a turn, a caption, an event."""

    def __init__(self) -> None:
        self._waiting: deque[Sent | Mark[ThingT]] = deque()
        self._sent = (0, Fraction(0))
        """The latest utterance, and seconds of it that were sent."""
        self._heard = (1, Fraction(0))
        """The utterance that is heard now or next, and seconds of it that were heard."""

    def sound(self, utterance: int, piece: Piece) -> None:
        """Sound was sent, as part of an utterance; numbers of utterances rise."""
        latest, seconds = self._sent
        if utterance != latest:
            seconds = Fraction(0)
        self._waiting.append(Sent(utterance, seconds, piece))
        self._sent = (utterance, seconds + piece.seconds)

    def mark(self, thing: ThingT, *, is_end: bool = False, keeps: bool = False) -> None:
        """A thing has its place behind all sound that was sent.

        Args:
            is_end: the utterance ends here.
            keeps: an interruption leaves it.
        """
        utterance, seconds = self._sent
        self._waiting.append(Mark(utterance, seconds, thing, is_end, keeps))

    def heard(self, utterance: int, seconds: Fraction, *, is_last: bool) -> None:
        """More of an utterance was heard; with `is_last` all of it."""
        latest, before = self._heard
        if utterance < latest:
            return
        self._heard = (utterance, seconds + (before if utterance == latest else 0))
        if is_last:
            self._heard = (utterance + 1, Fraction(0))

    def due(self) -> list[ThingT]:
        """Things whose time has come: all sound before them was heard. They are let go."""
        things = []
        while self._waiting:
            first = self._waiting[0]
            if not self._is_heard(first):
                break
            self._waiting.popleft()
            if isinstance(first, Mark):
                things.append(first.thing)
        return things

    def _is_heard(self, entry: Sent | Mark[ThingT]) -> bool:
        utterance, seconds = self._heard
        if entry.utterance != utterance:
            return entry.utterance < utterance
        if isinstance(entry, Mark) and entry.is_end:
            return False  # until the utterance says itself that it has ended
        return entry.ends <= seconds + ROUNDING_S

    @property
    def playing(self) -> Piece | None:
        """The sound that is heard now or next."""
        waiting = (entry for entry in self._waiting if isinstance(entry, Sent) and not self._is_heard(entry))
        first = next(waiting, None)
        return None if first is None else first.piece

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def things(self) -> list[ThingT]:
        """The things that wait."""
        return [entry.thing for entry in self._waiting if isinstance(entry, Mark)]

    def rest(self) -> list[Sent | Mark[ThingT]]:
        """Everything that waits, in order, without what of the first sound was heard. It is let go."""
        utterance, seconds = self._heard
        entries = list(self._waiting)
        self._waiting.clear()
        self._heard = (self._sent[0] + 1, Fraction(0))
        rest: list[Sent | Mark[ThingT]] = []
        for entry in entries:
            if isinstance(entry, Sent) and entry.utterance <= utterance:
                piece = entry.piece
                heard_s = seconds - entry.starts if entry.utterance == utterance else piece.seconds
                skipped = max(0, round(heard_s * piece.sample_rate_hz))
                if skipped >= len(piece.samples):
                    continue
                piece = replace(piece, samples=piece.samples[skipped:])
                entry = Sent(entry.utterance, entry.ends - piece.seconds, piece)
            rest.append(entry)
        return rest
