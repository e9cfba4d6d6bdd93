"""The pages, and the commands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from talkinghead.cli.main import commands
from talkinghead.cli.rows import load_command
from tests.conftest import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
}

SERVERS = ("app", "live", "serve")
"""Commands that go on until they are stopped; they have tests of their own."""


def blocks(text: str, language: str) -> list[str]:
    """Code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines(block: str) -> list[str]:
    """The commands of a block: comments and line breaks taken away."""
    joined = re.sub(r"\\\n\s*", " ", block)
    return [line for line in (re.sub(r"(^|\s)#\s.*$", "", text).strip() for text in joined.splitlines()) if line]


def to_run(text: str) -> list[str]:
    """Commands that a reader can run on any machine."""
    return [line for block in blocks(text, "sh") for line in lines(block)]


def to_read(text: str) -> list[str]:
    """Commands that need a network or somebody's weights, one by one where they are joined by pipes."""
    shown = [line[2:] for block in blocks(text, "console") for line in lines(block) if line.startswith("$ ")]
    return [command for line in shown for command in line.split(" | ")]


def words_of(line: str) -> list[str] | None:
    """Arguments of `talkinghead`, or None for another program."""
    words = shlex.split(line)
    return words[1:] if Path(words[0]).name == "talkinghead" else None


def parse(arguments: list[str]) -> Any:
    """Let the real parser read a command, without running it."""
    row = next(row for row in commands() if row.name == arguments[0])
    command, rest, name = load_command(row), arguments[1:], arguments[0]
    while getattr(command, "commands", None) and rest and rest[0] in command.commands:
        command, name, rest = command.commands[rest[0]], rest[0], rest[1:]
    return command.make_context(name, list(rest))
