"""The help of a command: examples, and the options that most people use; every option, grouped, on demand."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from typer.core import TyperCommand, TyperGroup

HELP_ALL = "--help-all"
MAX_WIDTH, MIN_WIDTH = 100, 40
NAMES_WIDTH = 28
"""Columns of the options' names; a longer one has a line of its own."""
OPTIONS = "Options"
_PLACES = {
    "<str>": "TEXT", "<path>": "PATH", "<int>": "N", "<float>": "X", "<list[path]>": "PATH ...",
    "<list[str]>": "TEXT ...", "<bool>": "", "text": "TEXT", "path": "PATH", "int": "N", "float": "X",
}  # fmt: skip
"""What stands for a value, by what Typer or a configuration calls its type."""
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class HelpPage:
    """What the help of one command begins with."""

    examples: tuple[str, ...] = ()
    """Command lines without the program's name."""
    main: tuple[str, ...] = ()
    """Flags that `--help` shows, in this order; none shows all. The others come with `--help-all`."""
    short: Mapping[str, str] = field(default_factory=dict)
    """What `--help` says of some of these instead of their first sentence."""


def help_page(page: HelpPage) -> Callable[[_Function], _Function]:
    """Give a command's function its page."""

    def give(function: _Function) -> _Function:
        function.help_page = page  # type: ignore[attr-defined]
        return function

    return give


def asks_for_all(args: list[str]) -> bool:
    """Whether `--help-all` stands among the arguments."""
    return HELP_ALL in (args[: args.index("--")] if "--" in args else args)


class HelpCommand(TyperCommand):
    """A command whose help is a `HelpPage`."""

    show_all = False

    @property
    def page(self) -> HelpPage:
        found = getattr(self.callback, "help_page", None)
        return found if isinstance(found, HelpPage) else HelpPage()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if asks_for_all(args):
            self.show_all, args = True, ["--help"]
        return super().parse_args(ctx, args)

    def examples(self) -> tuple[str, ...]:
        """Command lines without the program's name."""
        return self.page.examples

    def main_flags(self) -> tuple[str, ...]:
        """Flags that the short help shows; none for all."""
        return self.page.main

    def format_help(self, ctx: Any, formatter: Any) -> None:
        page, width = self.page, help_width()
        named, other = _by_flag(self.params), [p for p in self.params if p.param_type_name == "argument"]
        chosen = () if self.show_all else self.main_flags()
        paragraphs = (self.help or "").split("\n\n")
        usage = ("[OPTIONS]", *(argument_row(one)[0] for one in other))
        lines = [f"Usage: {ctx.command_path} {' '.join(usage)}", ""]
        for text in paragraphs[:1] if chosen else paragraphs:
            lines += [*textwrap.wrap(plain(text), width), ""]
        if examples := self.examples():
            lines += ["Examples:", *(f"  {ctx.find_root().command_path} {example}" for example in examples), ""]
        if other:
            lines += ["Arguments:", *columns([argument_row(one) for one in other], width), ""]
        if chosen:
            shown = [named[flag] for flag in chosen]
            rows = [option_row(one, ctx, short=True) for one in shown]
            said = [(names, page.short.get(flag, text)) for flag, (names, text) in zip(chosen, rows, strict=True)]
            lines += [f"{OPTIONS}:", *columns(said, width), ""]
            total = sum(len(some) for _, some in _panels(self.params))
            lines.append(f"All {total} options: {ctx.command_path} {HELP_ALL}")
        else:
            for heading, some in _panels(self.params):
                lines += [f"{heading}:", *columns([option_row(one, ctx) for one in some], width), ""]
        if self.epilog:
            lines += textwrap.wrap(self.epilog, width)
        formatter.write("\n".join(lines).rstrip() + "\n")


