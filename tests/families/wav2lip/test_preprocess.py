"""Boxes, network inputs and pastes against the published script (golden) and by their laws."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.families.wav2lip.postprocess import (
    Finish,
    first_row_used,
    lower_face_mask,
    match_colours,
    paste_box,
    paste_face,
    paste_lower_face,
    to_faces_bgr,
)
from talkinghead.families.wav2lip.preprocess import (
    face_crop_bgr,
    from_coords,
    mirror_index,
    network_faces,
    pad_rects,
    smooth_rects,
    to_coords,
)
from tests.golden_files import Golden


def test_golden_smoothing() -> None:
    data = Golden("wav2lip/boxes_smooth")
    for n in data["n"]:
        np.testing.assert_array_equal(smooth_rects(data[f"in{n:02d}"]), data[f"out{n:02d}"])


def test_golden_padding() -> None:
    data = Golden("wav2lip/boxes_padded")
    height, width = data["image_hw"]
    for case in range(3):
        boxes = pad_rects(data["rects"], tuple(data[f"pads{case}"]), width, height)
        if not data[f"nosmooth{case}"]:
            boxes = smooth_rects(boxes)
        np.testing.assert_array_equal(to_coords(boxes), data[f"coords{case}"])
        np.testing.assert_array_equal(from_coords(to_coords(boxes)), boxes)


@pytest.mark.parametrize("name", ["loop", "static", "box", "generator"])
def test_golden_network_input(name: str) -> None:
    data = Golden(f"wav2lip/pipeline_{name}")
    options = json.loads(str(data["options"]))
    frames = [data["prepared0"]] if name == "static" else list(data["frames"])
    for found, index in zip(data["input_u8"], data["input_u8_index"], strict=True):
        frame = np.ascontiguousarray(frames[0 if options.get("static") else index % len(frames)][..., ::-1])
        box = from_coords(data["coords"])[index]
        planes = network_faces(face_crop_bgr(frame, box, 96)[None])[0]
        np.testing.assert_array_equal(np.rint(planes * 255).astype(np.uint8), found)


def test_scaling_is_exact() -> None:
    values = np.arange(256, dtype=np.uint8)
    faces = np.zeros((1, 16, 16, 3), np.uint8)
    faces[0, :, :, 1] = values.reshape(16, 16)
    planes = network_faces(faces)[0, 4].reshape(-1)
    np.testing.assert_array_equal(planes, (values / 255.0).astype(np.float32))


def test_truncation() -> None:
    values = np.array([0, 0.5, 0.9999, 1], np.float32)
    faces = to_faces_bgr(np.broadcast_to(values[:, None, None, None], (4, 3, 2, 2)).copy())
    assert faces[:, 0, 0, 0].tolist() == [0, 127, 254, 255]


def test_mirror_index_shows_the_ends_twice() -> None:
    assert mirror_index(np.arange(8), 3).tolist() == [0, 1, 2, 2, 1, 0, 0, 1]


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(2, 90),
    height=st.integers(2, 90),
    feather=st.floats(0, 0.4),
    strength=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_lower_paste_touches_the_lower_face_only(
    width: int, height: int, feather: float, strength: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    face = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    before = frame.copy()
    box = (5, 6, 5 + width, 6 + height)
    pasted = paste_lower_face(frame, face, box, feather=feather, strength=strength)
    np.testing.assert_array_equal(frame, before)
    changed = (pasted != frame).any(axis=2)
    mask = lower_face_mask(width, height, feather)
    outside = np.ones((100, 100), bool)
    outside[6 : 6 + height, 5 : 5 + width] = mask == 0
    assert not changed[outside].any()
    assert mask.min() >= 0
    assert mask.max() <= 1
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-6)
    assert (mask[: int(0.2 * height)] == 0).all()


def test_paste_box_restores_an_unchanged_crop() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    box = (4, 8, 36, 40)
    np.testing.assert_array_equal(paste_box(frame, face_crop_bgr(frame, box, 32), box), frame)


def test_colours_are_matched() -> None:
    source = np.random.default_rng(0).integers(60, 180, (96, 96, 3), dtype=np.uint8)
    np.testing.assert_array_equal(match_colours(source, source), source)
    darker = (source * 0.9 - 5).astype(np.uint8)
    assert np.abs(match_colours(darker, source).astype(int) - source).mean() < 1.5
    black = np.zeros_like(source)
    assert match_colours(black, source).max() <= 24


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(4, 90),
    height=st.integers(32, 200),
    feather=st.floats(0, 0.4),
    colour_match=st.booleans(),
    seed=st.integers(0, 99),
)
def test_rows_that_are_not_made_are_not_seen(
    width: int, height: int, feather: float, colour_match: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    finish = Finish("lower", feather, colour_match)
    first = first_row_used(finish, 96)
    assert 0 < first <= 36
    frame = rng.integers(0, 256, (height + 10, width + 10, 3), dtype=np.uint8)
    face, crop = rng.integers(60, 180, (2, 96, 96, 3), dtype=np.uint8)
    box = (4, 6, 4 + width, 6 + height)
    whole = paste_face(frame, face, crop, box, finish)
    np.testing.assert_array_equal(paste_face(frame, face[first:], crop, box, finish), whole)


def test_the_whole_box_needs_the_whole_face() -> None:
    assert first_row_used(Finish("box", 0.12, colour_match=False), 96) == 0


def test_softness_is_not_taken_for_low_contrast() -> None:
    rng = np.random.default_rng(0)
    source = cv2.GaussianBlur(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8), (0, 0), 2)
    source = cv2.normalize(source, None, 40, 220, cv2.NORM_MINMAX)
    soft = cv2.GaussianBlur(source, (0, 0), 1.5)
    assert np.abs(match_colours(soft, source).astype(int) - soft).mean() < 4
