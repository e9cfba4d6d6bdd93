"""A session as agents use it, with a head without a model, on real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from talkinghead.contracts import Frame, Picture
from talkinghead.engine.live import LiveOptions
from talkinghead.engine.live.face import Order
from talkinghead.errors import InputError
from talkinghead.live.feed import Beat, Feed, interleaved, opaque
from talkinghead.live.ledger import Piece
from talkinghead.media.sound import pcm16_from_float
from tests.engine.live.stage import draw, plain_session

RATE = 8_000
QUICK = LiveOptions(sample_rate_hz=RATE, lead_s=0.04, ahead_s=0.08)


def ramp(seconds: float, first: int = 1) -> Piece:
    """Sound whose every sample is another one."""
    return Piece(np.arange(first, first + round(seconds * RATE), dtype=np.int16)[:, np.newaxis], RATE)


async def beats_until(feed: Feed[Any], is_enough: Callable[[Beat[Any]], bool]) -> list[Beat[Any]]:
    found: list[Beat[Any]] = []
    stream: AsyncIterator[Beat[Any]] = feed.beats()
    async with aclosing(stream), asyncio.timeout(20):  # type: ignore[type-var]
        async for beat in stream:
            found.append(beat)
            if is_enough(beat):
                return found
    raise AssertionError("the session ended")


def heard(beats: Sequence[Beat[Any]]) -> np.ndarray:
    return np.concatenate([pcm16_from_float(beat.sound) for beat in beats if beat.sound is not None])


def test_all_comes_out_in_order():
    async def told() -> list[Beat[Any]]:
        with plain_session(None, options=QUICK) as session:
            feed: Feed[str] = Feed(session)
            feed.push(ramp(0.1))
            feed.mark("half")
            feed.push(ramp(0.1, 801))
            assert feed.end_turn()
            feed.mark("end", is_end=True)
            assert not feed.end_turn()
            assert not feed.is_silent
            return await beats_until(feed, lambda beat: "end" in beat.things)

    beats = asyncio.run(told())
    sound = heard(beats)
    np.testing.assert_array_equal(sound[:1600], np.arange(1, 1601))
    assert not sound[1600:].any()
    assert len(sound) < 1600 + RATE // 25
    before = next(index for index, beat in enumerate(beats) if "half" in beat.things)
    assert len(heard(beats[:before])) >= 800
    assert beats[-1].things == ("end",)


def test_an_interruption_leaves_what_keeps():
    async def told() -> tuple[list[str], list[Beat[Any]]]:
        with plain_session(None, options=QUICK) as session:
            feed: Feed[str] = Feed(session)
            feed.push(ramp(2))
            feed.mark("word")
            warning = ramp(0.08, 20_000)
            feed.push(Piece(warning.samples, RATE, "warning", keeps=True))
            feed.end_turn()
            feed.mark("end", is_end=True, keeps=True)
            await beats_until(feed, lambda beat: beat.sound is not None)
            lost = feed.interrupt()
            return lost, await beats_until(feed, lambda beat: "end" in beat.things)

    lost, beats = asyncio.run(told())
    assert lost == ["word"]
    sound = heard(beats)
    np.testing.assert_array_equal(sound[:640], np.arange(20_000, 20_640))
    assert not sound[640:].any()
    assert {beat.origin for beat in beats if beat.sound is not None} == {"warning"}


@pytest.mark.parametrize("when", [0, 8])
def test_the_sound_goes_on_without_the_head(when: int):
    """Each sample once, what was waiting and what comes later, and every thing in its place."""

    def broken(orders: Sequence[Order]) -> list[Frame]:
        if any(order.pose[0] >= when for order in orders):
            raise RuntimeError("out of paint")
        return draw(orders)

    async def told() -> tuple[list[Beat[Any]], BaseException | None, np.ndarray]:
        session = plain_session(None, options=QUICK, drawing=broken)
        feed: Feed[str] = Feed(session)
        with session:
            feed.push(ramp(0.4))
            feed.end_turn()
            feed.mark("first", is_end=True)
            feed.push(ramp(0.1, 10_001))
            beats = await beats_until(feed, lambda beat: beat.failure is not None)
            feed.push(ramp(0.1, 10_801))
            feed.end_turn()
            feed.mark("second", is_end=True)
            beats += await beats_until(feed, lambda beat: "second" in beat.things)
            feed.close()
            return beats, feed.failure, next(beat.picture for beat in beats[::-1] if beat.picture is not None)

    beats, failure, picture = asyncio.run(told())
    assert str(failure) == "out of paint"
    assert [thing for beat in beats for thing in beat.things] == ["first", "second"]
    sound = heard(beats)
    np.testing.assert_array_equal(sound[sound > 0], [*range(1, 3201), *range(10_001, 11_601)])
    assert picture.shape == (8, 8, 3)


def test_a_sender_is_held_while_much_waits(monkeypatch):
    monkeypatch.setattr("talkinghead.live.feed.FULL_S", 0.2)

    async def told() -> np.ndarray:
        with plain_session(None, options=QUICK) as session:
            feed: Feed[str] = Feed(session)
            feed.push(ramp(0.3))
            held = asyncio.create_task(feed.push_when_there_is_room(ramp(0.1, 10_000)))
            await asyncio.sleep(0)
            assert not held.done()
            assert session.stats().waiting_s == pytest.approx(0.3)
            feed.interrupt()
            await held
            assert session.stats().waiting_s == 0
            feed.push(ramp(0.3))
            held = asyncio.create_task(feed.push_when_there_is_room(ramp(0.1, 10_000)))
            beats = await beats_until(feed, lambda beat: held.done())
            feed.end_turn()
            feed.mark("end", is_end=True)
            return heard([*beats, *await beats_until(feed, lambda beat: bool(beat.things))])

    sound = asyncio.run(told())
    np.testing.assert_array_equal(sound[sound > 0], [*range(1, 2401), *range(10_000, 10_800)])


def test_silence_that_nobody_took_in_time_is_left_out():
    async def told() -> int:
        with plain_session(None, options=QUICK) as session:
            stream: AsyncIterator[Beat[str]] = Feed(session).beats()
            await anext(stream)
            time.sleep(0.3)  # nobody comes
            await anext(stream)
            return session.stats().moments

    assert asyncio.run(told()) >= 6


def test_samples_and_pixels():
    np.testing.assert_array_equal(interleaved(b"\1\0\2\0\3\0\4\0", 2), [[1, 2], [3, 4]])
    for data, channels in ((b"\1", 1), (b"\1\0", 2), (b"", 0)):
        with pytest.raises(InputError, match="channels was sent"):
            interleaved(data, channels)
    clear = Picture(np.full((1, 2, 3), 40, np.uint8), np.array([[0, 255]], np.uint8))
    np.testing.assert_array_equal(opaque(clear), [[[255] * 3, [40] * 3]])
