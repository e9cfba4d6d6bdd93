"""What each frame of a session's clock shows and sounds like, decided shortly before it is due."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from talkinghead.contracts import FloatArray, Frame, Picture
from talkinghead.engine.listener import WindowT
from talkinghead.engine.live.face import LiveFace
from talkinghead.engine.live.moments import Interrupted, LiveOptions, Ticks
from talkinghead.engine.live.pictures import Shown
from talkinghead.engine.live.utterance import Utterance

FADE_IN_S, FADE_OUT_S = 0.08, 0.12
"""In which the mouth begins to follow speech, and comes back to rest where speech ends or breaks off."""


@dataclass(eq=False)
class Slot(Generic[WindowT]):
    """A settled frame."""

    index: int
    shown: Shown
    pose: Any
    sound: FloatArray
    num_spoken: int
    """Samples of the sound that come from an utterance."""
    utterance: Utterance[WindowT] | None
    is_last: bool
    share: float
    window: WindowT | None
    """What was heard last, up to this frame, and how much of it is shown."""
    is_claimed: bool = False
    picture: Frame | Picture | None = None


class Timeline(Generic[WindowT]):
    """The frames between the last one that was given out and those that are settled. Guarded by the session's lock.

    Args:
        seconds_now: the session's clock, in the seconds in which utterances are stamped.
    """

    def __init__(self, ticks: Ticks, options: LiveOptions, seconds_now: Callable[[], float]) -> None:
        self.ticks, self._options, self._seconds_now = ticks, options, seconds_now
        self._lead = max(1, round(options.lead_s * ticks.fps))
        self.ahead = max(self._lead, round(options.ahead_s * ticks.fps))
        """Frames."""
        self._cushion = round(options.cushion_s * ticks.sample_rate_hz)
        self._fade_in = 1 / max(1, round(FADE_IN_S * ticks.fps))
        self._fade_out = 1 / max(1, round(FADE_OUT_S * ticks.fps))
        self.utterances: deque[Utterance[WindowT]] = deque()
        self.slots: dict[int, Slot[WindowT]] = {}
        self.next_out = 0
        self._next = 0
        """First frame that is not settled."""
        self._share = 0.0
        self._window: WindowT | None = None
        self._left: tuple[float, WindowT | None] = (0.0, None)
        """The same, as of the frame that was given out last."""
        self.broken_off = 0
        self.abandoned: Utterance[WindowT] | None = None
        """One that broke off and of which nothing more seems to come."""

    def settle(self, now: int, shown_at: Callable[[int], Shown]) -> None:
        """Settle what must be, and speech as far ahead as it is there.

        Args:
            now: the last frame that is due.
            shown_at: the face that a frame shows.
        """
        while self._next <= now + self.ahead:
            utterance = self._current()
            num_samples = self.ticks.num_samples(self._next)
            if utterance is not None and utterance.can_go_on(num_samples, self._cushion):
                self._speak(utterance, num_samples, shown_at(self._next))
            elif self._next <= now + self._lead:
                self._rest(utterance, num_samples, shown_at(self._next))
            else:
                return

    def _current(self) -> Utterance[WindowT] | None:
        while self.utterances and self.utterances[0].is_told:
            self.utterances.popleft()
        return self.utterances[0] if self.utterances else None

    def _speak(self, utterance: Utterance[WindowT], num_samples: int, shown: Shown) -> None:
        sound, num_spoken, window = utterance.take(num_samples)
        self._window = window if window is not None else self._window
        if window is None and not num_spoken:  # all was given out before its end was known: now that is told
            self._share = max(0.0, self._share - self._fade_out)
        else:
            self._share = min(1.0, self._share + self._fade_in)
        self._add(shown, sound, num_spoken, utterance)

    def _rest(self, utterance: Utterance[WindowT] | None, num_samples: int, shown: Shown) -> None:
        if utterance is not None:
            self.broken_off += utterance.break_off()
            if self._seconds_now() - utterance.latest > self._options.pause_s:
                self.abandoned = utterance
        self._share = max(0.0, self._share - self._fade_out)
        self._add(shown, np.zeros(num_samples, np.float32), 0, None)

    def _add(self, shown: Shown, sound: FloatArray, num_spoken: int, utterance: Utterance[WindowT] | None) -> None:
        face: LiveFace[WindowT] = shown.face
        window = self._window
        if window is None or self._share <= 0:
            heard = face.rest
        else:
            heard = window if self._share >= 1 else face.eased(window, self._share)
        is_last = utterance is not None and utterance.is_over
        if utterance is not None:
            utterance.is_told = is_last
        pose = face.pose(self._next, heard)
        self.slots[self._next] = Slot(
            self._next, shown, pose, sound, num_spoken, utterance, is_last, self._share, self._window
        )
        self._next += 1

    def take(self) -> Slot[WindowT]:
        """The next frame, which must be settled, to be given out."""
        slot = self.slots.pop(self.next_out)
        self.next_out += 1
        self._left = (slot.share, slot.window)
        if slot.utterance is not None:
            slot.utterance.played_s += slot.num_spoken / self.ticks.sample_rate_hz
        return slot

    @property
    def next_settled(self) -> int:
        """The first frame that is not settled."""
        return self._next

    def interrupt(self) -> Interrupted:
        """Throw away all speech that was not given out. The next frame keeps its picture where that is drawn already:
        the mouth comes to rest from there, and nothing is waited for."""
        speaking = next((each for each in self._waiting() if each.played_s > 0), None)
        thrown_s = self.waiting_s
        self.utterances.clear()
        drawn = self.slots.get(self.next_out)
        self.slots.clear()
        self._next = self.next_out
        self._share, self._window = self._left
        if drawn is not None and drawn.picture is not None:
            self._share, self._window = drawn.share, drawn.window
            drawn.sound, drawn.num_spoken = np.zeros_like(drawn.sound), 0
            drawn.utterance, drawn.is_last = None, False
            self.slots[self._next] = drawn
            self._next += 1
        return Interrupted(
            None if speaking is None else speaking.number,
            0.0 if speaking is None else speaking.played_s,
            thrown_s,
        )

    @property
    def waiting_s(self) -> float:
        """Seconds of speech that were not given out."""
        return sum(max(0.0, each.pushed_s - each.played_s) for each in self._waiting())

    def _waiting(self) -> list[Utterance[WindowT]]:
        """Utterances of which something was not given out, in order."""
        settled = [slot.utterance for slot in self.slots.values() if slot.utterance is not None]
        return list({each.number: each for each in (*settled, *self.utterances)}.values())
