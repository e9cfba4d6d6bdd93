"""Whether a command line is one that `talkinghead` takes."""

from __future__ import annotations

from collections.abc import Sequence

from talkinghead.cli.main import commands
from talkinghead.cli.rows import load_command


def has_command(name: str) -> bool:
    """Whether there is such a command."""
    return any(row.name == name for row in commands())


def check_words(words: Sequence[str]) -> None:
    """Read a command line as the program does, without running it.

    Raises:
        click.UsageError: an unknown option, a value of the wrong kind.
    """
    program, name, *rest = words
    assert program == "talkinghead"
    (row,) = (row for row in commands() if row.name == name)
    load_command(row).make_context(name, rest)
