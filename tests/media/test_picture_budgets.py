"""No picture takes more memory than is accepted, whatever its header says: refused before it is decoded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from talkinghead.errors import UnreadableMedia
from talkinghead.media import FrameOptions, open_frames, probe
from talkinghead.media.headers import BrokenHeader, read_header
from tests.media.test_exif import jpeg
from tests.picture_files import smooth, tiff

SMALL = FrameOptions(max_pixels=4000)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in body]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_of(size: tuple[int, int], before: bytes) -> bytes:
    """A small JPEG that claims a size, with something in front of the claim."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, size[1], size[0])
    return bytes(data[:at]) + before + bytes(data[at:])


CLAIMS = {
    "png": png(30_000, 30_000),
    "jpeg": jpeg_of((30_000, 30_000), b""),
    "jpeg-fill-bytes": jpeg_of((30_000, 30_000), b"\xff" * 40),
    "jpeg-rubbish": jpeg_of((30_000, 30_000), b"\0rubbish\xff\0\xff\x01"),
    "jpeg-restart-markers": jpeg_of((30_000, 30_000), b"\xff\xd0\xff\xd7"),
    "jpeg-short-segment": jpeg_of((30_000, 30_000), b"\xff\xe0\x00\x02"),
    "bmp": b"BM"
    + struct.pack("<IIIIii", 200, 0, 54, 40, 30_000, -30_000)
    + struct.pack("<HHIIIIII", 1, 24, 0, 0, 0, 0, 0, 0),
    "tiff": tiff(smooth(), {256: (4, [30_000]), 257: (4, [30_000])}),
    "tiff-tile": tiff(smooth(), {322: (4, [30_000]), 323: (4, [30_000])}),
    "bigtiff": tiff(smooth(), {256: (4, [30_000]), 257: (4, [30_000])}, big=True),
    "webp": b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x2f\x75\0" * 2 + b"VP8L\x10\0\0\0" + bytes(16),
    "webp-lossless": b"RIFF\x40\0\0\0WEBPVP8L\x10\0\0\0\x2f" + struct.pack("<I", 16383 | 16383 << 14) + bytes(12),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_are_seen_before_anything_is_decoded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(CLAIMS[name])
    monkeypatch.setattr(cv2, "imdecode", lambda *_, **__: pytest.fail("decoded"))
    for read in (open_frames, probe):
        with pytest.raises(UnreadableMedia, match="megapixels") as caught:
            read(path)
        assert "--max-pixels" in str(caught.value)


def test_a_jpeg_without_a_size_is_refused(tmp_path: Path) -> None:
    data = jpeg()
    at = data.index(b"\xff\xc0")
    length = struct.unpack_from(">H", data, at + 2)[0]
    (tmp_path / "a.jpg").write_bytes(data[:at] + data[at + 2 + length :])
    with pytest.raises(UnreadableMedia, match="names no size"):
        open_frames(tmp_path / "a.jpg")


def test_deep_pixels_count_more(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff((smooth() / 255).astype(np.float64)))  # 24 bytes a pixel
    with pytest.raises(UnreadableMedia, match="of 24 bytes each"):
        open_frames(path, options=SMALL)
    assert open_frames(path, options=FrameOptions(max_pixels=3 * 64 * 48)).size == (64, 48)


def test_the_check_knows_the_resize(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth(120, 90)).save(path)
    with pytest.raises(UnreadableMedia, match="120x90") as caught:
        open_frames(path, options=SMALL)
    assert "--resize-factor 2" in str(caught.value)
    assert "--max-pixels 10800" in str(caught.value)
    half = open_frames(path, options=FrameOptions(max_pixels=4000, resize_factor=2))
    assert half.size == (60, 45)
    assert open_frames(path, options=FrameOptions(max_pixels=10800)).size == (120, 90)


def test_resizing_does_not_open_every_door(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(30_000, 30_000))
    with pytest.raises(UnreadableMedia, match="900 megapixels"):
        open_frames(tmp_path / "a.png", options=FrameOptions(resize_factor=64))


def test_a_file_larger_than_any_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(10, 10))
    with path.open("ab") as file:
        file.truncate(1 << 31)
    with pytest.raises(UnreadableMedia, match="picture file of 2147 MB"):
        open_frames(path)


def test_text_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(1 << 26))
    chunks = ((b"iCCP", b"p\0\0" + bomb), (b"zTXt", b"Raw profile type exif\0\0" + bomb))
    assert len(read_header(png(4, 4, *chunks)).profile) <= 4 << 20


def test_raw_photographs_are_named(tmp_path: Path) -> None:
    for name, data in (
        ("a.dng", tiff(smooth(), {50706: (1, b"\1\4\0\0")})),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(60)),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableMedia, match="raw photograph") as caught:
            open_frames(tmp_path / name)
        assert "JPEG" in str(caught.value)


def test_further_pages_are_named(tmp_path: Path) -> None:
    pages = [Image.fromarray(smooth(64, 48)), Image.fromarray(smooth(640, 480))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    source = open_frames(tmp_path / "a.tif", options=SMALL)
    assert source.size == (64, 48)
    assert "holds 2 pictures" in source.warnings[0]


@pytest.mark.parametrize("seed", range(6))
def test_mutated_headers_never_raise_anything_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wholes = [jpeg(), png(8, 8, (b"eXIf", b"II*\0" + bytes(20))), tiff(smooth(8, 8)), tiff(smooth(8, 8), big=True)]
    wholes += [cv2.imencode(suffix, smooth(16, 16))[1].tobytes() for suffix in (".webp", ".bmp", ".avif")]
    for whole in wholes:
        for _ in range(60):
            data = bytearray(whole)
            for at in rng.integers(0, min(len(data), 300), 4):
                data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(0, 256)])
            try:
                header = read_header(bytes(data[: rng.integers(8, len(data) + 1)]))
            except BrokenHeader:
                continue
            assert header.pixels >= header.width * header.height
