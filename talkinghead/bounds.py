"""Bounds of everything that may be given: numbers, texts, lists. They are said where an option is defined:

    smoothing: Annotated[int, Between(0, 251)] = 11
    text: Annotated[str, Length(100_000)]

`check_fields`, called where the object is made, holds them for every way in: command line, web page, HTTP, rows of
JSON, Python. Texts are read by `whole`, `decimal` and `ratio`, which look at the length and the form of a text before
they work out what it says: a number of a billion digits costs nothing.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from talkinghead.errors import OptionError

MAX_TEXT = 1_000
"""Longest text of an option that names no `Length`, characters."""
MAX_PATH = 4_096
"""Longest path, characters."""
MAX_ITEMS = 1_000
"""Most entries of a mapping or a list."""
MAX_NUMBER = 40
"""Longest text that is read as a number, characters."""
MAX_DENOMINATOR = 1_000_000
"""Largest denominator of a fraction: rates of media have up to 1001, and exact decimals six digits."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,19}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_RATIO = re.compile(r"[+-]?[0-9]{1,12}(?:/[0-9]{1,12}|(?:\.[0-9]{1,12})?(?:[eE][+-]?[0-9]{1,2})?)")


@dataclass(frozen=True)
class Between:
    """The numbers that an option takes; both ends belong to them."""

    least: float | Fraction
    most: float | Fraction
    above: bool = False
    """`least` itself is left out."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.least) and math.isfinite(self.most) and self.least <= self.most):
            raise ValueError(f"{self.least} to {self.most} bounds nothing")

    def holds(self, value: Any) -> bool:
        """Whether a number lies inside; what is not a number does not."""
        inside: bool = self.least < value <= self.most if self.above else self.least <= value <= self.most
        return inside

    def __str__(self) -> str:
        if self.above:
            return f"more than {_digits(self.least)}, at most {_digits(self.most)}"
        return f"{_digits(self.least)} to {_digits(self.most)}"


@dataclass(frozen=True)
class Length:
    """The most characters of a text."""

    most: int


Bound = Between | Length


def _digits(value: float | Fraction) -> str:
    """A bound as people write it: 2147483647, 0.4, 1000000."""
    if isinstance(value, Fraction) and value.denominator != 1:
        return str(value)
    return str(int(value)) if value == int(value) else f"{float(value):g}"


def shown(value: Any, most: int = 60) -> str:
    """A value for a message: as it is written, cut where it is long."""
    part = value[: 2 * most] if isinstance(value, str | bytes) else value
    try:
        text = str(part) if isinstance(part, Fraction) else repr(part)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of too many digits"
    return text if len(text) <= most else f"{text[:most]}..."


# Texts as numbers -----------------------------------------------------------------------------------------------------


def whole(text: str) -> int:
    """A whole number of at most 19 digits.

    Raises:
        ValueError: anything else.
    """
    return int(_formed(text, _WHOLE))


def decimal(text: str) -> float:
    """A number, finite.

    Raises:
        ValueError: anything else.
    """
    value = float(_formed(text, _DECIMAL))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def ratio(text: str) -> Fraction:
    """An exact number: 25, 29.97 or 30000/1001.

    Raises:
        ValueError: anything else, or a denominator of 0.
    """
    try:
        return Fraction(_formed(text, _RATIO))
    except ZeroDivisionError:
        raise ValueError(shown(text)) from None


def _formed(text: str, form: re.Pattern[str]) -> str:
    if len(text) > MAX_NUMBER or form.fullmatch(text.strip()) is None:
        raise ValueError(shown(text))
    return text.strip()


# Fields ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FieldBounds:
    """What is known of one field of a dataclass."""

    kind: Any
    """Its type without None and without its bound."""
    bound: Bound | None
    optional: bool = False
    """None is taken too."""


def field_bounds(config: type[Any]) -> Mapping[str, FieldBounds]:
    """The bounds of a dataclass's fields, by name."""
    return _field_bounds(typing.cast(Hashable, config))


@cache
def _field_bounds(config: Any) -> Mapping[str, FieldBounds]:
    hints = typing.get_type_hints(config, include_extras=True)
    return {item.name: bounds_of(hints[item.name]) for item in dataclasses.fields(config)}


def bounds_of(hint: Any) -> FieldBounds:
    """What an annotation says: `Annotated[int | None, Between(0, 9)]` is an int from 0 to 9."""
    bound: Bound | None = None
    optional = False
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            bound = next((part for part in hint.__metadata__ if isinstance(part, Between | Length)), bound)
            hint = typing.get_args(hint)[0]
            continue
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            rest = [part for part in typing.get_args(hint) if part is not type(None)]
            optional = optional or len(rest) < len(typing.get_args(hint))
            if len(rest) == 1:
                hint = rest[0]
                continue
        return FieldBounds(hint, bound, optional)


def check_fields(config: Any) -> None:
    """Refuse what a dataclass's own fields do not allow: called by its `__post_init__`, before all else.

    Raises:
        OptionError: a number outside its bounds or none at all, a text or a list that is too long.
    """
    for name, known in field_bounds(type(config)).items():
        value = getattr(config, name)
        if value is not None or (not known.optional and isinstance(known.bound, Between)):
            check_value(name, value, known)


def check_value(name: str, value: Any, known: FieldBounds) -> None:
    """Refuse one value.

    Args:
        name: of the option, for the message.
    Raises:
        OptionError: as `check_fields`.
    """
    if isinstance(known.bound, Between):
        for item in value if isinstance(value, list | tuple) else (value,):
            _check_number(name, value, item, known)
    if isinstance(value, str | Path):
        most = known.bound.most if isinstance(known.bound, Length) else MAX_PATH
        most = MAX_TEXT if known.bound is None and known.kind is str else most
        length = len(str(value))
        if length > most:
            raise OptionError(f"{name} has {length:,} characters.", accepted=f"at most {most:,}")
        if "\0" in str(value):
            raise OptionError(f"{name} has a character of code 0 in it.", accepted="text without it")
    elif isinstance(value, list | tuple | Mapping) and len(value) > MAX_ITEMS:
        raise OptionError(f"{name} has {len(value):,} entries.", accepted=f"at most {MAX_ITEMS:,}")


def _check_number(name: str, given: Any, item: Any, known: FieldBounds) -> None:
    assert isinstance(known.bound, Between)
    kinds = typing.get_args(known.kind) or (known.kind,)
    kind = numbers.Real if float in kinds or Fraction in kinds else numbers.Integral
    if not isinstance(item, kind):
        accepted = "a number" if kind is numbers.Real else "a whole number"
        raise OptionError(f"{name} is {shown(given)}.", accepted=f"{accepted}, {known.bound}")
    if not known.bound.holds(item):
        raise OptionError(f"{name} is {shown(given)}.", accepted=str(known.bound))
    if isinstance(item, Fraction) and item.denominator > MAX_DENOMINATOR:
        raise OptionError(f"{name} is {shown(given)}.", accepted=f"{known.bound}, such as 25 or 30000/1001")


# What several options have in common ----------------------------------------------------------------------------------

FRAME_RATES = Between(Fraction(1, 10), 240)
"""Frames per second that can be asked for."""
MOMENTS_S = Between(0, 360_000)
"""Seconds from the beginning of a recording: up to 100 hours."""
LENGTHS_S = Between(0, 360_000, above=True)
"""Seconds of a part of a recording."""
THREADS = Between(0, 1_024)
SEEDS = Between(0, 2**63 - 1)
PIXELS = Between(-65_536, 65_536)
"""A place in a picture, or how far something goes beyond it."""
