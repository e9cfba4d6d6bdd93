"""A live session on a clock that is moved by hand: what is heard and seen when."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import FloatArray, Frame
from talkinghead.engine.cache import NullCache
from talkinghead.engine.context import RunContext
from talkinghead.engine.live import LiveOptions, LiveSession, Moment
from talkinghead.engine.live.face import Order
from talkinghead.engine.live.host import Host
from talkinghead.engine.live.moments import Ticks
from talkinghead.engine.live.session import MOST_UTTERANCES
from talkinghead.errors import InputError, OptionError
from tests.engine.live.stage import FPS, HandClock, Loudness, draw, index_of, plain_avatar, plain_session

RATE = 48_000


def taken(session: LiveSession[float], count: int) -> list[Moment]:
    return list(itertools.islice(session, count))


def heard(moments: Iterable[Moment]) -> FloatArray:
    return np.concatenate([moment.sound for moment in moments])


def tone(seconds: float, rate: int = RATE) -> FloatArray:
    samples = np.arange(round(seconds * rate), dtype=np.float32)
    return (0.5 + 0.4 * np.sin(samples * 0.01)).astype(np.float32)


def test_a_silent_face_goes_on() -> None:
    """Without speech there is a picture every 40 ms, of the source played to and fro, and silence."""
    clock = HandClock()
    with plain_session(clock, plain_avatar(4)) as session:
        first = next(session)
        begun = clock.now()
        for number, moment in enumerate([first, *taken(session, 39)]):
            assert (moment.index, moment.time) == (number, number * 1920)
            assert moment.time_base == Fraction(1, RATE)
            assert moment.utterance is None
            assert moment.sound.shape == (1920,)
            assert not moment.sound.any()
            assert index_of(moment.picture) == number
            assert moment.picture[0, 2, 0] == [0, 1, 2, 3, 2, 1][number % 6]
        assert clock.now() == pytest.approx(begun + 39 / 25)
        assert session.stats().late_pictures == 0


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40_000), max_size=6),
    fps=st.sampled_from([Fraction(25), Fraction(30_000, 1001), Fraction(24)]),
    at_once=st.booleans(),
)
def test_all_sound_comes_out_once(cuts: Sequence[int], fps: Fraction, at_once: bool) -> None:
    """However it is cut, whenever it comes: nothing is dropped, doubled or stretched, and the windows are those of the
    whole sound."""
    sound = tone(1.3)
    edges = sorted({0, len(sound), *(min(cut, len(sound)) for cut in cuts)})
    clock = HandClock()
    with plain_session(clock, fps=fps) as session:
        moments = taken(session, 3)
        for first, last in itertools.pairwise(edges):
            session.push(sound[first:last], RATE)
            if not at_once:
                moments += taken(session, 2)
        session.end_turn()
        moments += taken(session, 60)
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert [moment.is_last for moment in spoken] == [False] * (len(spoken) - 1) + [True]
    assert np.array_equal(heard(spoken)[: len(sound)], sound)
    assert not heard(spoken)[len(sound) :].any()
    assert len(spoken) == -(-len(sound) * fps // RATE)
    assert all(a.time + len(a.sound) == b.time for a, b in itertools.pairwise(moments))


def test_speech_in_a_burst_is_seen_with_its_sound() -> None:
    """Pictures show the windows of the sound that goes with them, eased in at the beginning."""
    clock = HandClock()
    levels = np.linspace(0.2, 0.9, 20 * 1920, dtype=np.float32)
    with plain_session(clock) as session:
        taken(session, 5)
        session.push(levels, RATE)
        session.end_turn()
        moments = taken(session, 40)
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert len(spoken) == 20
    for number, moment in enumerate(spoken[2:-1], start=2):
        assert moment.picture[0, 1, 0] == pytest.approx(255 * levels[number * 1920 + 1919], abs=4)
    assert spoken[0].picture[0, 1, 0] < 0.8 * 255 * levels[0]
    after = [moment.picture[0, 1, 0] for moment in moments[spoken[-1].index - moments[0].index + 1 :]]
    assert after[0] > after[1] > 0
    assert after[3:] == [0] * len(after[3:])


def test_speech_in_time_comes_as_late_as_is_said() -> None:
    """Sound that comes exactly in time is delayed by what the listener needs and the frames that are begun."""
    clock = HandClock()
    with plain_session(clock) as session:
        moments = taken(session, 10)
        for _ in range(50):
            session.push(np.full(1920, 0.5, np.float32), RATE)
            moments += taken(session, 1)
        stats = session.stats()
        session.end_turn()
        moments += taken(session, 20)
        assert session.stats().broken_off == 0
    spoken = [moment.index for moment in moments if moment.utterance is not None]
    assert spoken == list(range(spoken[0], spoken[0] + 50))
    assert stats.latency_s is not None
    options = session.options
    assert stats.latency_s <= session.lookahead_s + options.lead_s + options.cushion_s + 1 / 25


def test_an_interruption_is_silent_at_once() -> None:
    clock = HandClock()
    with plain_session(clock) as session:
        taken(session, 3)
        number = session.push(tone(2), RATE)
        moments = taken(session, 20)
        played = sum(len(moment.sound) for moment in moments if moment.utterance == number) / RATE
        told = session.interrupt()
        assert told.utterance == number
        assert told.played_s == pytest.approx(played)
        assert told.thrown_away_s == pytest.approx(2 - played)
        after = taken(session, 10)
        assert not heard(after).any()
        assert all(moment.utterance is None for moment in after)
        assert index_of(after[0].picture) == after[0].index  # it was drawn already, and is not waited for
        mouths = [int(moment.picture[0, 1, 0]) for moment in after if moment.picture is not None]
        assert mouths == sorted(mouths, reverse=True)
        assert mouths[-1] == 0
        again = session.push(tone(0.4), RATE)
        assert again == number + 1
        session.end_turn()
        spoken = [moment for moment in taken(session, 20) if moment.utterance == again]
        assert np.array_equal(heard(spoken)[: round(0.4 * RATE)], tone(0.4))
        assert session.interrupt().thrown_away_s == 0


def test_a_slow_head_leaves_pictures_out_and_no_sound() -> None:
    """At 60 ms a picture every other one is late; those that come belong to their time."""
    sound = tone(1)

    def slow(orders: Sequence[Order]) -> list[Frame]:
        time.sleep(0.06 * len(orders))
        return draw(orders)

    with plain_session(None, drawing=slow) as session:
        session.push(sound, RATE)
        session.end_turn()
        moments = taken(session, 45)
        late = session.stats().late_pictures
    pictures = [moment for moment in moments if moment.picture is not None]
    assert late == len(moments) - len(pictures)
    assert 10 <= len(pictures) <= 40
    assert all(index_of(moment.picture) == moment.index for moment in pictures)
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert np.array_equal(heard(spoken)[: len(sound)], sound)


def test_one_slow_picture_delays_no_later_one() -> None:
    """What a picture takes is judged by most of the latest ones."""
    clock = HandClock()
    drawn = 0

    def mostly_quick(orders: Sequence[Order]) -> list[Frame]:
        nonlocal drawn
        drawn += 1
        clock.seconds += 1.2 if drawn == 9 else 0.01
        return draw(orders)

    with plain_session(clock, drawing=mostly_quick) as session:
        moments = taken(session, 80)
        assert session.stats().draw_s == pytest.approx(0.01)
    late = [moment.index for moment in moments if moment.picture is None]
    assert late
    assert late[-1] - late[0] < 1.3 * 25


def test_too_many_sessions_share_what_there_is() -> None:
    """Four that want twice what can be drawn, and take their moments meanwhile: none stands still."""
    clock = HandClock()

    def slow(orders: Sequence[Order]) -> list[Frame]:
        clock.seconds += 0.02 * len(orders)
        return draw(orders)

    host = Host(slow, 1, clock, RunContext(cache=NullCache()), threaded=False)
    with ExitStack() as stack:
        sessions = [stack.enter_context(plain_session(clock, host=host)) for _ in range(4)]
        shown = [[next(session).picture is not None] for session in sessions]
        for session in sessions:
            session.push(tone(9), RATE)
            session.end_turn()
            while session.listen_now():
                pass
        while len(shown[0]) < 200:
            if not host.step():
                clock.seconds += 0.005
            for session, pictures in zip(sessions, shown, strict=True):
                while session.due(len(pictures)) <= clock.now():
                    pictures.append(next(session).picture is not None)
    for pictures in shown:
        assert sum(pictures) > 0.8 * len(pictures) / 2
        longest = max((len(list(run)) for there, run in itertools.groupby(pictures[30:]) if not there), default=0)
        assert longest <= 4


def test_a_sender_that_stalls_is_waited_for() -> None:
    """The face waits in mid-speech and goes on where it was."""
    clock = HandClock()
    with plain_session(clock) as session:
        taken(session, 2)
        session.push(tone(0.5), RATE)
        moments = taken(session, 25)
        session.push(tone(0.5), RATE)
        session.end_turn()
        moments += taken(session, 25)
        assert session.stats().broken_off == 1
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert np.array_equal(heard(spoken)[: len(tone(0.5))], tone(0.5))
    assert np.array_equal(heard(spoken)[RATE // 2 : RATE], tone(0.5))


def test_an_utterance_that_nobody_ends_is_ended() -> None:
    clock = HandClock()
    with plain_session(clock, options=LiveOptions(pause_s=0.3)) as session:
        first = session.push(tone(0.5), RATE)
        moments = taken(session, 40)
        spoken = [moment for moment in moments if moment.utterance == first]
        assert spoken[-1].is_last
        assert np.array_equal(heard(spoken)[: RATE // 2], tone(0.5))
        assert session.push(tone(0.1), RATE) == first + 1


def test_whoever_takes_late_loses_no_sound() -> None:
    clock = HandClock()
    with plain_session(clock) as session:
        session.push(tone(1), RATE)
        session.end_turn()
        moments = taken(session, 3)
        clock.seconds += 0.9
        moments += taken(session, 60)
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert np.array_equal(heard(spoken)[:RATE], tone(1))
    assert [moment.index for moment in moments] == list(range(63))


def test_moments_that_nobody_takes_fill_no_memory() -> None:
    clock = HandClock()
    with plain_session(clock, plain_avatar(5)) as session:
        session.push(tone(20), RATE)
        session.end_turn()
        taken(session, 3)
        for _ in range(40):
            clock.work()
            clock.seconds += 1
        assert len(session.settled()) <= 8
        moments = taken(session, 1100)
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert sum(len(moment.sound) for moment in spoken) >= 19.8 * RATE
    assert moments[-1].picture is not None


@pytest.mark.thorough
@pytest.mark.parametrize("sent", [[], [0], [1600], [1920 * 3], [1920 * 3, 0]])
@pytest.mark.parametrize("waits", [False, True])
def test_every_utterance_ends_once(sent: Sequence[int], waits: bool) -> None:
    """Also one of which all was given out before its end was known, and one without a sample; its silence too moves the
    mouth no further."""
    clock = HandClock()
    with plain_session(clock) as session:
        taken(session, 2)
        for count in sent:
            session.push(tone(1)[:count], RATE)
        moments = taken(session, 20 if waits else 0)
        session.end_turn()
        moments += taken(session, 20)
        said = [moment for moment in moments if moment.utterance is not None]
        assert [moment.is_last for moment in said] == [False] * (len(said) - 1) + [True] * bool(sent)
        assert sum(np.count_nonzero(moment.sound) for moment in said) == sum(sent)
        assert moments[-1].picture[0, 1, 0] == 0


def test_flash_and_beep_stay_together_for_hours() -> None:
    """A tone of 80 ms every minute, for eight hours: the bright pictures are those with the tone, and time is exact."""
    clock = HandClock()
    fps = Fraction(2_000, 1001)
    beep = np.full(round(0.08 * 16_000), 0.9, np.float32)
    beeps = 0
    with plain_session(clock, fps=fps, options=LiveOptions(sample_rate_hz=16_000)) as session:
        for moment in itertools.islice(session, 8 * 3600 * 2):
            if moment.index % 120 == 60:
                session.push(beep, 16_000)
                session.end_turn()
            assert moment.picture is not None
            assert (moment.picture[0, 1, 0] > 200) == bool(moment.sound.any())
            assert moment.time == moment.index * 16_000 * 1001 // 2_000
            beeps += moment.is_last
    assert beeps == 480


@pytest.mark.parametrize(
    ("samples", "first"),
    [
        (np.full((4800, 2), 0.25, np.float32), 0.25),
        (np.full(4800, 16_384, np.int16), 0.5),
        (np.full(4800, 0.5), 0.5),
        (np.full(4800, 7.0, np.float32), 1.0),
    ],
)
def test_every_kind_of_sound_is_taken(samples: FloatArray, first: float) -> None:
    clock = HandClock()
    with plain_session(clock) as session:
        session.push(samples, RATE)
        session.end_turn()
        spoken = [moment for moment in taken(session, 20) if moment.utterance is not None]
    assert np.allclose(heard(spoken)[:4800], first)


def test_any_rate_is_taken_and_may_change() -> None:
    clock = HandClock()
    with plain_session(clock) as session:
        session.push(tone(0.5, 8_000), 8_000)
        session.push(tone(0.5, 24_000), 24_000)
        session.end_turn()
        moments = taken(session, 60)
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert len(spoken) == 25
    assert np.abs(heard(spoken)[2_000:22_000] - tone(0.5, 8_000).repeat(6)[2_000:22_000]).max() < 0.02


def test_loud_sound_of_another_rate_stays_within_bounds() -> None:
    clock = HandClock()
    with plain_session(clock) as session:
        session.push(np.sign(tone(1, 24_000) - 0.5), 24_000)  # beyond them where it is resampled
        session.end_turn()
        sound = heard(taken(session, 30))
    assert np.abs(sound).max() == 1


def test_what_is_no_sound() -> None:
    clock = HandClock()
    with plain_session(clock) as session:
        broken = tone(0.1)
        broken[100:110] = np.nan
        broken[200] = np.inf
        session.push(broken, RATE)
        session.end_turn()
        spoken = [moment for moment in taken(session, 20) if moment.utterance is not None]
        assert np.isfinite(heard(spoken)).all()
        assert session.stats().cleaned_samples == 11
        with pytest.raises(InputError, match="shape"):
            session.push(np.zeros((2, 2, 2), np.float32), RATE)
        with pytest.raises(InputError, match="type"):
            session.push(np.zeros(4, np.int32), RATE)
        with pytest.raises(OptionError, match="Hz"):
            session.push(np.zeros(4, np.float32), 3)
        session.push(np.zeros(8_000 * 500, np.float32), 8_000)
        with pytest.raises(InputError, match="wait"):
            session.push(np.zeros(8_000 * 101, np.float32), 8_000)


def test_another_face_takes_over() -> None:
    clock = HandClock()
    with plain_session(clock) as session:
        session.push(tone(1), RATE)
        moments = taken(session, 5)
        session.show(plain_avatar(3, shade=200))
        moments += taken(session, 30)
        with pytest.raises(OptionError, match="16x16"):
            session.show(plain_avatar(size=16))
    shades = [int(moment.picture[4, 4, 0]) for moment in moments]
    change = shades.index(200)
    assert shades == [0] * change + [200] * (35 - change)
    assert change <= 5 + 13
    spoken = [moment for moment in moments if moment.utterance is not None]
    assert np.array_equal(heard(spoken)[:RATE], tone(1)[: len(heard(spoken))])


def test_a_face_that_was_replaced_is_let_go() -> None:
    clock = HandClock()
    replaced = plain_avatar(3)
    still_there = weakref.ref(replaced)
    with plain_session(clock) as session:
        session.show(replaced)
        del replaced
        for _ in range(2):
            taken(session, 20)
            session.show(plain_avatar(3))
        taken(session, 20)
        gc.collect()
        assert still_there() is None


def test_utterances_that_wait_are_limited() -> None:
    with plain_session(HandClock()) as session:
        for _ in range(MOST_UTTERANCES):
            session.push(np.zeros(1, np.float32), 8_000)
            session.end_turn()
        for more in (lambda: session.push(np.zeros(1, np.float32), 8_000), lambda: session.say("Good morning.")):
            with pytest.raises(InputError, match="1,000 utterances"):
                more()
        session.interrupt()
        session.push(np.zeros(1, np.float32), 8_000)


def test_a_long_text_is_not_spoken_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = SimpleNamespace(samples=np.zeros(8_000 * 30, np.float32), sample_rate_hz=8_000, duration_s=30.0)
    asked = [threading.Event() for _ in range(5)]

    def speak(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        for each in asked:
            each.set()
            yield SimpleNamespace(phones=None, clip=clip)

    monkeypatch.setattr("talkinghead.speech.engines.speak", speak)
    monkeypatch.setattr("talkinghead.speech.engines.voice_for", lambda *_: (None, ()))
    with plain_session(None) as session:
        session.say("Good morning.")
        assert asked[2].wait(20)  # 60 s were made, and a third half minute
        assert not asked[3].wait(0.2)
        assert session.interrupt().thrown_away_s >= 60


def test_a_head_that_fails_ends_its_own_session() -> None:
    clock = HandClock()

    def fails(orders: Sequence[Order]) -> list[Frame]:
        if any(int(order.frame[4, 4, 0]) == 9 for order in orders if order.frame is not None):
            raise ValueError("no such face")
        return draw(orders)

    host = Host(fails, 8, clock, RunContext(cache=NullCache()), threaded=False)
    with plain_session(clock, host=host) as good, plain_session(clock, plain_avatar(shade=9), host=host) as bad:
        clock.session = good
        assert all(moment.picture is not None for moment in taken(good, 10))
        with pytest.raises(ValueError, match="no such face"):
            taken(bad, 3)
        assert all(moment.picture is not None for moment in taken(good, 10))


def test_a_face_that_fails_ends_its_own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing is drawn yet: one thread asks the faces of all sessions."""

    def fails(index: int, _window: float) -> None:
        if index > 2:
            raise ValueError("no such pose")

    clock = HandClock()
    host = Host(draw, 8, clock, RunContext(cache=NullCache()), threaded=False)
    with plain_session(clock, host=host) as bad, plain_session(clock, host=host) as good:
        monkeypatch.setattr(bad._faces[0].face, "pose", lambda *what: (fails(*what), what)[1])
        bad.push(tone(1), RATE)  # is settled ahead of time
        clock.work()
        assert all(moment.picture is not None for moment in taken(good, 10))
        with pytest.raises(ValueError, match="no such pose"):
            taken(bad, 10)


