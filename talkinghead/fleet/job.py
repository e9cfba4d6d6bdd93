"""One row of a table as work: what is asked for, what it is called, and what came of it. All of it is JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

End = Literal["done", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """One video to make. Nothing in it names a file of one machine unless the table did.

    Two rows are one job if their keys are equal. A row that was changed is another job, and so is one whose face, sound
    or checkpoint holds other bytes than before.
    """

    key: str
    """64 hexadecimal digits: hash of the request and of the content of everything that it reads."""
    row: int
    """Number of the row in the table, from 1."""
    request: Mapping[str, Any]
    """As `Request.to_dict`; sources, sounds and checkpoints are paths or addresses, `output` is a bare file name."""
    output: str
    """Path or address of the finished video."""
    head: str
    """What jobs have in common that can use one loaded model: model, checkpoint, device, precision."""
    face: str
    """What jobs have in common that show one prepared face with one model."""
    seconds: float
    """How long the speech lasts, as far as it is known; an estimate otherwise."""
    bytes_read: int = 0
    """Size of what it reads, as far as it is known."""
    after: tuple[str, ...] = ()
    """Keys of jobs that must be done before: the stretches of a video, for the job that joins them."""
    parts: tuple[str, ...] = ()
    """Paths or addresses of stretches of the video, in order, which this job joins; empty for one that makes its video
    itself."""
    part_of: str | None = None
    """Key of the job that joins what this one makes; None for a whole video."""
    shares_face: bool = True
    """Whether another row shows the same face. It is prepared for whatever may be said then, else for this speech
    alone, which takes less; near the end of the speech frames may differ a little between the two. Set by the ledger,
    by all rows of the table."""
    replaces: str | None = None
    """Version of what lies under the name of the output, and may be replaced; None: nothing does. Set by the ledger
    when a run begins."""

    def to_dict(self) -> dict[str, Any]:
        """A row of JSON values; `from_dict` takes it."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**data, "request": dict(self.request), "after": list(self.after), "parts": list(self.parts)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Job:
        """A job from its row."""
        return Job(**{**data, "after": tuple(data.get("after", ())), "parts": tuple(data.get("parts", ()))})


@dataclass(frozen=True)
class Outcome:
    """What a worker says of one attempt."""

    key: str
    end: End
    size: int | None = None
    """Bytes of the finished video."""
    sha256: str | None = None
    """Of the finished video, hexadecimal."""
    error: str | None = None
    """What went wrong, as it is shown to people."""
    kind: str | None = None
    """Name of the class of the error."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the run: model, num_frames, fps, audio_s, wall_s, realtime_factor, stages (busy seconds by name)."""
    blames: Literal["row", "place"] = "row"
    """What failed: the row, or the place (disk, storage, ledger) where any row would have."""
    may_pass: bool = False
    """Whether it passes by itself, as far as one can tell: storage that was busy, or did not answer."""
    will_stay: bool = False
    """Whether trying again would end the same way: the row names what cannot be used."""

    def to_dict(self) -> dict[str, Any]:
        """A row of JSON values; `from_dict` takes it."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**data, "report": dict(self.report)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Outcome:
        """An outcome from its row."""
        return Outcome(**data)
