"""Recognised phones on heads: our own, and heads in FLAME's format whose expressions have no names."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from talkinghead.contracts import MouthMotion
from talkinghead.families.artalk.procedural.head import EXPRESSIONS, procedural_head
from talkinghead.families.artalk.procedural.surface import build_skin
from talkinghead.families.artalk.viseme_driver import (
    Liveliness,
    fitted_shapes,
    motion_from_mouth,
    procedural_shapes,
)

STILL = Liveliness(head_motion=0.0, blinks_per_minute=0.0)


@pytest.fixture(scope="module")
def nameless():
    """Our own head with its expression directions mixed, as FLAME's are: no direction means anything by itself."""
    model = procedural_head().flame
    mix, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((100, 100)))
    directions = model.shape_directions.copy()
    directions[:, :, 300:] = directions[:, :, 300:] @ mix.astype(np.float32)
    return replace(model, shape_directions=directions)


def mouth(jaw, lips):
    jaw = np.asarray(jaw, np.float32)
    zeros = np.zeros_like(jaw)
    return MouthMotion(
        jaw=jaw, lips=np.asarray(lips, np.float32), width=zeros, tuck=zeros, tongue=zeros,
        speaking=np.ones_like(jaw), fps=Fraction(25),
    )  # fmt: skip


def gaps(model, motion):
    skin = build_skin()
    middle = len(skin.mouth_upper) // 2
    vertices = model.motion_vertices(motion)
    return vertices[:, skin.mouth_upper[middle], 1] - vertices[:, skin.mouth_lower[middle], 1]


@pytest.mark.parametrize("named", [True, False])
def test_lips_close_while_the_jaw_hangs(nameless, named):
    model = procedural_head().flame if named else nameless
    shapes = procedural_shapes(EXPRESSIONS) if named else fitted_shapes(nameless)
    assert shapes is not None
    motion = motion_from_mouth(mouth([0.8, 0.35, 0.0], [0.8, 0.0, 0.0]), shapes, STILL)
    wide, closed, rest = gaps(model, motion)
    assert wide > 0.009
    assert abs(closed) < 0.0016
    assert abs(rest) < 0.0016
    assert motion[1, 103] > 0.02


def test_fitted_movements_keep_small(nameless):
    shapes = fitted_shapes(nameless)
    assert {"press", "part", "round"} <= set(shapes.expressions)
    for values in shapes.expressions.values():
        assert np.abs(values).max() < 3.0


def test_a_file_without_landmarks_moves_its_jaw_alone():
    model = replace(procedural_head().flame, landmarks={})
    assert fitted_shapes(model) is None
    motion = motion_from_mouth(mouth([0.8, 0.8], [0.8, 0.0]), None, STILL)
    assert not motion[:, :100].any()
    assert motion[0, 103] > 0.1
    assert motion[1, 103] == 0.0
