"""Which worker does which job next, and what becomes of a job that ended badly. No I/O, no clock: the caller says when.

Jobs that show one face are a group, longest first. A worker stays with its group while anything of it waits, then takes
the largest group that nobody has, with the model that it has loaded if there is one. Only when every group has a worker
do workers share one. Jobs that come back do not return to their group: they wait in a line of their own. Those that
were lost with their worker go to whoever asks next; those that failed go to another worker, whose last job went well: a
machine on which everything fails asks most often.

Every call takes O(log n) of the number of jobs, and a job takes a few bytes beside itself.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from talkinghead.fleet.job import Job, Outcome

LOOKED_AT = 8
"""How many jobs that came back are looked at for one that fits the worker that asks."""
INNOCENT = 0.05
"""How many jobs of a table may be put aside, as expectation, though their workers died of something else."""
AWAY = 8
"""So often a job may fail because of the place, which is no fault of its own: with the pauses that is half an hour."""
MORE_KILLS = 3
"""How many more deaths than asked for are allowed to a job where workers die of other things."""
BALANCE = 0.5
"""Of the largest share of waiting work: a worker that may keep its model takes a group down to this."""


@dataclass(frozen=True)
class TimeLimits:
    """How long one attempt may take, and when a job that came back is tried again."""

    start_s: float = 600.0
    """Allowed beside the work itself while the worker loads a model for the first time."""
    warm_s: float = 120.0
    """Allowed beside the work itself with a model that the worker has used already."""
    pace: float = 120.0
    """Seconds of work allowed per second of video while nothing is measured."""
    patience: float = 8.0
    """How many times as long as jobs of the same model took until now, per second of video."""
    silent_s: float = 900.0
    """Without a sign of life for so long, a worker is given up."""
    pause_s: float = 5.0
    """A job that failed waits so long before it is tried again; four times as long after each further failure."""
    away_s: float = 30.0
    """A job that failed because of the place (storage that does not answer, a full disk) waits so long; twice as long
    after each further time, at most `away_most_s`."""
    away_most_s: float = 600.0
    elsewhere_s: float = 300.0
    """So long a job that failed waits for another worker before the one that it failed on may have it again."""

    def allowed_s(self, seconds: float, pace: float | None, warm: bool) -> float:
        """How long an attempt may take.

        Args:
            seconds: length of the video.
            pace: seconds of work per second of video that were measured; None before the first.
            warm: whether the worker has used this model before.
        """
        per_second = self.pace if pace is None else self.patience * pace
        return (self.warm_s if warm else self.start_s) + seconds * per_second


@dataclass(frozen=True)
class Fate:
    """What became of a job when an attempt ended."""

    job: Job
    attempt: int
    """Which attempt that was, from 1."""
    end: Literal["done", "again", "aside"]
    also_aside: tuple[Job, ...] = ()
    """Jobs that are put aside with it, because they need it."""


@dataclass(eq=False)
class _Group:
    """Jobs of one face, longest first."""

    number: int
    head: str
    order: array[int]
    """Numbers of jobs."""
    waiting_s: float
    taken: int = 0
    owners: int = 0
    stamp: int = 0
    """Of its one valid entry in each ranking."""

    @property
    def waits(self) -> bool:
        return self.taken < len(self.order)

    @property
    def rank(self) -> tuple[bool, float]:
        """Less is better: a group without a worker first, then what a further worker would have to do."""
        return self.owners > 0, -self.waiting_s / (self.owners + 1)


@dataclass(eq=False)
class _Worker:
    group: _Group | None = None
    job: int | None = None
    """Number of the job that it does."""
    attempt: int = 0
    head: str = ""
    heads: set[str] = field(default_factory=set)
    """Models that it has used."""
    given_s: float = 0.0
    until_s: float = inf
    sign_s: float = 0.0
    """When it was last heard of."""
    run: int = 0
    """Counts what it was given; old deadlines are known by it."""
    state: Literal["new", "good", "bad"] = "new"
    """How its last job went; those that the place failed do not count."""
    failures: int = 0
    """In a row, without a job done in between."""
    done_elsewhere: int = 0
    """How many jobs were done by all when its row of failures began."""


class _Ranking:
    """Groups by rank, which gets worse while they are worked on: an entry is corrected when it comes to the top."""

    def __init__(self) -> None:
        self._heap: list[tuple[bool, float, int, int]] = []

    def push(self, group: _Group) -> None:
        heapq.heappush(self._heap, (*group.rank, group.number, group.stamp))

    def best(self, groups: list[_Group]) -> _Group | None:
        """The group of least rank; it stays."""
        heap = self._heap
        while heap:
            owned, share, number, stamp = heap[0]
            group = groups[number]
            if not group.waits or group.stamp != stamp:
                heapq.heappop(heap)
            elif group.rank > (owned, share):
                heapq.heapreplace(heap, (*group.rank, number, stamp))
            else:
                return group
        return None


@dataclass
class _Pace:
    """What jobs of one model took."""

    seconds: float = 0.0
    """Of video."""
    work_s: float = 0.0

    @property
    def value(self) -> float | None:
        return self.work_s / self.seconds if self.seconds > 0 else None

    def add(self, seconds: float, work_s: float) -> None:
        self.seconds += seconds
        self.work_s += work_s


class Scheduler:
    """Hands out jobs, and keeps what became of them. Times are seconds of any clock that never goes back.

    A job that fails `tries` times, or once in a way that will stay, or whose worker dies `kills` times, is put aside,
    and so is what needs it. Failures that blame the place are counted apart: while storage is away, jobs wait for it
    and keep their tries. Where machines are taken away, deaths prove little: those of jobs that another worker made
    afterwards are counted, and as many deaths of one job are asked for as make it unlikely that a good row of this
    table is put aside; at most three more.

    A key in `after` that no job has counts as done already.
    """

    def __init__(
        self, jobs: Iterable[Job], *, tries: int = 3, kills: int = 2, limits: TimeLimits | None = None
    ) -> None:
        """Take a table.

        Raises:
            ValueError: two jobs have one key, or jobs need each other in a circle.
        """
        self.limits = limits or TimeLimits()
        self._tries, self._kills = tries, kills
        self._jobs = list(jobs)
        count = len(self._jobs)
        self._failed, self._killed = bytearray(count), bytearray(count)
        self._ended = bytearray(count)
        self._away: dict[int, int] = {}
        """How often jobs that are not settled failed because of the place."""
        self._failed_on: dict[int, str] = {}
        self._workers: dict[str, _Worker] = {}
        self._states: Counter[str] = Counter()
        """How many workers there are of each state."""
        self._paces: dict[str, _Pace] = defaultdict(_Pace)
        self._all_pace = _Pace()
        self._unfinished_s: dict[str, float] = defaultdict(float)
        self._again: list[tuple[float, int]] = []
        self._deadlines: list[tuple[float, str, int]] = []
        self._given_s = 0.0
        self.running = self.done = self.aside = 0
        """How many jobs are worked on, done, and put aside."""
        self._attempts = self._innocent = 0
        self._needs: dict[int, int] = {}
        self._needed_by: dict[int, list[int]] = {}
        self._find_needs()
        self._groups: list[_Group] = []
        self._ranking = _Ranking()
        self._rankings: dict[str, _Ranking] = defaultdict(_Ranking)
        self._make_groups()

    def _find_needs(self) -> None:
        numbers = {job.key: number for number, job in enumerate(self._jobs)}
        if len(numbers) != len(self._jobs):
            raise ValueError("two jobs have one key; rows that ask for the same are one job")
        for number, job in enumerate(self._jobs):
            needed = {numbers[key] for key in job.after if key in numbers}
            if needed:
                self._needs[number] = len(needed)
            for other in needed:
                self._needed_by.setdefault(other, []).append(number)
        free = [number for number in self._needed_by if number not in self._needs]
        left = dict(self._needs)
        while free:
            for number in self._needed_by.get(free.pop(), ()):
                left[number] -= 1
                if not left[number]:
                    del left[number]
                    free.append(number)
        if left:
            rows = ", ".join(str(self._jobs[number].row) for number in sorted(left)[:5])
            raise ValueError(f"jobs wait for each other in a circle: rows {rows}")

    def _make_groups(self) -> None:
        members: dict[tuple[str, str], array[int]] = {}
        for number, job in enumerate(self._jobs):
            self._unfinished_s[job.head] += job.seconds
            if number not in self._needs:
                members.setdefault((job.head, job.face), array("Q")).append(number)
        for (head, _), numbers in members.items():
            order = array("Q", sorted(numbers, key=lambda number: (-self._jobs[number].seconds, number)))
            waiting_s = sum(self._jobs[number].seconds for number in order)
            self._groups.append(_Group(len(self._groups), head, order, waiting_s))
            self._rank(self._groups[-1])

    @property
    def open(self) -> int:
        """How many jobs are to be given yet."""
        return len(self._jobs) - self.running - self.done - self.aside

    @property
    def is_over(self) -> bool:
        """Whether every job is done or put aside."""
        return self.done + self.aside == len(self._jobs)

    @property
    def workers(self) -> int:
        """How many workers have asked for work, and have not died."""
        return len(self._workers)

    def attempt(self, worker: str) -> int:
        """Which attempt at its job a worker makes, from 1; 0 where it has none."""
        known = self._workers.get(worker)
        return known.attempt if known and known.job is not None else 0

    def next(self, worker: str, now: float) -> Job | None:
        """Give a free worker its next job.

        Returns:
            None where nothing waits that it can do now: ask again after an event, or a few seconds later.
        Raises:
            ValueError: the worker has a job already.
        """
        known = self._workers.get(worker)
        if known is None:
            known = self._workers[worker] = _Worker()
            self._states["new"] += 1
        if known.job is not None:
            raise ValueError(f"worker {worker} has a job already")
        number = self._come_back(worker, now)
        if number is None:
            number = self._from_group(known)
        if number is None:
            return None
        job = self._jobs[number]
        known.job, known.attempt = number, self._before(number) + 1
        allowed_s = self.limits.allowed_s(job.seconds, self._paces[job.head].value, job.head in known.heads)
        known.given_s = known.sign_s = now
        # a job that was lost before may be one that needs longer
        known.until_s = now + allowed_s * (1 + self._killed[number])
        known.head = job.head
        known.heads.add(job.head)
        known.run += 1
        heapq.heappush(self._deadlines, (self._due(known), worker, known.run))
        self.running += 1
        self._given_s += now
        return job

    def _come_back(self, worker: str, now: float) -> int | None:
        """A job that waits for another attempt, or for which what it needs is there now."""
        seen: list[tuple[float, int]] = []
        fit: list[tuple[float, int]] = []
        head = self._workers[worker].head
        while self._again and self._again[0][0] <= now and len(seen) < LOOKED_AT:
            entry = heapq.heappop(self._again)
            seen.append(entry)
            if self._may_take(worker, entry[1]) or now >= entry[0] + self.limits.elsewhere_s:
                fit.append(entry)
                if self._jobs[entry[1]].head == head:
                    break
        found = None
        if fit:  # the last one has the model that is loaded, if any has
            found = fit[-1] if self._jobs[fit[-1][1]].head == head else fit[0]
            seen.remove(found)
        for entry in seen:
            heapq.heappush(self._again, entry)
        return None if found is None else found[1]

    def _may_take(self, worker: str, number: int) -> bool:
        """Whether a worker is fit for a job that came back: any for one that did not fail."""
        failed_on = self._failed_on.get(number)
        if failed_on is None or len(self._workers) == 1:
            return True
        state = self._workers[worker].state
        others_may_be_better = self._states["good"] or self._states["new"] - (state == "new")
        return failed_on != worker and (state == "good" or not others_may_be_better)

    def _become(self, worker: _Worker, state: Literal["good", "bad"]) -> None:
        self._states[worker.state] -= 1
        self._states[state] += 1
        worker.state = state

    def _from_group(self, worker: _Worker) -> int | None:
        group = worker.group
        if group is None or not group.waits:
            self._leave(worker)
            group = self._choose(worker.head)
            if group is None:
                return None
            group.owners += 1
            worker.group = group
        number = group.order[group.taken]
        group.taken += 1
        group.waiting_s -= self._jobs[number].seconds
        return number

    def _choose(self, head: str) -> _Group | None:
        best = self._ranking.best(self._groups)
        mine = self._rankings[head].best(self._groups) if head else None
        if best is None or mine is None:
            return best
        if mine.owners and (not best.owners or mine.rank[1] > BALANCE * best.rank[1]):
            return best
        return mine

    def _leave(self, worker: _Worker) -> None:
        if worker.group is not None:
            worker.group.owners -= 1
            if worker.group.waits:
                self._rank(worker.group)
            worker.group = None

    def _rank(self, group: _Group) -> None:
        group.stamp += 1
        self._ranking.push(group)
        self._rankings[group.head].push(group)

    def ended(self, worker: str, outcome: Outcome, now: float) -> Fate:
        """Note what a worker says of its job; it is free then.

        Raises:
            ValueError: it has no job, or another one.
        """
        known, number = self._running(worker)
        job = self._jobs[number]
        if outcome.key != job.key:
            raise ValueError(f"worker {worker} ended job {outcome.key}, but it was given {job.key}")
        attempt, work_s = known.attempt, now - known.given_s
        self._free(known)
        if outcome.end == "done":
            known.failures = 0
            self._become(known, "good")
            self._paces[job.head].add(job.seconds, work_s)
            self._all_pace.add(job.seconds, work_s)
            return self._finish(number, attempt, now)
        if outcome.blames == "place":
            pause_s = self._count_away(number)
        else:
            if not known.failures:
                known.done_elsewhere = self.done
            known.failures += 1
            self._become(known, "bad")
            self._failed[number] += 1
            pause_s = self.limits.pause_s * 4.0 ** (self._failed[number] - 1)
        if outcome.will_stay or self._failed[number] >= self._tries or self._away.get(number, 0) >= AWAY:
            return self._put_aside(number, attempt)
        if outcome.blames == "row":
            self._failed_on[number] = worker
        heapq.heappush(self._again, (now + pause_s, number))
        return Fate(job, attempt, "again")

    def _count_away(self, number: int) -> float:
        """Count a failure that is the place's; gives how long its job waits."""
        before = self._away.get(number, 0)
        self._away[number] = before + 1
        return min(self.limits.away_most_s, self.limits.away_s * 2.0**before)

    def _before(self, number: int) -> int:
        """How many attempts at a job have ended."""
        return self._failed[number] + self._killed[number] + self._away.get(number, 0)

    def died(self, worker: str, now: float) -> Fate | None:
        """Note that a worker is gone, or was stopped.

        Returns:
            What became of its job; None where it had none.
        """
        known = self._workers.get(worker)
        if known is None:
            return None
        fate = None
        number = known.job
        if number is not None:
            attempt = known.attempt
            self._free(known)
            self._killed[number] += 1
            if self._killed[number] >= self._deaths_allowed():
                fate = self._put_aside(number, attempt)
            else:
                heapq.heappush(self._again, (now, number))
                fate = Fate(self._jobs[number], attempt, "again")
        self._leave(known)
        self._states[known.state] -= 1
        del self._workers[worker]
        return fate

    def _deaths_allowed(self) -> int:
        """How many workers a job may lose, by how many died of something else until now."""
        rate = self._innocent / max(1, self._attempts)
        kills = self._kills
        while kills < self._kills + MORE_KILLS and len(self._jobs) * rate**kills > INNOCENT:
            kills += 1
        return kills

    def progressed(self, worker: str, now: float) -> None:
        """Note a sign of life of a worker."""
        known = self._workers.get(worker)
        if known is not None:
            known.sign_s = max(known.sign_s, now)

    def overdue(self, now: float) -> list[str]:
        """Workers whose time is over, or who were silent for too long: stop them, then call `died`.

        A worker is named once for each job.
        """
        found = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, worker, run = heapq.heappop(self._deadlines)
            known = self._workers.get(worker)
            if known is None or known.job is None or known.run != run:
                continue
            if self._due(known) <= now:
                found.append(worker)
            else:
                heapq.heappush(self._deadlines, (self._due(known), worker, run))
        return found

    def is_spoiled(self, worker: str) -> bool:
        """Whether a free worker failed as often in a row as a job may, while others made theirs.

        Its process or its machine is at fault rather than the jobs: start another one in its place.
        """
        known = self._workers.get(worker)
        return bool(known and known.failures >= self._tries and self.done > known.done_elsewhere)

    def left_s(self, now: float) -> float | None:
        """How long until all is done, if all goes on as it went; None while nothing is done yet."""
        general = self._all_pace.value
        if general is None:
            return None if not self.is_over else 0.0
        work_s = 0.0
        for head, seconds in self._unfinished_s.items():
            pace = self._paces[head].value
            work_s += seconds * (general if pace is None else pace)
        work_s -= self.running * now - self._given_s
        hands = min(len(self._workers), self.open + self.running)
        return max(0.0, work_s) / max(1, hands)

    def _due(self, worker: _Worker) -> float:
        return min(worker.until_s, worker.sign_s + self.limits.silent_s)

    def _running(self, worker: str) -> tuple[_Worker, int]:
        known = self._workers.get(worker)
        if known is None or known.job is None:
            raise ValueError(f"worker {worker} has no job")
        return known, known.job

    def _free(self, worker: _Worker) -> None:
        worker.job = None
        self.running -= 1
        self._given_s -= worker.given_s
        self._attempts += 1

    def _finish(self, number: int, attempt: int, now: float) -> Fate:
        self._settle(number)
        self.done += 1
        self._innocent += self._killed[number]
        for other in self._needed_by.pop(number, ()):
            self._needs[other] -= 1
            if not self._needs[other] and not self._ended[other]:
                heapq.heappush(self._again, (now, other))
        return Fate(self._jobs[number], attempt, "done")

    def _put_aside(self, number: int, attempt: int) -> Fate:
        also = []
        reached = [number]
        while reached:
            for other in self._needed_by.pop(reached.pop(), ()):
                if not self._ended[other]:
                    self._settle(other)
                    self.aside += 1
                    also.append(self._jobs[other])
                    reached.append(other)
        self._settle(number)
        self.aside += 1
        return Fate(self._jobs[number], attempt, "aside", tuple(also))

    def _settle(self, number: int) -> None:
        job = self._jobs[number]
        self._ended[number] = True
        self._failed_on.pop(number, None)
        self._away.pop(number, None)
        self._unfinished_s[job.head] = max(0.0, self._unfinished_s[job.head] - job.seconds)
