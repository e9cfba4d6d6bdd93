"""What the next command is said to begin with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from talkinghead import system
from talkinghead.terminal.program import expanded, program, quoted

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are files that may be run")


def environment(folder: Path, *names: str) -> Path:
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in ("python", *names):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    return programs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    return tmp_path


def test_an_environment_that_is_activated_needs_the_name_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = environment(here / ".venv", "talkinghead")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(programs))
    assert program() == "talkinghead"


def test_an_environment_below_this_folder_needs_its_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = environment(here / ".venv-demo", "talkinghead")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert program() == ".venv-demo/bin/talkinghead"
    monkeypatch.chdir(programs)
    assert program() == "./talkinghead"
    monkeypatch.chdir(here)
    other = environment(here / "other", "talkinghead")  # a program of the same name, of somebody else
    monkeypatch.setenv("PATH", str(other))
    assert program() == ".venv-demo/bin/talkinghead"


def test_elsewhere_the_path_is_whole_and_quoted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = environment(here / "my tools", "talkinghead")
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert program() == f"'{programs / 'talkinghead'}'"


def test_without_a_program_python_starts_the_module(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = environment(here / "env")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert program() == "env/bin/python -m talkinghead"


def test_windows_quotes_as_its_shells_do(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["batch", "my jobs.csv", "-o", "C:\\videos", "it's"]
    assert quoted(words) == "batch 'my jobs.csv' -o 'C:\\videos' 'it'\"'\"'s'"
    monkeypatch.setattr(system, "WINDOWS", True)
    assert quoted(words) == 'batch "my jobs.csv" -o C:\\videos it\'s'


def test_stars_mean_files_where_no_shell_has_replaced_them(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.wav", "a.wav", "c d.wav"):
        (here / name).touch()
    given = ["generate", "--audio", "*.wav", "--face", "*.png", "--text", "What?"]
    assert expanded(given) == given
    monkeypatch.setattr(system, "WINDOWS", True)
    assert expanded(given) == [
        "generate", "--audio", "a.wav", "b.wav", "c d.wav", "--face", "*.png", "--text", "What?",
    ]  # fmt: skip
