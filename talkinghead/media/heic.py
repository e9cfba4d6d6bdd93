"""HEIC pictures, as phones take them: tiles of H.265 in the container of `heif`, decoded by FFmpeg and put together.

A phone's picture is a grid: its bytes name rows, columns and the size that comes out; tiles follow each other by rows,
and what they have too much at the right and at the bottom is cut off.
"""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import UnreadableMedia
from talkinghead.media import heif
from talkinghead.media.colour import MATRIX_NAMES, rgb_of_still
from talkinghead.media.headers import Header
from talkinghead.media.heif import Heif, Item
from talkinghead.media.pictures import ACCEPTED, Stored, damaged

_CONVERT = "export it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible), or convert it to JPEG or PNG"


def decode_heic(path: Path, data: bytes, header: Header) -> Stored:
    """The picture of a HEIC file before any turn, BGR.

    Raises:
        UnreadableMedia: damaged, or of a kind that cannot be read.
    """
    try:
        box = heif.parse(data)
        assert box.primary is not None
        numbers = _picture(path, box, box.primary, header)
    except (heif.BrokenContainer, struct.error, IndexError) as error:
        raise damaged(path, header.kind) from error
    return Stored(numbers, np.iinfo(numbers.dtype.name).max)


def _picture(path: Path, box: Heif, item: Item, header: Header) -> NDArray[np.generic]:
    if item.kind == b"hvc1":
        return _tile(path, box, item, item, header)[: header.height, : header.width]
    if item.kind != b"grid":
        raise UnreadableMedia(
            f"{str(path)!r} is a HEIC picture of an unusual kind ({item.kind.decode('ascii', 'replace')}).",
            accepted=ACCEPTED,
            remedy=_CONVERT,
        )
    rows, columns, width, height = _grid(box.bytes_of(item))
    tiles = box.tiles(item)
    if len(tiles) != rows * columns or (width, height) != (header.width, header.height):
        raise damaged(path, header.kind)
    result: NDArray[np.generic] | None = None
    for place, part in enumerate(tiles):
        if part.kind != b"hvc1":
            raise damaged(path, header.kind)
        tile = _tile(path, box, part, item, header)
        tall, wide = tile.shape[:2]
        if result is None:
            if rows * tall < height or columns * wide < width:
                raise damaged(path, header.kind)
            result, size = np.empty((height, width, 3), tile.dtype), (tall, wide)
        if (tall, wide) != size:
            raise damaged(path, header.kind)
        top, left = place // columns * tall, place % columns * wide
        room = result[top : top + tall, left : left + wide]
        room[:] = tile[: room.shape[0], : room.shape[1]]
    assert result is not None
    return result


def _grid(data: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, width and height of a grid (ISO/IEC 23008-12, 6.6.2.3)."""
    _, flags, rows, columns = struct.unpack_from(">4B", data)
    width, height = struct.unpack_from(">II" if flags & 1 else ">HH", data, 4)
    return rows + 1, columns + 1, width, height


def _tile(path: Path, box: Heif, item: Item, shown: Item, header: Header) -> NDArray[np.generic]:
    """One coded picture, BGR [H, W, 3], uint8 or uint16."""
    settings = box.find(item, b"hvcC")
    if settings is None:
        raise damaged(path, header.kind)
    context = av.CodecContext.create("hevc", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = box.data[settings.start : settings.stop]
    context.options = {"max_pixels": str(header.pixels)}
    context.thread_count = 1
    try:
        packets = (av.Packet(box.bytes_of(item)), None)
        frame = next(frame for packet in packets for frame in context.decode(packet))
    except (av.FFmpegError, OSError, ValueError, StopIteration) as error:
        raise UnreadableMedia(
            f"{str(path)!r} is a HEIC picture that cannot be decoded.", accepted=ACCEPTED, remedy=_CONVERT
        ) from error
    _, numbers = heif.colours_of(box, item.properties)
    if numbers is None:
        _, numbers = heif.colours_of(box, shown.properties)
    if numbers is not None:
        if numbers[2] in MATRIX_NAMES:
            frame.colorspace = numbers[2]
        frame.color_range = 2 if numbers[3] else 1
    wide = rgb_of_still(frame, "bt601")[:, :, ::-1]
    if frame.format.components[0].bits > 8:
        return wide
    return ((wide.astype(np.uint32) + 128) // 257).astype(np.uint8)
