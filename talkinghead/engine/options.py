"""Configuration dataclasses as options: one place from which the command line, the web page and the API take names,
defaults, types and help. The help of a field is the sentence under it; those of this package are read from a record
(`assets/help.json`), so that it works without its sources.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import os
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from talkinghead.assets import help_texts
from talkinghead.bounds import Between, Bound, FieldBounds, check_value, decimal, field_bounds, ratio, shown, whole
from talkinghead.errors import OptionError, choices
from talkinghead.places import WRITTEN

C = TypeVar("C")
_READ: Mapping[Any, Callable[[str], Any]] = {int: whole, float: decimal, Fraction: ratio, str: str, Path: Path}
"""How a value of a type is read from text."""


@dataclass(frozen=True)
class OptionField:
    """One field of a configuration."""

    name: str
    type: Any
    """bool, int, float, str, pathlib.Path, fractions.Fraction, a typing.Literal of strings, or tuple[int, ...] and
    tuple[float, ...] of a fixed length."""
    optional: bool
    """None is accepted."""
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    bound: Bound | None = None
    """Numbers that it takes, or how long its text may be."""
    is_written: bool = False
    """It names a file or folder that a run writes beside its video."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def spelling(self) -> str:
        """How a value is written, for help: "int", "N,N,N,N", "25 or 30000/1001"."""
        if self.choices:
            return "|".join(self.choices)
        if typing.get_origin(self.type) is tuple:
            return ",".join("N" * len(typing.get_args(self.type)))
        spellings: dict[Any, str] = {Fraction: "25 or 30000/1001", Path: "path", str: "text"}
        return spellings.get(self.type) or str(self.type.__name__)

    @property
    def range(self) -> str:
        """The numbers that it takes, in words; empty where it takes no numbers."""
        return str(self.bound) if isinstance(self.bound, Between) else ""

    def parse(self, text: str) -> Any:
        """Read a value as it is written on a command line.

        Raises:
            OptionError: the text is not of this field's type, or outside its bounds.
        """
        try:
            value = self._parse(text.strip())
        except ValueError:
            accepted = f"{self.spelling}, {self.range}" if self.range else self.spelling
            raise OptionError(f"{self.flag} is {shown(text)}.", accepted=accepted) from None
        check_value(self.flag, value, FieldBounds(self.type, self.bound))
        return value

    def _parse(self, text: str) -> Any:
        if self.choices:
            if text not in self.choices:
                raise ValueError(text)
            return text
        if self.type is bool:
            return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _refuse(text)
        if typing.get_origin(self.type) is tuple:
            parts = re.split(r"[,\s]+", text)
            kinds = typing.get_args(self.type)
            return tuple(_READ[kind](part) for kind, part in zip(kinds, parts, strict=True))
        return _READ[self.type](text)


def config_class(reference: str) -> type[Any]:
    """Import the class named by "module:class"."""
    module, _, name = reference.partition(":")
    loaded: type[Any] = getattr(import_module(module), name)
    return loaded


@cache
def option_fields(config: type[Any]) -> tuple[OptionField, ...]:
    """The fields of a configuration dataclass that can be written on a command line, in order.

    Fields of other types (nested configurations, arrays) are left out.
    """
    help_texts = _field_docs(config)
    hints = typing.get_type_hints(config)
    written = _written(config)
    bounds = field_bounds(config)
    found = []
    for item in dataclasses.fields(config):
        kind, optional = _plain(hints[item.name])
        values: tuple[str, ...] = ()
        if typing.get_origin(kind) is typing.Literal:
            values = tuple(str(value) for value in typing.get_args(kind))
        elif not (kind in (bool, int, float, str, Path, Fraction) or _is_number_tuple(kind)):
            continue
        default = item.default if item.default is not dataclasses.MISSING else None
        bound, text = bounds[item.name].bound, help_texts.get(item.name, "")
        found.append(OptionField(item.name, kind, optional, default, text, values, bound, item.name in written))
    return tuple(found)


def build_config(config: type[C], values: Mapping[str, Any], *, owner: str) -> C:
    """Build a configuration from named values; text is taken for a path where a file is meant.

    Args:
        owner: whose options these are, for the message.
    Raises:
        OptionError: an unknown name, or a value that the configuration refuses.
    """
    names = [item.name for item in dataclasses.fields(config)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise OptionError(
                f"{owner} has no option {name!r}.",
                accepted=choices(sorted(names)) if names else "no options",
                remedy=f"{near[0]!r}" if near else None,
            )
    try:
        return config(**_with_paths(config, values))
    except (ValueError, TypeError) as error:
        raise OptionError(f"{owner}: {error}") from error


def _with_paths(config: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(values)
    for item in option_fields(config):  # type: ignore[arg-type]
        value = found.get(item.name)
        if item.type is not Path or value is None or isinstance(value, Path):
            continue
        if not isinstance(value, str | os.PathLike):
            raise OptionError(f"{item.name} is {value!r}.", accepted="a file or folder")
        found[item.name] = Path(value)
    return found


def _written(config: type[Any]) -> frozenset[str]:
    """Fields that are marked as written."""
    marked = typing.get_type_hints(config, include_extras=True)
    return frozenset(name for name, hint in marked.items() if WRITTEN in getattr(hint, "__metadata__", ()))


def _plain(hint: Any) -> tuple[Any, bool]:
    """Strip `| None`; of `bool | int` only the int can be written."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = typing.get_args(hint)
        rest = [part for part in parts if part is not type(None)]
        if set(rest) == {bool, int}:
            rest = [int]
        if len(rest) == 1:
            return rest[0], type(None) in parts
    return hint, False


def _is_number_tuple(kind: Any) -> bool:
    parts = typing.get_args(kind)
    return typing.get_origin(kind) is tuple and bool(parts) and all(part in (int, float) for part in parts)


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _field_docs(config: type[Any]) -> dict[str, str]:
    """The sentence under each field of a class and of its bases."""
    recorded = help_texts()["fields"]
    docs: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if dataclasses.is_dataclass(base):
            name = f"{base.__module__}:{base.__qualname__}"
            docs |= recorded[name] if name in recorded else _docs_in_source(base)
    return docs


def _docs_in_source(config: type[Any]) -> dict[str, str]:
    """The sentence under each field of a class that the package's own record does not have.

    Returns:
        Nothing where a class has no source: one of another package in a frozen application.
    """
    try:
        source = inspect.getsource(config)
    except (OSError, TypeError):
        return {}
    return docs_under_fields(typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(source)).body[0]))


def docs_under_fields(definition: ast.ClassDef) -> dict[str, str]:
    """Field to the string under it, in a class as it is written; line breaks become spaces."""
    docs: dict[str, str] = {}
    for statement, following in itertools.pairwise(definition.body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            docs[statement.target.id] = " ".join(following.value.value.split())
    return docs
