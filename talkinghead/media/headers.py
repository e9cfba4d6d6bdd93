"""What pictures say about themselves before anything is decoded: kind, size, turn, colours, number of frames.

Nothing here takes memory beyond the file's own bytes, so that what is too large is refused first.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from talkinghead.media import av1, heif
from talkinghead.media.exif import EXIF_TURNS, orientation, raw_profile
from talkinghead.media.transform import NO_TURN, Turn

MAX_FRAMES = 20_000
"""Pictures of one animation that are looked at; the rest is left out."""
_BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}
_MAX_METADATA = 4 * 1024 * 1024
"""Bytes of unpacked text and profiles."""
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW_TAG = 50706
"""DNGVersion."""
_RAW_PHOTOMETRICS = {32803, 34892}
"""Colour filter array, linear raw."""


class BrokenHeader(ValueError):
    """What a picture says about itself makes no sense; the message is a clause about the picture."""


@dataclass(frozen=True)
class Header:
    """What a picture says about itself."""

    kind: str
    """"jpeg", "png", "webp", "bmp", "tiff", "avif" or "heic"."""
    width: int
    """As stored, before any turn."""
    height: int
    pixels: int
    """The most that decoding takes at once: larger than width x height if a part of the file says so."""
    turn: Turn = NO_TURN
    """What the file asks for."""
    crop: tuple[int, int, int, int] | None = None
    """(top, bottom, left, right) of the part to show, before the turn; None for all."""
    durations: tuple[Fraction, ...] = ()
    """Seconds that each picture of an animation is shown, as the file has it; empty for a still picture."""
    pages: int = 1
    """Pictures of a file that is no animation."""
    profile: bytes = b""
    """ICC profile; empty if there is none."""
    primaries: int | None = None
    """Of the colours, by its number in H.273; None if it does not say."""
    transfer: int | None = None
    turned: bool = False
    """OpenCV turns it while it decodes."""
    depth: int | None = None
    """Bits per sample, where the type that is decoded to does not tell."""
    pixel_bytes: float = 4.0
    """Bytes of one pixel when decoded."""
    components: int | None = None
    """Samples per pixel, where it matters."""
    transparent_grey: int | None = None
    """Grey that means transparent (PNG)."""
    limited: bool = False
    """Numbers of luma do not use the whole range (AVIF)."""
    opacity_item: int | None = None
    """Where the opacity of a grey AVIF picture is."""
    has_alpha_mask: bool = False
    """Of a BMP file."""
    extra: int | None = None
    """What the channel after the colours is (TIFF, tag 338): 0 unknown, 1 opacity that the colours are multiplied by,
    2 opacity; None if the file does not say."""
    big: bool = False
    """BigTIFF."""
    unusual: bool = False
    """Floats, or more than 16 bits (TIFF)."""
    unsigned_at: tuple[int, ...] = ()
    """Where a TIFF file says that its numbers of 32 bits have no sign, two bytes each."""
    ink: bool = False
    """Four inks (CMYK) instead of light."""

    @property
    def is_animated(self) -> bool:
        return len(self.durations) > 1


def picture_format(path: Path) -> str | None:
    """Name of the picture format by the file's first bytes, or None if it is not one.

    "jpeg", "png", "webp", "bmp", "tiff", "avif" or "heic"; animations have the same names.
    """
    with path.open("rb") as file:
        return format_of(file.read(4096))


def format_of(head: bytes) -> str | None:
    """As `picture_format`, from the first bytes."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(b"BM") and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES:
        return "bmp"
    if head[:4] in _TIFF_MARKS:
        return "tiff"
    kind = heif.heif_kind(heif.brands(head))
    if kind == "heif":  # the brands name no codec; the kind of the items in the first box does
        return "avif" if b"av01" in head else "heic"
    return kind


