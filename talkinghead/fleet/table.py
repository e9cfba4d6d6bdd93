"""Tables of jobs: CSV, JSON Lines and Parquet, read row by row, however long they are."""

from __future__ import annotations

import csv
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkinghead.bounds import shown
from talkinghead.errors import InputError, MissingDependency, choices
from talkinghead.reading import parse_json

CSV, JSON_LINES, PARQUET = "csv", "jsonl", "parquet"
SUFFIXES: Mapping[str, str] = {
    ".csv": CSV,
    ".tsv": CSV,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}
"""Which format the suffix of a table stands for."""
DELIMITERS = (",", ";", "\t")
MAX_CELL = 1_000_000
"""Characters of one cell, and of one line of JSON."""
BATCH_ROWS = 4096
"""Rows of a Parquet file that are in memory at once."""


@dataclass(frozen=True)
class Row:
    """One row as it stands in the table."""

    number: int
    """From 1; the heading does not count."""
    cells: Mapping[str, str]
    """Names of columns to text, without those that are empty."""
    fault: str = ""
    """What is wrong with it, if it cannot be read."""
    line: int | None = None
    """Of the file, from 1, where that is not its number."""

    @property
    def place(self) -> str:
        """For messages: "row 7 (line 9)"."""
        return f"row {self.number:,}" + (f" (line {self.line:,})" if self.line not in (None, self.number) else "")


@dataclass(frozen=True)
class Table:
    """A table of jobs in a file of this machine."""

    path: Path
    kind: str
    columns: tuple[str, ...] | None
    """Names of its columns; None where every row has its own (JSON Lines)."""

    def rows(self) -> Iterator[Row]:
        """Its rows from the first to the last; of those that cannot be read, the fault.

        Raises:
            InputError: nothing can be read from some place on.
        """
        if self.kind == CSV:
            return _csv_rows(self.path, self.columns or ())
        return _json_rows(self.path) if self.kind == JSON_LINES else _parquet_rows(self.path)


def open_table(path: Path, name: str | None = None) -> Table:
    """Look at a table: its format and its columns.

    Args:
        name: what it is called where it came from; its suffix tells the format.
    Raises:
        InputError: no such file, no such format, no columns, two columns of one name.
        MissingDependency: Parquet needs the extra `fleet`.
    """
    name = name or path.name
    kind = SUFFIXES.get(Path(name).suffix.lower())
    if kind is None:
        raise InputError(f"{name!r} is no table of jobs.", accepted=f"a file that ends in {choices(list(SUFFIXES))}")
    try:
        columns = {CSV: _csv_columns, PARQUET: _parquet_columns}[kind](path) if kind != JSON_LINES else None
        path.stat()
    except FileNotFoundError as error:
        raise InputError(f"There is no table {str(path)!r}.", remedy="check the spelling and the folder") from error
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    if columns is not None:
        _check_columns(name, columns)
    return Table(path, kind, columns)


def _check_columns(name: str, columns: Sequence[str]) -> None:
    if not any(columns):
        raise InputError(f"{name!r} has no columns.", accepted="a first line with the names of the columns")
    known: set[str] = set()
    for column in columns:
        if column and column_name(column) in known:
            raise InputError(f"{name!r} has two columns {column!r}.", remedy="another name for one")
        known.add(column_name(column))


def column_name(given: str) -> str:
    """A column as it is known here: "--Face-Start" is "face_start"."""
    return given.strip().lstrip("-").replace("-", "_").lower()


