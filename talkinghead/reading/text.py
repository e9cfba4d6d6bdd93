"""Text and JSON, with bounds on size, number of values, depth and digits."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from talkinghead.errors import InputError
from talkinghead.reading.bounds import Failure, reading, shown

MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_LINE = 1_000_000
"""Characters of one line of a table."""
MAX_JSON_VALUES = 2_000_000
MAX_JSON_DEPTH = 64
MAX_JSON_DIGITS = 64
"""Of a whole number."""
MAX_REAL_DIGITS = 1024
"""Characters of another number: those of every double, written out."""


def read_text(
    path: str | os.PathLike[str],
    *,
    error: Failure = InputError,
    accepted: str | None = None,
    remedy: str | None = None,
    max_bytes: int = MAX_TEXT_BYTES,
) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        The given error: not there, not readable, too large, or not text.
    """
    with reading(path, error, accepted=accepted, remedy=remedy):
        return _bytes_of(Path(path), error, max_bytes).decode("utf-8-sig")


def read_json(
    path: str | os.PathLike[str],
    *,
    error: Failure = InputError,
    accepted: str | None = None,
    remedy: str | None = None,
    max_bytes: int = MAX_TEXT_BYTES,
) -> Any:
    """The value of a JSON file.

    Raises:
        The given error: not there, not JSON, or beyond the bounds of `parse_json`.
    """
    with reading(path, error, accepted=accepted, remedy=remedy):
        data = _bytes_of(Path(path), error, max_bytes)
    return parse_json(data, path, error=error, accepted=accepted, remedy=remedy)


def parse_json(
    data: bytes | str,
    source: str | os.PathLike[str],
    *,
    error: Failure = InputError,
    accepted: str | None = None,
    remedy: str | None = None,
) -> Any:
    """The value of a JSON text.

    Refused besides what is no JSON: a key that stands twice in an object, numbers that are infinite, not numbers or
    absurdly long, more than MAX_JSON_VALUES values, and more than MAX_JSON_DEPTH levels.

    Args:
        source: where it comes from, for messages.
    Raises:
        The given error.
    """
    with reading(os.fspath(source), error, what="is not JSON", accepted=accepted, remedy=remedy):
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        if sum(text.count(mark) for mark in ",[{") > MAX_JSON_VALUES:
            raise ValueError(f"it holds more than {MAX_JSON_VALUES} values")
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_whole, parse_float=_real, parse_constant=_constant
        )
        _check_depth(value)
        return value


def bounded_lines(lines: Iterator[str]) -> Iterator[str]:
    """The lines of a table, none of them absurdly long.

    Raises:
        ValueError: one is.
    """
    for line in lines:
        if len(line) > MAX_LINE:
            raise ValueError(f"a line of {len(line)} characters")
        yield line


def _bytes_of(path: Path, error: Failure, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise error(f"{path} is larger than {max_bytes} bytes.", accepted=f"at most {max_bytes} bytes of text")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} stands twice")
    return made


def _whole(digits: str) -> int:
    if len(digits) > MAX_JSON_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > MAX_REAL_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number beyond every bound")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"its values are nested more than {MAX_JSON_DEPTH} levels deep")
