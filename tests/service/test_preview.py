"""Previews: of a model for tests, whose pixels say what happened, and of the built-in animator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkinghead import api
from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import PrepareOptions
from talkinghead.errors import OptionError
from talkinghead.face import FaceOptions
from talkinghead.service.preview import LEAD_S, SHAPES, preview, shape_speech


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_a_piece_of_speech_that_shows_it(shape: str) -> None:
    from talkinghead.audio.cues import mouth_cues

    speech = shape_speech(shape)
    assert 0.4 < float(speech.clip.duration_s) < 0.6
    assert speech.phones is not None
    assert speech.phones[0].start_s == 0
    cues = mouth_cues(speech.phones)
    shown = next(cue.shape for cue in cues if cue.start_s <= LEAD_S < cue.end_s)
    assert shown == shape or abs(SHAPES.index(shown) - SHAPES.index(shape)) <= 2


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[:256, 100:356])


def test_the_animator_shows_the_face_and_what_moves(picture: np.ndarray) -> None:
    head = api.load("viseme", idle_motion=False)
    avatar = head.prepare(picture, PrepareOptions(cache=NullCache()))
    closed, wide = (preview(head, avatar, shape=shape) for shape in "AD")
    assert wide.face is not None
    x1, y1, x2, y2 = wide.face.box_xyxy
    assert wide.landmarks is not None
    inside = (wide.landmarks >= (x1, y1)).all(axis=1) & (wide.landmarks <= (x2, y2)).all(axis=1)
    assert inside.mean() > 0.9
    assert wide.mask is not None
    assert 0 < wide.mask.mean() < 0.2
    rows, columns = np.nonzero(wide.mask)
    assert x1 - 20 < columns.mean() < x2 + 20
    assert rows.mean() > (y1 + y2) / 2
    assert wide.source is not None
    changed = np.abs(wide.result.astype(int) - closed.result).max(axis=2) > 8
    assert changed.sum() > 50
    assert not changed[~(wide.mask | closed.mask)].any()  # type: ignore[operator]
    assert "face of" in wide.sentence()


def test_layers_are_drawn_and_the_result_is_left_alone(picture: np.ndarray) -> None:
    head = api.load("viseme")
    avatar = head.prepare(picture, PrepareOptions(cache=NullCache(), faces=FaceOptions(box=(60, 60, 190, 220))))
    seen = preview(head, avatar, shape="E")
    plain = seen.picture()
    before = plain.copy()
    for layers in (("box",), ("landmarks",), ("mask",), ("box", "landmarks", "mask")):
        drawn = seen.picture(layers)
        assert drawn.shape == plain.shape
        assert (drawn != plain).any()
    close = seen.picture(("box",), close_up=True)
    assert min(close.shape[:2]) >= 160
    np.testing.assert_array_equal(seen.result, before)
    with pytest.raises(OptionError, match="layer"):
        seen.picture(("nose",))
    with pytest.raises(OptionError, match="mouth shape"):
        preview(head, avatar, shape="Q")


def test_a_model_that_renders_whole_frames_has_no_mask() -> None:
    pytest.importorskip("numba")
    head = api.load("artalk", image_size=64, antialias=1)
    seen = preview(head, head.prepare("mesh"), shape="D")
    assert seen.result.shape == (64, 64, 3)
    assert seen.mask is None
    assert seen.face is None
    np.testing.assert_array_equal(seen.picture(("box", "mask", "landmarks"), close_up=True), seen.result)
    assert seen.available == ()
    assert seen.sentence() == "64 x 64 pixels."
    assert seen.sentence(("mask", "box")) == "64 x 64 pixels. This model has no face box and no mask to show."


def test_motion_and_cues_are_written_beside_the_video(picture: np.ndarray, tmp_path: Path) -> None:
    from talkinghead.audio.cues import read_cues
    from talkinghead.engine.head import RenderOptions

    head = api.load("viseme")
    assert head.has_motion
    avatar = head.prepare(picture, PrepareOptions(cache=NullCache()))
    options = RenderOptions(motion=tmp_path / "m.npz", cues=tmp_path / "c.tsv")
    result = head.render(avatar, shape_speech("D"), tmp_path / "v.mp4", options)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as data:
        assert str(data["fps"]) == "25"
        assert len(data["jaw"]) == result.report.num_frames
    assert read_cues(tmp_path / "c.tsv")
    with pytest.raises(OptionError, match=r"\.npz"):
        head.render(avatar, shape_speech("D"), tmp_path / "w.mp4", RenderOptions(motion=tmp_path / "m.txt"))
    assert not (tmp_path / "w.mp4").exists()