def cell_text(value: Any) -> str | None:
    """A value of JSON or Parquet as it would stand in a CSV file; empty for null and not-a-number.

    Returns:
        None for what cannot stand in a cell.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)  # whole numbers with gaps between them come as 25.0 from some programs
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(value, list | tuple):
        parts = [cell_text(part) for part in value]
        return None if None in parts or "" in parts else ",".join(str(part) for part in parts)
    return None


def _row(number: int, cells: Mapping[str, Any], line: int | None = None) -> Row:
    texts: dict[str, str] = {}
    for name, value in cells.items():
        text = cell_text(value)
        if text is None:
            return Row(number, {}, f"{name} is {shown(value)}. Accepted: text, a number, true or false", line)
        if len(text) > MAX_CELL:
            return Row(number, {}, f"{name} has {len(text):,} characters. Accepted: at most {MAX_CELL:,}", line)
        if text.strip():
            texts[column_name(name)] = text
    return Row(number, texts, "", line)


def _not_text(path: Path) -> InputError:
    return InputError(f"{str(path)!r} is not UTF-8.", remedy="save it as UTF-8 text (in Excel: CSV UTF-8)")


# CSV ------------------------------------------------------------------------------------------------------------------


def _csv_columns(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return tuple(next(_reader(file, _delimiter(path)), ()))


def _delimiter(path: Path) -> str:
    """What separates the names in the first line: the sign that stands there most often, outside of quotes."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        heading = file.readline(MAX_CELL)
    outside = "".join(heading.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _reader(file: Any, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_CELL)
    return csv.reader(file, delimiter=delimiter, strict=True)


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader: Any = _reader(file, _delimiter(path))
            next(reader, None)
            for values in reader:
                if not any(value.strip() for value in values):
                    continue  # an empty line, or the empty cells that spreadsheets leave below a table
                number += 1
                if len(values) != len(columns):
                    fault = f"has {len(values)} cells, and the table {len(columns)} columns; quote commas"
                    yield Row(number, {}, fault, reader.line_num)
                elif any(value.strip() and not name for name, value in zip(columns, values, strict=True)):
                    yield Row(number, {}, "has a value in a column without a name", reader.line_num)
                else:
                    yield _row(number, dict(zip(columns, values, strict=True)), reader.line_num)
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except csv.Error as error:
        raise InputError(f"{str(path)!r} is no CSV from row {number + 1:,} on: {error}.") from error


# JSON Lines -----------------------------------------------------------------------------------------------------------


def _json_rows(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(_lines(file), 1):
                if not text.strip():
                    continue
                number += 1
                yield _json_row(number, text, line)
    except UnicodeDecodeError as error:
        raise _not_text(path) from error


def _lines(file: Any) -> Iterator[str]:
    while text := file.readline(MAX_CELL + 1):
        if len(text) > MAX_CELL:
            raise InputError(f"A line has more than {MAX_CELL:,} characters.", accepted="one job per line")
        yield text


def _json_row(number: int, text: str, line: int) -> Row:
    try:
        value = parse_json(text, "a row")
    except InputError:
        return Row(number, {}, f"is no JSON: {shown(text.strip())}", line)
    if not isinstance(value, dict):
        return Row(number, {}, f"is {shown(value)}. Accepted: an object with names and values", line)
    twice = len({column_name(name) for name in value}) != len(value)
    return Row(number, {}, "names a column twice", line) if twice else _row(number, value, line)


# Parquet --------------------------------------------------------------------------------------------------------------


def parquet() -> Any:
    """The module that reads and writes Parquet.

    Raises:
        MissingDependency
    """
    try:
        from pyarrow import parquet as module
    except ImportError as error:
        raise MissingDependency("pyarrow", extra="fleet", purpose="A Parquet table") from error
    return module


def _parquet_file(path: Path) -> Any:
    module = parquet()
    from pyarrow import ArrowInvalid

    path.stat()
    try:
        return module.ParquetFile(path)
    except ArrowInvalid as error:
        raise InputError(f"{str(path)!r} cannot be read as Parquet: {error}.") from error


def _parquet_columns(path: Path) -> tuple[str, ...]:
    with _parquet_file(path) as file:
        return tuple(str(name) for name in file.schema_arrow.names)


def _parquet_rows(path: Path) -> Iterator[Row]:
    number = 0
    with _parquet_file(path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for cells in batch.to_pylist():
                number += 1
                yield _row(number, cells)
