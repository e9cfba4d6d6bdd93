"""Still pictures: read as frames, written as PNG."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, MediaInfo
from talkinghead.errors import OutputError, UnreadableMedia
from talkinghead.files import existing_file, file_sha256, write_bytes
from talkinghead.media import heif
from talkinghead.media.headers import BrokenHeader, Header, picture_format, read_header
from talkinghead.media.limits import MAX_PIXELS, MEGAPIXEL
from talkinghead.media.options import AS_THEY_ARE, FrameOptions
from talkinghead.media.srgb import Meaning, to_srgb
from talkinghead.media.transform import NO_TURN, Transform, Turn, content_digest, frame_indices

ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC"
MAX_SHRINKING = 4
"""A picture that `resize_factor` makes smaller may have so many times the pixels that are accepted otherwise."""
FULL_BYTES = 8
"""Bytes of a decoded pixel from which on a picture of `max_pixels` is too large: four channels of 16 bits."""
MAX_FILE_BYTES = 16
"""Bytes of a file for each pixel that is accepted: no picture needs more, and the file is read at once."""


def read_picture(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a picture as it is meant to be seen; of an animation, its first frame.

    The turn that the file asks for is applied (EXIF; in AVIF and HEIC the container's own); colours of profiles and of
    wide gamuts become sRGB; transparency is laid on white; grey becomes RGB; deeper colours are rounded to 8 bits.

    Returns:
        RGB uint8 [H, W, 3].
    Raises:
        MediaNotFound, UnreadableMedia: not a picture, damaged, or more than `max_pixels`.
    """
    return PictureSource(existing_file(path), FrameOptions(max_pixels=max_pixels)).frame


def read_stored(path: Path, flags: int, *, accepted: str = "PNG or JPEG") -> NDArray[Any]:
    """What `cv2.imdecode` makes of a picture, for files that published programs read that way.

    Args:
        flags: those of `cv2.imdecode`.
        accepted: what an error says is.
    Returns:
        [H, W] or [H, W, C] in OpenCV's order of channels (or the one that `flags` ask for).
    Raises:
        MediaNotFound, UnreadableMedia: not a picture, damaged, or more than `MAX_PIXELS`.
    """
    data, _ = load(existing_file(path))
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UnreadableMedia(f"{str(path)!r} is damaged: {error.err}.", accepted=accepted) from error
    if stored is None or stored.size == 0:
        raise UnreadableMedia(f"{str(path)!r} is not a picture that can be decoded.", accepted=accepted)
    return stored


class PictureSource:
    """A still picture as a source of one frame."""

    def __init__(self, path: Path, options: FrameOptions, opened: tuple[bytes, Header] | None = None) -> None:
        self._path = path
        self._options = options
        data, header = opened or load(path, options)
        picture = decode(path, data, header)
        height, width = picture.frame.shape[:2]
        self._frame = Transform.plan(width, height, options, picture.turn).apply(picture.frame)
        self._warnings = picture.notes
        if header.pages > 1:
            self._warnings += (f"{path.name} holds {header.pages} pictures; the first is used.",)
        shown = picture.turn.size(width, height)
        self._info = MediaInfo(
            path=path,
            kind="image",
            width=shown[0],
            height=shown[1],
            fps=None,
            num_frames=1,
            duration_s=None,
            has_audio=False,
            codec=header.kind,
        )

    @property
    def info(self) -> MediaInfo:
        return self._info

    @property
    def frame(self) -> Frame:
        """The picture."""
        return self._frame

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


