"""Draws the pictures of all sessions of a head: those that are due first, several at once."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from talkinghead.contracts import Frame, Picture
from talkinghead.engine.context import RunContext
from talkinghead.engine.live.clock import Clock
from talkinghead.engine.live.face import Order
from talkinghead.engine.live.settling import Slot

if TYPE_CHECKING:
    from talkinghead.engine.live.session import LiveSession

WAIT_S = 0.02
"""How long the host sleeps at most where nothing is to be drawn and nobody tells it anything."""
RECENT = 15
"""Pictures by which is judged what one takes: by the one in the middle, since the first opens networks and any may
wait for other programs."""


@dataclass(frozen=True, eq=False)
class _Job:
    """A frame on its way."""

    session: LiveSession[Any]
    slot: Slot[Any]
    order: Order


_Waiting = tuple[float, "LiveSession[Any]", Slot[Any]]
"""When a frame is due, whose it is, and the frame."""
Draw = Callable[[Sequence[Order]], Sequence[Frame | Picture]]


class Host:
    """See the module. Heads are not safe for several threads: only the host's thread draws.

    Args:
        draw: makes finished frames of some orders, `Head.draw`.
        at_once: orders that it takes at the same time.
        clock: that all sessions live on.
        run: where what is drawn counts and says how it differs from what was asked.
        threaded: draw in a thread of its own, which lives while there are sessions; else `step` draws.
    """

    def __init__(self, draw: Draw, at_once: int, clock: Clock, run: RunContext, *, threaded: bool = True) -> None:
        self._draw, self._at_once, self.clock, self.run = draw, at_once, clock, run
        self.news = threading.Condition(threading.RLock())
        """Guards all sessions; told whenever something has changed."""
        self._threaded = threaded
        self._drawing = threading.Lock()
        """Held while something is drawn: the thread of sessions that are all closed may still be at it."""
        self._sessions: list[LiveSession[Any]] = []
        self._thread: threading.Thread | None = None
        self._taken_s: deque[float] = deque(maxlen=RECENT)
        self.draw_s = 0.0
        """Per picture, the median of the latest."""

    @property
    def sessions(self) -> tuple[LiveSession[Any], ...]:
        """Those that are open."""
        return tuple(self._sessions)

    def add(self, session: LiveSession[Any]) -> None:
        """Draw for a session from now on."""
        with self.news:
            self._sessions.append(session)
            if self._threaded and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live-draw", daemon=True)
                self._thread.start()

    def remove(self, session: LiveSession[Any]) -> None:
        """Draw for it no more; with the last one the thread ends."""
        with self.news:
            if session in self._sessions:
                self._sessions.remove(session)
            thread = None if self._sessions else self._thread
            if thread is not None:
                self._thread = None
            self.news.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def step(self) -> bool:
        """Draw what is due first, if anything is to be drawn."""
        with self._drawing:
            with self.news:
                jobs = self._claimed()
            if not jobs:
                return False
            started = self.clock.now()
            self._deliver(jobs)
            self._taken_s.append((self.clock.now() - started) / len(jobs))
            self.draw_s = statistics.median_low(self._taken_s)
        return True

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self.news:
                if self._thread is not me:
                    return
            if not self.step():
                with self.news:
                    if self._thread is me:
                        self.news.wait(WAIT_S)

    def _claimed(self) -> list[_Job]:
        """The next frames to be drawn: those that are due first of all that can still be ready in time; where there is
        too much to draw, the next one of the session whose face has stood still the longest."""
        waiting: list[_Waiting] = []
        for session in self._sessions:
            try:
                waiting += [(session.due(slot.index), session, slot) for slot in session.undrawn()]
            except BaseException as error:  # noqa: BLE001 (raised again where the session is iterated)
                session.fail(error)
        waiting.sort(key=lambda each: each[0])
        now = self.clock.now()
        in_time = [each for each in waiting if each[0] >= now + self.draw_s or not each[1].is_running]
        # A picture that comes too late helps nobody; the latest one at least brings a slow head near the clock.
        if in_time and self._fits(in_time, now):
            first = in_time[0]
        elif waiting:
            latest = list({each[1]: each for each in waiting}.values())
            first = min(in_time or latest, key=lambda each: (each[1].drawn_until, each[0]))
        else:
            return []
        chosen = [first]
        for each in in_time:
            if len(chosen) == self._at_once or now + (len(chosen) + 1) * self.draw_s > first[0]:
                break  # the first one would wait for the others
            if each is not first:
                chosen.append(each)
        for due, session, slot in chosen:
            slot.is_claimed = True
            session.drawn_until = max(session.drawn_until, due)
        return [_Job(session, slot, session.order(slot)) for _, session, slot in chosen]

    def _fits(self, waiting: Sequence[_Waiting], now: float) -> bool:
        """Whether all of these can be drawn in time, one after the other."""
        return all(now + (number + 1) * self.draw_s <= due for number, (due, _, _) in enumerate(waiting))

    def _deliver(self, jobs: Sequence[_Job]) -> None:
        """Draw together; where that fails, session by session, so that one cannot spoil another."""
        try:
            pictures = self._draw([job.order for job in jobs])
        except BaseException as error:  # noqa: BLE001 (raised again where the session is iterated)
            sessions = list(dict.fromkeys(job.session for job in jobs))
            if len(sessions) == 1:
                sessions[0].fail(error)
                return
            for session in sessions:
                self._deliver([job for job in jobs if job.session is session])
            return
        with self.news:
            for job, picture in zip(jobs, pictures, strict=True):
                job.slot.picture = picture
            self.news.notify_all()
