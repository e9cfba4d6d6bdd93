"""Orientation: every way to write it, against Pillow as the oracle."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from talkinghead.media import read_picture
from talkinghead.media.exif import exif_orientation, orientation, raw_profile
from tests.picture_files import smooth

KINDS = {
    "byte": (1, "B"),
    "ascii": (2, "c"),
    "short": (3, "H"),
    "long": (4, "I"),
    "rational": (5, "I"),
    "sbyte": (6, "b"),
    "undefined": (7, "B"),
    "sshort": (8, "h"),
    "slong": (9, "i"),
    "srational": (10, "i"),
    "float": (11, "f"),
    "double": (12, "d"),
    "unknown": (99, "B"),
}


def exif(value: int, kind: str = "short", order: str = ">", count: int = 1) -> bytes:
    code, layout = KINDS[kind]
    values: list[object] = [value, 1] if "rational" in kind else [value] * max(1, count)
    raw = struct.pack(f"{order}{len(values)}{layout}", *[b"%d" % v if layout == "c" else v for v in values])
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(order + "IHHHI", 8, 1, 0x0112, code, count)
    if len(raw) > 4:
        return head + struct.pack(order + "II", 26, 0) + raw
    return head + raw.ljust(4, b"\0") + struct.pack(order + "I", 0)


def jpeg(*segments: tuple[int, bytes], size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(smooth(*size)).save(buffer, "JPEG", quality=95)
    extra = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return buffer.getvalue()[:2] + extra + buffer.getvalue()[2:]


def as_pillow(data: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [1, 0])
def test_every_type_of_number_counts_as_in_pillow(kind: str, order: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg((0xE1, b"Exif\0\0" + exif(6, kind, order, count))))
    got, expected = read_picture(path), as_pillow(path.read_bytes())
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["short", "long"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_all_eight_in_every_format(value: int, kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    picture = Image.fromarray(smooth())
    if suffix == "tif":
        picture.save(path, tiffinfo={0x0112: value})
    else:
        picture.save(path, exif=b"Exif\0\0" + exif(value, kind), **({} if suffix == "png" else {"quality": 100}))
    got, expected = read_picture(path), as_pillow(path.read_bytes())
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).mean() < 1.5


XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {}</rdf:Description></x:xmpmeta>'
ATTRIBUTE, ELEMENT = 'tiff:Orientation="6">', "><tiff:Orientation>6</tiff:Orientation>"


@pytest.mark.parametrize("form", [ATTRIBUTE, ELEMENT])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_orientation_in_xmp_alone(form: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    text = XMP.format(form)
    if suffix == "jpg":
        path.write_bytes(jpeg((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text.encode())))
    elif suffix == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", text)
        Image.fromarray(smooth()).save(path, pnginfo=info)
    else:
        Image.fromarray(smooth()).save(path, xmp=text.encode(), quality=100)
    assert read_picture(path).shape == (64, 48, 3) == as_pillow(path.read_bytes()).shape


def test_exif_counts_before_xmp(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + XMP.format(ATTRIBUTE).encode()
    path.write_bytes(jpeg((0xE1, xmp), (0xE1, b"Exif\0\0" + exif(3))))
    assert read_picture(path).shape == (48, 64, 3)
    assert np.abs(read_picture(path).astype(int) - as_pillow(path.read_bytes())).mean() < 1


def test_the_text_of_imagemagick(tmp_path: Path) -> None:
    block = b"Exif\0\0" + exif(8)
    lines = block.hex()
    text = f"\nexif\n{len(block):8}\n" + "\n".join(lines[i : i + 72] for i in range(0, len(lines), 72)) + "\n"
    chunk = b"zTXt" + b"Raw profile type exif\0\0" + zlib.compress(text.encode())
    buffer = io.BytesIO()
    Image.fromarray(smooth()).save(buffer, "PNG")
    data = buffer.getvalue()
    extra = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path = tmp_path / "a.png"
    path.write_bytes(data[:33] + extra + data[33:])
    assert np.array_equal(read_picture(path), as_pillow(path.read_bytes()))
    assert read_picture(path).shape == (64, 48, 3)


@given(st.binary(max_size=80))
def test_rubbish_is_no_orientation(data: bytes) -> None:
    for mark in (b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0"):
        assert orientation(mark + data, data) in range(1, 9)
        assert exif_orientation(mark + data) in (None, *range(9))
    assert isinstance(raw_profile(data), bytes)