def load(path: Path, options: FrameOptions = AS_THEY_ARE) -> tuple[bytes, Header]:
    """The bytes of a picture and what it says about itself; nothing is decoded.

    Raises:
        UnreadableMedia: not a picture, a damaged header, or larger than the options accept.
    """
    file_bytes = path.stat().st_size
    if picture_format(path) is None:
        raise UnreadableMedia(f"{str(path)!r} is not a picture.", accepted=ACCEPTED)
    allowed = MAX_FILE_BYTES * options.max_pixels + (1 << 24)
    if file_bytes > allowed:
        raise UnreadableMedia(
            f"{str(path)!r} is a picture file of {file_bytes / 1e6:.0f} MB.",
            accepted=f"at most {allowed / 1e6:.0f} MB",
            remedy="export it as JPEG or PNG, or allow more with --max-pixels",
        )
    data = path.read_bytes()
    try:
        header = read_header(data)
    except BrokenHeader as error:
        raise UnreadableMedia(
            f"{str(path)!r} {error}.", accepted=ACCEPTED, remedy="export it again as JPEG or PNG"
        ) from error
    check_header(path, header, options)
    return data, header


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture as its file has it."""

    frame: Frame
    turn: Turn
    """What is still to be done."""
    notes: tuple[str, ...]


def decode(path: Path, data: bytes, header: Header) -> Decoded:
    """The picture before any turn.

    Raises:
        UnreadableMedia: damaged, or of a kind that no decoder here knows.
    """
    if header.kind == "heic":
        from talkinghead.media.heic import decode_heic

        stored = decode_heic(path, data, header)
    else:
        stored = _decoded(path, data, header)
    frame, notes = to_srgb(stored.numbers, stored.full, meaning_of(header), premultiplied=stored.premultiplied)
    if header.ink:
        notes.append("The picture is made for printing (CMYK); its colours are near, not exact.")
    if header.crop is not None:
        top, bottom, left, right = header.crop
        frame = frame[top:bottom, left:right]
    return Decoded(frame, NO_TURN if stored.turned else header.turn, (*stored.notes, *notes))


def meaning_of(header: Header) -> Meaning:
    """What the numbers of a picture mean."""
    if header.ink:  # decoders make RGB of inks, without the profile
        return Meaning()
    return Meaning(header.profile, header.primaries, header.transfer)


def check_pixels(path: Path, size: tuple[int, int] | None, max_pixels: int) -> None:
    """Refuse frames of absurd size, before memory is taken.

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
            f"{str(path)!r} has {width}x{height} pixels, {_megapixels(width * height)}.",
            accepted=f"at most {_megapixels(max_pixels)} (--max-pixels)",
            remedy=_more_pixels(width * height, max_pixels) + "a smaller picture",
        )


def check_header(path: Path, header: Header, options: FrameOptions) -> None:
    """Refuse pictures of absurd size, before memory is taken; `resize_factor` allows more.

    Raises:
        UnreadableMedia
    """
    check_pixels(path, (header.width, header.height), max(header.width * header.height, 1))
    deep = max(1.0, header.pixel_bytes / FULL_BYTES)
    room = options.max_pixels / deep
    allowed = room * min(options.resize_factor**2, MAX_SHRINKING)
    if header.pixels <= allowed:
        return
    what = f"{header.width}x{header.height} pixels, {_megapixels(header.pixels)}"
    if header.pixels > header.width * header.height:
        what = f"{header.width}x{header.height} pixels, and parts of {_megapixels(header.pixels)}"
    depth = f" of {header.pixel_bytes:g} bytes each" if deep > 1 else ""
    smaller = ""
    if header.pixels <= room * MAX_SHRINKING:
        smaller = "--resize-factor 2, which makes it half as wide and high, or "
    raise UnreadableMedia(
        f"{str(path)!r} has {what}{depth}.",
        accepted=f"at most {_megapixels(allowed)}{depth} (--max-pixels)",
        remedy=smaller + _more_pixels(int(header.pixels * deep), options.max_pixels) + "a smaller picture",
    )


def _more_pixels(pixels: int, max_pixels: int) -> str:
    if pixels > MAX_SHRINKING * max(max_pixels, MAX_PIXELS):
        return ""
    return f"--max-pixels {pixels} if there is the memory, or "


