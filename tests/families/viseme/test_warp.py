"""Laws of the displacement fields and of the contours of the lips."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkinghead.families.viseme.geometry import COLUMNS, FaceGeometry, MouthGeometry
from talkinghead.families.viseme.lips import CHIN_AVERAGE, CHIN_BELOW_LIP
from talkinghead.families.viseme.warp import (
    JAW_DROP,
    MouthPose,
    column_position,
    fields,
    reach,
    shape_mouth,
)

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

D = 100.0
HALF = 38.0
WIDEST = 50.0
"""Opening of a shouting mouth: half the distance of the eyes."""


def face(
    gap: float = 0.0, *, half: float = HALF, hang: float = 2.0, sides: tuple[float, float] = (80, 80)
) -> FaceGeometry:
    """A face of eye distance 100 with the mouth at the origin, level; `gap` in half widths."""
    gap = min(gap, WIDEST / half)
    arch = (1 - COLUMNS**2).astype(np.float32)
    upper = (hang - gap * half / 2) * arch
    lower = (hang + gap * half / 2) * arch
    mouth = MouthGeometry(
        centre=np.zeros(2),
        axis=np.array([1.0, 0.0]),
        half_width=half,
        upper_outer=(upper - 0.30 * half * arch).astype(np.float32),
        upper_inner=upper.astype(np.float32),
        lower_inner=lower.astype(np.float32),
        lower_outer=(lower + 0.42 * half * arch).astype(np.float32),
        confidence=1.0,
    )
    chin = max(CHIN_AVERAGE * D, float(mouth.lower_outer.max()) + CHIN_BELOW_LIP * D)
    return FaceGeometry(D, mouth, chin, sides)


unit = st.floats(0, 1, width=32)
poses = st.builds(
    MouthPose, jaw=st.floats(0, 1.6), lips=st.floats(0, 1.6), width=st.floats(-1.25, 1.25), tuck=unit, tongue=unit
)
sources = st.builds(
    face,
    gap=st.one_of(st.just(0.0), st.floats(0, 1.2)),
    half=st.floats(26, 62),
    hang=st.floats(-8, 14),
    sides=st.tuples(st.floats(45, 80), st.floats(45, 80)),
)


def grid(where: FaceGeometry, step: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    left, top, right, bottom = reach(where)
    x, y = np.meshgrid(np.arange(left - 8, right + 8, step), np.arange(top - 8, bottom + 8, step))
    return x.astype(np.float32), y.astype(np.float32)


@quick
@given(source=sources, pose=poses)
def test_nothing_moves_outside_the_region(source: FaceGeometry, pose: MouthPose) -> None:
    x, y = grid(source)
    left, top, right, bottom = reach(source)
    outside = (x < left) | (x > right) | (y < top) | (y > bottom)
    source_x, above, below = fields(shape_mouth(source, pose), source, x, y)
    split = y < 0
    moved = np.hypot(source_x - x, np.where(split, above, below) - y)
    assert float(moved[outside].max()) < 1e-3


@quick
@given(source=sources, pose=poses)
def test_skin_is_never_folded(source: FaceGeometry, pose: MouthPose) -> None:
    """Along every column the source moves the same way as the target: no part is shown twice."""
    x, y = grid(source)
    shape = shape_mouth(source, pose)
    source_x, above, below = fields(shape, source, x, y)
    u = source_x / np.float32(shape.half_width)
    corner = np.where(np.abs(u) >= 1, np.float32(shape.corner_drop), 0)
    upper = np.interp(u, COLUMNS, shape.upper) + corner
    lower = np.interp(u, COLUMNS, shape.lower) + corner
    for values, shown in ((above, y < upper), (below, y > lower)):
        both = shown[1:] & shown[:-1]
        assert float(np.diff(values, axis=0)[both].min()) > -0.05
    assert float(np.diff(source_x, axis=1).min()) > 0


@quick
@given(source=sources, pose=poses)
def test_both_fields_agree_beyond_the_corners(source: FaceGeometry, pose: MouthPose) -> None:
    shape = shape_mouth(source, pose)
    side = shape.half_width * shape.stretch
    for sign in (-1, 1):
        x = np.float32(sign) * np.linspace(side * 1.02, side * 1.5, 20, dtype=np.float32)
        source_x = column_position(shape, source, x, np.full_like(x, shape.corner_drop))
        beyond = np.clip(
            (np.abs(source_x) / shape.half_width - 1) * shape.half_width / (0.98 * D - shape.half_width), 0, 1
        )
        y = (shape.corner_drop * (1 - beyond**2 * (3 - 2 * beyond))).astype(np.float32)
        _, above, below = fields(shape, source, x, y)
        keep = np.abs(source_x) > shape.half_width
        assert np.allclose(above[keep], below[keep], atol=0.3)


@quick
@given(source=sources, jaw=st.floats(0, 1), width=st.floats(-1, 1))
def test_sealed_lips_touch(source: FaceGeometry, jaw: float, width: float) -> None:
    """p, b, m: no gap at all, whatever the jaw does and however wide the source is open."""
    shape = shape_mouth(source, MouthPose(jaw=jaw, lips=0.0, width=width))
    assert shape.gap == 0
    assert np.array_equal(shape.upper, shape.lower)


@quick
@given(source=sources, lips=st.lists(st.floats(0, 1.5), min_size=2, max_size=6), jaw=unit, width=st.floats(-1, 1))
def test_opening_grows_with_lips(source: FaceGeometry, lips: list[float], jaw: float, width: float) -> None:
    gaps = [shape_mouth(source, MouthPose(jaw=jaw, lips=value, width=width)).gap for value in sorted(lips)]
    assert all(later >= earlier - 1e-3 for earlier, later in itertools.pairwise(gaps))


@quick
@given(source=sources, jaws=st.lists(st.floats(0, 1.5), min_size=2, max_size=6), lips=unit)
def test_chin_falls_with_the_jaw(source: FaceGeometry, jaws: list[float], lips: float) -> None:
    drops = [shape_mouth(source, MouthPose(jaw=jaw, lips=lips)).jaw_drop for jaw in sorted(jaws)]
    assert all(later >= earlier for earlier, later in itertools.pairwise(drops))


@quick
@given(source=sources)
def test_lips_part_only_between_the_corners(source: FaceGeometry) -> None:
    shape = shape_mouth(source, MouthPose(jaw=1, lips=1))
    assert shape.lower[0] == shape.upper[0]
    assert shape.lower[-1] == shape.upper[-1]
    assert np.all(shape.lower >= shape.upper)


def test_closed_mouth_at_rest_is_left_alone() -> None:
    where = face()
    x, y = grid(where)
    source_x, above, below = fields(shape_mouth(where, MouthPose()), where, x, y)
    assert np.array_equal(source_x, x)
    assert np.allclose(above, y, atol=1e-4)
    assert np.allclose(below, y, atol=1e-4)


def test_rounding_narrows_and_spreading_widens() -> None:
    where = face()
    widths = [shape_mouth(where, MouthPose(jaw=0.2, lips=0.3, width=w)).stretch for w in (-1, -0.5, 0, 0.5, 1)]
    assert widths == sorted(widths)
    assert widths[0] < 0.85
    assert widths[-1] > 1.05


def test_chin_moves_by_what_the_pose_says() -> None:
    where = face()
    shape = shape_mouth(where, MouthPose(jaw=1.0, lips=0.8))
    chin = np.array([[where.chin + shape.jaw_drop]], np.float32)
    _, _, below = fields(shape, where, np.zeros((1, 1), np.float32), chin)
    assert below[0, 0] == pytest.approx(where.chin, abs=1.0)
    assert shape.jaw_drop == pytest.approx(JAW_DROP * 0.385 * D)


def test_tuck_shows_the_upper_teeth_and_brings_the_lower_lip_up() -> None:
    where = face()
    open_, tucked = (shape_mouth(where, MouthPose(jaw=0.15, lips=0.3, tuck=t)) for t in (0.0, 1.0))
    assert tucked.lower[20] < open_.lower[20]
    assert tucked.upper[20] < open_.seam[20]
    assert tucked.gap > 1
