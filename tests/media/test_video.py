"""Videos as frames: which frame is shown, in which order, from which damaged file."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talkinghead.contracts import FrameSource
from talkinghead.errors import MediaNotFound, NoVideoStream, OptionError, UnreadableMedia
from talkinghead.media import FrameOptions, VideoSource, open_frames
from tests.conftest import ROOT
from tests.mesh_hidden import python_path
from tests.synthetic_media import coded_frame, corrupted, make_sound, make_video, read_code, truncated

FEW_BYTES = 64 * 48 * 3 * 20
"""Room for 20 small frames: longer clips are decoded anew on each pass."""

QUIET = {"options": {"x265-params": "log-level=none"}}

KINDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "h264 mp4": ("a.mp4", "libx264", {}),
    "h264 mp4, fragmented": ("a.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "h264 mp4, open groups": ("a.mp4", "libx264", {"options": {"x264-params": "open-gop=1"}}),
    "h264 mp4, one key frame": ("a.mp4", "libx264", {"gop": 1000}),
    "h264 ts, gradual refresh": ("a.ts", "libx264", {"options": {"x264-params": "intra-refresh=1"}, "b_frames": 0}),
    "h264 mkv": ("a.mkv", "libx264", {}),
    "h264 mov": ("a.mov", "libx264", {}),
    "h264 ts": ("a.ts", "libx264", {}),
    "h264 flv": ("a.flv", "libx264", {}),
    "h264 avi, times missing": ("a.avi", "libx264", {}),
    "h264 raw, times missing": ("a.h264", "libx264", {}),
    "hevc mp4": ("a.mp4", "libx265", QUIET),
    "vp9 webm": ("a.webm", "libvpx-vp9", {"options": {"deadline": "realtime", "cpu-used": "8"}}),
    "mpeg4 avi": ("a.avi", "mpeg4", {}),
    "mpeg2 ts": ("a.ts", "mpeg2video", {}),
    "mjpeg avi": ("a.avi", "mjpeg", {"pixel_format": "yuvj420p", "full_range": True}),
    "prores mov": ("a.mov", "prores_ks", {"pixel_format": "yuv422p10le"}),
    "ffv1 mkv": ("a.mkv", "ffv1", {}),
    "y4m": ("a.y4m", "wrapped_avframe", {}),
    "gif": ("a.gif", "gif", {"pixel_format": "bgr8"}),
}


def codes(source: FrameSource, start: int = 0, stop: int | None = None, step: int = 1) -> list[int]:
    return [read_code(frame) for frame in source.read(start, stop, step)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_reads_alike_in_every_direction(kind: str, tmp_path: Path) -> None:
    name, codec, how = KINDS[kind]
    path = make_video(tmp_path / name, 70, codec=codec, **{"gop": 10, **how})  # type: ignore[arg-type]
    source = open_frames(path, options=FrameOptions(cache_bytes=FEW_BYTES))
    forward = [frame.copy() for frame in source.read()]
    assert [read_code(frame) for frame in forward] == list(range(70))
    assert (len(source), source.fps, source.size) == (70, 25, (64, 48))
    backward = list(source.read(69, None, -1))
    assert all(np.array_equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    pick = random.Random(kind)
    for _ in range(8):
        start, step = pick.randrange(70), pick.choice([1, 2, 7, -1, -3])
        stop = pick.randrange(70)
        wanted = range(start, stop, step)
        got = list(source.read(start, stop, step))
        assert [read_code(frame) for frame in got] == list(wanted)
        assert all(np.array_equal(forward[i], frame) for i, frame in zip(wanted, got, strict=True))
    assert bool(source.warnings) == ("missing" in kind)


def test_frames_are_rgb_uint8_contiguous(tmp_path: Path) -> None:
    source = open_frames(make_video(tmp_path / "odd.mkv", 3, (61, 47), codec="ffv1", pixel_format="yuv444p"))
    for frame in source.read():
        assert frame.shape == (47, 61, 3)
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
    assert isinstance(source, FrameSource)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 60, gop=8)


WIDE_FRAME_BYTES = 160 * 96 * 3


@pytest.fixture(scope="module")
def wide_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for the decoder's padding of rows not to matter: its pictures are smaller than its frames."""
    return make_video(tmp_path_factory.mktemp("clip") / "wide.mp4", 60, (160, 96), gop=8)


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(
    reads=st.lists(
        st.tuples(
            st.integers(0, 70),
            st.one_of(st.none(), st.integers(-1, 70)),
            st.integers(-9, 9).filter(bool),
            st.one_of(st.none(), st.integers(0, 10)),
        ),
        max_size=5,
    ),
    room=st.sampled_from([0, 3, 20, 40, 1000]),
)
@example(reads=[(0, -1, 1, None)], room=0)
def test_reads_mean_what_range_means(
    wide_clip: Path, reads: list[tuple[int, int | None, int, int | None]], room: int
) -> None:
    source = open_frames(wide_clip, options=FrameOptions(cache_bytes=room * WIDE_FRAME_BYTES))
    for start, stop, step, give_up_after in reads:
        last = (60 if step > 0 else -1) if stop is None else stop
        wanted = [i for i in range(start, last, step) if i < 60]
        frames = source.read(start, stop, step)
        if give_up_after is not None:
            wanted = wanted[:give_up_after]
            assert [read_code(next(frames)) for _ in wanted] == wanted
            frames.close()  # type: ignore[attr-defined]
        else:
            assert [read_code(frame) for frame in frames] == wanted


