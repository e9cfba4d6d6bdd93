import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.assets import demo_phones_path, demo_speech_path
from talkinghead.audio.cues import mouth_cues
from talkinghead.audio.mouth import (
    LIPS_OVER_JAW,
    MotionInParts,
    MouthConfig,
    frame_moments,
    motion_from_cues,
    mouth_motion,
)
from talkinghead.audio.phones import fill_holes, read_phones
from talkinghead.audio.visemes import BILABIAL, CONSONANTS, CUE_TARGETS, LABIODENTAL, PHONES, TARGETS
from talkinghead.contracts import AudioClip, MouthCue, MouthMotion, Phone
from talkinghead.measure.sync import audio_video_offset
from talkinghead.media import read_audio

RATE = 16000
RATES = [Fraction(24), Fraction(25), Fraction(30), Fraction(60), Fraction(24000, 1001), Fraction(30000, 1001)]


def tone(seconds: float, level: float = 0.2) -> AudioClip:
    t = np.arange(round(seconds * RATE)) / RATE
    return AudioClip((level * np.sin(2 * np.pi * 150 * t)).astype(np.float32), RATE)


def demo() -> tuple[tuple[Phone, ...], AudioClip]:
    return read_phones(demo_phones_path()), read_audio(demo_speech_path(), RATE)


def move(phones: tuple[Phone, ...], clip: AudioClip, fps: Fraction = Fraction(25), **options: float) -> MouthMotion:
    return mouth_motion(phones, clip, fps, clip.num_frames(fps), MouthConfig(**options))


def between(start: float, label: str, length: float = 0.08) -> tuple[Phone, ...]:
    """A phone between two open vowels."""
    return (Phone(0, start, "AA"), Phone(start, start + length, label), Phone(start + length, 1.0, "AA"))


@given(start=st.floats(0.3, 0.6), length=st.floats(0.03, 0.2), label=st.sampled_from("PBM"), fps=st.sampled_from(RATES))
def test_lips_seal_at_p_b_m_wherever_the_phone_falls_between_frames(
    start: float, length: float, label: str, fps: Fraction
) -> None:
    motion = move(between(start, label, length), tone(1.0), fps)
    first, last = int(start * fps), int(np.ceil((start + length) * fps))
    sealed = motion.lips[first:last] == 0.0
    assert sealed.any()
    # At 25 fps and above the seal lasts at least 40 ms, give or take the grid.
    assert np.count_nonzero(motion.lips <= 0.02) >= max(1, int(Fraction(4, 100) * fps))
    # And it is a closure, not a rest: open before and after.
    assert motion.lips[: max(first - 3, 1)].max() > 0.5
    assert motion.lips[last + 3 :].max() > 0.5


@given(
    st.lists(st.tuples(st.sampled_from(sorted(PHONES)), st.floats(0.02, 0.4)), min_size=1, max_size=30),
    st.sampled_from(RATES),
    st.floats(0.5, 1.5),
)
def test_every_channel_stays_in_its_range(row: list[tuple[str, float]], fps: Fraction, openness: float) -> None:
    edges = np.concatenate(([0.0], np.cumsum([length for _, length in row])))
    phones = tuple(Phone(a, b, label) for (label, _), a, b in zip(row, edges[:-1], edges[1:], strict=True))
    clip = tone(float(edges[-1]))
    motion = mouth_motion(phones, clip, fps, clip.num_frames(fps), MouthConfig(openness=openness))
    for name, low in (("jaw", 0), ("lips", 0), ("width", -1), ("tuck", 0), ("tongue", 0), ("speaking", 0)):
        values = getattr(motion, name)
        assert len(values) == clip.num_frames(fps)
        assert np.all(np.isfinite(values))
        assert values.min() >= low
        assert values.max() <= 1
    assert np.all(motion.lips <= motion.jaw + LIPS_OVER_JAW + 0.05)


