"""Terminals of few letters, pipes that close, no terminal at all: what can be said is said, and the work is done."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from talkinghead.cli.main import main
from talkinghead.media import probe
from talkinghead.terminal import console
from tests.conftest import ROOT
from tests.synthetic_media import make_picture, make_sound

pytestmark = pytest.mark.usefixtures("stripes")


class Terminal(io.TextIOWrapper):
    """A stream of an encoding, which may say that it is a terminal."""

    def __init__(self, encoding: str, errors: str = "strict", *, tty: bool = False) -> None:
        self.bytes = io.BytesIO()
        self.tty = tty
        super().__init__(self.bytes, encoding=encoding, errors=errors)

    def isatty(self) -> bool:
        return self.tty

    def text(self) -> str:
        self.flush()
        return self.bytes.getvalue().decode(self.encoding)


def job(tmp_path: Path, name: str) -> list[str]:
    face, sound = make_picture(tmp_path / "脸.png"), make_sound(tmp_path / "声.wav", 0.2)
    return ["generate", "--model", "stripes", "--face", str(face), "--audio", str(sound), "-o", str(tmp_path / name)]


@pytest.mark.thorough
@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "koi8-r", "shift_jis", "utf-8", "utf-16"])
@pytest.mark.parametrize("name", ["中文🎬.mp4", os.fsdecode(b"caf\xe9.mp4")], ids=["ideographs", "no utf-8"])
def test_every_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, name: str, tty: bool) -> None:
    out, err = Terminal(encoding, tty=tty), Terminal(encoding, tty=tty)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(job(tmp_path, name)) == 0, err.text()
    assert "5 frames" in out.text()
    assert probe(tmp_path / name).main_video is not None
    assert (out.errors, err.errors) == ("strict", "strict")
    assert main([*job(tmp_path, name), "--start", "99"]) == 2
    assert "error: " in err.text()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["models", "list"], ["models", "--help"]])
def test_help_and_lists_in_few_letters(monkeypatch: pytest.MonkeyPatch, encoding: str, arguments: list[str]) -> None:
    out = Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert main(arguments) == 0
    assert "talkinghead" in out.text() or "viseme" in out.text()


@pytest.mark.parametrize("which", [("stdout",), ("stderr",), ("stdin", "stdout", "stderr")])
def test_no_terminal_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: tuple[str, ...]) -> None:
    for name in which:
        monkeypatch.setattr(sys, name, None)
    assert main(job(tmp_path, "o.mp4")) == 0
    assert main(["models", "list"]) == 0
    assert main(["--help"]) == 0
    assert main(["generate", "--face", "none.png"]) == 2
    assert all(getattr(sys, name) is None for name in which)
    assert probe(tmp_path / "o.mp4").main_video is not None


def test_streams_that_were_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        stream = Terminal("utf-8")
        stream.close()
        monkeypatch.setattr(sys, name, stream)
    assert main(job(tmp_path, "o.mp4")) == 0
    assert probe(tmp_path / "o.mp4").main_video is not None


class Window:
    """A stream of somebody's own: it has what `print` needs and no more, and few letters."""

    def __init__(self) -> None:
        self.shown = ""

    def write(self, text: str) -> int:
        self.shown += text.encode("ascii").decode()
        return len(text)

    def flush(self) -> None:
        pass


def test_streams_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    window, log = Window(), Window()
    monkeypatch.setattr(sys, "stdout", window)
    monkeypatch.setattr(sys, "stderr", log)
    assert main(job(tmp_path, "中.mp4")) == 0
    assert "\\u4e2d.mp4: 0.2 s, 64x48 at 25 frames/s" in window.shown


class Gone(Terminal):
    """A pipe whose reader has gone, or a disk that is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__("utf-8")
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_a_reader_that_has_gone_does_not_stop_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Gone(BrokenPipeError(32, "Broken pipe")))
    assert main(job(tmp_path, "o.mp4")) == 0
    assert probe(tmp_path / "o.mp4").main_video is not None


def test_a_result_that_cannot_be_shown_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    err = Terminal("utf-8")
    monkeypatch.setattr(sys, "stdout", Gone(OSError(28, "No space left on device")))
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["models", "list"]) == 1
    assert err.text() == "error: The result cannot be shown: No space left on device.\n"


@pytest.mark.parametrize("term", ["dumb", "unknown", "xterm"])
def test_bars_are_for_terminals_that_draw(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    stream = Terminal("utf-8", tty=True)
    assert console.is_terminal(stream) == (term == "xterm")
    assert not console.is_terminal(None)
    assert not console.is_terminal(Terminal("utf-8"))
    stream.close()
    assert not console.is_terminal(stream)


def test_names_do_not_move_the_cursor(capfd: pytest.CaptureFixture[str]) -> None:
    console.say("a\x1b[2Jb\rc\x9bd\te")
    console.note("\x07")
    assert capfd.readouterr() == ("a\\x1b[2Jb\\x0dc\\x9bd\te\n", "\\x07\n")
    assert console.table(["name"], [["two\nlines"]]).endswith("two\\nlines")


REAL = {
    "c": {"LC_ALL": "C"},
    "c without utf-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252:strict"},
}


@pytest.mark.thorough
@pytest.mark.parametrize("environment", REAL.values(), ids=list(REAL))
def test_a_real_process(tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = [sys.executable, "-m", "tests.stripes", *job(tmp_path, "中文.mp4")]
    done = subprocess.run(
        arguments, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"5 frames" in done.stdout
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "中文.mp4").is_file()


def test_a_real_process_without_any_descriptor(tmp_path: Path) -> None:
    """The first files that it opens would be 0, 1 and 2, into which libraries write what they have to say."""
    command = [sys.executable, "-m", "tests.stripes", *job(tmp_path, "o.mp4")]
    code = "import os, sys; [os.close(n) for n in range(3)]; os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
    assert probe(tmp_path / "o.mp4").main_video is not None


@pytest.mark.parametrize("arguments", [["models", "list"], ["doctor", "--help"]])
def test_a_pipe_that_is_closed(arguments: list[str]) -> None:
    """`talkinghead ... | true`: no word about it, now or at the end of the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "talkinghead", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) in (0, 1)
    assert err == b""
