"""`talkinghead batch --split`: long rows are made in stretches, and nobody sees it but by the time that it takes."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from talkinghead.cli.main import main
from talkinghead.contracts import AudioClip
from talkinghead.fleet import schedule
from talkinghead.fleet.job import Job
from talkinghead.fleet.ledger import Entry, History
from talkinghead.fleet.splitting import PARTS, split, sweep_parts
from talkinghead.media import open_frames, read_audio, write_wav
from talkinghead.registry import FAMILIES
from talkinghead.storage.address import Address
from talkinghead.storage.store import open_store
from tests.conftest import ROOT
from tests.stripes import FACTS
from tests.synthetic_media import make_video, speech_like


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A face, a sound of 3.2 s and one of 0.4 s; jobs that failed are tried again at once."""
    make_video(tmp_path / "face.mp4", num_frames=20)
    write_wav(tmp_path / "long.wav", AudioClip(speech_like(3.2), 16_000))
    write_wav(tmp_path / "short.wav", AudioClip(speech_like(0.4), 16_000))
    limits = schedule.TimeLimits(pause_s=0.0, elsewhere_s=0.0)
    monkeypatch.setattr(schedule, "TimeLimits", lambda: limits)
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(*rows: str) -> None:
    Path("jobs.csv").write_text("\n".join(["face,audio,model,crf,output,fail_at", *rows]) + "\n")


def results(out: str) -> list[dict[str, str]]:
    with Path(out, ".talkinghead", "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_as_without_it(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table("face.mp4,long.wav,stripes,0,long.mp4,", "face.mp4,short.wav,stripes,0,short.mp4,")
    assert main(["batch", "jobs.csv", "-o", "whole", "-q"]) == 0
    capfd.readouterr()
    assert main(["batch", "jobs.csv", "-o", "cut", "--split", "1", "--dry-run"]) == 0
    ahead = capfd.readouterr().out
    assert re.search(r"1 .*long.mp4 +3.2 +stripes +3\n +2 .*short.mp4 +0.4 +stripes +-\n", ahead)
    assert "1 row in 3 stretches of about 1 s to make, and 1 join\n" in ahead
    assert not Path("cut").exists()
    assert main(["batch", "jobs.csv", "-o", "cut", "--split", "1", "--progress-json", "told.jsonl"]) == 0
    said = capfd.readouterr()
    assert "1 row in 3 stretches of about 1 s" in said.err
    assert "2 of 2 rows are done; 2 now" in said.out
    for name in ("long.mp4", "short.mp4"):
        one, other = (list(open_frames(desk / folder / name).read()) for folder in ("whole", "cut"))
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(
            read_audio(desk / "whole" / name).samples, read_audio(desk / "cut" / name).samples
        )
    assert [row["num_frames"] for row in results("cut")] == ["80", "10"]
    told = [json.loads(line) for line in (desk / "told.jsonl").read_text().splitlines()]
    events = [one["event"] for one in told if one["event"] != "progress"]
    assert (events.count("part"), events.count("row")) == (3, 2)
    assert not any(item.is_file() for item in (desk / "cut" / PARTS).rglob("*"))
    assert main(["batch", "jobs.csv", "-o", "cut", "--split", "1"]) == 0
    assert "2 done before" in capfd.readouterr().err


def test_a_row_fails_with_its_part(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Once, with what went wrong in it; the parts that are done wait for the next try."""
    table("face.mp4,long.wav,stripes,0,long.mp4,60")
    assert main(["batch", "jobs.csv", "-o", "out", "--split", "1"]) == 1
    said = capfd.readouterr()
    assert "row 1 (00002.mp4) failed: the paint is empty" in said.err
    assert "row 1 failed: the paint is empty" in said.out
    assert "0 of 1 row is done, 1 failed" in said.out
    assert [(row["status"], row["error"]) for row in results("out")] == [("failed", "the paint is empty")]
    assert sorted(item.name for item in (desk / "out" / PARTS).rglob("*.mp4")) == ["00000.mp4", "00001.mp4"]
    assert main(["batch", "jobs.csv", "-o", "out", "--split", "1"]) == 1
    assert "1 failed before" in capfd.readouterr().err
    assert main(["batch", "jobs.csv", "-o", "out", "--split", "1", "--retry"]) == 1
    assert "1 row in 1 stretch of" in capfd.readouterr().err


def test_parts_are_found_again_and_swept(tmp_path: Path) -> None:
    request = {"source": "f.png", "speech": {"path": "a.wav"}, "output": "1.mp4", "render": {"cues": "1.json"}}
    out = Address.of(tmp_path / "out")
    job = Job("ab" * 32, 1, request, str(out.join("1.mp4")), "head", "face", 200.0)
    store, history = open_store(out), History()
    first = split([job], 60, out, history, store)
    *parts, joined = first.jobs
    assert [part.seconds for part in parts] == [60, 60, 80]
    assert (joined.key, joined.after, joined.parts) == (
        job.key, tuple(part.key for part in parts), tuple(part.output for part in parts),
    )  # fmt: skip
    assert [part.request["render"].get("cues") for part in parts] == ["1.json", None, None]
    assert {part.part_of for part in parts} == {job.key}
    assert Job.from_dict(json.loads(json.dumps(joined.to_dict()))) == joined

    history.add(Entry("done", parts[0].key, 1, "w", 1, {"output": parts[0].output}, 0.0))
    assert split([job], 60, out, history, store).parts == 3, "the ledger speaks of it, but it is gone"
    path = Path(parts[0].output)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"part")
    again = split([job], 60, out, history, store)
    assert [one.output for one in again.jobs] == [parts[1].output, parts[2].output, job.output]
    assert again.jobs[-1].parts == joined.parts
    assert sweep_parts(store, out, history) == 0
    history.add(Entry("done", job.key, 1, "w", 1, {"output": job.output}, 0.0))
    assert sweep_parts(store, out, history) == 1
    assert not (tmp_path / "out" / PARTS).exists()


def test_what_stays_whole_is_told(tmp_path: Path) -> None:
    out = Address.of(tmp_path)
    spoken = {"source": "f.png", "speech": {"text": "Hello."}, "output": "1.mp4"}
    jobs = [Job(f"{k:064x}", k, spoken, str(out.join(f"{k}.mp4")), "head", "face", 200.0) for k in (1, 2)]
    found = split(jobs, 60, out, History(), open_store(out))
    assert found.jobs == jobs
    ((reason, count),) = found.whole.items()
    assert (count, found.cut) == (2, 0)
    assert "talkinghead say" in reason


@pytest.mark.thorough
@pytest.mark.parametrize(("engine", "place"), [("pool", "folder"), ("ray", "s3")])
def test_workers_that_die_in_a_stretch_and_in_the_join_change_nothing(engine: str, place: str, tmp_path: Path) -> None:
    for package in ("ray", "s3fs", "moto") if engine == "ray" else ():
        pytest.importorskip(package)
    command = [sys.executable, "-m", "tests.fleet.split_case", str(tmp_path), engine, place]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
