"""`talkinghead batch`, run for real with small videos: what it says, what it leaves, how it goes on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from talkinghead.fleet import schedule
from talkinghead.fleet.progress import TerminalProgress
from talkinghead.registry import FAMILIES
from tests.stripes import FACTS
from tests.synthetic_media import make_picture, make_sound


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of three rows of the model of tests; jobs that failed are tried again at once."""
    make_picture(tmp_path / "face.png")
    make_sound(tmp_path / "sound.wav", 0.2)
    (tmp_path / "jobs.csv").write_text(
        "face,audio,model,output,fail_at\n"
        "face.png,sound.wav,stripes,one,\n"
        "face.png,sound.wav,stripes,two.mkv,\n"
        "face.png,sound.wav,stripes,three,\n"
    )
    limits = schedule.TimeLimits(pause_s=0.0, elsewhere_s=0.0)
    monkeypatch.setattr(schedule, "TimeLimits", lambda: limits)
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def batch(desk: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `talkinghead batch jobs.csv -o out ARGUMENTS...` on the desk."""

    def call(*arguments: str, jobs: str = "jobs.csv") -> Ran:
        from talkinghead.cli.main import main

        capfd.readouterr()
        status = main(["batch", jobs, "-o", "out", *arguments])
        return Ran(status, *capfd.readouterr())

    return call


def results(path: str = "out/.talkinghead/results.csv") -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_once(batch: Callable[..., Ran], desk: Path) -> None:
    first = batch()
    assert first.status == 0, first.err
    assert "3 of 3 rows are done; 3 now" in first.out
    assert sorted(path.name for path in (desk / "out").iterdir() if path.is_file()) == [
        "one.mp4",
        "three.mp4",
        "two.mkv",
    ]
    rows = results()
    assert [(row["row"], row["status"], row["attempts"]) for row in rows] == [(str(i), "done", "1") for i in (1, 2, 3)]
    assert [int(row["size"]) for row in rows] == [Path(row["output"]).stat().st_size for row in rows]
    assert {(row["model"], row["num_frames"], row["error"]) for row in rows} == {("stripes", "5", "")}
    again = json.loads(batch("--json").out)
    assert (again["done"], again["rows"], "made" in again) == (3, 3, False)
    (desk / "jobs.csv").write_text((desk / "jobs.csv").read_text().replace("three", "four"))
    assert "3 of 3 rows are done; 1 now" in batch().out


def test_a_row_that_fails(batch: Callable[..., Ran], desk: Path) -> None:
    (desk / "jobs.csv").write_text((desk / "jobs.csv").read_text().replace("two.mkv,", "two.mkv,1"))
    ran = batch("--results", "r.parquet", "--progress-json", "p.jsonl")
    assert ran.status == 1
    assert "2 of 3 rows are done, 1 failed" in ran.out
    assert ran.err.count("it will be tried again") == 2
    table = pytest.importorskip("pyarrow.parquet").read_table(desk / "r.parquet").to_pylist()
    assert [(row["status"], row["attempts"]) for row in table] == [("done", 1), ("failed", 3), ("done", 1)]
    assert table[1]["error"]
    events = [json.loads(line) for line in (desk / "p.jsonl").read_text().splitlines()]
    ends = [(event["row"], event["status"]) for event in events if event["event"] == "row"]
    assert sorted(ends) == [(1, "done"), (2, "again"), (2, "again"), (2, "failed"), (3, "done")]
    assert (events[-1]["event"], events[-1]["done"], events[-1]["failed"]) == ("progress", 2, 1)
    left_out = batch("--quiet")
    assert (left_out.status, left_out.err) == (1, "")
    assert "row 2 failed" in left_out.out
    assert "put aside" in batch("--dry-run").out
    assert "attempt 4 failed" in batch("--retry").err


def test_stopped_and_going_on(batch: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Any, progress: Any) -> None:
        if progress.done:  # as if somebody pressed Ctrl-C then
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TerminalProgress, "__call__", stop)
        ran = batch()
    assert ran.status == 130
    assert "1 row of this run is done and stays done; 2 rows are left. The same command goes on from there" in ran.err
    assert sorted(row["status"] for row in results()) == ["done", "open", "open"]
    assert "3 of 3 rows are done; 2 now" in batch().out


def test_dry_run_writes_nothing(batch: Callable[..., Ran], desk: Path) -> None:
    before = sorted(desk.iterdir())
    ran = batch("--dry-run")
    assert ran.status == 0, ran.err
    assert "3 rows: 3 to do, 0 done, 0 put aside" in ran.out
    assert str(desk / "out" / "one.mp4") in ran.out
    assert sorted(path for path in desk.iterdir() if path.name != "cache") == before
    batch()
    found = json.loads(batch("--dry-run", "--json").out)
    assert (found["todo"], found["done"], found["models"], found["seconds"]) == (0, 3, {}, 0)


def test_videos_that_somebody_removed(batch: Callable[..., Ran], desk: Path) -> None:
    batch()
    (desk / "out" / "two.mkv").unlink()
    for arguments in ((), ("--dry-run",)):
        ran = batch(*arguments)
        assert ran.status == 0
        assert "1 row of those done before has its video not there any more (2). --retry makes it again." in ran.err
    assert not (desk / "out" / "two.mkv").exists()
    assert "3 of 3 rows are done; 1 now" in batch("--retry").out
    assert (desk / "out" / "two.mkv").exists()
    assert "not there" not in batch().err


def test_what_is_somebodys_own_is_refused(batch: Callable[..., Ran], desk: Path) -> None:
    (desk / "out").mkdir()
    (desk / "out" / "two.mkv").write_text("mine")
    for arguments in ((), ("--dry-run",)):
        ran = batch(*arguments)
        assert ran.status == 1
        assert f"row 2: {desk / 'out' / 'two.mkv'}" in ran.err
    assert (desk / "out" / "two.mkv").read_text() == "mine"
    assert not (desk / "out" / "one.mp4").exists()
    assert batch("--overwrite").status == 0
    assert (desk / "out" / "two.mkv").stat().st_size > 100


def test_faults_are_told_before_anything_runs(batch: Callable[..., Ran], desk: Path) -> None:
    (desk / "jobs.csv").write_text("face,audio,model,note\nfac.png,sound.wav,stripes,x\nface.png,,stripes,x\n")
    ran = batch()
    assert ran.status == 2
    assert "3 faults in 2 rows; nothing was started" in ran.err
    for place in ("heading: ", "row 1 (line 2): ", "row 2 (line 3): "):
        assert f"  {place}" in ran.err
    assert not (desk / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "fps"], "NAME=VALUE"),
        (["--set", "fps=1", "--set", "fps=2"], "twice"),
        (["--set", "output=x"], "--output-name"),
        (["--set", "fase=x"], "Did you mean 'face'"),
        (["--output-name", "{x}"], "no such column"),
        (["--results", "r.xlsx"], ".csv"),
        (["--results", "https://host/r.csv"], "only read"),
        (["--json", "--progress-json", "-"], "stdout"),
        (["--engine", "cloud"], "local|ray"),
        (["--gpus", "0.5"], "--engine ray"),
        (["--workers", "0"], "1 to 10000"),
    ],
)
def test_what_cannot_be_asked(batch: Callable[..., Ran], arguments: list[str], says: str) -> None:
    ran = batch(*arguments)
    assert ran.status == 2
    assert says in ran.err


def test_places_that_cannot_be_written_are_found_first(batch: Callable[..., Ran], desk: Path) -> None:
    assert "There is no folder" in batch("--results", "none/r.csv").err
    assert "'none/p.jsonl' cannot be written" in batch("--progress-json", "none/p.jsonl").err
    assert not list((desk / "out").glob("*.m*"))
    (desk / "out2").write_text("in the way")
    ran = batch("-o", "out2")
    assert (ran.status, "a file is in the way" in ran.err) == (1, True)
    assert "'https://host/out' is only read" in batch("-o", "https://host/out").err


def test_defaults_and_columns_for_others(batch: Callable[..., Ran], desk: Path) -> None:
    (desk / "jobs.jsonl").write_text('{"audio": "sound.wav", "Title": "A b/c"}\n{"audio": "sound.wav", "Title": "d"}\n')
    given = ("--set", "face=face.png", "--set", "model=stripes", "--output-name", "{title}/{row}")
    ran = batch(*given, jobs="jobs.jsonl")
    assert ran.status == 0, ran.err
    assert [Path(row["output"]).relative_to(desk / "out").as_posix() for row in results()] == [
        "A b_c/000001.mp4", "d/000002.mp4",
    ]  # fmt: skip
    assert batch(*given[:4], "--ignore", "title,x", "--dry-run", jobs="jobs.jsonl").status == 0


def test_a_table_in_object_storage(batch: Callable[..., Ran], desk: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    table = (desk / "jobs.csv").read_text()
    for name, data in {"jobs.csv": table.encode(), "face.png": b"", "sound.wav": b""}.items():
        memory.pipe(f"/course/{name}", data or (desk / name).read_bytes())
    ran = batch(jobs="memory://course/jobs.csv")
    assert ran.status == 0, ran.err
    assert [row["status"] for row in results()] == ["done"] * 3


def test_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the options of a batch make of workers and engines; a cluster itself is tried elsewhere."""
    from talkinghead.fleet import batch as module
    from talkinghead.fleet import threads
    from talkinghead.fleet.engines import cluster
    from talkinghead.fleet.options import FleetOptions
    from talkinghead.fleet.worker import WorkerOptions

    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    values = module.worker_values(FleetOptions(workers=3, scratch_gb=0.5), overwrite=True)
    assert (values["threads"], values["scratch_bytes"], values["overwrite"]) == (2, 500_000_000, True)
    assert module.worker_values(FleetOptions(), overwrite=False)["threads"] is None
    assert module.worker_values(FleetOptions(cpus=4.5), overwrite=False)["threads"] == 4
    monkeypatch.setattr(cluster, "RayEngine", lambda worker, options: options)
    given = FleetOptions("ray", workers=5, address="auto", gpus=0.25)
    made = module.open_engine(given, WorkerOptions("/out", "lease"), None)  # type: ignore[arg-type]
    assert (made.address, made.cpus, made.gpus, made.workers) == ("auto", 1.0, 0.25, 5)  # type: ignore[attr-defined]
    assert (given.is_here, FleetOptions("ray").is_here, FleetOptions().is_here) == (False, True, True)
