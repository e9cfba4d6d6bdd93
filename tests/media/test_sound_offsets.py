"""Pictures and sound of one file stay as far apart as they begin; a sound alone begins with its first sample."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import talkinghead as th
from talkinghead.contracts import Result
from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import LoadOptions, PrepareOptions
from talkinghead.media.offsets import sound_offset
from talkinghead.registry import FAMILIES
from talkinghead.service.request import Request, SoundFile
from talkinghead.service.run import run
from tests.sound_files import click_times, clicks, write_stream, write_video_and_sound
from tests.stripes import FACTS, StripesHead
from tests.synthetic_media import make_sound, make_video, read_code

RATE = 48_000
CONTAINERS: dict[str, dict[str, Any]] = {
    "a.mp4": {},
    "b.mp4": {"b_frames": 2},
    "a.mov": {"sound_codec": "pcm_s16le"},
    "a.mkv": {},
    "a.ts": {},
    "fragments.mp4": {"options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}},
    "delayed.mp4": {"options": {"movflags": "frag_keyframe+empty_moov+delay_moov"}},
    "a.webm": {"video_codec": "libvpx", "sound_codec": "libopus"},
}


@pytest.fixture(autouse=True)
def _stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]


def made(face: Path, sound: Path, output: Path, **options: Any) -> Result:
    speech = SoundFile(sound, **options)
    load = LoadOptions(family={"bar": False})
    return run(Request(face, speech, output, "stripes", load=load, prepare=PrepareOptions(cache=NullCache())))


def shown(path: Path) -> list[int]:
    """The number that each frame of a video shows."""
    with av.open(f"file:{path}") as container:
        return [read_code(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def said_s(sentence: str) -> float:
    """The seconds in "begins 0.80 s after"."""
    return float(sentence.split(" begins ")[1].split(" ")[0])


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "late_s"), [*((name, 0.8) for name in CONTAINERS), ("a.mp4", 3.0), ("a.mkv", 3.0)])
def test_a_sound_that_begins_late_is_heard_late(name: str, late_s: float, tmp_path: Path) -> None:
    path = write_video_and_sound(
        tmp_path / name, 40, clicks(2.0, RATE, (0.5, 1.5)), RATE, sound_late_s=late_s, **CONTAINERS[name]
    )
    assert float(sound_offset(path).seconds) == pytest.approx(late_s, abs=0.03)
    result = made(path, path, tmp_path / "out.mp4")
    assert click_times(tmp_path / "out.mp4") == pytest.approx([late_s + 0.5, late_s + 1.5], abs=0.04)
    assert result.report.num_frames == pytest.approx(25 * (late_s + 2.0), abs=1)
    assert shown(tmp_path / "out.mp4")[:20] == list(range(20))
    assert result.report.warnings == ()


@pytest.mark.thorough
@pytest.mark.parametrize("name", CONTAINERS)
def test_pictures_that_begin_late_are_shown_late(name: str, tmp_path: Path) -> None:
    """The first is held until then; the click at 1.5 s still falls on picture 0.7 s after the first."""
    path = write_video_and_sound(
        tmp_path / name, 60, clicks(3.0, RATE, (0.5, 1.5)), RATE, pictures_late_s=0.8, **CONTAINERS[name]
    )
    result = made(path, path, tmp_path / "out.mp4")
    assert click_times(tmp_path / "out.mp4") == pytest.approx([0.5, 1.5], abs=0.04)
    frames = shown(tmp_path / "out.mp4")
    assert np.abs(np.array(frames[:60]) - np.maximum(np.arange(60) - 20, 0)).max() <= 1
    assert result.report.num_frames == pytest.approx(75, abs=1)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in CONTAINERS if "options" not in CONTAINERS[name]])
def test_a_sound_that_begins_before_zero(name: str, tmp_path: Path) -> None:
    """MP4 hides what is before zero behind an edit list, others move everything: the click stays on its picture."""
    path = write_video_and_sound(
        tmp_path / name, 60, clicks(2.4, RATE, (1.1, 2.1)), RATE, sound_late_s=-0.5, **CONTAINERS[name]
    )
    made(path, path, tmp_path / "out.mp4")
    frames, found = shown(tmp_path / "out.mp4"), click_times(tmp_path / "out.mp4")
    assert len(found) == 2
    for at, wanted in zip(found, (0.6, 1.6), strict=True):
        assert frames[int(at * 25)] / 25 == pytest.approx(wanted, abs=0.06)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "fragments.mp4"])
def test_a_sound_alone_begins_with_its_first_sample(name: str, tmp_path: Path) -> None:
    path = write_video_and_sound(
        tmp_path / name, 50, clicks(1.6, RATE, (0.5, 1.0)), RATE, sound_late_s=0.8, **CONTAINERS[name]
    )
    face = make_video(tmp_path / "face.mp4", 30)
    result = made(face, path, tmp_path / "out.mp4")
    assert click_times(tmp_path / "out.mp4") == pytest.approx([0.5, 1.0], abs=0.04)
    assert result.report.num_frames == pytest.approx(40, abs=1)
    (sentence,) = (text for text in result.report.warnings if "begins" in text)
    assert said_s(sentence) == pytest.approx(0.8, abs=0.03)
    assert "after its pictures" in sentence


@pytest.mark.parametrize("name", ["late.m4a", "late.mka"])
def test_a_sound_without_pictures_that_begins_late(name: str, tmp_path: Path) -> None:
    samples = clicks(1.5, RATE, (0.5, 1.0))
    kind = "matroska" if name.endswith("mka") else "mp4"
    path = write_stream(tmp_path / name, samples, RATE, "aac", container=kind, restamp=lambda _, time, __: time + 3.0)
    result = made(make_video(tmp_path / "face.mp4", 30), path, tmp_path / "out.mp4")
    assert click_times(tmp_path / "out.mp4") == pytest.approx([0.5, 1.0], abs=0.04)
    (sentence,) = (text for text in result.report.warnings if "begins" in text)
    assert said_s(sentence) == pytest.approx(3.0, abs=0.03)


@pytest.mark.parametrize("suffix", ["mp3", "ts", "wav", "flac", "ogg", "m4a"])
def test_ordinary_sounds_begin_at_once_and_nothing_is_said(suffix: str, tmp_path: Path) -> None:
    path = make_sound(tmp_path / f"a.{suffix}", 1.0, RATE)
    result = made(make_video(tmp_path / "face.mp4", 30), path, tmp_path / "out.mp4")
    assert result.report.warnings == ()


def test_an_ordinary_video_is_its_own_sound_unchanged(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 30, sound=(RATE, 1))
    speech = th.listen(path, face=path)
    assert (speech.lead_s, speech.hold_s, speech.warnings) == (0, 0, ())
    assert np.array_equal(speech.clip.samples, th.listen(path).clip.samples)


def test_a_copy_of_the_file_is_the_same_file(tmp_path: Path) -> None:
    path = write_video_and_sound(tmp_path / "a.mp4", 60, clicks(1.0, RATE, (0.5,)), RATE, sound_late_s=0.8)
    shutil.copy(path, tmp_path / "copy.mp4")
    made(path, tmp_path / "copy.mp4", tmp_path / "out.mp4")
    assert click_times(tmp_path / "out.mp4") == pytest.approx([1.3], abs=0.04)


def test_parts_of_face_and_sound_stay_together(tmp_path: Path) -> None:
    """With the same start for both, the click at 3.8 s of the file comes 1.8 s after it."""
    path = write_video_and_sound(tmp_path / "a.mp4", 150, clicks(4.0, RATE, (3.0,)), RATE, sound_late_s=0.8)
    made(path, path, tmp_path / "out.mp4", start_s=2.0)
    assert click_times(tmp_path / "out.mp4") == pytest.approx([1.8], abs=0.04)


def test_listening_first_and_the_face_later(tmp_path: Path) -> None:
    """Through the Python API, where the sound is read before anybody knows whose face will speak."""
    path = write_video_and_sound(tmp_path / "a.mp4", 60, clicks(1.0, RATE, (0.5,)), RATE, sound_late_s=0.8)
    head = StripesHead(LoadOptions(family={"bar": False}))
    avatar = head.prepare(path, PrepareOptions(cache=NullCache()))
    speech = th.listen(path)
    assert said_s(speech.warnings[0]) == pytest.approx(0.8, abs=0.03)
    result = head.render(avatar, speech, tmp_path / "out.mp4")
    assert click_times(tmp_path / "out.mp4") == pytest.approx([1.3], abs=0.04)
    assert result.report.warnings == ()
