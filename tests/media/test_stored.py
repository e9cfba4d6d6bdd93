"""Pictures of templates and scenes: the numbers of the published readers, within the bounds of every picture."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkinghead.errors import MediaNotFound, UnreadableMedia
from talkinghead.media.pictures import read_stored

FLAGS = (
    cv2.IMREAD_COLOR_RGB,
    cv2.IMREAD_UNCHANGED,
    cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
)
"""Of SyncTalk_2D's templates; of TalkingGaussian's torsos and ARTalk's logo; of TalkingGaussian's backgrounds."""


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_numbers_are_those_of_opencv(flags: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"é{suffix}"
    picture = np.random.default_rng(3).integers(0, 256, (21, 34, 3), np.uint8)
    data = cv2.imencode(suffix, picture)[1]
    path.write_bytes(data.tobytes())
    np.testing.assert_array_equal(read_stored(path, flags), cv2.imdecode(data, flags))


@pytest.mark.parametrize("flags", FLAGS)
def test_a_small_file_of_many_pixels_is_refused_before_memory_is_taken(flags: int, tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    rows = zlib.compress(bytes(1000), 9)
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0), b"IDAT": rows, b"IEND": b""}
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b)) for t, b in chunks.items())
    )
    with pytest.raises(UnreadableMedia, match="30000x30000 pixels, 900 megapixels"):
        read_stored(path, flags)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(content)
    with pytest.raises(UnreadableMedia, match=r"0\.png"):
        read_stored(tmp_path / "0.png", cv2.IMREAD_COLOR)
    with pytest.raises(MediaNotFound, match=r"1\.png"):
        read_stored(tmp_path / "1.png", cv2.IMREAD_COLOR)
