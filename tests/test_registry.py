"""Laws of the registry: every row is complete and can be read without anything heavy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from talkinghead.engine.head import LoadOptions
from talkinghead.engine.options import config_class
from talkinghead.errors import MissingDependency, OptionError
from talkinghead.reference.networks import networks
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, build, family

EVERY = pytest.mark.parametrize("facts", FAMILIES.values(), ids=lambda facts: facts.name)


@EVERY
def test_a_row_is_complete(facts):
    assert re.fullmatch(r"[a-z][a-z0-9]*", facts.name)
    assert facts.title
    assert facts.summary.endswith(".")
    assert facts.kind in ("patch", "scene")
    assert facts.source_option in ("--face", "--template", "--scene", "--avatar")
    assert facts.face_source
    assert facts.fps is None or facts.fps > 0
    assert facts.look_ahead_s >= 0
    assert importlib.util.find_spec(facts.module) is not None


@EVERY
def test_its_extra_is_declared(facts):
    declared = importlib.metadata.metadata("talkinghead").get_all("Provides-Extra")
    assert facts.extra is None or facts.extra in declared


@EVERY
def test_its_configuration_is_a_frozen_dataclass_with_defaults(facts):
    config = config_class(facts.config)
    assert is_dataclass(config)
    assert config.__dataclass_params__.frozen
    assert config() == config()
    assert fields(config)


@EVERY
def test_its_folder_uses_no_other_family(facts):
    folder = Path(importlib.util.find_spec(facts.module).origin).parent
    others = [name for name in FAMILIES if name != facts.name]
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for other in others:
            assert f"families.{other}" not in text, f"{path.name} uses {other}"


def test_shared_folders_know_no_family():
    package = Path(importlib.util.find_spec("talkinghead").origin).parent
    for folder in ("media", "audio", "face", "render", "backends", "weights"):
        for path in (package / folder).rglob("*.py"):
            assert "talkinghead.families" not in path.read_text(encoding="utf-8"), path


def test_an_unknown_model_is_refused():
    with pytest.raises(OptionError) as caught:
        family("wav3lip")
    assert "wav3lip" in str(caught.value)
    assert DEFAULT_FAMILY in str(caught.value.accepted)


@pytest.mark.parametrize("facts", [f for f in FAMILIES.values() if f.needs_checkpoint], ids=lambda facts: facts.name)
def test_a_missing_checkpoint_is_refused(facts):
    with pytest.raises((OptionError, MissingDependency)):
        build(facts.name, LoadOptions())


def test_the_default_needs_nothing():
    facts = family(DEFAULT_FAMILY)
    assert not facts.needs_checkpoint
    assert facts.extra is None


def test_reference_networks_are_named_after_their_family():
    for name, row in networks().items():
        assert name == row.name
        assert name.partition(".")[0] in {*FAMILIES, "gagavatar"}  # a part of artalk with names of its own
        assert row.inputs
        assert row.outputs
        assert row.summary
