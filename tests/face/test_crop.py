"""Laws of cutting out, putting back and blending."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from talkinghead.face.crop import (
    blend,
    clamp_box,
    crop,
    ellipse_mask,
    pad_box,
    paste,
    paste_into,
    round_box,
    rounded_mask,
)

edges = st.integers(-(2**31), 2**31 - 1)
boxes = st.tuples(edges, edges, edges, edges)
lengths = st.integers(1, 60)


@st.composite
def framed_boxes(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A frame and a box inside it."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
    frame = draw(hnp.arrays(np.uint8, (height, width, 3)))
    return frame, (x1, y1, x2, y2)


@given(boxes, lengths, lengths)
def test_a_clamped_box_lies_inside_and_clamping_again_changes_nothing(box, width: int, height: int) -> None:
    clamped = clamp_box(box, width, height)
    x1, y1, x2, y2 = clamped.tolist()
    assert clamped.dtype == np.int32
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert np.array_equal(clamp_box(clamped, width, height), clamped)


@given(framed_boxes())
def test_clamping_leaves_a_box_inside_as_it_is(item) -> None:
    frame, box = item
    assert clamp_box(box, frame.shape[1], frame.shape[0]).tolist() == list(box)


@given(st.lists(boxes, min_size=1, max_size=6), lengths, lengths)
def test_many_boxes_are_clamped_as_one_by_one(many, width: int, height: int) -> None:
    together = clamp_box(np.array(many, np.int64), width, height)
    assert np.array_equal(together, np.stack([clamp_box(box, width, height) for box in many]))


def test_a_box_in_a_frame_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        clamp_box((0, 0, 1, 1), 0, 5)


@given(framed_boxes())
def test_crop_then_paste_restores_the_frame(item) -> None:
    frame, box = item
    before = frame.copy()
    patch = crop(frame, box)
    assert patch.shape == (box[3] - box[1], box[2] - box[0], 3)
    assert not np.shares_memory(patch, frame)
    assert np.array_equal(paste(frame, patch, box), frame)
    assert np.array_equal(frame, before)


@given(framed_boxes(), st.integers(0, 255))
def test_paste_changes_the_box_alone(item, level: int) -> None:
    frame, box = item
    patch = np.full_like(crop(frame, box), level)
    pasted = paste(frame, patch, box)
    assert np.array_equal(crop(pasted, box), patch)
    pasted[box[1] : box[3], box[0] : box[2]] = frame[box[1] : box[3], box[0] : box[2]]
    assert np.array_equal(pasted, frame)


@given(framed_boxes(), st.integers(0, 2**32 - 1))
def test_blending_by_zero_keeps_and_by_one_replaces_exactly(item, seed: int) -> None:
    frame, box = item
    patch = np.random.default_rng(seed).integers(0, 256, crop(frame, box).shape, dtype=np.uint8)
    below = crop(frame, box)
    nothing, everything = np.zeros(patch.shape[:2], np.float32), np.ones(patch.shape[:2], np.float32)
    assert np.array_equal(blend(below, patch, nothing), below)
    assert np.array_equal(blend(below, patch, everything), patch)
    assert np.array_equal(paste(frame, patch, box, nothing), frame)


@given(st.integers(0, 2**32 - 1))
def test_blending_rounds_to_nearest_and_stays_between(seed: int) -> None:
    rng = np.random.default_rng(seed)
    below, above = (rng.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in range(2))
    mask = rng.random((5, 7), dtype=np.float32)
    mixed = blend(below, above, mask)
    exact = below + mask[..., None].astype(np.float64) * (above.astype(np.float64) - below)
    assert np.abs(mixed - exact).max() <= 0.5 + 1e-3
    assert (mixed >= np.minimum(below, above)).all()
    assert (mixed <= np.maximum(below, above)).all()
    assert np.array_equal(blend(below, below, mask), below)


def test_paste_into_is_paste_in_place() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    patch = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    mask = ellipse_mask(9, 6)
    expected = paste(frame, patch, (4, 5, 13, 11), mask)
    paste_into(frame, patch, (4, 5, 13, 11), mask)
    assert np.array_equal(frame, expected)


def test_what_does_not_fit_is_refused() -> None:
    frame = np.zeros((10, 12, 3), np.uint8)
    for box in [(0, 0, 0, 5), (3, 3, 3, 3), (-1, 0, 4, 4), (0, 0, 13, 4), (5, 5, 4, 8)]:
        with pytest.raises(ValueError, match="empty or leaves"):
            crop(frame, box)
    with pytest.raises(ValueError, match="does not fit"):
        paste(frame, np.zeros((4, 5, 3), np.uint8), (0, 0, 4, 4))
    with pytest.raises(ValueError, match="does not fit"):
        paste(frame, np.zeros((4, 4, 3), np.float32), (0, 0, 4, 4))
    with pytest.raises(ValueError, match="the mask is"):
        paste(frame, np.zeros((4, 4, 3), np.uint8), (0, 0, 4, 4), np.zeros((4, 5), np.float32))
    with pytest.raises(ValueError, match="cannot blend"):
        blend(frame, frame[:5], np.zeros((10, 12), np.float32))


@given(boxes, st.tuples(*[st.integers(-50, 50)] * 4))
def test_padding_and_its_opposite_cancel(box, padding) -> None:
    box = np.array(box, np.int64)
    padded = pad_box(box, padding)
    top, bottom, left, right = padding
    assert padded.tolist() == [box[0] - left, box[1] - top, box[2] + right, box[3] + bottom]
    assert np.array_equal(pad_box(padded, [-side for side in padding]), box)


def test_boxes_round_to_nearest_and_halves_away_from_zero() -> None:
    assert round_box([0.5, -0.5, 1.49, -1.51]).tolist() == [1, -1, 1, -2]
    assert round_box([1e20, -1e20, 0, 0]).tolist() == [2**31 - 1, -(2**31), 0, 0]
    with pytest.raises(ValueError, match="not finite"):
        round_box([0, np.nan, 1, 1])


masks = st.one_of(
    st.builds(lambda w, h, f: ellipse_mask(w, h, f), lengths, lengths, st.floats(0, 1)),
    st.builds(lambda w, h, r, f: rounded_mask(w, h, r, f), lengths, lengths, st.floats(0, 40), st.floats(0, 40)),
)


@given(masks)
@example(ellipse_mask(50, 50, 0.0004875741591499062))
def test_a_mask_is_between_0_and_1_and_symmetric(mask) -> None:
    assert mask.dtype == np.float32
    assert np.isfinite(mask).all()
    assert mask.min() >= 0
    assert mask.max() <= 1
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-4)
    np.testing.assert_allclose(mask, mask[::-1], atol=1e-4)


@given(masks)
def test_a_mask_falls_from_the_middle_outwards(mask) -> None:
    height, width = mask.shape
    right = mask[height // 2, width // 2 :]
    down = mask[height // 2 :, width // 2]
    assert (np.diff(right) <= 1e-6).all()
    assert (np.diff(down) <= 1e-6).all()


def test_an_ellipse_covers_the_area_of_an_ellipse() -> None:
    mask = ellipse_mask(400, 200, 0)
    assert mask.mean() == pytest.approx(np.pi / 4, abs=2e-3)
    assert mask[100, 200] == 1
    assert mask[0, 0] == 0
    soft = ellipse_mask(400, 200, 0.2)
    assert soft[100, 200] == 1
    assert soft[100, 0] < 0.01  # the border is soft, so it cannot be seen
    assert np.abs(np.diff(soft[100])).max() < 0.05


def test_a_rounded_rectangle_is_full_inside_and_soft_at_the_border() -> None:
    mask = rounded_mask(100, 60, radius=20, feather=8)
    assert (mask[8:-8, 20:-20] == 1).all()
    assert mask[0, 0] == 0
    assert mask[30, 0] < 0.05
    assert rounded_mask(100, 60, radius=0, feather=0).min() == 1
    assert rounded_mask(100, 60, radius=20, feather=0)[0, 0] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: ellipse_mask(0, 5),
        lambda: ellipse_mask(5, 5, 1.5),
        lambda: ellipse_mask(5, 5, float("nan")),
        lambda: rounded_mask(5, 0, 1, 1),
        lambda: rounded_mask(5, 5, -1, 1),
        lambda: rounded_mask(5, 5, 1, -1),
    ],
)
def test_impossible_masks_are_refused(make) -> None:
    with pytest.raises(ValueError, match=r"must|at least"):
        make()
