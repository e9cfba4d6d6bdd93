"""The animator's listener to speech that arrives."""

from fractions import Fraction

import numpy as np

from talkinghead.assets import demo_speech_path
from talkinghead.audio.mouth import MotionInParts
from talkinghead.contracts import MOUTH_COLUMNS, AudioClip, Phone
from talkinghead.engine.listener import hear_all
from talkinghead.families.viseme.live import LiveRows
from talkinghead.media import read_audio

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
