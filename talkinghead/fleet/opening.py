"""A run: the right to fill OUT, what the ledger told when it began, and what its driver adds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from talkinghead.errors import StorageError
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.lease import Lease, take
from talkinghead.fleet.ledger import (
    COMPLETED,
    Entry,
    EventName,
    History,
    Intent,
    Journal,
    driver_name,
    entries_of,
    now,
    open_journal,
    read_entries,
    was_published,
)
from talkinghead.fleet.worker import WorkerOptions
from talkinghead.storage.address import Address
from talkinghead.storage.store import Stat, Store, StoreOptions, open_store

FLUSH_S = 1.0
"""How often what the driver says is made readable, where nothing can be appended."""


@dataclass
class Plan:
    """What a run would do with a table."""

    todo: list[Job] = field(default_factory=list)
    """In the table's order."""
    completed: list[Job] = field(default_factory=list)
    """Done in an earlier run."""
    gone: list[Job] = field(default_factory=list)
    """Those of them whose videos are not there any more."""
    altered: list[Job] = field(default_factory=list)
    """Those of them in whose place something else lies, by its size, of which the ledger does not speak."""
    found: list[tuple[Job, Intent]] = field(default_factory=list)
    """Done in an earlier run that ended before it could say so."""
    aside: list[tuple[Job, Entry]] = field(default_factory=list)
    """Failed too often in an earlier run, and why."""
    refused: list[Job] = field(default_factory=list)
    """Something lies under the name of their output of which the ledger does not speak."""


def plan_jobs(
    jobs: Iterable[Job],
    store: Store,
    out: Address,
    *,
    history: History | None = None,
    runs: Iterable[str] = (),
    overwrite: bool = False,
    retry: bool = False,
) -> Plan:
    """Find out what is to be done; reads only.

    Args:
        history: what the ledger comes to; default: it is read.
        overwrite: what lies under the name of an output may be replaced, whosever it is.
        retry: what was put aside is tried again, and videos that are gone are made again; with `overwrite` also those
            in whose place something else lies.
    Raises:
        StorageError: the ledger or the outputs cannot be read.
    """
    history = history or History(read_entries(store, out, runs))
    plan = Plan()
    faces: dict[str, int] = {}
    """By face the row that shows it; 0: several do."""
    for job in jobs:
        if faces.setdefault(job.face, job.row) != job.row:
            faces[job.face] = 0
        if history.is_completed(job.key):
            plan.completed.append(job)
        elif found := next((intent for intent in history.intents(job.key) if was_published(store, intent)), None):
            plan.found.append((job, found))
        elif (entry := history.aside(job.key)) is not None and not retry:
            plan.aside.append((job, entry))
        else:
            plan.todo.append(job)
    _leave_out_what_waits(plan)
    there = _stats([*plan.completed, *plan.todo], store)
    others = history.completed > len(plan.completed)
    """Whether the ledger speaks of jobs that this table does not have: rows as they were before, those of others."""
    asked = {job.output for job in plan.completed} if others else set()
    if not overwrite:
        asked |= {job.output for job in plan.todo if job.output in there}
    latest = _latest(read_entries(store, out, runs) if asked else (), asked)
    replaced = {job.key for job in plan.completed if latest.get(job.output, job.key) != job.key}
    _look_at_completed(plan, replaced, there, store, history)
    again = replaced | {job.key for job in (*plan.gone, *(plan.altered if overwrite else ())) if retry}
    if again:
        plan.todo = sorted([*plan.todo, *(job for job in plan.completed if job.key in again)], key=lambda job: job.row)
        for some in (plan.completed, plan.gone, plan.altered):
            some[:] = [job for job in some if job.key not in again]
    if not overwrite:
        plan.refused = [job for job in plan.todo if job.output in there and job.output not in latest]
    refused = {job.key for job in plan.refused}
    plan.todo = [
        replace(
            job,
            replaces=there[job.output].version if job.output in there else None,
            shares_face=faces[job.face] == 0,
        )
        for job in plan.todo
        if job.key not in refused
    ]
    return plan


def _latest(entries: Iterable[Entry], outputs: Collection[str]) -> dict[str, str]:
    """Outputs of which a ledger speaks, and the key of the job that each was completed of last; empty for none."""
    found: dict[str, tuple[float, str]] = {}
    for entry in entries:
        output = str(entry.more.get("output"))
        if output in outputs:
            completed = (entry.t, entry.key) if entry.event in COMPLETED else (0.0, "")
            found[output] = max(completed, found.get(output, completed))
    return {output: key for output, (_, key) in found.items()}


def _look_at_completed(
    plan: Plan, replaced: Collection[str], there: Mapping[str, Stat], store: Store, history: History
) -> None:
    """Find jobs whose videos are gone, or are others. A listing may be late, so where it says so each is asked for."""
    for job in plan.completed:
        size = history.size(job.key)
        found = there.get(job.output)
        if job.key in replaced or (found is not None and size in (None, found.size)):
            continue
        found = store.stat(Address.of(job.output))
        if found is None:
            plan.gone.append(job)
        elif size not in (None, found.size):
            plan.altered.append(job)


def _leave_out_what_waits(plan: Plan) -> None:
    """Put aside what needs something that was put aside in an earlier run. Jobs stand after those that they need."""
    if not plan.aside:
        return
    stopped = {job.key: entry for job, entry in plan.aside}
    todo, plan.todo = plan.todo, []
    for job in todo:
        entry = next((stopped[key] for key in job.after if key in stopped), None)
        if entry is None:
            plan.todo.append(job)
        else:
            stopped[job.key] = entry
            plan.aside.append((job, entry))


