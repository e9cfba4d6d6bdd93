"""Parsers with this package's settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperGroup
from typer.models import CommandInfo, TyperInfo

from talkinghead.assets import help_texts
from talkinghead.terminal.apart import keep_apart

CONTEXT = {"help_option_names": ["-h", "--help"]}


def new_typer(help: str | None = None, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """A group of subcommands; `cls` may be a class of groups that finds them itself."""
    return typer.Typer(
        help=help,
        cls=cls,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings=CONTEXT,
    )


def build_command(name: str, function: Callable[..., Any]) -> Any:
    """A parser for one function; `function.command_class` may name a subclass of TyperCommand."""
    single = new_typer()
    give_docstring(function)
    function = keep_apart(function)
    text = paragraphs(function.__doc__ or "")
    single.command(name, help=text, context_settings=CONTEXT, cls=getattr(function, "command_class", None))(function)
    return typer.main.get_command(single)


def give_docstring(function: Callable[..., Any]) -> None:
    """Where Python runs without docstrings (-OO), give a command's function its own from the package's record."""
    if not function.__doc__:
        function.__doc__ = help_texts()["commands"].get(function.__module__, {}).get(function.__qualname__)


def paragraphs(text: str) -> str:
    """A docstring without its line breaks inside paragraphs."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts)


def build_group(name: str, group: typer.Typer) -> Any:
    """A parser for a group; without a subcommand it is a usage error, unless the group has a callback of its own."""
    if group.registered_callback is None:
        group.callback()(_nothing)  # a group of one stays a group
    for info in infos_of(group):
        if info.callback is not None:
            give_docstring(info.callback)
            info.callback = keep_apart(info.callback)
    built = typer.main.get_command(group)
    built.name = name
    return built


def infos_of(group: typer.Typer) -> Iterator[TyperInfo | CommandInfo]:
    """What a group of commands registered, what groups in it did included."""
    if group.registered_callback is not None:
        yield group.registered_callback
    yield from group.registered_commands
    for below in group.registered_groups:
        if below.typer_instance is not None:
            yield from infos_of(below.typer_instance)


def functions_of(group: typer.Typer) -> Iterator[Callable[..., Any]]:
    """The functions behind a group of commands, those of groups in it included."""
    yield from (info.callback for info in infos_of(group) if info.callback is not None)


def _nothing() -> None:
    pass
