"""A live session: sound in as it comes, moments out as they are due."""

from __future__ import annotations

import asyncio
import math
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from talkinghead.contracts import FloatArray, Phone
from talkinghead.engine.listener import Listener, WindowT
from talkinghead.engine.live.face import Order
from talkinghead.engine.live.host import Host
from talkinghead.engine.live.moments import Interrupted, LiveOptions, LiveStats, Moment, Ticks
from talkinghead.engine.live.pictures import Shown
from talkinghead.engine.live.settling import Slot, Timeline
from talkinghead.engine.live.utterance import Ears, Utterance, mono
from talkinghead.errors import InputError, OptionError
from talkinghead.media.mark import mark_of
from talkinghead.provenance.origin import Origin

if TYPE_CHECKING:
    from talkinghead.engine.head import Avatar
    from talkinghead.speech import SpeechOptions

MOST_WAITING_S = 600.0
"""Speech that may wait to be said."""
MOST_UTTERANCES = 1_000
"""That may wait, however short they are."""
SPOKEN_AHEAD_S = 60.0
"""Of a text, speech that is made before it is said."""
_POLL_S = 0.05
"""How often who waits in asyncio looks for news."""

Hear = Callable[["Avatar", tuple[Phone, ...] | None], Listener[Any]]
"""Makes the listener of one utterance, or of one sentence whose phones are known."""
Show = Callable[["Avatar", int], Shown]
"""Makes what shows a prepared face from a frame of the clock on."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """Sound of an utterance on its way to its ears."""

    utterance: Utterance[Any]
    sound: FloatArray
    sample_rate_hz: int


@dataclass(frozen=True, eq=False)
class _Text:
    """A text on its way to be spoken."""

    utterance: Utterance[Any]
    text: str
    options: SpeechOptions | None


@dataclass(frozen=True, eq=False)
class _End:
    """No more of an utterance comes."""

    utterance: Utterance[Any]


class LiveSession(Generic[WindowT]):
    """See the module; made by `Head.live`. A context manager; all methods may be called from any thread.

        with head.live(avatar) as session:
            session.push(samples, sample_rate_hz=24_000)     # from whoever speaks
            session.end_turn()
            for moment in session:                           # from whoever shows, paced by the clock
                ...

    The clock begins when the first moment is asked for and its picture is there. Whoever takes moments late gets them
    one after the other without waiting until the clock is reached; no sound is lost.
    """

    def __init__(
        self,
        host: Host,
        avatar: Avatar,
        options: LiveOptions,
        fps: Fraction,
        *,
        hear: Hear,
        show: Show,
        lookahead_s: float,
        fallbacks: tuple[str, ...] = (),
        threaded: bool = True,
        origin: Origin | None = None,
    ) -> None:
        self.options, self.fps, self.size = options, fps, avatar.size
        self.origin = origin or Origin()
        """What a recording says of itself."""
        self._mark = mark_of(options.mark, avatar.size, options.mark_place, options.mark_opacity)
        self.drawn_until = -math.inf
        """When the latest frame is due that the host has begun to draw; its own."""
        self.lookahead_s = lookahead_s
        """Sound after a frame's time that the model needs: speech that comes exactly in time is shown so much later,
        and `LiveOptions.lead_s`."""
        self._fallbacks = fallbacks
        self._host, self._news, self._clock = host, host.news, host.clock
        self._hear, self._show = hear, show
        self._ticks = Ticks(fps, options.sample_rate_hz)
        self._timeline: Timeline[WindowT] = Timeline(self._ticks, options, self._clock.now)
        self._avatar = avatar
        self._faces = [show(avatar, 0)]
        self._retired: list[Shown] = []
        self._started: float | None = None
        self._closed = False
        self._error: BaseException | None = None
        self._open: Utterance[WindowT] | None = None
        """The utterance that sound is pushed to."""
        self._numbers = 0
        self._orders: queue.SimpleQueue[_Piece | _Text | _End | None] = queue.SimpleQueue()
        self._ears: tuple[Utterance[WindowT], Ears[WindowT]] | None = None
        self._interrupted = 0
        self._late = self._cleaned = 0
        self._played_samples = 0
        self._thrown_away_s = 0.0
        self._latency_s: float | None = None
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._listen, name="live-listen", daemon=True)
            self._thread.start()
        host.add(self)

    # Speech in --------------------------------------------------------------------------------------------------------

    def push(self, samples: Any, sample_rate_hz: int) -> int:
        """Take sound of the utterance that is being pushed, or begin one.

        Args:
            samples: [n] or [n, channels], float in [-1, 1] or int16, any n. What is no finite number counts as silence,
                and is counted.
        Returns:
            The number of the utterance.
        Raises:
            InputError: another shape or kind, or ten minutes of speech, or 1,000 utterances, wait already. OptionError:
                no such sample rate.
        """
        sound, cleaned = mono(samples, sample_rate_hz)
        with self._news:
            self._check_open()
            if self._timeline.waiting_s + len(sound) / sample_rate_hz > MOST_WAITING_S:
                raise InputError(
                    f"More than {MOST_WAITING_S:g} s of speech would wait to be said.",
                    remedy="push later, or interrupt first",
                )
            if self._open is None:
                self._open = self._begun()
            utterance = self._open
            utterance.latest = self._clock.now()
            utterance.pushed_s += len(sound) / sample_rate_hz
            self._cleaned += cleaned
            self._orders.put(_Piece(utterance, sound, sample_rate_hz))
            return utterance.number

    def end_turn(self) -> None:
        """The utterance that was pushed has ended: what its model waits for does not come."""
        with self._news:
            self._check_open()
            if self._open is not None:
                self._end(self._open)

    def say(self, text: str, options: SpeechOptions | None = None) -> int:
        """Speak a text after what was pushed, sentence by sentence.

        Args:
            options: language, voice, engine and pace.
        Returns:
            The number of the utterance.
        Raises:
            InputError: nothing to say, or too long, or 1,000 utterances wait already. Errors of the voice end the
                session.
        """
        from talkinghead.speech.sentences import split_sentences

        split_sentences(text)
        with self._news:
            self._check_open()
            if self._open is not None:
                self._end(self._open)
            utterance = self._begun()
            self._orders.put(_Text(utterance, text, options))
            utterance.is_closed = True
            return utterance.number

    def interrupt(self) -> Interrupted:
        """Stop speaking: all speech that was not given out yet is thrown away. The next moment is silent."""
        with self._news:
            self._check_open()
            for utterance in self._timeline.utterances:
                utterance.is_closed = True
                utterance.is_dropped = True
            self._open = None
            told = self._timeline.interrupt()
            self._interrupted += 1
            self._thrown_away_s += told.thrown_away_s
            self._news.notify_all()
            return told

    def show(self, avatar: Avatar) -> None:
        """Show another prepared face as soon as it is read; what is being said goes on.

        Raises:
            OptionError: its pictures have another size.
        """
        if tuple(avatar.size) != tuple(self.size):
            (width, height), (old_width, old_height) = avatar.size, self.size
            raise OptionError(
                f"A face in pictures of {width}x{height} cannot follow one in {old_width}x{old_height}.",
                remedy="prepare it with FrameOptions that crop or resize it",
            )
        while True:
            with self._news:
                self._check_open()
                first = self._timeline.next_settled + self._timeline.ahead
            shown = self._show(avatar, first)
            with self._news:
                if not self._closed and first >= self._timeline.next_settled:
                    self._faces.append(shown)
                    self._avatar = avatar
                    return
            shown.stop()
            shown.join()

    # Moments out ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Moment]:
        return self

    def __next__(self) -> Moment:
        """The next moment, when it is due; ends when the session is closed.

        Raises:
            Whatever a model, a file or a voice raised that the session cannot go on without.
        """
        with self._news:
            while True:
                due = self._due_next()
                if due is None:
                    raise StopIteration
                if due <= self._clock.now():
                    return self._taken()
                self._clock.wait(due, self._news)

    def __aiter__(self) -> AsyncIterator[Moment]:
        return self

    async def __anext__(self) -> Moment:
        """As `__next__`, without holding the event loop."""
        while True:
            with self._news:
                due = self._due_next()
                if due is None:
                    raise StopAsyncIteration
                now = self._clock.now()
                if due <= now:
                    return self._taken()
            await asyncio.sleep(min(due - now, _POLL_S))

    def stats(self) -> LiveStats:
        """How it has gone so far."""
        with self._news:
            return LiveStats(
                moments=self._timeline.next_out,
                late_pictures=self._late,
                played_s=self._played_samples / self._ticks.sample_rate_hz,
                thrown_away_s=self._thrown_away_s,
                interruptions=self._interrupted,
                broken_off=self._timeline.broken_off,
                cleaned_samples=self._cleaned,
                lookahead_s=self.lookahead_s,
                waiting_s=self._timeline.waiting_s,
                latency_s=self._latency_s,
                draw_s=self._host.draw_s,
                sessions=len(self._host.sessions),
                fallbacks=(*self._fallbacks, *self._avatar.fallbacks, *self._host.run.fallbacks),
            )

    def close(self) -> None:
        """End the session; who iterates gets no further moment. May be called again."""
        with self._news:
            was_closed, self._closed = self._closed, True
            for shown in self._faces:
                shown.stop()
            self._news.notify_all()
        if was_closed:
            return
        self._orders.put(None)
        self._host.remove(self)
        for shown in (*self._retired, *self._faces):
            shown.join()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> LiveSession[WindowT]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # For the host; `news` is held -------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the first moment was asked for and its picture was there."""
        return self._started is not None

    def due(self, index: int) -> float:
        """When a frame is due, by the clock; before it has begun, as if it began now."""
        start = self._clock.now() if self._started is None else self._started
        return start + self._ticks.seconds(index)

    def undrawn(self) -> list[Slot[WindowT]]:
        """Settled frames that nobody draws and whose source is there."""
        if self._closed or self._error is not None:
            return []
        self._settle()
        return [
            slot
            for slot in self.settled()
            if slot.picture is None and not slot.is_claimed and slot.shown.has(slot.index)
        ]

    def settled(self) -> list[Slot[WindowT]]:
        """Frames that are settled and were not given out."""
        return list(self._timeline.slots.values())

    def order(self, slot: Slot[WindowT]) -> Order:
        """What is to be drawn."""
        shown = slot.shown
        return Order(shown.avatar, shown.source_index(slot.index), shown.frame(slot.index), slot.pose)

    def fail(self, error: BaseException) -> None:
        """The session cannot go on."""
        with self._news:
            self._error = self._error or error
            self._news.notify_all()

    # Within -----------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the session is closed")

    def _begun(self) -> Utterance[WindowT]:
        if len(self._timeline.utterances) >= MOST_UTTERANCES:
            raise InputError(
                f"{MOST_UTTERANCES:,} utterances wait to be said.", remedy="speak in longer ones, or interrupt first"
            )
        self._numbers += 1
        utterance: Utterance[WindowT] = Utterance(self._numbers, self._clock.now())
        self._timeline.utterances.append(utterance)
        return utterance

    def _end(self, utterance: Utterance[WindowT]) -> None:
        utterance.is_closed = True
        if self._open is utterance:
            self._open = None
        self._orders.put(_End(utterance))

    def _settle(self) -> None:
        now = self._clock.now()
        due = self._ticks.at(now - self._started) if self._started is not None else -1
        # Nothing is settled for a clock that nobody keeps up with: pictures that are not taken would fill the memory.
        next_out = self._timeline.next_out
        self._timeline.settle(max(next_out - 1, min(due, next_out)), self._face_at)
        abandoned, self._timeline.abandoned = self._timeline.abandoned, None
        if abandoned is not None and not abandoned.is_closed:
            self._end(abandoned)

    def _face_at(self, index: int) -> Shown:
        return next(shown for shown in reversed(self._faces) if shown.first <= index)

    def _due_next(self) -> float | None:
        """When the next moment is due; None where the session has ended."""
        error = self._error or next((shown.error for shown in self._faces if shown.error is not None), None)
        if error is not None:
            raise error
        if self._closed:
            return None
        self._settle()
        if self._started is None:
            if self._timeline.slots[0].picture is None:
                return self._clock.now() + _POLL_S
            self._started = self._clock.now()
        return self.due(self._timeline.next_out)

    def _taken(self) -> Moment:
        slot = self._timeline.take()
        self._late += slot.picture is None
        self._played_samples += slot.num_spoken
        utterance = slot.utterance
        if utterance is not None and not utterance.has_begun:
            utterance.has_begun = True
            self._latency_s = self.due(slot.index) - utterance.begun
        while len(self._faces) > 1 and self._faces[1].first <= slot.index:
            self._retired = [shown for shown in self._retired if shown.is_reading] + [self._faces.pop(0)]
            self._retired[-1].stop()
        self._faces[0].let_go(slot.index + 1)
        self._news.notify_all()
        return Moment(
            index=slot.index,
            time=self._ticks.start(slot.index),
            time_base=Fraction(1, self._ticks.sample_rate_hz),
            picture=slot.picture if slot.picture is None or self._mark is None else self._mark.over(slot.picture),
            sound=slot.sound,
            utterance=None if utterance is None else utterance.number,
            is_last=slot.is_last,
        )

    # Listening, in a thread of its own --------------------------------------------------------------------------------

    def listen_now(self) -> bool:
        """Listen to what has come, where the session has no thread that does; whether anything had."""
        try:
            order = self._orders.get_nowait()
        except queue.Empty:
            return False
        if order is not None:
            self._take_order(order)
        return True

    def _listen(self) -> None:
        while (order := self._orders.get()) is not None:
            self._take_order(order)

    def _take_order(self, order: _Piece | _Text | _End) -> None:
        if order.utterance.is_dropped or self._error is not None or self._closed:
            return
        try:
            if isinstance(order, _Text):
                self._speak(order)
            else:
                self._hear_piece(order)
        except BaseException as error:  # noqa: BLE001 (raised again where the session is iterated)
            self.fail(error)

    def _hear_piece(self, order: _Piece | _End) -> None:
        if self._ears is None or self._ears[0] is not order.utterance:
            self._ears = (order.utterance, self._new_ears(None))
        utterance, ears = self._ears
        if isinstance(order, _Piece):
            sound, windows = ears.push(order.sound, order.sample_rate_hz)
        else:
            sound, windows = ears.finish()
            self._ears = None
        with self._news:
            utterance.add(sound, windows)
            utterance.has_ended = isinstance(order, _End)
            self._news.notify_all()

    def _new_ears(self, phones: tuple[Phone, ...] | None) -> Ears[WindowT]:
        return Ears(self._hear(self._avatar, phones), self._ticks.sample_rate_hz)

    def _speak(self, order: _Text) -> None:
        from talkinghead.speech import SpeechOptions
        from talkinghead.speech.engines import speak, voice_for

        options = order.options or SpeechOptions()
        utterance = order.utterance
        for spoken in speak(order.text, voice=voice_for(order.text, options)[0]):
            ears = self._new_ears(spoken.phones)
            clip = spoken.clip
            parts = [ears.push(clip.samples, clip.sample_rate_hz), ears.finish()]
            windows = [window for _, some in parts for window in some]
            sound = np.concatenate([part for part, _ in parts])
            silence = self._ticks.start(len(windows)) - len(sound)
            with self._news:
                if utterance.is_dropped or self._closed:
                    return
                utterance.pushed_s += float(clip.duration_s)
                utterance.add(np.pad(sound, (0, max(0, silence))), windows)
                self._news.notify_all()
                while self._thread is not None and utterance.pushed_s - utterance.played_s > SPOKEN_AHEAD_S:
                    if utterance.is_dropped or self._closed or self._error is not None:
                        return
                    self._news.wait(1)
        with self._news:
            utterance.has_ended = True
            self._news.notify_all()
