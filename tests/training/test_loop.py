"""The loop: it learns, goes on to the same bits after it was killed, and stops where it should."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from talkinghead.errors import OutOfMemory, WrongCheckpoint
from talkinghead.training.loop import BEST, STATE, Diverged, Plan, Progress, seconds_per_step
from talkinghead.training.prefetch import prefetched
from talkinghead.training.state import read_state, write_state
from tests.conftest import ROOT
from tests.training.tiny import SPEED, TinyTask, tiny_loop, tiny_network


class Killed(BaseException):
    """What a signal does."""


def test_it_learns_and_tells(tmp_path: Path) -> None:
    told: list[Progress] = []
    outcome = tiny_loop(tmp_path, 60, tell=told.append).run()
    assert outcome.stopped == "done"
    assert [progress.step for progress in told] == list(range(1, 61))
    assert told[-1].loss < 0.3 * told[0].loss
    assert told[-1].left_s == 0
    assert outcome.best is not None
    assert read_state(tmp_path / BEST).facts["score"] == outcome.best.score


def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = tiny_loop(tmp_path / "whole")
    whole.run()

    def killing(moment: int) -> object:
        def tell(progress: Progress) -> None:
            if progress.step == moment:
                raise Killed

        return tell

    for moment in (7, 23, 31):
        loop = tiny_loop(tmp_path / "parts", tell=killing(moment), keep_every_s=-1.0 if moment != 23 else 1e9)
        loop.resume()
        with pytest.raises(Killed):
            loop.run()
    last = tiny_loop(tmp_path / "parts")
    assert last.resume()
    assert 0 < last.step < 31
    outcome = last.run()
    for name in (STATE, BEST):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [each.step for each in outcome.history] == [10, 20, 30, 40]


def test_asked_to_stop_it_can_go_on(tmp_path: Path) -> None:
    asked = iter([False, False, True])
    outcome = tiny_loop(tmp_path, stop=lambda: next(asked)).run()
    assert (outcome.step, outcome.stopped) == (3, "asked")
    again = tiny_loop(tmp_path)
    assert again.resume()
    assert again.step == 3


def test_a_loss_that_is_no_number_stops_it_and_the_last_good_state_stays(tmp_path: Path) -> None:
    loop = tiny_loop(tmp_path, task=TinyTask(spoil_at=6), keep_every_s=-1.0)
    with pytest.raises(Diverged, match=r"nan at step 7"):
        loop.run()
    state = read_state(tmp_path / STATE)
    assert state.facts["step"] == 6
    assert all(torch.isfinite(value).all() for value in state.network.values())


def test_nothing_gets_better(tmp_path: Path) -> None:
    task = TinyTask()
    task.score = 1.0
    outcome = tiny_loop(tmp_path, 400, task=task, plan={"patience": 3}).run()
    assert (outcome.stopped, outcome.step) == ("early", 230)


def test_no_room_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError

    task = TinyTask()
    monkeypatch.setattr(task, "losses", full)
    with pytest.raises(OutOfMemory, match="batch of 8"):
        tiny_loop(tmp_path, task=task).run()


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    loop = tiny_loop(tmp_path, 5)
    loop.run()
    state = read_state(tmp_path / STATE)
    with pytest.raises(WrongCheckpoint):
        read_state(Path(__file__))
    write_state(tmp_path / "again", state)
    assert (tmp_path / "again").read_bytes() == (tmp_path / STATE).read_bytes()


def test_the_rate_rises_and_falls() -> None:
    plan = Plan(1000, batch=2, rate=0.1, seed=0, evaluate_every=10, warm_up=100, last_rate=0.02)
    rates = [plan.rate_at(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.001)
    assert int(np.argmax(rates)) in (99, 100)
    assert rates[100] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.002)
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))


def test_batches_come_in_order_and_made_ahead() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return 10 * step

    coming = prefetched(make, range(3, 9), threads=2, ahead=2)
    assert next(coming) == 30
    coming.close()
    assert max(made) <= 5
    assert list(prefetched(make, range(4))) == [0, 10, 20, 30]


def test_measuring_a_step_changes_nothing() -> None:
    network = tiny_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert seconds_per_step(TinyTask(), network, Plan(1, 8, 1e-2, 0, 1), SPEED) > 0
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
def test_memory_is_kept() -> None:
    code = "from talkinghead.training.speed import keep_memory; assert keep_memory()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


RANKS = """
import sys
from pathlib import Path
import torch
from talkinghead.training.loop import Loop
from talkinghead.training.ranks import joined_ranks
from tests.training.tiny import SPEED, tiny_loop
torch.set_num_threads(1)
folder = Path(sys.argv[1])
with joined_ranks(SPEED.device) as ranks:
    losses = []
    tiny_loop(folder, 30, ranks=ranks, tell=lambda p: losses.append(p.loss)).run()
    if ranks.leads:
        (folder / "losses").write_text(" ".join(map(repr, losses)))
"""


@pytest.mark.thorough
def test_two_processes_learn_as_one(tmp_path: Path) -> None:
    """Also its normalisation: that of the whole batch."""
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    curves = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        subprocess.run([*command, str(script), str(folder)], cwd=ROOT, check=True, timeout=300,
                       env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)  # fmt: skip
        curves.append([float(value) for value in (folder / "losses").read_text().split()])
    assert curves[1] == pytest.approx(curves[0], rel=2e-3)
    ends = [read_state(tmp_path / str(count) / STATE).network for count in (1, 2)]
    for name, value in ends[0].items():
        assert torch.allclose(ends[1][name], value, atol=2e-3), name
