"""What a batch needs around the loop: a table from anywhere, stores by place, an engine, files in their places."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from talkinghead.engine.cache import default_folder
from talkinghead.files import PendingOutput, file_sha256
from talkinghead.fleet.engines.base import Engine
from talkinghead.fleet.lease import Lease
from talkinghead.fleet.ledger import FOLDER
from talkinghead.fleet.options import GIGABYTE, FleetOptions
from talkinghead.fleet.table import Table, open_table
from talkinghead.fleet.threads import threads_each
from talkinghead.fleet.worker import WorkerOptions
from talkinghead.storage.address import Address
from talkinghead.storage.store import open_store

RESULTS = f"{FOLDER}/results.csv"
"""Below OUT: the table of results where no other place was named."""


@dataclass(frozen=True)
class Given:
    """A table of jobs where it can be read."""

    table: Table
    name: str
    """What it is called."""
    base: Address
    """Folder that relative names in it belong to."""
    sha256: str


@contextmanager
def given_table(jobs: str) -> Iterator[Given]:
    """A table, for a block that reads it.

    Args:
        jobs: path or address.
    Raises:
        InputError: no such table. StorageError: it cannot be fetched.
    """
    address = Address.of(jobs)
    if address.is_local:
        table = open_table(address.path)
        yield Given(table, jobs, address.parent, file_sha256(address.path))
        return
    with TemporaryDirectory(prefix="talkinghead-") as folder:
        path = Path(folder) / "jobs"
        open_store(address.parent).fetch(address, path)
        yield Given(open_table(path, address.name), address.shown, address.parent, file_sha256(path))


def memory_folder(options: FleetOptions) -> Path:
    """Where hashes of files are remembered."""
    return options.cache or default_folder()


def worker_values(options: FleetOptions, *, overwrite: bool) -> dict[str, object]:
    """Fields of `WorkerOptions` that follow from the options of a batch."""
    return {
        "overwrite": overwrite,
        "scratch": str(options.scratch) if options.scratch is not None else None,
        "scratch_bytes": round(options.scratch_gb * GIGABYTE),
        "cache": str(options.cache) if options.cache is not None else None,
        "threads": _threads(options),
    }


def _threads(options: FleetOptions) -> int | None:
    """Cores that each worker uses; None: all of them."""
    if options.cpus is not None:
        return max(1, int(options.cpus))
    return threads_each(options.workers) if options.workers > 1 else None


def open_engine(options: FleetOptions, worker: WorkerOptions, lease: Lease) -> Engine:
    """What runs the workers.

    Raises:
        BackendError: it cannot start. MissingDependency: Ray is not installed.
    """
    if options.engine == "ray":
        from talkinghead.fleet.engines.cluster import ClusterOptions, RayEngine

        cpus = options.cpus or 1.0
        return RayEngine(worker, ClusterOptions(options.address, cpus, options.gpus, workers=options.workers))
    if options.workers == 1:
        from talkinghead.fleet.engines.here import Here

        return Here(worker)
    from talkinghead.fleet.engines.pool import Pool

    return Pool(worker, inherited=lease.inherited)


def deliver(path: Path, address: Address, mark: str) -> None:
    """Give a finished file its place.

    Args:
        mark: a name that no other has.
    Raises:
        StorageError, UnwritableOutput
    """
    if not address.is_local:
        open_store(address.parent).publish(path, address, mark=mark)
        return
    with PendingOutput(address.path) as pending:
        with pending.writing():
            shutil.copyfile(path, pending.temporary)
        pending.commit()
