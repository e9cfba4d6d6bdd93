"""No command writes over what it reads, or over what it writes beside: found before any work begins."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from talkinghead.cli.main import commands, main
from talkinghead.cli.stage import steps
from talkinghead.registry import named
from talkinghead.terminal.apart import written_and_read

OUTPUTS = {"output", "out", "report", "picture", "turntable", "export", "ave_output", "workdir"}
"""What parameters that name outputs are called, everywhere."""

Function = Callable[..., Any]


def every_command() -> Iterator[tuple[tuple[str, ...], Function]]:
    """The words that call a command, and its function."""
    for words, row in [*(((), row) for row in commands()), *((("stage",), row) for row in steps())]:
        target = named(row.target)
        if not isinstance(target, typer.Typer):
            yield (*words, row.name), target
            continue
        if target.registered_callback is not None:
            yield (*words, row.name), target.registered_callback.callback
        for info in target.registered_commands:
            name = info.name or info.callback.__name__.replace("_", "-")
            yield (*words, row.name, name), info.callback


COMMANDS = {" ".join(words): (words, function) for words, function in every_command()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_output_is_marked(name: str) -> None:
    """A parameter that is called as outputs are is none of the inputs."""
    _, read = written_and_read(COMMANDS[name][1])
    assert not OUTPUTS & set(read)


def arguments_for(function: Function, values: dict[str, Path], folder: Path) -> list[str]:
    """Arguments that give these files, and something for whatever else has to be given."""
    found: list[str] = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind, *marks = typing.get_args(parameter.annotation) or (parameter.annotation,)
        info = next((mark for mark in marks if hasattr(mark, "param_decls")), None)
        if info is None or (parameter.default is not inspect.Parameter.empty and parameter.name not in values):
            continue
        value = values.get(parameter.name) or (folder / f"{parameter.name}.x" if kind is Path else "x")
        if isinstance(info, typer.models.ArgumentInfo):
            found.append(str(value))
        else:
            names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
            found += [(names or [f"--{parameter.name.replace('_', '-')}"])[-1], str(value)]
    return found


PAIRS = [
    (name, written, other)
    for name, (_, function) in COMMANDS.items()
    for written in written_and_read(function)[0]
    for other in (*written_and_read(function)[1], *written_and_read(function)[0])
    if written != other
]


def test_there_are_many() -> None:
    assert len({name for name, _, _ in PAIRS}) >= 25
    assert {("cues", "output", "sound"), ("reference run", "output", "weights"), ("say", "output", "phones")} <= {
        *PAIRS
    }


@pytest.mark.parametrize(("name", "written", "other"), PAIRS)
def test_no_command_writes_over_what_it_reads_or_writes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, written: str, other: str
) -> None:
    words, function = COMMANDS[name]
    file, link = tmp_path / "file.x", tmp_path / "hard.x"
    file.write_bytes(b"precious")
    os.link(file, link)
    status = main([*words, *arguments_for(function, {written: link, other: file}, tmp_path)])
    err = capfd.readouterr().err
    assert status == 2, err
    assert "one of the inputs" in err or "one file" in err, err
    assert file.read_bytes() == link.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.x", "hard.x"]
