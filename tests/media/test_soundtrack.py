"""The sound that goes into the file: what is beyond full scale is said, what is odd is kept."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from talkinghead.media import open_frames, read_audio_native, write_video
from talkinghead.media.soundtrack import Soundtrack
from tests.sound_files import click_times, clicks, write_stream
from tests.synthetic_media import coded_frame, make_sound, make_video, speech_like, tone


def written(sound: Path, output: Path, frames: int = 25) -> tuple[str, ...]:
    pictures = (coded_frame(index) for index in range(frames))
    return write_video(output, pictures, fps=Fraction(25), soundtrack=sound).notes


@pytest.mark.parametrize("name", ["a.wav", "a.mkv"])
@pytest.mark.parametrize("output", ["out.mp4", "out.mkv", "out.webm", "frames"])
def test_sound_beyond_full_scale_is_said(name: str, output: str, tmp_path: Path) -> None:
    """Twelve decibels too loud: a sine of amplitude 4 is beyond 1 for 84 % of the time."""
    loud = tone(1.0, 48_000, level=4.0)
    if name == "a.wav":
        path = make_sound(tmp_path / name, rate=48_000, samples=loud, bits="float")
    else:
        path = write_stream(tmp_path / name, loud[:, np.newaxis], 48_000, "pcm_f32le")
    (sentence,) = (note for note in written(path, tmp_path / output) if "full scale" in note)
    assert sentence.startswith("84 %")
    assert "12.0 dB" in sentence


@pytest.mark.parametrize("level", [0.5, 0.999])
@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a.flac"])
def test_ordinary_levels_are_not_mentioned(level: float, name: str, tmp_path: Path) -> None:
    path = make_sound(tmp_path / name, rate=48_000, samples=level * speech_like(1.0, 48_000) / 0.9)
    assert written(path, tmp_path / "out.mp4") == ()


def test_a_single_sample_far_beyond_is_said(tmp_path: Path) -> None:
    samples = speech_like(1.0, 16_000)
    samples[800] = -5.0
    path = make_sound(tmp_path / "a.wav", samples=samples, bits="float")
    assert any("14.0 dB" in note for note in written(path, tmp_path / "out.mp4"))


@pytest.mark.parametrize("bits", [8, 24, 32])
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2)])
def test_telephone_and_studio(bits: int, rate: int, channels: int, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", rate=rate, samples=clicks(1.0, rate, (0.5,), channels), bits=bits)
    assert written(path, tmp_path / "out.mp4") == ()
    assert click_times(tmp_path / "out.mp4") == pytest.approx([0.5], abs=0.01)


def test_silence_before_the_sound_is_part_of_its_time(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", rate=8_000, samples=np.ones(8_000, np.float32) / 2, bits="float")
    whole = Soundtrack(path, lead_s=Fraction(1, 4)).take(12_000)
    assert np.array_equal(np.flatnonzero(whole[:, 0]), np.arange(2_000, 10_000))
    later = Soundtrack(path, start_s=0.5, lead_s=Fraction(1, 4)).take(8_000)
    assert np.array_equal(later, whole[4_000:12_000])


def test_a_podcast_with_a_cover_picture(tmp_path: Path) -> None:
    """MP3 with ID3 tags and an attached picture."""
    path = tmp_path / "podcast.mp3"
    with av.open(str(path), "w") as out:
        out.metadata.update({"title": "Épisode 1", "artist": "Somebody"})
        sound = out.add_stream("libmp3lame", rate=44_100)
        sound.codec_context.layout = "stereo"
        cover = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame.from_ndarray(coded_frame(3), format="rgb24")))
        samples = clicks(2.0, 44_100, (0.5, 1.5), 2)
        for at in range(0, len(samples), 1152):
            part = np.ascontiguousarray(samples[at : at + 1152].T)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, at, Fraction(1, 44_100)
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    assert written(path, tmp_path / "out.mp4", 50) == ()
    assert click_times(tmp_path / "out.mp4") == pytest.approx([0.5, 1.5], abs=0.05)


@pytest.mark.parametrize("sound_s", [0.4, 2.5])
def test_a_video_whose_sound_is_shorter_or_longer(sound_s: float, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 25, sound=(48_000, 1), sound_s=sound_s)
    assert len(open_frames(path)) == 25
    samples, rate = read_audio_native(path)
    assert len(samples) / rate == pytest.approx(sound_s, abs=0.03)
    written(path, tmp_path / "out.mp4", 25)
    samples, rate = read_audio_native(tmp_path / "out.mp4")
    assert len(samples) / rate == pytest.approx(1.0, abs=0.03)
