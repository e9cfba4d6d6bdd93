"""Options of commands: the parameters that typer reads, from flags, and what was given of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.models import ParameterInfo

from talkinghead.bounds import Length
from talkinghead.engine.flags import Flag, Given

_ANY_TEXT = Length(1_000_000)
"""The fields have lengths of their own."""
GIVEN = "given"
"""Parameter through which a command function receives what was given."""


def declared_flags(function: Callable[..., Any]) -> tuple[str, ...]:
    """The flags that a command function declares itself, and --help."""
    found = ["--help"]
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if not isinstance(info, ParameterInfo):
                continue
            # inside Annotated the first name stands where a default would
            names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
            names = names or ["--" + parameter.name.replace("_", "-")]
            found += [name.strip() for text in names for name in text.split("/")]
    return tuple(found)


def with_flags(function: Callable[..., Any], flags: Sequence[Flag]) -> Callable[..., Any]:
    """A function whose parameters are those of `function` (but `given`) and one for each flag."""
    own = [
        parameter
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
        if parameter.name != GIVEN
    ]
    extra = [
        inspect.Parameter(flag.parameter, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(flag))
        for flag in flags
    ]

    @functools.wraps(function)
    def command(**values: Any) -> Any:
        given = [(flag, values.pop(flag.parameter)) for flag in flags]
        values[GIVEN] = Given([(flag, value) for flag, value in given if value is not None])
        return function(**values)

    del command.__wrapped__
    signature = inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + extra)
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return command


def _annotation(flag: Flag) -> Any:
    item = flag.owners[0][1]
    settings: dict[str, Any] = {"help": flag.help, "rich_help_panel": flag.panel, "show_default": False}
    if item.type is bool:
        return Annotated[bool | None, typer.Option(f"{flag.flag}/--no-{flag.flag.lstrip('-')}", **settings)]
    if item.choices:
        settings["autocompletion"] = lambda: list(item.choices)
    names = [flag.flag, flag.short] if flag.short else [flag.flag]
    return Annotated[str | None, _ANY_TEXT, typer.Option(*names, metavar=item.spelling, **settings)]
