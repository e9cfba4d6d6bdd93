"""ARTalk live: phones move the head 0.2 s later, its networks 4 s later, and a silent head lives on."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

import talkinghead as th
from talkinghead.assets import demo_speech_path
from talkinghead.audio.mouth import MouthConfig
from talkinghead.contracts import FloatArray, Phone
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import hear_all
from talkinghead.engine.live.rows import LiveRows
from talkinghead.families.artalk.live import LiveLife, MovedHead, SpokenHead, known_rows
from talkinghead.families.artalk.motion.config import MOTION_DIM
from talkinghead.families.artalk.motion.counts import VideoLength
from talkinghead.families.artalk.pipeline import ARTalkHead
from talkinghead.families.artalk.procedural.head import EXPRESSIONS
from talkinghead.families.artalk.viseme_driver import Liveliness, procedural_shapes
from talkinghead.media import read_audio
from tests.engine.live.stage import HandClock, live_session
from tests.families.artalk.test_listening import StandIn, heard, listener, noise

FPS = Fraction(25)
BLINK = EXPRESSIONS.index("blink")


@pytest.fixture(scope="module")
def head() -> ARTalkHead:
    found = th.load("artalk", driver="viseme", image_size=96, antialias=1)
    assert isinstance(found, ARTalkHead)
    return found


@pytest.fixture(scope="module")
def speech() -> FloatArray:
    return read_audio(demo_speech_path(), 16_000).samples[:16_000]


def test_rows_are_the_same_however_the_sound_is_cut(head: ARTalkHead, speech: FloatArray) -> None:
    avatar = head.prepare("mesh")
    whole = hear_all(head.live_listener(avatar, FPS, RunContext()), [speech]).windows
    pieces = hear_all(head.live_listener(avatar, FPS, RunContext()), np.split(speech, range(500, 16_000, 500))).windows
    np.testing.assert_array_equal(np.array(pieces), np.array(whole))
    assert len(whole) == 25
    assert LiveRows(FPS, MouthConfig()).lookahead_s == 0.2


def test_known_phones_shut_the_lips(speech: FloatArray) -> None:
    phones = (Phone(0, 0.2, "SIL"), Phone(0.2, 0.5, "AA"), Phone(0.5, 0.64, "M"), Phone(0.64, 1, "AA"))
    rows = np.array(hear_all(known_rows(phones, VideoLength(FPS), MouthConfig()), [speech]).windows)
    assert rows.shape == (25, 6)
    assert rows[14, 1] == 0
    assert rows[[9, 20], 1].min() > 0.2


def test_networks_live_give_the_motion_of_the_whole_sound() -> None:
    """A chunk is heard before its first frame is known; windows are equal to the bit."""
    sound = noise(100_000)
    model = StandIn()
    whole = heard(listener(model=model), sound)
    np.testing.assert_array_equal(heard(listener(model=model), sound, range(777, 100_000, 777)), whole)
    assert 4 <= listener(model=model).lookahead_s < 4.5


def test_a_silent_head_blinks_and_moves_without_a_jump() -> None:
    shapes, lively = procedural_shapes(EXPRESSIONS), Liveliness(blinks_per_minute=30)
    face = SpokenHead(FPS, shapes, lively)
    rows = np.stack([face.pose(index, face.rest).row for index in range(1_000)])
    assert rows.shape == (1_000, MOTION_DIM)
    blinks = np.diff((rows[:, BLINK] > 0.5).astype(int), prepend=0) == 1
    assert 12 <= blinks.sum() <= 28
    head_moves = rows[:, 100:103]
    assert head_moves.std(axis=0).min() > 1e-3
    assert np.abs(np.diff(head_moves, axis=0)).max() < 0.01
    again = SpokenHead(FPS, shapes, lively)
    np.testing.assert_array_equal(again.pose(0, again.rest).row, rows[0])
    life = LiveLife(FPS, lively)
    assert life._blinks[-1] == 0  # they come again after a while


def test_motion_of_networks_goes_over_into_a_life_of_its_own() -> None:
    shapes = procedural_shapes(EXPRESSIONS)
    face = MovedHead(FPS, shapes, Liveliness())
    window = np.full(MOTION_DIM, 0.1, np.float32)
    for index in range(20):
        row = face.pose(index, window).row
    np.testing.assert_array_equal(row, window)  # nothing is added to what the networks say
    np.testing.assert_array_equal(face.eased(window, 0.0), face.rest)
    for index in range(20, 60):
        row = face.pose(index, face.rest).row
    alive = SpokenHead(FPS, shapes, Liveliness())
    for index in range(60):
        own = alive.pose(index, alive.rest).row
    np.testing.assert_allclose(row, own, atol=1e-5)


def test_a_session_speaks_and_rests(head: ARTalkHead, speech: FloatArray) -> None:
    avatar, clock = head.prepare("mesh"), HandClock()
    with live_session(head, avatar, clock) as session, live_session(head, avatar, clock) as silent:
        session.push(speech, 16_000)
        session.end_turn()
        moments = [(next(session), next(silent)) for _ in range(45)]
        assert session.stats().late_pictures == 0
        assert session.lookahead_s == 0.2
    spoken = [(moment.picture, other.picture) for moment, other in moments if moment.utterance is not None]
    assert len(spoken) == 25
    assert sum((picture != other).any() for picture, other in spoken) > 15
    assert len({other.tobytes() for _, other in itertools.islice(spoken, 10)}) > 5
