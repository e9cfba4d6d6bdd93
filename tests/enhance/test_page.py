"""What the web page offers: networks of the store by their names, and nothing that names a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkinghead.enhance import model_files
from talkinghead.errors import OptionError
from talkinghead.hosting.fields import FieldGroup, model_group
from talkinghead.registry import FAMILIES, family
from talkinghead.service.availability import availability
from talkinghead.service.models import model_store


def options_of(model: str) -> tuple[FieldGroup, set[str]]:
    """The group of a model's options, and the names that have to do with sharpening."""
    group = model_group(family(model), availability(model).choices)
    return group, {offered.field.name for offered in group.offered if offered.field.name.startswith("enhance")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path))
    monkeypatch.setattr(model_files.importlib.util, "find_spec", lambda name: name)
    return tmp_path


@pytest.mark.usefixtures("home")
def test_installed_networks_can_be_chosen(sharp: Path) -> None:
    assert all(not options_of(name)[1] for name in FAMILIES)
    model_store().import_file(sharp, name="mine")
    group, names = options_of("viseme")
    assert names == {"enhance", "enhance_strength", "enhance_area", "enhance_frames"}
    assert group.read({"enhance": "off", "enhance_strength": 0.5}) == {"enhance": "off", "enhance_strength": 0.5}
    assert group.read({"enhance": "mine"}) == {"enhance": "mine"}
    with pytest.raises(OptionError, match="off or mine"):
        group.read({"enhance": str(sharp)})
    assert options_of("artalk")[1] == set()


@pytest.mark.usefixtures("home")
def test_without_the_package_there_is_nothing_to_choose(sharp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_store().import_file(sharp, name="mine")
    monkeypatch.setattr(model_files.importlib.util, "find_spec", lambda _: None)
    assert options_of("viseme")[1] == set()
