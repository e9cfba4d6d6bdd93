"""Two checkouts side by side, on two made-up packages of which one sleeps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.scripts.scripts import load_script

speed = load_script("compare_speed")


@pytest.fixture
def checkouts(tmp_path: Path) -> tuple[Path, Path]:
    """A package that works for 0.3 s at import, and one that does not."""
    for name, code in (("slow", "import time\ntime.sleep(0.3)\n"), ("quick", "")):
        (tmp_path / name / "talkinghead").mkdir(parents=True)
        (tmp_path / name / "talkinghead" / "__init__.py").write_text(code)
    return tmp_path / "slow", tmp_path / "quick"


@pytest.mark.thorough
def test_runs_take_turns_and_ratios_are_within_a_round(checkouts: tuple[Path, Path], tmp_path: Path) -> None:
    slow, quick = checkouts
    target = tmp_path / "speed.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "compare_speed.py"), str(slow), str(quick), "--only", "import",
         "--rounds", "3", "--json", str(target)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    (found,) = json.loads(target.read_text())
    assert len(found["before"]) == len(found["after"]) == 3
    assert all(run["wall_s"] >= 0.3 for run in found["before"])
    assert min(run["wall_s"] for run in found["before"]) > min(run["wall_s"] for run in found["after"])
    assert "| import |" in done.stdout


def test_the_order_alternates(checkouts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = (speed.Side(path, tmp_path / path.name / "work", None) for path in checkouts)
    order = []

    def run(side: object, *_: object) -> object:
        order.append("A" if side is before else "B")
        return speed.Run(2.0 if side is before else 1.0, 1.0)

    monkeypatch.setattr(speed.Side, "accept", lambda *_: None)
    monkeypatch.setattr(speed.Side, "run", run)
    compared = speed.compare(speed.CASES[0], before, after, 4, 1.0)
    assert "".join(order) == "ABBAABBA"
    assert compared.ratios("wall_s") == [0.5] * 4
    assert compared.row()[:4] == ("help", "2.000", "1.000", "0.500 (0.50 to 0.50)")


def test_the_first_form_that_a_side_accepts_is_used(checkouts: tuple[Path, Path], tmp_path: Path) -> None:
    side = speed.Side(checkouts[1], tmp_path / "work", None)
    case = speed.Case("x", (("-c", "raise SystemExit(2)"), ("-c", "pass")))
    side.accept(case, 60)
    assert side.run(case, 60).wall_s > 0
    with pytest.raises(SystemExit, match=r"x does not run in .*quick"):
        side.accept(speed.Case("x", (("-c", "raise SystemExit('no such option')"),)), 60)


def test_what_is_no_checkout_or_no_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no checkout"):
        speed.Side(tmp_path, tmp_path / "work", None)
    with pytest.raises(SystemExit, match=r"no case 'hlep'.*help"):
        list(speed.chosen(["hlep"]))


def test_every_model_is_rendered() -> None:
    from talkinghead.registry import FAMILIES

    rendered = " ".join(case.name for case in speed.CASES if case.inputs)
    assert all(name in rendered for name in FAMILIES)
