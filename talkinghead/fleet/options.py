"""How a table is worked on: where, by how many, with how much room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from talkinghead.bounds import Between, check_fields
from talkinghead.errors import OptionError, choices
from talkinghead.files import text_to_paths

EngineName = Literal["local"]
GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class FleetOptions:
    """Workers of a batch.

    Raises:
        OptionError: options that contradict each other.
    """

    engine: EngineName = "local"
    """local works on this machine: one worker in this process, several in processes of their own."""
    workers: Annotated[int, Between(1, 10_000)] = 1
    """How many videos are made at the same time."""
    scratch: Path | None = None
    """Folder for copies of what lies elsewhere and for unfinished videos; default: the system's for temporary files."""
    scratch_gb: Annotated[float, Between(0.1, 100_000)] = 8.0
    """How much of it one worker may use, gigabytes."""
    cache: Path | None = None
    """Folder for what was found out about faces and files, which workers may share; default: the user's."""

    def __post_init__(self) -> None:
        text_to_paths(self, "scratch", "cache")
        check_fields(self)
        if self.engine not in get_args(EngineName):
            raise OptionError(f"There is no engine {self.engine!r}.", accepted=choices(get_args(EngineName)))
