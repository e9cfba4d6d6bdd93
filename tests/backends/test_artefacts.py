"""Compiled networks on disk."""

from __future__ import annotations

import os
from pathlib import Path

from talkinghead.backends import artefacts


def test_keep_find_trim_and_clear(tmp_path: Path) -> None:
    folder = artefacts.compiled_folder(tmp_path / "cache")
    assert artefacts.find(folder / "a.blob") is None
    assert artefacts.entries(folder) == []
    for age, name in enumerate("abc"):
        artefacts.keep(folder / f"{name}.blob", bytes(100), max_bytes=250)
        if (folder / f"{name}.blob").exists():
            os.utime(folder / f"{name}.blob", (age, age))
    assert [path.name for path, _, _ in artefacts.entries(folder)] == ["b.blob", "c.blob"]
    found = artefacts.find(folder / "b.blob")
    assert found is not None
    assert found.tobytes() == bytes(100)
    assert [path.name for path, _, _ in artefacts.entries(folder)] == ["c.blob", "b.blob"]
    (folder / "notes.txt").write_text("mine")
    assert artefacts.clear(folder) == 200
    assert (folder / "notes.txt").exists()


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    artefacts.keep(tmp_path / "file" / "a.blob", b"x")
    assert artefacts.clear(tmp_path / "nowhere") == 0
