"""What the README and the pages in docs say is true: commands run, options and links exist."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from talkinghead.cli.main import commands, main
from talkinghead.cli.rows import load_command
from talkinghead.registry import FAMILIES
from tests.conftest import ROOT
from tests.docs.pages import PAGES, SERVERS, blocks, parse, to_read, to_run, words_of
from tests.mesh_hidden import python_path

README = PAGES["README.md"]
EVERY_PAGE = pytest.mark.parametrize("name", sorted(PAGES))
LESS = {
    "synctalk2d reference": ["--frames", "1"],
    "synctalk2d demo": ["--frames", "6", "--size", "160", "--width", "320", "--height", "180"],
}
"""Appended to a command of the pages, so that it does the same with less."""


def pages_with(find) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name, text in sorted(PAGES.items()) if find(text)])


@pytest.mark.thorough
@pages_with(lambda text: to_run(text) and text is not README)  # that one has environments: test_environments.py
@pytest.mark.usefixtures("short_sentence")
def test_the_commands_of_a_page_run(name, tmp_path, shop, monkeypatch, request, capfd):
    """One after the other in one folder, as a reader would."""
    text = PAGES[name]
    desk = tmp_path / "desk"
    desk.mkdir()
    shop.furnish(desk, "\n".join(to_run(text)))
    if "models pull" in text:
        request.getfixturevalue("stocked")
    monkeypatch.chdir(desk)
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path / "home"))
    for line in to_run(text):
        capfd.readouterr()
        run(line, desk)


def run(line: str, desk: Path) -> None:
    """Run one command of a page, or check it where running it would change this machine."""
    arguments = words_of(line)
    if arguments is None:
        run_other(line, desk)
        return
    arguments = [found for word in arguments for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    if arguments[0] in (*SERVERS, "bench", "train"):
        parse(arguments)  # a server goes on, benchmarks and training take long; they have tests of their own
        return
    for start, more in LESS.items():
        if " ".join(arguments).startswith(start):
            arguments += more
    if arguments[0] == "inspect" and not (desk / arguments[1]).exists():
        shutil.copy(desk / "me.mp4", desk / arguments[1])
    assert main(arguments) == 0, line
    check_made(arguments, desk)


def check_made(arguments: list[str], desk: Path) -> None:
    """What a command was to make is there."""
    for flag in ("-o", "--out", "--output"):
        if flag in arguments and "--dry-run" not in arguments:
            made = desk / arguments[arguments.index(flag) + 1]
            assert any(made.iterdir()) if made.is_dir() else made.stat().st_size > 0, arguments


def run_other(line: str, desk: Path) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        run_make(words[1:], desk)
    elif Path(words[0]).name == "pip":
        assert words[1] == "install"
        for extras in re.findall(r"\[([a-z,-]+)\]", line):
            assert set(extras.split(",")) <= set(extras_declared()), line
        if "-c" in words:
            assert (ROOT / words[words.index("-c") + 1]).exists()
    elif words[:3] == ["python3", "-m", "venv"]:
        pass
    elif words[0] == "python" and words[1].startswith("scripts/"):
        script = str(ROOT / words[1])
        less = ["--size", "160", "--detail", "0.1"] if "make_gaussian_head" in script else []
        done = subprocess.run(
            [sys.executable, script, *words[2:], *less], cwd=desk, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PYTHONPATH": python_path(ROOT)}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    else:
        pytest.fail(f"nobody runs {line!r}")


def run_make(words: list[str], desk: Path) -> None:
    """`make demo` really runs, with the environment of these tests; other targets are looked at."""
    target = words[0]
    if shutil.which("make") is None:
        pytest.skip("no make")
    files = [f"{key}={desk / value}" for key, value in (word.split("=", 1) for word in words[1:] if "=" in word)]
    if target == "demo" and (Path(sys.prefix) / "bin" / "talkinghead").exists():
        files = files or [f"OUT={desk / 'demo.mp4'}"]
        command = ["make", "-C", str(ROOT), target, f"DEMO_VENV={sys.prefix}", "DEMO_SETUP=", *files]
    else:
        command = ["make", "-C", str(ROOT), "--dry-run", target, "SETUP="]
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=own)
    assert done.returncode == 0, done.stderr


@pages_with(to_read)
def test_commands_that_need_more_are_spelled_right(name):
    """They need a network or somebody's weights, so the real parser reads them."""
    for line in to_read(PAGES[name]):
        arguments = words_of(line)
        if arguments is not None:
            parse(arguments)


@pytest.mark.thorough
@pages_with(lambda text: blocks(text, "python"))
def test_the_python_of_a_page_runs(name, tmp_path, shop, monkeypatch, capsys):
    code = "\n".join(blocks(PAGES[name], "python"))
    shop.furnish(tmp_path, code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path / "home"))
    exec(compile(code, name, "exec"), {"__name__": "__main__", **stand_ins()})
    if name == "README.md":
        assert re.match(r"[\d.]+ \w+", capsys.readouterr().out)


