"""Names of options, made from the fields of configuration dataclasses: of commands, and of columns of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkinghead.bounds import shown
from talkinghead.engine.options import OptionField, option_fields
from talkinghead.errors import OptionError, choices


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
    """The options that were given: on a command line, or in a row of a table."""

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
