"""Laws of the registry: every row is complete and can be read without anything heavy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from dataclasses import fields, is_dataclass

import pytest

import talkinghead
from talkinghead.engine.head import LoadOptions
from talkinghead.engine.manifest import KINDS, SOURCE_OPTIONS
from talkinghead.engine.options import config_class
from talkinghead.errors import BrokenFamily, MissingDependency, OptionError
from talkinghead.reference.networks import networks, networks_of
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, Families, build, family, named

EVERY = pytest.mark.parametrize("facts", FAMILIES.values(), ids=lambda facts: facts.name)


@EVERY
def test_a_row_is_complete(facts):
    assert re.fullmatch(r"[a-z][a-z0-9]*", facts.name)
    assert facts.title
    assert facts.summary.endswith(".")
    assert facts.kind in KINDS
    assert facts.source_option in SOURCE_OPTIONS
    assert facts.face_source
    assert facts.fps is None or facts.fps > 0
    for target in (facts.builder, facts.config, facts.choices, facts.reference, facts.bench, facts.bench_tables,
                   facts.catalogue, facts.kinds, facts.exported_tensors, facts.recorded_lips):  # fmt: skip
        if target is not None:
            assert named(target) is not None


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
    for facts in FAMILIES.values():
        for row in networks_of(facts):
            assert row.name.partition(".")[0] in (facts.name, *facts.reference_prefixes)
            assert networks()[row.name] is row
            assert row.inputs
            assert row.outputs
            assert row.summary


# Families of other packages -----------------------------------------------------------------------------------------

GOOD = """
from talkinghead.engine.manifest import CommandRow, Manifest

MANIFEST = Manifest(
    name="NAME", title="Other", summary="Does other things.", kind="patch", builder="MODULE_heavy:build",
    face_source="anything", source_option="--face", needs_checkpoint=False, fps=None,
    config="talkinghead.families.viseme.config:VisemeConfig", extra=None, MORE
)
"""


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """`bring(name, source)` installs a package `name-package` with one module that brings the family `name`."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def install(name, source, entry="MANIFEST", **more):
        module = f"{name}_of_a_test"
        made.append(module)
        facts = "".join(f"{key}={value}, " for key, value in more.items())
        source = source.replace("NAME", name).replace("MODULE", module).replace("MORE", facts)
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        info = tmp_path / f"{name}_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[talkinghead.families]\n{name} = {module}:{entry}\n")
        return name

    yield install
    for module in made:
        sys.modules.pop(module, None)


def test_a_package_brings_a_family(bring):
    bring("other", GOOD)
    found = Families()
    assert list(found) == [*FAMILIES, "other"]
    assert found["other"].title == "Other"
    assert found.broken == ()


BROKEN = {
    "raises": ("raise RuntimeError('no licence')", {}, "RuntimeError: no licence"),
    "missing": ("import nothing_like_it", {}, "nothing_like_it"),
    "wrong": ("MANIFEST = 3", {}, "names a int"),
    "renamed": (GOOD.replace('name="NAME"', 'name="else"'), {}, "is called 'else'"),
    "wav2lip": (GOOD, {}, "there is a model 'wav2lip' already"),
    "odd": (GOOD.replace("--face", "--voice"), {}, "its source_option '--voice'; accepted: patch or scene, and --face"),
    "clashing": (GOOD, {"commands": '(CommandRow("artalk", "a:b", "Help."),)'}, "commands of the same names: artalk"),
    "catalogue": (GOOD, {"catalogue": '"nothing.there:ROWS"'}, "nothing.there:ROWS cannot be imported"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_family_breaks_no_other(bring, monkeypatch, name):
    source, more, why = BROKEN[name]
    bring("zebra", GOOD)
    bring(name, source, **more)
    found = Families()
    assert list(found) == [*FAMILIES, "zebra"]
    [row] = found.broken
    assert (row.name, row.package) == (name, f"{name}-package")
    assert why in str(row)
    monkeypatch.setattr("talkinghead.registry.FAMILIES", found)
    monkeypatch.setattr("talkinghead.api.FAMILIES", found)
    if name not in FAMILIES:
        with pytest.raises(BrokenFamily, match="cannot be used") as caught:
            family(name)
        assert f"pip uninstall {name}-package" in str(caught.value)
    with pytest.warns(UserWarning, match=f"{name}-package cannot be used"):
        assert "zebra" in talkinghead.models()


def test_a_family_that_cannot_be_built_says_so(bring, monkeypatch):
    bring("other", GOOD)
    monkeypatch.setattr("talkinghead.registry.FAMILIES", Families())
    with pytest.raises(BrokenFamily, match="other_of_a_test_heavy:build cannot be imported: ModuleNotFoundError"):
        build("other", LoadOptions())
