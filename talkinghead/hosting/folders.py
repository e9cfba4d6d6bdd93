"""The folder of a server that runs, with everything that it keeps: uploads, results, thumbnails."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talkinghead.owned import LOCK, owned_folder, remove_dead

__all__ = ["LOCK", "PREFIX", "server_folder", "sweep"]

PREFIX = "talkinghead-app-"


@contextmanager
def server_folder(parent: Path | None = None) -> Iterator[Path]:
    """A private folder with a name that cannot be guessed; removed afterwards, with its lock.

    Args:
        parent: where it is made; None: the folder for temporary files.
    """
    with owned_folder(parent or Path(tempfile.gettempdir()), PREFIX) as folder:
        yield folder


def sweep(parent: Path | None = None) -> int:
    """Remove the folders of servers that are dead; returns how many. Nothing of one that lives is touched."""
    return remove_dead(parent or Path(tempfile.gettempdir()), PREFIX)
