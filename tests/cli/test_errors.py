"""What can be wrong with what a user gives: one clear message, an exit status, nothing half-written, no traceback."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.synthetic_media import coded_frame, make_picture, make_sound, make_video, wav_file

pytestmark = pytest.mark.usefixtures("stripes")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def place(tmp_path):
    """A folder with a good face, good speech and every kind of bad file."""
    make_video(tmp_path / "face.mp4", 10)
    make_video(tmp_path / "loud.mp4", 10, sound=(16_000, 1))
    make_picture(tmp_path / "face.png")
    make_sound(tmp_path / "speech.wav", 0.4)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "nothing.wav").write_bytes(wav_file(np.zeros((0, 1), np.float32), 16_000))
    bad = np.zeros((4000, 1), np.float32)
    bad[1000] = np.nan
    (tmp_path / "nan.wav").write_bytes(wav_file(bad, 16_000, "float"))
    whole = (tmp_path / "face.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 8])
    png = bytearray((tmp_path / "face.png").read_bytes())
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "huge.png").write_bytes(bytes(png))
    return tmp_path


def check(place, run, arguments, status, *words):
    """Run in `place`; compare the status, look for the words on stderr, and for files that should not be there."""
    before = files(place)
    ran = run(*arguments)
    assert ran.status == status, ran
    assert ran.err.startswith("error: ") or "\nerror: " in ran.err, ran.err
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err, ran.err
    assert files(place) == before
    assert ran.out == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.mp4", ["no file", "none.mp4"]),
        ("folder", ["folder"]),
        ("text.mp4", ["text.mp4"]),
        ("text.png", ["text.png"]),
        ("empty.png", ["empty"]),
        ("cut.mp4", ["cut.mp4"]),
        ("huge.png", ["100000", "huge.png"]),
        ("speech.wav", ["no video"]),
    ],
)
def test_a_face_that_cannot_be_used(run, place, name, words):
    arguments = ["generate", "--model", "stripes", "--face", place / name, "--audio", place / "speech.wav", "-o"]
    check(place, run, [*arguments, place / "o.mp4"], 2, *words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.wav", ["no file", "none.wav"]),
        ("folder", ["folder"]),
        ("text.wav", ["text.wav"]),
        ("empty.wav", ["empty"]),
        ("nothing.wav", ["nothing.wav"]),
        ("face.mp4", ["no sound"]),
        ("face.png", ["no sound"]),
    ],
)
def test_a_sound_that_cannot_be_used(run, place, name, words):
    arguments = ["generate", "--model", "stripes", "--face", place / "face.png", "--audio", place / name, "-o"]
    check(place, run, [*arguments, place / "o.mp4"], 2, *words)


def test_a_sound_with_nan_is_refused_or_repaired_with_a_word(run, place):
    ran = run("generate", "--model", "stripes", "--face", place / "face.png", "--audio", place / "nan.wav", "-o",
              place / "o.mp4")  # fmt: skip
    if ran.status == 0:
        assert "warning:" in ran.err
        assert (place / "o.mp4").exists()
    else:
        assert ran.status == 2
        assert "nan.wav" in ran.err
        assert not (place / "o.mp4").exists()


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        ("nowhere/o.mp4", 1, ["no folder", "nowhere"]),
        ("o.xyz", 1, [".xyz"]),
        ("text.wav/o.mp4", 1, ["text.wav"]),
    ],
)
def test_an_output_that_cannot_be_written(run, place, output, status, words):
    arguments = ["generate", "--model", "stripes", "--face", place / "face.mp4", "--audio", place / "speech.wav", "-o"]
    check(place, run, [*arguments, place / output], status, *words)


def test_a_folder_without_permission(run, place):
    if os.geteuid() == 0:  # the superuser may write everywhere but here
        locked = Path("/proc")
    else:
        locked = place / "locked"
        locked.mkdir()
        locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    arguments = ["generate", "--model", "stripes", "--face", place / "face.mp4", "--audio", place / "speech.wav", "-o"]
    check(place, run, [*arguments, locked / "o.mp4"], 1, str(locked))


@pytest.mark.parametrize("name", ["face.mp4", "speech.wav"])
def test_an_input_is_never_overwritten(run, place, name):
    before = (place / name).read_bytes()
    arguments = ["generate", "--model", "stripes", "--face", place / "face.mp4", "--audio", place / "speech.wav", "-o"]
    check(place, run, [*arguments, place / name], 2, "one of the inputs")
    assert (place / name).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--codec", "h265x"], 1, ["h265x", "libx264"]),
        (["--codec", "prores"], 1, ["prores", ".mov"]),
        (["--crf", "99"], 2, ["99"]),
        (["--crf", "good"], 2, ["--crf", "good"]),
        (["--fps", "0"], 2, ["--fps"]),
        (["--fps", "fast"], 2, ["--fps", "fast"]),
        (["--loop", "bounce"], 2, ["bounce", "pingpong"]),
        (["--crop", "1,2"], 2, ["--crop", "N,N,N,N"]),
        (["--crop", "40,20,0,10"], 2, ["rows"]),
        (["--crop", "0,9999,0,10"], 2, ["crop"]),
        (["--rotate", "45"], 2, ["45"]),
        (["--resize-factor", "0"], 2, ["--resize-factor", "1 to 64"]),
        (["--detector", "eyes"], 2, ["eyes", "haar"]),
        (["--no-face", "cry"], 2, ["cry"]),
        (["--duration", "0"], 2, ["--duration"]),
        (["--start", "99"], 2, ["99"]),
        (["--delay-s", "-1"], 2, ["delay_s"]),
        (["--delay-s", "nan"], 2, ["--delay-s"]),
        (["--model", "wav3lip"], 2, ["wav3lip", "viseme"]),
        (["--scene", "x"], 2, ["--scene", "--face"]),
        (["--report", "nowhere/r.json"], 1, ["nowhere"]),
        (["--unknown"], 2, ["--unknown"]),
        (["extra"], 2, ["extra"]),
    ],
)
def test_options_that_cannot_be_used(run, place, options, status, words, monkeypatch):
    monkeypatch.chdir(place)
    arguments = ["generate", "--model", "stripes", "--face", "face.mp4", "-o", "o.mp4", "--audio", "speech.wav", "-q"]
    check(place, run, [*arguments, *options], status, *words)


def test_missing_options(run, place):
    check(place, run, ["generate", "--face", place / "face.mp4", "-o", place / "o.mp4"], 2, "--audio")
    check(place, run, ["generate", "--audio", place / "speech.wav", "-o", place / "o.mp4"], 2, "--face")
    check(place, run, ["generate", "--face", place / "face.mp4", "--audio", place / "speech.wav"], 2, "output")
    check(place, run, ["make"], 2, "make")
    check(place, run, ["generat"], 2, "Did you mean 'generate'?")


def test_no_face_at_all(run, place):
    grey = make_video(place / "grey.mp4", frames=[np.full((96, 128, 3), 128, np.uint8)] * 5)
    arguments = ["generate", "--audio", place / "speech.wav", "-q", "-o", place / "o.mp4", "--face"]
    check(place, run, [*arguments, grey], 2, "face")


def test_a_disk_that_is_full(place):
    """A limit on the size of files stands in for a full disk; the partial file goes, the message names the output."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 240, 320, 3), np.uint8)
    make_video(place / "noise.mp4", frames=list(noise))
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)); sys.argv[0] = 'talkinghead';"
        "import runpy; runpy.run_module('tests.stripes', run_name='__main__')"
    )
    out = place / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, "generate", "--model", "stripes", "--face", str(place / "noise.mp4"), "--audio",
         str(place / "speech.wav"), "-o", str(out / "o.mp4"), "-q"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: ")
    assert "o.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(out) == set()


@pytest.mark.thorough
def test_bars_on_a_terminal(place):
    """On a terminal progress is drawn with bars; results still go to stdout."""
    leader, follower = pytest.importorskip("pty").openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    frames = [coded_frame(i) for i in range(30)]
    make_video(place / "long.mp4", frames=frames)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stripes", "generate", "--model", "stripes", "--face", str(place / "long.mp4"),
         "--audio", str(place / "speech.wav"), "-o", str(place / "o.mp4"), "--delay-s", "0.03"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=follower, env=environment,
    )  # fmt: skip
    os.close(follower)
    drawn = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        drawn += part
    out, _ = process.communicate(timeout=30)
    os.close(leader)
    assert process.returncode == 0, drawn
    assert b"Making the video" in drawn
    assert "━".encode() in drawn
    assert b"frames/s" in drawn
    assert b"real time" in out


def test_a_closed_pipe_is_no_disaster(place):
    """`talkinghead ... | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "talkinghead", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait(30) in (0, 1)
    assert "Traceback" not in err
    process.stderr.close()
