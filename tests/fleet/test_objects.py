"""A table whose files all lie in S3, behind a network that fails."""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

from talkinghead.fleet.drive import drive
from talkinghead.fleet.engines.here import Here
from talkinghead.fleet.ledger import read_entries
from talkinghead.fleet.opening import open_ledger
from talkinghead.fleet.schedule import TimeLimits
from talkinghead.media import open_frames
from talkinghead.registry import FAMILIES
from talkinghead.storage.address import Address
from talkinghead.storage.store import PARTIAL, open_store
from tests.fleet.fleets import make_jobs
from tests.fleet.prove_storage import prove
from tests.storage.faulty_s3 import FaultyS3, faulty_s3
from tests.stripes import FACTS

FAULTS = {
    "PUT": ("busy", "cut_upload", None, "late_error", "no_answer"),
    "GET": ("broken", None, "cut_download"),
    "HEAD": ("no_answer", None, None),
}
"""What goes wrong with requests, in turns; two that go well come before."""
OUT = Address.of("s3://fleet/out")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with faulty_s3() as server:
        import boto3

        boto3.client(
            "s3", endpoint_url=server.direct_url, region_name="us-east-1",
            aws_access_key_id="AKIAEXAMPLE000000001", aws_secret_access_key="not-a-secret-of-anybody",
        ).create_bucket(Bucket="fleet")  # fmt: skip
        yield server


@pytest.mark.thorough
def test_a_table_in_s3_is_done_once_whatever_the_network_does(server: FaultyS3, tmp_path: Path) -> None:
    options = server.options()
    store = open_store("s3://fleet", options=options)
    jobs = []
    for job in make_jobs(tmp_path, 6):
        request: dict[str, Any] = {**job.request}
        for path in (Path(request["source"]), Path(request["speech"]["path"])):
            store.publish(path, store.root.join(path.name), mark=f"{job.row}-{path.name}")
        request |= {"source": f"s3://fleet/{job.face}", "speech": {"path": "s3://fleet/sound.wav"}}
        jobs.append(replace(job, request=request, output=str(OUT.join(request["output"]))))
    turns = {method: itertools.cycle((None, None, *faults)) for method, faults in FAULTS.items()}

    def plan(method: str, path: str) -> str | None:
        if "list-type" in path:
            return "stale_list"  # nothing is ever listed
        return next(turns[method]) if method in turns else None

    server.faults.plan = plan

    def run() -> int:
        settings = {"tries": 12, "first_wait_s": 0.0, "longest_wait_s": 0.0, "settings": dict(options.settings)}
        with open_ledger(OUT, options=replace(options, tries=12)) as ledger:
            worker = ledger.worker_options(scratch=str(tmp_path / "scratch"), storage=settings)
            limits = TimeLimits(pause_s=0.0, elsewhere_s=0.0)
            return drive(ledger.plan(jobs).todo, Here(worker), ledger, 1, limits=limits).attempts

    assert run() >= 6
    assert run() == 0
    assert {fault for *_, fault in server.faults.seen} == {"stale_list", *FAULTS["PUT"], *FAULTS["GET"]}
    server.faults.plan = lambda *_: None
    for job in jobs:
        store.fetch(Address.of(job.output), tmp_path / "fetched.mkv")
        assert len(open_frames(tmp_path / "fetched.mkv")) == 5
    counts = Counter(entry.key for entry in read_entries(store, OUT) if entry.event in ("done", "resumed"))
    assert counts == {job.key: 1 for job in jobs}
    assert list(store.list(OUT.join(PARTIAL), deep=True)) == []
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.thorough
def test_the_command_fills_a_folder_in_s3_though_a_worker_is_killed() -> None:
    pytest.importorskip("skimage")
    facts = prove(argparse.Namespace(rows=6, workers=2, faults=0.05, kills=1, stops=0, seed=1))
    assert facts["same_as_plain"] == facts["completed_once"] == 6
    assert facts["killed"] == {"workers": 1}
    assert facts["spoiled"]
