"""Animated WebP, APNG and AVIF: they play, at their times, put together as they appear."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from talkinghead.contracts import FrameSource
from talkinghead.errors import UnreadableMedia
from talkinghead.media import FrameOptions, open_frames, probe, read_picture
from talkinghead.media import animation as module
from talkinghead.media.priority import priorities_kept
from tests.media.test_exif import exif
from tests.media.test_srgb import by_little_cms, on_white
from tests.picture_files import P3, SRGB_CURVE, matrix_profile, smooth

FORMATS = ["webp", "png", "avif"]
COUNT = 6


def drawn(mode: str, count: int = COUNT) -> list[Image.Image]:
    """A face that moves over a hole that moves."""
    frames = []
    for i in range(count):
        colour = np.roll(smooth(seed=3), 5 * i, axis=1)
        opacity = np.full(colour.shape[:2], 255, np.uint8)
        opacity[5:20, 5 * i : 5 * i + 10] = 0
        opacity[25:40, 10:30] = 128 if i % 2 else 255
        frames.append(Image.fromarray(np.dstack([colour, opacity])).convert(mode))
    return frames


def save(path: Path, frames: list[Image.Image], duration: int | list[int] = 100, **options: object) -> Path:
    given: dict[str, object] = {"webp": {"lossless": True}, "avif": {"quality": 95, "speed": 9}}.get(
        path.suffix[1:], {}
    )
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration, **{**given, **options})
    return path


def shown(path: Path) -> list[np.ndarray]:
    """The frames as Pillow shows them, on white."""
    with Image.open(path) as picture:
        frames = []
        for i in range(getattr(picture, "n_frames", 1)):
            picture.seek(i)
            frames.append(on_white(picture))
        return frames


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_frames_and_rate(suffix: str, mode: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"a.{suffix}", drawn(mode))
    source = open_frames(path)
    assert isinstance(source, FrameSource)
    assert (len(source), source.fps, source.size) == (COUNT, 10, (64, 48))
    assert (source.info.kind, source.info.codec, source.info.duration_s) == ("video", suffix, 0.6)
    frames = list(source.read())
    for got, expected in zip(frames, shown(path), strict=True):
        assert np.abs(got - expected).max() <= 2
    backward = list(source.read(COUNT - 1, None, -1))
    assert all(np.array_equal(a, b) for a, b in zip(frames, backward[::-1], strict=True))
    assert np.array_equal(read_picture(path), frames[0])
    track = probe(path).main_video
    assert track is not None
    assert (track.num_frames, track.fps) == (COUNT, 10)


@pytest.mark.parametrize("disposal", [0, 1])
@pytest.mark.parametrize("blend", [0, 1])
def test_partial_frames_of_png(disposal: int, blend: int, tmp_path: Path) -> None:
    """Opaque patches: what the frame before leaves behind decides."""
    frames = []
    for i in range(4):
        canvas = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        canvas.paste((250, 40 * i, 10, 255), (8 * i, 6, 8 * i + 14, 30))
        frames.append(canvas)
    path = save(tmp_path / "a.png", frames, disposal=disposal, blend=blend)
    for got, expected in zip(open_frames(path).read(), shown(path), strict=True):
        assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["webp", "gif"])
@pytest.mark.parametrize("loop", [0, 1, 3])
def test_how_often_it_repeats_does_not_matter(suffix: str, loop: int, tmp_path: Path) -> None:
    assert len(open_frames(save(tmp_path / f"a.{suffix}", drawn("RGB"), loop=loop))) == COUNT


@pytest.mark.parametrize("suffix", ["gif", *FORMATS])
@pytest.mark.parametrize(
    ("durations", "fps", "seconds"),
    [(0, 10, 0.6), (40, 25, 0.24), (100, 10, 0.6), ([100, 200, 300, 100, 100, 100], 10, 0.9)],
)
def test_durations_are_those_of_a_gif(
    suffix: str, durations: int | list[int], fps: int, seconds: float, tmp_path: Path
) -> None:
    source = open_frames(save(tmp_path / f"a.{suffix}", drawn("RGB"), durations))
    assert source.fps == fps
    assert source.info.duration_s == pytest.approx(seconds)
    assert len(source) == round(seconds * fps)


def test_frames_are_repeated_by_their_times(tmp_path: Path) -> None:
    path = save(tmp_path / "a.webp", drawn("RGB"), [100, 300, 100, 100, 100, 100])
    source = open_frames(path)
    places = [next(i for i, e in enumerate(shown(path)) if np.abs(f - e).max() <= 1) for f in source.read()]
    assert places == [0, 1, 1, 1, 2, 3, 4, 5]
    part = open_frames(path, options=FrameOptions(fps=Fraction(20), start_s=0.1, duration_s=0.4))
    places = [next(i for i, e in enumerate(shown(path)) if np.abs(f - e).max() <= 1) for f in part.read()]
    assert places == [1, 1, 1, 1, 1, 1, 2, 2]


def test_the_picture_before_an_animated_png_is_not_shown(tmp_path: Path) -> None:
    frames = drawn("RGB")
    path = save(tmp_path / "a.png", frames, default_image=True)
    source = open_frames(path)
    assert len(source) == COUNT - 1
    assert np.array_equal(next(iter(source.read())), np.asarray(frames[1]))


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_frame_is_a_picture(suffix: str, tmp_path: Path) -> None:
    source = open_frames(save(tmp_path / f"a.{suffix}", drawn("RGB", 1)))
    assert (source.info.kind, source.fps, len(source)) == ("image", None, 1)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_avif_of_ffmpeg_and_ten_bits(pixel_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "1")
    frames = [np.roll(smooth(64, 64), 4 * i, axis=1) for i in range(4)]
    path = tmp_path / "a.avif"
    with priorities_kept(), av.open(str(path), "w", format="avif") as container:  # SVT-AV1 raises that of its threads
        stream = container.add_stream("libsvtav1", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
        stream.options = {"crf": "10", "preset": "10"}
        for i, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pixel_format)
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    source = open_frames(path)
    assert (len(source), source.fps) == (4, 10)
    for got, expected in zip(source.read(), frames, strict=True):
        assert np.abs(got.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_orientation_and_profile(suffix: str, tmp_path: Path) -> None:
    profile = matrix_profile(P3, SRGB_CURVE)
    frames = drawn("RGB", 3)
    path = save(tmp_path / f"a.{suffix}", frames, exif=b"Exif\0\0" + exif(6), icc_profile=profile)
    source = open_frames(path, options=FrameOptions(resize_factor=2))
    assert source.size == (24, 32)
    for got, frame in zip(open_frames(path).read(), frames, strict=True):
        assert np.abs(got - np.rot90(by_little_cms(frame, profile), -1)).mean() < 0.5


def test_few_frames_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.webp", drawn("RGB", 12))
    expected = [frame.copy() for frame in open_frames(path).read()]
    monkeypatch.setattr(module, "CHUNK_BYTES", 3 * 64 * 48 * 4)
    asked = []
    real = module.animation_frames
    monkeypatch.setattr(module, "animation_frames", lambda *a: asked.append(a[2]) or real(*a))
    source = open_frames(path, options=FrameOptions(cache_bytes=4 * 64 * 48 * 3))
    assert all(np.array_equal(a, b) for a, b in zip(source.read(), expected, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(source.read(11, None, -1), expected[::-1], strict=True))
    assert max(asked) <= 3


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", drawn("RGB"))
    data = path.read_bytes()
    at = [i for i in range(len(data)) if data[i : i + 4] == b"fdAT"][3]
    path.write_bytes(data[: at + 8] + bytes(60) + data[at + 68 :])
    try:
        source = open_frames(path)
        frames = list(source.read())
    except UnreadableMedia:
        pytest.fail("an animation whose beginning is whole must open")
    assert len(frames) == COUNT
    assert frames[0].shape == (48, 64, 3)


def test_an_animation_larger_than_accepted(tmp_path: Path) -> None:
    for suffix in FORMATS:
        path = save(tmp_path / f"a.{suffix}", drawn("RGB"))
        with pytest.raises(UnreadableMedia, match="64x48"):
            open_frames(path, options=FrameOptions(max_pixels=3000))


def test_a_later_frame_that_is_larger_than_the_canvas(tmp_path: Path) -> None:
    path = save(tmp_path / "a.webp", drawn("RGB"))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"ANMF")
    data[at + 14 : at + 20] = b"\xff\x3f\x00\xff\x3f\x00"  # 16384 x 16384
    path.write_bytes(data)
    with pytest.raises(UnreadableMedia, match="parts of 268 megapixels"):
        open_frames(path)


def test_damaged_everywhere(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in FORMATS:
        whole = save(tmp_path / f"a.{suffix}", drawn("RGB", 3)).read_bytes()
        path = tmp_path / f"b.{suffix}"
        for _ in range(25):
            data = bytearray(whole)
            for at in rng.integers(12, len(data), 3):
                data[at] = rng.integers(0, 256)
            path.write_bytes(data[: rng.integers(20, len(data) + 1)])
            try:
                source = open_frames(path)
                assert all(frame.shape == (source.size[1], source.size[0], 3) for frame in source.read())
            except UnreadableMedia:
                continue


@pytest.mark.parametrize("suffix", ["gif", *FORMATS])
def test_times_between_the_frames_of_the_rate_are_kept(suffix: str, tmp_path: Path) -> None:
    """The mean rate of these would lose the short frames."""
    durations = [40, 80, 120, 200, 40, 80]
    path = save(tmp_path / f"a.{suffix}", drawn("RGB"), durations)
    source = open_frames(path)
    assert source.fps == 25
    places = [next(i for i, e in enumerate(shown(path)) if np.abs(f - e).max() <= 2) for f in source.read()]
    assert places == [i for i, duration in enumerate(durations) for _ in range(duration // 40)]


def test_slides_keep_their_rate(tmp_path: Path) -> None:
    source = open_frames(save(tmp_path / "a.webp", drawn("RGB"), [3000, 2100, 700, 5000, 900, 800]))
    assert source.fps is not None
    assert source.fps < 5


def test_a_gif_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gif", drawn("RGB", 1), 10)
    source = open_frames(path)
    assert isinstance(source, FrameSource)
    assert (source.info.kind, source.fps, len(source), source.info.num_frames) == ("image", None, 1, 1)
    (frame,) = source.read()
    assert np.abs(frame - shown(path)[0]).max() <= 2
    assert list(source.read(1, 5)) == []
    assert source.content_hash == open_frames(path).content_hash
