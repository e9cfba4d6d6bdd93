"""A fleet of made-up machines on a made-up clock, driven by the real loop: what happens at a million rows.

    figures = simulate(World(nodes=1000, rows=1_000_000), folder)

The scheduler, the loop and the ledger are those of a real run; workers are numbers: they need time, fail, hang and die
as the `World` says. Each writes its ledger as a real one does, so that reading it again can be timed as well.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from talkinghead.fleet.drive import drive
from talkinghead.fleet.engines.base import Died, Ended, Event, Progressed, Ready
from talkinghead.fleet.engines.cluster import ASK_EVERY_S, ASKED_PER_S
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.ledger import LEDGER, Entry, EventName, History, Intent, read_entries
from talkinghead.fleet.opening import open_ledger
from talkinghead.fleet.schedule import TimeLimits
from talkinghead.measure.memory import usage
from talkinghead.storage.address import Address
from talkinghead.storage.store import open_store

_SHA = hashlib.sha256(b"made up").hexdigest()


@dataclass(frozen=True)
class World:
    """How many machines there are, what they have to do, and what goes wrong. Times in seconds."""

    nodes: int = 1000
    """Machines; each has room for one worker."""
    rows: int = 1_000_000
    faces: int = 20_000
    """Some have many rows, most have few."""
    heads: int = 4
    """Models."""
    video_s: float = 45.0
    """Median length of a video; the lengths vary, a few are twenty times as long."""
    pace: float = 0.5
    """Work per second of video."""
    begin_s: float = 20.0
    """Until a worker is there."""
    load_s: float = 15.0
    """To load a model that the worker does not have."""
    prepare_s: float = 8.0
    """To prepare a face that the worker does not have."""
    heads_kept: int = 2
    faces_kept: int = 16
    life_s: float = 6 * 3600.0
    """Mean time until a machine is taken away."""
    again_s: float = 180.0
    """Until another one is there in its place."""
    sick: float = 0.003
    """Of the machines: every row fails there at once."""
    slow: float = 0.01
    """Of the machines: they take eight times as long."""
    bad: float = 1e-3
    """Of the rows: they fail wherever they run."""
    deadly: float = 2e-5
    """Of the rows: they kill any worker."""
    hangs: float = 1e-5
    """Of the attempts: they never end."""
    flaky: float = 2e-3
    """Of the attempts: they fail, and would not the next time."""
    outage: tuple[float, float] | None = (7200.0, 600.0)
    """When storage cannot be read, and for how long: every attempt that begins then fails, after its own retries."""
    retries_s: float = 60.0
    """How long a worker tries to read from storage before the attempt fails."""
    seed: int = 0


@dataclass
class Figures:
    """What a run came to."""

    hours: float = 0.0
    """On the made-up clock."""
    ideal_hours: float = 0.0
    """If all machines did nothing but the work itself, and nothing went wrong."""
    done: int = 0
    aside: int = 0
    bad: int = 0
    """Rows that fail or kill wherever they run: these should be put aside,"""
    wronged: int = 0
    """and these were, though nothing is wrong with them."""
    attempts: int = 0
    lost: int = 0
    """Workers that died, or were stopped."""
    loads: int = 0
    prepares: int = 0
    """How often a model was loaded, and a face was prepared."""
    driver_us_per_row: float = 0.0
    """Time of the driver's processor: scheduler, loop, ledger; without the made-up world."""
    driver_mb: float = 0.0
    """Memory of the driver's process at the end, over what it was before the table."""
    ledger_mb: float = 0.0
    read_again_s: float = 0.0
    """To read the whole ledger, as the next run does."""
    half_hours: float = 0.0
    """When half of all rows were done; shows how long the tail is."""
    last_hours: float = 0.0
    """From when 99 of 100 rows were done to the end."""


@dataclass(eq=False)
class _Hand:
    """A worker on its machine."""

    name: str
    node: int
    heads: list[str] = field(default_factory=list)
    faces: list[str] = field(default_factory=list)
    job: Job | None = None
    attempt: int = 0
    began_s: float = 0.0
    ends_s: float = 0.0
    run: int = 0
    said: bytearray = field(default_factory=bytearray)
    """Its ledger."""


