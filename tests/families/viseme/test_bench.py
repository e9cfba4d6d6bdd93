"""What the benchmark says of the animator besides its speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkinghead.families.viseme import bench
from talkinghead.measure.cases import BenchSettings


@pytest.mark.thorough
def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mouth that is drawn stays in its place on a head that moves, as the picture itself does."""
    monkeypatch.setattr(bench, "FRAMES", 24)
    detail, sliding = bench.tables(BenchSettings(width=330, height=440), tmp_path, lambda _: None)
    assert [row[0] for row in detail.rows] == ["drawn", "encoded"]
    assert float(detail.rows[0][2]) > 0.9
    source, spoken = ([float(value) for value in row[1:]] for row in sliding.rows)
    assert max(source) < 1
    assert spoken[0] < 2  # percent of the distance between the eyes
    assert spoken[1] < 1
