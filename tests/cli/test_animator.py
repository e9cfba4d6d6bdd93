"""The built-in animator through the real commands, on a photograph and on drawn faces."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from talkinghead.assets import demo_speech_path
from talkinghead.measure.cases import draw_face
from talkinghead.media import open_frames, probe, read_audio, write_png, write_video, write_wav
from tests.conftest import ROOT
from tests.synthetic_media import make_picture, make_sound


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A photograph, a drawn face, 2.4 s of speech and a tone."""
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("desk")
    write_png(folder / "me.png", np.ascontiguousarray(astronaut()[:360, 40:400]))
    write_wav(folder / "hello.wav", read_audio(demo_speech_path(), 16_000, duration_s=2.4))
    write_wav(folder / "short.wav", read_audio(demo_speech_path(), 16_000, duration_s=0.4))
    drawn, box = draw_face(321, 241)
    write_png(folder / "drawn.png", drawn)
    (folder / "box.txt").write_text(",".join(map(str, box)))
    return folder


@pytest.fixture(scope="module")
def made(desk):
    """A finished video of the photograph."""
    from talkinghead.cli.main import main

    out = desk / "made.mp4"
    assert (
        main(["generate", "--face", str(desk / "me.png"), "--audio", str(desk / "hello.wav"), "-o", str(out), "-q"])
        == 0
    )
    return out


@pytest.mark.thorough
def test_the_demo_command(run, tmp_path):
    out = tmp_path / "demo.mp4"
    ran = run("demo", "-o", out)
    assert ran.status == 0, ran.err
    found = probe(out)
    sound = read_audio(demo_speech_path(), 16_000)
    assert found.main_video.num_frames == sound.num_frames(Fraction(25))
    assert abs(found.audio_minus_video_s) <= 1 / 25
    assert (found.main_video.width, found.main_video.height) == (512, 512)
    first, following = ran.out.splitlines()
    assert first.startswith(f"{out}: 5.8 s, 512x512 at 25 frames/s, made in ")
    assert following.startswith("Next, with files of your own: ")
    assert following.endswith("talkinghead generate --face me.jpg --audio hello.wav -o me.mp4")
    assert run("demo", "-o", out, "--no-overwrite").status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.mp4"]


def test_a_demo_that_cannot_be_made(run, desk, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "skimage.data", None)
    ran = run("demo", "-o", tmp_path / "demo.mp4", "--portrait", "astronaut")
    assert ran.status == 1
    assert 'pip install "talkinghead[demo]"' in ran.err
    ran = run("demo", "-o", tmp_path / "demo.mp4", "--portrait", "rose")
    assert ran.status == 2
    assert "hazel" in ran.err
    ran = run("demo", "-o", tmp_path / "demo.mp4", "--portrait", "reed", "--face", desk / "me.png")
    assert ran.status == 2
    assert "one of them" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_finished_video(made, desk):
    found = probe(made)
    assert found.main_video.num_frames == 60
    frames = list(open_frames(made).read())
    still = next(iter(open_frames(desk / "me.png").read()))
    assert frames[0].shape == still.shape
    change = [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(frames)]
    assert max(change) > 0.3  # something moves


@pytest.mark.thorough
def test_inspect_a_finished_video(run, made):
    ran = run("inspect", made)
    assert ran.status == 0, ran.err
    for text in ("h264", "360x360", "25 frames/s", "60 frames", "aac", "face", "sync"):
        assert text in ran.out
    found = json.loads(run("inspect", made, "--json").out)
    assert found["faces"]["share"] == 1.0
    assert found["mouth"] is None  # without the face mesh
    assert abs(found["media"]["audio_minus_video_s"]) <= 0.04
    assert set(found["sync"]) >= {"lag_ms", "confidence", "drift_ms_per_min"}
    quick = json.loads(run("inspect", made, "--json", "--no-faces").out)
    assert quick["faces"] is None
    assert quick["media"]["video"] == found["media"]["video"]


def test_inspect_other_files(run, desk, tmp_path):
    assert "pcm_s16le, 16000 Hz, mono, 2.400 s" in run("inspect", desk / "hello.wav").out
    assert "face   in 1 of 1" in run("inspect", desk / "me.png").out
    grey = make_picture(tmp_path / "grey.png", (200, 160))
    assert "face   in 0 of 1" in run("inspect", grey).out
    silent = tmp_path / "silent.mp4"
    write_video(silent, [np.full((64, 64, 3), 99, np.uint8)] * 3, fps=Fraction(25))
    assert run("inspect", silent).status == 0
    for bad in (tmp_path / "none.mp4", tmp_path):
        ran = run("inspect", bad)
        assert ran.status == 2
        assert ran.err.startswith("error: ")


@pytest.mark.thorough
def test_a_fixed_box_and_an_odd_size(run, desk, tmp_path):
    """A drawn face that no detector need find; the output loses the odd row and column and says so."""
    out = tmp_path / "o.mp4"
    box = (desk / "box.txt").read_text()
    ran = run(
        "generate", "--face", desk / "drawn.png", "--audio", desk / "short.wav", "-o", out, "--box", box, "--json"
    )
    assert ran.status == 0, ran.err
    report = json.loads(ran.out)
    assert (report["width"], report["height"]) == (320, 240)
    assert report["face_frames"]["detected"] == 1
    assert report["model"] == "viseme"
    assert report["warnings"]


