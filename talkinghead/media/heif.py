"""The container of AVIF and HEIC pictures (ISO/IEC 23008-12): which items it holds and how they are to be shown.

    ftyp  brands: what the file says it is
    meta  pitm  the picture to show             iinf  every item and its kind (av01, hvc1, grid, Exif, ...)
          iprp  properties: size, depth, turn, colours; which item has which
          iloc  where an item's bytes are       iref  which items belong together (tiles, transparency, ...)
    moov  a sequence of pictures, as a video track

Only what is needed to show a picture is read, within bounds; a damaged box raises `BrokenContainer`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from talkinghead.media.transform import Turn

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
PLAIN_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
"""Pictures of any codec."""
_PICTURE_CODECS = {b"av01": "avif", b"hvc1": "heic", b"hev1": "heic"}
_OPACITY = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
MAX_ITEMS = 10_000
_MAX_DEPTH = 12
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco"}


class BrokenContainer(ValueError):
    """The boxes of a file make no sense."""


@dataclass(frozen=True)
class Box:
    """One box: its kind and where its content lies."""

    kind: bytes
    start: int
    stop: int


@dataclass(frozen=True)
class Item:
    """One coded item of the file."""

    number: int
    kind: bytes
    properties: tuple[Box, ...] = ()
    """In the order in which they apply."""
    extents: tuple[tuple[int, int], ...] = ()
    """[start, stop) of its bytes in the file."""


@dataclass(frozen=True)
class Heif:
    """What a file holds."""

    data: bytes = field(repr=False)
    brands: tuple[bytes, ...]
    """The major brand, then the compatible ones."""
    primary: Item | None
    items: dict[int, Item]
    references: dict[tuple[bytes, int], tuple[int, ...]]
    """(kind, from) -> to."""
    boxes: tuple[Box, ...] = ()
    """Of the file."""

    def find(self, item: Item, kind: bytes) -> Box | None:
        """The first property of a kind."""
        return next((box for box in item.properties if box.kind == kind), None)

    def bytes_of(self, item: Item) -> bytes:
        """The coded bytes of an item."""
        return b"".join(self.data[start:stop] for start, stop in item.extents)

    def tiles(self, item: Item) -> tuple[Item, ...]:
        """The coded pictures that make up an item: its tiles, or itself."""
        if item.kind not in (b"grid", b"iovl", b"iden"):
            return (item,)
        return tuple(self.items[to] for to in self.references.get((b"dimg", item.number), ()) if to in self.items)


def brands(head: bytes) -> tuple[bytes, ...]:
    """The brands of a file by its first bytes: the major one, then the compatible ones; empty if it has none."""
    if len(head) < 16 or head[4:8] != b"ftyp":
        return ()
    size = min(struct.unpack_from(">I", head)[0], len(head))
    return (head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4)))


def heif_kind(names: tuple[bytes, ...]) -> str | None:
    """What the brands say: "avif", "heic", "heif" (a picture of either), or None for no picture.

    The major brand decides where it names a codec; a file of both is what it says first.
    """
    for name in names:
        if name in AVIF_BRANDS:
            return "avif"
        if name in HEIC_BRANDS:
            return "heic"
    return "heif" if names and names[0] in PLAIN_BRANDS else None


def parse(data: bytes) -> Heif:
    """Read the boxes.

    Raises:
        BrokenContainer
    """
    try:
        return _parse(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise BrokenContainer("a box is cut short") from error


def for_decoder(data: bytes, brand: bytes, *, opacity: bool = True) -> bytes:
    """The file under a brand that a decoder goes by, and without what is written about its pictures (EXIF, XMP).

    libavif as OpenCV has it reads such notes first, and takes no file that has them behind its pictures.

    Args:
        opacity: keep it.
    """
    meta = next((box for box in boxes(data, 0, len(data)) if box.kind == b"meta"), None)
    data = data[:8] + brand + data[12:]
    if meta is None:
        return data
    inner = data[meta.start : meta.stop].replace(b"cdsc", b"none")
    inner = inner if opacity else inner.replace(b"auxl", b"none")
    return data[: meta.start] + inner + data[meta.stop :]


def opacity_of(heif: Heif) -> int | None:
    """The item that holds the opacity of the picture to show; None if it has none."""
    for (kind, origin), targets in heif.references.items():
        if kind != b"auxl" or heif.primary is None or heif.primary.number not in targets or origin not in heif.items:
            continue
        box = heif.find(heif.items[origin], b"auxC")
        if box is not None and heif.data[box.start + 4 : box.stop].rstrip(b"\0") in _OPACITY:
            return origin
    return None


def with_primary(data: bytes, number: int) -> bytes:
    """The file with another item as the picture to show."""
    meta = next(box for box in boxes(data, 0, len(data)) if box.kind == b"meta")
    box = next(box for box in boxes(data, meta.start + 4, meta.stop) if box.kind == b"pitm")
    size = 2 if data[box.start] == 0 else 4
    return data[: box.start + 4] + number.to_bytes(size, "big") + data[box.start + 4 + size :]


def codec_of(heif: Heif) -> str | None:
    """ "avif" or "heic" by what the picture to show is coded with; None if neither."""
    if heif.primary is None:
        return None
    kinds = {_PICTURE_CODECS.get(tile.kind) for tile in heif.tiles(heif.primary)}
    return kinds.pop() if len(kinds) == 1 else None


def boxes(data: bytes, start: int, stop: int) -> Iterator[Box]:
    """The boxes that lie in [start, stop), one after the other."""
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        end = stop if size == 0 else start + size
        if end < content or end > stop:
            if kind == b"mdat" and end > stop:  # a file that is cut short: what is there may do
                end = stop
            else:
                raise BrokenContainer("a box is longer than what it lies in")
        yield Box(kind, content, end)
        start = end


def descend(data: bytes, box: Box, depth: int = 0) -> Iterator[Box]:
    """All boxes inside a box that holds others, at any depth."""
    if depth > _MAX_DEPTH:
        raise BrokenContainer("the boxes are nested too deeply")
    for inner in boxes(data, box.start, box.stop):
        yield inner
        if inner.kind in _CONTAINERS:
            yield from descend(data, inner, depth + 1)


def _parse(data: bytes) -> Heif:
    outer = tuple(boxes(data, 0, len(data)))
    names = brands(data[: outer[0].stop]) if outer else ()
    meta = next((box for box in outer if box.kind == b"meta"), None)
    if meta is None:
        return Heif(data, names, None, {}, {}, outer)
    inner = {box.kind: box for box in boxes(data, meta.start + 4, meta.stop)}
    kinds = _item_kinds(data, inner[b"iinf"]) if b"iinf" in inner else {}
    properties = _properties(data, inner[b"iprp"]) if b"iprp" in inner else {}
    places = _places(data, inner[b"iloc"], inner.get(b"idat")) if b"iloc" in inner else {}
    items = {n: Item(n, kind, properties.get(n, ()), places.get(n, ())) for n, kind in kinds.items()}
    references = _references(data, inner[b"iref"]) if b"iref" in inner else {}
    primary = None
    if b"pitm" in inner:
        box = inner[b"pitm"]
        primary = items.get(_number(data, box.start + 4, 2 if data[box.start] == 0 else 4))
    return Heif(data, names, primary, items, references, outer)


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise BrokenContainer("a box is cut short")
    return int.from_bytes(data[at : at + size], "big")


def _item_kinds(data: bytes, box: Box) -> dict[int, bytes]:
    wide = data[box.start] > 0
    found: dict[int, bytes] = {}
    for entry in boxes(data, box.start + (8 if wide else 6), box.stop):
        version = data[entry.start]
        if entry.kind != b"infe" or version < 2:
            continue
        size = 2 if version == 2 else 4
        number = _number(data, entry.start + 4, size)
        found[number] = data[entry.start + 4 + size + 2 : entry.start + 4 + size + 6]
        if len(found) > MAX_ITEMS:
            raise BrokenContainer("it holds too many items")
    return found


def _properties(data: bytes, box: Box) -> dict[int, tuple[Box, ...]]:
    """Item -> its properties, in the order in which the file lists them."""
    inside = list(boxes(data, box.start, box.stop))
    store = next((inner for inner in inside if inner.kind == b"ipco"), None)
    known = list(boxes(data, store.start, store.stop)) if store is not None else []
    found: dict[int, tuple[Box, ...]] = {}
    for inner in inside:
        if inner.kind != b"ipma":
            continue
        version, flags = data[inner.start], data[inner.start + 3]
        (count,) = struct.unpack_from(">I", data, inner.start + 4)
        if count > MAX_ITEMS:
            raise BrokenContainer("it holds too many items")
        at = inner.start + 8
        for _ in range(count):
            item, at = _number(data, at, 2 if version < 1 else 4), at + (2 if version < 1 else 4)
            number, at = data[at], at + 1
            mine = []
            for _ in range(number):
                index = _number(data, at, 2) & 0x7FFF if flags & 1 else data[at] & 0x7F
                at += 2 if flags & 1 else 1
                if 0 < index <= len(known):
                    mine.append(known[index - 1])
            found[item] = tuple(mine)
    return found


def _places(data: bytes, box: Box, idat: Box | None) -> dict[int, tuple[tuple[int, int], ...]]:
    """Item -> [start, stop) of its bytes in the file."""
    version = data[box.start]
    sizes = data[box.start + 4 : box.start + 6]
    offset_size, length_size, base_size, index_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4, sizes[1] & 15
    at = box.start + 6
    wide = 2 if version < 2 else 4
    count, at = _number(data, at, wide), at + wide
    if count > MAX_ITEMS:
        raise BrokenContainer("it holds too many items")
    found: dict[int, tuple[tuple[int, int], ...]] = {}
    for _ in range(count):
        item, at = _number(data, at, wide), at + wide
        method = 0
        if version > 0:
            method, at = _number(data, at, 2) & 15, at + 2
        at += 2  # which file
        base, at = _number(data, at, base_size), at + base_size
        number, at = _number(data, at, 2), at + 2
        spans = []
        for _ in range(number):
            at += index_size if version > 0 else 0
            offset, at = _number(data, at, offset_size), at + offset_size
            length, at = _number(data, at, length_size), at + length_size
            start = base + offset + (idat.start if method == 1 and idat is not None else 0)
            end = idat.stop if method == 1 and idat is not None else len(data)
            spans.append((min(start, end), min(start + length, end) if length else end))
        if sum(stop - start for start, stop in spans) > len(data):
            raise BrokenContainer("an item is longer than the file")
        found[item] = tuple(spans)
    return found


def _references(data: bytes, box: Box) -> dict[tuple[bytes, int], tuple[int, ...]]:
    size = 2 if data[box.start] == 0 else 4
    found: dict[tuple[bytes, int], tuple[int, ...]] = {}
    for inner in boxes(data, box.start + 4, box.stop):
        origin = _number(data, inner.start, size)
        count = _number(data, inner.start + size, 2)
        first = inner.start + size + 2
        found[inner.kind, origin] = tuple(_number(data, first + size * i, size) for i in range(count))
    return found


# What the properties say


def size_of(heif: Heif, item: Item) -> tuple[int, int] | None:
    """(width, height) as coded, before any turn."""
    box = heif.find(item, b"ispe")
    if box is None:
        return None
    width, height = struct.unpack_from(">II", heif.data, box.start + 4)
    return width, height


def largest_size(heif: Heif) -> tuple[int, int] | None:
    """The largest of the sizes that the picture to show, its opacity and their parts say they have."""
    opacity = opacity_of(heif)
    parts = [heif.primary] if heif.primary is not None else []
    parts += [heif.items[opacity]] if opacity is not None else []
    parts += [tile for part in parts for tile in heif.tiles(part)]
    sizes = [size for part in parts if (size := size_of(heif, part)) is not None]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def turn_of(heif: Heif, properties: tuple[Box, ...]) -> Turn:
    """The rotations (`irot`, anticlockwise) and mirrorings (`imir`) of an item, in their order."""
    turn = Turn()
    for box in properties:
        if box.start >= box.stop:
            continue
        value = heif.data[box.start]
        if box.kind == b"irot":
            turn = turn.then(Turn(degrees=-90 * (value & 3) % 360))
        elif box.kind == b"imir":  # 0: top and bottom change places, 1: left and right
            turn = turn.then(Turn(True, 0 if value & 1 else 180))
    return turn


def clean_aperture(
    heif: Heif, properties: tuple[Box, ...], width: int, height: int
) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) of the part to show (`clap`), before any turn; None for all, or if it is senseless."""
    box = next((box for box in properties if box.kind == b"clap"), None)
    if box is None or box.stop - box.start < 32:
        return None
    numbers = struct.unpack_from(">8i", heif.data, box.start)
    if any(below <= 0 for below in numbers[1::2]):
        return None
    wide, high, right, down = (Fraction(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    left = Fraction(width, 2) + right - wide / 2
    top = Fraction(height, 2) + down - high / 2
    found = (round(top), round(top + high), round(left), round(left + wide))
    if not (0 <= found[0] < found[1] <= height and 0 <= found[2] < found[3] <= width):
        return None
    return found if found != (0, height, 0, width) else None


def colours_of(heif: Heif, properties: tuple[Box, ...]) -> tuple[bytes, tuple[int, int, int, bool] | None]:
    """(ICC profile, or nothing; primaries, transfer, matrix and full range by their numbers in H.273, or None)."""
    profile, numbers = b"", None
    for box in properties:
        if box.kind != b"colr" or box.stop - box.start < 4:
            continue
        kind, data = heif.data[box.start : box.start + 4], heif.data[box.start + 4 : box.stop]
        if kind in (b"prof", b"rICC"):
            profile = data
        elif kind == b"nclx" and len(data) >= 7:
            primaries, transfer, matrix = struct.unpack_from(">HHH", data)
            numbers = (primaries, transfer, matrix, bool(data[6] & 0x80))
    return profile, numbers


def depth_of(heif: Heif, item: Item) -> int | None:
    """Bits per sample, by the settings of the decoder."""
    tile = next(iter(heif.tiles(item)), item)
    box = heif.find(tile, b"av1C")
    if box is not None and box.stop - box.start >= 3:
        return _av1_depth(heif.data[box.start + 2])
    box = heif.find(tile, b"hvcC")
    if box is not None and box.stop - box.start >= 19:
        return 8 + (heif.data[box.start + 17] & 7)
    return None


def is_grey(heif: Heif, item: Item) -> bool:
    """Whether an AV1 picture has no colours, by the settings of its decoder."""
    box = heif.find(next(iter(heif.tiles(item)), item), b"av1C")
    return box is not None and box.stop - box.start >= 3 and bool(heif.data[box.start + 2] & 0x10)


def _av1_depth(flags: int) -> int:
    return 12 if flags & 0x20 else 10 if flags & 0x40 else 8


# Sequences


@dataclass(frozen=True)
class Sequence:
    """The track of an animated picture."""

    durations: tuple[Fraction, ...]
    """Seconds that each picture is shown."""
    properties: tuple[Box, ...]
    """As of an item: turn, colours, depth."""
    size: tuple[int, int]
    depth: int | None
    spans: tuple[tuple[int, int], ...]
    """[start, stop) of the bytes of each picture in the file."""


def sequence_of(heif: Heif, max_frames: int) -> Sequence | None:
    """The first track of pictures; None if the file has none."""
    moov = next((box for box in heif.boxes if box.kind == b"moov"), None)
    if moov is None:
        return None
    try:
        for track in boxes(heif.data, moov.start, moov.stop):
            if track.kind == b"trak":
                found = _track(heif, track, max_frames)
                if found is not None:
                    return found
    except (struct.error, IndexError) as error:
        raise BrokenContainer("a box is cut short") from error
    return None


def _track(heif: Heif, track: Box, max_frames: int) -> Sequence | None:
    data = heif.data
    found: dict[bytes, Box] = {}
    for box in descend(data, track):
        found.setdefault(box.kind, box)
    if not {b"hdlr", b"mdhd", b"stsd", b"stts"} <= found.keys():
        return None
    if data[found[b"hdlr"].start + 8 : found[b"hdlr"].start + 12] not in (b"pict", b"vide"):
        return None
    clock = found[b"mdhd"]
    (scale,) = struct.unpack_from(">I", data, clock.start + (20 if data[clock.start] else 12))
    entry = next(boxes(data, found[b"stsd"].start + 8, found[b"stsd"].stop), None)
    if entry is None or scale == 0:
        return None
    width, height = struct.unpack_from(">HH", data, entry.start + 24)
    properties = tuple(boxes(data, entry.start + 78, entry.stop))
    settings = next((box for box in properties if box.kind == b"av1C"), None)
    depth = _av1_depth(data[settings.start + 2]) if settings is not None else None
    durations: list[Fraction] = []
    times = found[b"stts"]
    (count,) = struct.unpack_from(">I", data, times.start + 4)
    for i in range(min(count, max_frames)):
        number, ticks = struct.unpack_from(">II", data, times.start + 8 + 8 * i)
        durations.extend([Fraction(ticks, scale)] * min(number, max_frames - len(durations)))
    spans = _spans(data, found, max_frames)
    return Sequence(tuple(durations), properties, (width, height), depth, spans)


def _spans(data: bytes, found: dict[bytes, Box], max_frames: int) -> tuple[tuple[int, int], ...]:
    """Where the samples of a track are: chunks (`stco`), samples of each chunk (`stsc`), sizes (`stsz`)."""
    places = found.get(b"stco") or found.get(b"co64")
    if places is None or not {b"stsc", b"stsz"} <= found.keys():
        return ()
    wide = 8 if places.kind == b"co64" else 4
    same, count = struct.unpack_from(">II", data, found[b"stsz"].start + 4)
    (runs,) = struct.unpack_from(">I", data, found[b"stsc"].start + 4)
    (chunks,) = struct.unpack_from(">I", data, places.start + 4)
    spans: list[tuple[int, int]] = []
    run, per_chunk = 0, 0
    for chunk in range(min(chunks, max_frames)):
        while run < runs:
            first, number, _ = struct.unpack_from(">III", data, found[b"stsc"].start + 8 + 12 * run)
            if first > chunk + 1:
                break
            run, per_chunk = run + 1, number
        at = _number(data, places.start + 8 + wide * chunk, wide)
        for _ in range(min(per_chunk, count, max_frames) if len(spans) < min(count, max_frames) else 0):
            if len(spans) >= min(count, max_frames):
                break
            size = same or _number(data, found[b"stsz"].start + 12 + 4 * len(spans), 4)
            spans.append((min(at, len(data)), min(at + size, len(data))))
            at += size
    return tuple(spans)
