"""Crop, mask, network input and paste against the original script's frames, and by their laws."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.errors import FaceError
from talkinghead.families.synctalk2d.crop import (
    CONTOUR_LEFT,
    CONTOUR_RIGHT,
    NOSE_BRIDGE,
    crop_box,
    filled_canvas,
    inner_picture,
    masked_picture,
    network_input,
    parsing_keep,
    paste_crop,
    picture_from_output,
    resize_crop,
    resize_filters,
)
from talkinghead.families.synctalk2d.template import parse_landmarks
from talkinghead.families.synctalk2d.variants import SIZES
from tests.golden import synthetic

from .conftest import golden, other_resizer

CASES = ["crop328_up", "crop328_parsing", "crop328_down_overflow", "crop160_up", "crop160_down"]


def checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def assert_same_pixels(found: np.ndarray, golden_pixels: np.ndarray) -> None:
    """Exact; where OpenCV has other kernels, at most one grey level, as the golden files allow another resizer."""
    if not other_resizer():
        np.testing.assert_array_equal(found, golden_pixels)
    assert np.abs(found.astype(int) - golden_pixels).max() <= 1


@pytest.mark.parametrize("case", CASES)
def test_golden_frame(case: str) -> None:
    """One frame through the original script with a stub network, exact: bicubic 328, bilinear 160, clipped squares."""
    whole = case.startswith("crop160") or not other_resizer()  # bilinear is the same everywhere
    data = golden(case)
    size = SIZES["328" if "328" in case else "160"]
    filters = resize_filters(size)
    image = data["image"]
    box = crop_box(parse_landmarks(str(data["landmark_text"]), case), image.shape[1], image.shape[0])
    canvas = resize_crop(image, box, size, filters)
    planes = network_input(inner_picture(canvas), size)
    seen = np.rint(planes * 255).astype(np.uint8).transpose(1, 2, 0)
    stride = int(data["net_ref_stride"])
    assert_same_pixels(seen[::stride, ::stride, :3], data["net_ref_uint8"])
    if whole:
        assert checksum(seen[:, :, :3]) == int(data["net_ref_crc32"])
        assert checksum(seen[:, :, 3:]) == int(data["masked_crc32"])

    item = json.loads(str(data["pred_input"]))
    output = synthetic.uniform(item["name"], tuple(item["shape"]), item["low"], item["high"], 0)[0]
    keep = parsing_keep(data["parsing"][:, :, ::-1], box) if "parsing" in data else None
    out = paste_crop(image, box, filled_canvas(canvas, picture_from_output(output)), filters, keep=keep)
    stride = int(data["out_stride"])
    assert_same_pixels(out[::stride, ::stride], data["out"])
    if whole:
        assert checksum(out) == int(data["out_crc32"])


def test_golden_area_crop() -> None:
    """The later tools of the ancestor shrink by area and paste bilinearly."""
    data = golden("udh_crop_area")
    size, image = SIZES["160"], data["image"]
    filters = resize_filters(size, "area")
    box = crop_box(parse_landmarks(str(data["landmark_text"]), "x"), image.shape[1], image.shape[0])
    canvas = resize_crop(image, box, size, filters)
    assert checksum(canvas) == int(data["crop168_crc32"])
    picture = (synthetic.uniform("udhcrop/pred", (160, 160, 3), 0, 1, 0) * 255).astype(np.uint8)
    assert checksum(paste_crop(image, box, filled_canvas(canvas, picture), filters)) == int(data["out_crc32"])


@pytest.mark.parametrize("case", CASES)
def test_mask_rectangle(case: str) -> None:
    """Trap: the four numbers are x, y, width, height, not a second corner."""
    size = SIZES["328" if "328" in case else "160"]
    white = np.full((size.inner_px, size.inner_px, 3), 255, np.uint8)
    rows, columns = np.nonzero(masked_picture(white, size)[:, :, 0] == 0)
    assert [[rows.min(), rows.max()], [columns.min(), columns.max()]] == golden(case)["masked_zero_box"].tolist()
    assert len(rows) == size.mask_xywh[2] * size.mask_xywh[3]
    assert white.min() == 255


def test_the_160_network_uses_bilinear_interpolation() -> None:
    """Trap: its script names INTER_AREA in a place where OpenCV does not read it."""
    import cv2

    assert resize_filters(SIZES["160"]).down == resize_filters(SIZES["160"]).up == cv2.INTER_LINEAR
    assert resize_filters(SIZES["328"]).down == cv2.INTER_CUBIC


def test_output_is_truncated_not_rounded() -> None:
    values = np.array([0, 0.999 / 255, 1.999 / 255, 0.99999, 1], np.float32)
    found = picture_from_output(np.broadcast_to(values[None, :, None], (3, 5, 1)))
    assert found[:, 0, 0].tolist() == [0, 0, 1, 254, 255]


def landmarks(x1: int, x2: int, y1: int) -> np.ndarray:
    points = np.zeros((110, 2), np.int32)
    points[CONTOUR_LEFT, 0], points[CONTOUR_RIGHT, 0], points[NOSE_BRIDGE, 1] = x1, x2, y1
    return points


def frame(height: int = 90, width: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@given(st.integers(-20, 110), st.integers(1, 90), st.integers(-20, 80))
@settings(max_examples=60, deadline=None)
def test_box_lies_inside_and_ring_stays(x1: int, side: int, y1: int) -> None:
    """The box is inside the frame; outside it nothing changes, whatever the network says."""
    image = frame()
    try:
        box = crop_box(landmarks(x1, x1 + side, y1), 120, 90)
    except FaceError:
        assert x1 >= 120 or y1 >= 90 or x1 + side <= 0 or y1 + side <= 0
        return
    assert 0 <= box.x1 < box.x2 <= 120
    assert 0 <= box.y1 < box.y2 <= 90
    size = SIZES["160"]
    filters = resize_filters(size)
    canvas = resize_crop(image, box, size, filters)
    out = paste_crop(image, box, filled_canvas(canvas, np.zeros((160, 160, 3), np.uint8)), filters)
    outside = np.ones(image.shape[:2], bool)
    outside[box.y1 : box.y2, box.x1 : box.x2] = False
    np.testing.assert_array_equal(out[outside], image[outside])


def test_ring_of_four_pixels_is_the_template() -> None:
    """Trap: the seed document pastes into an empty canvas and leaves a black frame around the face."""
    canvas = frame(168, 168)
    filled = filled_canvas(canvas, np.zeros((160, 160, 3), np.uint8))
    assert (filled[4:-4, 4:-4] == 0).all()
    ring = np.ones((168, 168), bool)
    ring[4:-4, 4:-4] = False
    np.testing.assert_array_equal(filled[ring], canvas[ring])


def test_unresized_crop_pasted_back_restores_the_frame() -> None:
    image, size = frame(300, 300), SIZES["160"]
    filters = resize_filters(size)
    box = crop_box(landmarks(20, 20 + 168, 30), 300, 300)
    canvas = resize_crop(image, box, size, filters)
    np.testing.assert_array_equal(paste_crop(image, box, canvas, filters), image)


def test_square_outside_the_frame_is_refused() -> None:
    for points in (landmarks(50, 50, 10), landmarks(60, 20, 10), landmarks(130, 160, 10), landmarks(10, 40, 95)):
        with pytest.raises(FaceError, match="landmarks"):
            crop_box(points, 120, 90, source="7.lms")


def test_parsing_keeps_red_and_white() -> None:
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[2:4] = (255, 0, 0)
    picture[4:6] = (255, 255, 255)
    picture[6:8] = (0, 0, 255)
    picture[8] = (254, 0, 0)
    keep = parsing_keep(picture, crop_box(landmarks(0, 10, 0), 10, 10))
    assert keep[:, 0].tolist() == [False, False, True, True, True, True, False, False, False, False]
    with pytest.raises(FaceError, match="does not cover"):
        parsing_keep(picture[:5], crop_box(landmarks(0, 10, 0), 10, 10))


def test_inputs_are_not_modified(unet160: Any) -> None:
    image, size = frame(), SIZES["160"]
    before = image.copy()
    filters = resize_filters(size)
    box = crop_box(landmarks(10, 70, 10), 120, 90)
    canvas = resize_crop(image, box, size, filters)
    kept = canvas.copy()
    network_input(inner_picture(canvas), size)
    paste_crop(image, box, filled_canvas(canvas, np.zeros((160, 160, 3), np.uint8)), filters)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(canvas, kept)