class MadeUp:
    """An engine whose workers are numbers. See `engines.base.Engine`; `clock` is its time."""

    name = "made up"

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.now = world, 0.0
        self.spent_s = 0.0
        """Of the processor, in here."""
        self.loads = self.prepares = 0
        self._out = Address.of(folder)
        self._out.join(LEDGER).path.mkdir(parents=True, exist_ok=True)
        self._chance = random.Random(world.seed)
        self._free = list(range(world.nodes))
        self._factor = [self._speed() for _ in range(world.nodes)]
        self._hands: dict[str, _Hand] = {}
        self._queue: list[tuple[float, int, str, str, int]] = []
        self._count = 0
        self._every_s = max(ASK_EVERY_S, world.nodes / ASKED_PER_S)

    def clock(self) -> float:
        return self.now

    def start(self) -> str:
        began = time.process_time()
        self._count += 1
        name = f"w{self._count:07d}"
        node = self._free.pop() if self._free else -1
        self._hands[name] = _Hand(name, node)
        # a machine that was taken away comes back as another one
        wait_s = self.world.begin_s if node >= 0 else self.world.again_s
        self._at(self.now + wait_s, "ready", name)
        self._at(self.now + wait_s + self._chance.expovariate(1 / self.world.life_s), "taken", name)
        self.spent_s += time.process_time() - began
        return name

    def submit(self, worker: str, job: Job, attempt: int) -> None:
        began = time.process_time()
        hand = self._hands[worker]
        hand.job, hand.attempt, hand.began_s = job, attempt, self.now
        hand.run += 1
        takes_s, how = self._fate(hand, job)
        hand.ends_s = self.now + takes_s
        if how != "hangs":
            self._at(hand.ends_s, how, worker, hand.run)
            if takes_s > self._every_s:
                self._at(self.now + self._every_s, "tells", worker, hand.run)
        self.spent_s += time.process_time() - began

    def events(self, timeout_s: float) -> Sequence[Event]:
        began = time.process_time()
        until = self.now + timeout_s
        found: list[Event] = []
        while self._queue and self._queue[0][0] <= until and not (found and self._queue[0][0] > self.now):
            self.now, _, what, worker, run = heapq.heappop(self._queue)
            hand = self._hands.get(worker)
            if hand is not None and run in (0, hand.run):
                event = self._happens(hand, what)
                found += [event] if event is not None else []
        if not found:
            self.now = until
        self.spent_s += time.process_time() - began
        return found

    def stop(self, worker: str) -> None:
        self._end(self._hands[worker], is_there=True)

    def close(self) -> None:
        for hand in list(self._hands.values()):
            self._end(hand, is_there=True)

    def _at(self, when_s: float, what: str, worker: str, run: int = 0) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when_s, self._count, what, worker, run))

    def _speed(self) -> float:
        """How much longer than others a machine takes; 0 for one where everything fails."""
        kind = self._chance.random()
        if kind < self.world.sick:
            return 0.0
        return 8.0 if kind < self.world.sick + self.world.slow else self._chance.uniform(0.85, 1.2)

    def _fate(self, hand: _Hand, job: Job) -> tuple[float, str]:
        """How long an attempt takes, and how it ends."""
        world, chance = self.world, self._chance
        factor = self._factor[hand.node]
        if factor == 0.0:
            return 1.0, "fails"
        if world.outage is not None and world.outage[0] <= self.now < sum(world.outage):
            return world.retries_s, "waits"
        kind = job.request.get("kind")
        if kind is not None:
            return 5.0, "dies" if kind == "deadly" else "fails"
        if chance.random() < world.hangs:
            return 0.0, "hangs"
        takes_s = job.seconds * world.pace
        if job.head not in hand.heads:
            self.loads += 1
            takes_s += world.load_s
            hand.heads = [job.head, *hand.heads][: world.heads_kept]
        if job.face not in hand.faces:
            self.prepares += 1
            takes_s += world.prepare_s
            hand.faces = [job.face, *hand.faces][: world.faces_kept]
        return takes_s * factor, "fails" if chance.random() < world.flaky else "done"

    def _happens(self, hand: _Hand, what: str) -> Event | None:
        job = hand.job
        if what == "ready":
            if hand.node < 0:
                hand.node = self._another()
            return Ready(hand.name)
        if what in ("taken", "dies"):
            self._end(hand, is_there=what == "dies")
            return Died(hand.name, "its machine was taken away" if what == "taken" else "was killed")
        assert job is not None
        if what == "tells":
            if self.now + self._every_s < hand.ends_s:
                self._at(self.now + self._every_s, "tells", hand.name, hand.run)
            return Progressed(hand.name, job.key, (self.now - hand.began_s) / (hand.ends_s - hand.began_s))
        hand.job = None
        if what == "waits":
            return Ended(hand.name, Outcome(job.key, "failed", error="no answer", blames="place", may_pass=True))
        if what == "fails":
            return Ended(hand.name, Outcome(job.key, "failed", error="it did not go", kind="MadeUpError"))
        return Ended(hand.name, self._made(hand, job))

    def _made(self, hand: _Hand, job: Job) -> Outcome:
        """The entries of a worker that makes a video, and what it says of it."""
        report = {"num_frames": round(25 * job.seconds), "wall_s": round(self.now - hand.began_s, 3)}
        intent = Intent(job.key, job.row, hand.name, hand.attempt, job.output, 1_000_000, _SHA, None, report)
        events: tuple[EventName, EventName] = ("intent", "done")
        for event in events:
            entry = Entry(event, job.key, job.row, hand.name, hand.attempt, intent.facts, self.now)
            hand.said += entry.line() + b"\n"
        return Outcome(job.key, "done", size=1_000_000, sha256=_SHA, report=report)

    def _another(self) -> int:
        """A place whose machine was taken away, with another machine in it."""
        node = self._free.pop()
        self._factor[node] = self._speed()
        return node

    def _end(self, hand: _Hand, *, is_there: bool) -> None:
        if hand.said:
            (self._out.join(LEDGER).path / f"{hand.name}.jsonl").write_bytes(hand.said)
        del self._hands[hand.name]
        if hand.node >= 0:
            if is_there:
                self._free.append(hand.node)
            else:
                self._free.insert(0, hand.node)
                self._factor[hand.node] = self._speed()


