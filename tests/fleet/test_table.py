"""Tables of jobs: the same rows from CSV, JSON Lines and Parquet, and what is said of those that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkinghead.errors import InputError
from talkinghead.fleet.table import cell_text, column_name, open_table

ROWS = [
    {
        "face": "a, b.png",
        "text": 'He said: "Hi"\nand left.',
        "fps": 25.0,
        "idle_motion": True,
        "pads": [0, 10, 0, 0],
    },
    {"face": "ä.png", "text": "你好", "fps": None, "idle_motion": False, "pads": [1, 2, 3, 4]},
]
CELLS = [
    {"face": "a, b.png", "text": 'He said: "Hi"\nand left.', "fps": "25", "idle_motion": "true", "pads": "0,10,0,0"},
    {"face": "ä.png", "text": "你好", "idle_motion": "false", "pads": "1,2,3,4"},
]


def cells_of(path: Path) -> list[dict[str, str]]:
    rows = list(open_table(path).rows())
    assert [row.fault for row in rows] == [""] * len(rows)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    return [dict(row.cells) for row in rows]


def test_json_lines_and_parquet_give_the_same_cells(tmp_path: Path) -> None:
    lines = tmp_path / "jobs.jsonl"
    lines.write_text("\n\n".join(json.dumps(row) for row in ROWS))
    assert cells_of(lines) == CELLS
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "jobs.parquet")
    assert cells_of(tmp_path / "jobs.parquet") == CELLS


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_as_spreadsheets_write_it(tmp_path: Path, delimiter: str) -> None:
    def quoted(values: list[str]) -> str:
        return delimiter.join('"' + value.replace('"', '""') + '"' for value in values)

    names = ["Face", "text", "FPS", "idle-motion", "--pads", ""]
    rows = [[*(row.get(name, "") for name in ("face", "text", "fps", "idle_motion", "pads")), ""] for row in CELLS]
    path = tmp_path / "jobs.csv"
    lines = [delimiter.join(names), *map(quoted, rows), delimiter * 5, ""]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert cells_of(path) == CELLS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")), min_size=1, max_size=8))
def test_any_text_comes_back(tmp_path: Path, texts: list[str]) -> None:
    import csv

    with (tmp_path / "jobs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["text", "output"], *([text, "x"] for text in texts)])
    found = [row.cells.get("text", "") for row in open_table(tmp_path / "jobs.csv").rows()]
    assert found == [text if text.strip() else "" for text in texts]


@pytest.mark.parametrize(
    ("content", "fault", "line"),
    [
        ("face,text\na.png,Hello, you\n", "has 3 cells, and the table 2 columns", 2),
        ("face,\na.png,b\n", "a column without a name", 2),
        ('face,text\n"a\n.png",b,c\n', "has 3 cells", 3),
    ],
)
def test_rows_of_csv_that_cannot_be_read(tmp_path: Path, content: str, fault: str, line: int) -> None:
    (tmp_path / "jobs.csv").write_text(content)
    (row,) = open_table(tmp_path / "jobs.csv").rows()
    assert fault in row.fault
    assert row.place == f"row 1 (line {line})"


@pytest.mark.parametrize(
    "line", ['{"face": ', "[1]", '{"text": {"a": 1}}', '{"face": "a", "Face": "b"}', "[" * 100_000]
)
def test_lines_of_json_that_are_no_jobs(tmp_path: Path, line: str) -> None:
    (tmp_path / "jobs.jsonl").write_text(f'{{"text": "a"}}\n{line}\n')
    good, bad = open_table(tmp_path / "jobs.jsonl").rows()
    assert (good.fault, bad.cells) == ("", {})
    assert bad.fault


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("jobs.xlsx", b"x", "no table of jobs"),
        ("jobs.csv", b"", "no columns"),
        ("jobs.csv", b"face,Face\n", "two columns"),
        ("jobs.csv", b"face\n\xff\xfe\n", "UTF-8"),
        ("jobs.jsonl", b"\xff\n", "UTF-8"),
        ("jobs.csv", b'face\n"a', "no CSV from row 1 on"),
        ("jobs.parquet", b"face\n", "Parquet"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        list(open_table(tmp_path / name).rows())


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    for name in ("jobs.csv", "jobs.jsonl", "jobs.parquet"):
        with pytest.raises(InputError, match="no table"):
            open_table(tmp_path / name)


def test_names_and_cells() -> None:
    assert column_name(" --Face-Start ") == "face_start"
    assert [cell_text(value) for value in (None, float("nan"), 3.0, 0.25, 2**60, [], {})] == [
        "", "", "3", "0.25", str(2**60), "", None,
    ]  # fmt: skip