def read_header(data: bytes) -> Header:
    """What a picture says about itself.

    Raises:
        BrokenHeader: nothing usable.
    """
    kind = format_of(data[:4096])
    if kind is None:
        raise BrokenHeader("is not a picture")
    try:
        return _READERS[kind](data)
    except heif.BrokenContainer as error:
        raise BrokenHeader(f"is damaged: {error}") from error
    except (struct.error, IndexError, OverflowError) as error:
        raise BrokenHeader("is damaged: its header is cut short") from error


# JPEG


def _jpeg(data: bytes) -> Header:
    size: tuple[int, int] | None = None
    components = 3
    exif, xmp = b"", b""
    profile: dict[int, bytes] = {}
    for marker, body in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", body, 1)
            size, components = (width, height), body[5]
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif += body[6:] if exif else body
        elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or body
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile[body[12]] = body[14:]
    if size is None:
        raise BrokenHeader("is damaged: it names no size")
    return Header(
        "jpeg",
        *size,
        size[0] * size[1],
        EXIF_TURNS[orientation(exif, xmp)],
        profile=b"".join(profile[part] for part in sorted(profile)),
        ink=components == 4,
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) up to the first scan, found as decoders find them: they skip rubbish between segments."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            return
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at >= len(data):
            return
        marker = data[at]
        at += 1
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            continue
        if marker == 0xD9:
            return
        (length,) = struct.unpack_from(">H", data, at)
        yield marker, data[at + 2 : at + length]
        if marker == 0xDA:
            return
        at += max(2, length)


# PNG


