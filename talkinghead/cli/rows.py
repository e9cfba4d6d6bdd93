"""Groups of commands that are rows of a table: a command's module is imported when it runs, not to list it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperGroup

from talkinghead.engine.manifest import CommandRow
from talkinghead.registry import named
from talkinghead.terminal.helping import HelpGroup
from talkinghead.terminal.typers import build_command, build_group


def load_command(row: CommandRow) -> Any:
    """Import a command and build its parser."""
    target = named(row.target)
    return build_group(row.name, target) if isinstance(target, typer.Typer) else build_command(row.name, target)


class Loaded(MutableMapping[str, Any]):
    """Commands by name, each built when it is asked for."""

    def __init__(self, rows: Callable[[], Sequence[CommandRow]]) -> None:
        self._rows = rows
        self._added: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._added:
            return self._added[name]
        for row in self._rows():
            if row.name == name:
                return load_command(row)
        raise KeyError(name)

    def __setitem__(self, name: str, command: Any) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*(row.name for row in self._rows()), *self._added)))

    def __len__(self) -> int:
        return len(list(iter(self)))


def row_group(rows: Callable[[], Sequence[CommandRow]]) -> type[TyperGroup]:
    """A class of groups whose commands are the rows of now."""

    class RowGroup(HelpGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.commands = Loaded(rows)

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            return list(self.commands)

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near and near[0] != args[0]:
                ctx.fail(f"There is no command {args[0]!r}. Did you mean {near[0]!r}?")
            return super().resolve_command(ctx, args)

        def rows_of_commands(self, ctx: Any) -> list[tuple[str, str, str]]:  # noqa: ARG002
            return [(row.panel, row.name, row.help) for row in rows()]

    return RowGroup
