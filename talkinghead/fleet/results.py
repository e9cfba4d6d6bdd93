"""The table of results: one line for each row of the table of jobs, from what the ledger says."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from talkinghead.errors import InputError, choices
from talkinghead.fleet.job import Job
from talkinghead.fleet.ledger import COMPLETED, Entry
from talkinghead.fleet.table import CSV, PARQUET, SUFFIXES, parquet
from talkinghead.storage.address import Address

DONE, FAILED, OPEN = "done", "failed", "open"
"""Made and in its place; put aside after too many attempts; not done yet."""
FIGURES: Mapping[str, type] = {
    "model": str,
    "num_frames": int,
    "fps": str,
    "audio_s": float,
    "wall_s": float,
    "realtime_factor": float,
    "device": str,
    "precision": str,
}
"""What is taken from the report of a video."""
COLUMNS: Mapping[str, type] = {
    "row": int,
    "status": str,
    "output": str,
    "sha256": str,
    "size": int,
    **FIGURES,
    "attempts": int,
    "worker": str,
    "warnings": str,
    "error": str,
}
"""Columns of the table, and of what type they are. Any of them is empty where nothing is known."""
_BATCH = 4096
_RANK = {"failed": 1, "lost": 1, "aside": 2, "done": 3, "resumed": 3}


class Results:
    """What became of jobs. About two hundred bytes for each are in memory.

    Args:
        entries: of the ledger, all writers, each in its own order.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._file = tempfile.TemporaryFile("w+b", prefix="talkinghead-")  # noqa: SIM115 (closed by `close`)
        self._latest: dict[bytes, tuple[int, float, int]] = {}
        """Of each key: rank, time and place of the entry that counts."""
        for entry in entries:
            self.add(entry)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, entry: Entry) -> None:
        """Something more was said."""
        rank = _RANK.get(entry.event)
        if rank is None or not entry.key:
            return
        key = bytes.fromhex(entry.key)
        known = self._latest.get(key)
        if known is None or (rank, entry.t) >= known[:2]:
            place = self._file.seek(0, 2)
            self._file.write(json.dumps(_said(entry)).encode("ascii") + b"\n")
            self._latest[key] = (rank, entry.t, place)

    def row(self, job: Job) -> dict[str, Any]:
        """The line of a job, by column."""
        row: dict[str, Any] = {"row": job.row, "status": OPEN, "output": Address.of(job.output).shown}
        known = self._latest.get(bytes.fromhex(job.key))
        if known is not None:
            self._file.seek(known[2])
            row |= json.loads(self._file.readline())
        return {name: row.get(name) for name in COLUMNS}

    def rows(self, jobs: Iterable[Job]) -> Iterator[dict[str, Any]]:
        """The lines of jobs, in their order."""
        return map(self.row, jobs)


def _said(entry: Entry) -> dict[str, Any]:
    """What an entry says, by column."""
    if entry.event not in COMPLETED:
        error = entry.more.get("error") or entry.more.get("reason") or ""
        status = FAILED if entry.event == "aside" else OPEN
        return {"status": status, "attempts": entry.attempt, "worker": entry.worker, "error": _one_line(error)}
    report = entry.more.get("report", {})
    return {
        "status": DONE,
        "sha256": entry.more.get("sha256"),
        "size": entry.more.get("size"),
        **{name: report.get(name) for name in FIGURES},
        "attempts": entry.attempt,
        "worker": entry.worker,
        "warnings": "; ".join(map(_one_line, report.get("warnings", ()))),
    }


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def check_results_name(name: str) -> str:
    """The format of a table of results by its name.

    Raises:
        InputError: a suffix that stands for none.
    """
    kind = SUFFIXES.get(Path(name).suffix.lower())
    if kind not in (CSV, PARQUET):
        accepted = [suffix for suffix, kind in SUFFIXES.items() if kind in (CSV, PARQUET)]
        raise InputError(f"The table of results is {name!r}.", accepted=f"a name that ends in {choices(accepted)}")
    if kind == PARQUET:
        parquet()
    return kind


def write_results(rows: Iterable[Mapping[str, Any]], path: Path, kind: str) -> None:
    """Write a table of results.

    Args:
        rows: by column, as `Results.rows` gives them.
        path: a file of this machine; written as it goes.
        kind: as `check_results_name` says.
    """
    if kind == PARQUET:
        _write_parquet(rows, path)
        return
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    import pyarrow

    module = parquet()
    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    with module.ParquetWriter(path, schema) as writer:
        batch: list[Mapping[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pyarrow.Table.from_pylist(batch, schema))
