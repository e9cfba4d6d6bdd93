"""The portraits that come along: what they are, and that the base installation finds their faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.assets.portrait import ASTRONAUT, PORTRAITS, portrait, portrait_path
from talkinghead.errors import MissingDependency, OptionError
from talkinghead.face import FaceOptions
from talkinghead.face.detectors import load_detector
from talkinghead.media import open_frames


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_portrait_is_small_and_its_face_is_found_without_any_model(name: str) -> None:
    path = portrait_path(name)
    assert path.stat().st_size < 40_000
    (picture,) = open_frames(path).read()
    assert picture.shape == (512, 512, 3)
    (face,) = load_detector(FaceOptions(detector="haar")).detect([picture])[0]
    assert face.score > 0.6
    left, top, right, bottom = face.box_xyxy
    assert 100 < left < 256 < right < 412
    assert 60 < top < 256 < bottom < 480


def test_the_portraits_are_different_people() -> None:
    small = [cv2.resize(next(iter(open_frames(portrait_path(name)).read())), (32, 32)) for name in PORTRAITS]
    for i, one in enumerate(small):
        for other in small[i + 1 :]:
            assert np.abs(one.astype(float) - other).mean() > 15


def test_a_portrait_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    assert portrait("olive") == portrait_path("olive")
    with pytest.raises(OptionError, match="hazel, rowan, olive, basil, iris, reed, astronaut"):
        portrait("rose")
    with pytest.raises(OptionError):
        portrait_path("../portrait")
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(MissingDependency, match=r"talkinghead\[demo\]"):
        portrait(ASTRONAUT)
