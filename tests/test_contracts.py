"""What reports say about where things ran."""

from __future__ import annotations

import json

import pytest

from talkinghead.contracts import NetworkRun, Report


def test_a_report_speaks_of_the_main_network() -> None:
    runs = (
        NetworkRun("motion network", "torch", "cuda:1", "bfloat16", "because.", 52.5),
        NetworkRun("rasteriser", "numba"),
    )
    report = Report(model="m", networks=runs)
    assert (report.backend, report.device, report.precision) == ("torch", "cuda:1", "bfloat16")
    found = json.loads(report.to_json())
    assert (found["backend"], found["device"], found["precision"]) == ("torch", "cuda:1", "bfloat16")
    assert found["networks"][0] == {
        "name": "motion network",
        "backend": "torch",
        "device": "cuda:1",
        "precision": "bfloat16",
        "why": "because.",
        "psnr_db": 52.5,
    }
    assert found["networks"][1]["psnr_db"] is None


def test_without_networks_arrays_do_the_work() -> None:
    found = Report(model="m").to_dict()
    assert (found["backend"], found["device"], found["precision"]) == ("numpy", "cpu", "float32")
    assert found["networks"] == ()


def test_free_text_is_refused() -> None:
    with pytest.raises(ValueError, match="torch and numba"):
        NetworkRun("n", "torch and numba")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bfloat16 motion"):
        NetworkRun("n", "torch", "cpu", "bfloat16 motion")  # type: ignore[arg-type]
