"""Configuration dataclasses as options."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.engine.head import LoadOptions, RenderOptions
from talkinghead.engine.options import build_config, config_class, option_fields
from talkinghead.errors import OptionError
from talkinghead.face import FaceOptions
from talkinghead.registry import FAMILIES
from talkinghead.service.request import Request, SoundFile


@dataclass(frozen=True)
class Base:
    size: int = 96
    """Side of the crop
    in pixels."""


@dataclass(frozen=True)
class Example(Base):
    blend: bool = True
    """Blend the border."""
    mode: Literal["soft", "hard"] = "soft"
    """How."""
    gain: float | None = None
    """How much."""
    folder: Path | None = None
    """Where."""
    rate: Fraction = Fraction(25)
    """How fast."""
    box: tuple[int, int, int, int] | None = None
    """Which part."""
    turn: bool | int = False
    """Quarter turns."""
    name: str = ""
    nested: Base = Base()
    """Not an option."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, not {self.size}")


FIELDS = {item.name: item for item in option_fields(Example)}


def test_fields_come_in_order_with_their_help():
    assert list(FIELDS) == ["size", "blend", "mode", "gain", "folder", "rate", "box", "turn", "name"]
    assert FIELDS["size"].help == "Side of the crop in pixels."
    assert FIELDS["name"].help == ""
    assert FIELDS["blend"].flag == "--blend"
    assert FIELDS["mode"].choices == ("soft", "hard")
    assert FIELDS["gain"].optional
    assert not FIELDS["size"].optional
    assert FIELDS["rate"].default == 25
    assert FIELDS["turn"].type is int


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("size", "12", 12),
        ("blend", "True", True),
        ("mode", "hard", "hard"),
        ("gain", "0.5", 0.5),
        ("folder", "a b/c", Path("a b/c")),
        ("rate", "30000/1001", Fraction(30000, 1001)),
        ("rate", "29.97", Fraction("29.97")),
        ("box", "1,2,3,4", (1, 2, 3, 4)),
        ("box", "1 2 3 -4", (1, 2, 3, -4)),
        ("turn", "90", 90),
    ],
)
def test_values_are_read(name, text, value):
    assert FIELDS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [("size", "1.5"), ("size", "many"), ("blend", "yes"), ("mode", "firm"), ("gain", "nan"), ("gain", "inf"),
     ("rate", "1/0"), ("rate", "fast"), ("box", "1,2,3"), ("box", "1,2,3,4,5"), ("box", "1,2,3,x")],
)  # fmt: skip
def test_other_values_are_refused_with_what_is_accepted(name, text):
    with pytest.raises(OptionError) as caught:
        FIELDS[name].parse(text)
    assert text in caught.value.what
    assert caught.value.accepted


@given(st.text(max_size=12), st.sampled_from(sorted(FIELDS)))
def test_any_text_is_read_or_refused(text, name):
    with contextlib.suppress(OptionError):
        FIELDS[name].parse(text)


def test_a_configuration_is_built():
    assert build_config(Example, {"size": 5, "blend": False}, owner="example") == Example(size=5, blend=False)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(OptionError) as caught:
        build_config(Example, {"blent": True}, owner="example")
    assert "example" in str(caught.value)
    assert "'blend'" in str(caught.value.remedy)


def test_a_refusal_of_the_configuration_is_an_option_error():
    with pytest.raises(OptionError, match="example: size must be at least 1, not 0"):
        build_config(Example, {"size": 0}, owner="example")


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_option_of_every_model_has_help(name):
    for item in option_fields(config_class(FAMILIES[name].config)):
        assert item.help.strip(), f"{name}: {item.name} has no sentence under it"
        assert item.help[0].isupper() or not item.help[0].isalpha(), f"{name}: {item.name}"


def test_files_may_be_named_by_text():
    assert build_config(Example, {"folder": "a b/c.d"}, owner="Example") == Example(folder=Path("a b/c.d"))
    assert build_config(Example, {"folder": None, "name": "x"}, owner="Example") == Example(name="x")
    with pytest.raises(OptionError, match="folder is 3"):
        build_config(Example, {"folder": 3}, owner="Example")


@pytest.mark.parametrize("facts", FAMILIES.values(), ids=lambda facts: facts.name)
def test_every_family_takes_text_for_a_path(facts):
    config = config_class(facts.config)
    names = [item.name for item in option_fields(config) if item.type is Path]
    made = build_config(config, dict.fromkeys(names, "some/where"), owner=facts.name)
    assert [getattr(made, name) for name in names] == [Path("some/where")] * len(names)


@pytest.mark.parametrize(
    "made",
    [
        LoadOptions(checkpoint="a.pth"),
        RenderOptions(motion="m.npz", cues="c.json"),
        FaceOptions(detector_model="d.onnx"),
        SoundFile("a.wav", phones="p.json"),
        Request("me.jpg", SoundFile("a.wav"), "o.mp4", report="r.json"),
    ],
    ids=lambda made: type(made).__name__,
)
def test_options_of_the_api_do_too(made):
    for item in option_fields(type(made)):
        value = getattr(made, item.name)
        assert (item.type is Path) == isinstance(value, Path) or value is None, item.name