def test_in_real_time_and_then_nothing_is_left() -> None:
    before = set(threading.enumerate())
    with plain_session(None, plain_avatar(5)) as session:
        session.push(tone(0.4), RATE)
        session.end_turn()
        started = time.perf_counter()
        moments = taken(session, 20)
        assert time.perf_counter() - started >= 19 / 25 - 0.005
    assert sum(moment.utterance is not None for moment in moments) == 10
    assert set(threading.enumerate()) == before
    with pytest.raises(RuntimeError, match="closed"):
        session.push(tone(0.1), RATE)
    assert list(session) == []
    session.close()


def test_closing_wakes_whoever_waits() -> None:
    session = plain_session(None)
    session.push(tone(0.1), RATE)
    threading.Timer(0.2, session.close).start()
    moments = list(session)
    assert 2 <= len(moments) <= 8


def test_in_asyncio() -> None:
    async def some(session: LiveSession[float]) -> list[Moment]:
        moments: list[Moment] = []
        async for moment in session:
            moments.append(moment)
            if len(moments) == 6:
                session.close()
        return moments

    moments = asyncio.run(some(plain_session(None)))
    assert [moment.index for moment in moments] == list(range(6))


@given(
    fps=st.fractions(min_value=1, max_value=240, max_denominator=1001),
    rate=st.integers(8_000, 192_000),
    index=st.integers(0, 10**7),
)
def test_ticks_are_exact(fps: Fraction, rate: int, index: int) -> None:
    ticks = Ticks(fps, rate)
    assert ticks.start(index) <= index * rate / fps < ticks.start(index) + 1
    assert ticks.at(ticks.seconds(index)) == index
    assert ticks.start(index) + ticks.num_samples(index) == ticks.start(index + 1)


def test_what_a_listener_is_not_asked() -> None:
    """The listener of these tests keeps the law that all keep."""
    sound = np.abs(np.sin(np.arange(20_000, dtype=np.float32)))
    whole = Loudness(FPS)
    expected = [*whole.push(sound), *whole.flush()]
    cut = Loudness(FPS)
    parts = [window for first in range(0, 20_000, 777) for window in cut.push(sound[first : first + 777])]
    assert [*parts, *cut.flush()] == expected
