"""The measures of detail and of sliding see what was done to a picture on purpose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.measure.detail import DetailKept, detail_energy, detail_kept
from talkinghead.measure.sliding import measure_sliding, moved, swaying

PART = np.s_[20:100, 20:100]
BOX = (40, 40, 88, 88)


def texture(sigma: float = 2.0) -> Frame:
    rough = np.random.default_rng(1).normal(size=(128, 128, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), sigma)
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def test_detail_of_a_known_picture() -> None:
    frame = np.zeros((9, 9, 3), np.uint8)
    frame[4, 4] = 10
    # The Laplacian of one bright pixel: -40 there, 10 at its four neighbours.
    assert detail_energy(frame, np.s_[3:6, 3:6]) == pytest.approx((1600 + 4 * 100) / 9)


def test_blur_takes_detail() -> None:
    still = texture()
    kept = detail_kept([still, np.asarray(cv2.GaussianBlur(still, (0, 0), 1.0), np.uint8)], still, PART)
    assert kept.highest == 1
    assert kept.lowest < 0.7
    assert kept.mean == pytest.approx((kept.lowest + 1) / 2)
    assert DetailKept(1.0, 0.9, 1.1).swing == pytest.approx(0.1)


def test_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="no frame"):
        detail_kept([], texture(), PART)
    plain = np.full((128, 128, 3), 7, np.uint8)
    with pytest.raises(ValueError, match="no detail"):
        detail_kept([plain], plain, PART)


def test_what_moves_with_the_head_does_not_slide() -> None:
    moves = swaying(20, (128, 128), 6.0)
    held = measure_sliding(moved(texture(), moves), moves, BOX)
    assert held.farthest_px < 0.1
    assert held.tremble_px < 0.1


def test_sliding_and_trembling_are_seen() -> None:
    moves = swaying(20, (128, 128), 6.0)

    def wrong(offsets: np.ndarray) -> list[np.ndarray]:
        return [move + np.array([[0, 0, x], [0, 0, 0]]) for move, x in zip(moves, offsets, strict=True)]

    slow = measure_sliding(moved(texture(), wrong(np.linspace(-1.5, 1.5, 20))), moves, BOX)
    assert slow.farthest_px == pytest.approx(1.5, abs=0.25)
    assert slow.tremble_px == pytest.approx(3 / 19, abs=0.1)
    fast = measure_sliding(moved(texture(), wrong(np.tile([-0.5, 0.5], 10))), moves, BOX)
    assert fast.tremble_px == pytest.approx(1.0, abs=0.2)
