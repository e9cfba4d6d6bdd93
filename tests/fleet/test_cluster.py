"""Workers as actors: options, what is said of those that die, and an engine on a cluster of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from talkinghead.errors import BackendError, MissingDependency, OptionError
from talkinghead.fleet.engines import cluster
from talkinghead.fleet.engines.cluster import GONE_S, ClusterOptions, connect, reason_of
from tests.conftest import ROOT

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1, as the kernel writes them."""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cpus": 0}, "cpus is 0"),
        ({"gpus": -1}, "gpus is -1"),
        ({"gpus": 1.5}, "fractions up to 1"),
        ({"address": "ray://head:10001"}, "ray job submit"),
    ],
)
def test_what_a_worker_cannot_have_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        ClusterOptions(**options)


def test_threads_follow_from_cores() -> None:
    assert [ClusterOptions(cpus=cpus).threads_each for cpus in (0.5, 1, 4)] == [1, 1, 4]
    assert ClusterOptions(cpus=4, threads=2).threads_each == 2
    assert ClusterOptions(gpus=0.25).gpus == 0.25


def test_a_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(MissingDependency, match=r"'ray'.*not installed"):
        connect(ClusterOptions())


def test_what_is_said_of_a_death_is_short() -> None:
    whole = "The actor died.\n\tclass_name: Actor\nWorker exit detail: Killed by SIGKILL. Some common causes include: x"
    assert reason_of(RuntimeError(whole)) == "Killed by SIGKILL."
    wrapped = RuntimeError("a traceback of many lines")
    wrapped.cause = OSError("disk full")  # type: ignore[attr-defined]
    assert reason_of(wrapped) == "OSError: disk full"


def test_a_head_that_is_gone_ends_the_run_and_standing_still_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "LOOK_EVERY_S", 1e9)
    now = [0.0]
    context = SimpleNamespace(gcs_address="head:6379", get_node_id=lambda: "node")
    ray = SimpleNamespace(get_runtime_context=lambda: context)
    head = cluster._Head(ray, lambda: now[0])
    for now[0] in (10_000.0, 20_000.0):  # asleep in between
        head.check()
    check_for(head, now, int(GONE_S) - 3)
    with pytest.raises(BackendError, match=r"head:6379 does not answer(.|\n)*what is done stays done"):
        check_for(head, now, 5)
    assert head.is_gone
    head.close()


def check_for(head: cluster._Head, now: list[float], seconds: int) -> None:
    for _ in range(seconds):
        now[0] += 1.0
        head.check()


def program(folder: Path, *more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.fleet.on_ray", str(folder), *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )


@pytest.mark.thorough
def test_an_engine_on_a_cluster_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    out, said = program(tmp_path).communicate(timeout=300)
    assert said == "", "Ray is quiet"
    told = json.loads(out)
    assert set(told["listening"]) <= LOOPBACK
    assert told["listening"]
    report = told["done"]["report"]
    assert (report["omp"], report["threads"], report["attempt"]) == ("1", 1, 3)
    assert 0 < told["share"] <= 1
    assert told["gone"], "a worker that was stopped has ended"
    assert told["stop_s"] < cluster.END_S
    assert "exits" in told["died"]
    assert told["after"] == "done"
    assert not told["left"], "nothing of Ray stays behind"
    assert told["unborn"] == "FileNotFoundError: no such scratch folder"


@pytest.mark.thorough
def test_workers_end_with_their_driver(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    driver = program(tmp_path, "hold")
    assert driver.stdout is not None
    said = json.loads(driver.stdout.readline())
    worker = said["pid"]
    os.kill(worker, 0)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    until = time.monotonic() + 30
    while Path(f"/proc/{worker}/exe").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    shutil.rmtree(said["folder"], ignore_errors=True)  # a driver that is killed cannot


@pytest.mark.thorough
def test_each_row_is_made_once_whatever_dies(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("torch")
    pytest.importorskip("skimage")
    figures = tmp_path / "figures.json"
    parts = ["--only", "reference", "--only", "deaths", "--json", str(figures)]
    command = [sys.executable, "scripts/prove_fleet.py", str(tmp_path / "proof"), "--rows", "10", "--kills", "2"]
    subprocess.run([*command, "--driver-kills", "1", *parts], cwd=ROOT, check=True, timeout=600)
    found = json.loads(figures.read_text())["deaths"]
    assert (found["results"], found["workers_killed"], found["drivers"]) == (10, 2, 2)
    assert found["ledger"]["given"] > 10
