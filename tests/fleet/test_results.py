"""What is shown of a run: progress, results, what it will take."""

from __future__ import annotations

import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from talkinghead.errors import InputError
from talkinghead.fleet.columns import Columns
from talkinghead.fleet.contents import Contents
from talkinghead.fleet.drive import Progress
from talkinghead.fleet.forecast import START_S, USUAL_BYTES_PER_S, Rates, forecast
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.ledger import Entry
from talkinghead.fleet.planning import make_plan
from talkinghead.fleet.progress import JsonProgress, TerminalProgress, progress_text, time_text
from talkinghead.fleet.results import COLUMNS, Results, check_results_name, write_results
from talkinghead.fleet.table import open_table
from talkinghead.registry import FAMILIES
from talkinghead.storage.address import Address
from talkinghead.storage.store import open_store
from tests.synthetic_media import make_picture

KEYS = [f"{number:064x}" for number in range(1, 6)]
JOBS = [Job(key, row, {}, f"/out/{row}.mp4", "viseme-1", "viseme-1-a", 10.0) for row, key in enumerate(KEYS, 1)]
REPORT = {"model": "viseme", "num_frames": 250, "fps": "25", "audio_s": 10.0, "wall_s": 4.0, "warnings": ["a\nb", "c"]}
PROGRESS = Progress(10, 3, 1, 2, 2, 0, 5, video_s=90.0, elapsed_s=45.0, left_s=125.0)


def entry(event: str, number: int, t: float, attempt: int = 1, **more: object) -> Entry:
    return Entry(event, KEYS[number - 1], number, "worker", attempt, more, t)  # type: ignore[arg-type]


ENTRIES = [
    entry("aside", 2, 9.0, 3, error="Broken\n  file", kind="X"),  # drivers come first
    entry("aside", 3, 9.0, 3, error="Broken"),
    entry("lost", 4, 2.0, reason="died"),
    entry("given", 5, 1.0),
    entry("done", 1, 3.0, 2, output="/out/1.mp4", size=7, sha256="ab", report=REPORT),
    entry("failed", 2, 10.0, 3, error="Later, and less than what was decided"),
    entry("done", 3, 20.0, 4, output="/out/3.mp4", size=8, sha256="cd", report=REPORT),
]


def test_what_became_of_each_row(tmp_path: Path) -> None:
    with Results(ENTRIES) as found:
        rows = list(found.rows(JOBS))
        write_results(rows, tmp_path / "r.tsv", check_results_name("r.tsv"))
    assert [row["status"] for row in rows] == ["done", "failed", "done", "open", "open"]
    assert [row["attempts"] for row in rows] == [2, 3, 4, 1, None]
    assert [row["error"] for row in rows] == [None, "Broken file", None, "died", None]
    assert (rows[0]["size"], rows[0]["num_frames"], rows[0]["warnings"]) == (7, 250, "a b; c")
    lines = (tmp_path / "r.tsv").read_text().splitlines()
    assert lines[0].split("\t") == list(COLUMNS)
    assert len(lines) == 6


@pytest.mark.parametrize("name", ["r.txt", "r.jsonl", "r"])
def test_tables_of_results_have_a_format(name: str) -> None:
    with pytest.raises(InputError, match="name that ends in"):
        check_results_name(name)


def test_times_for_people() -> None:
    assert [time_text(s) for s in (0.4, 59.4, 61, 3661, 300_000)] == ["0 s", "59 s", "1:01", "1:01:01", "3 days"]
    assert progress_text(PROGRESS) == "4/10 rows  1:30 of video  2.00 times real time  2:05 left  1 failed"


def test_progress_as_lines_of_json() -> None:
    stream = io.StringIO()
    tell = JsonProgress(stream, every_s=1e9)
    job, failed = JOBS[0], Outcome(KEYS[0], "failed", error="Broken", kind="MediaError")
    tell(PROGRESS)
    tell(PROGRESS)  # too soon after the one before
    tell(replace(PROGRESS, job=job, attempt=2, outcome=failed))
    tell(replace(PROGRESS, failed=2, job=job, attempt=3, outcome=failed))
    tell(replace(PROGRESS, failed=2, job=job, attempt=1, outcome=None))
    tell(replace(PROGRESS, job=job, outcome=Outcome(KEYS[0], "done", size=5, sha256="ab")))
    tell(replace(PROGRESS, done=9))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("status")) for line in lines] == [
        ("progress", None), ("row", "again"), ("row", "failed"), ("row", "again"), ("row", "done"), ("progress", None),
    ]  # fmt: skip
    assert lines[1]["error"] == "Broken"
    assert (lines[4]["sha256"], lines[4]["rate"]) == ("ab", 2.0)


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("talkinghead.terminal.console.is_terminal", lambda _: True)
    with TerminalProgress() as tell:
        tell(PROGRESS)
        tell(replace(PROGRESS, failed=2, job=JOBS[0], attempt=3, outcome=Outcome(KEYS[0], "failed", error="x" * 500)))
        tell(replace(PROGRESS, failed=2, job=JOBS[1], attempt=1, outcome=None))
    shown = "".join(capsys.readouterr().err.split())
    assert "row1failed:" + "x" * 300 + "..." in shown
    assert "row2attempt1failed,itwillbetriedagain:itsworkerwaslost" in shown


def test_what_a_table_will_take() -> None:
    known = FAMILIES["viseme"].pace
    assert known is not None
    ahead = forecast(JOBS, Rates(), workers=2)
    assert ahead.work_s["viseme"] == pytest.approx(50 / known + START_S)
    assert ahead.total_s == pytest.approx(ahead.work_s["viseme"] / 2)
    assert ahead.bytes_written == 50 * USUAL_BYTES_PER_S
    rates = Rates()
    assert len(list(rates.watch(ENTRIES))) == len(ENTRIES)
    ahead = forecast(JOBS, rates, workers=1)
    assert (ahead.total_s, ahead.measured["viseme"]) == (pytest.approx(50 / 2.5), True)
    assert ahead.bytes_written == pytest.approx(50 * 15 / 20, abs=5)
    assert json.loads(json.dumps(ahead.to_dict()))["models"]["viseme"]["rows"] == 5


@pytest.mark.thorough
def test_many_rows_take_little_memory(tmp_path: Path) -> None:
    """A million rows: below 100 MB for what is read of them, below 800 MB for their jobs."""
    make_picture(tmp_path / "face.png")
    rows = 1500
    with (tmp_path / "jobs.csv").open("w") as file:
        file.write("face,text,output\n")
        file.writelines(f"face.png,Lesson {row} of this course.,part {row // 100}/{row}.mp4\n" for row in range(rows))
    table, columns = open_table(tmp_path / "jobs.csv"), Columns(Address.of(tmp_path))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        plan = make_plan(table, "jobs", columns, Contents(open_store), Address.of(tmp_path / "out"))
        planned = tracemalloc.get_traced_memory()[0]
        jobs = list(plan)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(jobs) == rows
    assert taken - planned < 800 * rows
    assert planned - before < 100 * rows + 20_000_000  # modules that were loaded, too
