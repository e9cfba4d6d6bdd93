"""HEIC: tiles of H.265, as phones take pictures, made by hand; and what cannot be read says what to do."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from talkinghead.errors import UnreadableMedia
from talkinghead.media import FrameOptions, open_frames, probe, read_picture
from tests.conftest import ROOT
from tests.media.test_exif import exif
from tests.picture_files import P3, SRGB_CURVE, box, full_box, heic_grid, heif_file, hevc, matrix_profile, nclx, smooth

Tiles = list[tuple[bytes, bytes]]


def ispe(width: int, height: int) -> bytes:
    return full_box(b"ispe", 0, 0, struct.pack(">II", width, height))


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le", "gray"]
)
@pytest.mark.parametrize("full", [True, False])
def test_one_picture(pixel_format: str, full: bool, tmp_path: Path) -> None:
    picture = smooth(64, 64)
    settings, data = hevc(picture, pixel_format, full=full)
    if pixel_format == "gray":  # libswscale makes grey of the full range only
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
        full = True
    properties = [box(b"hvcC", settings), ispe(64, 64), nclx(1, 13, 6, full)]
    path = tmp_path / "a.heic"
    path.write_bytes(heif_file([b"heic", b"mif1"], [(b"hvc1", data, [1, 2, 3])], properties))
    source = open_frames(path)
    assert (source.info.kind, source.info.codec, source.size) == ("image", "heic", (64, 64))
    assert np.abs(next(iter(source.read())).astype(int) - picture).mean() < 1.5
    assert probe(path).kind == "image"


@pytest.fixture(scope="module")
def photo() -> tuple[np.ndarray, Tiles]:
    picture = smooth(192, 128, seed=2)
    return picture, [hevc(np.ascontiguousarray(picture[y : y + 64, x : x + 64])) for y in (0, 64) for x in (0, 64, 128)]


def grid_file(tiles: Tiles, *extra: bytes, size: tuple[int, int] = (180, 100), **options: Any) -> bytes:
    """EXIF says a turn, too, which must not count."""
    return heic_grid(tiles, size, exif(6), *extra, columns=3, **options)


@pytest.mark.parametrize(
    "brands", [(b"heic", b"mif1"), (b"mif1", b"heic"), (b"mif1",)], ids=lambda b: b"-".join(b).decode()
)
def test_a_photo_of_a_phone(photo: tuple[np.ndarray, Tiles], brands: tuple[bytes, ...], tmp_path: Path) -> None:
    picture, tiles = photo
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(grid_file(tiles, box(b"irot", b"\3"), brands=brands))
    got = read_picture(path)
    assert got.shape == (180, 100, 3)
    assert np.abs(got.astype(int) - np.rot90(picture[:100, :180], -1)).mean() < 1.5
    half = open_frames(path, options=FrameOptions(resize_factor=2))
    assert half.size == (50, 90)


def test_its_profile(photo: tuple[np.ndarray, Tiles], tmp_path: Path) -> None:
    from PIL import Image

    from tests.media.test_srgb import by_little_cms

    picture, tiles = photo
    profile = matrix_profile(P3, SRGB_CURVE)
    path = tmp_path / "a.heic"
    path.write_bytes(grid_file(tiles, box(b"colr", b"prof", profile)))
    expected = by_little_cms(Image.fromarray(picture[:100, :180]), profile)
    assert np.abs(read_picture(path) - expected).mean() < 2


HALF = np.repeat(np.linspace(0, 255, 48).astype(np.uint8)[:, None], 64, axis=1)
"""An opacity that grows downwards."""


def with_opacity(
    kind: bytes = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", size: tuple[int, int] = (64, 48)
) -> bytes:
    picture = smooth(64, 48)
    colours, opacity = hevc(picture), hevc(np.repeat(HALF[:, :, None], 3, axis=2), "yuv420p10le")
    properties = [
        box(b"hvcC", colours[0]), ispe(64, 48), nclx(1, 13, 6, True),
        box(b"hvcC", opacity[0]), full_box(b"auxC", 0, 0, kind + b"\0"), ispe(*size),
    ]  # fmt: skip
    items = [(b"hvc1", colours[1], [1, 2, 3]), (b"hvc1", opacity[1], [4, 5, 6])]
    return heif_file([b"heic", b"mif1"], items, properties, [(b"auxl", 2, [1])])


def test_opacity_is_laid_on_white_and_other_pictures_beside_are_not(tmp_path: Path) -> None:
    picture, path = smooth(64, 48).astype(float), tmp_path / "a.heic"
    path.write_bytes(with_opacity())
    share = HALF[:, :, None] / 255
    assert np.abs(read_picture(path) - (picture * share + 255 * (1 - share))).mean() < 2
    path.write_bytes(with_opacity(b"urn:com:apple:photo:2020:aux:hdrgainmap"))
    assert np.abs(read_picture(path) - picture).mean() < 2
    path.write_bytes(with_opacity(size=(60_000, 60_000)))
    with pytest.raises(UnreadableMedia, match="parts of 3600 megapixels"):
        open_frames(path)


@pytest.mark.parametrize(("name", "most"), [("odd-turned", 3.0), ("deep-clear", 3.0), ("exact", 0.0)])
def test_files_of_libheif(name: str, most: float) -> None:
    """Of sizes that are no whole blocks, with turns, 10 bits, opacity, and without loss: see the script."""
    got = read_picture(ROOT / "tests" / "data" / "heic" / f"{name}.heic")
    want = smooth(45, 35, seed=5).astype(float)
    if name == "odd-turned":
        want = np.rot90(want, -1)
    if name == "deep-clear":
        share = np.linspace(0, 1, 35)[:, None, None]
        want = want * share + 255 * (1 - share)
    assert got.shape == want.shape
    assert np.abs(got - want).mean() <= most


@pytest.mark.parametrize("damage", ["tile missing", "cut", "grid larger", "tile of another kind"])
def test_damaged_ones_are_refused(damage: str, photo: tuple[np.ndarray, Tiles], tmp_path: Path) -> None:
    _, tiles = photo
    data = {
        "tile missing": grid_file(tiles[:-1]),
        "cut": grid_file(tiles)[:-2000],
        "grid larger": grid_file(tiles, size=(500, 100)),
        "tile of another kind": grid_file(tiles).replace(b"\0\0hvc1", b"\0\0j2k1"),
    }[damage]
    path = tmp_path / "a.heic"
    path.write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"a\.heic") as caught:
        open_frames(path)
    assert "export it" in str(caught.value)


def test_a_grid_that_claims_to_be_huge(photo: tuple[np.ndarray, Tiles], tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(grid_file(photo[1], size=(60_000, 60_000)))
    with pytest.raises(UnreadableMedia, match="3600 megapixels"):
        open_frames(path)
