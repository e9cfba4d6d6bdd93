"""From a table to jobs: every row is checked before the first one runs, and what is wrong is said all at once."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np

from talkinghead.errors import InputError, TalkingHeadError
from talkinghead.files import cache_key
from talkinghead.fleet.columns import Columns, Line, Settings
from talkinghead.fleet.contents import Contents
from talkinghead.fleet.job import Job
from talkinghead.fleet.table import Row, Table, column_name
from talkinghead.places import folded_name
from talkinghead.storage.address import Address

FAULTS_SHOWN = 20
CHARACTERS_PER_S = 14.0
"""Of spoken text in letters, at usual pace."""
SIGNS_PER_S = 4.5
"""Of Chinese, Japanese and Korean text, where a sign is a syllable."""
_FIRST_SIGN = "\u2e80"

Tell = Callable[[str, int, int | None], None]
"""Told what is being done, how far that is, and of how much."""


class TableError(InputError):
    """Rows of a table that cannot be used.

    Attributes:
        faults: the first of them, "row 7: ..." each.
        count: how many there are.
    """

    def __init__(self, name: str, faults: Sequence[str], count: int, rows: int) -> None:
        self.faults, self.count = tuple(faults), count
        more = f"\nand {count - len(faults):,} more" if count > len(faults) else ""
        what = "1 fault" if count == 1 else f"{count:,} faults"
        of = "1 row" if rows == 1 else f"{rows:,} rows"
        super().__init__(f"{name} has {what} in {of}; nothing was started.\n" + "\n".join(faults) + more)


class Faults:
    """What is wrong with a table: the first ones by row, and how many."""

    def __init__(self) -> None:
        self._first: list[tuple[int, int, str]] = []
        self.count = 0

    def add(self, row: int, text: str) -> None:
        """One more.

        Args:
            row: its number; 0 for the heading.
            text: "row 7: ..."
        """
        self.count += 1
        heapq.heappush(self._first, (-row, -self.count, text))
        if len(self._first) > FAULTS_SHOWN:
            heapq.heappop(self._first)

    def refuse(self, name: str, rows: int) -> None:
        """Raise if there is one.

        Raises:
            TableError
        """
        if self.count:
            shown = [text for _, _, text in sorted(self._first, reverse=True)]
            raise TableError(name, shown, self.count, rows)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row, checked, as it is kept until it is a job."""

    row: int
    line: int | None
    settings: int
    source: int | str | None
    """Number of a file; a name; None."""
    speech: dict[str, Any]
    audio: int | None
    phones: int | None
    voice: tuple[int, ...]
    output: str

    def to_bytes(self) -> bytes:
        values = [getattr(self, name) for name in self.__slots__]
        return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"

    @staticmethod
    def of(line: bytes) -> _Entry:
        return _Entry(*json.loads(line))

    @property
    def place(self) -> str:
        """For messages."""
        return Row(self.row, {}, line=self.line).place

    @property
    def files(self) -> Iterator[int]:
        """Numbers of what it reads besides its settings."""
        if isinstance(self.source, int):
            yield self.source
        if self.audio is not None:
            yield self.audio
        if self.phones is not None:
            yield self.phones
        yield from self.voice


class RowRequest(Mapping[str, Any]):
    """A request as its row, small: what many rows have in common is there once."""

    __slots__ = ("_output", "_settings", "_source", "_speech")

    def __init__(self, settings: Mapping[str, Any], source: str | None, speech: str, output: str) -> None:
        self._settings, self._source, self._speech, self._output = settings, source, speech, output

    def _whole(self) -> dict[str, Any]:
        own = {"source": self._source, "speech": json.loads(self._speech), "output": self._output}
        return {**own, **self._settings}

    def __getitem__(self, name: str) -> Any:
        return self._whole()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return 3 + len(self._settings)


@dataclass(frozen=True)
class _Known:
    """Settings with what follows from the files that they name."""

    row: Mapping[str, Any]
    key: str
    head: str
    look: str
    """What two prepared faces of one picture have in common."""