def test_reading_frame_by_frame_goes_on_where_it_stopped(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_frames(clip, options=FrameOptions(cache_bytes=0))
    assert isinstance(source, VideoSource)
    codes(source, 0, 1)
    decoded = []
    from talkinghead.media import video

    real = video.decode_packet
    monkeypatch.setattr(video, "decode_packet", lambda *args: decoded.append(1) or real(*args))
    assert [codes(source, i, i + 1)[0] for i in range(60)] == list(range(60))
    assert len(decoded) < 3 * 60


def test_a_clip_that_fits_is_decoded_once(wide_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_frames(wide_clip)
    from talkinghead.media import video

    packets = []
    real = video.decode_packet
    monkeypatch.setattr(video, "decode_packet", lambda *args: packets.append(1) or real(*args))
    assert codes(source, 0, None, 3) == list(range(0, 60, 3))
    first = list(source.read())  # those between were decoded on the way, and kept
    assert len(packets) <= 60 * 1.4  # some more, where a decoder reads into the next segment before it knows
    monkeypatch.setattr(video, "decode_packet", lambda *args: pytest.fail("decoded again"))
    again = list(source.read())
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert codes(source, 59, None, -1) == list(range(60))[::-1]
    assert codes(source, 31, 32) == [31]


@pytest.mark.parametrize(
    ("how", "kind"),
    [({}, av.VideoFrame), ({"resize_factor": 2}, np.ndarray), ({"fps": Fraction(5)}, av.VideoFrame)],
)
def test_what_is_kept_is_what_is_smaller_and_no_more_than_comes_out(
    wide_clip: Path, how: dict[str, object], kind: type
) -> None:
    source = VideoSource(wide_clip, FrameOptions(**how))  # type: ignore[arg-type]
    frames = list(source.read())
    kept = source._playback._kept
    assert kept is not None
    assert len(kept) == len(frames)
    assert {type(value) for value in kept.values()} == {kind}
    source.close()
    assert not kept
    bare = VideoSource(wide_clip, FrameOptions(**how, cache_bytes=0))  # type: ignore[arg-type]
    assert bare._playback._kept is None
    assert all(np.array_equal(a, b) for a, b in zip(frames, bare.read(), strict=True))


def test_backward_reading_holds_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "long.mp4", 120, gop=1000)
    sizes = []
    real = VideoSource._decode

    def watch(self: VideoSource, sources: np.ndarray) -> object:
        sizes.append(len(sources))
        return real(self, sources)

    monkeypatch.setattr(VideoSource, "_decode", watch)
    source = open_frames(path, options=FrameOptions(cache_bytes=FEW_BYTES))
    assert codes(source, 119, None, -1) == list(range(120))[::-1]
    assert max(sizes) <= 20


@pytest.mark.parametrize("cache_bytes", [0, 40 * WIDE_FRAME_BYTES])
def test_interleaved_and_threaded_readers_do_not_disturb_each_other(wide_clip: Path, cache_bytes: int) -> None:
    source = open_frames(wide_clip, options=FrameOptions(cache_bytes=cache_bytes))
    up, down = source.read(), source.read(59, None, -1)
    pairs = [(read_code(a), read_code(b)) for a, b in zip(up, down, strict=True)]
    assert pairs == [(i, 59 - i) for i in range(60)]
    results: dict[int, list[int]] = {}
    threads = [
        threading.Thread(target=lambda k=k: results.update({k: codes(source, k, None, 1 + k % 3)})) for k in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: list(range(k, 60, 1 + k % 3)) for k in range(6)}


def test_close_and_read_again(clip: Path) -> None:
    with VideoSource(clip, FrameOptions()) as source:
        half = source.read(30)
        assert read_code(next(half)) == 30
        source.close()
        assert [read_code(frame) for frame in half] == list(range(31, 60))
    assert codes(source) == list(range(60))


RATES = ["24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60"]


@pytest.mark.parametrize(
    ("rate", "suffix"),
    [
        *((rate, suffix) for rate in RATES for suffix in ("mp4", "mkv", "ts")),
        ("12", "mp4"),
        ("29.9", "mp4"),
        ("7", "mkv"),
    ],
)
def test_frame_rates_are_exact(rate: str, suffix: str, tmp_path: Path) -> None:
    fps = Fraction(rate)
    path = make_video(tmp_path / f"a.{suffix}", 40, fps=fps)
    source = open_frames(path)
    assert (source.fps, source.info.variable_frame_rate, len(source)) == (fps, False, 40)
    assert source.info.duration_s == pytest.approx(float(40 / fps))
    assert codes(source) == list(range(40))


@settings(max_examples=12, deadline=None)
@given(
    intervals=st.lists(st.integers(5, 120), min_size=2, max_size=30),
    fps=st.sampled_from([None, Fraction(25), Fraction(30000, 1001), Fraction(10)]),
)
def test_variable_rates_become_constant_by_timestamps(
    tmp_path_factory: pytest.TempPathFactory, intervals: list[int], fps: Fraction | None
) -> None:
    ticks = [0, *np.cumsum(intervals).tolist()]
    path = tmp_path_factory.mktemp("vfr") / "a.mkv"
    make_video(path, len(ticks), ticks=ticks, time_base=Fraction(1, 1000), b_frames=0)
    source = open_frames(path, options=FrameOptions(fps=fps))
    rate = source.fps
    assert rate is not None
    if fps is not None:
        assert rate == fps
    got = codes(source)
    if source.info.variable_frame_rate or fps is not None:
        for slot, code in enumerate(got):  # the last frame whose time rounds to this slot or an earlier one
            assert code == max(
                i for i, t in enumerate(ticks) if i == 0 or Fraction(t, 1000) * rate < slot + Fraction(1, 2)
            )
        assert abs(len(got) / rate - Fraction(ticks[-1], 1000)) <= Fraction(1, 5)
    else:
        assert got == list(range(len(ticks)))


@pytest.mark.parametrize(("source_fps", "fps"), [(50, 25), (30, 25), (25, 30), (24, 60), (25, 25), (60, 24)])
def test_fps_option_keeps_time(source_fps: int, fps: int, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 60, fps=source_fps)
    source = open_frames(path, options=FrameOptions(fps=Fraction(fps)))
    got = codes(source)
    assert len(got) == len(source) == round(60 * fps / source_fps)
    for slot, code in enumerate(got):
        assert abs(code / source_fps - slot / fps) <= 0.5 / fps + 1 / source_fps
    if fps == source_fps / 2:
        assert got == list(range(0, 60, 2))
    backward = codes(source, len(got) - 1, None, -1)
    assert backward == got[::-1]


@pytest.mark.parametrize(
    ("start_s", "duration_s", "expected"),
    [(0.0, None, (0, 60)), (0.4, None, (10, 60)), (0.04, 0.04, (1, 2)), (1.0, 0.5, (25, 38)), (2.36, 9.0, (59, 60))],
)
def test_start_and_duration(start_s: float, duration_s: float | None, expected: tuple[int, int], clip: Path) -> None:
    source = open_frames(clip, options=FrameOptions(start_s=start_s, duration_s=duration_s))
    assert codes(source) == list(range(*expected))
    assert len(source) == expected[1] - expected[0]


def test_start_past_the_end_is_refused(clip: Path) -> None:
    with pytest.raises(OptionError, match="past the end"):
        open_frames(clip, options=FrameOptions(start_s=2.4))


TURNS = {
    (0, False): lambda f: f,
    (90, False): lambda f: np.rot90(f, -1),
    (180, False): lambda f: np.rot90(f, 2),
    (270, False): lambda f: np.rot90(f, 1),
    (0, True): lambda f: f[:, ::-1],
    (90, True): lambda f: np.rot90(f[:, ::-1], -1),
    (180, True): lambda f: np.rot90(f[:, ::-1], 2),
    (270, True): lambda f: np.rot90(f[:, ::-1], 1),
}


@pytest.mark.parametrize(("degrees", "mirror"), TURNS)
def test_rotation_metadata_is_applied(degrees: int, mirror: bool, tmp_path: Path) -> None:
    plain = open_frames(make_video(tmp_path / "plain.mp4", 2))
    matrix = _display_matrix(degrees, mirror)
    path = _with_display_matrix(make_video(tmp_path / "turned.mp4", 2, rotation=90), matrix)
    source = open_frames(path)
    for before, after in zip(plain.read(), source.read(), strict=True):
        assert np.array_equal(TURNS[degrees, mirror](before), after)
    assert source.info.rotation_degrees == degrees
    assert (source.info.width, source.info.height) == source.size == ((48, 64) if degrees % 180 else (64, 48))


def _display_matrix(degrees: int, mirror: bool) -> list[int]:
    """As ISO 14496-12 defines it: x' = a x + c y, y' = b x + d y, y downwards."""
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    if mirror:
        a, b = -a, -b
    return [a, b, 0, c, d, 0, 0, 0, 1]


def _with_display_matrix(path: Path, matrix: list[int]) -> Path:
    """Replace the matrix in the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for i, value in enumerate(matrix):
        data[at + 4 * i : at + 4 * i + 4] = (value << (30 if i % 3 == 2 else 16)).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
    return path


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 2, sample_aspect=Fraction(4, 3))
    source = open_frames(path)
    assert source.size == (85, 48)
    assert codes(source) == [0, 1]
    assert any("4/3" in warning for warning in source.warnings)
    plain = open_frames(path, options=FrameOptions(square_pixels=False))
    assert plain.size == (64, 48)
    assert not plain.warnings


def test_resize_rotate_crop_in_the_published_order(clip: Path) -> None:
    import cv2

    options = FrameOptions(resize_factor=2, rotate=90, crop=(3, -1, 2, 20))
    frame = next(iter(open_frames(clip, options=options).read(7)))
    expected = next(iter(open_frames(clip).read(7)))
    expected = cv2.resize(expected, (64 // 2, 48 // 2))
    expected = cv2.rotate(expected, cv2.ROTATE_90_CLOCKWISE)[3:32, 2:20]
    assert np.array_equal(frame, expected)


@pytest.mark.parametrize("crop", [(0, 49, 0, -1), (0, -1, 0, 65), (48, -1, 0, -1)])
def test_crops_outside_the_picture_are_refused(crop: tuple[int, int, int, int], clip: Path) -> None:
    with pytest.raises(OptionError, match="64x48"):
        open_frames(clip, options=FrameOptions(crop=crop))


def test_a_resize_that_leaves_nothing_is_refused(clip: Path) -> None:
    with pytest.raises(OptionError, match="leaves nothing"):
        open_frames(clip, options=FrameOptions(resize_factor=49))


def test_content_hash_follows_content_and_options(clip: Path, tmp_path: Path) -> None:
    other = make_video(tmp_path / "b.mp4", 59, gop=8)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    hashes = {
        open_frames(clip).content_hash,
        open_frames(other).content_hash,
        open_frames(clip, options=FrameOptions(resize_factor=2)).content_hash,
        open_frames(clip, options=FrameOptions(fps=Fraction(30))).content_hash,
        open_frames(clip, options=FrameOptions(start_s=1)).content_hash,
    }
    assert len(hashes) == 5
    assert open_frames(copy).content_hash == open_frames(clip).content_hash
    assert open_frames(clip, options=FrameOptions(cache_bytes=5)).content_hash in hashes
    copy.write_bytes(other.read_bytes())
    assert open_frames(copy).content_hash == open_frames(other).content_hash


# Damage

FASTSTART = {"movflags": "+faststart"}


def busy_frames(count: int) -> list[np.ndarray]:
    """Coded frames with some noise, so that the file is mostly pictures."""
    noise = np.random.default_rng(0).integers(-12, 13, (count, 120, 160, 3))
    return [(coded_frame(i, 160, 120) + noise[i]).astype(np.uint8) for i in range(count)]


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_cut_short_files_give_what_is_there(suffix: str, part: float, tmp_path: Path) -> None:
    codec = {"codec": "mjpeg", "pixel_format": "yuvj420p", "full_range": True} if suffix == "avi" else {}
    whole = make_video(tmp_path / f"whole.{suffix}", frames=busy_frames(80), container_options=FASTSTART, **codec)
    path = truncated(whole, tmp_path / f"cut.{suffix}", part)
    source = open_frames(path, options=FrameOptions(cache_bytes=FEW_BYTES))
    got = codes(source)
    assert 80 * (part - 0.2) < len(got) == len(source) < 80
    assert got[:-4] == list(range(len(got) - 4))
    if suffix in ("mp4", "mkv"):  # the others do not say how long they should be
        assert any("cut short" in warning for warning in source.warnings)
    assert codes(source, len(got) - 1, None, -1) == got[::-1]


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    path = truncated(make_video(tmp_path / "whole.mp4", 40), tmp_path / "cut.mp4", 0.5)
    with pytest.raises(UnreadableMedia, match=r"cut\.mp4"):
        open_frames(path)


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_damage_in_the_middle_is_told_and_reads_the_same_each_time(suffix: str, seed: int, tmp_path: Path) -> None:
    whole = make_video(tmp_path / f"whole.{suffix}", frames=busy_frames(80), gop=30)
    path = corrupted(whole, tmp_path / f"bad.{suffix}", 0.45, 0.5, seed)
    source = open_frames(path, options=FrameOptions(cache_bytes=0))
    first = [frame.tobytes() for frame in source.read()]
    assert len(first) == len(source)
    assert [frame.tobytes() for frame in source.read(len(first) - 1, None, -1)] == first[::-1]
    for i in (60, 5, 41, 40, 39):
        if i < len(first):
            (frame,) = source.read(i, i + 1)
            assert frame.tobytes() == first[i]
    again = open_frames(path)
    assert [frame.tobytes() for frame in again.read()] == first


def test_lost_frames_are_replaced_and_counted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", 60, (160, 120), codec="mjpeg", pixel_format="yuvj420p", full_range=True)
    with av.open(str(path)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for i in (20, 21, 40):
        at, size = packets[i]
        data[at : at + size] = bytes(size)
    path.write_bytes(bytes(data))
    expected = list(range(60))
    expected[20] = expected[21] = 19
    expected[40] = 39
    for every in (1, 3):  # the lost ones among those that are skipped at first count when they are shown
        source = open_frames(path)
        assert codes(source, 0, None, every) == expected[::every]
        assert codes(source) == expected
        assert codes(source, 59, None, -1) == expected[::-1]
        (warning,) = source.warnings
        assert "3 of 60 frames" in warning
        assert "0.80 s" in warning


def test_a_blank_end_is_left_out(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=busy_frames(100), container_options=FASTSTART)
    data = bytearray(path.read_bytes())
    half = len(data) * 2 // 3
    data[half:] = bytes(len(data) - half)
    path.write_bytes(bytes(data))
    source = open_frames(path)
    got = codes(source)
    assert 30 < len(got) < 95
    assert got[:30] == list(range(30))
    assert any("left out" in warning for warning in source.warnings)


def test_broken_timestamps_fall_back_to_an_even_rate(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.h264", 30, container="h264", b_frames=2)
    source = open_frames(path)
    assert codes(source) == list(range(30))
    assert source.fps == 25
    assert any("timestamps" in warning for warning in source.warnings)


def test_a_jump_in_the_timestamps_is_closed(tmp_path: Path) -> None:
    ticks = [40 * i + (10_000_000 if i >= 20 else 0) for i in range(40)]
    path = make_video(tmp_path / "a.mkv", 40, ticks=ticks, time_base=Fraction(1, 1000), b_frames=0)
    source = open_frames(path)
    assert codes(source) == list(range(40))
    assert any("jump" in warning for warning in source.warnings)


def test_a_file_that_begins_in_the_middle(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "a.ts", frames=busy_frames(80), gop=30)
    data = whole.read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(data[len(data) // 5 // 188 * 188 :])
    source = open_frames(path)
    got = codes(source)
    assert got[-40:] == list(range(40, 80))
    assert codes(source, len(got) - 1, None, -1) == got[::-1]


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_changing_picture_sizes_are_scaled_to_the_first(cache_bytes: int, tmp_path: Path) -> None:
    small = make_video(tmp_path / "small.h264", 20, (64, 48), b_frames=0)
    large = make_video(
        tmp_path / "large.h264", 20, (128, 96), frames=[coded_frame(i, 128, 96) for i in range(20, 40)], b_frames=0
    )
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    source = open_frames(path, options=FrameOptions(cache_bytes=cache_bytes))
    for _ in range(2):
        assert codes(source) == list(range(40))
    assert {frame.shape for frame in source.read()} == {(48, 64, 3)}
    assert any("size changes" in warning for warning in source.warnings)


# Files that are no video


def test_wrong_paths(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound, match="no file"):
        open_frames(tmp_path / "none.mp4")
    with pytest.raises(MediaNotFound, match="folder"):
        open_frames(tmp_path)
    with pytest.raises(MediaNotFound):
        open_frames(tmp_path / "none.mp4" / "x")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("text.mp4", b"This is not a video.\n" * 50),
        ("text.txt", b"hello\n"),
        ("noise.mp4", np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()),
        ("header.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100)),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"),
        ("list.mp4", b"ffconcat version 1.0\nfile other.mp4\n"),
    ],
)
def test_files_that_are_no_media(name: str, content: bytes, tmp_path: Path) -> None:
    make_video(tmp_path / "other.ts", 3)
    make_video(tmp_path / "other.mp4", 3)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableMedia, match=name):
        open_frames(path)


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat"])
def test_a_play_list_opens_no_other_file(name: str, tmp_path: Path) -> None:
    """The file that it names is a pipe, on which whoever opens it would wait for ever."""
    os.mkfifo(tmp_path / "other.ts")
    head = "ffconcat version 1.0\nfile other.ts\n"
    if name == "list.m3u8":
        head = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / name).write_text(head)
    code = (
        "from talkinghead.media import open_frames, read_audio\n"
        "from talkinghead.errors import UnreadableMedia\n"
        "for read in (open_frames, read_audio):\n"
        "    try:\n"
        f"        read({name!r})\n"
        "    except UnreadableMedia:\n"
        "        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": python_path(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == ["refused", "refused"]


def test_sound_only(tmp_path: Path) -> None:
    with pytest.raises(NoVideoStream, match="no video"):
        open_frames(make_sound(tmp_path / "a.wav"))


def test_absurd_sizes_are_refused_before_decoding(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 2)
    with pytest.raises(UnreadableMedia, match="megapixels"):
        open_frames(path, options=FrameOptions(max_pixels=1000))


@pytest.mark.parametrize("name", ["with space.v2.mp4", "ünïcode 脸.mp4", "-dash.mp4", "100%d.mp4", "a:b.mp4", "noext"])
def test_odd_file_names(name: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / name, 3, container="mp4")
    assert codes(open_frames(path)) == [0, 1, 2]


def test_one_frame(tmp_path: Path) -> None:
    source = open_frames(make_video(tmp_path / "a.mp4", 1))
    assert (codes(source), len(source), source.info.kind) == ([0], 1, "video")
    assert codes(source, 0, None, -1) == [0]
    assert codes(source, 5) == []


def test_bad_reads(clip: Path) -> None:
    source = open_frames(clip)
    with pytest.raises(ValueError, match="start"):
        source.read(-1)
    with pytest.raises(ValueError, match="step"):
        source.read(0, None, 0)


# Colour


def exact_rgb(y: int, cb: int, cr: int, matrix: str, full: bool) -> np.ndarray:
    kr, kb = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}[matrix]
    luma = y / 255 if full else (y - 16) / 219
    b, r = ((cb - 128) / 255, (cr - 128) / 255) if full else ((cb - 128) / 224, (cr - 128) / 224)
    red, blue = luma + 2 * (1 - kr) * r, luma + 2 * (1 - kb) * b
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.array([red, green, blue]) * 255, 0, 255)


@pytest.mark.parametrize(
    ("matrix", "full"), [("bt709", False), ("bt709", True), ("bt601", False), ("bt601", True), (None, False)]
)
@pytest.mark.parametrize("size", [(64, 48), (1280, 720)])
def test_colour_matrix_and_range(matrix: str | None, full: bool, size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    colours = [(60, 100, 150), (180, 128, 128), (120, 160, 100), (81, 90, 240), (235, 128, 128), (16, 128, 128)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if matrix:
            stream.codec_context.colorspace = {"bt709": 1, "bt601": 6}[matrix]
            stream.codec_context.color_range = 2 if full else 1
        for colour in colours:
            frame = av.VideoFrame(*size, "yuv420p")
            for plane, value in zip(frame.planes, colour, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    expected_matrix = matrix or ("bt709" if size[1] > 576 else "bt601")
    for frame, colour in zip(open_frames(path).read(), colours, strict=True):
        error = np.abs(frame.reshape(-1, 3).astype(float) - exact_rgb(*colour, expected_matrix, full))
        assert error.max() <= 0.75, (colour, frame[0, 0])
    for untagged in ("bt601", "bt709"):
        if matrix is None:
            frame = next(iter(open_frames(path, options=FrameOptions(untagged_matrix=untagged)).read()))
            assert np.abs(frame[0, 0] - exact_rgb(*colours[0], untagged, full)).max() <= 0.75


def flat_video(path: Path, codec: str, pixel_format: str, levels: tuple[int, ...], **tags: int) -> Path:
    """Two frames of one colour, given as plane values."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for _ in range(2):
            frame = av.VideoFrame(64, 48, pixel_format)
            for plane, level in zip(frame.planes, levels, strict=True):
                kind = np.uint16 if pixel_format.endswith("le") else np.uint8
                plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, level, kind).tobytes())
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_grey_and_ten_bits(tmp_path: Path) -> None:
    grey = flat_video(tmp_path / "g.mkv", "ffv1", "gray", (100,))
    assert (next(iter(open_frames(grey).read())) == 100).all()
    for kind in ("yuv420p10le", "yuv422p10le", "yuv444p10le"):
        deep = flat_video(tmp_path / "d.mkv", "ffv1", kind, (240, 400, 600), colorspace=1, color_range=1)
        shown = next(iter(open_frames(deep).read()))
        assert np.abs(shown[20, 20] - exact_rgb(60, 100, 150, "bt709", False)).max() <= 0.75