def stand_ins() -> dict[str, object]:
    """What a page takes from the reader's own program."""
    import numpy as np

    return {
        "microphone": [np.zeros(1600, np.float32)] * 5,
        "samples": np.zeros(9600, np.int16),
        "show": lambda *_: None,
    }


@EVERY_PAGE
def test_python_that_is_not_run_is_python(name):
    for block in blocks(PAGES[name], "py"):
        compile(block, name, "exec")


@EVERY_PAGE
def test_every_block_says_what_it_is(name):
    """So that no command slips through unseen."""
    known = {"sh", "console", "powershell", "python", "py", "json", "text", "toml", "yaml"}
    openings = re.findall(r"^```(.*)$", PAGES[name], re.MULTILINE)[::2]
    assert set(openings) <= known, openings
    tested_apart = ("docs/adding-a-model.md",)
    for block in blocks(PAGES[name], "text") if name not in tested_apart else []:
        assert not re.search(r"^\$? ?talkinghead [a-z]+ -", block, re.MULTILINE)


def test_lines_for_powershell_are_those_for_other_shells():
    """Which are run by other tests."""
    (block,) = blocks(PAGES["docs/platforms.md"], "powershell")
    assert sum(len(blocks(page, "powershell")) for page in PAGES.values()) == 1
    elsewhere = "".join(blocks(PAGES["docs/quickstart.md"], "sh")).splitlines()
    for line in block.splitlines():
        meant = line.replace("py -m venv", "python3 -m venv").replace(".venv\\Scripts\\python -m pip", ".venv/bin/pip")
        meant = meant.replace(".venv\\Scripts\\", ".venv/bin/")
        assert meant in elsewhere or meant.removeprefix(".venv/bin/") in elsewhere, line


@EVERY_PAGE
def test_links_lead_somewhere(name):
    text = re.sub(r"```.*?```", "", PAGES[name], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("https://"):
            assert (ROOT / name).parent.joinpath(target).exists(), target


@cache
def flags() -> set[str]:
    """Every option of every command."""
    found: set[str] = {"--help", "--help-all", "--debug", "--version"}

    def collect(command) -> None:
        for parameter in command.params:
            found.update(parameter.opts)
            found.update(parameter.secondary_opts)
        for sub in getattr(command, "commands", {}).values():
            collect(sub)

    for row in commands():
        collect(load_command(row))
    return found


@EVERY_PAGE
def test_options_named_in_the_pages_exist(name):
    known = flags()
    others = {
        "--strict",
        "--bind",
        "--check",
        "--editable",
        "--only-binary",
        "--platform",
        "--python-version",
        "--no-deps",
        "--gain",
        "--green",
        "--blue",
        "--pixels",
        "--faces",
        "--live",
        "--build-arg",
        "--from-literal",
        "--gpus",
        "--head",
        "--nproc-per-node",
    }  # of mypy, ruff, mkdocs, pip, docker, kubectl, ray; of a model that a page makes up; of the benchmark of mouths
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]+", PAGES[name])) - others:
        assert flag in known, f"{name} names {flag}"


@EVERY_PAGE
def test_commands_named_in_the_pages_exist(name):
    known = {*(row.name for row in commands()), "glow-lamp"}  # of the model that a page makes up
    for command in re.findall(r"`talkinghead ([a-z][a-z0-9-]+)", PAGES[name]):
        assert command in known, command


def test_there_is_something_to_run():
    assert sum(len(to_run(text)) for text in PAGES.values()) >= 70


def test_every_model_has_a_page_and_a_row():
    for name in FAMILIES:
        assert f"docs/{name}.md" in PAGES
        assert f"| [`{name}`](docs/{name}.md) |" in README


def extras_declared() -> dict[str, list[str]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


@EVERY_PAGE
def test_extras_named_in_the_pages_exist(name):
    for names in re.findall(r"(?:\.|talkinghead)\[([a-z,-]+)\]", PAGES[name]):
        assert set(names.split(",")) <= set(extras_declared())


def test_the_tested_versions_satisfy_what_is_declared():
    """constraints.txt pins every direct dependency, and torch to the version that was tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    assert pins["torch"] == "2.13.0"
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["demo"], *extras["dev"], *extras["docs"]]:
        name = re.match(r"[A-Za-z0-9._-]+", text)[0].lower().replace("_", "-")
        assert name in pins, name


def test_messages_of_the_troubleshooting_page_are_raised_somewhere():
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "talkinghead").rglob("*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # strings that go on on the next line
    rows = re.findall(r"^\| (`.*?) \|", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    assert len(rows) >= 20
    for part in re.findall(r"`([^`]+)`", " ".join(rows)):
        assert part in source, part


def test_every_error_is_in_the_tables():
    """The tables of errors come from the tree; a class that is not in it would have no meaning there."""
    import talkinghead.errors as module

    tree = module.__doc__ or ""
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert re.search(rf"\b{name}\b", tree), name
