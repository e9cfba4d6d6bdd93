"""What the numbers of a picture mean: profiles, wide gamuts, depth, high dynamic range; Little CMS is the oracle."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from talkinghead.media import open_frames, read_picture
from talkinghead.media.srgb import Meaning, srgb_from_primaries, to_srgb
from tests.media.test_heif import coded
from tests.picture_files import (
    ADOBE,
    GAMMA,
    P3,
    SRGB,
    SRGB_CURVE,
    box,
    full_box,
    grey_profile,
    heif_file,
    matrix_profile,
    nclx,
    smooth,
    table_profile,
    tiff,
)

PROFILES = {
    "display-p3": matrix_profile(P3, SRGB_CURVE),
    "display-p3-v2": matrix_profile(P3, GAMMA, version=2),
    "adobe-rgb": matrix_profile(ADOBE, GAMMA, version=2),
    "sampled-curve": matrix_profile(
        ADOBE,
        struct.pack(">4sII", b"curv", 0, 64) + np.rint(65535 * np.linspace(0, 1, 64) ** 1.8).astype(">u2").tobytes(),
    ),
    "mft1": table_profile("mft1"),
    "mft2": table_profile("mft2"),
    "mAB": table_profile("mAB"),
}
FORMATS: dict[str, dict[str, object]] = {
    "png": {},
    "tif": {},
    "webp": {"lossless": True},
    "jpg": {"quality": 95},
    "avif": {"quality": 95},
}


def by_little_cms(picture: Image.Image, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(
        ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"), np.float64
    )


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("suffix", FORMATS)
def test_profiles_become_srgb(name: str, suffix: str, tmp_path: Path) -> None:
    if name.startswith("m") and suffix != "png":
        suffix = "tif"  # tables work the same in every format
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth()).save(path, icc_profile=PROFILES[name], **FORMATS[suffix])
    source = open_frames(path)
    expected = by_little_cms(Image.open(path).convert("RGB"), PROFILES[name])
    assert source.warnings == ()
    assert np.abs(next(iter(source.read())) - expected).mean() < 0.5
    assert np.abs(expected - smooth()).mean() > 5


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_grey_profile(gamma: float, tmp_path: Path) -> None:
    profile = grey_profile(struct.pack(">4sIIH", b"curv", 0, 1, round(256 * gamma)))
    picture = Image.fromarray(smooth()).convert("L")
    picture.save(tmp_path / "a.png", icc_profile=profile)
    assert np.abs(read_picture(tmp_path / "a.png") - by_little_cms(picture, profile)).mean() < 0.5


@pytest.mark.parametrize("depth", [16, 8])
def test_profile_of_a_transparent_picture(depth: int, tmp_path: Path) -> None:
    colour = smooth()
    opacity = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    rgba = np.dstack([colour, opacity]).astype(np.uint16 if depth == 16 else np.uint8) * (257 if depth == 16 else 1)
    tags = {338: (3, [2]), 34675: (1, PROFILES["adobe-rgb"])}
    (tmp_path / "a.tif").write_bytes(tiff(rgba.astype(np.uint16 if depth == 16 else np.uint8), tags))
    share = opacity[:, :, None] / 255
    expected = by_little_cms(Image.fromarray(colour), PROFILES["adobe-rgb"]) * share + 255 * (1 - share)
    assert np.abs(read_picture(tmp_path / "a.tif") - expected).mean() < 0.8


@pytest.mark.parametrize("curve", [SRGB_CURVE, GAMMA])
def test_srgb_profiles_change_nothing(curve: bytes, tmp_path: Path) -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, matrix_profile(SRGB, SRGB_CURVE)):
        Image.fromarray(smooth()).save(tmp_path / "a.png", icc_profile=profile)
        assert np.array_equal(read_picture(tmp_path / "a.png"), smooth())


WHOLE = PROFILES["display-p3"]
BROKEN = {
    "rubbish": b"not a profile" * 20,
    "cut": WHOLE[:200],
    "black": matrix_profile(((0, 0, 0),) * 3, GAMMA),
    "endless-table": table_profile("mft2")[:-4000],
    "many-tags": WHOLE[:128] + b"\xff\xff\xff\xff" + WHOLE[132:],
    "grey-of-colour": grey_profile(GAMMA),
    "cmyk": WHOLE[:16] + b"CMYK" + WHOLE[20:],
    "unknown-curve": matrix_profile(P3, b"none" + bytes(12)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_profiles_are_ignored_and_named(name: str, tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.tif", icc_profile=BROKEN[name])
    source = open_frames(tmp_path / "a.tif")
    assert np.array_equal(next(iter(source.read())), smooth())
    assert len(source.warnings) == 1
    assert "profile" in source.warnings[0]


def test_a_profile_that_png_cannot_unpack(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    chunk = b"iCCPname\0\0" + b"not packed"
    extra = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(data[:33] + extra + data[33:])
    source = open_frames(tmp_path / "a.png")
    assert np.array_equal(next(iter(source.read())), smooth())
    assert "profile" in source.warnings[0]


# By number


PRIMARIES = {
    12: np.array([[1.22494, -0.22494, 0.0], [-0.04206, 1.04206, 0.0], [-0.01964, -0.07864, 1.09827]]),
    9: np.array([[1.66049, -0.58764, -0.07285], [-0.12455, 1.1329, -0.00835], [-0.01815, -0.10058, 1.11873]]),
}
"""Published matrices to linear sRGB (Display P3; BT.2020, ITU-R BT.2407)."""


def test_matrices_of_primaries() -> None:
    from talkinghead.media.srgb import PRIMARIES as KNOWN

    for number, matrix in PRIMARIES.items():
        assert np.allclose(srgb_from_primaries(KNOWN[number]), matrix, atol=2e-4)


def decoded_by_number(picture: np.ndarray, primaries: int) -> np.ndarray:
    unit = picture / 255
    light = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4) @ PRIMARIES[primaries].T
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("primaries", [12, 9])
def test_wide_gamut_avif_by_number(primaries: int, tmp_path: Path) -> None:
    settings, data = coded()
    ispe = full_box(b"ispe", 0, 0, struct.pack(">II", 64, 48))
    path = tmp_path / "a.avif"
    frames = []
    for number in (1, primaries):
        properties = [box(b"av1C", settings), ispe, nclx(number, 13, 6, True)]
        path.write_bytes(heif_file([b"avif"], [(b"av01", data, [1, 2, 3])], properties))
        frames.append(read_picture(path).astype(float))
    assert np.abs(frames[1] - decoded_by_number(frames[0], primaries)).mean() < 0.5
    assert np.abs(frames[1] - frames[0]).mean() > 3


def png_with_cicp(picture: np.ndarray, primaries: int, transfer: int) -> bytes:
    order = picture[:, :, ::-1]
    data = cv2.imencode(".png", order)[1].tobytes()
    chunk = b"cICP" + bytes([primaries, transfer, 0, 1])
    return data[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def test_wide_gamut_png_by_number(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_with_cicp(smooth(), 12, 13))
    assert np.abs(read_picture(tmp_path / "a.png") - decoded_by_number(smooth(), 12)).mean() < 0.5


@pytest.mark.thorough
@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_mapped_and_said(transfer: int, name: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    grey = np.repeat(np.tile(ramp, (8, 1))[:, :, None], 3, axis=2)
    (tmp_path / "a.png").write_bytes(png_with_cicp(grey, 9, transfer))
    source = open_frames(tmp_path / "a.png")
    frame = next(iter(source.read())).astype(int)
    assert any(name in warning for warning in source.warnings)
    assert np.ptp(frame, axis=2).max() <= 2
    assert (np.diff(frame[0, :, 0]) >= 0).all()
    white = {16: 0.5807, 18: 0.75}[transfer]  # 203 nits, the white of paper
    at = round(63 * white)
    assert frame[0, at, 0] >= 245
    assert frame[0, at // 2, 0] < 130


# Depth


@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("quality", [95, 100])
def test_avif_of_any_depth(depth: int, quality: int, tmp_path: Path) -> None:
    picture = smooth()
    numbers = np.rint(picture[:, :, ::-1] / 255 * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)
    options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, quality, cv2.IMWRITE_AVIF_SPEED, 9]
    (tmp_path / "a.avif").write_bytes(cv2.imencode(".avif", numbers, options)[1].tobytes())
    got = read_picture(tmp_path / "a.avif").astype(int)
    assert np.abs(got - picture).mean() < 2
    assert np.abs(got.mean() - picture.mean()) < 1


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:0:0"])
@pytest.mark.parametrize("levels", ["full", "limited"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_avif_as_pillow_reads_it(sampling: str, levels: str, mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(smooth()).convert("RGBA")
    picture.putalpha(Image.fromarray(smooth(seed=4)).convert("L"))
    picture.convert(mode).save(tmp_path / "a.avif", subsampling=sampling, range=levels, quality=95, speed=9)
    expected = on_white(Image.open(tmp_path / "a.avif"))
    assert np.abs(read_picture(tmp_path / "a.avif") - expected).max() <= 2


def on_white(picture: Image.Image) -> np.ndarray:
    rgba = np.asarray(picture.convert("RGBA"), np.float64)
    share = rgba[:, :, 3:] / 255
    return rgba[:, :, :3] * share + 255 * (1 - share)


PICTURE = smooth()
GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))
OPACITY = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
SHARE = OPACITY[:, :, None] / 255
RGBA = np.dstack([PICTURE, OPACITY])
ASSOCIATED = np.dstack([np.rint(PICTURE * SHARE).astype(np.uint8), OPACITY])
DEEP: dict[str, tuple[np.ndarray, dict[int, tuple[int, object]], str]] = {
    "u16": (PICTURE.astype(np.uint16) * 257, {}, "colour"),
    "u16-grey": (GREY.astype(np.uint16) * 257, {}, "grey"),
    "u32": (PICTURE.astype(np.uint32) * 0x01010101, {}, "colour"),
    "u32-grey": (GREY.astype(np.uint32) * 0x01010101, {}, "grey"),
    "i32-grey-of-16-bits": (GREY.astype(np.int32) * 257, {}, "grey"),
    "f32": ((PICTURE / 255).astype(np.float32), {}, "colour"),
    "f64": (PICTURE / 255, {}, "colour"),
    "f32-grey": ((GREY / 255).astype(np.float32), {}, "grey"),
    "f32-to-255": (PICTURE.astype(np.float32), {}, "colour"),
    "rgba": (RGBA, {338: (3, [2])}, "white"),
    "rgba-undeclared": (RGBA, {}, "white"),
    "rgba-associated": (ASSOCIATED, {338: (3, [1])}, "white"),
    "rgba16": (RGBA.astype(np.uint16) * 257, {338: (3, [2])}, "white"),
    "rgba16-associated": (ASSOCIATED.astype(np.uint16) * 257, {338: (3, [1])}, "white"),
    "rgbx": (RGBA, {338: (3, [0])}, "colour"),
    "la": (np.dstack([GREY, OPACITY]), {338: (3, [2])}, "grey-white"),
    "la16": (np.dstack([GREY, OPACITY]).astype(np.uint16) * 257, {338: (3, [2])}, "grey-white"),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("big", [False, True], ids=["tiff", "bigtiff"])
def test_tiff_of_any_depth_and_transparency(name: str, big: bool, tmp_path: Path) -> None:
    numbers, tags, kind = DEEP[name]
    if big and kind == "grey-white":
        kind = "grey"  # no decoder here reads that opacity
    (tmp_path / "a.tif").write_bytes(tiff(numbers, tags, big=big))
    grey = np.repeat(GREY[:, :, None], 3, axis=2).astype(float)
    expected = {
        "colour": PICTURE,
        "grey": grey,
        "white": PICTURE * SHARE + 255 * (1 - SHARE),
        "grey-white": grey * SHARE + 255 * (1 - SHARE),
    }[kind]
    source = open_frames(tmp_path / "a.tif")
    assert np.abs(next(iter(source.read())) - expected).max() <= 1.5
    if big and name.startswith("la"):
        assert "transparency is left out" in source.warnings[0]


@pytest.mark.parametrize("order", range(1, 9))
@pytest.mark.parametrize("depth", [8, 16])
def test_orientation_of_deep_tiff(order: int, depth: int, tmp_path: Path) -> None:
    from tests.media.test_pictures import TURNS

    numbers = PICTURE if depth == 8 else PICTURE.astype(np.uint16) * 257
    (tmp_path / "a.tif").write_bytes(tiff(numbers, {274: (4, [order])}))
    assert np.array_equal(read_picture(tmp_path / "a.tif"), TURNS[order](PICTURE))


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "LA", "RGBA"])
def test_transparent_png_of_every_mode(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(RGBA).convert(mode)
    options: dict[str, object] = {}
    if mode in ("L", "RGB", "1"):
        options["transparency"] = picture.getpixel((3, 3))
    elif mode == "P":
        options["transparency"] = bytes(range(256))
    picture.save(tmp_path / "a.png", **options)
    assert np.abs(read_picture(tmp_path / "a.png") - on_white(Image.open(tmp_path / "a.png"))).max() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_printed_colours_are_read_and_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PICTURE).convert("CMYK").save(path, icc_profile=WHOLE, **FORMATS[suffix])
    source = open_frames(path)
    assert np.abs(next(iter(source.read())).astype(int) - PICTURE).mean() < 2
    assert "CMYK" in source.warnings[0]


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.media import srgb

    meaning = Meaning(profile=WHOLE)
    whole, _ = to_srgb(RGBA.copy(), 255, meaning)
    monkeypatch.setattr(srgb, "STRIP_PIXELS", 100)
    assert np.array_equal(to_srgb(RGBA.copy(), 255, meaning)[0], whole)