@pytest.mark.parametrize("fps", RATES)
def test_nothing_jumps(fps: Fraction) -> None:
    """A mouth opens or closes in about 50 ms; between two frames it cannot go further than that allows."""
    phones, clip = demo()
    motion = move(phones, clip, fps)
    for name, limit in (("jaw", 12.0), ("lips", 22.0), ("width", 22.0), ("speaking", 11.0)):
        steps = np.abs(np.diff(getattr(motion, name)))
        assert steps.max() <= min(limit / float(fps), 0.95), name


def test_vowels_open_by_height_and_rounding_shows() -> None:
    def pose(label: str) -> tuple[float, float]:
        motion = move((Phone(0, 0.3, "K"), Phone(0.3, 0.7, label), Phone(0.7, 1.0, "K")), tone(1.0))
        return float(motion.jaw[12]), float(motion.width[12])

    heights = [pose(label)[0] for label in ("AA", "AE", "EH", "IH", "IY")]
    assert heights == sorted(heights, reverse=True)
    assert pose("UW")[1] < -0.6
    assert pose("W")[1] < -0.6
    assert pose("IY")[1] > 0.5
    assert abs(pose("AA")[1]) < 0.2


def test_the_jaw_comes_up_where_lips_are_sealed() -> None:
    phones = between(0.45, "M")
    free, lifted = (move(phones, tone(1.0), seal_lift=share) for share in (0.0, 0.5))
    assert lifted.jaw[12] < 0.65 * free.jaw[12]
    assert lifted.lips[12] == free.lips[12] == 0
    np.testing.assert_allclose(lifted.jaw[:6], free.jaw[:6], atol=0.01)


def test_f_tucks_the_lip_and_l_lifts_the_tongue() -> None:
    f = move(between(0.45, "F"), tone(1.0))
    assert f.tuck[12] > 0.9
    assert f.lips[12] < 0.3
    assert move(between(0.45, "AA"), tone(1.0)).tuck.max() == 0
    assert move(between(0.45, "L"), tone(1.0)).tongue[12] > 0.6


def test_rounding_begins_before_the_rounded_sound() -> None:
    motion = move((Phone(0, 0.5, "S"), Phone(0.5, 1.0, "UW")), tone(1.0))
    alone = move((Phone(0, 1.0, "S"),), tone(1.0))
    assert motion.width[10] < alone.width[10] - 0.2


def test_silence_is_closed_and_pauses_close_by_length() -> None:
    def pause(length: float) -> MouthMotion:
        phones = (Phone(0, 1, "AA"), Phone(1, 1 + length, "SIL"), Phone(1 + length, 3, "AA"))
        return move(phones, tone(3.0), Fraction(50))

    long, short, tiny = pause(0.6), pause(0.1), pause(0.04)
    assert long.lips[60:78].max() == 0.0
    assert long.speaking[65] == 0.0
    assert 0.05 < short.lips[48:58].min() < 0.8 * tiny.lips[48:58].min()
    assert short.speaking.min() == 1.0


def test_speech_after_a_pause_opens_the_mouth_no_later_than_its_sound() -> None:
    motion = move((Phone(0, 0.5, "SIL"), Phone(0.5, 1.0, "AA")), tone(1.0), Fraction(100))
    assert motion.lips[44] < 0.1
    assert motion.lips[51] > 0.2


