"""The store knows no family: it works on the rows and kinds that it is given."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import MissingWeights, OptionError, WrongCheckpoint
from talkinghead.weights import write_safetensors
from talkinghead.weights.catalogue import CatalogueEntry, Licence
from talkinghead.weights.kinds import Kind, recognise
from talkinghead.weights.store import ModelStore, named_part, part, part_folder, part_of_kind, records

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


# Folders


def drawn(path: Path, radius: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors({"radius": np.full(1, radius, np.float32)}, path)
    return path


ROUND = (
    *KINDS,
    Kind("ink", "the ink", holds=lambda found: "colour" in found.tensors),
)


def inked(path: Path, colour: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors({"colour": np.full(1, colour, np.float32)}, path)
    return path


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["1.safetensors", "10.safetensors", "9.safetensors"], "10"),
        (["chkpnt_10000.safetensors", "chkpnt_latest.safetensors"], "chkpnt_latest"),
        (["net_best.safetensors", "net_3.safetensors", "net_last.safetensors"], "net_last"),
    ],
)
def test_of_a_folder_the_latest_checkpoint_is_filed(tmp_path: Path, home: Path, names: list[str], taken: str) -> None:
    folder = tmp_path / "head3d" / "model"
    for number, name in enumerate(names):
        drawn(folder / name, number)
    (folder / "log.txt").write_text("a letter")
    inked(folder / "ink.safetensors")
    store = ModelStore({}, ROUND)
    model, part_of_it = store.import_folder(folder)
    assert (model.name, model.model) == ("head3d", "round")
    assert Path(model.origin).stem == taken
    assert part_of_it.kind == "ink"
    assert store.import_folder(folder)[0] == model
    assert store.import_folder(tmp_path / "head3d", name="other")[0].name == "other"  # the folder in it
    assert store.checkpoint_for("round", "other") == home / "round" / "own" / "other.safetensors"


def test_folders_that_tell_nothing(tmp_path: Path) -> None:
    store = ModelStore({}, ROUND)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongCheckpoint, match="no file that this package knows"):
        store.import_folder(tmp_path / "empty")
    drawn(tmp_path / "two" / "anna.safetensors")
    drawn(tmp_path / "two" / "bert.safetensors", 2.0)
    with pytest.raises(WrongCheckpoint, match=r"anna.safetensors, bert.safetensors"):
        store.import_folder(tmp_path / "two")
    with pytest.raises(WrongCheckpoint, match="is a folder"):
        store.import_file(tmp_path / "two")
    assert records() == {}


def test_a_part_that_was_filed_before_stays(tmp_path: Path) -> None:
    store = ModelStore({}, ROUND)
    mine = store.import_file(inked(tmp_path / "ink.safetensors"))
    inked(drawn(tmp_path / "anna" / "1.safetensors").with_name("ink.safetensors"), 2.0)
    assert [record.name for record in store.import_folder(tmp_path / "anna")] == ["anna"]
    assert part("ink") == mine.file


def test_a_part_is_found_under_any_name_and_where_there_are_several_one_has_to_be_said(tmp_path: Path) -> None:
    store = ModelStore({}, ROUND)
    assert part_of_kind("ink") is None
    first = store.import_file(inked(tmp_path / "a.safetensors"), name="blue")
    assert part_of_kind("ink") == first.file
    second = store.import_file(inked(tmp_path / "b.safetensors", 2.0), name="red")
    with pytest.raises(OptionError, match="blue or red"):
        part_of_kind("ink")
    assert named_part(Path("red")) == second.file
    assert named_part(Path("green")) == Path("green")  # whoever opens it says that there is none
    assert named_part(None) is None
    third = store.import_file(inked(tmp_path / "c.safetensors", 3.0), name="ink")
    assert part_of_kind("ink") == third.file


def test_a_bare_name_is_that_of_the_store_also_beside_a_folder_called_so(
    circle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore({}, KINDS)
    record = store.import_file(circle, name="may")
    (tmp_path / "work" / "may").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert store.checkpoint_for("round", "may") == record.file
    assert store.checkpoint_for("round", "./may") == Path("may")
    Path("anna").mkdir()
    assert store.checkpoint_for("round", "anna") == Path("anna")
    (tmp_path / "work" / "may").rmdir()
    Path("may").write_bytes(b"a file of that name is what it says")
    assert store.checkpoint_for("round", "may") == Path("may")
