"""Sound files that are several files one after the other: where each begins, and how to open one of them.

FFmpeg reads ADTS and AC-3 on across a joint. It takes the tags of a second MP3 for sound, stops at the end of the first
WAV, loses the second FLAC if its format differs, and refuses Ogg chains whose channels change; these are therefore
opened piece by piece.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from talkinghead.media.container import open_input, open_stream
from talkinghead.media.formats import is_mpeg_frame

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_PIECES = 1_000
"""More is damage that looks like beginnings; the file is then read as one."""

SEARCH_BYTES, OVERLAP = 1 << 20, 7

_OGG_HEADER = struct.Struct("<4sBBqIIIB")
_OGG_BEGINS = 2
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_WAV_NAME = b"WAVEfmt "
_FLAC_NAMES = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
"""How a FLAC file begins: its name and the head of STREAMINFO, which has 34 bytes."""
_MP3_NAMES = re.compile(b"ID3|Xing|Info")
_XING_AFTER = (13, 21, 36)
"""Bytes from the beginning of a first frame to its name, by version and channels."""


@dataclass(frozen=True)
class Piece:
    """Bytes [start, stop) of a file, a whole file of its own."""

    start: int
    stop: int
    format: str
    """FFmpeg's name of its container."""


def joined_pieces(path: Path) -> tuple[Piece, ...]:
    """The files that a WAV, FLAC, Ogg or MP3 file consists of; empty for one, and for all other formats."""
    with path.open("rb") as file:
        magic = file.read(4)
        size = file.seek(0, io.SEEK_END)
        find: Callable[[BinaryIO, int], Iterator[int]]
        if _begins_mp3(file, 0):
            name, find = "mp3", _mp3_files
        elif magic in _FINDERS:
            name, find = _FINDERS[magic]
        else:
            return ()
        starts = list(itertools.islice(find(file, size), MAX_PIECES + 1))
    if not 1 < len(starts) <= MAX_PIECES:
        return ()
    stops = [*starts[1:], size]
    return tuple(Piece(start, stop, name) for start, stop in zip(starts, stops, strict=True))


def open_piece(path: Path, piece: Piece | None) -> InputContainer:
    """Open a piece of a file for its sound; None opens the file itself.

    Raises:
        MediaNotFound, UnreadableMedia, NoAudioStream
    """
    if piece is None:
        return open_input(path, sound_only=True)
    return open_stream(_Slice(path, piece), piece.format)


def _ogg_links(file: BinaryIO, size: int) -> Iterator[int]:
    """Where the links of an Ogg chain begin: at a page that begins a stream, after one that does not."""
    at, beginning = 0, False
    while at + _OGG_HEADER.size <= size:
        file.seek(at)
        head = file.read(_OGG_HEADER.size)
        name, _, flags, _, _, _, _, segments = _OGG_HEADER.unpack(head)
        if name != b"OggS":
            return  # damaged; FFmpeg finds the next page
        if flags & _OGG_BEGINS and not beginning:
            yield at
        beginning = bool(flags & _OGG_BEGINS)
        at += _OGG_HEADER.size + segments + sum(file.read(segments))


def _wav_files(file: BinaryIO, size: int) -> Iterator[int]:
    """Where the WAV files begin: after the samples of the one before, or anywhere where it does not say its size."""
    start: int | None = 0
    while start is not None:
        yield start
        end = _wav_end(file, start, size)
        if end is not None:
            start = next((at for at in (end, end + end % 2) if _is_wav(file, at)), None)
        else:
            names = _places(file, re.compile(_WAV_NAME), start + 20)
            start = next((name - 8 for name, _ in names if _is_wav(file, name - 8)), None)


def _is_wav(file: BinaryIO, at: int) -> bool:
    head = _bytes_at(file, at, 16)
    return head[:4] == b"RIFF" and head[8:] == _WAV_NAME


def _wav_end(file: BinaryIO, start: int, size: int) -> int | None:
    """Where a WAV file ends by its chunks; None where it does not say, or says more than there is."""
    at, has_samples = start + 12, False
    while at + 8 <= size:
        head = _bytes_at(file, at, 8)
        name, length = head[:4], int.from_bytes(head[4:], "little")
        if name == b"RIFF" or (has_samples and not name.strip(b" ").isalnum()):
            return at
        if name == b"data":
            if length in _UNKNOWN_SIZES:
                return None
            has_samples = True
        at += 8 + length + length % 2
    return at if has_samples and at <= size + 1 else None


def _flac_files(file: BinaryIO, size: int) -> Iterator[int]:  # noqa: ARG001 (all finders take it)
    yield 0
    for at, _ in _places(file, re.compile(b"fLaC"), 4):
        if _bytes_at(file, at, 8) in _FLAC_NAMES:
            yield at


def _mp3_files(file: BinaryIO, size: int) -> Iterator[int]:  # noqa: ARG001 (all finders take it)
    """Where MP3 files begin: at a tag (ID3) before sound, or at a first frame that tells of the file (Xing, Info)."""
    last = start = 0
    yield start
    for at, name in _places(file, _MP3_NAMES, 0):
        if name == b"ID3":
            start = at if _begins_mp3(file, at) else last
        else:
            start = next((at - before for before in _XING_AFTER if _is_mpeg(file, at - before)), last)
            tag = _tag_bytes(file, last)
            if start == last + tag:  # the first frame of a file that begins with a tag
                continue
        if start > last:
            last = start
            yield start


def _begins_mp3(file: BinaryIO, at: int) -> bool:
    return _is_mpeg(file, at + _tag_bytes(file, at))


def _tag_bytes(file: BinaryIO, at: int) -> int:
    """Length of the ID3 tag that begins here; 0 if there is none."""
    head = _bytes_at(file, at, 10)
    if len(head) < 10 or head[:3] != b"ID3" or head[3] not in (2, 3, 4) or max(head[6:]) > 127:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


def _is_mpeg(file: BinaryIO, at: int) -> bool:
    """Whether a frame of MPEG audio (layer 1 to 3, not AAC) begins here."""
    return at >= 0 and is_mpeg_frame(_bytes_at(file, at, 3))


_FINDERS: dict[bytes, tuple[str, Callable[[BinaryIO, int], Iterator[int]]]] = {
    b"OggS": ("ogg", _ogg_links),
    b"RIFF": ("wav", _wav_files),
    b"fLaC": ("flac", _flac_files),
}


def _bytes_at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _places(file: BinaryIO, names: re.Pattern[bytes], start: int) -> Iterator[tuple[int, bytes]]:
    """Where some bytes stand, of at most OVERLAP + 1 each, and which."""
    while True:
        data = _bytes_at(file, start, SEARCH_BYTES)
        whole = len(data) < SEARCH_BYTES
        for found in names.finditer(data):
            if whole or found.start() < SEARCH_BYTES - OVERLAP:
                yield start + found.start(), found.group()
        if whole:
            return
        start += SEARCH_BYTES - OVERLAP


class _Slice(io.RawIOBase):
    """Part of a file as a file."""

    def __init__(self, path: Path, piece: Piece) -> None:
        self._file = path.open("rb")
        self._start, self._size = piece.start, piece.stop - piece.start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()
