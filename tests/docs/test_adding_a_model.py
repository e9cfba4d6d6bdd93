"""The model that docs/adding-a-model.md builds works as the page says: from inside the package, and from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import talkinghead as th
import talkinghead.cli.generate as command
import talkinghead.families
from talkinghead import registry
from talkinghead.cli.main import main
from talkinghead.errors import OptionError
from talkinghead.media import open_frames
from talkinghead.registry import FAMILIES
from tests.conftest import ROOT
from tests.docs.pages import PAGES, blocks, words_of
from tests.mesh_hidden import python_path

PAGE = PAGES["docs/adding-a-model.md"]
INSIDE = "talkinghead.families.glow"


def write_family(folder: Path, package: str) -> None:
    """The page's files, as a package of this name."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    for before, code in re.findall(r"(.*?)^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        name = re.findall(r"`talkinghead/families/glow/(\w+\.py)`", before)[-1]
        assert not (folder / name).exists()
        (folder / name).write_text(code.replace(INSIDE, package), encoding="utf-8")


@pytest.fixture
def glow(tmp_path, monkeypatch):
    """The page's folder among the families, and its name in the registry."""
    write_family(tmp_path / "families" / "glow", INSIDE)
    monkeypatch.setattr(talkinghead.families, "__path__", [*talkinghead.families.__path__, str(tmp_path / "families")])
    monkeypatch.setattr(registry, "_NAMES", (*registry._NAMES, "glow"))
    monkeypatch.setattr(FAMILIES, "_rows", None)
    monkeypatch.setattr(command, "command", command._build())
    yield
    for name in [name for name in sys.modules if name.startswith(INSIDE)]:
        del sys.modules[name]


def brightest(path: Path) -> float:
    return max(frame.mean() for frame in open_frames(path).read())


def test_the_page_builds_a_model(glow, shop, tmp_path, monkeypatch, capfd):
    (text,) = blocks(PAGE, "text")
    shop.furnish(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert main(words_of(text.strip())) == 0
    assert brightest(tmp_path / "out.mp4") > 1.2 * brightest(tmp_path / "me.jpg")
    capfd.readouterr()
    assert main(["generate", "--model", "glow", "--help"]) == 0
    assert "How much brighter the loudest moment is" in capfd.readouterr().out
    with pytest.raises(OptionError, match="gain is 9"):
        th.load("glow", gain=9)


SEVERAL = """
import json, sys
from talkinghead.cli.main import main
for words in json.loads(sys.argv[1]):
    status = main(words)
    print(end="\\0", flush=True)
    if status:
        sys.exit(status)
"""


@pytest.fixture
def outside(tmp_path):
    """Run commands, one after the other, where a package of one's own brings the model; returns what each said."""
    site = tmp_path / "site"
    write_family(site / "glow", "glow")
    info = site / "glow_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: glow-models\nVersion: 1.0\n", encoding="utf-8")
    (toml,) = blocks(PAGE, "toml")
    section = toml.replace('[project.entry-points."talkinghead.families"]', "[talkinghead.families]").replace('"', "")
    (info / "entry_points.txt").write_text(section, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": python_path(site, ROOT)}
    env |= {"TALKINGHEAD_HOME": str(tmp_path / "home"), "COLUMNS": "200"}

    def run(*commands: str) -> list[str]:
        lines = json.dumps([command.split() for command in commands])
        words = [sys.executable, "-c", SEVERAL, lines]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\0")[:-1]

    return run


@pytest.mark.thorough
def test_a_package_of_ones_own_brings_it(outside, shop, tmp_path):
    (text,) = blocks(PAGE, "text")
    shop.furnish(tmp_path, text)
    np.savez(tmp_path / "i.npz", frame=np.full((2, 2, 3), 10, np.float32), loudness=np.float32(1))
    said = outside(
        "--help",
        "stage --help",
        "glow-lamp candle.safetensors --green 0 --blue 0",
        "stage glow-loudness --audio hello.wav --out loud.npy",
        "models list",
        "models import candle.safetensors --name glow-candle",
        "models list --json",
        "reference list",
        "reference run glow.light --weights candle.safetensors --inputs i.npz -o o.npz",
        "bench glow --seconds 0.4 --size 64x48 --repeats 1",
    )
    assert "glow-lamp" in said[0]
    assert "Steps of Glow" in said[1]
    assert np.load(tmp_path / "loud.npy").max() > 0.1

    assert "glow-candle" in said[4]
    assert "is glow-lamp" in said[5]
    assert "generate --model glow --face" in said[5]
    [row] = [row for row in json.loads(said[6]) if row["name"] == "glow"]
    assert row["installed"] == ["glow-candle"]

    assert "glow.light" in said[7]
    assert np.load(tmp_path / "o.npz")["lit"][0, 0].tolist() == [20, 10, 10]
    assert "night (a dark picture)" in said[9]

    outside(" ".join([*words_of(text.strip()), "--checkpoint", "glow-candle"]))
    frame = max(open_frames(tmp_path / "out.mp4").read(), key=lambda frame: frame[..., 0].mean())
    before = next(open_frames(tmp_path / "me.jpg").read())
    assert frame[..., 0].mean() > 1.2 * before[..., 0].mean()
    assert frame[..., 2].mean() < 1.1 * before[..., 2].mean()