def test_louder_vowels_open_wider_and_quiet_recordings_open_as_far() -> None:
    phones = tuple(
        p for k in range(8) for p in (Phone(k * 0.5, k * 0.5 + 0.35, "AA"), Phone(k * 0.5 + 0.35, k * 0.5 + 0.5, "T"))
    )
    clip = tone(4.0, 1.0)
    gains = np.repeat(10 ** (-np.array([0, 18, 6, 12, 0, 18, 6, 12]) / 20), RATE // 2)
    shaped = AudioClip((clip.samples * 0.5 * gains).astype(np.float32), RATE)
    motion = move(phones, shaped)
    peaks = [motion.lips[round(k * 12.5) : round(k * 12.5) + 9].max() for k in range(8)]
    assert peaks[0] > peaks[2] > peaks[3] > peaks[1]
    assert peaks[0] > 1.6 * peaks[1]
    quiet = move(phones, AudioClip((shaped.samples * 0.02).astype(np.float32), RATE))
    np.testing.assert_allclose(quiet.lips, motion.lips, atol=0.02)
    flat = move(phones, shaped, loudness=0.0)
    assert np.ptp([flat.lips[round(k * 12.5) : round(k * 12.5) + 9].max() for k in range(8)]) < 0.05


def test_openness_scales_the_opening() -> None:
    phones, clip = demo()
    half, full = move(phones, clip, openness=0.5), move(phones, clip)
    np.testing.assert_allclose(half.jaw, 0.5 * full.jaw, atol=1e-6)
    assert move(phones, clip, openness=0.0).lips.max() == 0.0


@settings(max_examples=30, deadline=None)
@given(
    row=st.lists(st.tuples(st.sampled_from(sorted(PHONES)), st.floats(0.02, 0.4)), min_size=1, max_size=40),
    fps=st.sampled_from(RATES),
    known=st.integers(0, 40),
    cuts=st.lists(st.integers(0, 200), max_size=4),
)
def test_frames_that_are_settled_stay_as_they_are_whatever_follows(
    row: list[tuple[str, float]], fps: Fraction, known: int, cuts: list[int]
) -> None:
    edges = np.concatenate(([0.0], np.cumsum([length for _, length in row])))
    phones = fill_holes(
        [Phone(a, b, label) for (label, _), (a, b) in zip(row, pairwise(edges), strict=True)], edges[-1]
    )
    clip = tone(float(edges[-1]))
    whole = mouth_motion(phones, clip, fps, clip.num_frames(fps))
    parts = MotionInParts(clip, fps, len(whole))
    some = phones[:known]
    settled = parts.num_settled(some, some[-1].end_s if some else 0.0)
    assert parts.num_settled(phones, math.inf) == len(whole)
    bounds = sorted({0, settled, *(cut for cut in cuts if cut < settled)})
    for first, last in pairwise(bounds):
        part, wanted = parts.frames(some, first, last), whole.part(first, last)
        for name in ("jaw", "lips", "width", "tuck", "tongue", "speaking"):
            np.testing.assert_allclose(getattr(part, name), getattr(wanted, name), atol=1e-6)


def test_nearly_all_frames_are_settled_before_the_last_phones() -> None:
    phones, clip = demo()
    parts = MotionInParts(clip, Fraction(25), clip.num_frames(Fraction(25)))
    spoken = next(k for k in range(len(phones) - 1, 0, -1) if phones[k - 1].label != "SIL")
    assert parts.num_settled(phones[:spoken], phones[spoken - 1].end_s) > 25 * (phones[spoken - 1].end_s - 0.6)


@settings(max_examples=20)
@given(st.sampled_from(RATES), st.integers(1, 40))
def test_frame_moments_are_exact_at_any_index(fps: Fraction, minutes: int) -> None:
    n = int(minutes * 60 * fps)
    moments = frame_moments(fps, range(n), 4)
    assert moments[4 * (n - 1)] == pytest.approx(float(Fraction(8 * (n - 1) + 1, 8) / fps), abs=1e-9)


def test_the_same_words_later_move_the_mouth_the_same_way() -> None:
    """Ten minutes in, frames still lie where they lay: shifting phones by whole frames shifts the motion."""
    fps = Fraction(25)
    phones, clip = demo()
    shift = 15000 / 25
    late = tuple(Phone(p.start_s + shift, p.end_s + shift, p.label) for p in phones)
    late = (Phone(0, shift, "SIL"), *late)
    samples = np.concatenate([np.zeros(round(shift * RATE), np.float32), clip.samples])
    motion = mouth_motion(phones, clip, fps, clip.num_frames(fps))
    moved = mouth_motion(late, AudioClip(samples, RATE), fps, 15000 + len(motion))
    np.testing.assert_allclose(moved.lips[15003:], motion.lips[3:], atol=0.03)
    np.testing.assert_allclose(moved.width[15003:], motion.width[3:], atol=0.03)


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(25), Fraction(30), Fraction(60)])
def test_mouth_and_sound_are_together(fps: Fraction) -> None:
    phones, clip = demo()
    found = audio_video_offset(move(phones, clip, fps).lips, fps, clip)
    assert abs(found.lag_ms) <= 40
    assert found.confidence > 0.3


