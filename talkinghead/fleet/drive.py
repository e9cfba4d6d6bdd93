"""The one loop that moves a table through workers, whatever they are: give, listen, settle what was lost, tell."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from talkinghead.errors import BackendError, MediaNotFound, OutputError, TalkingHeadError
from talkinghead.fleet.engines.base import Ended, Engine, Event, Progressed, Ready
from talkinghead.fleet.inputs import missing_here
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.opening import Ledger
from talkinghead.fleet.schedule import Scheduler, TimeLimits

TRIES = 3
"""A row that failed so often is put aside."""
KILLS = 2
"""So is one that so many workers died of."""
STILLBORN = 4
"""So many workers in a row for each place may die before they have a job,"""
FRUITLESS = 20
"""and so many with their first one, before the run is given up."""
AWAY_S = 900.0
"""So long storage may be away before the run is given up."""
TELL_S = 0.25
"""How often progress is told between two ends."""
WAIT_S = 0.5
"""How long the loop waits for something to happen,"""
SHORT_WAIT_S = 0.1
"""and while workers are free and what is left waits for another attempt."""
FAILURES_TOLD = 1000
"""So many failures are told one by one; all of them stand in the ledger."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    rows: int
    """That this run is to do."""
    done: int
    failed: int
    """Put aside."""
    running: int
    workers: int
    lost: int
    """Workers that died, or were stopped because they took too long."""
    attempts: int
    video_s: float
    """Seconds of video that were made."""
    elapsed_s: float
    left_s: float | None
    """None while it cannot be told."""
    job: Job | None = None
    """Of which this tells that an attempt ended."""
    attempt: int = 0
    outcome: Outcome | None = None
    """How; None where its worker was lost."""
    worker: str = ""
    shares: float = 0.0
    """How much of the running jobs is done, in jobs."""

    @property
    def rate(self) -> float:
        """Seconds of video per second."""
        return self.video_s / self.elapsed_s if self.elapsed_s > 0 else 0.0


@dataclass(frozen=True)
class Failure:
    """A row that was put aside."""

    job: Job
    error: str
    kind: str
    attempts: int


@dataclass
class Summary:
    """What a run came to."""

    done: int = 0
    failures: list[Failure] = field(default_factory=list)
    """The first of them."""
    failed: int = 0
    attempts: int = 0
    lost: int = 0
    """Workers that died, or were stopped because they took too long."""
    video_s: float = 0.0
    elapsed_s: float = 0.0


def drive(
    jobs: Iterable[Job],
    engine: Engine,
    ledger: Ledger,
    workers: int,
    *,
    tell: Callable[[Progress], None] = lambda _: None,
    limits: TimeLimits | None = None,
    tries: int = TRIES,
    kills: int = KILLS,
    clock: Callable[[], float] = time.monotonic,
) -> Summary:
    """Do jobs, each once.

    Leaving, for whatever reason, ends the engine's workers.

    Args:
        jobs: `Ledger.plan(...).todo`.
        workers: how many work at the same time.
        tell: called at each end of an attempt, and a few times a second; must return quickly.
        clock: seconds that never go back.
    Raises:
        OutputError, StorageError: results or the ledger cannot be written any more. BackendError: no worker stays
        alive. What was done by then stays done.
    """
    loop = _Loop(list(jobs), engine, ledger, workers, tell, limits, tries, kills, clock)
    reason = "stopped"
    try:
        summary = loop.run()
        reason = "over"
        return summary
    finally:
        engine.close()
        if loop.summary.lost:
            with contextlib.suppress(TalkingHeadError):  # the next run removes it
                ledger.tidy()
        try:
            ledger.note("ended", reason=reason, done=loop.summary.done, failed=loop.summary.failed)
        except Exception:
            if reason == "over":
                raise


