"""What the outputs of BlazeFace mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.face.mesh import blaze


def outputs(*faces: tuple[int, float, tuple[float, float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and regressors of faces: anchor, logit, (x, y, width, height) in pixels of the input."""
    scores, values = np.full(896, -20.0), np.zeros((896, 16))
    for anchor, logit, (x, y, width, height) in faces:
        origin = blaze.anchors()[anchor] * 128
        scores[anchor] = logit
        values[anchor, :4] = x - origin[0], y - origin[1], width, height
        values[anchor, 4:] = (np.tile([x, y], 6).reshape(6, 2) + np.arange(6)[:, None] - origin).ravel()
    return scores, values


def test_anchors_lie_in_the_middle_of_cells() -> None:
    anchors = blaze.anchors()
    assert anchors.shape == (896, 2)
    assert anchors[:4].tolist() == [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32], [3 / 32, 1 / 32]]
    assert anchors[512:519].tolist() == [[1 / 16, 1 / 16]] * 6 + [[3 / 16, 1 / 16]]
    assert anchors[-1].tolist() == [15 / 16, 15 / 16]


def test_a_face_is_where_the_outputs_say() -> None:
    (face,) = blaze.faces(*outputs((300, 2.0, (40, 60, 30, 20))), 0.5)
    np.testing.assert_allclose(face.box * 128, [25, 50, 55, 70])
    np.testing.assert_allclose(face.key_points * 128, [[40 + k, 60 + k] for k in range(6)])
    assert face.score == pytest.approx(1 / (1 + np.exp(-2)))


def test_boxes_that_overlap_are_averaged_by_score() -> None:
    near, best, other = (10, 0.0, (64, 64, 40, 40)), (11, 2.0, (68, 64, 40, 40)), (600, 1.0, (20, 20, 20, 20))
    found = blaze.faces(*outputs(near, best, other), 0.5)
    chance = 1 / (1 + np.exp(-2))
    assert [face.score for face in found] == pytest.approx([chance, 1 / (1 + np.exp(-1))])
    shift = 4 * chance / (chance + 0.5)
    np.testing.assert_allclose(found[0].box * 128, [44 + shift, 44, 84 + shift, 84])


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_whatever_the_outputs_are(seed: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    found = blaze.faces(rng.normal(-3, 3, 896), rng.normal(0, 30, (896, 16)), least)
    scores = [face.score for face in found]
    assert scores == sorted(scores, reverse=True)
    assert all(score >= least for score in scores)
    assert all(np.isfinite(face.box).all() and np.isfinite(face.key_points).all() for face in found)


def test_extreme_logits_are_no_error() -> None:
    with np.errstate(all="raise"):
        (face,) = blaze.faces(np.where(np.arange(896) == 5, 1e9, -1e9), np.ones((896, 16)), 0.5)
    assert face.score == pytest.approx(1)