@pytest.mark.thorough
def test_without_idle_motion_only_the_mouth_moves(run, desk, tmp_path):
    """Compared before encoding: a folder of PNG files."""
    out = tmp_path / "frames"
    ran = run("generate", "--face", desk / "me.png", "--audio", desk / "short.wav", "-o", out, "--codec", "png",
              "--no-idle-motion")  # fmt: skip
    assert ran.status == 0, ran.err
    still = next(iter(open_frames(desk / "me.png").read()))
    pictures = sorted(out.glob("*.png"))
    assert len(pictures) == 10
    for path in pictures:
        frame = next(iter(open_frames(path).read()))
        changed = (frame != still).any(axis=2)
        assert not changed[: changed.shape[0] // 4].any()  # hair and forehead
        assert changed.mean() < 0.25


@pytest.mark.thorough
def test_silence_keeps_the_mouth_still_and_a_tone_does_no_harm(run, desk, tmp_path):
    silence = make_sound(tmp_path / "silence.wav", 0.6, samples=np.zeros(9600, np.float32))
    tone = make_sound(tmp_path / "tone.wav", 0.6)
    for sound in (silence, tone):
        out = tmp_path / f"{sound.stem}.mp4"
        ran = run("generate", "--face", desk / "me.png", "--audio", sound, "-o", out)
        assert ran.status == 0, ran.err
        assert probe(out).main_video.num_frames == 15


def test_a_very_short_sound(run, desk, tmp_path):
    sound = make_sound(tmp_path / "click.wav", samples=np.array([0.1, -0.1, 0.1], np.float32))
    out = tmp_path / "o.mp4"
    ran = run("generate", "--face", desk / "me.png", "--audio", sound, "-o", out)
    assert ran.status == 0, ran.err
    assert probe(out).main_video.num_frames == 1


@pytest.mark.thorough
def test_frames_without_a_face(run, desk, tmp_path):
    still = next(iter(open_frames(desk / "me.png").read()))
    nothing = np.full_like(still, 128)
    video = tmp_path / "face.mp4"
    write_video(video, [still] * 4 + [nothing] * 4 + [still] * 4, fps=Fraction(25))
    arguments = ("generate", "--face", video, "--audio", desk / "short.wav", "--json", "--loop", "hold", "-q")
    ran = run(*arguments, "-o", tmp_path / "hold.mp4")
    assert ran.status == 0, ran.err
    counts = json.loads(ran.out)["face_frames"]
    assert counts["detected"] >= 3  # every third frame is looked at
    assert counts["held"] + counts["missing"] >= 2
    ran = run(*arguments, "-o", tmp_path / "each.mp4", "--detect-every", "1")
    counts = json.loads(ran.out)["face_frames"]
    assert counts["detected"] >= 6
    assert counts["held"] + counts["missing"] + counts["interpolated"] >= 2
    ran = run(*arguments, "-o", tmp_path / "fail.mp4", "--no-face", "fail")
    assert ran.status == 2
    assert "face" in ran.err
    assert not (tmp_path / "fail.mp4").exists()


@pytest.mark.thorough
def test_the_second_run_takes_the_faces_from_the_cache(run, desk, tmp_path):
    still = next(iter(open_frames(desk / "me.png").read()))
    video = tmp_path / "face.mp4"
    write_video(video, [np.roll(still, i, axis=1) for i in range(8)], fps=Fraction(25))

    def entries() -> int:
        return json.loads(run("cache", "size", "--json").out)["entries"]

    arguments = ("generate", "--face", video, "--audio", desk / "short.wav", "-q", "--codec", "png", "-o")
    run("cache", "clear")
    assert run(*arguments, tmp_path / "a", "--no-cache").status == 0
    assert entries() == 0
    assert run(*arguments, tmp_path / "b").status == 0
    kept = entries()
    assert kept >= 1
    assert run(*arguments, tmp_path / "c").status == 0
    assert entries() == kept
    for picture in sorted((tmp_path / "a").glob("*.png")):
        for folder in ("b", "c"):
            assert (tmp_path / folder / picture.name).read_bytes() == picture.read_bytes()


@pytest.mark.thorough
def test_bench(run):
    ran = run("bench", "viseme", "--seconds", "0.6", "--size", "320x180", "--repeats", "1", "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert [case["warm"]["num_frames"] for case in found["runs"]] == [15, 15]
    commands = found["tables"][0]["rows"]
    assert [row[0] for row in commands] == ["video", "picture"]
    for seconds, factor in [(float(row[at]), float(row[at + 1])) for row in commands for at in (1, 3)]:
        assert seconds * factor == pytest.approx(0.6, abs=0.01 * seconds)


@pytest.mark.thorough
def test_memory_of_the_real_command_does_not_grow_with_length(tmp_path):
    """Ten times the speech, at most 15 % more memory."""
    from talkinghead.measure.cases import BenchSettings, bench_speech, portrait

    picture, _, _ = portrait(480, 270)
    write_png(tmp_path / "me.png", picture)
    peaks = []
    for seconds in (4, 40):
        sound = tmp_path / f"{seconds}.wav"
        write_wav(sound, bench_speech(BenchSettings(seconds=seconds)))
        done = subprocess.run(
            [sys.executable, "-m", "talkinghead", "generate", "--face", str(tmp_path / "me.png"), "--audio", str(sound),
             "-o", str(tmp_path / f"{seconds}.mp4"), "--json", "-q"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=240,
        )  # fmt: skip
        report = json.loads(done.stdout)
        assert report["num_frames"] == 25 * seconds
        peaks.append(report["peak_memory_bytes"])
    assert peaks[1] <= 1.15 * peaks[0], peaks
