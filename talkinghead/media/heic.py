"""HEIC pictures, as phones take them: tiles of H.265 in the container of `heif`, decoded by FFmpeg and put together.

A phone's picture is a grid: its bytes name rows, columns and the size that comes out; tiles follow each other by rows,
and what they have too much at the right and at the bottom is cut off. Opacity is a picture of its own, which may have
another depth and size.
"""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import UnreadableMedia
from talkinghead.media import heif
from talkinghead.media.colour import MATRIX_NAMES, rgb_of_still
from talkinghead.media.headers import Header
from talkinghead.media.heif import Heif, Item
from talkinghead.media.pictures import ACCEPTED, Stored, damaged

_CONVERT = "export it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible), or convert it to JPEG or PNG"


LARGEST_BLOCK = 64
"""Coded pictures are whole numbers of blocks wide and high; decoders count the pixels of these."""


def decode_heic(path: Path, data: bytes, header: Header) -> Stored:
    """The picture of a HEIC file before any turn, BGR; BGRA where it has an opacity.

    Raises:
        UnreadableMedia: damaged, or of a kind that cannot be read.
    """
    try:
        box = heif.parse(data)
        assert box.primary is not None
        size = (header.width, header.height)
        numbers = _picture(path, box, box.primary, size)
        opacity = heif.opacity_of(box)
        if opacity is not None:
            item = box.items[opacity]
            numbers = _with_opacity(numbers, _picture(path, box, item, heif.size_of(box, item) or size)[:, :, 0])
    except (heif.BrokenContainer, struct.error, IndexError) as error:
        raise damaged(path, header.kind) from error
    premultiplied = opacity in box.references.get((b"prem", box.primary.number), ())
    return Stored(numbers, np.iinfo(numbers.dtype.name).max, premultiplied)


def _with_opacity(bgr: NDArray[np.generic], opacity: NDArray[np.generic]) -> NDArray[np.generic]:
    """BGRA of colours and their opacity, in the depth of the deeper one."""
    height, width = bgr.shape[:2]
    if opacity.shape != (height, width):
        opacity = cv2.resize(np.asarray(opacity), dsize=(width, height), interpolation=cv2.INTER_LINEAR)
    if bgr.dtype != opacity.dtype:
        bgr, opacity = (
            part.astype(np.uint16) * (257 if part.dtype == np.uint8 else 1) for part in (bgr, opacity)
        )  # fmt: skip
    return np.dstack([bgr, opacity])


def _picture(path: Path, box: Heif, item: Item, size: tuple[int, int]) -> NDArray[np.generic]:
    """A picture of a size (width, height): one that is coded whole, or a grid of such."""
    if item.kind == b"hvc1":
        return _tile(path, box, item, item)[: size[1], : size[0]]
    if item.kind != b"grid":
        raise UnreadableMedia(
            f"{str(path)!r} is a HEIC picture of an unusual kind ({item.kind.decode('ascii', 'replace')}).",
            accepted=ACCEPTED,
            remedy=_CONVERT,
        )
    rows, columns, width, height = _grid(box.bytes_of(item))
    tiles = box.tiles(item)
    if len(tiles) != rows * columns or (width, height) != size:
        raise damaged(path, "heic")
    result: NDArray[np.generic] | None = None
    for place, part in enumerate(tiles):
        if part.kind != b"hvc1":
            raise damaged(path, "heic")
        tile = _tile(path, box, part, item)
        tall, wide = tile.shape[:2]
        if result is None:
            if rows * tall < height or columns * wide < width:
                raise damaged(path, "heic")
            result, shape = np.empty((height, width, 3), tile.dtype), (tall, wide)
        if (tall, wide) != shape:
            raise damaged(path, "heic")
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


def _tile(path: Path, box: Heif, item: Item, shown: Item) -> NDArray[np.generic]:
    """One coded picture, BGR [H, W, 3], uint8 or uint16."""
    settings, size = box.find(item, b"hvcC"), heif.size_of(box, item)
    if settings is None or size is None:
        raise damaged(path, "heic")
    context = av.CodecContext.create("hevc", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = box.data[settings.start : settings.stop]
    wide, high = (-(-length // LARGEST_BLOCK) * LARGEST_BLOCK for length in size)
    context.options = {"max_pixels": str(wide * high)}
    context.thread_count = 1
    try:
        packets = (av.Packet(box.bytes_of(item)), None)
        frame = next(frame for packet in packets for frame in context.decode(packet))
    except (av.FFmpegError, OSError, ValueError, StopIteration) as error:
        raise UnreadableMedia(
            f"{str(path)!r} is a HEIC picture that cannot be decoded.", accepted=ACCEPTED, remedy=_CONVERT
        ) from error
    deep = frame.format.components[0].bits > 8
    if frame.format.is_rgb:
        return np.asarray(frame.to_ndarray(format="bgr48le" if deep else "bgr24"))
    _, numbers = heif.colours_of(box, item.properties)
    if numbers is None:
        _, numbers = heif.colours_of(box, shown.properties)
    if numbers is not None:
        if numbers[2] in MATRIX_NAMES:
            frame.colorspace = numbers[2]
        frame.color_range = 2 if numbers[3] else 1
    bgr = rgb_of_still(frame, "bt601")[:, :, ::-1]
    return bgr if deep else ((bgr.astype(np.uint32) + 128) // 257).astype(np.uint8)
