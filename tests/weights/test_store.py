"""The store knows no family: it works on the rows and kinds that it is given."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import MissingWeights, WrongCheckpoint
from talkinghead.weights import write_safetensors
from talkinghead.weights.catalogue import CatalogueEntry, Licence
from talkinghead.weights.kinds import Kind, recognise
from talkinghead.weights.store import ModelStore, part, part_folder, records

LICENCE = Licence("Test licence", "For tests.")
KINDS = (
    Kind("circle", "a circle", model="round", holds=lambda found: "radius" in found.tensors, folder="round/own"),
    Kind("note", "a note", is_file=lambda path: b"note" in path.read_bytes(), suffixes=(".txt",)),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    write_safetensors({"radius": np.ones(1, np.float32)}, tmp_path / "circle.safetensors")
    return tmp_path / "circle.safetensors"


def row(name: str, **facts: str) -> CatalogueEntry:
    return CatalogueEntry(
        name, "a test", f"round/{name}.safetensors", LICENCE, "here", "circle", "round", obtain="Draw it.", **facts
    )


def test_a_public_file_takes_its_row(circle: Path, home: Path) -> None:
    store = ModelStore({"circle": row("circle"), "disc": row("disc")}, KINDS)
    record = store.import_file(circle)
    assert (record.name, record.model, record.file) == ("circle", "round", home / "round" / "circle.safetensors")
    assert store.checkpoint_for("round", None) == record.file
    with pytest.raises(MissingWeights, match="disc"):
        store.checkpoint_for("round", "disc")
    assert part("circle") == record.file
    assert part("disc") is None
    assert part_folder("circle", "disc") is None


def test_a_file_of_ones_own_goes_where_its_kind_is_looked_for(circle: Path, home: Path) -> None:
    record = ModelStore({}, KINDS).import_file(circle, name="mine")
    assert record.file == home / "round" / "own" / "mine.safetensors"
    assert set(records()) == {"mine"}


def test_the_catalogue_decides_the_order(circle: Path, tmp_path: Path) -> None:
    write_safetensors({"radius": np.zeros(1, np.float32)}, tmp_path / "disc.safetensors")
    ModelStore({}, KINDS).import_file(circle, name="a-first")
    store = ModelStore({"disc": row("disc"), "circle": row("circle")}, KINDS)
    store.import_file(circle)
    store.import_file(tmp_path / "disc.safetensors")
    assert list(store.installed()) == ["disc", "circle", "a-first"]
    assert list(records()) == ["a-first", "circle", "disc"]


def test_kinds_are_told_by_tensors_or_by_bytes(circle: Path, tmp_path: Path) -> None:
    assert recognise(circle, KINDS) == "circle"
    (tmp_path / "a.txt").write_text("a note")
    assert recognise(tmp_path / "a.txt", KINDS) == "note"
    (tmp_path / "a.txt").write_text("a letter")
    with pytest.raises(WrongCheckpoint, match="not a text file") as caught:
        recognise(tmp_path / "a.txt", KINDS)
    assert caught.value.accepted == "a note"
    write_safetensors({"side": np.ones(1, np.float32)}, tmp_path / "square.safetensors")
    with pytest.raises(WrongCheckpoint, match="side") as caught:
        recognise(tmp_path / "square.safetensors", KINDS)
    assert caught.value.accepted == "a circle or a note"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of two public files and one of no use."""
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as opened:
        for name in ("first", "second", "third"):
            opened.writestr(f"inside/{name}.txt", f"a note: {name}")
    return tmp_path / "both.zip"


PACKED = {
    name: CatalogueEntry(
        name, "a test", f"notes/{name}.txt", LICENCE, "here", "note", archive_member=f"inside/{name}.txt"
    )
    for name in ("first", "second")
}


@pytest.mark.parametrize(
    ("name", "where", "text"),
    [
        (None, "notes/first.txt", "a note: first"),
        ("first", "notes/first.txt", "a note: first"),
        ("second", "notes/second.txt", "a note: second"),
        ("mine", "mine/mine.txt", "a note: first"),
    ],
)
def test_an_archive_gives_the_file_that_is_meant(
    archive: Path, home: Path, name: str | None, where: str, text: str
) -> None:
    """Under whatever name it is filed."""
    record = ModelStore(PACKED, KINDS).import_file(archive, name=name)
    assert (record.name, record.kind, record.file) == (name or "first", "note", home / where)
    assert record.file.read_text() == text
    assert ModelStore(PACKED, KINDS).verify(record.name) == record.sha256


def test_a_file_in_an_archive_that_is_not_the_public_one_is_refused(archive: Path, home: Path) -> None:
    row = replace(PACKED["first"], member_sha1="0" * 40)
    for name in (None, "mine"):
        with pytest.raises(WrongCheckpoint, match="SHA-1"):
            ModelStore({"first": row}, KINDS).import_file(archive, name=name)
    assert records() == {}
    assert list(home.rglob("*.txt")) == []
