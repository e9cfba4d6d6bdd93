"""AVIF and HEIC as containers: brands, the container's own turn, sizes, damage."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from talkinghead.errors import UnreadableMedia
from talkinghead.media import open_frames, read_picture
from talkinghead.media.av1 import frame_sizes
from talkinghead.media.headers import BrokenHeader, read_header
from talkinghead.media.heif import BrokenContainer, parse
from talkinghead.media.transform import Turn
from tests.media.test_exif import exif
from tests.media.test_pictures import TURNS
from tests.picture_files import box, full_box, heif_file, nclx, smooth


def avif(size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(smooth(*size)).save(buffer, "AVIF", **{"quality": 90, "speed": 10, **options})
    return buffer.getvalue()


def coded(size: tuple[int, int] = (64, 48)) -> tuple[bytes, bytes]:
    """(settings, bytes) of an AV1 picture."""
    data = avif(size)
    found = parse(data)
    assert found.primary is not None
    settings = found.find(found.primary, b"av1C")
    assert settings is not None
    return data[settings.start : settings.stop], found.bytes_of(found.primary)


def container(
    brands: list[bytes], *turns: bytes, size: tuple[int, int] = (64, 48), shown: tuple[int, int] | None = None
) -> bytes:
    settings, data = coded(size)
    ispe = full_box(b"ispe", 0, 0, struct.pack(">II", *(shown or size)))
    properties = [box(b"av1C", settings), ispe, nclx(1, 13, 6, True), *turns]
    return heif_file(brands, [(b"av01", data, range(1, len(properties) + 1))], properties)


@pytest.fixture(scope="module")
def upright() -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(avif())).convert("RGB"))


@pytest.mark.parametrize("value", range(1, 9))
def test_all_eight_turns_of_a_picture(value: int, upright: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif(exif=b"Exif\0\0" + exif(value)))
    assert np.array_equal(read_picture(path), TURNS[value](upright))


@pytest.mark.parametrize("value", [1, 6, 8])
def test_exif_does_not_count(value: int, upright: np.ndarray, tmp_path: Path) -> None:
    settings, data = coded()
    block = bytes(4) + exif(value)
    properties = [box(b"av1C", settings), full_box(b"ispe", 0, 0, struct.pack(">II", 64, 48)), nclx(1, 13, 6, True)]
    path = tmp_path / "a.avif"
    for turn, expected in ((None, 1), (box(b"irot", b"\3"), 6)):
        own = [*properties, turn] if turn else properties
        items = [(b"av01", data, range(1, len(own) + 1)), (b"Exif", block, [])]
        path.write_bytes(heif_file([b"avif", b"mif1"], items, own, [(b"cdsc", 2, [1])]))
        assert np.array_equal(read_picture(path), TURNS[expected](upright))


@pytest.mark.parametrize("angle", range(4))
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("first", ["irot", "imir"])
def test_rotation_and_mirroring_in_their_order(
    angle: int, axis: int, first: str, upright: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "a.avif"
    steps = [box(b"irot", bytes([angle])), box(b"imir", bytes([axis]))]
    path.write_bytes(container([b"avif"], *(steps if first == "irot" else steps[::-1])))
    rotate = lambda f: np.rot90(f, angle)  # noqa: E731 (anticlockwise, as in the file)
    mirror = lambda f: f[:, ::-1] if axis else f[::-1]  # noqa: E731
    expected = mirror(rotate(upright)) if first == "irot" else rotate(mirror(upright))
    assert np.array_equal(read_picture(path), expected)


@pytest.mark.parametrize("value", [3, 6, 8])
def test_turn_of_an_animation(value: int, tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    frames = [Image.fromarray(smooth(seed=i)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, speed=10)
    plain = list(open_frames(path).read())
    data = path.read_bytes()
    angle = {3: 2, 6: 3, 8: 1}[value]
    at = data.rindex(b"ccst") - 4  # of the sample entry; a box of the same length takes its place
    path.write_bytes(data[:at] + struct.pack(">I4sB7x", 16, b"irot", angle) + data[at + 16 :])
    source = open_frames(path)
    assert source.size == ((48, 64) if value != 3 else (64, 48))
    for got, frame in zip(source.read(), plain, strict=True):
        assert np.array_equal(got, TURNS[value](frame))


@pytest.mark.parametrize(
    "brands",
    [
        [b"mif1", b"avif"],
        [b"mif1", b"miaf"],
        [b"avif"],
        [b"avis", b"avif"],
        [b"miaf", b"mif1", b"avif"],
        [b"abcd", b"avif"],
    ],
    ids=lambda brands: "-".join(brand.decode() for brand in brands),
)
def test_brands(brands: list[bytes], upright: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(container(brands))
    source = open_frames(path)
    assert source.info.codec == "avif"
    assert np.array_equal(next(iter(source.read())), upright)


def test_clean_aperture_comes_before_the_turn(upright: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    clap = box(b"clap", struct.pack(">8i", 32, 1, 16, 1, 4, 1, -2, 1))  # 32 x 16 around (32 + 4, 24 - 2)
    path.write_bytes(container([b"avif"], clap, box(b"irot", b"\3")))
    assert np.array_equal(read_picture(path), np.rot90(upright[14:30, 20:52], -1))


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1, 1), (300, 200)])
def test_sizes_by_the_stream_itself(size: tuple[int, int]) -> None:
    assert set(frame_sizes(coded(size)[1])) == {size}


def test_a_stream_larger_than_the_container_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(container([b"avif"], size=(1024, 1024), shown=(16, 16)))
    from talkinghead.media import FrameOptions

    with pytest.raises(UnreadableMedia, match="parts of"):
        open_frames(path, options=FrameOptions(max_pixels=500_000))


def test_other_codecs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.heif"
    path.write_bytes(heif_file([b"mif1"], [(b"j2k1", b"?", [1])], [full_box(b"ispe", 0, 0, struct.pack(">II", 4, 4))]))
    with pytest.raises(UnreadableMedia, match="neither as AVIF nor as HEIC"):
        open_frames(path)


@given(st.data())
def test_damaged_boxes_raise_what_they_should(data: st.DataObject) -> None:
    whole = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(8, min(len(whole), 400) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(16, len(whole)))])
    for piece in (bytes(whole), cut):
        with contextlib.suppress(BrokenContainer):
            parse(piece)
        with contextlib.suppress(BrokenHeader):
            read_header(piece)


SAMPLE = avif((16, 16))
TURN = st.builds(Turn, st.booleans(), st.sampled_from([0, 90, 180, 270]))


@given(TURN, TURN)
def test_two_turns_as_one(first: Turn, second: Turn) -> None:
    frame = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(first.then(second).apply(frame), second.apply(first.apply(frame)))
