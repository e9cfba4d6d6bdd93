"""The model that docs/adding-a-model.md builds works as the page says."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

import talkinghead as th
import talkinghead.cli.generate as command
import talkinghead.families
from talkinghead.cli.main import main
from talkinghead.errors import OptionError
from talkinghead.media import open_frames
from talkinghead.registry import FAMILIES
from tests.docs.pages import PAGES, blocks, words_of

PAGE = PAGES["docs/adding-a-model.md"]


@pytest.fixture
def glow(tmp_path, monkeypatch):
    """The page's code as a package, and its row in the registry."""
    config, pipeline, manifest = blocks(PAGE, "py")
    folder = tmp_path / "families" / "glow"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "config.py").write_text(config, encoding="utf-8")
    (folder / "pipeline.py").write_text(pipeline, encoding="utf-8")
    (folder / "manifest.py").write_text(manifest, encoding="utf-8")
    monkeypatch.setattr(talkinghead.families, "__path__", [*talkinghead.families.__path__, str(folder.parent)])
    monkeypatch.setitem(FAMILIES, "glow", import_module("talkinghead.families.glow.manifest").MANIFEST)
    monkeypatch.setattr(command, "command", command._build())
    yield
    for name in [name for name in sys.modules if name.startswith("talkinghead.families.glow")]:
        del sys.modules[name]


def test_the_page_builds_a_model(glow, shop, tmp_path, monkeypatch, capfd):
    (text,) = blocks(PAGE, "text")
    shop.furnish(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert main(words_of(text.strip())) == 0
    frames = list(open_frames(tmp_path / "out.mp4").read())
    quiet = open_frames(tmp_path / "me.jpg").read()
    assert max(frame.mean() for frame in frames) > 1.2 * next(quiet).mean()
    capfd.readouterr()
    assert main(["generate", "--model", "glow", "--help"]) == 0
    assert "How much brighter the loudest moment is" in capfd.readouterr().out
    with pytest.raises(OptionError, match="gain is 9"):
        th.load("glow", gain=9)
