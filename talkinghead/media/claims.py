"""What the tables of an MP4 or MOV file claim, added up before FFmpeg sets memory aside for it.

FFmpeg keeps 24 bytes for each sample that a file says it has. A table with one entry per sample cannot say more than
it has bytes, but three things can:

    stsz    "n samples of the same size" in 12 bytes
    trun    "n samples like the others" in 8 bytes, in each fragment
    elst    the same samples shown again, once per entry

Only headers are read here, never samples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from talkinghead.errors import UnreadableMedia
from talkinghead.media.limits import MAX_INDEX_ENTRIES

MAX_BOXES = 4_000_000
MAX_DEPTH = 16
PCM_SAMPLES_PER_ENTRY = 1024
"""FFmpeg takes so many samples of uncompressed sound together."""

_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"dinf", b"udta", b"wave"}
_SAMPLE_FIELDS = 0xF00
"""Flags of a `trun` that spends bytes on each sample."""


@dataclass
class _Track:
    """What one `trak` says."""

    kinds: set[bytes] = field(default_factory=set)
    samples: int = 0
    same_size: bool = False
    times: list[tuple[int, int]] = field(default_factory=list)
    """(samples, ticks for each) of the first entries of `stts`."""
    more_times: bool = False
    ticks_per_s: int = 1
    edits: int = 0
    edit_ticks: int = 0
    """All edits together, in ticks of the film."""
    chunks: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)
    """(first chunk, samples in each) of `stsc`."""

    def entries(self, film_ticks_per_s: int) -> int:
        """Entries of FFmpeg's index that cost the file nothing."""
        claimed = 0
        if self.kinds == {b"soun"} and not self.more_times and [ticks for _, ticks in self.times] == [1]:
            claimed = self._chunk_entries()
        elif self.same_size:
            claimed = self.samples
        length = sum(count * ticks for count, ticks in self.times)
        if self.edits > 1 and length:
            shown = self.edit_ticks * self.ticks_per_s * self.samples // (max(1, film_ticks_per_s) * length)
            claimed += max(0, min(shown, self.edits * self.samples) - self.samples)
        return claimed

    def _chunk_entries(self) -> int:
        ends = [first for first, _ in self.runs[1:]] + [self.chunks + 1]
        return sum(
            max(0, end - first) * -(-samples // PCM_SAMPLES_PER_ENTRY)
            for (first, samples), end in zip(self.runs, ends, strict=False)
        )


class _Claims:
    """Walks through the boxes of a file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._size = path.stat().st_size
        self._boxes = 0
        self._tracks: list[_Track] = []
        self._fragments = 0
        self._film_ticks_per_s = 1

    def check(self) -> None:
        self._walk(0, self._size, 0)
        claimed = self._fragments + sum(track.entries(self._film_ticks_per_s) for track in self._tracks)
        if claimed > MAX_INDEX_ENTRIES:
            raise UnreadableMedia(
                f"{str(self._path)!r} claims {claimed} samples that are not in it ({self._size} bytes).",
                accepted=f"at most {MAX_INDEX_ENTRIES} samples that the file only counts",
                remedy="export it again from the program that made it",
            )

    def _walk(self, at: int, end: int, depth: int) -> None:
        for kind, start, stop in self._inside(at, end):
            if kind == b"cmov":
                raise UnreadableMedia(
                    f"{str(self._path)!r} has a compressed header, as QuickTime wrote it until 2005.",
                    remedy="convert it to MP4",
                )
            if kind == b"trak":
                self._tracks.append(_Track())
            if kind in _FOLDERS:
                if depth < MAX_DEPTH:
                    self._walk(start, stop, depth + 1)
            elif kind in _READERS:
                _READERS[kind](self, start, stop)

    def _inside(self, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """(type, start, stop) of the boxes between two places of the file."""
        while at + 8 <= end:
            self._boxes += 1
            if self._boxes > MAX_BOXES:
                raise UnreadableMedia(f"{str(self._path)!r} consists of more than {MAX_BOXES} boxes.")
            size, kind = struct.unpack(">I4s", self._read(at, 8))
            head = 8
            if size == 1 and at + 16 <= end:
                (size,) = struct.unpack(">Q", self._read(at + 8, 8))
                head = 16
            stop = end if size == 0 else min(end, at + max(size, head))
            yield kind, at + head, stop
            at = stop

    def _read(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        return self._file.read(count).ljust(count, b"\0")

    @property
    def _track(self) -> _Track:
        if not self._tracks:  # a table outside a track is not used
            self._tracks.append(_Track())
        return self._tracks[-1]

    def _rows(self, start: int, stop: int, head: int, row: str, most: int) -> tuple[int, list[tuple[int, ...]]]:
        """(rows that are there, the first of them) of a table that begins with its count after `head` bytes."""
        (count,) = struct.unpack(">I", self._read(start + head, 4))
        size = struct.calcsize(row)
        count = min(count, max(0, stop - start - head - 4) // size)
        data = self._read(start + head + 4, min(count, most) * size)
        return count, list(struct.iter_unpack(row, data))

    def _mvhd(self, start: int, stop: int) -> None:  # noqa: ARG002 (the same for all boxes)
        self._film_ticks_per_s = self._clock(start)

    def _mdhd(self, start: int, stop: int) -> None:  # noqa: ARG002
        self._track.ticks_per_s = self._clock(start)

    def _clock(self, start: int) -> int:
        at = 20 if self._read(start, 1) == b"\1" else 12
        (ticks,) = struct.unpack(">I", self._read(start + at, 4))
        return max(1, int(ticks))

    def _hdlr(self, start: int, stop: int) -> None:  # noqa: ARG002
        kind = self._read(start + 8, 4)
        if kind in (b"soun", b"vide"):  # there are others, for tables and notes
            self._track.kinds.add(kind)

    def _stsz(self, start: int, stop: int) -> None:  # noqa: ARG002
        size, count = struct.unpack(">II", self._read(start + 4, 8))
        self._track.samples = max(self._track.samples, int(count))
        self._track.same_size = self._track.same_size or bool(size)

    def _stz2(self, start: int, stop: int) -> None:  # noqa: ARG002
        (count,) = struct.unpack(">I", self._read(start + 8, 4))
        self._track.samples = max(self._track.samples, int(count))

    def _stts(self, start: int, stop: int) -> None:
        count, rows = self._rows(start, stop, 4, ">II", 4096)
        self._track.more_times = self._track.more_times or count > len(rows) or bool(self._track.times)
        self._track.times = [(row[0], row[1]) for row in rows]

    def _stsc(self, start: int, stop: int) -> None:
        _, rows = self._rows(start, stop, 4, ">III", MAX_INDEX_ENTRIES)
        self._track.runs = [(row[0], row[1]) for row in rows]

    def _stco(self, start: int, stop: int) -> None:
        count, _ = self._rows(start, stop, 4, ">I", 0)
        self._track.chunks = max(self._track.chunks, count)

    def _elst(self, start: int, stop: int) -> None:
        long = self._read(start, 1) == b"\1"
        count, rows = self._rows(start, stop, 4, ">QqI" if long else ">IiI", MAX_INDEX_ENTRIES)
        self._track.edits += count
        self._track.edit_ticks += sum(row[0] for row in rows)

    def _trun(self, start: int, stop: int) -> None:  # noqa: ARG002
        flags, count = struct.unpack(">II", self._read(start, 8))
        if not flags & _SAMPLE_FIELDS:
            self._fragments += int(count)


_READERS = {
    b"mvhd": _Claims._mvhd,
    b"mdhd": _Claims._mdhd,
    b"hdlr": _Claims._hdlr,
    b"stsz": _Claims._stsz,
    b"stz2": _Claims._stz2,
    b"stts": _Claims._stts,
    b"stsc": _Claims._stsc,
    b"stco": _Claims._stco,
    b"co64": _Claims._stco,
    b"elst": _Claims._elst,
    b"trun": _Claims._trun,
}


def check_claims(path: Path) -> None:
    """Refuse an MP4 or MOV file whose tables claim far more samples than they name.

    Raises:
        UnreadableMedia
    """
    with path.open("rb") as file:
        _Claims(path, file).check()
