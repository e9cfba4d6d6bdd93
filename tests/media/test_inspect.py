"""What `probe` tells about files, against what the test put in."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from talkinghead.errors import MediaNotFound, UnreadableMedia
from talkinghead.media import probe
from tests.synthetic_media import make_picture, make_sound, make_video, truncated


def test_video_with_sound(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 50, fps=Fraction(30000, 1001), gop=10, sound=(44_100, 2), rotation=90)
    found = probe(path)
    video, audio = found.main_video, found.main_audio
    assert video is not None
    assert audio is not None
    assert (found.kind, found.warnings, found.other) == ("video", (), ())
    assert (video.codec, video.width, video.height, video.rotation_degrees) == ("h264", 64, 48, 90)
    assert (video.num_frames, video.declared_frames, video.num_key_frames) == (50, 50, 5)
    assert (video.fps, video.variable_frame_rate) == (Fraction(30000, 1001), False)
    assert (video.matrix, video.colour_range, video.pixel_format) == ("bt709", "limited", "yuv420p")
    assert video.duration_s == pytest.approx(50 * 1001 / 30000)
    assert video.shortest_interval_s == video.longest_interval_s == pytest.approx(1001 / 30000)
    assert (audio.codec, audio.sample_rate_hz, audio.num_channels, audio.layout) == ("aac", 44_100, 2, "stereo")
    assert found.audio_minus_video_s == pytest.approx(0, abs=0.03)
    assert json.loads(json.dumps(found.to_dict()))["video"][0]["fps"] == "30000/1001"


def test_variable_rate(tmp_path: Path) -> None:
    ticks = [0, 40, 80, 200, 240, 280, 320, 600]
    found = probe(make_video(tmp_path / "a.mkv", 8, ticks=ticks, time_base=Fraction(1, 1000), b_frames=0))
    video = found.main_video
    assert video is not None
    assert video.variable_frame_rate
    assert (video.num_frames, video.shortest_interval_s, video.longest_interval_s) == (8, 0.04, 0.28)
    assert found.audio_minus_video_s is None


def test_sound_and_pictures(tmp_path: Path) -> None:
    sound = probe(make_sound(tmp_path / "a.flac", 1.5, 48_000, 2))
    assert (sound.kind, sound.main_video) == ("audio", None)
    assert sound.audio[0].duration_s == pytest.approx(1.5, abs=0.01)
    picture = probe(make_picture(tmp_path / "a.webp", (60, 40)))
    assert (picture.kind, picture.container, picture.video[0].width, picture.video[0].fps) == (
        "image",
        "webp",
        60,
        None,
    )
    assert json.dumps(picture.to_dict())


def test_sound_that_is_longer_than_the_pictures(tmp_path: Path) -> None:
    found = probe(make_video(tmp_path / "a.mp4", 25, sound=(16_000, 1), sound_s=3.0))
    assert found.audio_minus_video_s == pytest.approx(2.0, abs=0.1)


def test_cut_short(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "a.mp4", 100, (160, 120), container_options={"movflags": "+faststart"})
    found = probe(truncated(whole, tmp_path / "b.mp4", 0.7))
    assert found.main_video is not None
    assert found.main_video.declared_frames == 100
    assert found.main_video.num_frames < 100
    assert any("cut short" in warning for warning in found.warnings)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        probe(tmp_path / "none")
    text = tmp_path / "a.txt"
    text.write_text("hello")
    with pytest.raises(UnreadableMedia):
        probe(text)


def test_real_files(shared_media: Path) -> None:
    found = probe(shared_media / "talking_704x1216_25fps.mp4")
    assert found.main_video is not None
    assert (found.main_video.num_frames, found.audio) == (268, ())
    assert probe(shared_media / "speech_en_44k_stereo.flac").audio[0].duration_s == pytest.approx(11.0)
