"""The README's commands run in the environments that it describes: with the packages of the base or of an extra alone.

An environment is a folder of links to those installed packages that `pip install` would have brought; the interpreter
sees it, and nothing else that is installed.
"""

from __future__ import annotations

import glob
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES, SERVERS, words_of
from tests.docs.test_pages import LESS, check_made, run_other

BASE: tuple[str, ...] = ()
EXTRAS = re.compile(r"\"?\.\[([a-z,-]+)\]")
FOR_TESTS = ("pytest",)
"""What the tests' own helpers import, where there is PyTorch."""


def lines_by_environment(text: str) -> dict[tuple[str, ...], list[str]]:
    """The commands to run, by the extras that the text asks for before them.

    What a section says counts for its blocks from there on, what a block installs for itself; what a comment behind a
    command says, for that command.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        asked: set[str] = set()
        if section.startswith(("Install", "Develop")):
            continue
        for prose, block in re.findall(r"(.*?)^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            asked.update(name for names in EXTRAS.findall(prose) for name in names.split(","))
            for line in block.splitlines():
                command, _, comment = line.partition(" # ")
                named = {name for names in EXTRAS.findall(comment or line) for name in names.split(",")}
                if "pip install" in command:
                    asked = named
                elif command.strip():
                    found.setdefault(tuple(sorted(asked | named)), []).append(command.strip())
    return found


README = lines_by_environment(PAGES["README.md"])


@cache
def needed(names: tuple[str, ...]) -> frozenset[str]:
    """Installed distributions that these ask for, themselves included."""
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name, _, extras = re.sub(r"[-_.]+", "-", todo.pop()).lower().partition("[")
        if name not in seen:
            seen.add(name)
            try:
                asked = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            for one in asked:
                wanted = re.search(r"extra == ['\"]([\w-]+)['\"]", one)
                if wanted is None or wanted[1] in extras:
                    todo.append(re.match(r"[\w.\[\],-]+", one)[0])
    return frozenset(seen)


def requirements(extras: Iterable[str]) -> tuple[str, ...]:
    """Names in pyproject.toml, of the base and of extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    return tuple(re.match(r"[\w.\[\],-]+", one)[0] for one in asked)


def environment(folder: Path, extras: tuple[str, ...]) -> dict[str, str]:
    """Variables with which Python finds the packages of an environment alone."""
    folder.mkdir()
    for name in needed((*requirements(extras), *(FOR_TESTS if "models" in extras else ()))):
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            place = Path(str(files[0].locate())).parents[len(files[0].parts) - 1] / top
            if place.exists() and not (folder / top).exists():
                (folder / top).symlink_to(place)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-S", *arguments]  # -S: no other packages


def test_the_readme_describes_these_environments() -> None:
    assert set(README) == {BASE, ("tts",), ("web",), ("live",), ("serve",), ("models",), ("models", "openvino")}
    assert any("demo" in line for line in README[BASE])


def test_an_environment_has_its_own_packages_alone(tmp_path: Path) -> None:
    code = (
        "import av, cv2, numpy, typer, importlib.util as u; "
        "print([n for n in ('torch', 'gradio', 'skimage', 'scipy', 'pytest', 'pip') if u.find_spec(n)])"
    )
    done = subprocess.run(
        program("-c", code), env=environment(tmp_path / "base", BASE), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.thorough
@pytest.mark.parametrize("extras", list(README), ids=lambda extras: "+".join(extras) or "base")
def test_the_commands_of_the_readme_run_where_it_says(extras, tmp_path, shop, request, monkeypatch):
    desk, lines = tmp_path / "desk", README[extras]
    desk.mkdir()
    shop.furnish(desk, "\n".join(lines).replace("wav2lip-gan", "wav2lip_gan.pth"))
    env = {**environment(tmp_path / "packages", extras), "TALKINGHEAD_HOME": str(tmp_path / "home")}
    asked: list[list[str]] = []
    for line in lines:
        words = words_of(line)
        if words is None:
            finish(asked, extras, desk, env)
            if line.startswith("make"):
                run_other(line, desk)
            else:
                run_script(line, desk, env)
        elif words[0] in SERVERS:
            start_and_stop(words, desk, env)
        elif words[:2] == ["models", "pull"]:  # needs a network
            asked.append(["models", "import", "wav2lip_gan.pth"])
        elif words[0] != "bench":  # takes long
            more = [one for start, some in LESS.items() if " ".join(words).startswith(start) for one in some]
            asked.append([*words, *more])
    finish(asked, extras, desk, env)


def finish(asked: list[list[str]], extras: tuple[str, ...], desk: Path, env: dict[str, str]) -> None:
    """Run what was collected, in one process, and look for what it was to make."""
    if not asked:
        return
    (desk.parent / "lines.json").write_text(json.dumps({"thin": "models" in extras, "lines": asked}))
    done = subprocess.run(
        program(str(Path(__file__).with_name("run_lines.py")), str(desk.parent / "lines.json")),
        cwd=desk, env=env, capture_output=True, text=True, timeout=560, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    for words in asked:
        check_made(words, desk)
    asked.clear()


def run_script(line: str, desk: Path, env: dict[str, str]) -> None:
    words = [word for part in line.split()[1:] for word in (glob.glob(part) or [part])]
    script = [str(ROOT / words[0]), *words[1:], "--size", "160", "--detail", "0.1"]
    done = subprocess.run(program(*script), cwd=desk, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "Next: " in done.stdout


def start_and_stop(words: list[str], desk: Path, env: dict[str, str]) -> None:
    """A server says where it is, and ends with Ctrl-C."""
    command = program("-m", "talkinghead", *words, "--port", "0")
    process = subprocess.Popen(
        command, cwd=desk, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        first = process.stdout.readline()
        assert "http://" in first, process.stderr.read() if process.poll() is not None else first
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()


def test_a_script_says_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        program(str(ROOT / "scripts" / "make_gaussian_head.py"), "head3d"),
        cwd=tmp_path, env=environment(tmp_path / "base", BASE), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert 'pip install ".[models]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "head3d").exists()
