"""A live session as an agent uses it: what it sent comes out in order, and the sound goes on if the head fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, Picture
from talkinghead.engine.live import LiveSession
from talkinghead.errors import InputError
from talkinghead.live.ledger import Ledger, Mark, Piece, Sent, ThingT
from talkinghead.live.still import still_session

_log = logging.getLogger("talkinghead.live")

FULL_S = 300.0
"""Seconds of speech that may wait before a sender is held."""
_HELD_S = 0.05


@dataclass(frozen=True, eq=False)
class Beat(Generic[ThingT]):
    """A moment of the session as it is shown."""

    things: tuple[ThingT, ...]
    """Whose time has come: the sound before them has ended."""
    picture: Frame | Picture | None
    """None: the one before is shown on."""
    sound: FloatArray | None
    """[n] float32 in [-1, 1], mono, at the session's rate; None where nothing is said."""
    origin: Any = None
    """Of the sound, as it was pushed."""
    failure: BaseException | None = None
    """Why the head shows nothing new from now on."""


class Feed(Generic[ThingT]):
    """See the module. All methods are for one event loop.

    Args:
        session: of any head; whoever opened it closes it. It must not be iterated by others.
    """

    def __init__(self, session: LiveSession[Any]) -> None:
        self._first, self._session = session, session
        self._still: LiveSession[Any] | None = None
        self._ledger: Ledger[ThingT] = Ledger()
        self._is_speaking = False
        """Whether sound was sent since the latest end."""
        self._picture: Frame | Picture | None = None
        self.cleared = 0
        """Counts interruptions: what was taken before one is not shown after it."""
        self.failure: BaseException | None = None
        """What ended the head."""

    @property
    def session(self) -> LiveSession[Any]:
        """The one that plays: after a failure the one without a model."""
        return self._session

    # In ---------------------------------------------------------------------------------------------------------------

    def push(self, piece: Piece) -> None:
        """Take speech.

        Raises:
            InputError, OptionError: as `LiveSession.push`.
        """
        if len(piece.samples):
            self._ledger.sound(self._session.push(piece.samples, piece.sample_rate_hz), piece)
            self._is_speaking = True

    async def push_when_there_is_room(self, piece: Piece) -> None:
        """As `push`, but not before less than five minutes of speech wait; not at all if it is interrupted first."""
        cleared = self.cleared
        while self._session.stats().waiting_s > FULL_S:
            await asyncio.sleep(_HELD_S)
        if cleared == self.cleared:
            self.push(piece)

    def end_turn(self) -> bool:
        """The speech that was sent has ended; whether there was any since the latest end."""
        spoke, self._is_speaking = self._is_speaking, False
        if spoke:
            self._session.end_turn()
        return spoke

    def mark(self, thing: ThingT, *, is_end: bool = False, keeps: bool = False) -> None:
        """A thing comes out behind the sound that was sent before it; with `is_end` behind its last moment; with
        `keeps` after an interruption too."""
        self._ledger.mark(thing, is_end=is_end, keeps=keeps)

    def waiting(self) -> list[ThingT]:
        """The things that have not come out; they stay where they are."""
        return self._ledger.things()

    @property
    def is_silent(self) -> bool:
        """Whether all that was sent has come out."""
        return self._ledger.is_empty

    def interrupt(self) -> list[ThingT]:
        """Throw away all speech that was not shown, but for what keeps; the things that went with it."""
        self.cleared += 1
        rest, is_speaking = self._ledger.rest(), self._is_speaking
        self._is_speaking = False
        self._session.interrupt()
        self._again([entry for entry in rest if _keeps(entry)], is_speaking=is_speaking)
        return [entry.thing for entry in rest if isinstance(entry, Mark) and not entry.keeps]

    def _again(self, entries: Iterable[Sent | Mark[ThingT]], *, is_speaking: bool) -> None:
        """Send once more what the session lost."""
        latest = 0
        for entry in entries:
            if isinstance(entry, Mark):
                is_end = self.end_turn() if entry.is_end else False
                self.mark(entry.thing, is_end=is_end, keeps=entry.keeps)
            else:
                if latest not in (0, entry.utterance):
                    self.end_turn()
                latest = entry.utterance
                self.push(entry.piece)
        if not is_speaking:
            self.end_turn()

    # Out --------------------------------------------------------------------------------------------------------------

    async def beats(self) -> AsyncIterator[Beat[ThingT]]:
        """Every moment when it is due. Silent ones that nobody took in time are left out, so that a consumer that
        was held up is back in time when something is said. Ends when the session is closed."""
        pace = Pace()
        while True:
            try:
                moment = await anext(self._session)
            except StopAsyncIteration:
                return
            except Exception as error:
                if self._still is not None:
                    raise
                self._fail(error)
                pace = Pace()
                yield Beat((), None, None, failure=error)
                continue
            things = tuple(self._ledger.due())
            sound = None if moment.utterance is None else moment.sound
            playing = self._ledger.playing
            if moment.utterance is not None:
                seconds = len(moment.sound) * moment.time_base
                self._ledger.heard(moment.utterance, seconds, is_last=moment.is_last)
            if moment.picture is not None:
                self._picture = moment.picture
            is_late = pace.is_late(float(moment.time * moment.time_base), 1.5 / float(self._session.fps))
            if is_late and sound is None and not things:
                await asyncio.sleep(0)
                continue
            yield Beat(things, moment.picture, sound, playing and playing.origin)

    def _fail(self, error: Exception) -> None:
        """Go on without the head."""
        _log.error("The head failed, the sound goes on without it: %s", error, exc_info=error)
        self.failure = error
        width, height = self._first.size
        picture = self._picture if self._picture is not None else np.zeros((height, width, 3), np.uint8)
        self._still = self._session = still_session(picture, self._first.options, self._first.fps)
        rest, self._ledger = self._ledger.rest(), Ledger()
        is_speaking, self._is_speaking = self._is_speaking, False
        self._again(rest, is_speaking=is_speaking)

    def close(self) -> None:
        """End what this opened itself."""
        if self._still is not None:
            self._still.close()


class Pace:
    """How late moments are taken, by the earliest one's measure."""

    def __init__(self) -> None:
        self._zero = float("inf")

    def is_late(self, time_s: float, tolerance_s: float) -> bool:
        """Whether the moment of this time is taken now, later by more than the tolerance."""
        now = time.perf_counter()
        self._zero = min(self._zero, now - time_s)
        return now - time_s - self._zero > tolerance_s


def _keeps(entry: Sent | Mark[Any]) -> bool:
    return entry.keeps if isinstance(entry, Mark) else entry.piece.keeps


def opaque(picture: Frame | Picture) -> Frame:
    """RGB uint8 [H, W, 3]; what is transparent is white."""
    if not isinstance(picture, Picture):
        return picture
    from talkinghead.media.colour import on_white

    return on_white(picture.frame.copy(), picture.alpha[:, :, np.newaxis])


def interleaved(data: bytes | memoryview, num_channels: int) -> NDArray[np.int16]:
    """Little-endian 16-bit sound as [n, channels]; a copy.

    Raises:
        InputError: it ends within a sample.
    """
    view = memoryview(data).cast("B")
    if num_channels < 1 or len(view) % (2 * num_channels):
        raise InputError(
            f"Sound of {len(view)} bytes in {num_channels} channels was sent.",
            accepted="whole samples of 16 bits in every channel",
        )
    return np.frombuffer(view, "<i2").astype(np.int16).reshape(-1, num_channels)