def _megapixels(number: float) -> str:
    millions = number / MEGAPIXEL
    return f"{millions:.0f} megapixels" if millions >= 10 else f"{millions:.3g} megapixels"


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Stored:
    """What a decoder made of a picture, in OpenCV's order of channels."""

    numbers: NDArray[Any]
    full: float
    """The number that stands for full light."""
    premultiplied: bool = False
    """Colours are as they appear on black."""
    turned: bool = False
    """The turn that the file asks for is done."""
    notes: tuple[str, ...] = ()


def _decoded(path: Path, data: bytes, header: Header) -> Stored:
    if header.is_animated:
        first = next(iter(animation_frames(data, 0, 1)), None)
        if first is None:
            raise damaged(path, header.kind)
        return stored_numbers(first, header)
    if (header.kind == "tiff" and header.components == 2 and not header.big) or header.has_alpha_mask:
        return _with_ffmpeg(path, data, header)  # OpenCV leaves the opacity out
    if header.kind == "avif":
        return _avif(path, data, header)
    numbers = _with_opencv(_signed(data, header) if header.unsigned_at else data, header)
    if numbers is not None:
        stored = stored_numbers(numbers, header)
        if header.big and header.components == 2:
            return replace(stored, notes=(f"{path.name} is a BigTIFF file; its transparency is left out.",))
        return stored
    if header.unusual:
        raise UnreadableMedia(
            f"{str(path)!r} is a TIFF picture of a depth that cannot be read, or damaged.",
            accepted="8 or 16 bits, whole numbers of 32 bits, or floats of 32 or 64",
            remedy="export it again with 8 or 16 bits",
        )
    found = _with_ffmpeg(path, data, header)
    return replace(found, notes=(f"{path.name} is damaged; a part of the picture is blank or wrong.",))


