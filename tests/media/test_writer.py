"""Video out: what is written, exactly how long, in which colours, and nothing after a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import AudioClip, Frame
from talkinghead.errors import (
    Cancelled,
    EncoderUnavailable,
    MediaError,
    OptionError,
    OutputError,
    OutputExists,
    TalkingHeadError,
    UnwritableOutput,
)
from talkinghead.media import (
    EncodeOptions,
    VideoWriter,
    available_encoders,
    check_output,
    open_frames,
    probe,
    read_audio_native,
    write_video,
)
from talkinghead.media.encoders import ENCODERS
from tests.synthetic_media import coded_frame, make_sound, make_video, read_code, speech_like, tone

WORKING = [status.name for status in available_encoders() if status.works]
FACTS = {facts.name: facts for facts in ENCODERS}


def coded(count: int, width: int = 64, height: int = 48) -> Iterator[Frame]:
    return (coded_frame(i, width, height) for i in range(count))


def only_file(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_software_encoders_work() -> None:
    assert {"libx264", "libvpx-vp9", "prores_ks", "gif", "png"} <= set(WORKING)
    for status in available_encoders():
        assert status.works == (not status.detail)
    assert available_encoders() == available_encoders()


@pytest.mark.thorough
@pytest.mark.parametrize("name", WORKING)
@pytest.mark.parametrize("size", [(160, 120), (161, 121)])
def test_contract_of_every_encoder_that_works(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    facts = FACTS[name]
    sound = make_sound(tmp_path / "speech.wav", 3.0, 44_100, 2)
    for suffix in facts.suffixes:
        path = tmp_path / f"out{suffix}"
        seen: list[int] = []
        info = write_video(
            path,
            coded(30, *size),
            fps=Fraction(25),
            soundtrack=sound,
            options=EncodeOptions(codec=name),
            on_frame=seen.append,
            num_frames=30,
        )
        assert seen == list(range(1, 31))
        assert (info.path, info.encoder, info.video_codec) == (path, name, facts.codec)
        assert (info.num_frames, info.fps, info.duration_s) == (30, 25, Fraction(6, 5))
        odd = size == (161, 121)
        assert (info.width, info.height) in ([(160, 120), (160, 121)] if odd and facts.even else [size])
        assert any("even sizes" in note for note in info.notes) == (odd and facts.even)
        if suffix == "":
            continue
        source = open_frames(path)
        assert source.size == (info.width, info.height)
        assert [read_code(frame) for frame in source.read()] == list(range(30))
        assert (source.fps, source.warnings) == (25, ())
        if suffix == ".gif":
            assert info.audio_codec is None
            assert any("holds no sound" in note for note in info.notes)
            continue
        assert info.num_samples == round(Fraction(6, 5) * info.sample_rate_hz)
        found = probe(path)
        assert found.main_audio is not None
        assert found.audio_minus_video_s is not None
        assert abs(found.audio_minus_video_s) <= 1 / 25
        assert found.main_audio.num_channels == 2
        assert info.file_bytes == path.stat().st_size
    assert not [item for item in tmp_path.iterdir() if item.suffix == ".part"]


@pytest.mark.parametrize("rate", ["24000/1001", "25", "30000/1001", "50", "60000/1001", "37/3"])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_timestamps_are_exact(rate: str, suffix: str, tmp_path: Path) -> None:
    fps = Fraction(rate)
    path = tmp_path / f"a.{suffix}"
    sound = AudioClip(tone(9.0, 48_000), 48_000)
    info = write_video(path, coded(70), fps=fps, soundtrack=sound)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        times = sorted(packet.pts * stream.time_base for packet in file.demux(stream) if packet.size)
        tick = stream.time_base
    for i, time in enumerate(times):
        assert abs(time - i / fps) <= (0 if suffix != "mkv" else tick / 2)
    assert info.num_samples == round(70 / fps * 48_000)
    samples, _ = read_audio_native(path)
    assert abs(len(samples) - info.num_samples) <= (1 if suffix != "mkv" else 1024)
    assert open_frames(path).fps == fps


def test_no_drift_over_a_long_film_at_ntsc_rate(tmp_path: Path) -> None:
    """Two minutes: a click every second stays where it belongs, and both streams end together."""
    fps, rate, seconds = Fraction(30000, 1001), 16_000, 120
    samples = np.zeros(seconds * rate, np.float32)
    for second in range(1, seconds):
        samples[second * rate : second * rate + 160] = 0.8 * tone(0.01, rate, 2000, 1.0)
    frames = int(seconds * fps)
    flat = np.full((16, 16, 3), 90, np.uint8)
    path = tmp_path / "long.mp4"
    info = write_video(path, (flat for _ in range(frames)), fps=fps, soundtrack=AudioClip(samples, rate))
    heard, _ = read_audio_native(path)
    loud = np.abs(heard[:, 0])
    for second in (1, 2, 60, 118):
        window = loud[second * rate - 800 : second * rate + 800]
        assert abs(int(np.argmax(window > 0.3)) - 800) <= 40  # 2.5 ms
    assert abs(Fraction(len(heard), rate) - frames / fps) < Fraction(1, rate)
    assert info.duration_s == frames / fps


@settings(max_examples=12, deadline=None)
@given(
    frames=st.integers(1, 12),
    fps=st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(1), Fraction(12)]),
    sound_s=st.floats(0.01, 2.0),
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 11_000]),
    channels=st.integers(1, 2),
)
def test_sound_and_pictures_always_end_together(
    tmp_path_factory: pytest.TempPathFactory, frames: int, fps: Fraction, sound_s: float, rate: int, channels: int
) -> None:
    folder = tmp_path_factory.mktemp("w")
    sound = make_sound(folder / "s.wav", sound_s, rate, channels)
    info = write_video(folder / "a.mp4", coded(frames), fps=fps, soundtrack=sound)
    assert info.sample_rate_hz is not None
    assert info.num_samples == round(frames / fps * info.sample_rate_hz)
    samples, out_rate = read_audio_native(folder / "a.mp4")
    tick = Fraction(1, 10_000)  # of the file's clock, in which MP4 stores where the sound ends
    assert abs(Fraction(len(samples), out_rate) - frames / fps) <= Fraction(1, out_rate) + tick
    assert samples.shape[1] == channels
    assert len(open_frames(folder / "a.mp4")) == frames


def test_the_sound_is_the_soundtrack(tmp_path: Path) -> None:
    voice = speech_like(4.0, 44_100)
    path = make_sound(tmp_path / "s.wav", rate=44_100, samples=np.stack([voice, 0.5 * voice], axis=1), bits="float")
    write_video(tmp_path / "a.mp4", coded(50), fps=Fraction(25), soundtrack=path, start_s=1.0)
    heard, rate = read_audio_native(tmp_path / "a.mp4")
    expected = np.stack([voice, 0.5 * voice], axis=1)[44_100 : 44_100 * 3]
    assert rate == 44_100
    error = heard - expected
    assert 10 * np.log10((expected**2).mean() / (error**2).mean()) > 14
    for lag in (-1, 1):  # no sample early or late
        assert (error**2).mean() < ((np.roll(heard, lag, axis=0) - expected) ** 2).mean()


def test_duration_limits_the_sound(tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "s.wav", 3.0)
    write_video(
        tmp_path / "a.mov",
        coded(50),
        fps=Fraction(25),
        soundtrack=sound,
        duration=1.0,
        options=EncodeOptions(audio_codec="pcm_s16le"),
    )
    heard, _ = read_audio_native(tmp_path / "a.mov")
    assert np.abs(heard[15_000:16_000]).max() > 0.4
    assert not heard[16_000:].any()
    assert len(heard) == 32_000


@pytest.mark.parametrize("name", ["s.flac", "s.m4a", "s.mp3", "s.ogg", "s.mp4"])
def test_soundtracks_of_other_formats(name: str, tmp_path: Path) -> None:
    sound = (
        make_video(tmp_path / name, 30, sound=(48_000, 2))
        if name == "s.mp4"
        else make_sound(tmp_path / name, 1.2, 48_000, 2)
    )
    info = write_video(tmp_path / "out.mp4", coded(30), fps=Fraction(25), soundtrack=sound)
    assert (info.audio_codec, info.sample_rate_hz, info.num_channels) == ("aac", 48_000, 2)
    assert info.notes == ()
    heard, _ = read_audio_native(tmp_path / "out.mp4")
    assert abs(np.abs(heard[5_000:50_000]).max() - 0.5) < 0.1


def test_surround_sound(tmp_path: Path) -> None:
    levels = np.array([0.1, 0.2, 0.3, 0.05, 0.15, 0.25], np.float32)
    samples = tone(1.0, 48_000)[:, np.newaxis] * levels
    sound = make_sound(tmp_path / "s.wav", rate=48_000, samples=samples)
    kept = write_video(
        tmp_path / "a.mkv",
        coded(25),
        fps=Fraction(25),
        soundtrack=sound,
        options=EncodeOptions(audio_codec="pcm_s16le"),
    )
    assert kept.num_channels == 6
    heard, _ = read_audio_native(tmp_path / "a.mkv")
    assert np.abs(heard - samples).max() < 1e-4
    aac = write_video(tmp_path / "a.mp4", coded(25), fps=Fraction(25), soundtrack=sound)
    assert aac.num_channels == 6
    mixed = write_video(tmp_path / "a.webm", coded(25), fps=Fraction(25), soundtrack=sound)
    assert mixed.num_channels == 2
    assert any("mixed" in note for note in mixed.notes)


def test_no_sound(tmp_path: Path) -> None:
    info = write_video(tmp_path / "a.mp4", coded(5), fps=Fraction(25))
    assert info.audio_codec is None
    assert not open_frames(tmp_path / "a.mp4").info.has_audio
    sound = make_sound(tmp_path / "s.wav")
    info = write_video(
        tmp_path / "b.mp4", coded(5), fps=Fraction(25), soundtrack=sound, options=EncodeOptions(audio_codec="none")
    )
    assert (info.audio_codec, info.notes) == (None, ())


def test_sound_is_interleaved_with_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, coded(250), fps=Fraction(25), soundtrack=AudioClip(tone(10, 16_000), 16_000))
    with av.open(str(path)) as file:
        order = [(packet.stream.type, float(packet.dts * packet.time_base)) for packet in file.demux() if packet.size]
    latest = {"video": 0.0, "audio": 0.0}
    for kind, time in order:
        latest[kind] = time
        assert abs(latest["video"] - latest["audio"]) < 1.0


def test_fragments_can_be_read_before_the_end_and_say_the_same(tmp_path: Path) -> None:
    """Decoded, pictures, their times and the sound are those of the file in one piece, but for silence at the end."""

    def decoded(path: Path) -> tuple[list[float], list[bytes], np.ndarray]:
        with av.open(str(path)) as file:
            pictures = list(file.decode(video=0))
        times = [float(frame.pts * frame.time_base) for frame in pictures]
        return times, [frame.to_ndarray().tobytes() for frame in pictures], read_audio_native(path)[0]

    whole, path = tmp_path / "whole.mp4", tmp_path / "a.mp4"
    sizes: list[int] = []

    def watched() -> Iterator[Frame]:
        for frame in coded(100):
            sizes.extend(file.stat().st_size for file in tmp_path.glob(".a.mp4.*"))
            yield frame

    for target, frames, options in (
        (whole, coded(100), EncodeOptions(gop_s=0.5)),
        (path, watched(), EncodeOptions(gop_s=0.5, fragment_s=0.5)),
    ):
        write_video(target, frames, fps=Fraction(25), soundtrack=AudioClip(tone(4, 16_000), 16_000), options=options)
    assert len({*sizes}) > 3
    (times, pictures, heard), (same_times, same_pictures, also_heard) = decoded(whole), decoded(path)
    assert times == same_times
    assert pictures == same_pictures
    assert np.array_equal(heard, also_heard[: len(heard)])
    assert len(also_heard) - len(heard) < 1024  # the last block of AAC is not cut
    with pytest.raises(OptionError, match="fragments"):
        check_output(tmp_path / "a.mkv", options=EncodeOptions(fragment_s=0.5))


def test_fast_start_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, coded(20, 128, 96), fps=Fraction(25))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.pix_fmt, context.colorspace, context.color_primaries, context.color_trc) == ("yuv420p", 1, 1, 1)
        assert context.color_range == 1
        assert context.profile in ("High", "Main")


@pytest.mark.parametrize("name", [name for name in WORKING if FACTS[name].codec not in ("gif", "png")])
def test_colours_survive(name: str, tmp_path: Path) -> None:
    """Flat colours come back within the rounding of limited range: matrix, range and tags agree with each other."""
    colours = [
        (200, 60, 50),
        (40, 180, 70),
        (60, 70, 210),
        (128, 128, 128),
        (250, 250, 250),
        (5, 5, 5),
        (220, 170, 140),
    ]
    frames = [np.full((144, 256, 3), colour, np.uint8) for colour in colours for _ in range(3)]
    path = tmp_path / f"a{FACTS[name].suffixes[0]}"
    write_video(path, frames, fps=Fraction(25), options=EncodeOptions(codec=name, crf=8 if FACTS[name].crf else None))
    for i, frame in enumerate(open_frames(path).read(1, None, 3)):
        assert np.abs(frame[72, 128].astype(int) - colours[i]).max() <= 3, (name, colours[i], frame[72, 128])


def test_frames_do_not_drift_over_generations(tmp_path: Path) -> None:
    """Coded without loss, five generations change a picture as little as one does, and not its mean."""
    noise = np.random.default_rng(0).integers(90, 166, (9, 16, 3), dtype=np.uint8)
    picture = np.asarray(cv2.resize(noise, (320, 180), interpolation=cv2.INTER_CUBIC), np.uint8)
    generations = [picture]
    for generation in range(5):
        path = tmp_path / f"{generation}.mp4"
        write_video(path, [generations[-1]], fps=Fraction(25), options=EncodeOptions(codec="libx264", crf=0))
        generations.append(next(iter(open_frames(path).read())).copy())
    for later in generations[1:]:
        assert np.abs(later.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() < 0.05
        assert np.abs(later.astype(int) - generations[1]).mean() < 0.02


def test_untouched_frames_keep_their_luma_and_chroma(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", 3, (128, 96), codec="ffv1")
    path = tmp_path / "out.mp4"
    write_video(path, open_frames(source).read(), fps=Fraction(25), options=EncodeOptions(crf=0))
    for before, after in zip(_yuv(source), _yuv(path), strict=True):
        for a, b in zip(before, after, strict=True):
            assert np.abs(a.astype(int) - b).mean() < 0.5
            assert np.abs(a.astype(int) - b).max() <= 2


def _yuv(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as file:
        frames = [frame.reformat(format="yuv420p").to_ndarray() for frame in file.decode(video=0)]
    height = frames[0].shape[0] * 2 // 3
    return [[frame[:height], frame[height:]] for frame in frames]


def test_odd_sizes_are_cropped_or_padded(tmp_path: Path) -> None:
    frame = np.zeros((49, 65, 3), np.uint8)
    frame[:, -1] = frame[-1, :] = 255
    cropped = write_video(tmp_path / "c.mp4", [frame] * 2, fps=Fraction(25), options=EncodeOptions(even="crop"))
    padded = write_video(tmp_path / "p.mp4", [frame] * 2, fps=Fraction(25), options=EncodeOptions(even="pad", crf=1))
    assert (cropped.width, cropped.height) == (64, 48)
    assert (padded.width, padded.height) == (66, 50)
    assert "65x49 became 64x48" in cropped.notes[0]
    assert "repeated" in padded.notes[0]
    shown = next(iter(open_frames(tmp_path / "p.mp4").read()))
    assert (shown[10, -2:] > 200).all()
    assert next(iter(open_frames(tmp_path / "c.mp4").read())).max() < 60
    one = write_video(tmp_path / "one.mp4", [np.zeros((1, 1, 3), np.uint8)], fps=Fraction(25))
    assert (one.width, one.height) == (2, 2)


def test_png_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    sound = make_sound(tmp_path / "s.wav", 5.0)
    info = write_video(folder, coded(4, 33, 21), fps=Fraction(25), soundtrack=sound)
    assert only_file(folder) == ["000000.png", "000001.png", "000002.png", "000003.png", "sound.wav"]
    assert np.array_equal(next(iter(open_frames(folder / "000002.png").read())), coded_frame(2, 33, 21))
    assert len(read_audio_native(folder / "sound.wav")[0]) == info.num_samples == 2560
    write_video(folder, coded(2), fps=Fraction(25))
    assert only_file(folder) == ["000000.png", "000001.png"]
    with pytest.raises(OutputExists):
        write_video(folder, coded(2), fps=Fraction(25), overwrite=False)
    (folder / "precious.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"precious\.txt"):
        write_video(folder, coded(2), fps=Fraction(25))
    assert (folder / "precious.txt").read_text() == "mine"


def test_writer_as_context(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, width=64, height=48, fps=Fraction(25)) as writer:
        for frame in coded(5):
            writer.write(frame)
        assert not path.exists()
        with pytest.raises(ValueError, match=r"\[48, 64, 3\]"):
            writer.write(coded_frame(0, 66, 48))
    assert [read_code(frame) for frame in open_frames(path).read()] == [0, 1, 2, 3, 4]
    assert writer.close().num_frames == 5


def test_views_and_foreign_strides(tmp_path: Path) -> None:
    wide = [np.concatenate([coded_frame(i), coded_frame(i)], axis=1) for i in range(3)]
    write_video(tmp_path / "a.mp4", (frame[:, :64] for frame in wide), fps=Fraction(25))
    write_video(tmp_path / "b.mp4", (frame[:, 64:][:, ::-1][:, ::-1] for frame in wide), fps=Fraction(25))
    write_video(tmp_path / "c.mp4", (np.asfortranarray(frame[:, :64]) for frame in wide), fps=Fraction(25))
    for name in "abc":
        assert [read_code(frame) for frame in open_frames(tmp_path / f"{name}.mp4").read()] == [0, 1, 2]


def test_frame_counts_that_differ_are_noted(tmp_path: Path) -> None:
    info = write_video(tmp_path / "a.mp4", coded(5), fps=Fraction(25), num_frames=6)
    assert any("6 frames were expected and 5" in note for note in info.notes)


# Options


@pytest.mark.parametrize(
    ("options", "pixel_format"),
    [
        (EncodeOptions(codec="libx264", pixel_format="yuv444p"), "yuv444p"),
        (EncodeOptions(codec="libx264", pixel_format="yuv422p", crf=30, preset="ultrafast"), "yuv422p"),
        (EncodeOptions(codec="h264", preset="slow", threads=1, gop_s=0.2, audio_bitrate=64_000), "yuv420p"),
        (EncodeOptions(audio_codec="flac"), "yuv420p"),
    ],
)
def test_options_reach_the_file(options: EncodeOptions, pixel_format: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, coded(30), fps=Fraction(25), soundtrack=AudioClip(tone(2, 16_000), 16_000), options=options)
    found = probe(path)
    assert found.main_video is not None
    assert found.main_video.pixel_format == pixel_format
    if options.gop_s < 1:
        assert found.main_video.num_key_frames == 6
    if options.audio_codec == "flac":
        assert found.audio[0].codec == "flac"


def test_quality_changes_the_size(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 96, 128, 3), dtype=np.uint8)
    sizes = [
        write_video(
            tmp_path / "a.mp4", noise, fps=Fraction(25), options=EncodeOptions(codec="libx264", crf=crf)
        ).file_bytes
        for crf in (10, 25, 40)
    ]
    assert sizes[0] > 1.5 * sizes[1] > 2 * sizes[2]


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("a.mp4", EncodeOptions(codec="none-such"), "no codec"),
        ("a.mp4", EncodeOptions(codec="prores"), "does not hold prores"),
        ("a.webm", EncodeOptions(codec="h264"), "does not hold h264"),
        ("a.xyz", EncodeOptions(), "xyz"),
        ("a.mp4", EncodeOptions(codec="libx264", preset="warp"), "preset"),
        ("a.mp4", EncodeOptions(codec="libx264", crf=60), "crf 60"),
        ("a.mov", EncodeOptions(codec="prores", crf=3), "no crf"),
        ("a.mov", EncodeOptions(codec="prores", preset="fast"), "no presets"),
        ("a.mp4", EncodeOptions(codec="libx264", pixel_format="bayer_bggr8"), "pixel format"),
        ("a.mp4", EncodeOptions(audio_codec="vorbis"), "vorbis"),
        ("a.webm", EncodeOptions(audio_codec="aac"), "aac"),
    ],
)
def test_what_cannot_be_encoded_is_refused_at_once(
    name: str, options: EncodeOptions, match: str, tmp_path: Path
) -> None:
    with pytest.raises(EncoderUnavailable, match=match):
        check_output(tmp_path / name, options=options)
    with pytest.raises(EncoderUnavailable, match=match):
        write_video(tmp_path / name, coded(3), fps=Fraction(25), options=options)
    assert only_file(tmp_path) == []


def test_auto_falls_back_only_to_what_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.media import encoders

    real = encoders._try

    def broken(name: str) -> encoders.EncoderStatus:
        return encoders.EncoderStatus(name, "h264", False, "no such device") if "264" in name else real(name)

    monkeypatch.setattr(encoders, "_try", broken)
    with pytest.raises(EncoderUnavailable, match="no such device"):
        check_output(tmp_path / "a.mp4")
    check_output(tmp_path / "a.webm")


def test_bad_options() -> None:
    for bad in ({"even": "round"}, {"crf": -1}, {"crf": 64}, {"audio_bitrate": 5}, {"gop_s": 0}, {"threads": -1}):
        with pytest.raises(OptionError):
            EncodeOptions(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("fps", [Fraction(0), Fraction(-25), Fraction(1001), Fraction(10**12 + 1, 10**12)])
def test_bad_rates(fps: Fraction, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="frame rate"):
        write_video(tmp_path / "a.mp4", coded(2), fps=fps)


def test_gif_rate_limit(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="50"):
        write_video(tmp_path / "a.gif", coded(2), fps=Fraction(60))


# Failures leave nothing


class _StopError(Exception):
    pass


@pytest.mark.parametrize("error", [_StopError, KeyboardInterrupt, Cancelled, MemoryError, GeneratorExit])
@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "folder"])
@pytest.mark.parametrize("after", [0, 3, 40])
def test_failures_leave_nothing(error: type[BaseException], name: str, after: int, tmp_path: Path) -> None:
    closed = []

    def frames() -> Iterator[Frame]:
        try:
            yield from coded(after)
            raise error
        finally:
            closed.append(True)

    with pytest.raises(error):
        write_video(tmp_path / name, frames(), fps=Fraction(25), soundtrack=AudioClip(tone(9, 16_000), 16_000))
    assert only_file(tmp_path) == []
    assert closed


def test_a_failure_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"precious")

    def frames() -> Iterator[Frame]:
        yield from coded(3)
        raise _StopError

    with pytest.raises(_StopError):
        write_video(path, frames(), fps=Fraction(25))
    assert path.read_bytes() == b"precious"
    with pytest.raises(OutputExists):
        write_video(path, coded(3), fps=Fraction(25), overwrite=False)
    assert path.read_bytes() == b"precious"
    write_video(path, coded(3), fps=Fraction(25))
    assert len(open_frames(path)) == 3
    assert only_file(tmp_path) == ["a.mp4"]


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], fps=Fraction(25))
    writer = VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=Fraction(25))
    with pytest.raises(OutputError, match="no frames"):
        writer.close()
    assert only_file(tmp_path) == []


def test_wrong_soundtracks(tmp_path: Path) -> None:
    text = tmp_path / "s.wav"
    text.write_text("hello")
    nan = make_sound(tmp_path / "nan.wav", samples=np.full(9_000, np.nan, np.float32), bits="float")
    silent = make_video(tmp_path / "silent.mp4", 2)
    before = only_file(tmp_path)
    for sound in (text, nan, silent, tmp_path / "none.wav", tmp_path):
        with pytest.raises(MediaError):
            write_video(tmp_path / "a.mp4", coded(3), fps=Fraction(25), soundtrack=sound)
    with pytest.raises(MediaError):
        write_video(
            tmp_path / "a.mp4", coded(3), fps=Fraction(25), soundtrack=AudioClip(np.full(9, np.nan, np.float32), 8_000)
        )
    assert only_file(tmp_path) == before


def test_wrong_outputs(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for path in (tmp_path / "none" / "a.mp4", tmp_path / "folder.mp4", Path("/dev/null.d/a.mp4")):
        with pytest.raises(UnwritableOutput):
            write_video(path, coded(2), fps=Fraction(25))
        with pytest.raises(UnwritableOutput):
            check_output(path)
    if Path("/dev/null").exists():
        link = tmp_path / "null.mp4"
        link.symlink_to("/dev/null")
        with pytest.raises(UnwritableOutput, match="device"):
            write_video(link, coded(2), fps=Fraction(25))
        assert Path("/dev/null").is_char_device()


def test_the_soundtrack_is_not_overwritten(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 5, sound=(16_000, 1))
    before = path.read_bytes()
    with pytest.raises(OptionError, match="one of the inputs"):
        write_video(path, coded(3), fps=Fraction(25), soundtrack=path)
    assert path.read_bytes() == before


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "a.mp4").symlink_to(tmp_path / "real" / "b.mp4")
    write_video(tmp_path / "a.mp4", coded(3), fps=Fraction(25))
    assert (tmp_path / "a.mp4").is_symlink()
    assert only_file(tmp_path / "real") == ["b.mp4"]


@pytest.mark.parametrize("name", ["with space.v2.mp4", "ünïcode 脸.mp4", "-dash.mp4", "100%d.mp4", "a:b.mp4", "UP.MP4"])
def test_odd_file_names(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / name, coded(3), fps=Fraction(25), soundtrack=AudioClip(tone(1, 8_000), 8_000))
    assert only_file(tmp_path) == [name]


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_video(tmp_path / "a.mp4", coded(2), fps=Fraction(25))
    finally:
        os.umask(old)
    assert (tmp_path / "a.mp4").stat().st_mode & 0o777 == 0o640


CHILD = """
import sys, resource, signal
from fractions import Fraction
from pathlib import Path
import numpy as np
from talkinghead.errors import UnwritableOutput
from talkinghead.media import write_video
path, limit = Path(sys.argv[1]), int(sys.argv[2])
noise = np.random.default_rng(0).integers(0, 256, (8, 144, 256, 3), dtype=np.uint8)
def frames():
    for i in range(400 if limit else 100000):
        if i == 20:
            print("going", flush=True)
        yield noise[i % 8]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_video(path, frames(), fps=Fraction(25))
