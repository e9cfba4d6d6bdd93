"""The crop and the way back, against scikit-image, SciPy and the published convention."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.transform import SimilarityTransform, warp

from talkinghead.enhance import align

POINTS = np.array([[210.0, 180.0], [300.0, 190.0], [252.0, 240.0], [215.0, 281.0], [290.0, 287.0]])


def similarity(scale: float, turn: float, x: float, y: float) -> np.ndarray:
    return np.array([[scale * np.cos(turn), -scale * np.sin(turn), x], [scale * np.sin(turn), scale * np.cos(turn), y]])


def picture(height: int = 400, width: int = 500) -> np.ndarray:
    """Smooth, so that how it is interpolated matters little."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 17 + c) + np.cos(y / 23 - c) for c in range(3)]
    return (127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)


@given(
    scale=st.floats(0.2, 5),
    turn=st.floats(-3, 3),
    x=st.floats(-200, 200),
    y=st.floats(-200, 200),
    noise=st.floats(0, 3),
)
@settings(max_examples=25)
def test_five_points_are_aligned_as_scikit_image_does_it(
    scale: float, turn: float, x: float, y: float, noise: float
) -> None:
    moved = align.TEMPLATE @ similarity(scale, turn, x, y)[:, :2].T + np.array([x, y])
    moved += noise * np.random.default_rng(0).normal(size=(5, 2))
    oracle = SimilarityTransform.from_estimate(moved, align.TEMPLATE)
    np.testing.assert_allclose(align.to_template(moved), oracle.params[:2], rtol=1e-6, atol=1e-6)


def test_points_that_fit_are_aligned_as_published() -> None:
    """The published programs take the least median of squares; where all points fit, it has nothing to choose."""
    moved = align.TEMPLATE @ similarity(0.4, 0.2, 0, 0)[:, :2].T + np.array([90, 60])
    published, _ = cv2.estimateAffinePartial2D(moved, align.TEMPLATE, method=cv2.LMEDS)
    np.testing.assert_allclose(align.to_template(moved), published, atol=1e-3)


