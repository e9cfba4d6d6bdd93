"""What tests of the fleet share: rows of small real videos, and a program for children that know the model of tests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from talkinghead.files import cache_key
from talkinghead.fleet.drive import Progress, Summary, drive
from talkinghead.fleet.engines.base import Engine
from talkinghead.fleet.engines.here import Here
from talkinghead.fleet.engines.pool import Pool
from talkinghead.fleet.job import Job
from talkinghead.fleet.ledger import Entry, read_entries
from talkinghead.fleet.opening import Ledger, open_ledger
from talkinghead.fleet.schedule import TimeLimits
from talkinghead.registry import FAMILIES
from talkinghead.storage.address import Address
from talkinghead.storage.store import open_store
from tests.conftest import ROOT
from tests.stripes import FACTS
from tests.synthetic_media import make_picture, make_sound

CHILD = (sys.executable, "-m", "tests.fleet.fleets", "child")
"""A child of the pool with the model of tests in it."""
DRIVER = (sys.executable, "-m", "tests.fleet.fleets", "driver")
"""A run with two children over `FOLDER/jobs.json`, where FOLDER is the argument."""


def make_jobs(folder: Path, rows: int, *, faces: int = 2, seconds: float = 0.2, **options: Any) -> list[Job]:
    """Rows of small videos into `folder/out`, each with a sound of its own level.

    Args:
        options: of the model; a callable gets the number of the row.
    """
    pictures = [make_picture(folder / f"face{number}.png", index=number) for number in range(faces)]
    sound = make_sound(folder / "sound.wav", seconds)
    jobs = []
    for row in range(1, rows + 1):
        family = {name: value(row) if callable(value) else value for name, value in options.items()}
        face = pictures[row % faces]
        request = {
            "source": str(face),
            "speech": {"path": str(sound)},
            "output": f"{row}.mkv",
            "model": "stripes",
            "load": {"family": family},
            "render": {"encode": {"codec": "h264", "crf": 0}},
        }
        key = cache_key("test", request=request, row=row)
        jobs.append(Job(key, row, request, str(folder / "out" / f"{row}.mkv"), f"stripes{family}", face.name, seconds))
    return jobs


def engine_of(ledger: Ledger, folder: Path, workers: int) -> Engine:
    """An engine with the model of tests; the scratch disk is `folder/scratch`."""
    options = ledger.worker_options(scratch=str(folder / "scratch"), threads=1)
    if workers == 1:
        return Here(options)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return Pool(options, inherited=ledger.lease.inherited, program=CHILD)


def run_fleet(
    jobs: Sequence[Job],
    folder: Path,
    *,
    workers: int = 1,
    limits: TimeLimits | None = None,
    told: list[Progress] | None = None,
    retry: bool = False,
    **settings: Any,
) -> Summary:
    """A run over jobs, as the command makes it."""
    with open_ledger(folder / "out") as ledger:
        plan = ledger.plan(jobs, retry=retry)
        assert not plan.refused
        engine = engine_of(ledger, folder, workers)
        tell = told.append if told is not None else (lambda _: None)
        limits = limits or TimeLimits(pause_s=0.01, elsewhere_s=0.01)
        return drive(plan.todo, engine, ledger, workers, tell=tell, limits=limits, **settings)


def entries(folder: Path) -> list[Entry]:
    """All that the ledger says."""
    out = Address.of(folder / "out")
    return list(read_entries(open_store(out), out))


def events(folder: Path, key: str) -> list[str]:
    """What the ledger says of a job, in time."""
    found = [entry for entry in entries(folder) if entry.key == key]
    return [entry.event for entry in sorted(found, key=lambda entry: entry.t)]


if __name__ == "__main__":
    FAMILIES[FACTS.name] = FACTS  # type: ignore[index]
    if sys.argv[1] == "driver":
        where = Path(sys.argv[2])
        run_fleet([Job.from_dict(row) for row in json.loads((where / "jobs.json").read_text())], where, workers=2)
    else:
        from talkinghead.fleet.engines.child import main

        main()