def _with_opencv(data: bytes, header: Header) -> NDArray[Any] | None:
    """The numbers of a picture as they are stored; None if OpenCV does not take it."""
    flags = cv2.IMREAD_UNCHANGED
    if header.ink:  # which only the conversion to colour understands
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        numbers = quietly(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error:
        return None
    return None if numbers is None or numbers.size == 0 else numbers


def _avif(path: Path, data: bytes, header: Header) -> Stored:
    """An AVIF picture. OpenCV takes no grey one that is transparent: it and its opacity are then two pictures."""
    data = heif.for_decoder(data, b"avif", opacity=header.opacity_item is None)
    shown = _with_opencv(data, header)
    if shown is None:
        raise damaged(path, header.kind)
    stored = stored_numbers(shown, header)
    if header.opacity_item is None:
        return stored
    opacity = _with_opencv(heif.with_primary(data, header.opacity_item), header)
    if opacity is None or (shown.ndim, opacity.ndim) != (2, 2) or shown.shape != opacity.shape:
        raise damaged(path, header.kind)
    return replace(stored, numbers=np.dstack([stored.numbers, opacity.astype(stored.numbers.dtype)]))


def _signed(data: bytes, header: Header) -> bytes:
    """A TIFF file whose numbers of 32 bits are called signed: OpenCV knows no others. The bits stay the same."""
    changed = bytearray(data)
    for at in header.unsigned_at:
        changed[at : at + 2] = b"\2\0" if data[:2] == b"II" else b"\0\2"
    return bytes(changed)


def stored_numbers(numbers: NDArray[Any], header: Header) -> Stored:
    """What the numbers that OpenCV decoded stand for."""
    if header.transparent_grey is not None and numbers.ndim == 2:
        top = np.iinfo(numbers.dtype).max
        opacity = np.where(numbers == header.transparent_grey, 0, top).astype(numbers.dtype)
        numbers = np.dstack([numbers, opacity])
    if header.extra == 0 and numbers.ndim == 3 and numbers.shape[2] == 4:
        numbers = numbers[:, :, :3]  # not said to be opacity
    if header.kind == "avif" and header.limited and numbers.ndim == 2:
        numbers = _whole_range(numbers, header.depth or 8)
    turned = header.turned
    if numbers.dtype == np.uint8:  # libtiff multiplies colours of 8 bits by their opacity
        return Stored(numbers, 255, premultiplied=header.extra in (1, 2), turned=turned)
    if numbers.dtype == np.uint16:
        full = 2**header.depth - 1 if header.kind == "avif" and header.depth else 65535
        return Stored(numbers, full, premultiplied=header.extra == 1, turned=turned)
    if numbers.dtype == np.int32 and header.unsigned_at:
        numbers = numbers.view(np.uint32)
    return _of_unusual_range(numbers, header)


def _whole_range(luma: NDArray[Any], depth: int) -> NDArray[Any]:
    """Grey from 0 to the highest number, of luma between 16 and 235 in units of 8 bits."""
    unit, top = 2 ** (depth - 8), 2**depth - 1
    codes = np.arange(top + 1)
    table = np.clip(np.rint((codes - 16 * unit) * (top / (219 * unit))), 0, top).astype(luma.dtype)
    return np.asarray(table[np.minimum(luma, top)])


def _of_unusual_range(numbers: NDArray[Any], header: Header) -> Stored:
    """Whole numbers of 32 bits, numbers with signs and floats: files do not say which one is full light."""
    finite = numbers[np.isfinite(numbers)] if np.issubdtype(numbers.dtype, np.floating) else numbers
    highest = float(finite.max()) if finite.size else 0.0
    whole = np.issubdtype(numbers.dtype, np.integer)
    usual = [255.0, 65535.0, 2.0**32 - 1] if whole else [1.0, 255.0, 65535.0, 2.0**32 - 1]
    full = next((top for top in usual if highest <= top * (1 if whole else 1.001)), highest)
    note = f"The picture's numbers reach {highest:.6g}; {full:.6g} is taken as full light."
    return Stored(numbers, full, header.extra == 1, header.turned, (note,) if full != 1.0 else ())


def animation_frames(data: bytes, start: int, count: int) -> list[NDArray[Any]]:
    """Frames [start, start + count) of an animation, put together as they appear; fewer if it is damaged.

    Those before are decoded, too, but not kept.
    """
    if data[4:8] == b"ftyp":
        data = heif.for_decoder(data, b"avis")
    try:
        done, animation = quietly(lambda: cv2.imdecodeanimation(np.frombuffer(data, np.uint8)[None], start, count))
    except cv2.error:
        return []
    return list(animation.frames) if done else []


def quietly(decode: Callable[[], T]) -> T:
    """Run one of OpenCV's decoders without its messages on the terminal."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return decode()
    finally:
        cv2.utils.logging.setLogLevel(level)


def damaged(path: Path, kind: str) -> UnreadableMedia:
    """The error to raise for a picture that no decoder takes."""
    return UnreadableMedia(
        f"{str(path)!r} is a damaged {kind.upper()} picture, or one of a kind that cannot be read.",
        accepted=ACCEPTED,
        remedy="copy or export it again",
    )


def _with_ffmpeg(path: Path, data: bytes, header: Header) -> Stored:
    """What FFmpeg, which is more patient than OpenCV, makes of a picture."""
    from talkinghead.media.colour import ToRgb, has_alpha
    from talkinghead.media.container import first_picture

    picture = first_picture(data, f"{header.kind}_pipe", max_pixels=max(header.pixels, 1))
    if picture is None:
        raise damaged(path, header.kind)
    if has_alpha(picture.format):
        rgba = np.asarray(picture.reformat(format="bgra").to_ndarray(), np.uint8)
        return Stored(rgba, 255, header.extra == 1)
    return Stored(np.ascontiguousarray(ToRgb()(picture)[:, :, ::-1]), 255)