def test_all_points_count_where_the_published_way_jumps_between_pairs() -> None:
    rng = np.random.default_rng(1)
    corners = np.array([[0, 0, 1], [512, 512, 1]])
    places = {"ours": [], "published": []}
    for _ in range(60):
        trembling = POINTS + rng.normal(scale=0.5, size=(5, 2))
        published, _ = cv2.estimateAffinePartial2D(trembling, align.TEMPLATE, method=cv2.LMEDS)
        for name, matrix in (("ours", align.to_template(trembling)), ("published", published)):
            places[name].append(corners @ cv2.invertAffineTransform(matrix).T)
    ours, theirs = (np.std(places[name], axis=0).mean() for name in ("ours", "published"))
    assert ours < 0.5 * theirs


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_no_face_is_aligned_by_one_point(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one point"):
        align.to_template(points)


def test_the_crop_is_that_of_scikit_image() -> None:
    frame, matrix = picture(), align.to_template(POINTS)
    back = SimilarityTransform(np.vstack([matrix, [0, 0, 1]])).inverse
    oracle = warp(frame, back, output_shape=(512, 512), order=1)
    inside = warp(np.ones(frame.shape[:2]), back, output_shape=(512, 512), order=1, clip=False) == 1
    assert inside.mean() > 0.99
    apart = np.abs(align.crop(frame, matrix) - 255 * oracle)[inside]
    assert apart.max() <= 1.5  # OpenCV interpolates at 32 places between two pixels


def test_a_large_face_is_averaged() -> None:
    """A pattern finer than the crop becomes grey, not stripes; what is broad stays where it is."""
    frame = np.zeros((1600, 1600, 3), np.uint8)
    frame[::2] = 200
    frame[:, 800:] = 100
    matrix = similarity(0.25, 0.0, 0, 0)
    cropped = align.crop(frame, matrix)
    assert np.ptp(cropped[10:380, 10:190].astype(int)) <= 4
    assert np.all(cropped[10:380, 205:380] == 100)


@given(scale=st.sampled_from([0.3, 0.8, 1.0, 2.3, 6.0]), turn=st.floats(-0.5, 0.5))
@settings(max_examples=15)
def test_nothing_added_changes_nothing_and_nothing_changes_beyond_the_crop(scale: float, turn: float) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    matrix = similarity(scale, turn, 256 - 60 * scale, 256 - 45 * scale)
    nothing = np.zeros((512, 512, 3), np.float32)
    assert np.array_equal(align.put_back(frame, nothing, matrix), frame)
    before = frame.copy()
    brighter = align.put_back(frame, align.area_mask("lower")[..., None] * np.full(3, 40, np.float32), matrix)
    assert np.array_equal(frame, before)
    rows, columns = align.area_part("lower")
    part = align.area_mask("lower")[rows, columns, None] * np.full(3, 40, np.float32)
    again = align.put_back(frame, part, matrix, (columns.start, rows.start))
    assert np.abs(again.astype(int) - brighter).max() <= (3 if scale > align.SHRINK_FROM else 0)  # averaged otherwise
    y, x = np.mgrid[:90, :120]
    there = np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix.T
    x1, y1, x2, y2 = align.LOWER_BOX
    reach = max(2.0, 2 * scale)  # pixels of the crop that one of the frame blends
    beyond = (there < np.array([x1, y1]) - reach).any(axis=-1) | (there > np.array([x2, y2]) + reach).any(axis=-1)
    assert np.array_equal(brighter[beyond], frame[beyond])


def test_what_is_added_arrives_where_it_was_seen() -> None:
    frame, matrix = np.full((400, 500, 3), 100, np.uint8), align.to_template(POINTS)
    added = np.zeros((512, 512, 3), np.float32)
    added[300:340, 240:280] = 50
    there = SimilarityTransform(np.vstack([matrix, [0, 0, 1]]))
    oracle = warp(added[..., 0], there, output_shape=(400, 500), order=1, preserve_range=True)
    found = align.put_back(frame, added, matrix)[..., 0].astype(float) - 100
    # Where the crop has twice as many pixels as the frame they are averaged, so an edge is a pixel softer.
    solid = ndimage.minimum_filter(oracle, 3) == 50
    empty = ndimage.maximum_filter(oracle, 3) == 0
    assert solid.any()
    assert np.all(found[solid] == 50)
    assert np.all(found[empty] == 0)
    assert found.sum() == pytest.approx(oracle.sum(), rel=0.02)


def test_the_mask_of_the_whole_face_is_the_published_one() -> None:
    """A square of ones, cut off and blurred over a twentieth of its side, in float64 by SciPy."""
    whole = np.zeros((514, 514))
    whole[1:513, 1:513] = 1
    eroded = ndimage.minimum_filter(ndimage.minimum_filter(whole, 3), 51)[1:513, 1:513]
    sigma = 0.3 * ((51 - 1) * 0.5 - 1) + 0.8  # OpenCV's for a kernel of 51
    oracle = ndimage.gaussian_filter(eroded, sigma, truncate=25 / sigma, mode="constant")
    np.testing.assert_allclose(align.area_mask("face"), oracle, atol=1e-5)


def test_the_mask_of_the_lower_face_holds_the_mouth_and_not_the_eyes() -> None:
    mask = align.area_mask("lower")
    left_eye, right_eye, _, left, right = np.rint(align.TEMPLATE).astype(int)
    assert all(mask[y, x] == 1 for x, y in (left, right))
    assert all(mask[y, x] == 0 for x, y in (left_eye, right_eye))
    for area in ("lower", "face"):
        edges = align.area_mask(area)
        assert max(edges[0].max(), edges[-1].max(), edges[:, 0].max(), edges[:, -1].max()) == 0