class Plan(Sequence[Job]):
    """The jobs of a table in its order. They are read again each time; a few bytes per row are in memory."""

    def __init__(self, name: str, out: Address, contents: Contents) -> None:
        self.name, self.out = name, out
        self._contents = contents
        self._file = tempfile.TemporaryFile("w+b", prefix="talkinghead-")  # noqa: SIM115 (lives as long as the plan)
        weakref.finalize(self, self._file.close)
        self._offsets = array("Q")
        self._settings: list[Settings] = []
        self._known: list[_Known | None] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> list[Job]: ...
    def __getitem__(self, index: int | slice) -> Job | list[Job]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._job(self._entry(range(len(self))[index]))

    def __iter__(self) -> Iterator[Job]:
        return (self._job(entry) for entry in self._entries())

    @property
    def files(self) -> int:
        """How many files and folders its rows read, each counted once."""
        return len(self._contents)

    @property
    def bytes_read(self) -> int:
        """Of all of them, as far as it is known."""
        return self._contents.bytes

    def add(self, line: Line, row: Row) -> None:
        """Note a row that was read."""
        number = self._numbers.setdefault(line.settings.text, len(self._settings))
        if number == len(self._settings):
            self._settings.append(line.settings)
            self._known.append(None)
            for address in line.settings.files:
                self._contents.number(address)
        found = [(role, self._contents.number(address, sound=role == "audio")) for role, address in line.files]
        one = dict(found)
        entry = _Entry(
            row=row.number,
            line=row.line,
            settings=number,
            source=one.get("source", line.source),
            speech={name: value for name, value in line.speech.items() if name not in ("path", "phones")},
            audio=one.get("audio"),
            phones=one.get("phones"),
            voice=tuple(file for role, file in found if role == "voice"),
            output=line.output,
        )
        self._offsets.append(self._file.seek(0, os.SEEK_END))
        self._file.write(entry.to_bytes())

    def _entry(self, index: int) -> _Entry:
        self._file.seek(self._offsets[index])
        return _Entry.of(self._file.readline())

    def _entries(self) -> Iterator[_Entry]:
        for start in range(0, len(self), 1000):  # others may read between two blocks
            self._file.seek(self._offsets[start])
            yield from [_Entry.of(self._file.readline()) for _ in range(start, min(start + 1000, len(self)))]

    # What is wrong ----------------------------------------------------------------------------------------------------

    def find_missing(self, faults: Faults) -> None:
        """Note every row that reads something that is not there, or not readable."""
        wrong, silent = self._contents.faults, self._contents.sound_faults
        if not wrong and not silent:
            return
        settings = [
            next((wrong[n] for n in map(self._contents.number, one.files) if n in wrong), "") for one in self._settings
        ]
        for entry in self._entries():
            texts = [wrong[file] for file in entry.files if file in wrong]
            texts += [silent[entry.audio]] if entry.audio in silent else []
            texts += [settings[entry.settings]] if settings[entry.settings] else []
            if texts:
                faults.add(entry.row, f"{entry.place}: {' '.join(dict.fromkeys(texts))}")

    def find_clashes(self, faults: Faults) -> None:
        """Note every row whose video is that of an earlier row, or one of the files that are read."""
        names = np.fromiter((_hash(entry.output) for entry in self._entries()), np.uint64, len(self))
        order = np.argsort(names, kind="stable")
        same = np.flatnonzero(names[order][1:] == names[order][:-1])
        for place in same.tolist():
            first = self._entry(int(order[np.searchsorted(names[order], names[order[place]])]))
            later = self._entry(int(order[place + 1]))
            faults.add(later.row, f"{later.place}: its video is {later.output!r}, and so is that of row {first.row:,}.")
        read = self._read_below_out()
        if read:
            for entry in self._entries():
                if folded_name(entry.output) in read:
                    faults.add(entry.row, f"{entry.place}: its video {entry.output!r} would replace what is read.")

    def _read_below_out(self) -> set[str]:
        """Names below OUT of files that are read."""
        if not self.out.is_local:
            inside = str(self.out) + "/"
            return {folded_name(n[len(inside) :]) for n in self._contents.names if n.startswith(inside)}
        root = Path(os.path.realpath(self.out.path))
        found = set()
        for name in self._contents.names:
            address = Address.of(name)
            if address.is_local and (real := Path(os.path.realpath(address.path))).is_relative_to(root):
                found.add(folded_name(real.relative_to(root).as_posix()))
        return found

    # Jobs -------------------------------------------------------------------------------------------------------------

    def _job(self, entry: _Entry) -> Job:
        known = self._known[entry.settings] or self._know(entry.settings)
        contents, speech = self._contents, dict(entry.speech)
        marks: dict[str, Any] = {"said": entry.speech}
        if entry.audio is not None:
            speech["path"] = contents.names[entry.audio]
            marks["audio"] = contents.mark(entry.audio)
        if entry.phones is not None:
            speech["phones"] = contents.names[entry.phones]
            marks["phones"] = contents.mark(entry.phones)
        if entry.voice:
            marks["voice"] = [contents.mark(file) for file in entry.voice]
            marks["said"] = _with_marks(entry.speech, {contents.names[n]: contents.mark(n) for n in entry.voice})
        by_name = not isinstance(entry.source, int)
        source = entry.source if by_name else contents.names[entry.source]  # type: ignore[index]
        seen = entry.source if by_name else contents.mark(entry.source)  # type: ignore[arg-type]
        key = cache_key("job/1", settings=known.key, source=[by_name, seen], speech=marks, output=entry.output)
        output = self.out.join(entry.output)
        return Job(
            key=key,
            row=entry.row,
            request=RowRequest(known.row, source, json.dumps(speech), output.name),  # type: ignore[arg-type]
            output=str(output),
            head=known.head,
            face=self._face(known.head, known.look, by_name, seen),
            seconds=self._seconds(entry),
            bytes_read=sum(contents.size(file) for file in entry.files),
        )

    @staticmethod
    @lru_cache(maxsize=1 << 14)
    def _face(head: str, look: str, by_name: bool, seen: str | None) -> str:
        return f"{head}-{cache_key('face/1', source=[by_name, seen], look=look)[:12]}"

    def _seconds(self, entry: _Entry) -> float:
        if entry.audio is None:
            speed = float(entry.speech.get("options", {}).get("speed", 1.0))
            return text_seconds(str(entry.speech.get("text", "")), speed)
        rest = max(0.0, self._contents.seconds(entry.audio) - float(entry.speech.get("start_s", 0.0)))
        wanted = entry.speech.get("duration_s")
        return rest if wanted is None else min(rest, float(wanted))

    def _know(self, number: int) -> _Known:
        settings, contents = self._settings[number], self._contents
        marks = {address.text: contents.mark(contents.number(address)) for address in settings.files}
        row = _with_marks(settings.row, marks)
        load = {name: row.get(name) for name in ("model", "load")}
        fps = row.get("render", {}).get("fps")
        head = f"{settings.facts.name}-{cache_key('head/1', load=load, files=sorted(marks.values()))[:12]}"
        key = cache_key("settings/1", row=row, files=sorted(marks.values()))
        known = _Known(settings.row, key, head, cache_key("look/1", prepare=row.get("prepare"), fps=fps))
        self._known[number] = known
        return known


