"""What the program offers to commands of families, which do not know it: the `obj` of their `typer.Context`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Host(Protocol):
    """The program around a command."""

    def open_page(self, model: str, fixed: Mapping[str, Any]) -> None:
        """Serve the web page until it is stopped.

        Args:
            model: the one that is chosen at first.
            fixed: fields of its configuration that visitors cannot change.
        """
