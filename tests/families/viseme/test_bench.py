"""What the benchmark says of the animator besides its speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkinghead.errors import BackendError
from talkinghead.families.viseme import bench, bench_commands
from talkinghead.families.viseme.bench_commands import commands_table
from talkinghead.measure.cases import BenchSettings


@pytest.mark.thorough
def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mouth that is drawn stays in its place on a head that moves, as the picture itself does."""
    monkeypatch.setattr(bench, "FRAMES", 24)
    walls = iter((0.8, 0.4, 0.2, 0.1))  # the commands are run by the test of the benchmark's own command
    monkeypatch.setattr(bench_commands, "_seconds", lambda *_: next(walls))
    settings = BenchSettings(width=330, height=440, seconds=0.4)
    commands, detail, sliding = bench.tables(settings, tmp_path, lambda _: None)
    assert commands.rows == (("video", "0.80", "0.50", "0.40", "1.00"), ("picture", "0.20", "2.00", "0.10", "4.00"))
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