class _Loop:
    def __init__(
        self,
        jobs: list[Job],
        engine: Engine,
        ledger: Ledger,
        workers: int,
        tell: Callable[[Progress], None],
        limits: TimeLimits | None,
        tries: int,
        kills: int,
        clock: Callable[[], float],
    ) -> None:
        self._engine, self._ledger, self._tell, self._clock = engine, ledger, tell, clock
        self._scheduler = Scheduler(jobs, tries=tries, kills=kills, limits=limits)
        self._rows, self._workers = sum(job.part_of is None for job in jobs), max(1, workers)
        self._starting: set[str] = set()
        self._free: list[str] = []
        self._busy: dict[str, tuple[Job, int]] = {}
        self._shares: dict[str, float] = {}
        self._named: set[str] = set()
        """Workers of which the ledger knows for certain."""
        self._stillborn = self._fruitless = 0
        """Workers in a row that died before they had a job, and with their first one."""
        self._useful: set[str] = set()
        """Workers that have ended a job."""
        self._nowhere = 0
        """Attempts in a row that failed because of the place,"""
        self._nowhere_since_s = 0.0
        """and when that began."""
        self._started_s = clock()
        self._told_s = 0.0
        self.summary = Summary()

    def run(self) -> Summary:
        while not self._scheduler.is_over:
            self._ledger.keep()
            self._start_workers()
            self._give()
            for event in self._engine.events(SHORT_WAIT_S if self._free and self._scheduler.open else WAIT_S):
                self._handle(event)
            for worker in self._scheduler.overdue(self._clock()):
                self._engine.stop(worker)
                self._lost(worker, "took too long, and was stopped")
            self._tell_now_and_then()
        self.summary.elapsed_s = self._clock() - self._started_s
        self._tell(self._progress())
        return self.summary

    # Workers ----------------------------------------------------------------------------------------------------------

    def _start_workers(self) -> None:
        wanted = min(self._workers, self._scheduler.open + self._scheduler.running)
        while len(self._starting) + len(self._free) + len(self._busy) < wanted:
            self._starting.add(self._engine.start())

    def _give(self) -> None:
        waiting = []
        for worker in self._free:
            if self._scheduler.is_spoiled(worker):
                self._engine.stop(worker)
                self._scheduler.died(worker, self._clock())
                self._forget(worker)
                continue
            job = self._scheduler.next(worker, self._clock())
            if job is None:
                waiting.append(worker)
                continue
            # What the history tells of a row that was done, and is made again, is not kept.
            attempt = max(self._ledger.history.attempts(job.key) + 1, self._scheduler.attempt(worker))
            self._ledger.note("given", job, worker, attempt, certain=worker not in self._named)
            self._named.add(worker)
            self._busy[worker] = job, attempt
            self._engine.submit(worker, job, attempt)
            self.summary.attempts += 1
        self._free = waiting

    # Events -----------------------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        if isinstance(event, Ready):
            if event.worker in self._starting:
                self._starting.remove(event.worker)
                self._free.append(event.worker)
        elif isinstance(event, Progressed):
            if event.worker in self._busy and self._busy[event.worker][0].key == event.key:
                self._scheduler.progressed(event.worker, self._clock())
                self._shares[event.worker] = event.share
        elif isinstance(event, Ended):
            if event.worker in self._busy:
                self._useful.add(event.worker)
                self._stillborn = self._fruitless = 0
                self._ended(event.worker, event.outcome)
                self._free.append(event.worker)
        elif event.worker in self._starting or event.worker in self._free or event.worker in self._busy:
            self._lost(event.worker, event.reason)

    def _ended(self, worker: str, outcome: Outcome) -> None:
        job, attempt = self._busy.pop(worker)
        self._shares.pop(worker, None)
        if outcome.end == "failed" and outcome.blames == "place":  # it may have its name in spite of that
            outcome = self._ledger.settle(job, worker, attempt) or outcome
        if outcome.kind == MediaNotFound.__name__ and missing_here(job.request):
            outcome = replace(outcome, will_stay=True)  # not that worker's machine alone
        fate = self._scheduler.ended(worker, outcome, self._clock())
        if outcome.end == "done":
            self._done(job)
        else:
            self._look_at_place(outcome)
            if fate.end == "aside":
                self._aside(job, attempt, outcome, fate.also_aside)
        self._tell(self._progress(job, attempt, outcome, worker))

    def _lost(self, worker: str, reason: str) -> None:
        """A worker is gone: find out what became of its job."""
        self.summary.lost += 1
        given = self._busy.get(worker)
        if worker not in self._useful:
            self._fruitless += given is not None
            self._stillborn += given is None
        if worker in self._free:
            self._free.remove(worker)
        if given is None:
            self._scheduler.died(worker, self._clock())
            self._forget(worker)
            self._check_births(reason)
            return
        job, attempt = given
        outcome = self._ledger.settle(job, worker, attempt)
        if outcome is not None:
            self._ended(worker, outcome)
            self._scheduler.died(worker, self._clock())
            self._forget(worker)
            return
        del self._busy[worker]
        self._forget(worker)
        fate = self._scheduler.died(worker, self._clock())
        self._ledger.note("lost", job, worker, attempt, reason=reason)
        if fate is not None and fate.end == "aside":
            error = f"Each worker that did it was lost; the last one {reason}."
            self._aside(job, attempt, Outcome(job.key, "failed", error=error, kind="WorkerLost"), fate.also_aside)
        self._tell(self._progress(job, attempt, None, worker))
        self._check_births(reason)

    def _forget(self, worker: str) -> None:
        """Nothing comes of a worker any more."""
        self._starting.discard(worker)
        self._useful.discard(worker)
        self._named.discard(worker)
        self._shares.pop(worker, None)

    def _check_births(self, reason: str) -> None:
        """Give up where workers die faster than any of them ends a job.

        Raises:
            BackendError
        """
        if self._stillborn > STILLBORN * self._workers or self._fruitless > FRUITLESS * self._workers:
            raise BackendError(
                f"Workers die before they have ended any job; the last one {reason}.",
                remedy="one row by itself: talkinghead generate; fewer workers, with more memory for each",
            )

    def _look_at_place(self, outcome: Outcome) -> None:
        """Stop where nothing can be written any more: no row is to be put aside for that.

        Raises:
            OutputError
        """
        if outcome.blames != "place":
            self._nowhere = 0
            return
        if not self._nowhere:
            self._nowhere_since_s = self._clock()
        self._nowhere += 1
        # storage comes back by itself; a full disk does not
        patience_s = AWAY_S if outcome.may_pass else 0.0
        is_late = self._clock() - self._nowhere_since_s >= patience_s
        if self._nowhere >= max(TRIES, 2 * self._workers) and is_late:
            raise OutputError(
                f"Results cannot be kept any more: {outcome.error}",
                remedy="mend that, then the same command again: what is done stays done",
            )

    def _done(self, job: Job) -> None:
        self._nowhere = 0
        self.summary.done += job.part_of is None
        self.summary.video_s += 0.0 if job.parts else job.seconds

    def _aside(self, job: Job, attempt: int, outcome: Outcome, also: Iterable[Job]) -> None:
        """Note a row as failed, and those that need it."""
        if job.part_of is None:
            self._note_aside(job, attempt, outcome.error or "", outcome.kind or "", blames=outcome.blames)
        for other in also:
            if other.key == job.part_of:  # the row failed with its part
                self._note_aside(other, attempt, outcome.error or "", outcome.kind or "", blames=outcome.blames)
                continue
            self._note_aside(other, 0, f"It needs row {job.row}, which failed.", "NeedsOther", blames="place")

    def _note_aside(self, job: Job, attempt: int, error: str, kind: str, *, blames: str) -> None:
        self.summary.failed += 1
        if len(self.summary.failures) < FAILURES_TOLD:
            self.summary.failures.append(Failure(job, error, kind, attempt))
        if blames == "row":  # otherwise the next run tries it again without being asked
            self._ledger.note("aside", job, "", attempt, error=error, kind=kind)

    # Telling ----------------------------------------------------------------------------------------------------------

    def _progress(
        self, job: Job | None = None, attempt: int = 0, outcome: Outcome | None = None, worker: str = ""
    ) -> Progress:
        now_s = self._clock()
        self._told_s = now_s
        return Progress(
            rows=self._rows,
            done=self.summary.done,
            failed=self.summary.failed,
            running=self._scheduler.running,
            workers=len(self._free) + len(self._busy),
            lost=self.summary.lost,
            attempts=self.summary.attempts,
            video_s=self.summary.video_s,
            elapsed_s=now_s - self._started_s,
            left_s=self._scheduler.left_s(now_s),
            job=job,
            attempt=attempt,
            outcome=outcome,
            worker=worker,
            shares=sum(self._shares.values()),
        )

    def _tell_now_and_then(self) -> None:
        if self._clock() - self._told_s >= TELL_S:
            self._tell(self._progress())
