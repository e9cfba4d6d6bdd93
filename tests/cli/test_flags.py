"""Options made from configuration dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import typer

from talkinghead.cli.generate import generate
from talkinghead.engine.flags import Given, Group, make_flags
from talkinghead.errors import OptionError
from talkinghead.service.groups import OWN
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.typers import build_command, paragraphs


@dataclass(frozen=True)
class Reading:
    size: int = 4
    """Size [pixels]."""
    turn: bool = False
    """Turn it."""


@dataclass(frozen=True)
class First:
    gain: float = 1.0
    """How much."""
    size: int = 96
    """Network size."""
    mode: Literal["a", "b"] = "a"
    """How."""
    only_first: str | None = None
    """Something."""


@dataclass(frozen=True)
class Second:
    gain: float = 2.0
    """How much of it."""
    mode: str = "x"
    """How, freely."""
    fast: bool = True
    """Hurry."""


FLAGS = {
    flag.flag: flag
    for flag in make_flags(
        [Group("reading", Reading, "Reading", names={"turn": "--turned"})],
        [Group("first", First, "First"), Group("second", Second, "Second")],
        taken=("--audio",),
    )
}


def test_names():
    assert set(FLAGS) == {
        "--size", "--turned", "--gain", "--first-size", "--mode", "--second-mode", "--only-first", "--fast",
    }  # fmt: skip


def test_the_same_option_of_two_models_is_one():
    gain = FLAGS["--gain"]
    assert [owner for owner, _ in gain.owners] == ["first", "second"]
    assert gain.help == "first: How much. Default: 1.0. second: How much of it. Default: 2.0."
    assert gain.panel == "Options of several models"


def test_two_of_our_own_options_of_one_name_are_our_mistake():
    with pytest.raises(ValueError, match="--size"):
        make_flags([Group("a", Reading, ""), Group("b", Reading, "")])
    with pytest.raises(ValueError, match="--size"):
        make_flags([Group("a", Reading, "")], taken=["--size"])


def called(*arguments: str) -> tuple[str, Given]:
    """What a command made with the flags receives."""
    seen = []

    def command(given: Given, name: Annotated[str, typer.Option(help="Name.")] = "nobody") -> None:
        """Do it."""
        seen.append((name, given))

    built = build_command("do", with_flags(command, tuple(FLAGS.values())))
    built(list(arguments), standalone_mode=False)
    return seen[0]


def test_only_what_is_given_arrives():
    name, given = called()
    assert name == "nobody"
    assert given.of("reading") == given.of("first") == given.of("second") == {}
    name, given = called("--name", "me", "--size", "8", "--turned", "--gain", "0.5", "--first-size", "32", "--no-fast")
    assert name == "me"
    assert given.of("reading") == {"size": 8, "turn": True}
    assert given.of("first") == {"gain": 0.5, "size": 32}
    assert given.of("second") == {"gain": 0.5, "fast": False}
    assert given.flags_of(["reading"]) == ["--size", "--turned"]


def test_options_of_another_model():
    _, given = called("--gain", "1", "--only-first", "x")
    given.refuse_all_but("first", ["first", "second"])
    with pytest.raises(OptionError, match="--only-first is an option of first, not of second"):
        given.refuse_all_but("second", ["first", "second"])


def test_a_bad_value_names_the_flag_that_was_typed():
    _, given = called("--first-size", "big")
    with pytest.raises(OptionError, match="--first-size is 'big'"):
        given.of("first")
    _, given = called("--mode", "c")
    with pytest.raises(OptionError) as caught:
        given.of("first")
    assert caught.value.accepted == "a|b"


def test_declared_flags():
    def command(
        path: Annotated[str, typer.Option("-p", "--path")],
        big_size: Annotated[int, typer.Option()] = 1,
        yes: Annotated[bool, typer.Option("--yes/--no")] = True,
    ) -> None: ...

    assert set(declared_flags(command)) == {"--help", "-p", "--path", "--big-size", "--yes", "--no"}


def test_paragraphs():
    assert paragraphs("One\n    two.\n\n    Three\n    four.\n    ") == "One two.\n\nThree four."


def test_what_generate_declares_itself_is_known_where_columns_are_named():
    assert set(declared_flags(generate)) == set(OWN)
