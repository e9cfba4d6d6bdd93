"""Whatever ends at whatever write: each row has its video, whole, and it was given its name once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkinghead.files import cache_key
from talkinghead.fleet.drive import drive
from talkinghead.fleet.job import Job
from talkinghead.fleet.ledger import read_entries
from talkinghead.fleet.opening import open_ledger
from talkinghead.fleet.schedule import TimeLimits
from talkinghead.fleet.worker import Worker
from talkinghead.registry import FAMILIES
from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL
from tests.fleet.model import Crash, Fate, LocalModel, Maker, ModelEngine, ModelStore, content
from tests.stripes import FACTS

LIMITS = TimeLimits(pause_s=0.0, elsewhere_s=0.0)


@pytest.fixture(autouse=True)
def _stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]


class World:
    """A table, a place for it, and time."""

    def __init__(self, folder: Path, kind: str, rows: int, crashes: list[int], first: Callable[[int], int]) -> None:
        self.fate, self.maker, self.first = Fate(crashes), Maker(), first
        self.folder = folder
        self.out = Address.of(folder / "out") if kind == "local" else Address.of("memory://bucket/out")
        self.store: Any = (LocalModel if kind == "local" else ModelStore)(self.out, self.fate)
        self.now_s = 1e9
        self.jobs = [self._job(row) for row in range(1, rows + 1)]

    def _job(self, row: int) -> Job:
        request = {"source": "a.png", "speech": {"path": "a.wav"}, "output": f"{row}.mp4", "model": "stripes"}
        output = str(self.out.join(f"{row}.mp4"))
        return Job(cache_key("test", row=row), row, request, output, "stripes", f"face{row % 2}", 1.0)

    def clock(self) -> float:
        return self.now_s

    def options(self) -> dict[str, Any]:
        return {"scratch": str(self.folder / "scratch")}

    def run(self, workers: int) -> bool:
        """One run of a driver; whether it came to its end."""
        self.now_s += 1000.0
        try:
            with open_ledger(self.out, store=self.store, clock=self.clock) as ledger:
                plan = ledger.plan(self.jobs)
                assert plan.refused == []
                assert plan.aside == []
                options = ledger.worker_options(**self.options())
                engine = ModelEngine(options, self.store, self.fate, self.maker, self.first)
                summary = drive(plan.todo, engine, ledger, workers, limits=LIMITS, kills=100)
                assert summary.failed == 0
                return True
        except Crash:
            return False
        finally:
            self.fate.dead.discard("driver")

    def check_whole(self) -> None:
        """What is there is whole, whatever happened."""
        for job in self.jobs:
            address = Address.of(job.output)
            if self.store.stat(address) is not None:
                assert self.store.read_bytes(address, 1000) == content(address.name)


@contextmanager
def torn_lines(fate: Fate) -> Iterator[None]:
    """Lines of ledgers in files end in the middle, too."""
    plain = os.write

    def write(descriptor: int, data: Any) -> int:
        if not bytes(data).lstrip().startswith(b'{"t"'):
            return plain(descriptor, data)
        fate.write()
        half = plain(descriptor, bytes(data)[: len(data) // 2])
        fate.write()
        rest = plain(descriptor, bytes(data)[half:])
        fate.write()
        return half + rest

    with mock.patch("talkinghead.fleet.ledger.os.write", write):
        yield


TABLES = given(
    kind=st.sampled_from(["objects", "local"]),
    rows=st.integers(1, 5),
    workers=st.integers(1, 3),
    bursts=st.lists(st.tuples(st.integers(0, 100), st.integers(1, 3)), max_size=8),
    order=st.integers(0, 2),
)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=10, deadline=None, suppress_health_check=SLOW)
@TABLES
def test_nothing_is_lost_and_nothing_is_done_twice(**table: Any) -> None:
    crash_and_resume(**table)


@pytest.mark.thorough
@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@TABLES
def test_nothing_is_lost_and_nothing_is_done_twice_in_many_ways(**table: Any) -> None:
    crash_and_resume(**table)


def crash_and_resume(kind: str, rows: int, workers: int, bursts: list[tuple[int, int]], order: int) -> None:
    """Run a table until it is done, with the crashes of a plan: (first write, how many)."""
    crashes = sorted({first + later for first, length in bursts for later in range(length)})
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name), kind, rows, crashes, lambda count: order % count)
        with torn_lines(world.fate):
            for _ in range(len(crashes) + 1):
                ended = world.run(workers)
                world.check_whole()
                if ended:
                    break
            assert ended
            world.fate._crashes.clear()
            made = world.maker.made.copy()
            assert world.run(workers)
        assert world.maker.made == made
        assert made.total() <= rows + len(crashes)
        for job in world.jobs:
            assert world.store.stat(Address.of(job.output)) is not None
            assert world.store.commits[str(Address.of(job.output))] == 1
        completed = [e.key for e in read_entries(world.store, world.out) if e.event in ("done", "resumed")]
        assert sorted(set(completed)) == sorted(job.key for job in world.jobs)
        assert list(world.store.list(world.out.join(PARTIAL))) == []


@pytest.mark.parametrize("kind", ["objects", "local"])
@pytest.mark.parametrize("taken_over", [False, True])
def test_a_worker_that_was_given_up_and_goes_on_names_nothing(kind: str, taken_over: bool, tmp_path: Path) -> None:
    """While it works, another one makes its job, in the same run or in the next one."""
    world = World(tmp_path, kind, 1, [], lambda _: 0)
    (job,) = world.jobs
    with open_ledger(world.out, store=world.store, clock=world.clock) as ledger:
        options = ledger.worker_options(**world.options())
        lost = Worker("lost", options, make=world.maker, store=world.store)

        def meanwhile(_: str) -> None:
            world.maker.meanwhile = lambda _: None
            if taken_over:
                ledger.lease.release()
                world.run(1)
            else:
                with Worker("other", options, make=world.maker, store=world.store) as other:
                    assert other.run(job, 2).end == "done"

        world.maker.meanwhile = meanwhile
        outcome = lost.run(job, 1)
        lost.close()
        if taken_over:
            assert (outcome.end, outcome.kind) == ("failed", "Superseded")
        else:
            assert outcome.end == "done"
            assert [e.event for e in read_entries(world.store, world.out) if e.worker == "lost"] == [
                "intent",
                "resumed",
            ]
    assert world.store.commits.total() == 1
