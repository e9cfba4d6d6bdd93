"""Commands never write over what they read: which of their options are files that are written, and the check.

An option of the type `Path` names what is read; `Annotated[Path, typer.Option(...), WRITTEN]` what is written.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from talkinghead.places import Written, check_apart


class Around:
    """Marks an option as a folder in which files of other names are written: whoever writes them checks them."""


AROUND = Around()


def written_and_read(function: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the parameters of a command that are files: those that are written, and those that are read."""
    written: list[str] = []
    read: list[str] = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind, *marks = typing.get_args(parameter.annotation) or (parameter.annotation,)
        if not _is_path(kind) or any(isinstance(mark, Around) for mark in marks):
            continue
        (written if any(isinstance(mark, Written) for mark in marks) else read).append(parameter.name)
    return tuple(written), tuple(read)


def _is_path(kind: Any) -> bool:
    """Path, Path | None, list[Path] or list[Path] | None."""
    return kind is Path or any(_is_path(part) for part in typing.get_args(kind))


def keep_apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which first refuses outputs that are inputs or other outputs; itself where it writes no file."""
    written, read = written_and_read(function)
    if not written or getattr(function, "keeps_apart", False):
        return function

    @functools.wraps(function)
    def checked(**values: Any) -> Any:
        check_apart(_files(values, written), _files(values, read))
        return function(**values)

    checked.keeps_apart = True  # type: ignore[attr-defined]
    return checked


def _files(values: dict[str, Any], names: tuple[str, ...]) -> list[Path]:
    given = [values.get(name) for name in names]
    return [path for value in given for path in (value if isinstance(value, list) else [value]) if path is not None]
