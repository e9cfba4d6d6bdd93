"""Where each kind of file holds an XMP packet (Adobe's XMP specification part 3; PNG, GIF89a, Matroska).

MP4, M4V      a `uuid` box between the others: at the end of a finished file, whose index need not be written again;
              behind `moov` of one that is written in fragments, so that it is there before the first picture
MOV           moov/udta/XMP_, written by FFmpeg
WebM, MKV     the tags XMP and DIGITAL_SOURCE_TYPE; no standard names a place, and WebM has no attachments
PNG           an iTXt chunk XML:com.adobe.xmp behind the header, in each picture
GIF           an application extension "XMP Data" with its trailer, before the first picture
JPEG, WebP    are read, not written
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from talkinghead.provenance.xmp import MAX_PACKET_BYTES

UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Of XMP boxes."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEYWORD = b"XML:com.adobe.xmp"
PNG_HEADER_BYTES = 33
"""Signature and IHDR."""
GIF_HEADER = (b"GIF87a", b"GIF89a")
GIF_EXTENSION = b"\x21\xff\x0bXMP DataXMP"
GIF_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
"""Whatever byte of a packet is taken for the length of a block, the blocks end in this."""
JPEG_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
TAG = "XMP"
"""Of Matroska; MOV files give it the name `MOV_KEY` in FFmpeg."""
MOV_KEY = "xmp"
MAX_BOXES = 100_000
"""Boxes, chunks and blocks that are looked at."""


def uuid_box(packet: bytes) -> bytes:
    """The box of an ISO base media file."""
    return struct.pack(">I4s16s", 24 + len(packet), b"uuid", UUID) + packet


def gif_block(packet: bytes) -> bytes:
    """The application extension of a GIF."""
    return GIF_EXTENSION + packet + GIF_TRAILER


def png_chunk(packet: bytes) -> bytes:
    """The chunk of a PNG picture."""
    body = b"iTXt" + PNG_KEYWORD + b"\0\0\0\0\0" + packet
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def labelled_png(picture: bytes, packet: bytes) -> bytes:
    """A PNG file with the packet."""
    return picture[:PNG_HEADER_BYTES] + png_chunk(packet) + picture[PNG_HEADER_BYTES:]


def after_moov(head: bytes) -> int | None:
    """Where the boxes before the first fragment of an ISO base media file end; None while that cannot be told."""
    at = 0
    while at + 8 <= len(head):
        size, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if size < 8 or kind in (b"moof", b"mdat"):
            return at
        at += size
        if kind == b"moov":
            return at if at <= len(head) else None
    return None


def after_gif_palette(head: bytes) -> int | None:
    """Where the header of a GIF ends; None while that cannot be told."""
    if len(head) < 13:
        return None
    end = 13 + (3 << (1 + (head[10] & 7)) if head[10] & 0x80 else 0)
    return end if len(head) >= end else None


class Inserting:
    """A file that is written from its beginning to its end, into which bytes are put on the way.

    Args:
        path: of the new file.
        where: from the first bytes to the place; None while it cannot be told.
        inserted: what is put there.
    """

    def __init__(self, path: Path, where: Callable[[bytes], int | None], inserted: bytes) -> None:
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._where, self._inserted = where, inserted
        self._head: bytes | None = b""
        self.name = str(path)

    def write(self, data: bytes) -> int:
        """Write what comes next."""
        whole = bytes(data)
        if self._head is not None:
            self._head += whole
            at = self._where(self._head)
            if at is None:
                return len(data)
            whole, self._head = self._head[:at] + self._inserted + self._head[at:], None
        view = memoryview(whole)
        while view:
            view = view[self._file.write(view) :]
        return len(data)

    def close(self) -> None:
        """End the file; what waited for its place is written."""
        if self._file.closed:
            return
        try:
            if self._head:
                self._file.write(self._head)
        finally:
            self._file.close()


def move_fragment_index(path: Path, by: int) -> None:
    """Correct the index at the end of a file in fragments into which bytes were put before its first fragment."""
    with path.open("r+b") as file:
        size = file.seek(0, io.SEEK_END)
        if size < 16:
            return
        file.seek(size - 16)
        last = file.read(16)
        length = int.from_bytes(last[12:], "big")
        if last[4:8] != b"mfro" or not 16 < length <= size:
            return
        file.seek(size - length)
        index = bytearray(file.read(length))
        for start, end in _tables(index):
            _move_entries(index, start, end, by)
        file.seek(size - length)
        file.write(index)


def _tables(index: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Where the `tfra` boxes of an `mfra` box lie."""
    at = 8
    while at + 8 <= len(index):
        size = int.from_bytes(index[at : at + 4], "big")
        if size < 8:
            return
        if index[at + 4 : at + 8] == b"tfra":
            yield at, min(at + size, len(index))
        at += size


