"""Timelines that Chrome's viewer and Perfetto open."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from talkinghead.measure import trace
from talkinghead.measure.trace import NoTracer, Tracer


def test_spans_of_several_threads(tmp_path: Path) -> None:
    tracer = Tracer()

    def work() -> None:
        with tracer.span("inner", faces=3):
            pass

    with tracer.span("outer"):
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
    tracer.add("operator", 1.0, 1.5, track="operators")
    path = tmp_path / "trace.json"
    tracer.write(path)
    events = json.loads(path.read_text())["traceEvents"]
    spans = {event["name"]: event for event in events if event["ph"] == "X"}
    assert set(spans) == {"outer", "inner", "operator"}
    assert spans["outer"]["dur"] >= spans["inner"]["dur"] >= 0
    assert spans["inner"]["args"] == {"faces": 3}
    assert spans["operator"]["dur"] == pytest.approx(5e5)
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert {"worker", "operators"} <= names
    assert tracer.totals()["operator"] == (1, 0.5)


def test_a_long_job_stays_within_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trace, "MAX_EVENTS", 2)
    tracer = Tracer()
    for _ in range(5):
        tracer.add("x", 0, 1)
    assert tracer.dropped == 3
    tracer.write(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["otherData"] == {"dropped_events": 3}


def test_recording_nothing() -> None:
    tracer = NoTracer()
    with tracer.span("x"):
        tracer.add("y", 0, 1)
    assert not tracer.totals()
