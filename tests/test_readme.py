"""What the README and the pages in docs say is true: commands run, options and links exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from talkinghead.assets import demo_speech_path
from talkinghead.cli.main import COMMANDS, load_command
from talkinghead.registry import FAMILIES
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in
         (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))}  # fmt: skip
EVERY_PAGE = pytest.mark.parametrize("name", sorted(PAGES))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every line of the README that runs `talkinghead`."""
    lines = [line.split("  #")[0].strip() for block in blocks(README, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("talkinghead ")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with the files that the README's commands name."""
    from skimage.data import astronaut

    from talkinghead.media import read_audio, write_png, write_video, write_wav

    folder = tmp_path_factory.mktemp("desk")
    photo = np.ascontiguousarray(astronaut()[:360, 60:420])
    write_png(folder / "me.png", photo)
    (folder / "me.png").rename(folder / "me.jpg")  # what a file is, its content decides
    clip = read_audio(demo_speech_path(), 16_000, duration_s=0.8)
    for name in ("hello.wav", "goodbye.wav"):
        write_wav(folder / name, clip)
    from fractions import Fraction

    write_video(folder / "me.mp4", [np.roll(photo, i, axis=1) for i in range(10)], fps=Fraction(25))
    return folder


def test_commands_are_found():
    assert len(commands()) >= 10


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_runs(line, desk):
    if "--checkpoint" in line:
        pytest.skip("needs published weights")
    if " inspect out.mp4" in line and not (desk / "out.mp4").exists():
        shutil.copy(desk / "me.mp4", desk / "out.mp4")
    words = shlex.split(line)
    if words[1] == "bench":  # the same, smaller
        words += ["--seconds", "0.4", "--size", "320x180", "--repeats", "1"]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=desk, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if "-o" in words:
        made = desk / words[words.index("-o") + 1]
        assert made.exists()
        assert any(made.iterdir()) if made.is_dir() else made.stat().st_size > 0


def test_the_python_of_the_readme_runs(desk):
    (code,) = blocks(README, "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=desk, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.match(r"[\d.]+ \w+", done.stdout)


@EVERY_PAGE
def test_make_targets_exist(name):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in blocks(PAGES[name], "sh"):
        for target in re.findall(r"^make (\w+)", block, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@EVERY_PAGE
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)", PAGES[name]):
        if not target.startswith("https://") and not target.startswith("docs/images/"):
            assert (ROOT / name).parent.joinpath(target).exists(), target


def flags() -> set[str]:
    """Every option of every command."""
    found: set[str] = {"--help", "--debug", "--version"}

    def collect(command) -> None:
        for parameter in command.params:
            found.update(parameter.opts)
            found.update(parameter.secondary_opts)
        for sub in getattr(command, "commands", {}).values():
            collect(sub)

    for row in COMMANDS:
        collect(load_command(row))
    return found


@EVERY_PAGE
def test_options_named_in_the_pages_exist(name):
    known = flags()
    others = {"--strict"}  # of mypy
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGES[name])) - others:
        assert flag in known, f"{name} names {flag}"


@EVERY_PAGE
def test_commands_named_in_the_pages_exist(name):
    known = {row.name for row in COMMANDS}
    for command in re.findall(r"`talkinghead ([a-z]+)", PAGES[name]):
        assert command in known, command


def test_the_table_names_every_model():
    for name in FAMILIES:
        assert f"| `{name}` |" in README


def test_extras_named_in_the_readme_exist():
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for names in re.findall(r"\.\[([a-z,]+)\]", README):
        assert set(names.split(",")) <= set(declared)


def test_the_tested_versions_satisfy_what_is_declared():
    """constraints.txt pins every direct dependency, and torch to the version that was tested."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    assert pins["torch"] == "2.13.0"
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["demo"],
        *project["optional-dependencies"]["dev"],
    ]
    for text in wanted:
        name = re.match(r"[A-Za-z0-9._-]+", text)[0].lower().replace("_", "-")
        assert name in pins, name
