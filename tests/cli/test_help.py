"""What `--help` shows: short, in two columns, readable at 80 columns; `--help-all` shows the rest."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from talkinghead.cli.main import commands
from talkinghead.cli.rows import load_command
from talkinghead.registry import FAMILIES
from talkinghead.terminal.helping import HelpCommand, HelpGroup, columns, first_sentence

LONG = 16
"""Options above which a command needs a short help."""
ALL_SHOWN = {"synthesize-fuse", "template build", "stage run"}
"""Published flags, and steps for those who know them: their help shows everything."""


@cache
def every() -> dict[str, Any]:
    """Each command that does something, by its words."""

    def walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield words, command
            return
        assert isinstance(command, HelpGroup)
        for name in below:
            yield from walk(f"{words} {name}", below[name])

    return {words: command for row in commands() for words, command in walk(row.name, load_command(row))}


def shown(run: Any, *arguments: str) -> list[str]:
    ran = run(*arguments)
    assert ran.status == 0, ran.err
    return ran.out.splitlines()


@pytest.mark.parametrize("words", sorted(every()))
def test_every_help_is_readable_at_80_columns(words: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = every()[words]
    assert isinstance(command, HelpCommand)
    options = [one for one in command.params if one.param_type_name == "option"]
    if words == "generate":  # those of the models are shown with the model
        options = [one for one in options if not (one.rich_help_panel or "").startswith(("Model", "Options of"))]
    short, whole = shown(run, *words.split(), "--help"), shown(run, *words.split(), "--help-all")
    assert short[0] == whole[0]
    assert short[0].startswith(f"Usage: talkinghead {words} ")
    for line in (*short, *whole):
        assert len(line) <= 80, line
        assert not re.search(r"<\w+>|\\", line), line
    text = " ".join(" ".join(whole).split())
    for one in options:
        if not one.hidden:
            assert one.opts[0] in text
    if command.main_flags():
        assert len(short) <= 36
        assert any(line.endswith(f" options: talkinghead {words} --help-all") for line in short)
    else:
        assert len(options) <= LONG or words in ALL_SHOWN, "needs a short help"
        assert short == whole


def test_the_help_of_generate_is_what_creators_need(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(run, "generate", "--help")
    assert len(lines) <= 30
    assert sum(line.startswith("  talkinghead generate ") for line in lines) == 3
    assert sum(bool(re.match(r"  (-\w, )?--", line)) for line in lines) == 12
    whole = shown(run, "generate", "--help-all")
    for heading in ("Options:", "Speech from text:", "Reading the face:", "Finding the face:", "Encoding:"):
        assert heading in whole


@pytest.mark.parametrize("width", [40, 60, 100, 300])
def test_help_follows_the_terminal(width: int, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    options = shown(run, "generate", "--help")
    start = options.index("Options:")
    assert max(len(line) for line in options[start:-3]) <= max(min(width, 100), 54)


@pytest.mark.parametrize("model", list(FAMILIES))
def test_every_example_is_a_command_that_the_parser_takes(model: str) -> None:
    made = every()
    for words, command in made.items():
        if words == "generate":
            command.model = model
        for example in command.examples():
            arguments = shlex.split(example)[len(words.split()) :]
            assert example.startswith(words)
            command.make_context(words, arguments)
    made["generate"].model = None


def test_words_are_not_broken_and_sentences_end_where_they_end() -> None:
    rows = columns([("--a", "one two"), ("--a-name-that-is-far-too-long-for-this", "a-word-with-hyphens x" * 3)], 40)
    assert rows[0] == "  --a  one two"
    assert rows[1] == "  --a-name-that-is-far-too-long-for-this"
    assert all(word in "a-word-with-hyphens x" * 3 for line in rows[2:] for word in line.split())
    assert first_sentence("One, e.g. two. Three. Four.") == "One, e.g. two."
    assert first_sentence("Share. 0 to 1. Default: 1.") == "Share."
    assert first_sentence(None) == ""
