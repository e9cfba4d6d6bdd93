"""What is added over time: steady where nothing moves, at once where something does, and without colours."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.enhance.steady import Steady, detail

RNG = np.random.default_rng(0)
SKIN = cv2.GaussianBlur(RNG.integers(60, 200, (512, 512, 3), dtype=np.uint8), (0, 0), 4)
WHOLE = np.ones((512, 512), np.float32)


def noise() -> np.ndarray:
    """Detail that a network invents anew."""
    return RNG.normal(scale=6, size=(512, 512, 3)).astype(np.float32)


def test_invented_detail_does_not_shimmer_on_a_still_face() -> None:
    steady, told = Steady(), []
    for _ in range(12):
        _, flicker = steady.add(SKIN, noise(), WHOLE)
        told.append(flicker)
    assert told[0] is None
    made, shown = np.mean([(flicker.made, flicker.shown) for flicker in told[4:] if flicker], axis=0)
    assert shown < 0.25 * made


def test_a_moving_mouth_leaves_no_trail() -> None:
    """Where the picture changed, only what is new is added; elsewhere what was before is kept for the most part."""
    steady = Steady()
    opened = SKIN.copy()
    opened[300:400, 200:320] = 20
    first, second = noise(), noise()
    steady.add(SKIN, first, WHOLE)
    shown, _ = steady.add(opened, second, WHOLE)
    np.testing.assert_allclose(shown[320:380, 220:300], second[320:380, 220:300], atol=1e-5)
    np.testing.assert_allclose(shown[:200], 0.8 * first[:200] + 0.2 * second[:200], atol=1e-5)


def test_a_face_that_was_away_begins_anew() -> None:
    steady, back = Steady(), noise()
    steady.add(SKIN, noise(), WHOLE)
    steady.forget()
    shown, flicker = steady.add(SKIN, back, WHOLE)
    assert flicker is None
    np.testing.assert_array_equal(shown, back)


def test_colours_stay_those_of_the_frame() -> None:
    """A network that tints everything adds nothing; one that adds fine lines keeps them."""
    tinted = np.clip(SKIN.astype(int) + np.array([20, 5, -15]), 0, 255).astype(np.uint8)
    assert np.abs(detail(tinted, SKIN)).max() < 1e-3
    lined = SKIN.copy()
    lined[::8] = np.clip(lined[::8].astype(int) + 40, 0, 255)
    added = detail(lined, SKIN)
    assert 30 < np.median(added[::8]) <= 40
    assert abs(float(added.mean())) < 0.1
