"""The targets of the built-in animator's mouth, on a corpus with exact phone times (voices never fitted)."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.audio.energy import frame_level_db
from talkinghead.audio.mouth import mouth_motion
from talkinghead.audio.phones import recognise_phones
from talkinghead.audio.visemes import is_vowel
from talkinghead.contracts import AudioClip, MouthMotion, Phone
from talkinghead.errors import MediaNotFound
from talkinghead.measure.mouth_bench import (
    MouthScores,
    faded,
    format_table,
    measure_drift,
    read_corpus,
    score_corpus,
    score_motion,
)
from talkinghead.media import read_audio

pytestmark = pytest.mark.thorough

CORPUS = Path(__file__).resolve().parent.parent / "data" / "mouth_corpus"


@pytest.fixture(scope="module")
def recognised() -> MouthScores:
    return score_corpus(read_corpus(CORPUS))["all"]


def test_targets_hold_for_recognised_phones(recognised: MouthScores) -> None:
    assert recognised.bilabials >= 100
    assert recognised.closed_share >= 0.97
    assert recognised.false_closed_share <= 0.05
    assert recognised.silence_ratio < 0.10
    assert recognised.loudness_correlation > 0.3
    assert recognised.height_correlation > 0.6
    assert abs(recognised.lag_ms) <= 40
    assert recognised.methods.count("pocketsphinx") == len(recognised.methods)


def test_targets_hold_for_sound_that_arrives() -> None:
    scores = score_corpus(read_corpus(CORPUS), live=True)["all"]
    assert scores.closed_share >= 0.9
    assert scores.false_closed_share <= 0.12
    assert scores.silence_ratio < 0.10
    assert scores.loudness_correlation > 0.3
    assert scores.height_correlation > 0.6
    assert abs(scores.lag_ms) <= 40
    assert set(scores.methods) == {"live"}


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60)])
def test_targets_hold_for_exact_phones(fps: Fraction) -> None:
    scores = score_corpus(read_corpus(CORPUS), fps, listen=None)["all"]
    assert scores.closed_share == 1.0
    assert scores.false_closed_share <= 0.01
    assert scores.silence_ratio < 0.10
    assert scores.loudness_correlation > 0.35
    assert scores.height_correlation > 0.65
    assert abs(scores.lag_ms) <= 40


def test_nothing_drifts_over_ten_minutes() -> None:
    lag_ms, drift = measure_drift(read_corpus(CORPUS)[::4], minutes=10.0)
    assert abs(lag_ms) <= 40
    assert abs(drift) <= 2.0


def test_a_mouth_that_never_moves_scores_as_it_should() -> None:
    phones = (
        Phone(0, 0.5, "SIL"),
        Phone(0.5, 0.8, "AA"),
        Phone(0.8, 0.9, "P"),
        Phone(0.9, 1.4, "AA"),
        Phone(1.4, 2, "SIL"),
    )
    x = 0.1 * np.random.default_rng(0).standard_normal(32000)
    clip = AudioClip(x.astype(np.float32), 16000)

    def still(lips: float) -> MouthScores:
        values = [np.full(50, v, np.float32) for v in (lips, lips, 0.0, 0.0, 0.0, 1.0)]
        return score_motion(MouthMotion(Fraction(25), *values), clip, phones)

    shut, open_ = still(0.0), still(0.6)
    assert (shut.closed_share, shut.false_closed_share, shut.silence_opening) == (1.0, 1.0, 0.0)
    assert (open_.closed_share, open_.false_closed_share) == (0.0, 0.0)
    assert open_.silence_ratio == pytest.approx(1.0, abs=0.01)
    both = shut + open_
    assert (both.bilabials, both.bilabials_closed) == (2, 1)
    assert both.closed_share == 0.5


def test_fading_swings_between_none_and_all() -> None:
    clip = AudioClip(np.ones(16000 * 3, np.float32), 16000)
    level = frame_level_db(faded(clip, depth_db=18, period_s=3.0))[5:-5]
    assert level.max() == pytest.approx(0, abs=0.2)
    assert level.min() == pytest.approx(-18, abs=0.2)


def test_a_folder_without_utterances_is_named(tmp_path: Path) -> None:
    (tmp_path / "alone.json").write_text("{}")
    with pytest.raises(MediaNotFound, match="no corpus"):
        read_corpus(tmp_path)
    assert format_table({"all": MouthScores()})


@pytest.mark.media
@pytest.mark.parametrize("name", ["speech_en_44k_stereo.flac", "speech_zh_48k_stereo.wav"])
def test_real_speech_opens_in_vowels_and_closes_in_silence(shared_media: Path, name: str) -> None:
    clip = read_audio(shared_media / name, 16_000)
    found = recognise_phones(clip)
    motion = mouth_motion(found.phones, clip, Fraction(25), clip.num_frames(Fraction(25)))
    scores = score_motion(motion, clip, found.phones)
    assert scores.closed_share == 1.0
    assert scores.silence_ratio < 0.10
    assert abs(scores.lag_ms) <= 40
    level = frame_level_db(clip)
    per_frame = np.array([level[round((i + 0.5) * 4)] for i in range(len(motion)) if round((i + 0.5) * 4) < len(level)])
    quiet = per_frame < np.percentile(per_frame, 95) - 35
    vowels = np.zeros(len(per_frame), bool)
    for phone in found.phones:
        if is_vowel(phone.label):
            vowels[int(phone.start_s * 25) : int(phone.end_s * 25)] = True
    lips = motion.lips[: len(per_frame)]
    if quiet.sum() > 10:
        assert lips[quiet].mean() < 0.25 * lips[vowels].mean()
