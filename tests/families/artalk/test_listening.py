"""Sound to motion while it arrives: equal to the whole sound, as late as the listener says and no later."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import talkinghead as th
from talkinghead.contracts import AudioClip
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import hear_all
from talkinghead.errors import AudioTooShort, OptionError
from talkinghead.families.artalk.motion.config import MotionConfig
from talkinghead.families.artalk.motion.counts import VideoLength
from talkinghead.families.artalk.motion.engine import postprocess_motion
from talkinghead.families.artalk.motion.listener import MotionListener
from talkinghead.families.artalk.motion.rate import RateChange, longest_wait_s
from talkinghead.families.artalk.motion.stream import MotionStream
from talkinghead.families.artalk.weights import load_motion_model
from tests.golden_files import Golden

RATES = tuple(Fraction(text) for text in ("25", "30", "50", "24000/1001", "30000/1001", "12.5", "75", "7"))
CHUNK = 64_000


class StandIn:
    """Networks of no size: the motion of a chunk follows every one of its samples, and the chunks before it."""

    chunk_samples = CHUNK
    config = MotionConfig()

    def __init__(self):
        self.generator = SimpleNamespace(generate_chunk=self._generate)
        self.encoded = 0

    def start(self, style):
        return torch.zeros(1), 0.0

    def features(self, chunks, progress=None):
        for number, chunk in enumerate(chunks):
            if progress is not None:
                progress(number, len(chunks))
            self.encoded += 1
            yield chunk[None]

    def _generate(self, features, token, state):
        state = 0.5 * state + float(features.double().sum())
        wave = torch.arange(100 * 106, dtype=torch.float32).reshape(1, 100, 106).mul(0.37).sin()
        return SimpleNamespace(motion=wave + state), state


def listener(fps=Fraction(25), *, model=None, most=None, published=False, smooth=True, style=None, expressive=True):
    stream = MotionStream(model or StandIn(), style, smooth=smooth, refuse_short=published)
    return MotionListener(stream, VideoLength(fps, published, most), RunContext(), expressive=expressive)


def heard(made, samples, cuts=()):
    edges = [0, *sorted(cuts), len(samples)]
    windows = hear_all(made, [samples[start:stop] for start, stop in pairwise(edges)]).windows
    return np.asarray(windows, np.float32).reshape(-1, 106)


def noise(count, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


SOUND = noise(150_000)


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 150_000), max_size=8),
    length=st.integers(1, 150_000),
    fps=st.sampled_from(RATES),
    smooth=st.booleans(),
    most=st.none() | st.integers(0, 120),
)
def test_however_the_sound_is_cut_the_motion_is_the_same(cuts, length, fps, smooth, most):
    samples = SOUND[:length]
    whole = heard(listener(fps, smooth=smooth, most=most), samples)
    cut = heard(listener(fps, smooth=smooth, most=most), samples, [place for place in cuts if place < length])
    count = AudioClip(samples, 16_000).num_frames(fps)
    assert len(whole) == (count if most is None else min(count, most))
    assert np.array_equal(cut, whole)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("fps", RATES)
def test_lookahead_is_exact(fps, smooth):
    made = listener(fps, smooth=smooth)
    lookahead = longest_wait_s(fps, 100, 4 if smooth else 0)
    assert made.lookahead_s == float(lookahead)
    before = heard(made, SOUND)
    longest = Fraction(0)
    for place in (0, 30_000, CHUNK - 1, CHUNK, 100_000, 2 * CHUNK - 1, 2 * CHUNK, len(SOUND) - 1):
        samples = SOUND.copy()
        samples[place] += 0.5
        after = heard(listener(fps, smooth=smooth), samples)
        first = int(np.flatnonzero((after != before).any(axis=1))[0])
        longest = max(longest, Fraction(place + 1, 16_000) - first / fps)
        assert Fraction(place, 16_000) < first / fps + lookahead, "a later sample changed this frame"
    assert longest <= lookahead
    if (4 * fps).denominator == 1:  # at other rates the frame that waits longest comes later than this sound lasts
        assert longest == lookahead, "less would do"


@pytest.mark.parametrize("fps", RATES)
def test_no_frame_comes_later_than_said(fps):
    made, pushed, given_frames = listener(fps), 0, 0
    lookahead = longest_wait_s(fps, 100, 4)
    while pushed < len(SOUND):
        piece = SOUND[pushed : pushed + 1_920]
        pushed += len(piece)
        given_frames += len(made.push(piece))
        due = math.floor((Fraction(pushed, 16_000) - lookahead) * fps) + 1
        assert given_frames >= due, pushed


@pytest.mark.thorough
@settings(max_examples=100, deadline=None)
@given(fps=st.fractions(Fraction(1), Fraction(60), max_denominator=24), behind=st.sampled_from([0, 4]))
def test_the_longest_wait_is_the_longest_there_is(fps, behind):
    def wait(index):
        row = max(0, math.ceil((index + Fraction(1, 2)) * 25 / fps - Fraction(1, 2)))
        return 4 * ((row + behind) // 100 + 1) - index / fps

    period = math.ceil(4 * fps * (4 * fps).denominator)
    assert max(wait(index) for index in range(2 * period + 2)) == longest_wait_s(fps, 100, behind)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 60),
    fps=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    more=st.integers(-2, 3),
)
def test_motion_at_another_rate(rows, fps, cuts, more):
    motion = noise(rows * 106, seed=rows).reshape(rows, 106)
    count = max(1, math.ceil(rows * fps / 25) + more)
    change = RateChange(fps)
    parts = [change.feed(part) for part in np.split(motion, sorted(cut for cut in cuts if cut <= rows))]
    found = np.concatenate([*parts, change.finish(count)])[:count]
    places = [float((index + Fraction(1, 2)) * 25 / fps - Fraction(1, 2)) for index in range(count)]
    expected = np.stack([np.interp(places, np.arange(rows), column) for column in motion.T.astype(np.float64)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if fps == 25:
        assert np.array_equal(found, motion[np.minimum(np.arange(count), rows - 1)])


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 5 * CHUNK), min_size=1, max_size=4), fps=st.sampled_from(RATES))
def test_no_piece_however_long_keeps_a_frame_back(sizes, fps):
    """What can no longer change comes from the call that brought the sound for it."""
    model, pushed, given_frames = StandIn(), 0, 0
    made = listener(fps, model=model)
    lookahead = longest_wait_s(fps, 100, 4)
    for size in sizes:
        pushed += size
        given_frames += len(made.push(noise(size)))
        assert model.encoded == pushed // CHUNK
        assert given_frames >= math.floor((Fraction(pushed, 16_000) - lookahead) * fps) + 1


def test_published_counts_and_short_sounds():
    assert len(heard(listener(published=True), noise(68_480))) == 107
    assert len(heard(listener(published=True, smooth=False), noise(4_480))) == 8
    assert len(heard(listener(), noise(4_480))) == 7
    with pytest.raises(AudioTooShort, match="8 frames"):
        heard(listener(published=True), noise(4_480))
    assert len(heard(listener(), noise(0))) == 0


def test_a_cut_video_is_noted_and_costs_no_more_than_it_shows():
    model = StandIn()
    made = listener(model=model, most=90)
    assert len(heard(made, SOUND, range(0, len(SOUND), 16_000))) == 90
    assert model.encoded == 1
    assert made.told().notes == ("The video is cut to 90 frames; the sound lasts 9.38 s.",)


def test_a_cancelled_run_ends_the_listening():
    from talkinghead.errors import Cancelled

    run = RunContext()
    made = MotionListener(MotionStream(StandIn()), VideoLength(), run, expressive=True)
    run.cancel.cancel()
    with pytest.raises(Cancelled):
        made.push(SOUND[:CHUNK])


# With networks --------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("length", [6_000, 68_480, 4 * CHUNK + 20_000])
def test_streamed_equals_whole(assets, length):
    """To the bit, however the sound is cut."""
    model = load_motion_model(assets / "ARTalk_wav2vec.pt")
    samples = np.tile(Golden("artalk/ar_small").inputs()["audio23"][0], 4)[:length]
    whole = postprocess_motion(model.generate(samples).motion)
    count = AudioClip(samples, 16_000).num_frames(Fraction(25))
    assert np.array_equal(heard(listener(model=model), samples), whole[:count])
    for piece in (7_777, 100_000):
        assert np.array_equal(heard(listener(model=model), samples, range(0, length, piece)), whole[:count])


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
def test_later_sound_does_not_reach_a_frame(assets):
    model = load_motion_model(assets / "ARTalk_wav2vec.pt")
    samples = np.tile(Golden("artalk/ar_small").inputs()["audio23"][0], 2)[:140_000]
    before = heard(listener(model=model), samples)
    for chunk in (1, 2):
        later = samples.copy()
        later[chunk * CHUNK :] = noise(len(samples) - chunk * CHUNK)
        after = heard(listener(model=model), later)
        known = 100 * chunk - 4
        assert np.array_equal(after[:known], before[:known])
        assert not np.array_equal(after[known:], before[known:])


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("fps", [None, Fraction(30)])
def test_frames_of_a_stream_are_those_of_the_whole_sound(assets, fps):
    head = th.load("artalk", assets=assets, image_size=32, antialias=1)
    avatar = head.prepare("mesh")
    samples = Golden("artalk/ar_small").inputs()["audio23"][0][:70_000]
    options = th.RenderOptions(fps=fps)
    assert head.can_stream(avatar)
    assert head.lookahead_s(avatar) == pytest.approx(4.16)
    pieces = [samples[start : start + 20_000] for start in range(0, len(samples), 20_000)]
    made = list(head.stream(avatar, pieces, options))
    whole = list(head.frames(avatar, th.listen(AudioClip(samples, 16_000)), options))
    assert len(made) == len(whole) == (110 if fps is None else 132)
    assert all(np.array_equal(one, other) for one, other in zip(made, whole, strict=True))


@pytest.mark.usefixtures("small_sizes")
def test_no_frame_of_a_stream_waits_for_later_sound(assets):
    head = th.load("artalk", assets=assets, image_size=32, antialias=1, threads=3)
    came = threading.Semaphore(0)

    def pieces():
        yield np.zeros(CHUNK, np.float32)
        for _ in range(96):
            assert came.acquire(timeout=120), "frames are kept back although their motion is known"
        yield np.zeros(6_000, np.float32)

    frames = 0
    for _ in head.stream(head.prepare("mesh"), pieces()):
        frames += 1
        came.release()
    assert frames == 110


def test_recognised_phones_need_the_whole_sound():
    head = th.load("artalk", driver="viseme", image_size=32)
    avatar = head.prepare("mesh")
    assert math.isinf(head.lookahead_s(avatar))
    with pytest.raises(OptionError, match="recognition of phones"):
        next(iter(head.stream(avatar, [SOUND])))
