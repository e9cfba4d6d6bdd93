"""Tables through real workers: in this process, and in processes that die, hang and are killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.errors import BackendError, OutputError, StorageError
from talkinghead.files import cache_key, unwritable
from talkinghead.fleet.drive import Progress, drive
from talkinghead.fleet.engines.base import Event, Ready
from talkinghead.fleet.engines.pool import Pool
from talkinghead.fleet.inputs import missing_here
from talkinghead.fleet.opening import open_ledger
from talkinghead.fleet.worker import Worker
from talkinghead.measure.memory import usage
from talkinghead.media import open_frames
from talkinghead.registry import FAMILIES
from talkinghead.storage.address import Address
from talkinghead.storage.local import LocalStore
from tests.conftest import ROOT
from tests.fleet.fleets import DRIVER, entries, events, make_jobs, run_fleet
from tests.stripes import FACTS, StripesHead


@pytest.fixture(autouse=True)
def _stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]


def outputs(folder: Path) -> list[str]:
    """What a user sees in OUT."""
    return sorted(path.name for path in (folder / "out").iterdir() if path.name != ".talkinghead")


def test_rows_become_videos_once(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 4)
    told: list[Progress] = []
    summary = run_fleet(jobs, tmp_path, told=told)
    assert (summary.done, summary.failed, summary.lost, summary.attempts) == (4, 0, 0, 4)
    assert outputs(tmp_path) == ["1.mkv", "2.mkv", "3.mkv", "4.mkv"]
    assert events(tmp_path, jobs[0].key) == ["given", "intent", "done"]
    assert [one.outcome.key for one in told if one.outcome is not None and one.outcome.end == "done"]
    assert list((tmp_path / "scratch").iterdir()) == []
    assert run_fleet(jobs, tmp_path).attempts == 0
    assert {entry.event for entry in entries(tmp_path)} == {"run", "given", "intent", "done", "ended"}


@pytest.mark.thorough
def test_a_pool_makes_what_one_process_makes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, workers in ((one, 1), (other, 2)):
        folder.mkdir()
        assert run_fleet(make_jobs(folder, 6), folder, workers=workers).done == 6
    assert outputs(one) == outputs(other)
    for name in outputs(one):
        pairs = zip(open_frames(one / "out" / name).read(), open_frames(other / "out" / name).read(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert len({entry.worker for entry in entries(other) if entry.event == "done"}) == 2
    assert list((other / "scratch").iterdir()) == []


def test_a_row_that_fails_is_put_aside_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 3, fail_at=lambda row: 1 if row == 2 else None)
    told: list[Progress] = []
    summary = run_fleet(jobs, tmp_path, told=told)
    assert (summary.done, summary.failed) == (2, 1)
    assert [(one.job.row, one.kind, one.attempts) for one in summary.failures] == [(2, "RuntimeError", 3)]
    assert "the paint is empty" in summary.failures[0].error
    assert events(tmp_path, jobs[1].key) == ["given", "failed"] * 3 + ["aside"]
    assert outputs(tmp_path) == ["1.mkv", "3.mkv"]
    assert run_fleet(jobs, tmp_path).attempts == 0
    assert run_fleet(jobs, tmp_path, retry=True).attempts == 3
    assert max(entry.attempt for entry in entries(tmp_path)) == 6


def test_what_needs_a_row_that_was_put_aside_waits_with_it(tmp_path: Path) -> None:
    first, second, third = make_jobs(tmp_path, 3, fail_at=lambda row: 1 if row == 1 else None)
    jobs = [first, replace(second, after=(first.key,)), replace(third, after=(second.key,))]
    assert [one.job.row for one in run_fleet(jobs, tmp_path).failures] == [1, 2, 3]
    with open_ledger(tmp_path / "out") as ledger:
        plan = ledger.plan(jobs)
        assert ([job.row for job, _ in plan.aside], plan.todo) == ([1, 2, 3], [])
        assert [job.row for job in ledger.plan(jobs, retry=True).todo] == [1, 2, 3]


def test_what_lies_under_the_name_of_an_output_is_kept_unless_the_ledger_knows_it(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "2.mkv").write_bytes(b"mine")
    with open_ledger(tmp_path / "out") as ledger:
        plan = ledger.plan(jobs)
        assert ([job.row for job in plan.todo], [job.row for job in plan.refused]) == ([1], [2])
        assert not ledger.plan(jobs, overwrite=True).refused
        with Worker("someone", ledger.worker_options(scratch=str(tmp_path / "scratch"))) as worker:
            late = worker.run(jobs[1], 1)  # as if it had come after the plan was made
    assert (late.end, late.kind, late.blames) == ("failed", "OutputExists", "row")
    assert (tmp_path / "out" / "2.mkv").read_bytes() == b"mine"
    run_fleet(jobs[:1], tmp_path)
    changed = replace(jobs[0], key=cache_key("test", other=1))
    assert run_fleet([changed], tmp_path).done == 1
    assert run_fleet([changed], tmp_path).attempts == 0
    assert run_fleet(jobs[:1], tmp_path).done == 1  # changed back: its video was replaced meanwhile
    assert run_fleet(jobs[:1], tmp_path).attempts == 0


def test_a_row_that_was_changed_back_is_made_again_though_its_first_video_was_removed(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 2)
    run_fleet(jobs, tmp_path)
    (tmp_path / "out" / "1.mkv").unlink()
    changed = replace(jobs[0], key=cache_key("test", other=1))
    assert run_fleet([changed, jobs[1]], tmp_path).done == 1
    assert run_fleet(jobs, tmp_path).done == 1
    assert [event for event in events(tmp_path, jobs[0].key) if event == "done"] == ["done"] * 2


def test_a_video_that_somebody_has_changed_is_told_and_kept(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 2)
    run_fleet(jobs, tmp_path)
    path = tmp_path / "out" / "2.mkv"
    path.write_bytes(b"with subtitles")
    with open_ledger(tmp_path / "out") as ledger:
        for retry in (False, True):
            plan = ledger.plan(jobs, retry=retry)
            assert ([job.row for job in plan.altered], plan.gone, plan.todo) == ([2], [], [])
        again = ledger.plan(jobs, retry=True, overwrite=True)
        assert ([job.row for job in again.todo], again.altered) == ([2], [])
        assert again.todo[0].replaces is not None
    path.unlink()
    with open_ledger(tmp_path / "out") as ledger:
        plan = ledger.plan(jobs)
        assert ([job.row for job in plan.gone], plan.altered) == ([2], [])


def test_what_no_other_try_would_mend_is_tried_once(tmp_path: Path) -> None:
    """A damaged file, one that is gone, an option that does not fit: of the row, wherever it is made."""
    damaged, missing, wrong, good = make_jobs(tmp_path, 4)
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG and no more")
    damaged = replace(damaged, request={**damaged.request, "source": str(tmp_path / "damaged.png")})
    missing = replace(missing, request={**missing.request, "source": str(tmp_path / "missing.png")})
    wrong = replace(wrong, request={**wrong.request, "load": {"family": {"no_option": 1}}})
    summary = run_fleet([damaged, missing, wrong, good], tmp_path)
    assert sorted((one.job.row, one.kind, one.attempts) for one in summary.failures) == [
        (1, "UnreadableMedia", 1), (2, "MediaNotFound", 1), (3, "OptionError", 1),
    ]  # fmt: skip
    assert (summary.done, summary.attempts) == (1, 4)


def test_a_file_that_one_machine_alone_misses_is_tried_elsewhere() -> None:
    request = {"source": str(Path(__file__)), "speech": {"text": "/nowhere"}, "output": "a.mp4"}
    assert not missing_here(request)
    assert missing_here({**request, "source": str(Path(__file__).with_name("nobody.png"))})


def test_a_second_driver_is_told_who_fills_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkinghead.fleet.lease.PATIENCE_S", 0.0)
    message = rf"process {os.getpid()} on .*, since 20"
    with open_ledger(tmp_path), pytest.raises(OutputError, match=message), open_ledger(tmp_path):
        pass
    with open_ledger(tmp_path) as ledger:
        assert ledger.history.completed == 0


def test_a_worker_whose_run_was_taken_over_names_no_video(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 1)
    with open_ledger(tmp_path / "out") as ledger:
        options = ledger.worker_options(scratch=str(tmp_path / "scratch"))
    with open_ledger(tmp_path / "out"), Worker("late", options) as worker:
        outcome = worker.run(jobs[0], 1)
    assert (outcome.kind, outcome.blames) == ("Superseded", "place")
    assert outputs(tmp_path) == []


def test_a_run_that_is_taken_over_during_an_upload_names_no_video(tmp_path: Path, monkeypatch: Any) -> None:
    jobs, plain = make_jobs(tmp_path, 1), LocalStore.partial
    with open_ledger(tmp_path / "out") as ledger:
        options = ledger.worker_options(scratch=str(tmp_path / "scratch"))
    with ExitStack() as stack:

        def partial(self: LocalStore, address: Address, mark: str) -> Address:  # where an upload begins
            stack.enter_context(open_ledger(tmp_path / "out"))
            return plain(self, address, mark)

        monkeypatch.setattr(LocalStore, "partial", partial)
        with Worker("late", options) as worker:
            outcome = worker.run(jobs[0], 1)
    assert (outcome.kind, outcome.blames) == ("Superseded", "place")
    assert outputs(tmp_path) == []


def test_a_full_disk_ends_the_run_and_blames_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = make_jobs(tmp_path, 4)
    plain, published = LocalStore.publish, []

    def publish(self: LocalStore, source: Path, address: Address, *, mark: str, check: Any = None) -> None:
        published.append(address)
        if len(published) > 1:
            raise unwritable(address.path, OSError(errno.ENOSPC, "No space left on device"))
        plain(self, source, address, mark=mark, check=check)

    monkeypatch.setattr(LocalStore, "publish", publish)
    with pytest.raises(OutputError, match="No room left"):
        run_fleet(jobs, tmp_path)
    monkeypatch.undo()
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]
    assert len(outputs(tmp_path)) == 1
    assert "aside" not in {entry.event for entry in entries(tmp_path)}
    assert run_fleet(jobs, tmp_path).done == 3


def test_a_video_that_was_published_though_an_error_came_is_done(tmp_path: Path, monkeypatch: Any) -> None:
    plain = LocalStore.publish

    def publish(self: LocalStore, source: Path, address: Address, *, mark: str, check: Any = None) -> None:
        plain(self, source, address, mark=mark, check=check)
        raise StorageError("the answer was lost")

    monkeypatch.setattr(LocalStore, "publish", publish)
    assert run_fleet(make_jobs(tmp_path, 2), tmp_path).attempts == 2
    assert sorted(entry.event for entry in entries(tmp_path) if entry.row == 1) == [
        "failed", "given", "intent", "resumed",
    ]  # fmt: skip


def test_motion_and_mouth_shapes_lie_beside_the_video(tmp_path: Path) -> None:
    (job,) = make_jobs(tmp_path, 1, seconds=0.4)
    render = {**job.request["render"], "cues": "1.json"}
    run_fleet([replace(job, request={**job.request, "render": render})], tmp_path)
    assert outputs(tmp_path) == ["1.json", "1.mkv"]


def test_a_worker_keeps_faces_and_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Any] = []
    plain = StripesHead.prepare
    monkeypatch.setattr(StripesHead, "prepare", lambda *a, **k: (prepared.append(a[1:3]), plain(*a, **k))[1])
    jobs = [*make_jobs(tmp_path, 9), replace(make_jobs(tmp_path, 10)[9], face="alone")]
    run_fleet(jobs, tmp_path)
    assert len(prepared) == 3
    assert [options.speech is not None for _, options in prepared].count(True) == 1  # for what is said, and not kept
    stages = [set(entry.more["report"]["stages"]) for entry in entries(tmp_path) if entry.event == "done"]
    assert sum("load" in names for names in stages) == 1


# Processes that end ---------------------------------------------------------------------------------------------------


class Killer(Pool):
    """A pool of which workers are killed at some moments."""

    def __init__(self, *args: Any, moments: Callable[[int], bool], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._moments, self.killed = moments, 0
        self._count = 0

    def events(self, timeout_s: float) -> Sequence[Event]:
        found = super().events(timeout_s)
        for event in found:
            self._count += 1
            if not isinstance(event, Ready) and self._moments(self._count) and event.worker in self.processes:
                os.kill(self.processes[event.worker], signal.SIGKILL)
                self.killed += 1
        return found


@pytest.mark.thorough
def test_workers_that_are_killed_lose_and_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = make_jobs(tmp_path, 16, faces=3, delay_s=0.02)
    engines = []

    def make(options: Any, **settings: Any) -> Killer:
        engines.append(Killer(options, moments=lambda count: count % 5 == 0, **settings))
        return engines[-1]

    monkeypatch.setattr("tests.fleet.fleets.Pool", make)
    summary = run_fleet(jobs, tmp_path, workers=2, kills=10)
    assert (summary.done, summary.failed) == (16, 0)
    assert summary.lost >= 3
    completed = [entry.key for entry in entries(tmp_path) if entry.event in ("done", "resumed")]
    assert sorted(completed) == sorted(job.key for job in jobs)
    assert len(outputs(tmp_path)) == 16
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.thorough
def test_a_row_that_hangs_is_stopped_and_put_aside(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 3, delay_s=lambda row: 1000.0 if row == 1 else 0.0)
    later_s = [0.0]

    class Told(list[Progress]):
        def append(self, one: Progress) -> None:
            later_s[0] += 10_000 if one.done == 2 else 0  # the others are done: time may fly

    clock = lambda: time.monotonic() + later_s[0]  # noqa: E731
    summary = run_fleet(jobs, tmp_path, workers=2, told=Told(), clock=clock)
    assert (summary.done, [one.job.row for one in summary.failures]) == (2, [1])
    assert "took too long" in summary.failures[0].error
    assert events(tmp_path, jobs[0].key)[-3:] == ["given", "lost", "aside"]


@pytest.mark.thorough
def test_a_driver_that_is_killed_leaves_no_children_and_another_goes_on(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 12, delay_s=0.05)
    (tmp_path / "jobs.json").write_text(json.dumps([job.to_dict() for job in jobs]))
    for done in (1, 4):
        with subprocess.Popen([*DRIVER, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}) as driver:
            wait_for(lambda least=done: len(list(tmp_path.glob("out/*.mkv"))) >= least)  # type: ignore[misc]
            driver.kill()
    assert len(outputs(tmp_path)) < 12
    assert run_fleet(jobs, tmp_path, workers=2).done >= 1  # begins as soon as the children have noticed
    completed = [entry.key for entry in entries(tmp_path) if entry.event in ("done", "resumed")]
    assert sorted(completed) == sorted(job.key for job in jobs)
    assert list((tmp_path / "out" / ".talkinghead" / "partial").iterdir()) == []
    assert list((tmp_path / "scratch").iterdir()) == []


def wait_for(there: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + 60
    while not there():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.thorough
def test_workers_that_cannot_begin_end_the_run_and_say_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with open_ledger(tmp_path / "out") as ledger:
        engine = Pool(ledger.worker_options(scratch=str(tmp_path / "file" / "scratch")))
        with pytest.raises(BackendError, match=r"Workers die .*status 1; it said: .*cannot be a folder"):
            drive(make_jobs(tmp_path, 2), engine, ledger, 2)
        assert engine.processes == {}
    assert outputs(tmp_path) == []


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 150, faces=25)
    sizes: dict[int, int] = {}

    class Watching(list[Progress]):
        def append(self, one: Progress) -> None:
            sizes[one.done] = usage().memory_bytes

    run_fleet(jobs, tmp_path, told=Watching())
    assert sizes[150] - sizes[70] < 6_000_000
