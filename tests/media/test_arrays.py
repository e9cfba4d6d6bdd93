"""Pictures in memory as a source of frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from talkinghead.errors import UnreadableMedia
from talkinghead.media.arrays import ArraySource
from talkinghead.media.options import FrameOptions

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_picture(picture: np.ndarray) -> None:
    with pytest.raises(UnreadableMedia, match="array"):
        ArraySource([picture])


def test_array_source() -> None:
    source = ArraySource([PICTURE])
    assert len(source) == 1
    assert len(list(source.read())) == 1
    assert len(list(source.read(0, 1))) == 1
    assert not list(source.read(1, 5))
    assert source.content_hash != ArraySource([PICTURE[:, ::-1]]).content_hash
    assert source.info.kind == "image"


def test_no_frames() -> None:
    with pytest.raises(UnreadableMedia, match="no frames"):
        ArraySource([])


def test_frames_of_two_sizes() -> None:
    with pytest.raises(UnreadableMedia, match="frame 0 is"):
        ArraySource([PICTURE, PICTURE[:4]], fps=Fraction(25))


def test_the_hash_depends_on_shape_and_options() -> None:
    hashes = {
        ArraySource([PICTURE]).content_hash,
        ArraySource([PICTURE.reshape(8, 6, 3)]).content_hash,
        ArraySource([PICTURE[:3], PICTURE[3:]], fps=Fraction(25)).content_hash,
        ArraySource([PICTURE], options=FrameOptions(resize_factor=2)).content_hash,
    }
    assert len(hashes) == 4


def test_options_are_applied() -> None:
    source = ArraySource([PICTURE], options=FrameOptions(crop=(0, 4, 0, 6)))
    assert source.size == (6, 4)
    assert next(source.read()).flags.c_contiguous
