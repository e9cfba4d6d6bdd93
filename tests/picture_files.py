"""Picture files made by hand, for what no program at hand writes: colour profiles, HEIF boxes, TIFF of any depth."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

P3 = ((0.515102, 0.241182, -0.001050), (0.291965, 0.692236, 0.041882), (0.157153, 0.066582, 0.784378))
ADOBE = ((0.609741, 0.311111, 0.019470), (0.205276, 0.625671, 0.060867), (0.149185, 0.063217, 0.744568))
SRGB = ((0.436066, 0.222488, 0.013916), (0.385147, 0.716873, 0.097076), (0.143066, 0.060608, 0.714096))
"""Red, green and blue as XYZ adapted to D50, as their profiles have them."""
GAMMA = struct.pack(">4sIIH", b"curv", 0, 1, 563)
"""The curve of Adobe RGB, 2.19921875."""
SRGB_CURVE = struct.pack(
    ">4sIHH5i", b"para", 0, 3, 0, *(round(v * 65536) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
"""The curve of sRGB and of Display P3."""


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def icc(
    space: bytes, tags: dict[bytes, bytes], *, version: int = 4, pcs: bytes = b"XYZ ", kind: bytes = b"mntr"
) -> bytes:
    """An ICC profile."""
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += _padded(data)
    header = bytearray(128)
    struct.pack_into(">I", header, 0, at + len(body))
    header[8:12] = struct.pack(">I", version << 24)
    header[12:16], header[16:20], header[20:24], header[36:40] = kind, space, pcs, b"acsp"
    struct.pack_into(">3i", header, 68, 63190, 65536, 54061)
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


def matrix_profile(primaries: Sequence[Sequence[float]], curve: bytes, *, version: int = 4) -> bytes:
    """A profile of three curves and a matrix."""
    tags = {}
    for name, colour in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags[name + b"XYZ"] = struct.pack(">4sI3i", b"XYZ ", 0, *(round(65536 * value) for value in colour))
        tags[name + b"TRC"] = curve
    return icc(b"RGB ", tags, version=version)


def grey_profile(curve: bytes) -> bytes:
    """A profile of one curve."""
    return icc(b"GRAY", {b"kTRC": curve})


def table_profile(kind: str, side: int = 17) -> bytes:
    """A profile of tables ("mft1", "mft2", "mAB"): every colour becomes the L*a*b* of linear light in Adobe RGB."""
    steps = np.linspace(0, 1, side)
    corners = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    white = np.array([0.9642, 1.0, 0.8249])
    ratio = corners @ np.array(ADOBE) / white
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(np.clip(ratio, 0, None)), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    unit = np.clip((lab + np.array([0, 128, 128])) / [100, 255, 255], 0, 1)
    ramp = np.linspace(0, 1, 256) ** 2.2
    if kind == "mAB":
        curve = _padded(struct.pack(">4sIII", b"curv", 0, 256, 0)[:12] + np.rint(65535 * ramp).astype(">u2").tobytes())
        line = _padded(struct.pack(">4sII", b"curv", 0, 0))
        grid = bytes([side] * 3 + [0] * 13 + [2, 0, 0, 0]) + np.rint(65535 * unit).astype(">u2").tobytes()
        b_at = 32
        a_at = b_at + 3 * len(line)
        grid_at = a_at + 3 * len(curve)
        data = struct.pack(">4sIBBH5I", b"mAB ", 0, 3, 3, 0, b_at, 0, 0, grid_at, a_at) + 3 * line + 3 * curve + grid
        return icc(b"RGB ", {b"A2B0": data}, pcs=b"Lab ", kind=b"scnr")
    wide = kind == "mft2"
    full, dtype = (65535, ">u2") if wide else (255, "u1")
    head = struct.pack(">4sIBBBx9i", kind.encode(), 0, 3, 3, side, *[65536 if i % 4 == 0 else 0 for i in range(9)])
    data = head + (struct.pack(">HH", 256, 2) if wide else b"")
    data += 3 * np.rint(full * ramp).astype(dtype).tobytes()
    data += np.rint((65280 if wide else 255) * unit).astype(dtype).tobytes()
    last = np.linspace(0, 1, 2 if wide else 256)
    data += 3 * np.rint(full * last).astype(dtype).tobytes()
    return icc(b"RGB ", {b"A2B0": data}, version=2, pcs=b"Lab ", kind=b"scnr")


# HEIF


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def nclx(primaries: int, transfer: int, matrix: int, full: bool) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, 0x80 if full else 0))


_ESSENTIAL = (b"av1C", b"hvcC", b"irot", b"imir", b"clap")
"""Properties that no reader may skip."""


def heif_file(
    brands: Sequence[bytes],
    items: Sequence[tuple[bytes, bytes, Sequence[int]]],
    properties: Sequence[bytes],
    references: Sequence[tuple[bytes, int, Sequence[int]]] = (),
    primary: int = 1,
) -> bytes:
    """A picture file.

    Args:
        brands: the major one first.
        items: (kind, bytes, places of its properties, from 1), numbered from 1.
        references: (kind, from, to).
    """
    ftyp = box(b"ftyp", brands[0], bytes(4), *brands[1:])
    infos = [full_box(b"infe", 2, 0, struct.pack(">HH4sx", i + 1, 0, kind)) for i, (kind, _, _) in enumerate(items)]
    ipma = struct.pack(">I", sum(bool(places) for _, _, places in items))
    for i, places in [(i, places) for i, (_, _, places) in enumerate(items) if places]:
        essential = [place | 0x80 if properties[place - 1][4:8] in _ESSENTIAL else place for place in places]
        ipma += struct.pack(">HB", i + 1, len(places)) + bytes(essential)

    def meta(start: int) -> bytes:
        iloc, at = b"\x44\x00" + struct.pack(">H", len(items)), start
        for i, (_, data, _) in enumerate(items):
            iloc += struct.pack(">HHHII", i + 1, 0, 1, at, len(data))
            at += len(data)
        refs = [box(kind, struct.pack(f">HH{len(to)}H", origin, len(to), *to)) for kind, origin, to in references]
        return full_box(
            b"meta",
            0,
            0,
            full_box(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", 0, 0, struct.pack(">H", primary)),
            full_box(b"iloc", 0, 0, iloc),
            full_box(b"iinf", 0, 0, struct.pack(">H", len(infos)), *infos),
            full_box(b"iref", 0, 0, *refs) if refs else b"",
            box(b"iprp", box(b"ipco", *properties), full_box(b"ipma", 0, 0, ipma)),
        )

    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + box(b"mdat", *(data for _, data, _ in items))


def hevc(frame_rgb: np.ndarray, pixel_format: str = "yuv420p", *, full: bool = True) -> tuple[bytes, bytes]:
    """A frame in H.265, BT.601: (its settings, `hvcC`; its bytes)."""
    encoder = av.CodecContext.create("libx265", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = frame_rgb.shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = pixel_format, Fraction(1), Fraction(1)
    encoder.options = {"preset": "ultrafast", "crf": "4", "x265-params": "log-level=none:info=0"}
    levels = 2 if full else 1
    encoder.color_range = levels
    source = av.VideoFrame.from_ndarray(frame_rgb, format="rgb48le" if frame_rgb.dtype == np.uint16 else "rgb24")
    picture = source.reformat(format=pixel_format, dst_colorspace=5, dst_color_range=levels)
    stream = b"".join(bytes(packet) for coded in (picture, None) for packet in encoder.encode(coded))
    units = [unit for unit in re.split(rb"\x00\x00\x00?\x01", stream) if unit]
    arrays = [(unit[0] >> 1 & 63, unit) for unit in units if unit[0] >> 1 & 63 in (32, 33, 34)]
    deep = av.VideoFormat(pixel_format).components[0].bits - 8
    settings = bytes(
        [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 60, 0xF0, 0, 0xFC, 0xFD, 0xF8 | deep, 0xF8 | deep, 0, 0, 0x0F]
    )
    settings += bytes([len(arrays)])
    settings += b"".join(struct.pack(">BHH", 0x80 | kind, 1, len(unit)) + unit for kind, unit in arrays)
    slices = [unit for unit in units if unit[0] >> 1 & 63 < 32]
    return settings, b"".join(struct.pack(">I", len(unit)) + unit for unit in slices)


def heic_grid(
    tiles: Sequence[tuple[bytes, bytes]],
    size: tuple[int, int],
    exif: bytes,
    *extra: bytes,
    columns: int | None = None,
    brands: Sequence[bytes] = (b"heic", b"mif1"),
) -> bytes:
    """A HEIC file as a phone writes it: a grid of tiles of 64 x 64, further properties of it, and EXIF."""
    wide = columns or len(tiles)
    shapes = [full_box(b"ispe", 0, 0, struct.pack(">II", *shape)) for shape in ((64, 64), size)]
    properties = [box(b"hvcC", tiles[0][0]), *shapes, nclx(1, 13, 6, True), *extra]
    grid = struct.pack(">4BHH", 0, 0, -(-len(tiles) // wide) - 1, wide - 1, *size)
    items = [(b"grid", grid, [3, 4, *range(5, 5 + len(extra))]), *((b"hvc1", data, [1, 2]) for _, data in tiles)]
    items.append((b"Exif", bytes(4) + exif, []))
    references = [(b"dimg", 1, list(range(2, 2 + len(tiles)))), (b"cdsc", len(items), [1])]
    return heif_file(brands, items, properties, references)


# TIFF


def tiff(picture: np.ndarray, tags: dict[int, tuple[int, Any]] | None = None, *, big: bool = False) -> bytes:
    """An uncompressed TIFF of [H, W] or [H, W, channels] numbers; `tags` (type, value or bytes) add and replace."""
    height, width = picture.shape[:2]
    channels = picture.shape[2] if picture.ndim == 3 else 1
    kind = {"u": 1, "i": 2, "f": 3}[picture.dtype.kind]
    entries: dict[int, tuple[int, Any]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8 * picture.dtype.itemsize] * channels),
        259: (3, [1]),
        262: (3, [2 if channels >= 3 else 1]),
        273: (4, [0]),
        277: (3, [channels]),
        278: (4, [height]),
        279: (4, [picture.nbytes]),
        284: (3, [1]),
        339: (3, [kind] * channels),
        **(tags or {}),
    }
    pointer, word, slot = ("Q", 8, 20) if big else ("I", 4, 12)
    start = 16 if big else 8
    after = start + (8 if big else 2) + slot * len(entries) + word
    extra, table = b"", b""
    data_at = after + 4096
    for tag, (code, values) in sorted(entries.items()):
        values = [data_at] if tag == 273 else values
        raw = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{'xBxHI'[code]}", *values)
        count = len(raw) if isinstance(values, bytes) else len(values)
        table += struct.pack(f"<HH{pointer}", tag, code, count)
        if len(raw) <= word:
            table += raw.ljust(word, b"\0")
        else:
            table += struct.pack(f"<{pointer}", after + len(extra))
            extra += raw + b"\0" * (len(raw) % 2)
    assert len(extra) <= 4096
    head = b"II" + (struct.pack("<HHHQ", 43, 8, 0, 16) if big else struct.pack("<HI", 42, 8))
    number = struct.pack("<Q" if big else "<H", len(entries))
    return (
        head
        + number
        + table
        + bytes(word)
        + extra.ljust(4096, b"\0")
        + picture.astype(picture.dtype.newbyteorder("<")).tobytes()
    )


def smooth(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """A colourful picture without hard edges, RGB uint8."""
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(few, dsize=(width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
