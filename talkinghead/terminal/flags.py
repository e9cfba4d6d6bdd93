"""Command-line options made from the fields of configuration dataclasses, where names, types and help live."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.models import ParameterInfo

from talkinghead.bounds import Length, shown
from talkinghead.engine.options import OptionField, option_fields
from talkinghead.errors import OptionError, choices

_ANY_TEXT = Length(1_000_000)
"""The fields have lengths of their own."""
GIVEN = "given"
"""Parameter through which a command function receives what was given."""


@dataclass(frozen=True)
class Group:
    """A configuration dataclass whose fields become options."""

    owner: str
    """Key under which the values arrive, and the name in messages."""
    config: type[Any]
    panel: str
    """Heading in the help."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Field name to flag, where the flag is not the field's name."""
    leave_out: frozenset[str] = frozenset()
    short: Mapping[str, str] = field(default_factory=dict)
    """Field name to a short form: "-l"."""


@dataclass(frozen=True)
class Flag:
    """One option; several owners may share it."""

    flag: str
    owners: tuple[tuple[str, OptionField], ...]
    panel: str
    short: str = ""

    @property
    def parameter(self) -> str:
        return "option_" + self.flag.lstrip("-").replace("-", "_")

    @property
    def help(self) -> str:
        texts = [_help(item) for _, item in self.owners]
        if len(set(texts)) == 1:
            return texts[0]
        return " ".join(f"{owner}: {text}" for (owner, _), text in zip(self.owners, texts, strict=True))


class Given:
    """The options that were given on the command line."""

    def __init__(self, values: Sequence[tuple[Flag, str | bool]]) -> None:
        self._values = values

    def of(self, owner: str) -> dict[str, Any]:
        """Values for one owner's configuration, by field name.

        Raises:
            OptionError: a value that is not of the field's type.
        """
        found: dict[str, Any] = {}
        for flag, value in self._values:
            for name, item in flag.owners:
                if name == owner:
                    found[item.name] = _parse(flag, item, value)
        return found

    def flags_of(self, owners: Sequence[str]) -> list[str]:
        """Flags given that belong to one of these owners."""
        return [flag.flag for flag, _ in self._values if any(name in owners for name, _ in flag.owners)]

    def refuse_all_but(self, owner: str, others: Sequence[str]) -> None:
        """Refuse options that belong to others and not to `owner`.

        Raises:
            OptionError: one was given.
        """
        for flag, _ in self._values:
            names = [name for name, _ in flag.owners]
            if owner not in names and any(name in others for name in names):
                raise OptionError(
                    f"{flag.flag} is an option of {choices(names)}, not of {owner}.",
                    remedy=f"leave {flag.flag} out, or give --model {names[0]}",
                )


def _parse(flag: Flag, item: OptionField, value: str | bool) -> Any:
    if isinstance(value, bool):
        return value
    try:
        return item.parse(value)
    except OptionError as error:
        raise OptionError(f"{flag.flag} is {shown(value)}.", accepted=error.accepted) from None


def make_flags(groups: Sequence[Group], shared: Sequence[Group] = (), taken: Sequence[str] = ()) -> tuple[Flag, ...]:
    """The options of configurations.

    Args:
        groups: their options are all different: two fields of one name are our own mistake.
        shared: configurations of which one at a time is used (the models). The same name and type in several of them is
            one option (a file and a text count as one type); a name that is taken, or has another type, becomes
            `--<owner>-<name>`.
        taken: flags that exist already.
    """
    flags: dict[str, Flag] = {}
    used = set(taken)
    for group in groups:
        for name, item in _named(group):
            if name in used:
                raise ValueError(f"two options are called {name}")
            used.add(name)
            flags[name] = Flag(name, ((group.owner, item),), group.panel, group.short.get(item.name, ""))
    merged: dict[str, Flag] = {}
    for group in shared:
        for name, item in _named(group):
            there = merged.get(name)
            if name not in used and (there is None or _alike(there.owners[0][1], item)):
                before = there.owners if there is not None else ()
                merged[name] = Flag(name, (*before, (group.owner, item)), group.panel)
            else:
                own = f"--{group.owner}-{name.lstrip('-')}"
                merged[own] = Flag(own, ((group.owner, item),), group.panel)
    several = [flag for flag in merged.values() if len(flag.owners) > 1]
    single = [flag for flag in merged.values() if len(flag.owners) == 1]
    return (*flags.values(), *(Flag(flag.flag, flag.owners, "Options of several models") for flag in several), *single)


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
    settings: dict[str, Any] = {"help": escape(flag.help), "rich_help_panel": flag.panel, "show_default": False}
    if item.type is bool:
        return Annotated[bool | None, typer.Option(f"{flag.flag}/--no-{flag.flag.lstrip('-')}", **settings)]
    if item.choices:
        settings["autocompletion"] = lambda: list(item.choices)
    names = [flag.flag, flag.short] if flag.short else [flag.flag]
    return Annotated[str | None, _ANY_TEXT, typer.Option(*names, metavar=item.spelling, **settings)]


def _named(group: Group) -> list[tuple[str, OptionField]]:
    return [
        (group.names.get(item.name, item.flag), item)
        for item in option_fields(group.config)  # type: ignore[arg-type]
        if item.name not in group.leave_out
    ]


def _alike(a: OptionField, b: OptionField) -> bool:
    """Whether two fields can be one option: of one type, or a file in one and text in the other."""
    return a.choices == b.choices and (a.type == b.type or {a.type, b.type} == {str, Path})


def _help(item: OptionField) -> str:
    text = item.help if not item.help or item.help.endswith((".", ")")) else item.help + "."
    if item.range:
        text = f"{text} {item.range[:1].upper()}{item.range[1:]}."
    if item.default is None or item.default == "":
        return text
    if item.type is bool:
        shown = "on" if item.default else "off"
    elif isinstance(item.default, bool):
        shown = str(int(item.default))
    elif isinstance(item.default, tuple):
        shown = ",".join(str(part) for part in item.default)
    else:
        shown = str(item.default)
    return f"{text} Default: {shown}."


def escape(text: str) -> str:
    """Protect brackets from the help's markup."""
    return text.replace("[", r"\[")
