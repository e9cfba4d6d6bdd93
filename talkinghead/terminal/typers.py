"""Parsers with this package's settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandInfo, TyperInfo

from talkinghead.assets import help_texts
from talkinghead.bounds import MAX_PATH, FieldBounds, Length, bounds_of, check_value
from talkinghead.terminal.apart import keep_apart
from talkinghead.terminal.helping import HelpCommand, HelpGroup

CONTEXT = {"help_option_names": ["-h", "--help"]}
_BOUNDED = "holds_bounds"
"""Attribute of a command that `bounded` made."""


def new_typer(help: str | None = None, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """A group of subcommands; `cls` may be a class of groups that finds them itself."""
    return typer.Typer(
        help=help,
        cls=cls or HelpGroup,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings=CONTEXT,
    )


def build_command(name: str, function: Callable[..., Any]) -> Any:
    """A parser for one function; `function.command_class` may name a subclass of HelpCommand."""
    single = new_typer()
    give_docstring(function)
    function = keep_apart(function)
    text = paragraphs(function.__doc__ or "")
    single.command(name, help=text, context_settings=CONTEXT, cls=getattr(function, "command_class", HelpCommand))(
        bounded(function)
    )
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
    _give_helping_class(group)
    for info in infos_of(group):
        if info.callback is not None:
            give_docstring(info.callback)
            info.callback = bounded(keep_apart(info.callback))
        if isinstance(info, CommandInfo) and info.cls in (None, TyperCommand):
            info.cls = HelpCommand
    built = typer.main.get_command(group)
    built.name = name
    return built


def _give_helping_class(group: typer.Typer) -> None:
    """Let groups show help as everything else does, those in it included."""
    if not (isinstance(group.info.cls, type) and issubclass(group.info.cls, HelpGroup)):
        group.info.cls = HelpGroup
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _give_helping_class(below.typer_instance)


def bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose parameters hold the bounds that stand in their annotations; the same if none has any.

    `size: Annotated[int, Between(16, 4096), typer.Option()]`: Typer parses, and here is what it may be.
    """
    if hasattr(function, _BOUNDED):
        return function
    known = parameter_bounds(function)

    @functools.wraps(function)
    def command(*arguments: Any, **values: Any) -> Any:
        for name, (flag, bounds) in known.items():
            if values.get(name) is not None:
                check_value(flag, values[name], bounds)
        return function(*arguments, **values)

    setattr(command, _BOUNDED, True)
    return command


def parameter_bounds(function: Callable[..., Any]) -> Mapping[str, tuple[str, FieldBounds]]:
    """Parameter to its flag and its bounds, for those of a command that take numbers or texts."""
    found = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        bounds = bounds_of(parameter.annotation)
        if bounds.bound is None and bounds.kind is str:
            bounds = FieldBounds(str, Length(MAX_PATH))
        if bounds.bound is not None or bounds.kind in (int, float, str, Path):
            found[parameter.name] = ("--" + parameter.name.replace("_", "-"), bounds)
    return found


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