def _with_marks(value: Any, marks: Mapping[str, str]) -> Any:
    """A row with what files hold in place of their names."""
    if isinstance(value, Mapping):
        return {name: _with_marks(item, marks) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_marks(item, marks) for item in value]
    return marks.get(value, value) if isinstance(value, str) else value


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(folded_name(name).encode("utf-8", "surrogatepass"), digest_size=8).digest())


def text_seconds(text: str, speed: float = 1.0) -> float:
    """About how long a text takes to say."""
    signs = sum(letter >= _FIRST_SIGN for letter in text)
    return (signs / SIGNS_PER_S + (len(text) - signs) / CHARACTERS_PER_S) / speed


def make_plan(
    table: Table, name: str, columns: Columns, contents: Contents, out: Address, tell: Tell | None = None
) -> Plan:
    """Check every row of a table, and look at every file that it names.

    Args:
        name: of the table, for messages.
        contents: an empty one; knows all files afterwards.
        out: folder of the videos.
        tell: called now and then.
    Raises:
        TableError: rows that cannot be used; the first twenty faults and their number.
        InputError: no rows; a pattern with a field that there is not. StorageError: a place cannot be asked.
    """
    plan, faults = Plan(name, out, contents), Faults()
    rows = 0
    for row, line in _lines(table, columns, faults):
        rows = row.number
        if line is not None:
            plan.add(line, row)
        if tell is not None and rows % 1000 == 0:
            tell("checking rows", rows, None)
    if not rows and not faults.count:
        raise InputError(f"{name} has no rows.", accepted="a job in each line below the heading")
    plan.find_clashes(faults)
    contents.look(lambda done, all_: tell("looking for files", done, all_) if tell else None, deep=False)
    plan.find_missing(faults)
    faults.refuse(name, rows)
    contents.look(lambda done, all_: tell("reading files", done, all_) if tell else None)
    plan.find_missing(faults)
    faults.refuse(name, rows)
    return plan


def _lines(table: Table, columns: Columns, faults: Faults) -> Iterator[tuple[Row, Line | None]]:
    """Rows, and what was read of them; None for one that has a fault. Columns that there are not are told once."""
    known: dict[str, bool] = {}

    def look_at(names: Iterable[str], place: str, row: int) -> None:
        for name in names:
            if name not in known:
                problem = columns.problem(name)
                known[name] = not problem
                if problem:
                    faults.add(row, f"{place}: {problem}")

    if table.columns is not None:
        names = [column_name(name) for name in table.columns if name.strip()]
        columns.check_pattern(names)
        look_at(names, "heading", 0)
    for row in table.rows():
        line = None
        if row.fault:
            faults.add(row.number, f"{row.place}: {row.fault}")
        else:
            if table.columns is None:
                look_at(row.cells, row.place, row.number)
            if not all(known[name] for name in row.cells):
                row = replace(row, cells={name: text for name, text in row.cells.items() if known[name]})
            line = _line(row, columns, faults)
        yield row, line


def _line(row: Row, columns: Columns, faults: Faults) -> Line | None:
    try:
        return columns.read(row.number, row.cells)
    except TalkingHeadError as error:
        faults.add(row.number, f"{row.place}: {error.in_one_line}")
        return None