def _move_entries(index: bytearray, start: int, end: int, by: int) -> None:
    """Times and places of fragments: (time, offset) of 8 bytes each in version 1, of 4 in version 0, then numbers."""
    wide = 8 if index[start + 8] == 1 else 4
    lengths = int.from_bytes(index[start + 16 : start + 20], "big")
    numbers = sum(((lengths >> shift) & 3) + 1 for shift in (4, 2, 0))
    step = 2 * wide + numbers
    for at in range(start + 24, end - step + 1, step):
        place = slice(at + wide, at + 2 * wide)
        index[place] = (int.from_bytes(index[place], "big") + by).to_bytes(wide, "big")


def append_box(path: Path, packet: bytes) -> None:
    """Put the packet behind a finished ISO base media file."""
    with path.open("ab") as file:
        file.write(uuid_box(packet))


# Reading --------------------------------------------------------------------------------------------------------------


def find_packet(path: Path) -> bytes | None:
    """The XMP packet of a picture or of an MP4 or MOV file, found by content; None where it has none, or none within
    bounds. Of WebM and MKV the tag of the name `TAG` is what to read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        if head[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip"):
            return _in_boxes(file, path.stat().st_size)
        if head.startswith(PNG_SIGNATURE):
            return _in_png(file)
        if head.startswith(GIF_HEADER):
            return _in_gif(file)
        if head.startswith(b"\xff\xd8\xff"):
            return _in_jpeg(file)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _in_webp(file)
    return None


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes of an ISO base media file between two places: type, and where the content begins and ends."""
    at = start
    for _ in range(MAX_BOXES):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8 or at + 8 > end:
            return
        size, kind, inner = int.from_bytes(header[:4], "big"), header[4:], at + 8
        if size == 1:
            size, inner = int.from_bytes(file.read(8), "big"), at + 16
        elif size == 0:
            size = end - at
        if size < inner - at:
            return
        yield kind, inner, min(at + size, end)
        at += size


def _in_boxes(file: BinaryIO, size: int) -> bytes | None:
    for kind, start, end in boxes(file, 0, size):
        if kind == b"uuid" and _bytes(file, start, start + 16) == UUID:
            return _bytes(file, start + 16, end)
        if kind == b"moov":
            for inner, place, stop in boxes(file, start, end):
                if inner != b"udta":
                    continue
                for name, first, last in boxes(file, place, stop):
                    if name == b"XMP_":
                        return _bytes(file, first, last)
    return None


def _bytes(file: BinaryIO, start: int, end: int) -> bytes | None:
    if not 0 <= end - start <= MAX_PACKET_BYTES:
        return None
    file.seek(start)
    return file.read(end - start)


def _in_png(file: BinaryIO) -> bytes | None:
    file.seek(8)
    for _ in range(MAX_BOXES):
        header = file.read(8)
        if len(header) < 8 or header[4:] == b"IEND":
            return None
        length = int.from_bytes(header[:4], "big")
        if header[4:] != b"iTXt" or length > MAX_PACKET_BYTES:
            file.seek(length + 4, io.SEEK_CUR)
            continue
        keyword, _, rest = file.read(length).partition(b"\0")
        file.seek(4, io.SEEK_CUR)
        if keyword != PNG_KEYWORD:
            continue
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        return _inflated(text) if rest[:1] == b"\1" else text
    return None


def _inflated(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, MAX_PACKET_BYTES)
    except zlib.error:
        return None


def _in_gif(file: BinaryIO) -> bytes | None:
    head = file.read(13 + 3 * 256)
    at = after_gif_palette(head)
    file.seek(at if at is not None else len(head))
    for _ in range(MAX_BOXES):
        kind = file.read(1)
        if kind == b"\x21":
            label, length = file.read(1), file.read(1)
            name = file.read(length[0]) if length else b""
            if label == b"\xff" and name == GIF_EXTENSION[3:]:
                data, found, _ = file.read(MAX_PACKET_BYTES).partition(GIF_TRAILER[:3])
                return data if found else None
        elif kind == b"\x2c":
            place = file.read(9)
            if len(place) == 9 and place[8] & 0x80:
                file.seek(3 << (1 + (place[8] & 7)), io.SEEK_CUR)
            file.seek(1, io.SEEK_CUR)
        else:
            return None
        while (length := file.read(1)) not in (b"", b"\0"):
            file.seek(length[0], io.SEEK_CUR)
    return None


def _in_jpeg(file: BinaryIO) -> bytes | None:
    file.seek(2)
    for _ in range(MAX_BOXES):
        header = file.read(4)
        if len(header) < 4 or header[0] != 0xFF or header[1] in (0xDA, 0xD9):
            return None
        body = file.read(max(0, int.from_bytes(header[2:], "big") - 2))
        if header[1] == 0xE1 and body.startswith(JPEG_PREFIX):
            return body[len(JPEG_PREFIX) :]
    return None


def _in_webp(file: BinaryIO) -> bytes | None:
    file.seek(12)
    for _ in range(MAX_BOXES):
        header = file.read(8)
        if len(header) < 8:
            return None
        length = int.from_bytes(header[4:], "little")
        if header[:4] == b"XMP ":
            return file.read(length) if length <= MAX_PACKET_BYTES else None
        file.seek(length + (length & 1), io.SEEK_CUR)
    return None
