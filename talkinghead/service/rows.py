"""Option dataclasses as rows of JSON values, and back: what a table of jobs or another machine can hold.

A row has what differs from the defaults. Fractions and paths are text, tuples are lists. Unknown keys and values of
another type are refused.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import sys
import types
import typing
from collections.abc import Hashable, Mapping
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from talkinghead.bounds import ratio, shown
from talkinghead.errors import OptionError, choices

C = TypeVar("C")


def _hints(kind: type[Any]) -> Mapping[str, Any]:
    """Types of a dataclass's fields."""
    return _cached_hints(typing.cast(Hashable, kind))


@cache
def _cached_hints(kind: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def to_row(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults."""
    hints = _hints(type(value))
    row = {}
    for item in dataclasses.fields(value):
        given = getattr(value, item.name)
        if item.default_factory is not dataclasses.MISSING:
            usual: Any = item.default_factory()
        else:
            usual = item.default
        if usual is dataclasses.MISSING or given != usual:
            row[item.name] = plain(_as_declared(hints[item.name], given), item.name)
    return row


def as_declared(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, numbers as a dataclass declares them: True is as good as 1 in Python, not in JSON."""
    hints = _hints(kind)
    return {name: _as_declared(hints.get(name), value) for name, value in values.items()}


def _as_declared(hint: Any, value: Any) -> Any:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds: tuple[Any, ...] = typing.get_args(hint) if union else (hint,)
    if isinstance(value, list | tuple):
        parts: tuple[Any, ...] = next((typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is tuple), ())
        return [_as_declared(part, item) for part, item in zip(parts, value, strict=True)] if parts else value
    if not isinstance(value, numbers.Real) or type(value) in (*kinds, Fraction) or not math.isfinite(value):
        return value
    number: Any = value
    for kind in (bool, int, float, Fraction):
        if kind in kinds and (kind is Fraction or kind(number) == number):
            return Fraction(str(number)) if kind is Fraction else kind(number)
    return value


def plain(value: Any, name: str) -> Any:
    """A value as JSON has it.

    Raises:
        OptionError: it lives in memory only.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OptionError(f"{name} is {value}.", accepted="a finite number")
        return value
    if isinstance(value, Path | Fraction):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item, name) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item, str(key)) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_row(value)
    raise OptionError(
        f"{name} is in memory ({type(value).__name__}) and cannot be written down.", accepted="a file, or a text"
    )


def known_keys(row: Any, names: typing.Collection[str], owner: str) -> Mapping[str, Any]:
    """A row, if it has no other keys.

    Raises:
        OptionError: it is no mapping, or has one.
    """
    if not isinstance(row, Mapping):
        raise OptionError(f"{owner} is {shown(row)}.", accepted="an object with names and values")
    for name in row:
        if name not in names:
            near = get_close_matches(str(name), names, n=1)
            raise OptionError(
                f"{owner} has no option {shown(name)}.",
                accepted=choices(sorted(names)) if names else "no options",
                remedy=f"{near[0]!r}" if near else None,
            )
    return row


def from_row(kind: type[C], row: Any, owner: str) -> C:
    """A dataclass from its row.

    Args:
        owner: whose row it is, for messages.
    Raises:
        OptionError: an unknown key, a value of another type, or one that the class refuses.
    """
    values = typed_values(kind, row, owner)
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise OptionError(f"{owner}: {error}") from error


def typed_values(kind: type[Any], row: Any, owner: str) -> dict[str, Any]:
    """The values of a row as the fields of a dataclass have them, by name."""
    hints = _hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    return {
        name: _read(hints[name], value, f"{owner}: {name}") for name, value in known_keys(row, names, owner).items()
    }


def _read(hint: Any, value: Any, what: str) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_any(parts, value, what)
    if origin is typing.Literal:
        if value not in parts:
            raise OptionError(f"{what} is {shown(value)}.", accepted=choices(parts))
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            raise OptionError(f"{what} is {shown(value)}.", accepted=f"{len(parts)} values")
        return tuple(_read(part, item, what) for part, item in zip(parts, value, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise OptionError(f"{what} is {shown(value)}.", accepted="an object with names and values")
        return dict(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_row(hint, value, what)
    return _scalar(hint, value, what)


def _read_any(parts: tuple[Any, ...], value: Any, what: str) -> Any:
    if value is None and type(None) in parts:
        return None
    rest = [part for part in parts if part is not type(None)]
    for part in rest[:-1]:
        try:
            return _read(part, value, what)
        except OptionError:
            continue
    return _read(rest[-1], value, what)


def _scalar(kind: Any, value: Any, what: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and is_number and isinstance(value, int):
        return value
    if kind is float and is_number and abs(value) <= sys.float_info.max:
        return float(value)
    if kind is str and isinstance(value, str):
        return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is Fraction and ((is_number and isinstance(value, int)) or isinstance(value, str)):
        try:
            return Fraction(value) if isinstance(value, int) else ratio(value)
        except ValueError:
            pass
    accepted = {bool: "true or false", int: "a whole number", float: "a number", Fraction: "25 or 30000/1001"}
    raise OptionError(f"{what} is {shown(value)}.", accepted=accepted.get(kind, "text"))