def test_motion_is_deterministic() -> None:
    phones, clip = demo()
    np.testing.assert_array_equal(move(phones, clip).lips, move(phones, clip).lips)


def test_cues_drive_the_mouth_much_as_the_phones_they_come_from() -> None:
    phones, clip = demo()
    fps = Fraction(25)
    by_phones = mouth_motion(phones, clip, fps, clip.num_frames(fps))
    by_cues = motion_from_cues(mouth_cues(phones), clip, fps, clip.num_frames(fps))
    assert np.corrcoef(by_phones.lips, by_cues.lips)[0, 1] > 0.75
    assert np.corrcoef(by_phones.width, by_cues.width)[0, 1] > 0.6


def test_every_cue_shape_looks_as_it_is_drawn() -> None:
    def pose(shape: str) -> MouthMotion:
        cues = (MouthCue(0, 0.4, "B"), MouthCue(0.4, 0.8, shape), MouthCue(0.8, 1.2, "B"))
        return motion_from_cues(cues, tone(1.2), Fraction(25), 30)

    poses = {shape: pose(shape) for shape in CUE_TARGETS}
    lips = {shape: float(motion.lips[15]) for shape, motion in poses.items()}
    assert lips["A"] == lips["X"] == 0.0
    assert lips["B"] < lips["E"] <= lips["C"] < lips["D"]
    assert poses["F"].width[15] < -0.6
    assert poses["G"].tuck[15] > 0.9
    assert poses["H"].tongue[15] > 0.5


def test_empty_and_unknown_input() -> None:
    empty = AudioClip(np.zeros(0, np.float32), RATE)
    assert len(mouth_motion((), empty, Fraction(25), 0)) == 0
    rest = mouth_motion((), tone(1.0), Fraction(25), 25)
    assert rest.lips.max() == 0.0
    strange = mouth_motion((Phone(0, 1, "XX"),), tone(1.0), Fraction(25), 25)
    assert strange.lips[12] > 0.2
    assert set(TARGETS) <= set(PHONES)


@pytest.mark.parametrize(
    "options",
    [{"openness": -1}, {"openness": 3}, {"lead_s": 1.0}, {"loudness": 2}, {"close_s": 0}, {"seal_s": -1}],
)
def test_contradictions_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        MouthConfig(**options)


@pytest.mark.parametrize("label", sorted(label for label in CONSONANTS if label not in BILABIAL | LABIODENTAL | {"W"}))
def test_lips_stay_visibly_apart_at_consonants_that_are_not_made_with_them(label: str) -> None:
    motion = move(between(1.0, label, 0.12), tone(2.0), Fraction(25))
    assert motion.lips[26:28].min() >= 0.3


@pytest.mark.parametrize("label", ["P", "B"])
def test_lips_are_shut_in_the_second_half_of_a_stop(label: str) -> None:
    """Where a stop was recognised early, nothing but that half is its own."""
    for start in np.arange(0.40, 0.44, 0.0025):
        lips = move(between(float(start), label, 0.06), tone(1.0)).lips
        half = slice(math.floor((start + 0.03) * 25), math.ceil((start + 0.06) * 25))
        assert lips[half].min() < 0.03
