"""What an agent sent keeps its order, and is there until it was heard."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.live.ledger import Ledger, Mark, Piece, Sent

RATE = 8_000
SENT = st.lists(st.tuples(st.integers(0, 4000), st.booleans(), st.booleans()), max_size=8)
"""Samples of a piece, whether a thing follows it, whether its utterance ends with it."""


def piece(count: int, first: int = 0) -> Piece:
    return Piece(np.arange(first, first + count, dtype=np.int16)[:, np.newaxis], RATE)


def filled(sent: list[tuple[int, bool, bool]]) -> tuple[Ledger[int], list[int]]:
    """A ledger, and the lengths of its utterances, which are numbered from 1."""
    ledger: Ledger[int] = Ledger()
    lengths = [0]
    for number, (count, is_marked, is_end) in enumerate(sent):
        if count:
            ledger.sound(len(lengths), piece(count, sum(lengths)))
            lengths[-1] += count
        if is_marked or is_end:
            ledger.mark(number, is_end=is_end and lengths[-1] > 0)
        if is_end and lengths[-1]:
            lengths.append(0)
    return ledger, lengths


@settings(deadline=None)
@given(sent=SENT, steps=st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_things_come_in_order_behind_their_sound(sent, steps):
    ledger, lengths = filled(sent)
    numbers = [number for number, (_, is_marked, is_end) in enumerate(sent) if is_marked or is_end]
    places = {number: sum(count for count, _, _ in sent[: number + 1]) for number in numbers}
    out = ledger.due()
    heard = 0
    for utterance, length in enumerate(lengths, start=1):
        left = length
        while left:
            step = min(left, steps[heard % len(steps)])
            left, heard = left - step, heard + step
            ledger.heard(utterance, Fraction(step, RATE), is_last=not left)
            new = ledger.due()
            assert all(places[number] <= heard + RATE // 500 for number in new)
            out += new
    assert out == numbers
    assert ledger.is_empty


@settings(deadline=None)
@given(sent=SENT, share=st.floats(0, 1))
def test_what_was_not_heard_is_left(sent, share):
    """Sample by sample, with the things that belong behind it."""
    ledger, lengths = filled(sent)
    total = sum(lengths)
    wanted = round(share * total)
    left = wanted
    for utterance, length in enumerate(lengths, start=1):
        step = min(left, length)
        if step:
            ledger.heard(utterance, Fraction(step, RATE), is_last=step == length)
        left -= step
    seen = ledger.due()
    rest = ledger.rest()
    sounds = [entry.piece.samples[:, 0] for entry in rest if isinstance(entry, Sent)]
    found = np.concatenate(sounds) if sounds else np.zeros(0, np.int16)
    # a piece of which less than 2 ms are missing counts as heard, if something behind it was asked for
    assert 0 <= (total - wanted) - len(found) <= RATE // 500
    np.testing.assert_array_equal(found, np.arange(total - len(found), total, dtype=np.int16))
    things = [entry.thing for entry in rest if isinstance(entry, Mark)]
    assert seen + things == [number for number, (_, is_marked, is_end) in enumerate(sent) if is_marked or is_end]
    assert ledger.is_empty


def test_an_end_waits_for_the_last_moment():
    """All sound was heard, but its utterance has not said that it is over."""
    ledger: Ledger[str] = Ledger()
    ledger.sound(1, piece(800))
    ledger.mark("word")
    ledger.mark("end", is_end=True)
    ledger.heard(1, Fraction(1, 10), is_last=False)
    assert ledger.due() == ["word"]
    ledger.heard(1, Fraction(1, 100), is_last=True)
    assert ledger.due() == ["end"]


def test_what_was_forgotten_is_not_heard_later():
    """Moments of an interrupted utterance that somebody still held say nothing of the next one."""
    ledger: Ledger[str] = Ledger()
    ledger.sound(1, piece(800))
    assert ledger.playing is not None
    assert [type(entry) for entry in ledger.rest()] == [Sent]
    assert ledger.playing is None
    ledger.sound(2, piece(800))
    ledger.mark("word")
    ledger.heard(1, Fraction(1), is_last=True)
    assert ledger.due() == []
    ledger.heard(2, Fraction(1, 10), is_last=False)
    assert ledger.due() == ["word"]