except UnwritableOutput as error:
    print(error)
    sys.exit(3)
except KeyboardInterrupt:
    sys.exit(130)
"""


def _child(path: Path, limit: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(path), str(limit)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "folder"])
@pytest.mark.parametrize("limit", [30_000, 1_000_000])
def test_a_full_disk_leaves_nothing(name: str, limit: int, tmp_path: Path) -> None:
    """The limit on file size stands in for a full disk: writes fail in the same way."""
    child = _child(tmp_path / name, limit)
    output, _ = child.communicate(timeout=60)
    if name == "folder" and limit == 1_000_000:  # no single picture is that large
        assert child.returncode == 0
        return
    assert child.returncode == 3, output
    assert "No room left" in output
    assert only_file(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    child = _child(tmp_path / "a.mp4", 0)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert only_file(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_process_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    child = _child(tmp_path / "a.mp4", 0)
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.communicate(timeout=60)
    assert not (tmp_path / "a.mp4").exists()


MEMORY = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from talkinghead.media import FrameOptions, open_frames, write_video
folder, seconds = Path(sys.argv[1]), int(sys.argv[2])
noise = np.random.default_rng(0).integers(100, 140, (4, 180, 320, 3), dtype=np.uint8)
source = folder / f"{seconds}.mp4"
write_video(source, (noise[i % 4] for i in range(seconds * 25)), fps=Fraction(25), soundtrack=folder / "speech.wav")
frames = open_frames(source, options=FrameOptions(cache_bytes=8_000_000))
n = len(frames)
for frame in frames.read(n - 1, None, -1):
    pass
write_video(folder / "out.mp4", frames.read(), fps=Fraction(25), soundtrack=folder / "speech.wav")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss differ elsewhere")
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    make_sound(tmp_path / "speech.wav", 60.0, 48_000, 2)
    peaks = []
    for seconds in (6, 36):
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, str(tmp_path), str(seconds)], capture_output=True, text=True, check=True
        )
        peaks.append(int(run.stdout))
    assert peaks[1] < 1.08 * peaks[0]


def test_every_error_is_ours(tmp_path: Path) -> None:
    with pytest.raises(TalkingHeadError):
        write_video(tmp_path / "a.mp4", [np.zeros((10, 20000, 3), np.uint8)], fps=Fraction(25))
    with pytest.raises(ValueError, match="uint8"):
        write_video(tmp_path / "a.mp4", [np.zeros((10, 10, 3), np.float32)], fps=Fraction(25))  # type: ignore[list-item]
    assert only_file(tmp_path) == []


@pytest.mark.parametrize(
    ("size", "factor"),
    [((4096, 2304), None), ((4096, 2320), 2), pytest.param((12000, 9000), 4, marks=pytest.mark.thorough)],
)
def test_frames_beyond_what_players_show_are_said(size: tuple[int, int], factor: int | None, tmp_path: Path) -> None:
    """H.264 level 5.2 ends at 36,864 blocks of 16 x 16 pixels."""
    width, height = size
    writer = VideoWriter(tmp_path / "a.mp4", width=width, height=height, fps=Fraction(25))
    if size[0] < 5000:
        writer.write(np.zeros((height, width, 3), np.uint8))
        notes = writer.close().notes
    else:
        notes = tuple(writer._notes)
        writer.abort()
    if factor is None:
        assert notes == ()
    else:
        assert len(notes) == 1
        assert "level 5.2" in notes[0]
        assert f"--resize-factor {factor}" in notes[0]
    other = VideoWriter(tmp_path / "b.mkv", width=width, height=height, fps=Fraction(25), options=EncodeOptions("vp9"))
    other.abort()
    assert other._notes == []
