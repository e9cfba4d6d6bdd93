"""The report of a CUDA card: parts that fail, end in time or need a card, and the tables, on constructed results."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.scripts.scripts import load_script

report = load_script("gpu_report")


def part(name: str, code: str, **more: Any) -> Any:
    """A part that runs Python; `result` is the path of its results."""
    head = "import sys, json, pathlib; result = pathlib.Path(sys.argv[-1])\n"
    return report.Part(name, more.pop("limit_s", 60), (sys.executable, "-c", head + code), **more)


WRITES = "result.write_text(json.dumps({'card': 'A card'}))"


@pytest.mark.thorough
def test_parts_go_on_when_one_fails(tmp_path: Path) -> None:
    todo = [
        part("machine", WRITES, needs_card=False),
        part("raises", "raise ValueError('it is broken')"),
        part("killed", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"),
        part("slow", "import time; time.sleep(60)", limit_s=2.0),
        part("says why", "result.write_text(json.dumps({'why': 'two rows differ', 'rows': [1]})); sys.exit(1)"),
        part("after", WRITES),
        part("needs", WRITES, needs=("raises",)),
    ]
    done = {one.name: one for one in report.run_parts(todo, tmp_path, has_card=report.found_card)}
    assert list(done) == [one.name for one in todo]
    assert {name: one.status for name, one in done.items()} == {
        "machine": "passed", "raises": "failed", "killed": "failed", "slow": "timed out", "says why": "failed",
        "after": "passed", "needs": "skipped",
    }  # fmt: skip
    assert done["raises"].why == "exit status 1: ValueError: it is broken"
    assert done["killed"].why.startswith("ended by signal 11")
    assert done["slow"].why == "it took more than 2 s"
    assert (done["says why"].why, done["says why"].data) == ("two rows differ", {"rows": [1]})
    assert done["needs"].why == "it needs the part raises, which did not pass"


@pytest.mark.thorough
def test_a_slow_part_takes_what_it_started_with_it(tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    loop = f"while true; do echo x >> '{beats}'; sleep 0.1; done"
    outcome = report.run_part(part("slow", f"import subprocess; subprocess.run(['sh', '-c', {loop!r}])"), tmp_path, 6.0)
    assert outcome.status == "timed out"
    count = beats.stat().st_size
    time.sleep(0.5)
    assert beats.stat().st_size == count > 0


def test_without_a_card_what_needs_one_is_skipped(tmp_path: Path) -> None:
    todo = [part("machine", "result.write_text('{}')", needs_card=False), part("bench", WRITES)]
    outcomes = list(report.run_parts(todo, tmp_path, has_card=report.found_card))
    assert [(one.status, one.why) for one in outcomes] == [("passed", ""), ("skipped", "no CUDA device")]


def test_when_the_time_is_over_the_rest_is_skipped(tmp_path: Path) -> None:
    todo = [part("machine", WRITES, needs_card=False), part("rest", WRITES)]
    outcomes = list(report.run_parts(todo, tmp_path, has_card=report.found_card, budget_s=0))
    assert {one.status for one in outcomes} == {"skipped"}


def test_all_parts_fit_into_the_time_and_name_every_model() -> None:
    models = ["viseme", "wav2lip"]
    todo = report.parts(models, Path("in"), "cuda", make_inputs=True)
    assert [one.name for one in todo][-2:] == ["bench-viseme", "bench-wav2lip"]
    assert report.BUDGET_S <= 8 * 60
    assert not any(one.name == "inputs" for one in report.parts(models, Path("in"), "cuda", make_inputs=False))


@pytest.mark.parametrize(
    ("found", "expected", "psnr_db", "largest"),
    [
        ([0, 1], [0, 1], math.inf, 0),
        ([0, 1.01], [0, 1], 10 * math.log10(1 / 0.00005), 0.01),
        ([0, np.nan], [0, 1], -math.inf, math.inf),
        ([0, np.inf], [0, np.inf], math.inf, 0),
        ([0, 1, 2], [0, 1], -math.inf, math.inf),
        ([2, 2], [2, 2], math.inf, 0),
    ],
)
def test_distances(found: list[float], expected: list[float], psnr_db: float, largest: float) -> None:
    seen = report.distance(np.array(found, np.float64), np.array(expected, np.float64))
    assert seen == pytest.approx((psnr_db, largest), abs=1e-3)


def test_networks_that_fail_are_rows() -> None:
    from talkinghead.errors import OptionError

    def run(options: Any) -> dict[str, Any]:
        if options.precision == "fast":
            raise OptionError("There is no float16.")
        return {"a": np.array([0.0, 1.5])}

    def broken(_: Any) -> dict[str, Any]:
        raise ZeroDivisionError("oh")

    expected = {"a": np.array([0.0, 1.0])}
    row = report.compared("x", "float32", 60.0, expected, run, "cpu")
    assert (row["ok"], row["largest"]) == (False, 0.5)
    assert report.compared("x", "float32", 5.0, expected, run, "cpu")["ok"]
    refused = report.compared("x", "fast", 45.0, expected, run, "cpu")
    assert (refused["ok"], refused["note"]) == (True, "not offered: There is no float16.")
    failed = report.compared("x", "fast", 45.0, expected, broken, "cpu")
    assert (failed["ok"], failed["note"]) == (False, "ZeroDivisionError: oh")
    (alone,) = report.networks_rows("x", broken, "cpu")
    assert (alone["ok"], alone["note"]) == (False, "on the processor: ZeroDivisionError: oh")
    assert [row["precision"] for row in report.networks_rows("x", run, "cpu")] == ["float32", "fast"]


def test_the_table_names_every_network_of_the_reference() -> None:
    """Those of record_outputs.py, where every network is run; files are those in its folder of inputs."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        cases = dict(report.reference_cases(Path("made")))
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    from talkinghead.reference.networks import networks

    assert set(cases) <= set(networks())
    families = {name.partition(".")[0] for name in networks()}
    assert {name.partition(".")[0] for name in cases} == families
    assert cases["wav2lip.generator96"] == {
        "--inputs": Path("made/reference/wav2lip.generator96.npz"),
        "--weights": Path("made/reference/wav2lip.generator96.safetensors"),
    }


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a" name="one"/>
<testcase classname="tests.a" name="two"><failure message="no">text</failure></testcase>
<testcase classname="tests.b" name="three"><skipped message="gsplat is not installed">text</skipped></testcase>
</testsuite></testsuites>"""


def test_results_of_tests_are_read() -> None:
    assert report.read_junit(JUNIT) == {
        "passed": 1, "failed": ["tests/a::two"], "skipped": 1, "skipped_why": ["gsplat is not installed"],
    }  # fmt: skip


def outcome(name: str, status: str = "passed", why: str = "", **data: Any) -> dict[str, Any]:
    return {"name": name, "status": status, "seconds": 12.3, "why": why, "data": data}


def test_the_tables() -> None:
    run = {
        "case": "video", "description": "1280x720 | 25 fps", "cold": {"wall_s": 3.21},
        "warm": {"device": "cuda", "precision": "float16", "frames_per_second": 512.34, "realtime_factor": 20.494,
                 "limited_by": "write"},
    }  # fmt: skip
    generator = {"title": "The generator", "columns": ["runtime", "ms"], "rows": [["torch", 0.5]], "note": "Random."}
    rows = [
        {"name": "a.b", "precision": "float32", "limit_db": 60.0, "ok": True, "psnr_db": 71.26, "largest": 0.00123,
         "note": ""},
        {"name": "a.b", "precision": "fast", "limit_db": 45.0, "ok": False, "psnr_db": 30.0, "largest": 0.5,
         "note": ""},
        {"name": "a.c", "precision": "float32", "limit_db": 60.0, "ok": True, "largest": 0.0, "note": "equal"},
    ]  # fmt: skip
    text = report.as_markdown(
        {
            "date": "2026-11-29",
            "parts": [
                outcome("machine", card="A card", memory_bytes=80 * 2**30, driver="1.2", torch="2.13", cuda="12.6",
                        processor="A processor", cores=16, talkinghead="0.2.0"),
                outcome("tests", passed=9, failed=[], skipped=1, skipped_why=["no gsplat"]),
                outcome("networks", "failed", "not within the limit: a.b in fast", rows=rows),
                outcome("bench-x", model="x", runs=[run], tables=[generator]),
                outcome("bench-y", "timed out", "it took more than 80 s"),
            ],
        }
    )  # fmt: skip
    assert text.startswith(
        "2026-11-29, A card with 80 GiB, driver 1.2; PyTorch 2.13, CUDA 12.6; A processor, 16 cores; "
        "talkinghead 0.2.0.\n"
    )
    for line in (
        "| networks | failed: not within the limit: a.b in fast | 12 |",
        "| bench-y | timed out: it took more than 80 s | 12 |",
        "Tests marked `gpu`: 9 passed, 0 failed, 1 skipped (no gsplat).",
        "| x | video (1280x720 \\| 25 fps) | cuda | float16 | 512.3 | 20.49 | 3.2 | write |",
        "| a.b | float32 | 71.3 | 60 | 0.0012 |  |",
        "| a.b | fast | 30.0 | 45 | 0.5 | **not within the limit** |",
        "| a.c | float32 |  | 60 | 0 | equal |",
        "**The generator** (x)",
        "| torch | 0.5 |",
        "Random.",
    ):
        assert line in text.splitlines(), line


def test_a_report_of_nothing_says_that_there_is_no_card() -> None:
    text = report.as_markdown({"date": "2026-11-29", "parts": [outcome("machine"), outcome("networks", "skipped")]})
    assert "no CUDA device" in text
    assert "frames/s" not in text


@pytest.mark.thorough
@pytest.mark.skipif(report.card_is_here(), reason="there is a card")
def test_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        sys, "argv", ["gpu_report.py", "-o", str(tmp_path), "--inputs", str(tmp_path), "--only", "networks", "frames"]
    )
    assert report.main() == 2
    assert "skipped" in capsys.readouterr().err
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert [one["status"] for one in written["parts"]] == ["passed", "skipped", "skipped"]
    assert "no CUDA device" in (tmp_path / "gpu.md").read_text()


def test_the_speed_of_a_model_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.measure.cases import BenchSettings

    seen: list[BenchSettings] = []

    class Nothing:
        def to_dict(self) -> dict[str, Any]:
            return {"model": "viseme", "runs": [], "tables": []}

    def bench(_: str, settings: BenchSettings, **__: Any) -> Nothing:
        seen.append(settings)
        return Nothing()

    monkeypatch.setattr("talkinghead.service.bench.bench_model", bench)
    for model in ("viseme", "wav2lip"):
        report.part_bench(argparse.Namespace(model=model, device="cuda"))
    assert [dict(one.load) for one in seen] == [{}, {"device": "cuda"}]
