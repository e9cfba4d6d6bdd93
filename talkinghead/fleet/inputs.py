"""What a request reads from elsewhere: addresses among the values of its row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from talkinghead.storage.address import Address

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S")
_SAID = ("speech", "text")
"""Where a text stands that is spoken, whatever it looks like."""


def addresses(request: Mapping[str, Any]) -> dict[str, Address]:
    """Every value of a request's row that is an address with a scheme, by its text.

    Raises:
        BadAddress: one of them is of no known kind.
    """
    return {text: Address.of(text) for path, text in _texts(request, ()) if path != _SAID and _ADDRESS.match(text)}


def missing_here(request: Mapping[str, Any]) -> bool:
    """Whether a file that a request's row names by its whole path is not there on this machine."""
    return any(
        Path(text).is_absolute() and not Path(text).exists() for path, text in _texts(request, ()) if path != _SAID
    )


def with_paths(request: Mapping[str, Any], paths: Mapping[str, Path]) -> dict[str, Any]:
    """A request's row with addresses replaced by paths.

    Args:
        paths: by the text that stands in the row.
    """
    return {str(name): _replaced(value, (name,), paths) for name, value in request.items()}


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, (*path, ""))


def _replaced(value: Any, path: tuple[str, ...], paths: Mapping[str, Path]) -> Any:
    if isinstance(value, str):
        return str(paths[value]) if path != _SAID and value in paths else value
    if isinstance(value, Mapping):
        return {str(name): _replaced(item, (*path, str(name)), paths) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, (*path, ""), paths) for item in value]
    return value
