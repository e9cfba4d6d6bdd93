"""Configuration dataclasses as options: one place from which the command line, the web page and the API take names,
defaults, types and help. The help of a field is the sentence under it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from talkinghead.errors import OptionError, choices

C = TypeVar("C")


@dataclass(frozen=True)
class OptionField:
    """One field of a configuration."""

    name: str
    type: Any
    """bool, int, float, str, pathlib.Path, or a typing.Literal of strings."""
    optional: bool
    """None is accepted."""
    default: Any
    help: str
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


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
    found = []
    for item in dataclasses.fields(config):
        kind, optional = _plain(hints[item.name])
        values: tuple[str, ...] = ()
        if typing.get_origin(kind) is typing.Literal:
            values = tuple(str(value) for value in typing.get_args(kind))
        elif kind not in (bool, int, float, str) and getattr(kind, "__name__", "") != "Path":
            continue
        default = item.default if item.default is not dataclasses.MISSING else None
        found.append(OptionField(item.name, kind, optional, default, help_texts.get(item.name, ""), values))
    return tuple(found)


def build_config(config: type[C], values: Mapping[str, Any], *, owner: str) -> C:
    """Build a configuration from named values.

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
        return config(**values)
    except (ValueError, TypeError) as error:
        raise OptionError(f"{owner}: {error}") from error


def _plain(hint: Any) -> tuple[Any, bool]:
    """Strip `| None`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


def _field_docs(config: type[Any]) -> dict[str, str]:
    """The string under each field of a class and of its bases."""
    docs: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = typing.cast(ast.ClassDef, tree.body[0]).body
        for statement, following in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                docs[statement.target.id] = " ".join(following.value.value.split())
    return docs