def made_up_jobs(world: World, out: Path) -> Iterator[Job]:
    """Rows of a world, in the order of their faces, as tables come."""
    chance = random.Random(world.seed + 1)
    shares = list(accumulate(chance.paretovariate(1.1) for _ in range(world.faces)))
    row = 0
    for face, share in enumerate(shares):
        head = f"model{face % world.heads}"
        while row < round(world.rows * share / shares[-1]):
            row += 1
            seconds = min(20 * world.video_s, world.video_s * chance.lognormvariate(0.0, 0.7))
            kind = chance.random()
            what = "deadly" if kind < world.deadly else "bad" if kind < world.deadly + world.bad else None
            request = {"kind": what} if what else {}
            key = hashlib.sha256(f"{world.seed} {row}".encode()).hexdigest()
            yield Job(key, row, request, str(out / f"{row}.mp4"), head, f"{head} {face}", seconds)


def simulate(world: World, folder: Path, *, limits: TimeLimits | None = None) -> Figures:
    """Do the rows of a world; the ledger is written into `folder`, and read again at the end."""
    jobs = list(made_up_jobs(world, folder))
    figures = Figures(bad=sum(bool(job.request) for job in jobs))
    figures.ideal_hours = sum(job.seconds for job in jobs) * world.pace / world.nodes / 3600
    before = usage().memory_bytes
    engine = MadeUp(world, folder)
    told = _Told(len(jobs))
    with open_ledger(str(folder)) as ledger:
        began, spent = time.process_time(), engine.spent_s
        summary = drive(jobs, engine, ledger, world.nodes, tell=told, limits=limits, clock=engine.clock)
        driver_s = time.process_time() - began - (engine.spent_s - spent)
        wrong = sum(1 for job in jobs if not job.request and ledger.history.aside(job.key) is not None)
        figures.driver_mb = (usage().memory_bytes - before) / 2**20
    figures.hours = summary.elapsed_s / 3600
    figures.done, figures.aside, figures.wronged = summary.done, summary.failed, wrong
    figures.attempts, figures.lost = summary.attempts, summary.lost
    figures.loads, figures.prepares = engine.loads, engine.prepares
    figures.driver_us_per_row = driver_s / len(jobs) * 1e6
    figures.half_hours = told.half_s / 3600
    figures.last_hours = (summary.elapsed_s - told.last_s) / 3600
    out = Address.of(folder)
    figures.ledger_mb = sum(stat.size for _, stat in open_store(out).list(out.join(LEDGER))) / 2**20
    began = time.process_time()
    history = History(read_entries(open_store(out), out))
    figures.read_again_s = time.process_time() - began
    assert history.completed == summary.done
    return figures


class _Told:
    """When half of the rows, and 99 of 100, were done."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.half_s = self.last_s = 0.0

    def __call__(self, progress: Any) -> None:
        over = progress.done + progress.failed
        if not self.half_s and over >= self._rows / 2:
            self.half_s = progress.elapsed_s
        if not self.last_s and over >= 0.99 * self._rows:
            self.last_s = progress.elapsed_s
