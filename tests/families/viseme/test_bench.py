"""What the benchmark says of the animator besides its speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkinghead.errors import BackendError
from talkinghead.families.viseme import bench
from talkinghead.families.viseme.bench_commands import commands_table
from talkinghead.measure.cases import BenchSettings


@pytest.mark.thorough
def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mouth that is drawn stays in its place on a head that moves, as the picture itself does."""
    monkeypatch.setattr(bench, "FRAMES", 24)
    settings = BenchSettings(width=330, height=440, seconds=0.4)
    commands, detail, sliding = bench.tables(settings, tmp_path, lambda _: None)
    assert [row[0] for row in commands.rows] == ["video", "picture"]
    for _, first, first_factor, following, factor in commands.rows:
        assert float(first) * float(first_factor) == pytest.approx(0.4, abs=0.1)
        assert float(following) * float(factor) == pytest.approx(0.4, abs=0.1)
    assert [row[0] for row in detail.rows] == ["drawn", "encoded"]
    assert float(detail.rows[0][2]) > 0.9
    source, spoken = ([float(value) for value in row[1:]] for row in sliding.rows)
    assert max(source) < 1
    assert spoken[0] < 2  # percent of the distance between the eyes
    assert spoken[1] < 1


def test_a_command_that_fails_is_told_of(tmp_path: Path) -> None:
    settings = BenchSettings(seconds=0.2, source=tmp_path / "none.png")
    with pytest.raises(BackendError, match="command for the given"):
        commands_table(settings, tmp_path, lambda _: None)
