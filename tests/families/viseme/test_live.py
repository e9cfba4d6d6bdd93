"""The animator in live sessions: its listener to speech that arrives, and its face."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

import talkinghead as th
from talkinghead.assets import demo_speech_path
from talkinghead.audio.mouth import MotionInParts
from talkinghead.contracts import MOUTH_COLUMNS, AudioClip, FloatArray, Phone
from talkinghead.engine.listener import hear_all
from talkinghead.engine.live import LiveOptions, LiveSession, Moment
from talkinghead.engine.live.opening import open_session
from talkinghead.engine.live.rows import LiveRows
from talkinghead.engine.speech_input import say
from talkinghead.errors import InputError
from talkinghead.families.viseme.animator import VisemeAvatar, animate_frame, motion_of, mouth_poses
from talkinghead.families.viseme.compose import Pose
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.warp import MouthPose
from talkinghead.media import read_audio
from talkinghead.speech.espeak import find_library
from tests.engine.live.stage import HandClock

FPS = Fraction(30000, 1001)


def test_it_hears_a_sound_in_pieces_as_the_whole() -> None:
    speech = read_audio(demo_speech_path(), 16000).samples[:24_000]
    heard = hear_all(LiveRows(FPS), np.split(speech, range(320, len(speech), 320)))
    whole = hear_all(LiveRows(FPS), [speech])
    assert len(heard.windows) == AudioClip(speech, 16000).num_frames(FPS)
    np.testing.assert_array_equal(np.array(heard.windows), np.array(whole.windows))
    assert heard.method == "live"
    assert LiveRows(FPS).lookahead_s <= 0.2


def test_a_sentence_of_known_phones_can_begin_anywhere_in_a_session() -> None:
    """Speech from text knows its phones: silence before it, to a whole frame, moves its rows and nothing else."""
    fps = Fraction(25)
    speech = read_audio(demo_speech_path(), 16000).samples[:24_000]
    phones = (Phone(0, 0.3, "SIL"), Phone(0.3, 0.6, "AA"), Phone(0.6, 0.7, "P"), Phone(0.7, 1.5, "IY"))
    later_s = 7 / fps
    clip = AudioClip(speech, 16000)
    moved = AudioClip(np.concatenate((np.zeros(int(later_s * 16000), np.float32), speech)), 16000)
    shifted = tuple(Phone(p.start_s + float(later_s) if i else 0.0, p.end_s + float(later_s), p.label)
                    for i, p in enumerate(phones))  # fmt: skip
    alone = MotionInParts(clip, fps, clip.num_frames(fps)).frames(phones, 0, 38)
    within = MotionInParts(moved, fps, moved.num_frames(fps)).frames(shifted, 7, 45)
    for name in MOUTH_COLUMNS:
        np.testing.assert_allclose(getattr(within, name), getattr(alone, name), atol=2e-3)


@pytest.fixture(scope="module")
def speech() -> FloatArray:
    return read_audio(demo_speech_path(), 16_000).samples[:19_200]


def session_of(avatar: VisemeAvatar, clock: HandClock, **family: object) -> LiveSession[FloatArray]:
    head = th.load("viseme", idle_motion=False, **family)
    session = open_session(head, avatar, LiveOptions(sample_rate_hz=16_000), clock=clock)
    clock.session, clock.host = session, head.host
    return session


def spoken_and_silent(session: LiveSession[FloatArray], count: int) -> tuple[list[Moment], list[Moment]]:
    moments = list(itertools.islice(session, count))
    spoken = [moment for moment in moments if moment.utterance is not None]
    return spoken, [moment for moment in moments if moment.utterance is None]


def test_a_session_shows_what_its_listener_heard(still_avatar: VisemeAvatar, speech: FloatArray) -> None:
    """Pictures of speech are those of its rows; before it and well after it the mouth rests."""
    clock = HandClock()
    rows = hear_all(LiveRows(Fraction(25)), [speech]).windows
    config = VisemeConfig(idle_motion=False)
    with session_of(still_avatar, clock) as session:
        session.push(speech, 16_000)
        session.end_turn()
        spoken, silent = spoken_and_silent(session, len(rows) + 12)
        assert session.lookahead_s <= 0.2
    assert len(spoken) == len(rows)
    np.testing.assert_array_equal(np.concatenate([moment.sound for moment in spoken])[: len(speech)], speech)
    frame = next(iter(still_avatar.frames.read(0, 1)))
    for number in range(2, len(rows), 5):  # after it has come in
        pose = Pose(mouth_poses(motion_of([rows[number]], Fraction(25)), config)[0])
        expected = animate_frame(frame, still_avatar.face(0), pose, config)
        np.testing.assert_array_equal(spoken[number].picture, expected)
    rest = animate_frame(frame, still_avatar.face(0), Pose(MouthPose()), config)
    assert len({moment.picture.tobytes() for moment in spoken}) > 10
    for moment in (*silent[:2], *silent[-3:]):
        np.testing.assert_array_equal(moment.picture, rest)


@pytest.mark.skipif(find_library() is None, reason="espeak-ng is not installed")
def test_a_text_is_said_with_its_own_phones(still_avatar: VisemeAvatar) -> None:
    """Sentence by sentence; lips are sealed while an m sounds."""
    clock = HandClock()
    with session_of(still_avatar, clock) as session:
        assert session.say("Mama. Papa!") == 1
        spoken, silent = spoken_and_silent(session, 90)
        assert session.stats().waiting_s == 0
        with pytest.raises(InputError):
            session.say("   ")
    said = [say(text).clip.duration_s for text in ("Mama.", "Papa!")]
    assert 0 <= len(spoken) / 25 - float(sum(said)) <= 3 / 25
    assert [moment.is_last for moment in spoken] == [False] * (len(spoken) - 1) + [True]
    assert len({moment.picture.tobytes() for moment in spoken}) > 10
    assert silent
