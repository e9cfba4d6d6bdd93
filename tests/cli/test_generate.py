"""`talkinghead generate` end to end on tiny media, with a model that shows its source's frames."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.cli.generate import repeat_option
from talkinghead.engine.timeline import source_indices
from talkinghead.media import open_frames, probe
from tests.conftest import ROOT
from tests.synthetic_media import make_picture, make_sound, make_video, read_code

pytestmark = pytest.mark.usefixtures("stripes")
STRIPES = ("--model", "stripes")


def codes(path: Path) -> list[int]:
    """The numbers that the frames of a video carry."""
    return [read_code(frame) for frame in open_frames(path).read()]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith((".", "tmp")) or ".part" in path.name)


def test_a_video_is_as_long_as_the_sound_and_goes_back_and_forth(run, video, speech, tmp_path):
    out = tmp_path / "out dir with spaces" / "my.video.v2.mp4"
    out.parent.mkdir()
    ran = run("generate", *STRIPES, "--face", video, "--audio", speech, "-o", out)
    assert ran.status == 0, ran.err
    found = probe(out)
    assert found.main_video.num_frames == 50
    assert found.main_video.fps == 25
    assert found.main_audio is not None
    assert abs(found.audio_minus_video_s) <= 1 / 25
    assert codes(out) == source_indices(30, 50, "pingpong").tolist()
    (line,) = ran.out.splitlines()
    assert re.fullmatch(
        re.escape(f"{out}: 2.0 s, 64x48 at 25 frames/s, made in ") + r"[\d.]+ s \([\d.]+ times real time\)", line
    )
    assert leftovers(out.parent) == []


@pytest.mark.parametrize(
    ("arguments", "table", "line"),
    [(["--verbose"], True, True), (["--report", "r.json"], True, True), (["-q"], False, False)],
)
def test_what_is_said_at_the_end(arguments, table, line, run, video, speech, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("generate", *STRIPES, "--face", video, "--audio", speech, "-o", "o.mp4", *arguments)
    assert ran.status == 0, ran.err
    for stage in ("load", "read-sound", "listen", "read", "compose", "write"):
        assert bool(re.search(rf"^{stage} ", ran.out, re.MULTILINE)) == table
    assert ("50 frames, " in ran.out) == ("limited by" in ran.out) == table
    assert ("times real time" in ran.out) == line
    if not line:
        assert (ran.out, ran.err) == ("", "")


@pytest.mark.parametrize("policy", ["loop", "hold", "trim"])
def test_loop_policies(run, video, speech, tmp_path, policy):
    out = tmp_path / "out.mp4"
    assert run("generate", *STRIPES, "--face", video, "--audio", speech, "-o", out, "--loop", policy).status == 0
    assert codes(out) == source_indices(30, 50, policy).tolist()
    assert abs(probe(out).audio_minus_video_s) <= 1 / 25


def test_frame_rate_start_and_duration(run, video, speech, tmp_path):
    out = tmp_path / "out.mp4"
    ran = run("generate", *STRIPES, "--face", video, "--audio", speech, "-o", out, "--fps", "30000/1001",
              "--start", "0.5", "--duration", "0.75")  # fmt: skip
    assert ran.status == 0, ran.err
    found = probe(out)
    assert found.main_video.fps == Fraction(30000, 1001)
    assert found.main_video.num_frames == 23  # ceil(0.75 * 29.97)
    assert abs(found.main_audio.duration_s - 23 / 29.97) < 1 / 25


def test_a_picture_and_frame_options(run, speech, tmp_path):
    picture = make_picture(tmp_path / "face.png", (64, 48))
    out = tmp_path / "out.mkv"
    ran = run("generate", *STRIPES, "--face", picture, "--audio", speech, "-o", out, "--rotate", "90",
              "--crop", "0,60,0,40", "--duration", "0.4")  # fmt: skip
    assert ran.status == 0, ran.err
    found = probe(out)
    assert (found.main_video.width, found.main_video.height) == (40, 60)
    assert found.main_video.num_frames == 10


def test_odd_sizes_are_made_even_and_the_user_is_told(run, speech, tmp_path):
    picture = make_picture(tmp_path / "face.png", (65, 49))
    for even, size in (("crop", (64, 48)), ("pad", (66, 50))):
        out = tmp_path / f"{even}.mp4"
        ran = run(
            "generate", *STRIPES, "--face", picture, "--audio", speech, "-o", out, "--even", even, "--duration", "0.2"
        )
        assert ran.status == 0, ran.err
        assert (probe(out).main_video.width, probe(out).main_video.height) == size
        assert "warning:" in ran.err


@pytest.mark.parametrize(("name", "codec"), [("o.webm", "vp9"), ("o.mov", "h264"), ("o.gif", "gif"), ("o.mkv", "h264")])
def test_the_suffix_chooses_the_format(run, video, speech, tmp_path, name, codec):
    out = tmp_path / name
    assert run("generate", *STRIPES, "--face", video, "--audio", speech, "-o", out, "--duration", "0.3").status == 0
    assert probe(out).main_video.codec == codec


def test_the_report_is_what_is_shown_as_json(run, video, speech, tmp_path):
    report = tmp_path / "report.json"
    ran = run("generate", *STRIPES, "--face", video, "--audio", speech, "-o", tmp_path / "o.mp4", "--report", report,
              "--json", "--no-bar")  # fmt: skip
    assert ran.status == 0, ran.err
    shown = json.loads(ran.out)
    assert shown == json.loads(report.read_text())
    assert shown["model"] == "stripes"
    assert shown["model_details"] == {"bar": False, "frames_painted": 50}
    assert shown["num_frames"] == 50
    assert shown["frames_per_second"] > 0
    assert shown["limited_by"] in [stage["name"] for stage in shown["stages"]]
    assert (
        sum(stage["busy_s"] for stage in shown["stages"] if stage["name"] in ("load", "read-sound")) <= shown["wall_s"]
    )


def test_several_sounds_prepare_the_face_once(run, video, tmp_path, monkeypatch):
    from tests.stripes import StripesHead

    prepared = []
    plain = StripesHead.prepare
    monkeypatch.setattr(StripesHead, "prepare", lambda *a, **k: (prepared.append(a[1]), plain(*a, **k))[1])
    sounds = [make_sound(tmp_path / f"{name}.wav", seconds) for name, seconds in (("one", 0.4), ("two", 0.8))]
    out = tmp_path / "out"
    ran = run("generate", *STRIPES, "--face", video, "--audio", *sounds, "-o", f"{out}/")
    assert ran.status == 0, ran.err
    assert [len(codes(out / f"{name}.mp4")) for name in ("one", "two")] == [10, 20]
    assert prepared == [video]


def test_one_bad_input_does_not_stop_the_others(run, video, tmp_path):
    good = make_sound(tmp_path / "good.wav", 0.4)
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    report = tmp_path / "report.json"
    out = tmp_path / "out"
    ran = run("generate", *STRIPES, "--face", video, "--audio", bad, good, tmp_path / "none.wav", "-o", out, "--report",
              report)  # fmt: skip
    assert ran.status == 1
    assert sorted(path.name for path in out.iterdir()) == ["good.mp4"]
    assert "2 of 3 failed" in ran.out
    assert ran.err.count("error:") == 2
    assert "Traceback" not in ran.err
    items = json.loads(report.read_text())["items"]
    assert [item["ok"] for item in items] == [False, True, False]
    assert items[1]["report"]["num_frames"] == 10
    assert "bad.wav" in items[0]["error"]


def test_several_faces_and_sounds_make_every_pair(run, video, tmp_path):
    other = make_video(tmp_path / "other.mp4", 5)
    sounds = [make_sound(tmp_path / f"{name}.wav", 0.2) for name in "ab"]
    out = tmp_path / "out"
    ran = run("generate", *STRIPES, "--audio", *sounds, "--face", video, other, "-o", out)
    assert ran.status == 0, ran.err
    assert sorted(path.name for path in out.iterdir()) == ["face-a.mp4", "face-b.mp4", "other-a.mp4", "other-b.mp4"]


def test_a_bad_face_fails_once_for_all_its_sounds(run, video, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG nothing")
    sounds = [make_sound(tmp_path / f"{name}.wav", 0.2) for name in "ab"]
    out = tmp_path / "out"
    ran = run("generate", *STRIPES, "--face", bad, video, "--audio", *sounds, "-o", out)
    assert ran.status == 1
    assert sorted(path.name for path in out.iterdir()) == ["face-a.mp4", "face-b.mp4"]


def test_an_existing_video_is_replaced_unless_that_is_forbidden(run, video, speech, tmp_path):
    out = tmp_path / "out.mp4"
    out.write_text("old")
    arguments = ("generate", *STRIPES, "--face", video, "--audio", speech, "-o", out, "--duration", "0.2")
    ran = run(*arguments, "--no-overwrite")
    assert ran.status == 1
    assert out.read_text() == "old"
    assert "exists" in ran.err
    assert run(*arguments).status == 0
    assert len(codes(out)) == 5


def test_a_failure_inside_the_model_leaves_nothing_and_says_it_is_our_fault(run, video, speech, tmp_path):
    out = tmp_path / "out" / "o.mp4"
    out.parent.mkdir()
    arguments = ("generate", *STRIPES, "--face", video, "--audio", speech, "-o", out, "--fail-at", "7")
    ran = run(*arguments)
    assert ran.status == 1
    assert "the paint is empty" in ran.err
    assert "--debug" in ran.err
    assert "Traceback" not in ran.err
    assert list(out.parent.iterdir()) == []
    ran = run(*arguments, "--debug")
    assert ran.status == 1
    assert "Traceback" in ran.err


def test_an_option_of_another_model_is_refused(run, video, speech, tmp_path):
    ran = run("generate", "--face", video, "--audio", speech, "-o", tmp_path / "o.mp4", "--fail-at", "3")
    assert ran.status == 2
    assert "--fail-at is an option of stripes, not of viseme" in ran.err
    assert "--model stripes" in ran.err


def test_quiet_and_lines(run, video, speech, tmp_path):
    arguments = ("generate", *STRIPES, "--face", video, "--audio", speech, "-o", tmp_path / "o.mp4")
    assert "render  50/50" in run(*arguments).err
    assert run(*arguments, "--quiet").err == ""


@pytest.mark.thorough
def test_ctrl_c_stops_promptly_and_leaves_nothing(video, speech, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stripes", "generate", *STRIPES, "--face", str(video), "--audio", str(speech),
             "-o", str(out / "o.mp4"), "--delay-s", "0.2"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not list(out.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        assert process.poll() is None, process.communicate()
        asked = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - asked < 2.0
        assert process.returncode == status
        assert err.strip().endswith("Stopped.")
        assert "Traceback" not in err
        assert list(out.iterdir()) == []


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["--audio", "--face", "-q", "--fps", "a.wav", "b c.wav", "--audio=x.wav"]), max_size=10)
)
def test_repeating_options_keeps_all_arguments_in_order(args):
    written = repeat_option(args, ("--audio", "--face"))
    rest = iter(written)
    assert all(any(argument == other for other in rest) for argument in args)
    assert len(written) - len(args) == written.count("--audio") + written.count("--face") - args.count(
        "--audio"
    ) - args.count("--face")


def test_repeating_options():
    args = ["--face", "a.mp4", "--audio", "1.wav", "2.wav", "3.wav", "-o", "out/"]
    assert repeat_option(args, ("--audio",)) == [
        "--face", "a.mp4", "--audio", "1.wav", "--audio", "2.wav", "--audio", "3.wav", "-o", "out/",
    ]  # fmt: skip
    assert repeat_option(["--audio=1.wav", "2.wav"], ("--audio",)) == ["--audio=1.wav", "--audio", "2.wav"]


def test_help_shows_the_options_of_one_model(run):
    for arguments in (("--model", "stripes"), ("-m", "stripes"), ("--model=stripes",)):
        for wanted in ("--help", "--help-all"):
            out = run("generate", *arguments, wanted).out
            assert "--fail-at" in out
            assert "--idle-motion" not in out
            assert "--crf" in out
    out = run("generate", "--help-all").out
    assert "--fail-at" not in out
    assert "--idle-motion" in out
    assert "|stripes --help" in "".join(run("generate", "-h").out.split("\n"))
