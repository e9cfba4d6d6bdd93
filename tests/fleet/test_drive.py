"""Tables through real workers: in this process, and in processes that die, hang and are killed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import OutputError
from talkinghead.files import cache_key
from talkinghead.fleet.drive import Progress
from talkinghead.fleet.opening import open_ledger
from talkinghead.fleet.worker import Worker
from talkinghead.media import open_frames
from talkinghead.registry import FAMILIES
from tests.fleet.fleets import entries, events, make_jobs, run_fleet
from tests.stripes import FACTS


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
