"""Still pictures: read as frames, written as PNG."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, MediaInfo
from talkinghead.errors import OutputError, UnreadableMedia
from talkinghead.files import existing_file, file_sha256, write_bytes
from talkinghead.media.limits import MAX_PIXELS, MEGAPIXEL
from talkinghead.media.options import FrameOptions
from talkinghead.media.transform import Transform, Turn, content_digest, display_turn, frame_indices

ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF or AVIF"

_HEIC_BRANDS = {b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"heim", b"heis"}
_BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}

EXIF_TURNS = {
    1: Turn(False, 0),
    2: Turn(True, 0),
    3: Turn(False, 180),
    4: Turn(True, 180),
    5: Turn(True, 270),
    6: Turn(False, 90),
    7: Turn(True, 90),
    8: Turn(False, 270),
}
"""What undoes each EXIF orientation."""


def picture_format(path: Path) -> str | None:
    """Name of the still picture format by the file's first bytes, or None if it is not one."""
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(b"BM") and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES:
        return "bmp"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "avif"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "heic"
    return None


def read_picture(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a still picture as it is meant to be seen.

    EXIF orientation is applied; transparency is laid on white; grey becomes RGB; 16 bits per channel are rounded to 8.
    Colour profiles are ignored, as OpenCV and the published scripts do.

    Returns:
        RGB uint8 [H, W, 3].
    Raises:
        MediaNotFound, UnreadableMedia: not a picture, damaged, or more than `max_pixels`.
    """
    return _read(existing_file(path), max_pixels)[0]


class PictureSource:
    """A still picture as a source of one frame."""

    def __init__(self, path: Path, options: FrameOptions) -> None:
        self._path = path
        self._options = options
        picture, self._warnings = _read(path, options.max_pixels)
        height, width = picture.shape[:2]
        transform = Transform.plan(width, height, options)
        self._frame = transform.apply(picture)
        self._info = MediaInfo(
            path=path,
            kind="image",
            width=width,
            height=height,
            fps=None,
            num_frames=1,
            duration_s=None,
            has_audio=False,
            codec=picture_format(path) or "",
        )

    @property
    def info(self) -> MediaInfo:
        return self._info

    @property
    def fps(self) -> Fraction | None:
        return None

    @property
    def size(self) -> tuple[int, int]:
        height, width = self._frame.shape[:2]
        return width, height

    @property
    def content_hash(self) -> str:
        return content_digest(file_sha256(self._path), self._options, "image")

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._warnings

    def __len__(self) -> int:
        return 1

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        for _ in frame_indices(start, stop, step, 1):
            yield self._frame

    def close(self) -> None:
        """Nothing to release."""


def write_png(path: str | os.PathLike[str], frame: Frame, *, overwrite: bool = True) -> None:
    """Write one frame as PNG; the name appears only when the file is complete.

    Args:
        frame: RGB uint8 [H, W, 3].
    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(path, encode_png(frame), overwrite=overwrite)


def encode_png(frame: Frame) -> bytes:
    """PNG file of an RGB uint8 [H, W, 3] frame, or of an RGBA [H, W, 4] one."""
    if frame.ndim != 3 or frame.shape[2] not in (3, 4) or frame.dtype != np.uint8:
        raise ValueError(f"frame must be [H, W, 3] uint8, not {list(frame.shape)} {frame.dtype}")
    order = cv2.COLOR_RGB2BGR if frame.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    done, data = cv2.imencode(".png", cv2.cvtColor(frame, order), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise OutputError(f"A picture of {frame.shape[1]}x{frame.shape[0]} pixels cannot be stored as PNG.")
    return data.tobytes()


def _read(path: Path, max_pixels: int) -> tuple[Frame, tuple[str, ...]]:
    codec = picture_format(path)
    if codec is None:
        raise UnreadableMedia(f"{str(path)!r} is not a picture.", accepted=ACCEPTED)
    if codec == "heic":
        raise UnreadableMedia(
            f"{str(path)!r} is a HEIC picture, which cannot be read.",
            accepted=ACCEPTED,
            remedy="export it as JPEG or PNG",
        )
    data = path.read_bytes()
    check_pixels(path, _stored_size(data, codec), max_pixels)
    flags = cv2.IMREAD_UNCHANGED
    if codec == "tiff":  # has its own orientation and may be CMYK, which only the conversion to colour understands
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    try:
        stored, kinds, metadata = _decode_quietly(data, flags)
    except cv2.error as error:
        raise UnreadableMedia(f"{str(path)!r} cannot be decoded: {error.err}.", accepted=ACCEPTED) from error
    if stored is None or stored.size == 0:
        return _read_damaged(path, data, codec, max_pixels)
    check_pixels(path, (stored.shape[1], stored.shape[0]), max_pixels)
    exif = next(
        (bytes(np.asarray(m)) for k, m in zip(kinds, metadata, strict=False) if k == cv2.IMAGE_METADATA_EXIF), b""
    )
    frame = EXIF_TURNS.get(exif_orientation(exif), Turn()).apply(rgb_from_stored(stored))
    return np.ascontiguousarray(frame), ()


def _decode_quietly(data: bytes, flags: int) -> tuple[NDArray[Any] | None, Sequence[int], Sequence[NDArray[Any]]]:
    """OpenCV's decoder without its messages on the terminal: (picture, kinds of metadata, metadata)."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        picture, kinds, metadata = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags=flags)
    finally:
        cv2.utils.logging.setLogLevel(level)
    return picture, kinds, metadata


def _read_damaged(path: Path, data: bytes, codec: str, max_pixels: int) -> tuple[Frame, tuple[str, ...]]:
    """What FFmpeg, which is more patient than OpenCV, makes of a damaged picture."""
    from talkinghead.media.colour import ToRgb
    from talkinghead.media.container import first_picture

    picture = first_picture(data, f"{codec}_pipe", max_pixels=max_pixels)
    if picture is None:
        raise UnreadableMedia(
            f"{str(path)!r} is a damaged {codec.upper()} picture.",
            accepted=ACCEPTED,
            remedy="copy or export it again",
        )
    check_pixels(path, (picture.width, picture.height), max_pixels)
    turn, _ = display_turn(picture)
    frame = np.ascontiguousarray(turn.apply(ToRgb()(picture)))
    return frame, (f"{path.name} is damaged; a part of the picture is blank or wrong.",)


def check_pixels(path: Path, size: tuple[int, int] | None, max_pixels: int) -> None:
    """Refuse pictures of absurd size.

    Raises:
        UnreadableMedia
    """
    if size is None:
        return
    width, height = size
    if width < 1 or height < 1:
        raise UnreadableMedia(f"{str(path)!r} has no pixels ({width}x{height}).")
    if width * height > max_pixels:
        raise UnreadableMedia(
            f"{str(path)!r} has {width}x{height} pixels, {width * height / MEGAPIXEL:.0f} megapixels.",
            accepted=f"at most {max_pixels / MEGAPIXEL:g} megapixels",
            remedy="scale it down",
        )


def rgb_from_stored(stored: NDArray[Any]) -> Frame:
    """RGB uint8 [H, W, 3] from what OpenCV decodes: grey, BGR or BGRA, 8 or 16 bits, or float in [0, 1].

    Transparent parts show white.
    """
    if stored.ndim == 2:
        stored = stored[:, :, np.newaxis]
    full = np.iinfo(stored.dtype).max if np.issubdtype(stored.dtype, np.integer) else 1.0
    colour = stored[:, :, :3] if stored.shape[2] >= 3 else stored[:, :, :1]
    alpha = stored[:, :, 3:] if stored.shape[2] == 4 else stored[:, :, 1:2] if stored.shape[2] == 2 else None
    if alpha is not None and not np.all(alpha == full):
        opacity = alpha.astype(np.float32) / np.float32(full)
        mixed = colour.astype(np.float32) * (255 / float(full)) * opacity + 255 * (1 - opacity)
        colour = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    elif colour.dtype != np.uint8:
        colour = np.clip(np.rint(colour.astype(np.float32) * (255 / float(full))), 0, 255).astype(np.uint8)
    if colour.shape[2] == 1:
        return np.repeat(colour, 3, axis=2).astype(np.uint8)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2RGB), np.uint8)


def exif_orientation(exif: bytes) -> int:
    """Orientation 1 to 8 from an EXIF block (TIFF structure); 1 when there is none or it is damaged."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, offset)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, offset + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                return int(value) if value in EXIF_TURNS else 1
    except struct.error:
        pass
    return 1


def _stored_size(data: bytes, codec: str) -> tuple[int, int] | None:
    """(width, height) from a picture's header, before it is decoded; None if the header does not tell."""
    try:
        return _SIZES[codec](data)
    except (struct.error, IndexError, KeyError, ValueError):
        return None


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp_size(data: bytes) -> tuple[int, int]:
    core = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    return abs(width), abs(height)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at < len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker >> 8 != 0xFF:
            return None
        if 0xC0 <= marker & 0xFF <= 0xCF and marker & 0xFF not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, offset)
    found: dict[int, int] = {}
    for entry in range(entries):
        tag, kind = struct.unpack_from(order + "HH", data, offset + 2 + 12 * entry)
        if tag in (256, 257):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, offset + 10 + 12 * entry)
    return (found[256], found[257]) if len(found) == 2 else None


def _avif_size(data: bytes) -> tuple[int, int] | None:
    at = data.find(b"ispe", 0, 64 * 1024)
    if at < 0:
        return None
    width, height = struct.unpack_from(">II", data, at + 8)
    return width, height


_SIZES = {
    "png": _png_size,
    "bmp": _bmp_size,
    "jpeg": _jpeg_size,
    "webp": _webp_size,
    "tiff": _tiff_size,
    "avif": _avif_size,
}