def _stats(jobs: Iterable[Job], store: Store) -> dict[str, Stat]:
    """Which outputs of jobs are there already. By listing, which may be late: workers look again."""
    wanted: dict[Address, dict[str, str]] = {}
    for job in jobs:
        address = Address.of(job.output)
        wanted.setdefault(address.parent, {})[str(address)] = job.output
    found = {}
    for folder, outputs in wanted.items():
        for address, stat in store.list(folder):
            if (output := outputs.get(str(address))) is not None:
                found[output] = stat
    return found


class Ledger:
    """The ledger of OUT, in the hands of the one driver that fills it. Made by `open_ledger`."""

    def __init__(self, store: Store, out: Address, lease: Lease, journal: Journal, history: History) -> None:
        self.store, self.out, self.lease, self.history = store, out, lease, history
        self._journal = journal
        self._flushed_s = time.monotonic()

    @property
    def run(self) -> str:
        """Name of the run."""
        return self.lease.run

    def plan(self, jobs: Iterable[Job], *, overwrite: bool = False, retry: bool = False) -> Plan:
        """As `plan_jobs`; what is found done is noted."""
        plan = plan_jobs(
            jobs, self.store, self.out, history=self.history, runs=self.lease.runs, overwrite=overwrite, retry=retry
        )
        for job, intent in plan.found:
            self.note("resumed", job, intent.worker, intent.attempt, **intent.facts)
        return plan

    def tidy(self) -> None:
        """Remove what workers left half uploaded. No worker of this run may be alive.

        Raises:
            StorageError
        """
        self.store.sweep(older_than_s=0.0)

    def worker_options(self, **values: Any) -> WorkerOptions:
        """Options for the workers of this run.

        Args:
            values: fields of `WorkerOptions` beside those that the run decides.
        """
        runs = (*self.lease.runs, self.run)
        return WorkerOptions(out=str(self.out), lease=self.lease.token, runs=runs, **values)

    def note(
        self,
        event: EventName,
        job: Job | None = None,
        worker: str = "",
        attempt: int = 0,
        *,
        certain: bool = False,
        **more: Any,
    ) -> None:
        """Say something about a job, or about the run. While storage is away, it is said later.

        Args:
            certain: as for `Journal.add`.
            more: what belongs to the event.
        Raises:
            UnwritableOutput, StorageError: it is not said.
        """
        key, row = (job.key, job.row) if job is not None else ("", 0)
        entry = Entry(event, key, row, worker, attempt, more, now())
        try:
            self._journal.add(entry, certain=certain or event in ("run", "aside"))
        except StorageError as error:
            if event == "run" or not error.retryable:
                raise
            self._journal.add(entry)  # storage is away: it is said when it is back
        self.history.add(entry)

    def settle(self, job: Job, worker: str, attempt: int) -> Outcome | None:
        """What a worker has made of a job, though it is gone or failed.

        Returns:
            None where it has not done it, or where storage is away: whoever is given the job next looks again.
        """
        try:
            return self._settled(job, worker, attempt)
        except StorageError as error:
            if not error.retryable:
                raise
            return None

    def _settled(self, job: Job, worker: str, attempt: int) -> Outcome | None:
        found = None
        for entry in entries_of(self.store, self.out, worker):
            if entry.key != job.key:
                continue
            if entry.event in COMPLETED:
                more = entry.more
                return Outcome(
                    job.key, "done", size=more.get("size"), sha256=more.get("sha256"), report=more.get("report", {})
                )
            if entry.event == "intent":
                found = Intent.of(entry)
        if found is None or not was_published(self.store, found):
            return None
        self.note("resumed", job, worker, attempt, **found.facts)
        return Outcome(job.key, "done", size=found.size, sha256=found.sha256, report=found.report)

    def keep(self) -> None:
        """Called again and again while the run lasts.

        Raises:
            Superseded: another run has taken over. StorageError: the ledger cannot be written, for good.
        """
        try:
            self.lease.keep()
            if time.monotonic() - self._flushed_s > FLUSH_S:
                self.flush()
        except StorageError as error:
            if not error.retryable:
                raise
            # Storage is away, for everybody: nobody else takes over meanwhile, and it may come back.

    def flush(self) -> None:
        """Have all that was said readable for others."""
        self._journal.flush()
        self._flushed_s = time.monotonic()


@contextmanager
def open_ledger(
    out: Address | str,
    *,
    store: Store | None = None,
    options: StoreOptions | None = None,
    facts: Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Ledger]:
    """Begin a run that fills OUT, for a block that drives it.

    Args:
        store: of OUT; default: opened by its address, with `options`.
        facts: of the run, for the ledger: versions, hash of the table, options.
    Raises:
        OutputError: another run fills it; says which. UnwritableOutput, StorageError: nothing can be written there.
    """
    out = Address.of(out)
    store = store or open_store(out, options=options)
    lease = take(store, out, clock=clock)
    try:
        history = History(read_entries(store, out, lease.runs))
        store.sweep(older_than_s=0.0)  # whoever wrote them has ended, or finds its lease taken
        journal = open_journal(store, out, driver_name(lease.run))
        try:
            ledger = Ledger(store, out, lease, journal, history)
            ledger.note("run", **(facts or {}))
            yield ledger
        finally:
            journal.close()
    finally:
        lease.release()
