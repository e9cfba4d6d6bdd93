"""Long rows as several jobs: stretches that different workers make, and one job that joins them.

    row 7 (300 s)  ->  7: 0-60   7: 60-120   7: 120-180   7: 180-240   7: 240-   ->  join, which is row 7 for the ledger

The parts lie below OUT, in a folder of the row's key, until the video has its name. A run that stopped in between goes
on with those that are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from talkinghead.files import cache_key
from talkinghead.fleet.job import Job
from talkinghead.fleet.ledger import History
from talkinghead.service.request import Request
from talkinghead.service.stretches import PART, stretches, why_whole
from talkinghead.storage.address import Address
from talkinghead.storage.store import Store

PARTS = ".talkinghead/parts"
"""Folder below OUT."""
JOIN = "join"
"""Stands for the model and the face of jobs that only join."""
JOINED_S = 1 / 50
"""Seconds of video whose making takes about as long as joining one second."""


@dataclass(frozen=True)
class Split:
    """What became of the rows of a run."""

    seconds: float
    """Of a stretch."""
    jobs: list[Job] = field(default_factory=list)
    cut: int = 0
    """Rows that are made in stretches."""
    parts: int = 0
    """Stretches that are to be made."""
    whole: Counter[str] = field(default_factory=Counter)
    """Why long rows are not cut, and how many each."""


def split(jobs: Iterable[Job], seconds: float, out: Address, history: History, store: Store) -> Split:
    """Cut the rows that are longer than one and a half stretches.

    Args:
        seconds: of a stretch.
        history: what the ledger comes to; parts that are done and still there are not made again.
    Raises:
        StorageError: a part cannot be asked for.
    """
    found, cut, parts, whole = [], 0, 0, Counter[str]()
    for job in jobs:
        edges = stretches(job.seconds, seconds)
        reason = why_whole(Request.from_dict(job.request)) if len(edges) > 1 else None
        if len(edges) == 1 or reason is not None:
            whole.update([reason] if reason is not None else [])
            found.append(job)
            continue
        made = [_part(job, number, edge, seconds, out) for number, edge in enumerate(edges)]
        todo = [part for part in made if not _is_there(part, history, store)]
        outputs = tuple(part.output for part in made)
        keys = tuple(part.key for part in made)
        found += todo
        length = job.seconds * JOINED_S
        found.append(replace(job, head=JOIN, face=JOIN, seconds=length, after=keys, parts=outputs, bytes_read=0))
        cut, parts = cut + 1, parts + len(todo)
    return Split(seconds, found, cut, parts, whole)


def _part(job: Job, number: int, edge: tuple[float, float], seconds: float, out: Address) -> Job:
    suffix = Path(str(job.request["output"])).suffix
    name = f"{PART.format(number)}{suffix}"
    folder = out.join(PARTS).join(f"{job.key}-{seconds:g}")
    return replace(
        job,
        key=cache_key("stretch/1", job=job.key, stretch=list(edge)),
        request=part_row(job.request, edge, name, is_first=number == 0),
        output=str(folder.join(name)),
        seconds=min(edge[1], job.seconds) - edge[0],
        part_of=job.key,
        replaces=None,
    )


def part_row(row: Mapping[str, Any], stretch: tuple[float, float], output: str, *, is_first: bool) -> dict[str, Any]:
    """As `service.stretches.part_of`, of a request's row, in which files may be addresses."""
    render = dict(row.get("render", {}))
    encode = {**render.get("encode", {}), "audio_codec": "none"}
    encode.pop("fragment_s", None)
    render |= {"stretch": list(stretch), "encode": encode}
    if not is_first:
        render.pop("motion", None)
        render.pop("cues", None)
    return {**row, "output": output, "render": render}


def _is_there(part: Job, history: History, store: Store) -> bool:
    return history.is_completed(part.key) and store.stat(Address.of(part.output)) is not None


def sweep_parts(store: Store, out: Address, history: History) -> int:
    """Remove parts of videos that are done; returns how many. Those of others are kept for the next run.

    Raises:
        StorageError
    """
    count = 0
    for address, _ in list(store.list(out.join(PARTS), deep=True)):
        key = address.parent.name.partition("-")[0]
        if len(key) == 64 and history.is_completed(key):
            store.delete(address)
            count += 1
    if out.is_local:
        _remove_empty(out.join(PARTS).path)
    return count


def _remove_empty(folder: Path) -> None:
    for inner in [*folder.glob("*"), folder]:
        try:
            inner.rmdir()
        except OSError:  # something is in it, or it is gone
            continue
