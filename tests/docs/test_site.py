"""The documentation builds as a site without a warning, and its pages load nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from talkinghead.cli.main import commands as all_commands
from talkinghead.contracts import STAGES
from talkinghead.engine.options import config_class, option_fields
from talkinghead.registry import FAMILIES
from talkinghead.service.models import catalogue
from tests.conftest import ROOT
from tests.scripts.scripts import load_script

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with warnings as errors."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def words(page: Path) -> str:
    """A page without its tags."""
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_every_page_is_built(site):
    for source in (ROOT / "docs").rglob("*.md"):
        if source.parent.name == "figures":
            continue  # shown by other pages
        assert (site / source.relative_to(ROOT / "docs").with_suffix(".html")).exists(), source


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=\"?(?:https?:)?//[^\s>]+", text)
        loaded += re.findall(r"<link[^>]+rel=\"?(?:stylesheet|preload|preconnect)[^>]+//[^>]+>", text)
        assert loaded == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_figures_of_a_card_are_shown_or_said_to_be_missing(tmp_path, monkeypatch):
    hooks = load_script("mkdocs_hooks")
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    monkeypatch.setattr(hooks, "GPU_FIGURES", tmp_path / "gpu.md")
    assert "That file is not there yet: **no figures from a card exist.**" in hooks.on_page_markdown(page)
    (tmp_path / "gpu.md").write_text("| model | frames/s |\n", encoding="utf-8")
    shown = hooks.on_page_markdown(page)
    assert "| model | frames/s |" in shown
    assert "not there yet" not in shown


def test_tables_come_from_the_code(site):
    options = words(site / "options.html")
    for facts in FAMILIES.values():
        for item in option_fields(config_class(facts.config)):
            assert item.flag in options, item.flag
    commands = words(site / "commands.html")
    for row in all_commands():
        assert f"talkinghead {row.name}" in commands
    models = words(site / "models.html")
    for name in catalogue():
        assert name in models
    speed = words(site / "performance.html")
    for name, sentence in STAGES.items():
        assert name in speed
        assert sentence in speed
    for page in site.rglob("*.html"):
        assert not re.search(
            r"<!-- (options|models|catalogue|errors|commands|stages)\b", page.read_text(encoding="utf-8")
        )


def test_the_reference_has_what_the_package_offers(site):
    import talkinghead

    written = "".join(words(page) for page in (site / "api").glob("*.html"))
    for name in talkinghead.__all__:
        if name != "__version__":
            assert re.search(rf"\b{name}\b", written), name