def _png(data: bytes) -> Header:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    found: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    durations: list[Fraction] = []
    announced = 0
    for kind, start, stop in _png_chunks(data):
        if kind == b"fcTL" and len(durations) < MAX_FRAMES:
            above, below = struct.unpack_from(">HH", data, start + 20)
            durations.append(Fraction(above, below or 100))
        elif kind == b"acTL":
            (announced,) = struct.unpack_from(">I", data, start)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            name, text = _png_text(kind, data[start : min(stop, start + _MAX_METADATA)])
            texts.setdefault(name, text)
        elif kind in (b"iCCP", b"cICP", b"eXIf", b"tRNS", b"sRGB"):
            found.setdefault(kind, data[start:stop])
    exif = found.get(b"eXIf", b"") or raw_profile(texts.get(b"Raw profile type exif", b""))
    primaries, transfer = (found[b"cICP"][0], found[b"cICP"][1]) if len(found.get(b"cICP", b"")) >= 2 else (None, None)
    grey = None
    if colour == 0 and len(found.get(b"tRNS", b"")) >= 2:
        grey = struct.unpack_from(">H", found[b"tRNS"])[0]
        grey = grey * 255 // (2**bits - 1) if bits < 8 else grey
    return Header(
        "png",
        width,
        height,
        width * height,
        EXIF_TURNS[orientation(exif, texts.get(b"XML:com.adobe.xmp", b""))],
        durations=tuple(durations[:announced]) if announced > 1 else (),
        profile=b"" if b"sRGB" in found else _png_profile(found.get(b"iCCP", b"")),
        primaries=primaries,
        transfer=transfer,
        pixel_bytes=8.0 if bits == 16 else 4.0,
        transparent_grey=grey,
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, min(at + 8 + length, len(data))
        at += 12 + length
        if kind == b"IEND":
            return


def _png_text(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    name, _, rest = content.partition(b"\0")
    if kind == b"tEXt":
        return name, rest
    if kind == b"zTXt":
        return name, _inflated(rest[1:])
    packed, rest = rest[:1] == b"\1", rest[2:]
    text = rest.split(b"\0", 2)[-1]
    return name, _inflated(text) if packed else text


def _png_profile(content: bytes) -> bytes:
    _, _, rest = content.partition(b"\0")
    return _inflated(rest[1:]) or (b"?" if content else b"")


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        return unpacker.decompress(data, _MAX_METADATA)
    except zlib.error:
        return b""


# WebP


def _webp(data: bytes) -> Header:
    sizes: list[tuple[int, int]] = []
    found: dict[bytes, bytes] = {}
    durations: list[Fraction] = []
    canvas: tuple[int, int] | None = None
    for kind, start, stop in _webp_chunks(data, 12, len(data)):
        if kind == b"VP8X":
            canvas = 1 + _u24(data, start + 4), 1 + _u24(data, start + 7)
            sizes.append(canvas)
        elif kind == b"ANMF" and len(durations) < MAX_FRAMES:
            durations.append(Fraction(_u24(data, start + 12), 1000))
            sizes.append((1 + _u24(data, start + 6), 1 + _u24(data, start + 9)))
            sizes += [_webp_size(data, *part) for part in _webp_chunks(data, start + 16, stop) if part[0][:3] == b"VP8"]
        elif kind in (b"VP8 ", b"VP8L"):
            sizes.append(_webp_size(data, kind, start, stop))
        elif kind in (b"ICCP", b"EXIF", b"XMP "):
            found.setdefault(kind, data[start:stop])
    if not sizes:
        raise BrokenHeader("is damaged: it names no size")
    width, height = canvas or sizes[0]
    return Header(
        "webp",
        width,
        height,
        max(w * h for w, h in sizes),
        EXIF_TURNS[orientation(found.get(b"EXIF", b""), found.get(b"XMP ", b""))],
        durations=tuple(durations),
        profile=found.get(b"ICCP", b""),
    )


def _u24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _webp_chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, min(at + 8 + length, end)
        at += 8 + length + length % 2


def _webp_size(data: bytes, kind: bytes, start: int, stop: int) -> tuple[int, int]:
    if kind == b"VP8L" and stop - start >= 5:
        bits = int.from_bytes(data[start + 1 : start + 5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and stop - start >= 10:
        width, height = struct.unpack_from("<HH", data, start + 6)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


# BMP


def _bmp(data: bytes) -> Header:
    size = struct.unpack_from("<I", data, 14)[0]
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    masked = False
    if size >= 56:
        (packing,) = struct.unpack_from("<I", data, 30)
        masked = packing in (3, 6) and struct.unpack_from("<I", data, 66)[0] != 0
    return Header("bmp", abs(width), abs(height), abs(width) * abs(height), has_alpha_mask=masked)


# TIFF

_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_PAGES = 1000
_PER_PAGE = 64
"""Values of a tag that are looked at; of XMP and profiles all are."""
_XMP, _ORIENTATION, _PROFILE, _SAMPLE_FORMAT = 700, 274, 34675, 339


def _tiff(data: bytes) -> Header:
    tags, places, pages = _tiff_pages(data)

    def number(tag: int, default: int) -> int:
        values = tags.get(tag)
        return int(values[0]) if values else default

    width, height = number(256, 0), number(257, 0)
    photometric, components = number(262, 1), number(277, 1)
    if data[8:10] == b"CR" or _RAW_TAG in tags or photometric in _RAW_PHOTOMETRICS:
        raise BrokenHeader("is a raw photograph of a camera (DNG, CR2, NEF or alike), which cannot be read")
    bits = max(tags.get(258) or (1,))
    said = number(_ORIENTATION, 0) or orientation(b"", bytes(tags.get(_XMP, b"")))
    return Header(
        "tiff",
        width,
        height,
        max(width * height, number(322, 0) * number(323, 0)),
        EXIF_TURNS.get(said, NO_TURN),
        turned=_ORIENTATION in tags,
        pages=pages,
        profile=bytes(tags.get(_PROFILE, b"")),
        pixel_bytes=max(4.0, components * max(1, bits // 8)),
        components=components,
        unusual=bits > 16 or number(_SAMPLE_FORMAT, 1) != 1,
        unsigned_at=places if bits == 32 and number(_SAMPLE_FORMAT, 1) == 1 else (),
        ink=photometric == 5,
        big=data[2:4] in (b"+\0", b"\0+"),
        extra=number(338, 0) if tags.get(338) else None,
    )


def _tiff_pages(data: bytes) -> tuple[dict[int, Sequence[int]], tuple[int, ...], int]:
    """The tags of the first page, where its sample formats are, and how many pages there are."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    pointer, counter, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    (offset,) = struct.unpack_from(order + pointer, data, 8 if big else 4)
    first: dict[int, Sequence[int]] | None = None
    places: tuple[int, ...] = ()
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MAX_PAGES:
        seen.add(offset)
        try:
            (entries,) = struct.unpack_from(order + counter, data, offset)
            start = offset + struct.calcsize(counter)
            if first is None:
                found = list(_tiff_tags(data, order, start, min(entries, 4096), big))
                first = {tag: values for tag, _, values in found}
                formats = next(((at, len(values)) for tag, at, values in found if tag == _SAMPLE_FORMAT), (0, 0))
                places = tuple(range(formats[0], formats[0] + 2 * formats[1], 2))
            (offset,) = struct.unpack_from(order + pointer, data, start + entry * entries)
        except struct.error:
            if first is None:
                raise
            break  # the chain of further pages is damaged
    return first or {}, places, len(seen)


def _tiff_tags(data: bytes, order: str, at: int, entries: int, big: bool) -> Iterator[tuple[int, int, Sequence[int]]]:
    """(tag, where its values are, the values)."""
    for place in range(at, at + entries * (20 if big else 12), 20 if big else 12):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        (count,) = struct.unpack_from(order + ("Q" if big else "I"), data, place + 4)
        layout = _TIFF_TYPES.get(kind)
        if layout is None:
            continue
        value = place + (12 if big else 8)
        if struct.calcsize(layout) * count > (8 if big else 4):
            (value,) = struct.unpack_from(order + ("Q" if big else "I"), data, value)
        if tag in (_XMP, _PROFILE):
            yield tag, value, data[value : value + min(count, _MAX_METADATA)]
            continue
        with suppress(struct.error):
            yield tag, value, struct.unpack_from(f"{order}{min(count, _PER_PAGE)}{layout}", data, value)


# AVIF and HEIC


def _heif(data: bytes) -> Header:
    box = heif.parse(data)
    sequence = heif.sequence_of(box, MAX_FRAMES)
    codec = heif.codec_of(box) or ("avif" if sequence is not None and sequence.depth is not None else None)
    if codec is None:
        raise BrokenHeader("is a picture of the HEIF kind, coded neither as AVIF nor as HEIC")
    item = box.primary
    moving = sequence is not None and codec == "avif" and (len(sequence.durations) > 1 or item is None)
    size: tuple[int, int] | None
    if sequence is not None and moving:
        properties, size, depth = sequence.properties, sequence.size, sequence.depth
        streams = [data[start:stop] for start, stop in sequence.spans]
    elif item is not None:
        properties, size, depth = item.properties, heif.size_of(box, item), heif.depth_of(box, item)
        streams = [box.bytes_of(part) for part in box.items.values() if part.kind == b"av01"]
    else:
        raise BrokenHeader("is damaged: it names no picture")
    if size is None:
        raise BrokenHeader("is damaged: it names no size")
    sizes = [size, heif.largest_size(box) or size, *(s for stream in streams for s in av1.frame_sizes(stream))]
    profile, numbers = heif.colours_of(box, properties)
    return Header(
        codec,
        *size,
        max(width * height for width, height in sizes),
        heif.turn_of(box, properties),
        heif.clean_aperture(box, properties, *size),
        durations=sequence.durations if sequence is not None and moving else (),
        profile=profile,
        primaries=numbers[0] if numbers else None,
        transfer=numbers[1] if numbers else None,
        limited=numbers is not None and not numbers[3],
        opacity_item=heif.opacity_of(box) if item is not None and heif.is_grey(box, item) else None,
        depth=depth,
        pixel_bytes=8.0 if (depth or 8) > 8 else 4.0,
    )


_READERS: dict[str, Callable[[bytes], Header]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "bmp": _bmp,
    "tiff": _tiff,
    "avif": _heif,
    "heic": _heif,
}
