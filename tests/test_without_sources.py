"""The package as a frozen application has it: bytecode alone, without sources, docstrings and assertions."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from talkinghead.assets import demo_speech_path
from talkinghead.assets.portrait import astronaut
from talkinghead.media import write_png
from tests.conftest import ROOT
from tests.mesh_hidden import python_path


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package compiled by -OO and no .py file."""
    folder = tmp_path_factory.mktemp("frozen")
    shutil.copytree(ROOT / "talkinghead", folder / "talkinghead", ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(folder, quiet=1, legacy=True, optimize=2)
    for path in folder.rglob("*.py"):
        path.unlink()
    return folder


def ran(arguments: list[str], folder: Path, *, package: Path) -> str:
    """What a command says, run with the package in a folder; the terminal is wide, so that lines are not cut."""
    optimised = [] if package == ROOT else ["-OO"]
    done = subprocess.run(
        [sys.executable, *optimised, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": python_path(package), "COLUMNS": "200", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_frozen_package(frozen: Path) -> None:
    code = "import talkinghead, talkinghead.api as api; print(talkinghead.__file__, talkinghead.__doc__, api.__file__)"
    path, doc, other = ran(["-c", code], frozen, package=frozen).split()
    assert Path(path) == frozen / "talkinghead" / "__init__.pyc"
    assert doc == "None"
    assert other.endswith(".pyc")


EVERY_HELP = """
from talkinghead.cli.main import commands, main
from talkinghead.cli.rows import load_command
main([])
for row in commands():
    for below in ["", *getattr(load_command(row), "commands", {})]:
        if main([row.name, *below.split(), "--help"]) != 0:
            raise SystemExit(f"{row.name} {below}")
"""


@pytest.mark.thorough
def test_the_help_of_every_command_is_as_with_sources(frozen: Path) -> None:
    with_sources = ran(["-c", EVERY_HELP], ROOT, package=ROOT)
    assert ran(["-c", EVERY_HELP], frozen, package=frozen) == with_sources
    assert len(with_sources.splitlines()) > 500


@pytest.mark.thorough
def test_a_video_is_made(frozen: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "me.png", astronaut())
    shutil.copy(demo_speech_path(), tmp_path / "in.wav")
    line = "generate --face me.png --audio in.wav --duration 0.4 --resize-factor 2 -o out.mp4 --quiet"
    ran(["-m", "talkinghead", *line.split()], tmp_path, package=frozen)
    assert (tmp_path / "out.mp4").stat().st_size > 1000


@pytest.mark.thorough
def test_a_kernel_is_compiled(frozen: Path) -> None:
    """numba keeps what it compiles beside a source; where there is none, it compiles anew."""
    code = (
        "import numpy as np; from talkinghead.rendering.mesh_kernels import face_normals as kernel\n"
        "out = np.zeros((1, 3)); kernel(0, 1, np.eye(3), np.array([[0, 1, 2]]), out); print(out.tolist())"
    )
    assert ran(["-c", code], frozen, package=frozen).split() == ["[[1.0,", "1.0,", "1.0]]"]


@pytest.mark.thorough
def test_the_record_of_help_is_current() -> None:
    ran([str(ROOT / "scripts" / "write_help.py"), "--check"], ROOT, package=ROOT)
