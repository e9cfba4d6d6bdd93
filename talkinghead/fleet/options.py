"""How a table is worked on: where, by how many, with how much room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from talkinghead.bounds import Between, Length, check_fields
from talkinghead.errors import OptionError, choices
from talkinghead.files import text_to_paths

EngineName = Literal["local", "ray"]
GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class FleetOptions:
    """Workers of a batch.

    Raises:
        OptionError: options that contradict each other.
    """

    engine: EngineName = "local"
    """local works on this machine: one worker in this process, several in processes of their own. ray gives rows to
    workers of a Ray cluster (extra fleet)."""
    workers: Annotated[int, Between(1, 10_000)] = 1
    """How many videos are made at the same time."""
    address: Annotated[str | None, Length(300)] = None
    """Ray cluster that runs: HOST:PORT of its head, or auto for that of this machine; default: one is started here, for
    this run alone. Only with ray."""
    cpus: Annotated[float | None, Between(0, 1_000, above=True)] = None
    """Cores that each worker uses; default: an equal share of this machine, 1 with ray."""
    gpus: Annotated[float, Between(0, 100)] = 0.0
    """Graphics processors that each worker has; 0.25 lets four workers share one. Only with ray."""
    split: Annotated[float | None, Between(1, 3_600)] = None
    """Make longer videos in stretches of about so many seconds, on several workers, and join them; frames are the
    same."""
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
        if self.engine == "local" and (self.address is not None or self.gpus):
            raise OptionError(
                "A cluster's address and shares of graphics processors are for Ray.", remedy="--engine ray with them"
            )

    @property
    def is_here(self) -> bool:
        """Whether all workers are on this machine."""
        return self.engine == "local" or self.address is None
