"""Still pictures: formats, orientation, transparency, depth."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from talkinghead.contracts import FrameSource
from talkinghead.errors import MediaNotFound, OutputExists, UnreadableMedia, UnwritableOutput
from talkinghead.media import FrameOptions, open_frames, probe, read_picture, write_png
from talkinghead.media.transform import Transform, frame_indices
from tests.golden_files import Golden
from tests.synthetic_media import coded_frame, make_picture, make_video, truncated

EXACT = [".png", ".bmp", ".tiff"]
LOSSY = [".jpg", ".jpeg", ".webp", ".avif"]


@pytest.mark.parametrize("suffix", [*EXACT, *LOSSY])
def test_formats(suffix: str, tmp_path: Path) -> None:
    path = make_picture(tmp_path / f"a{suffix}", (65, 47), index=9)
    frame = read_picture(path)
    assert frame.shape == (47, 65, 3)
    assert frame.dtype == np.uint8
    assert np.abs(frame.astype(int) - coded_frame(9, 65, 47)).mean() <= (0 if suffix in EXACT else 6)
    source = open_frames(path)
    assert isinstance(source, FrameSource)
    assert (len(source), source.fps, source.size, source.info.kind) == (1, None, (65, 47), "image")
    assert np.array_equal(next(iter(source.read())), frame)
    assert probe(path).kind == "image"


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "a.png")
    misnamed = picture.rename(tmp_path / "a.mp4")
    assert open_frames(misnamed).info.kind == "image"
    video = make_video(tmp_path / "b.mp4", 3).rename(tmp_path / "b.jpg")
    assert open_frames(video).info.kind == "video"


TURNS = {
    1: lambda f: f,
    2: lambda f: f[:, ::-1],
    3: lambda f: f[::-1, ::-1],
    4: lambda f: f[::-1],
    5: lambda f: f.transpose(1, 0, 2),
    6: lambda f: np.rot90(f, -1),
    7: lambda f: f[::-1, ::-1].transpose(1, 0, 2),
    8: lambda f: np.rot90(f, 1),
}


def exif(orientation: int, order: str) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_orientation(orientation: int, order: str, suffix: str, tmp_path: Path) -> None:
    plain = make_picture(tmp_path / f"plain{suffix}", (64, 48), index=9)
    turned = tmp_path / f"turned{suffix}"
    turned.write_bytes(_with_exif(plain.read_bytes(), suffix, exif(orientation, order)))
    assert np.array_equal(read_picture(turned), TURNS[orientation](read_picture(plain)))


def _with_exif(data: bytes, suffix: str, block: bytes) -> bytes:
    if suffix == ".jpg":
        body = b"Exif\0\0" + block
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if suffix == ".png":
        chunk = b"eXIf" + block
        return data[:33] + struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    size = struct.pack("<I", 63)[:3] + struct.pack("<I", 47)[:3]  # canvas 64 x 48
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size
    chunk = b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    body = b"WEBP" + extended + data[12:] + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("block", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", exif(0, "<"), exif(9, ">"), b"garbage!"])
def test_damaged_exif_is_no_orientation(block: bytes, tmp_path: Path) -> None:
    plain = make_picture(tmp_path / "plain.jpg")
    path = tmp_path / "a.jpg"
    path.write_bytes(_with_exif(plain.read_bytes(), ".jpg", block))
    assert np.array_equal(read_picture(path), read_picture(plain))


def _png(path: Path, picture: np.ndarray) -> Path:
    done, data = cv2.imencode(".png", picture)
    assert done
    path.write_bytes(data.tobytes())
    return path


def test_grey_and_sixteen_bits(tmp_path: Path) -> None:
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    expected = np.rint(ramp / 257).astype(np.uint8)
    assert np.array_equal(read_picture(_png(tmp_path / "a.png", ramp)), np.repeat(expected[:, :, None], 3, axis=2))
    colour = np.stack([ramp, ramp[::-1], ramp.T], axis=2)  # BGR
    got = read_picture(_png(tmp_path / "b.png", colour))
    assert np.array_equal(got, np.rint(colour[:, :, ::-1] / 257).astype(np.uint8))
    grey = (ramp >> 8).astype(np.uint8)
    assert np.array_equal(read_picture(_png(tmp_path / "c.png", grey))[:, :, 1], grey)


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_parts_show_white(depth: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    full = 2**depth - 1
    bgra = rng.integers(0, full + 1, (20, 30, 4)).astype(np.uint8 if depth == 8 else np.uint16)
    bgra[:5, :, 3] = 0
    bgra[5:10, :, 3] = full
    got = read_picture(_png(tmp_path / "a.png", bgra))
    alpha = bgra[:, :, 3:] / full
    expected = bgra[:, :, 2::-1] / full * 255 * alpha + 255 * (1 - alpha)
    assert np.abs(got - expected).max() <= 0.5 + 1e-4
    assert (got[:5] == 255).all()


def test_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    bgra = np.random.default_rng(1).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    bgra[:, :, 3] = 255
    assert np.array_equal(read_picture(_png(tmp_path / "a.png", bgra)), bgra[:, :, 2::-1])


def test_damaged_pictures(tmp_path: Path) -> None:
    whole = make_picture(tmp_path / "a.jpg", (320, 240))
    cut = truncated(whole, tmp_path / "cut.jpg", 0.6)
    source = open_frames(cut)
    assert source.size == (320, 240)
    assert any("damaged" in warning for warning in source.warnings)
    for name in ("a.png", "b.webp", "c.bmp"):
        header = truncated(make_picture(tmp_path / name), tmp_path / f"cut-{name}", 0.02)
        with pytest.raises(UnreadableMedia):
            open_frames(header)


@pytest.mark.parametrize("suffix", [*EXACT, *LOSSY])
def test_absurd_sizes_are_refused_before_decoding(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_picture(tmp_path / f"a{suffix}", (64, 48))
    monkeypatch.setattr(cv2, "imdecode", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(UnreadableMedia, match="64x48"):
        open_frames(path, options=FrameOptions(max_pixels=3_000))


def test_a_small_file_that_claims_to_be_huge(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    )
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(UnreadableMedia, match="10000 megapixels"):
        open_frames(path)


def test_heic_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(UnreadableMedia, match="HEIC") as caught:
        open_frames(path)
    assert "JPEG" in str(caught.value)


def test_read_picture_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="not a picture"):
        read_picture(make_video(tmp_path / "a.mp4", 2))
    with pytest.raises(MediaNotFound):
        read_picture(tmp_path / "none.png")


def test_options_apply_to_pictures_too(tmp_path: Path) -> None:
    path = make_picture(tmp_path / "a.png", (64, 48))
    source = open_frames(path, options=FrameOptions(resize_factor=2, rotate=True, crop=(0, 20, 4, -1)))
    expected = cv2.rotate(cv2.resize(coded_frame(5), (32, 24)), cv2.ROTATE_90_CLOCKWISE)[0:20, 4:]
    assert np.array_equal(next(iter(source.read())), expected)
    assert source.size == (20, 20)
    assert source.content_hash != open_frames(path).content_hash


def test_prepared_frames_of_the_published_script() -> None:
    import json

    case = Golden("wav2lip/pipeline_static")
    options = json.loads(str(case["options"]))
    first = case["frames"][0]
    transform = Transform.plan(
        first.shape[1],
        first.shape[0],
        FrameOptions(resize_factor=options["resize_factor"], rotate=options["rotate"], crop=tuple(options["crop"])),
    )
    assert np.array_equal(transform.apply(first), case["prepared0"])


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40).map(lambda s: (*s, 3))))
def test_png_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, frame: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_png(path, frame)
    assert np.array_equal(read_picture(path), frame)


def test_write_png_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, coded_frame(1))
    with pytest.raises(OutputExists):
        write_png(path, coded_frame(2), overwrite=False)
    assert np.array_equal(read_picture(path), coded_frame(1))
    with pytest.raises(UnwritableOutput, match="no folder"):
        write_png(tmp_path / "none" / "a.png", coded_frame(1))
    with pytest.raises(UnwritableOutput, match="folder"):
        write_png(tmp_path, coded_frame(1))
    with pytest.raises(ValueError, match="uint8"):
        write_png(path, coded_frame(1).astype(float))  # type: ignore[arg-type]
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]


@given(
    st.integers(0, 30), st.one_of(st.none(), st.integers(-1, 30)), st.integers(-7, 7).filter(bool), st.integers(0, 25)
)
def test_frame_indices_are_range(start: int, stop: int | None, step: int, count: int) -> None:
    last = (count if step > 0 else -1) if stop is None else stop
    assert list(frame_indices(start, stop, step, count)) == [i for i in range(start, last, step) if i < count]
