"""What may be given has bounds: every number of every option, wherever it is defined, and every text and list."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import re
import time
import typing
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.bounds import (
    MAX_ITEMS,
    MAX_PATH,
    MAX_TEXT,
    Between,
    FieldBounds,
    Length,
    bounds_of,
    check_fields,
    check_value,
    decimal,
    field_bounds,
    ratio,
    shown,
    whole,
)
from talkinghead.engine.options import option_fields
from talkinghead.errors import OptionError
from talkinghead.service.request import Request, SoundFile, SpokenText
from tests.conftest import ROOT

CONFIGURATIONS = ("Options", "Config", "Settings")
OTHER = {
    "MelSettings", "MouthConfig", "ListeningConfig", "FeatureConfig", "UpsamplerConfig", "VAEConfig", "ARConfig",
    "MotionConfig", "GridConfig", "PrepareOptions",
}  # fmt: skip
"""Tables and networks of published models, which no user sets; and what holds other options only."""


def configurations() -> Iterator[type[Any]]:
    """Every dataclass of options in the package."""
    for path in sorted((ROOT / "talkinghead").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if not re.search(rf"^class \w+({'|'.join(CONFIGURATIONS)})\b", source, re.MULTILINE):
            continue  # parsing takes longer than looking
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith(CONFIGURATIONS) and node.name not in OTHER:
                module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
                found = getattr(module, node.name)
                if dataclasses.is_dataclass(found):
                    yield typing.cast(type[Any], found)
    yield from (Request, SoundFile, SpokenText)


ALL = list(configurations())


def numbers_of(known: FieldBounds) -> bool:
    """Whether a field takes numbers."""
    return any(kind in (int, float, Fraction) for kind in typing.get_args(known.kind) or (known.kind,))


def fields(kind: Callable[[FieldBounds], bool]) -> list[Any]:
    return [
        pytest.param(config, name, known, id=f"{config.__name__}.{name}")
        for config in ALL
        for name, known in field_bounds(config).items()
        if kind(known)
    ]


def made_with(config: type[Any], name: str, value: Any) -> Any:
    """A configuration with one value, and something for what must be given."""
    needed: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        known = field_bounds(config)[item.name]
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            needed[item.name] = "a" if known.kind is str else Path("a") if known.kind is Path else None
    return config(**{**needed, name: value})


def test_the_walk_finds_the_options_that_people_know() -> None:
    names = {config.__name__ for config in ALL}
    assert names >= {"FaceOptions", "FrameOptions", "RenderOptions", "SpeechOptions", "AppOptions", "VisemeConfig"}
    assert len(fields(numbers_of)) > 50


@pytest.mark.parametrize(("config", "name", "known"), fields(numbers_of))
def test_every_number_has_bounds_and_they_hold(config: type[Any], name: str, known: FieldBounds) -> None:
    assert isinstance(known.bound, Between), f"{config.__name__}.{name} has no bounds: Annotated[..., Between(...)]"
    bound = known.bound
    wrong: list[Any] = [bound.most + 1, bound.least - 1, 10**30, -(10**30), math.nan, math.inf, -math.inf, "1"]
    if bound.above:
        wrong.append(bound.least)
    for value in wrong:
        several = typing.get_args(known.kind)
        with pytest.raises(OptionError) as caught:
            made_with(config, name, (value,) * len(several) if several else value)
        assert len(str(caught.value)) < 500
    default = {item.name: item.default for item in dataclasses.fields(config)}[name]
    if default not in (None, dataclasses.MISSING):
        assert all(bound.holds(item) for item in (default if isinstance(default, tuple) else (default,)))


@pytest.mark.parametrize(("config", "name", "known"), fields(lambda known: known.kind in (str, Path)))
def test_every_text_has_a_length(config: type[Any], name: str, known: FieldBounds) -> None:
    most = known.bound.most if isinstance(known.bound, Length) else MAX_TEXT if known.kind is str else MAX_PATH
    for value in ("x" * (most + 1), "a\0b"):
        with pytest.raises(OptionError, match=r"characters|code 0"):
            made_with(config, name, known.kind(value))


@pytest.mark.parametrize("config", ALL)
def test_what_a_command_line_reads_has_the_same_bounds(config: type[Any]) -> None:
    for item in option_fields(config):  # type: ignore[arg-type]
        known = field_bounds(config)[item.name]
        assert item.bound == known.bound
        if isinstance(item.bound, Between):
            several = max(1, len(typing.get_args(item.type)))
            for text in (str(item.bound.most + 1), "1e40000000", "nan", "inf", "9" * 5000, "1/0"):
                with pytest.raises(OptionError):
                    item.parse(",".join([text] * several))


# Commands -------------------------------------------------------------------------------------------------------------


def functions() -> Iterator[Any]:
    from talkinghead.cli.main import commands
    from talkinghead.cli.stage import steps
    from talkinghead.terminal.typers import functions_of

    for row in (*commands(), *steps()):
        module, _, name = row.target.partition(":")
        target = getattr(import_module(module), name)
        for function in functions_of(target) if isinstance(target, typer.Typer) else [target]:
            yield pytest.param(function, id=f"{row.name}.{function.__name__}")


@pytest.mark.parametrize("function", list(functions()))
def test_every_number_of_every_command_has_bounds(function: Any) -> None:
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        known = bounds_of(parameter.annotation)
        if numbers_of(known):
            assert isinstance(known.bound, Between), f"{parameter.name} of {function.__qualname__} has no bounds"
            default = parameter.default if isinstance(parameter.default, tuple) else (parameter.default,)
            assert all(value is None or known.bound.holds(value) for value in default)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "--fps", "1e40000000"], "--fps is '1e40000000'"),
        (["generate", "--fps", "0.0000001"], "1/10 to 240"),
        (["generate", "--fps", "1/" + "9" * 4000], "--fps is '1/999"),
        (["generate", "--smoothing", "1000000000"], "0 to 251"),
        (["generate", "--strength", "nan"], "0 to 2"),
        (["generate", "--crop", "0,0,0," + "9" * 6000], "-1 to 65536"),
        (["generate", "--device", "cuda:" + "9" * 2000], "at most 1,000"),
        (["stage", "gaussians", "render", "--motion", "m", "--checkpoint", "c", "--yaw", "nan"], "-90 to 90"),
        (["stage", "chunk-mel", "--mel", "m", "--fps", "1e999999999"], "frame rate is '1e999999999'"),
        (["bench", "viseme", "--seconds", "1e300"], "at most 3600"),
    ],
)
def test_commands_refuse_in_a_sentence_and_at_once(arguments: list[str], message: str, capsys: Any) -> None:
    from talkinghead.cli.main import main

    rest = {"generate": ["--face", "f", "--audio", "a", "-o", "o.mp4"]}.get(arguments[0], ["--out", "o"])
    if arguments[1] == "gaussians":
        rest += ["--scene", "s"]
    if arguments[0] == "bench":
        rest = []
    started = time.monotonic()
    assert main([*arguments, *rest]) == 2
    assert time.monotonic() - started < 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told) < 1_000


# The parts ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Some:
    count: Annotated[int, Between(0, 9)] = 1
    share: Annotated[float | None, Between(0, 1, above=True)] = None
    rate: Annotated[Fraction | None, Between(1, 240)] = None
    box: Annotated[tuple[int, int], Between(-5, 5)] = (0, 0)
    name: Annotated[str, Length(3)] = ""
    items: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"count": 10}, "count is 10.\nAccepted: 0 to 9"),
        ({"count": None}, "count is None.\nAccepted: a whole number, 0 to 9"),
        ({"count": 1.5}, "count is 1.5.\nAccepted: a whole number, 0 to 9"),
        ({"share": 0.0}, "share is 0.0.\nAccepted: more than 0, at most 1"),
        ({"share": "0.5"}, "share is '0.5'.\nAccepted: a number, more than 0, at most 1"),
        ({"rate": Fraction(1, 10**9)}, "rate is 1/1000000000.\nAccepted: 1 to 240"),
        ({"rate": Fraction(25 * 10**9 + 1, 10**9)}, "rate is 25000000001/1000000000."),
        ({"rate": Fraction(10**5000)}, "rate is a number of too many digits."),
        ({"box": (0, 6)}, "box is (0, 6).\nAccepted: -5 to 5"),
        ({"name": "four"}, "name has 4 characters.\nAccepted: at most 3"),
        ({"items": ("a",) * (MAX_ITEMS + 1)}, "items has 1,001 entries."),
    ],
)
def test_errors_say_what_was_given_and_what_is_accepted(values: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        Some(**values)
    assert str(caught.value).startswith(told)


def test_what_lies_inside_is_taken() -> None:
    assert Some(0, 1.0, Fraction(30000, 1001), (-5, 5), "abc").count == 0
    assert Some(9, 1e-9, Fraction(240)).share == 1e-9


@given(st.text(max_size=60))
def test_texts_are_numbers_as_python_reads_them_or_refused(text: str) -> None:
    for read, plain in ((whole, int), (decimal, float), (ratio, Fraction)):
        try:
            found = read(text)
        except ValueError:
            continue
        assert found == plain(text)  # type: ignore[call-overload]


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**6))
def test_usual_numbers_are_read(numerator: int, denominator: int) -> None:
    assert whole(str(numerator)) == numerator
    assert decimal(repr(numerator / denominator)) == numerator / denominator
    small = numerator % 10**9
    assert ratio(f"{small}/{denominator}") == Fraction(small, denominator)


@pytest.mark.parametrize(
    "text", ["1e40000000", "1e999999999", "1/" + "1" * 50, "9" * 41, "1e-999999999", "1/0", "0x10"]
)
@pytest.mark.parametrize("read", [whole, decimal, ratio])
def test_absurd_numbers_cost_nothing(read: Any, text: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match=r".+"):
        read(text)
    assert time.monotonic() - started < 0.1


def test_values_are_shown_short() -> None:
    for value in ("x" * 10**6, b"x" * 10**6, list(range(10**4)), 10**6000, Fraction(10**6000), {"a": "b" * 10**5}):
        assert len(shown(value)) < 70
    assert shown(Fraction(30000, 1001)) == "30000/1001"


def test_a_bound_that_bounds_nothing_is_our_own_mistake() -> None:
    for ends in ((1, 0), (0, math.inf), (math.nan, 1)):
        with pytest.raises(ValueError, match="bounds nothing"):
            Between(*ends)
    check_value("x", 5, FieldBounds(int, None))