def test_chroma_of_every_depth_stays_in_place(tmp_path: Path) -> None:
    """A coloured block on chroma's own grid comes out with its edges where they were."""
    for kind, shift in (("yuv420p", 0), ("yuv420p10le", 2)):
        path = tmp_path / f"{kind}.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, kind
            stream.codec_context.colorspace = 1
            picture = av.VideoFrame(64, 48, kind)
            for i, plane in enumerate(picture.planes):
                values = np.full((plane.height, plane.width), 128 << shift, np.uint16 if shift else np.uint8)
                if i == 2:
                    values[6:12, 8:16] = 200 << shift
                padded = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
                padded[:, : plane.width] = values
                plane.update(padded.tobytes())
            out.mux(stream.encode(picture))
            out.mux(stream.encode(None))
        shown = next(iter(open_frames(path).read()))
        red = shown[:, :, 0] > shown[:, :, 1]
        expected = np.zeros((48, 64), bool)
        expected[12:24, 16:32] = True
        assert np.array_equal(red, expected)


@pytest.mark.thorough
@pytest.mark.parametrize(("transfer", "white"), [(18, 721), (16, 573)])
def test_high_dynamic_range_is_mapped(transfer: int, white: int, tmp_path: Path) -> None:
    """Reference white (203 cd/m2, ITU-R BT.2408) is white, grey stays grey, and it is said."""
    shades = []
    for level in (64, 300, 450, white):
        tags = {"colorspace": 9, "color_range": 1, "color_trc": transfer, "color_primaries": 9}
        path = flat_video(tmp_path / f"{level}.mkv", "ffv1", "yuv420p10le", (level, 512, 512), **tags)
        source = open_frames(path)
        shown = next(iter(source.read()))[20, 20].astype(int)
        assert np.ptp(shown) <= 2
        shades.append(int(shown[1]))
        assert any("high dynamic range" in warning for warning in source.warnings)
    assert shades == sorted(shades)
    assert shades[0] <= 2
    assert shades[-1] >= 225


def test_transparent_video_shows_white(tmp_path: Path) -> None:
    frame = np.zeros((48, 64, 4), np.uint8)
    frame[:, :32] = (200, 30, 40, 255)
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgba"
        for _ in range(2):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgba")))
        out.mux(stream.encode(None))
    shown = next(iter(open_frames(path).read()))
    assert np.array_equal(shown[0, 0], (200, 30, 40))
    assert np.array_equal(shown[0, 63], (255, 255, 255))


@pytest.mark.thorough
def test_real_video(shared_media: Path) -> None:
    source = open_frames(shared_media / "talking_704x1216_25fps.mp4", options=FrameOptions(resize_factor=4))
    assert (source.size, source.fps, len(source), source.warnings) == ((176, 304), 25, 268, ())
    forward = [frame.tobytes() for frame in source.read()]
    assert [frame.tobytes() for frame in source.read(267, None, -1)] == forward[::-1]
