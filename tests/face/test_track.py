"""From detections to one box per frame: every policy, with scripted detectors."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import FaceStatus, FloatArray, Frame, FrameSource, NetworkRun
from talkinghead.engine.cache import Cache, NullCache
from talkinghead.errors import AmbiguousFace, NoFaceFound, OptionError
from talkinghead.face import (
    DetectionLog,
    FaceOptions,
    RawTrack,
    detect_faces,
    fill_gaps,
    interpolate_skipped,
    smooth_track,
    track_faces,
)
from talkinghead.face.detections import is_cut, reduced, thumbnail
from talkinghead.face.gaps import short_gaps
from talkinghead.face.track import smooth_series

RAW = FaceOptions(smoothing=0)
D, N, H, M = FaceStatus.DETECTED, FaceStatus.INTERPOLATED, FaceStatus.HELD, FaceStatus.MISSING


@pytest.fixture
def track(tools):
    """Track a script of detections by frame number."""

    def run(script, count: int, options: FaceOptions = RAW, *, shots=None, source=None, **rest):
        source = source or tools.MemorySource(tools.numbered_frames(count, shots=shots))
        detector = rest.pop("detector", None) or tools.ScriptedDetector(script)
        return track_faces(source, options, detector=detector, **rest)

    return run


def moving(tools, count: int, *, step: float = 2.0, points: bool = False, without: tuple[int, ...] = ()):
    """A face that moves right by `step` pixels a frame; missing in some frames."""
    return {
        i: [tools.face(20 + step * i, 30, 60 + step * i, 80, points=points)] for i in range(count) if i not in without
    }


def test_the_source_of_these_tests_keeps_the_contract(tools) -> None:
    assert isinstance(tools.MemorySource(tools.numbered_frames(2)), FrameSource)


# The plain case.


def test_each_frame_has_the_box_that_was_detected(tools, track) -> None:
    found = track(moving(tools, 10, points=True), 10)
    assert found.boxes_xyxy.dtype == np.int32
    assert found.boxes_xyxy.tolist() == [[20 + 2 * i, 30, 60 + 2 * i, 80] for i in range(10)]
    assert found.status.tolist() == [D] * 10
    assert found.scores.tolist() == pytest.approx([0.9] * 10)
    assert found.key_points is not None
    np.testing.assert_allclose(found.key_points[:, 2, 0], [40 + 2 * i for i in range(10)], atol=1e-4)
    assert found.detector == "scripted"


def test_a_picture_is_a_track_of_one(tools, track) -> None:
    found = track({0: [tools.face(10.4, 20.6, 50.5, 70.2)]}, 1, FaceOptions())
    assert found.boxes_xyxy.tolist() == [[10, 21, 51, 70]]


def test_boxes_are_clamped_to_the_frame(tools, track) -> None:
    assert track({0: [tools.face(-30, -20, 500, 400)]}, 1).boxes_xyxy.tolist() == [[0, 0, 160, 120]]
    assert track({0: [tools.face(150, 110, 170, 130)]}, 1).boxes_xyxy.tolist() == [[150, 110, 160, 120]]
    assert track({0: [tools.face(200, 200, 240, 240)]}, 1).boxes_xyxy.tolist() == [[159, 119, 160, 120]]


def test_padding_moves_the_edges_outwards(tools, track) -> None:
    found = track({0: [tools.face(50, 40, 90, 80)]}, 1, FaceOptions(smoothing=0, padding=(1, 2, 3, 4)))
    assert found.boxes_xyxy.tolist() == [[47, 39, 94, 82]]
    huge = track({0: [tools.face(50, 40, 90, 80)]}, 1, FaceOptions(smoothing=0, padding=(-500, -500, -500, -500)))
    x1, y1, x2, y2 = huge.boxes_xyxy[0]
    assert x2 > x1
    assert y2 > y1


def test_the_fixed_box_is_there_in_every_frame_and_nothing_is_decoded_for_it(tools) -> None:
    source = tools.MemorySource(tools.numbered_frames(30))
    found = track_faces(source, FaceOptions(box=(10, 20, 400, 60)))
    assert found.boxes_xyxy.tolist() == [[10, 20, 160, 60]] * 30
    assert found.count(D) == 30
    assert source.reads == 1
    assert found.detector == "box (10, 20, 400, 60)"


def test_the_detector_gets_batches_of_bounded_size(tools, track) -> None:
    detector = tools.ScriptedDetector(moving(tools, 11))
    track(None, 11, detector=detector)
    assert detector.batches == [4, 4, 3]
    assert detector.asked == list(range(11))


def test_large_frames_make_small_batches(tools, track, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.face import detections

    frame_bytes = 160 * 120 * 3
    monkeypatch.setattr(detections, "BATCH_BYTES", 2 * frame_bytes)
    detector = tools.ScriptedDetector(moving(tools, 5))
    track(None, 5, detector=detector)
    assert max(detector.batches) == 2
    monkeypatch.setattr(detections, "BATCH_BYTES", 1)
    detector = tools.ScriptedDetector(moving(tools, 5))
    track(None, 5, detector=detector)
    assert detector.batches == [1] * 5


def test_stop_leaves_later_frames_out(tools, track) -> None:
    assert len(track(moving(tools, 10), 10, stop=4)) == 4
    assert len(track(moving(tools, 10), 10, stop=99)) == 10


def test_progress_is_told_and_may_stop_the_run(tools, track) -> None:
    told: list[tuple[int, int]] = []
    track(moving(tools, 10), 10, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert [done for done, _ in told] == sorted({done for done, _ in told})

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    detector = tools.ScriptedDetector(moving(tools, 100))
    with pytest.raises(Stop):
        track(None, 100, detector=detector, progress=stop)
    assert len(detector.asked) <= 8


# Frames without a face.


def test_hold_uses_the_last_box_again_and_the_first_at_the_beginning(tools, track) -> None:
    found = track(moving(tools, 8, without=(0, 1, 4, 5, 7)), 8)
    left = found.boxes_xyxy[:, 0].tolist()
    assert left == [24, 24, 24, 26, 26, 26, 32, 32]
    assert found.status.tolist() == [H, H, D, D, H, H, D, H]
    assert found.count(H) == 5
    assert (found.scores[[0, 1, 4, 5, 7]] == 0).all()


def test_only_short_gaps_are_held(tools, track) -> None:
    """Half a second at 25 frames/s; a longer gap passes whole."""
    found = track(moving(tools, 60, step=1, without=(5, *range(10, 22), *range(30, 43))), 60)
    assert np.flatnonzero(found.status == H).tolist() == [5, *range(10, 22)]
    assert np.flatnonzero(found.status == M).tolist() == list(range(30, 43))
    assert found.notes == (
        "No face was found in 26 of 60 frames: 13 take the face's last place and 13 are left as they are.",
    )
    assert track(moving(tools, 5), 5).notes == ()


def test_a_shot_without_the_face_is_left_alone(tools, track) -> None:
    script = {i: [tools.face(20, 20, 60, 60)] for i in range(30) if not 10 <= i < 14}
    found = track(script, 30, shots={10: 5, 14: 9})
    assert np.flatnonzero(found.status == M).tolist() == [10, 11, 12, 13]
    assert found.count(H) == 0


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 6), st.data())
def test_gaps_that_are_held_equal_the_plain_loop(present: list[bool], longest: int, data: st.DataObject) -> None:
    n = len(present)
    shots = np.sort(np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), np.int32))
    status = np.where(present, D, M).astype(np.uint8)

    def is_held(i: int) -> bool:
        low = high = i
        while low > 0 and not present[low - 1] and shots[low - 1] == shots[i]:
            low -= 1
        while high < n - 1 and not present[high + 1] and shots[high + 1] == shots[i]:
            high += 1
        return high - low + 1 <= longest and any(present[j] for j in range(n) if shots[j] == shots[i])

    expected = [not present[i] and is_held(i) for i in range(n)]
    assert short_gaps(status, shots, longest).tolist() == expected
    assert short_gaps(status, shots, None).tolist() == [not here for here in present]


def test_pass_leaves_frames_alone_but_gives_them_a_box(tools, track) -> None:
    found = track(moving(tools, 6, without=(0, 3)), 6, FaceOptions(smoothing=0, no_face="pass"))
    assert found.status.tolist() == [M, D, D, M, D, D]
    assert found.count(M) == 2
    assert (found.boxes_xyxy[:, 2] > found.boxes_xyxy[:, 0]).all()


def test_fail_names_the_first_frame_without_a_face(tools, track) -> None:
    with pytest.raises(NoFaceFound, match=r"2 of 50 frames .* first is frame 25 \(1\.00 s\)") as caught:
        track(moving(tools, 50, step=1, without=(25, 30)), 50, FaceOptions(no_face="fail"))
    assert '"hold"' in str(caught.value)
    assert len(track(moving(tools, 5), 5, FaceOptions(no_face="fail"))) == 5


@pytest.mark.parametrize("policy", ["hold", "pass", "fail"])
@pytest.mark.parametrize("count", [1, 7])
def test_no_face_at_all_is_an_error_with_a_remedy(track, policy: str, count: int) -> None:
    with pytest.raises(NoFaceFound) as caught:
        track({}, count, FaceOptions(no_face=policy))
    text = str(caught.value)
    assert "memory.mp4" in text
    assert "scripted" in text
    assert "box" in text
    assert ("the picture" if count == 1 else "7 frames") in text


def test_gaps_are_filled_from_their_own_shot_first() -> None:
    values = np.array([[np.nan], [1], [np.nan], [np.nan], [2], [np.nan]], np.float32)
    shots = np.array([0, 0, 0, 1, 1, 2], np.int32)
    assert fill_gaps(values, shots).ravel().tolist() == [1, 1, 1, 2, 2, 2]
    assert fill_gaps(values).ravel().tolist() == [1, 1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="nothing to fill from"):
        fill_gaps(np.full((3, 4), np.nan, np.float32))


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any), st.data())
def test_filling_equals_the_plain_loop(present: list[bool], data: st.DataObject) -> None:
    n = len(present)
    shots = np.sort(np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), np.int32))
    values = np.array([[i if here else np.nan] for i, here in enumerate(present)], np.float32)
    expected = []
    for i in range(n):
        own = [j for j in range(n) if present[j] and shots[j] == shots[i]]
        every = [j for j in range(n) if present[j]]
        earlier_own, earlier = [j for j in own if j <= i], [j for j in every if j <= i]
        expected.append((earlier_own[-1:] or own[:1] or earlier[-1:] or every[:1])[0])
    assert fill_gaps(values, shots).ravel().tolist() == expected


# Every k-th frame.


def test_skipped_frames_are_interpolated(tools, track) -> None:
    detector = tools.ScriptedDetector(moving(tools, 10, points=True))
    found = track(None, 10, FaceOptions(smoothing=0, every=4), detector=detector)
    assert sorted(detector.asked) == [0, 4, 8, 9]
    assert found.boxes_xyxy[:, 0].tolist() == [20 + 2 * i for i in range(10)]
    assert found.key_points is not None
    np.testing.assert_allclose(found.key_points[:, 2, 0], [40 + 2 * i for i in range(10)], atol=1e-3)
    assert found.status.tolist() == [D, N, N, N, D, N, N, N, D, D]
    assert (found.scores[found.status == N] == 0).all()
    assert "every 4 frames" in found.detector


@pytest.mark.parametrize(("policy", "beside", "mark"), [("hold", N, H), ("pass", M, M)])
def test_a_skipped_frame_beside_a_look_without_a_face_follows_the_nearer(tools, track, policy, beside, mark) -> None:
    """Where the frame without a face is left alone, those that were not looked at are, too: it may have gone there."""
    found = track(moving(tools, 9, without=(4,)), 9, FaceOptions(smoothing=0, every=4, no_face=policy))
    assert found.status.tolist() == [D, beside, beside, mark, mark, mark, mark, beside, D]
    assert found.boxes_xyxy[:, 0].tolist()[:3] == [20, 20, 20]
    assert found.boxes_xyxy[:, 0].tolist()[7:] == [36, 36]


def test_around_a_cut_every_frame_is_looked_at(tools, track) -> None:
    script = {i: [tools.face(20, 20, 60, 60) if i < 14 else tools.face(90, 40, 140, 100)] for i in range(30)}
    detector = tools.ScriptedDetector(script)
    found = track(None, 30, FaceOptions(every=10), detector=detector, shots={14: 5})
    assert set(range(10, 21)) <= set(detector.asked)
    assert found.boxes_xyxy[:14].tolist() == [[20, 20, 60, 60]] * 14
    assert found.boxes_xyxy[14:].tolist() == [[90, 40, 140, 100]] * 16


@given(st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=40)
def test_an_even_motion_survives_any_step(tools, count: int, every: int) -> None:
    source = tools.MemorySource(tools.numbered_frames(count, size=(200, 60)))
    detector = tools.ScriptedDetector(lambda i: [tools.face(10 + 3 * i, 5, 50 + 3 * i, 45)])
    found = track_faces(source, FaceOptions(every=every, smoothing=9), detector=detector)
    assert len(found) == count
    expected = [min(10 + 3 * i, 199) for i in range(count)]
    assert np.abs(found.boxes_xyxy[:, 0] - expected).max() <= 1


def test_interpolation_does_not_cross_a_cut() -> None:
    boxes = np.full((5, 4), np.nan, np.float32)
    boxes[0], boxes[4] = (0, 0, 10, 10), (40, 40, 60, 60)
    looked = np.array([True, False, False, False, True])
    raw = RawTrack(boxes, looked.astype(np.float32), None, looked, looked, np.array([0, 0, 0, 0, 1], np.int32))
    filled, status = interpolate_skipped(raw)
    assert filled.boxes_xyxy[:, 0].tolist() == [0, 0, 0, 40, 40]
    assert status.tolist() == [D, N, N, N, D]


# Smoothing.


def test_smoothing_leaves_a_still_and_an_even_motion_as_they_are(tools, track) -> None:
    steady = track({i: [tools.face(20, 30, 60, 80)] for i in range(30)}, 30, FaceOptions())
    assert steady.boxes_xyxy.tolist() == [[20, 30, 60, 80]] * 30
    even = track(moving(tools, 30), 30, FaceOptions())
    assert even.boxes_xyxy[:, 0].tolist() == [20 + 2 * i for i in range(30)]


def test_smoothing_removes_jitter_without_lag(tools) -> None:
    rng = np.random.default_rng(3)
    t = np.arange(200)
    path = 60 + 20 * np.sin(2 * np.pi * t / 100)  # four seconds a swing
    noisy = path + rng.normal(0, 1.5, 200)
    script = {i: [tools.face(noisy[i], 30, noisy[i] + 40, 80)] for i in range(200)}
    source = tools.MemorySource(tools.numbered_frames(200, size=(200, 120)))
    found = track_faces(source, FaceOptions(), detector=tools.ScriptedDetector(script))
    middle = (found.boxes_xyxy[:, 0] + found.boxes_xyxy[:, 2]) / 2 - 20
    error = middle - path
    assert np.sqrt(np.mean(error**2)) < 0.5 * 1.5
    shifts = [np.sqrt(np.mean((middle[5:-5] - path[5 + s : 195 + s]) ** 2)) for s in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(shifts)) == 2


def test_one_wild_box_disturbs_nothing(tools, track) -> None:
    script = {i: [tools.face(50, 30, 90, 80)] for i in range(40)}
    script[20] = [tools.face(66, 44, 110, 100)]
    found = track(script, 40, FaceOptions())
    assert np.abs(found.boxes_xyxy - [50, 30, 90, 80]).max() <= 1


def test_a_lasting_jump_is_not_smeared(tools, track) -> None:
    script = {i: [tools.face(20, 30, 60, 80) if i < 20 else tools.face(45, 30, 85, 80)] for i in range(40)}
    found = track(script, 40, FaceOptions())
    assert found.boxes_xyxy[:20, 0].tolist() == [20] * 20
    assert found.boxes_xyxy[20:, 0].tolist() == [45] * 20


def test_a_short_gap_is_bridged_and_a_long_one_held(tools, track) -> None:
    gap = tuple(range(10, 13))
    short = track(moving(tools, 24, without=gap), 24, FaceOptions(smoothing=11))
    assert np.abs(short.boxes_xyxy[:, 0] - (20 + 2 * np.arange(24))).max() <= 1
    assert short.count(H) == 3
    gap = tuple(range(8, 20))
    long = track(moving(tools, 28, step=1, without=gap), 28, FaceOptions(smoothing=5))
    assert long.boxes_xyxy[10:18, 0].tolist() == [27] * 8


@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60), st.integers(0, 40))
def test_smoothing_keeps_within_reach_and_its_length(values: list[float], window: int) -> None:
    series = np.array(values, np.float32)[:, None]
    smooth = smooth_series(series, window, noise=1.0)
    assert smooth.shape == series.shape
    assert np.isfinite(smooth).all()
    spread = float(np.ptp(series))
    assert smooth.min() >= series.min() - spread - 1e-2
    assert smooth.max() <= series.max() + spread + 1e-2


@given(st.integers(1, 60), st.integers(2, 30), st.floats(-50, 50), st.floats(-5, 5), st.integers(0, 2**16))
def test_a_line_with_holes_stays_a_line(n: int, window: int, start: float, slope: float, seed: int) -> None:
    line = (start + slope * np.arange(n)).astype(np.float32)[:, None]
    holes = np.random.default_rng(seed).random(n) < 0.3
    series = line.copy()
    series[holes] = np.nan
    smooth = smooth_series(series, window, noise=1.0)
    kept = ~np.isnan(smooth[:, 0])
    assert (kept | holes).all()
    np.testing.assert_allclose(smooth[kept], line[kept], atol=0.02 + 1e-4 * np.abs(line[kept]).max(initial=0))


@given(st.integers(2, 50), st.integers(2, 20), st.integers(0, 2**16))
def test_smoothing_runs_alike_in_both_directions(n: int, window: int, seed: int) -> None:
    series = np.random.default_rng(seed).normal(0, 3, (n, 2)).astype(np.float32)
    forward = smooth_series(series, window, noise=1.0)
    backward = smooth_series(series[::-1].copy(), window, noise=1.0)[::-1]
    np.testing.assert_allclose(forward, backward, atol=1e-3)


@pytest.mark.parametrize("window", [0, 1])
def test_a_window_of_one_changes_nothing(tools, window: int) -> None:
    boxes = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    every = np.ones(5, bool)
    raw = RawTrack(boxes, np.ones(5, np.float32), None, every, every, np.zeros(5, np.int32))
    assert smooth_track(raw, window) is raw


# Key points.


def test_missing_key_points_are_filled_like_missing_boxes(tools, track) -> None:
    script = moving(tools, 6, points=True)
    script[3] = [tools.face(26, 30, 66, 80)]
    broken = tools.face(24, 30, 64, 80, points=True)
    broken.key_points[1, 0] = np.nan
    script[2] = [broken]
    found = track(script, 6)
    assert found.key_points is not None
    assert np.isfinite(found.key_points).all()
    np.testing.assert_allclose(found.key_points[2], found.key_points[1])
    np.testing.assert_allclose(found.key_points[3], found.key_points[1])
    assert found.status.tolist() == [D] * 6
    smooth = track(script, 6, FaceOptions(smoothing=7))
    assert smooth.key_points is not None
    np.testing.assert_allclose(smooth.key_points[:, 2, 0], [40 + 2 * i for i in range(6)], atol=0.01)


def test_without_key_points_there_are_none(tools, track) -> None:
    assert track(moving(tools, 4), 4).key_points is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_detection_that_is_not_finite_counts_as_none(tools, track, bad: float) -> None:
    script = moving(tools, 4)
    script[2] = [tools.face(bad, 30, 60, 80), tools.face(30, 30, 30, 80)]
    found = track(script, 4)
    assert found.status.tolist() == [D, D, H, D]


# Which face.


def two_people(tools, count: int):
    return {
        i: [tools.face(100, 30, 125, 60, 0.95), tools.face(10 + 0.2 * i, 20, 60 + 0.2 * i, 80, 0.8)]
        for i in range(count)
    }


@pytest.mark.parametrize(
    ("select", "left"),
    [("largest", 10), ("index:0", 10), ("index:1", 100), ("nearest:150,100", 100), ("nearest:0,0", 10)],
)
def test_the_face_meant_is_followed(tools, track, select: str, left: int) -> None:
    found = track(two_people(tools, 10), 10, FaceOptions(smoothing=0, select=select))
    assert np.abs(found.boxes_xyxy[:, 0] - left).max() <= 2
    assert found.count(D) == 10


def test_index_beyond_the_last_face_is_an_error(tools, track) -> None:
    with pytest.raises(OptionError, match="Face number 2") as caught:
        track(two_people(tools, 5), 5, FaceOptions(select="index:2"))
    assert "index:0 to index:1" in str(caught.value)


def test_identity_is_kept_when_another_face_becomes_larger(tools, track) -> None:
    script = {}
    for i in range(30):
        grown = 20 + i * 1.2
        script[i] = [tools.face(100, 30, 100 + grown, 30 + grown), tools.face(10, 20, 50, 60)]
    found = track(script, 30, FaceOptions(smoothing=0, select="index:0"))
    assert found.boxes_xyxy[:, 0].tolist() == [10] * 30


def test_while_one_person_is_hidden_the_other_is_not_taken(tools, track) -> None:
    script = two_people(tools, 40)
    for i in range(10, 25):
        script[i] = script[i][:1]  # the large face is hidden
    found = track(script, 40)
    assert found.boxes_xyxy[:, 0].max() < 30
    assert found.count(M) == 15
    assert found.count(D) == 25


def crossing(tools, count: int, *, hidden: int, step: int = 3):
    """Two who walk past each other from edge to edge; the one from the right is seen behind for so many frames less."""
    script = {}
    for i in range(count):
        near, far = step * i, step * (count - 1 - i)
        script[i] = [tools.face(near, 22, near + 40, 66)]
        if 2 * abs(i - (count - 1) / 2) >= hidden:
            script[i].append(tools.face(far, 20, far + 36, 60))
    return script


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("hidden", [0, 5, 14])
def test_two_who_cross_stay_who_they_are(tools, track, hidden: int, every: int) -> None:
    count = 38
    for select, begins, ends in (("index:0", 0, 3 * 37), ("index:1", 3 * 37, 0)):
        options = FaceOptions(smoothing=0, select=select, every=every)
        found = track(crossing(tools, count, hidden=hidden), count, options)
        assert [*found.boxes_xyxy[[0, -1], 0]] == [begins, ends]
        assert not (found.status == H).any()  # the one in front does not speak for the one behind
        seen = np.flatnonzero(np.isin(found.status, (D, N)))
        wanted = np.linspace(begins, ends, count)[seen]
        # Frames that were skipped beside the gap take the box of the nearest look.
        assert np.abs(found.boxes_xyxy[seen, 0] - wanted).max() <= (3 * (every - 1) if hidden else 0) + 0.01


@pytest.mark.parametrize("select", ["index:0", "index:1"])
def test_one_box_around_two_who_cross_confuses_nobody(tools, track, select: str) -> None:
    count, script = 38, crossing(tools, 38, hidden=14)
    script[12] = [tools.face(3 * 12, 20, 3 * 25 + 20, 70)]
    found = track(script, count, FaceOptions(smoothing=0, select=select, every=3))
    wanted = 3 * np.arange(count) if select == "index:0" else 3 * np.arange(count)[::-1]
    looked = np.flatnonzero(found.status == D)
    apart = np.abs(found.boxes_xyxy[looked, 0] - wanted[looked])
    assert {0, 9, 27, 30, 33, 36, 37} <= set(looked.tolist())
    assert apart[looked != 12].max() <= 0.01
    assert (15 in looked) == (select == "index:0")


def test_a_person_who_comes_back_is_the_same(tools, track) -> None:
    script = moving(tools, 60, step=0.5, without=tuple(range(15, 45)))
    found = track(script, 60)
    assert found.count(D) == 30
    assert found.boxes_xyxy[-1, 0] == pytest.approx(20 + 0.5 * 59, abs=1)


def test_one_large_false_detection_decides_nothing(tools, track) -> None:
    script = moving(tools, 30, step=0.5)
    script[0] = [tools.face(0, 0, 110, 110, 0.5), *script[0]]
    script[17] = [tools.face(0, 0, 110, 110, 0.5), *script[17]]
    for select in ("largest", "only", "index:0"):
        found = track(script, 30, FaceOptions(smoothing=0, select=select))
        assert found.boxes_xyxy[:, 0].min() >= 20, select


def test_after_a_cut_the_rule_chooses_anew(tools, track) -> None:
    script = {i: [tools.face(20, 20, 60, 60) if i < 10 else tools.face(90, 40, 140, 100)] for i in range(20)}
    found = track(script, 20, shots={10: 1})
    assert found.count(D) == 20
    assert found.boxes_xyxy[9, 0] == 20
    assert found.boxes_xyxy[10, 0] == 90


def test_only_accepts_one_face(tools, track) -> None:
    assert track(moving(tools, 5), 5, FaceOptions(select="only", smoothing=0)).count(D) == 5


@pytest.mark.parametrize("count", [1, 8])
def test_only_refuses_two_and_shows_them(tools, track, count: int) -> None:
    import cv2

    with pytest.raises(AmbiguousFace, match="2 faces were found in frame 0") as caught:
        track(two_people(tools, count), count, FaceOptions(select="only"))
    picture = caught.value.picture
    assert picture is not None
    try:
        assert str(picture) in str(caught.value)
        assert "index:0" in str(caught.value)
        shown = cv2.imread(str(picture))
        assert shown is not None
        assert shown.shape == (120, 160, 3)
    finally:
        picture.unlink()


def test_only_without_a_place_for_the_picture_still_says_so(tools, track, monkeypatch, tmp_path: Path) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(AmbiguousFace, match="No picture") as caught:
        track(two_people(tools, 3), 3, FaceOptions(select="only"))
    assert caught.value.picture is None


# Cuts.


def test_brightness_and_small_motion_are_no_cut(astronaut) -> None:
    def seen(frame: Frame) -> FloatArray:
        return thumbnail(reduced(frame))

    base = seen(astronaut)
    assert not is_cut(base, seen((astronaut * 0.4).astype(np.uint8)))
    assert not is_cut(base, seen(np.roll(astronaut, 12, axis=1)))
    assert is_cut(base, seen(np.ascontiguousarray(astronaut[::-1])))
    assert is_cut(base, 255 - base)
    blank = np.zeros((64, 64, 3), np.uint8)
    assert not is_cut(seen(blank), seen(blank + 3))


# Damaged sources and the cache.


def test_a_source_that_ends_early_is_held_to_its_end(tools) -> None:
    source = tools.MemorySource(tools.numbered_frames(6), lost=3)
    told: list[tuple[int, int]] = []
    found = track_faces(
        source,
        RAW,
        detector=tools.ScriptedDetector(moving(tools, 9)),
        progress=lambda done, total: told.append((done, total)),
    )
    assert len(found) == 9
    assert found.status.tolist() == [D] * 6 + [N] * 3
    assert told[-1] == (9, 9)


def test_detections_survive_the_cache_unchanged(tools, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    source = tools.MemorySource(tools.numbered_frames(12))
    first = tools.ScriptedDetector(moving(tools, 12, points=True, without=(3,)))
    options = FaceOptions(every=2, smoothing=5)
    fresh = track_faces(source, options, detector=first, cache=cache)
    again = tools.ScriptedDetector({})
    told: list[tuple[int, int]] = []
    cached = track_faces(source, options, detector=again, cache=cache, progress=lambda a, b: told.append((a, b)))
    assert again.asked == []
    assert told == [(12, 12)]
    assert np.array_equal(fresh.boxes_xyxy, cached.boxes_xyxy)
    assert np.array_equal(fresh.status, cached.status)
    assert fresh.key_points is not None
    assert cached.key_points is not None
    assert np.array_equal(fresh.key_points, cached.key_points)


def test_another_choice_or_shape_needs_no_second_look(tools, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    source = tools.MemorySource(tools.numbered_frames(8))
    detector = tools.ScriptedDetector(two_people(tools, 8))
    track_faces(source, FaceOptions(), detector=detector, cache=cache)
    looks = len(detector.asked)
    other = FaceOptions(select="index:1", padding=(1, 1, 1, 1), smoothing=3, no_face="pass")
    found = track_faces(source, other, detector=detector, cache=cache)
    assert len(detector.asked) == looks
    assert found.boxes_xyxy[0].tolist() == [99, 29, 126, 61]


@pytest.mark.parametrize("change", ["content", "detector", "every", "stop"])
def test_what_changes_the_detections_misses_the_cache(tools, tmp_path: Path, change: str) -> None:
    cache = Cache(tmp_path)
    source = tools.MemorySource(tools.numbered_frames(8))
    detector = tools.ScriptedDetector(moving(tools, 8))
    track_faces(source, FaceOptions(), detector=detector, cache=cache)
    looks = len(detector.asked)
    if change == "content":
        source.content_hash += "x"
    if change == "detector":
        detector.identity = "scripted/2"
    options = FaceOptions(every=2 if change == "every" else 1)
    track_faces(source, options, detector=detector, cache=cache, stop=5 if change == "stop" else None)
    assert len(detector.asked) > looks


def test_without_a_cache_every_run_looks(tools) -> None:
    source = tools.MemorySource(tools.numbered_frames(4))
    detector = tools.ScriptedDetector(moving(tools, 4))
    for _ in range(2):
        track_faces(source, FaceOptions(), detector=detector, cache=NullCache())
    assert len(detector.asked) == 8


def test_a_stopped_run_leaves_nothing_in_the_cache(tools, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        track_faces(
            tools.MemorySource(tools.numbered_frames(9)),
            FaceOptions(),
            detector=tools.ScriptedDetector(moving(tools, 9)),
            cache=Cache(tmp_path),
            progress=stop,
        )
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == []


def test_a_log_refuses_arrays_that_do_not_fit(tools) -> None:
    source = tools.MemorySource(tools.numbered_frames(3))
    arrays = detect_faces(source, tools.ScriptedDetector(moving(tools, 3))).to_arrays()
    log = DetectionLog.from_arrays(arrays)
    assert log.num_frames == 3
    assert len(log.detections(1)) == 1
    arrays["scores"] = arrays["scores"][:1]
    with pytest.raises(ValueError, match="scores must be"):
        DetectionLog.from_arrays(arrays)


# A real face, with the detector of the base install.


def test_a_real_face_that_moves_is_followed(tools, astronaut) -> None:
    frames = []
    shifts = [round(40 * np.sin(i / 4)) for i in range(20)]
    for shift in shifts:
        frames.append(np.roll(astronaut, shift, axis=1))
    found = track_faces(tools.MemorySource(frames), FaceOptions(detector="haar"))
    assert found.count(D) == 20
    assert found.detector.startswith("haar")
    middle = found.boxes_xyxy[:, [0, 2]].mean(axis=1)
    assert np.abs(middle - middle.mean() - (np.array(shifts) - np.mean(shifts))).max() < 6


@pytest.mark.thorough
@pytest.mark.media
def test_the_default_detector_finds_the_speaker_in_every_frame(tools, shared_media: Path) -> None:
    import av

    path = shared_media / "talking_704x1216_25fps.mp4"
    if not path.is_file():
        pytest.skip("no talking_704x1216_25fps.mp4")
    frames = []
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % 12 == 0:
                frames.append(np.ascontiguousarray(frame.to_ndarray(format="rgb24")))
    found = track_faces(tools.MemorySource(frames), FaceOptions(smoothing=0))
    assert found.count(D) == len(frames) == 23
    # Against SCRFD's box, (223, 233, 459, 528) with a deviation of a few pixels all along.
    assert np.abs(found.boxes_xyxy - [223, 233, 459, 528]).max() < 60


def test_frames_are_let_go_as_they_pass(tools) -> None:
    import weakref

    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    class Watched(np.ndarray):
        """An array that a WeakSet takes."""

        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return self is other

    class Source(tools.MemorySource):
        def read(self, start=0, stop=None, step=1):
            nonlocal most
            for frame in super().read(start, stop, step):
                watched = frame.copy().view(Watched)
                alive.add(watched)
                most = max(most, len(alive))
                yield watched
                del watched

    source = Source(tools.numbered_frames(200, size=(40, 30), shots={50: 1, 120: 2}))
    for every in (1, 7):
        found = track_faces(
            source, FaceOptions(every=every), detector=tools.ScriptedDetector(lambda i: [tools.face(5, 5, 25, 25)])
        )
        assert len(found) == 200
    assert most <= 4 + 3  # a batch, and those in hand


@st.composite
def crowds(draw: st.DrawFn):
    """Up to four faces in each of a few frames, in any order."""
    count = draw(st.integers(1, 12))
    edge = st.floats(-20, 180, width=32)
    length = st.floats(1, 90, width=32)
    one = st.tuples(edge, edge, length, length, st.floats(0, 1, width=32))
    return [draw(st.lists(one, max_size=4)) for _ in range(count)]


@pytest.mark.thorough
@given(crowds(), st.sampled_from(["largest", "index:0", "nearest:50,50"]), st.integers(1, 4), st.data())
@settings(max_examples=60)
def test_any_crowd_gives_a_track_that_does_not_depend_on_the_order_of_faces(tools, crowd, select, every, data) -> None:
    def script(shuffle: bool):
        answers = {}
        for i, rows in enumerate(crowd):
            faces = [tools.face(x, y, x + w, y + h, float(s)) for x, y, w, h, s in rows]
            answers[i] = data.draw(st.permutations(faces)) if shuffle else faces
        return answers

    source = tools.MemorySource(tools.numbered_frames(len(crowd)))
    options = FaceOptions(select=select, every=every)
    tracks = []
    for shuffle in (False, True):
        try:
            tracks.append(track_faces(source, options, detector=tools.ScriptedDetector(script(shuffle))))
        except NoFaceFound:
            tracks.append(None)
    first, second = tracks
    if first is None or second is None:
        assert first is second
        return
    x1, y1, x2, y2 = first.boxes_xyxy.T
    assert len(first) == len(crowd)
    assert ((x1 >= 0) & (x1 < x2) & (x2 <= 160) & (y1 >= 0) & (y1 < y2) & (y2 <= 120)).all()
    assert ((first.scores > 0) <= (first.status == D)).all()
    assert np.array_equal(first.boxes_xyxy, second.boxes_xyxy)
    assert np.array_equal(first.status, second.status)


# What ran.


def test_the_network_is_named_where_it_looked(tools, track, tmp_path: Path) -> None:
    """Not where all that it saw was known before."""
    network = NetworkRun("face detector scripted", "onnx")
    source = tools.MemorySource(tools.numbered_frames(3))
    found = []
    for _ in range(2):
        detector = tools.ScriptedDetector(moving(tools, 3), network=network)
        found.append(track(None, 3, source=source, detector=detector, cache=Cache(tmp_path)).network)
    assert found == [network, None]