class HelpGroup(TyperGroup):
    """A group whose help lists its commands in two columns."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--help"] if args[:1] == [HELP_ALL] else args)

    def rows_of_commands(self, ctx: Any) -> list[tuple[str, str, str]]:
        """(heading, name, what it does) of each command."""
        found = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                found.append((_panel(command, "Commands"), name, first_sentence(command.help)))
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:
        width = help_width()
        lines = [f"Usage: {ctx.command_path} [OPTIONS] COMMAND ...", ""]
        lines += [*textwrap.wrap(plain((self.help or "").split("\n\n")[0]), width), ""]
        headings: dict[str, list[tuple[str, str]]] = {}
        for heading, name, text in self.rows_of_commands(ctx):
            headings.setdefault(heading, []).append((name, plain(text)))
        for heading, rows in headings.items():
            lines += [f"{heading}:", *columns(rows, width), ""]
        for heading, some in _panels(self.params):
            lines += [f"{heading}:", *columns([option_row(one, ctx) for one in some], width), ""]
        if self.epilog:
            lines += textwrap.wrap(plain(self.epilog), width)
        formatter.write("\n".join(lines).rstrip() + "\n")


def help_width() -> int:
    """Columns of the help: those of the terminal, within reason."""
    return min(max(shutil.get_terminal_size().columns, MIN_WIDTH), MAX_WIDTH)


def columns(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Names on the left, sentences on the right; a name that is too long stands above its sentence."""
    rows = list(rows)
    fitting = [len(name) for name, _ in rows if len(name) <= NAMES_WIDTH]
    left = max(fitting, default=0) + 4
    lines: list[str] = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(width - left, 20), break_on_hyphens=False, break_long_words=False) or [""]
        head = f"  {name}"
        if len(head) + 2 > left:
            lines.append(head)
        else:
            lines.append(f"{head:<{left}}{wrapped.pop(0)}".rstrip())
        lines += [f"{'':<{left}}{line}" for line in wrapped if line]
    return lines


def option_row(option: Any, ctx: Any, *, short: bool = False) -> tuple[str, str]:
    """(names and place of the value, what it does); in short its first sentence."""
    record = option.get_help_record(ctx)
    names, text = record if record is not None else (", ".join(option.opts), option.help or "")
    place = _place(option, names)
    flags = sorted(option.opts, key=len)
    if option.secondary_opts:
        flags = [f"{flags[-1]}/{option.secondary_opts[0]}", *flags[:-1]]
    names = ", ".join(flags) + (f" {place}" if place else "")
    text = plain(text)
    return names, first_sentence(text) if short else text


def argument_row(argument: Any) -> tuple[str, str]:
    name = str(argument.metavar or argument.name.upper()).strip("{}")
    many = " ..." if argument.nargs == -1 and "..." not in name else ""
    optional = not argument.required and not name.startswith("[")
    return (f"[{name}{many}]" if optional else f"{name}{many}"), plain(getattr(argument, "help", None) or "")


def first_sentence(text: str | None) -> str:
    """Up to the first full stop before a new sentence, without brackets that end it."""
    words = " ".join((text or "").split("\n\n")[0].split())
    for i, character in enumerate(words):
        if (
            character == "."
            and words[i + 1 : i + 2] == " "
            and (words[i + 2 : i + 3].isupper() or words[i + 2 : i + 3].isdigit())
        ):
            return words[: i + 1]
    return words


def plain(text: str) -> str:
    """Help without the escapes of the terminal's markup; a default that stands for None has no brackets of its own."""
    return re.sub(r"\[default: \((.*)\)\]", r"[default: \1]", " ".join(text.replace("\\[", "[").split()))


def _place(option: Any, names: str) -> str:
    """What stands for the value; `names` ends with what Typer says for it."""
    if getattr(option, "is_flag", False):
        return ""
    place = option.metavar or " ".join(word for word in names.split() if not word.startswith("-"))
    if option.nargs > 1 and option.metavar is None:
        return " ".join([_PLACES["int"]] * option.nargs)
    return _PLACES.get(place.lower(), place.strip("<>"))


def _by_flag(parameters: Sequence[Any]) -> dict[str, Any]:
    return {flag: one for one in parameters if one.param_type_name == "option" for flag in one.opts}


def _panels(parameters: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """Visible options by their heading, in the order in which the headings come."""
    found: dict[str, list[Any]] = {}
    for one in parameters:
        if one.param_type_name == "option" and not getattr(one, "hidden", False):
            found.setdefault(_panel(one, OPTIONS), []).append(one)
    return list(found.items())


def _panel(shown: Any, default: str) -> str:
    """The heading that an option or a command asks for."""
    panel = getattr(shown, "rich_help_panel", None)
    return panel if isinstance(panel, str) else default
