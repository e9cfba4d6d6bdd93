"""What is added over time: steady where nothing moves, at once where something does, and without colours."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import FloatArray
from talkinghead.enhance.faces import FOLLOWED_FRAMES, Finder, MadeFace
from talkinghead.enhance.steady import Steady, detail, remembered_from

RNG = np.random.default_rng(0)
SKIN = cv2.GaussianBlur(RNG.integers(60, 200, (512, 512, 3), dtype=np.uint8), (0, 0), 4)
WHOLE = np.ones((512, 512), np.float32)


def noise() -> np.ndarray:
    """Detail that a network invents anew."""
    return RNG.normal(scale=6, size=(512, 512, 3)).astype(np.float32)


def test_invented_detail_does_not_shimmer_on_a_still_face() -> None:
    steady, told = Steady(), []
    for index in range(12):
        _, flicker = steady.add(index, SKIN, noise(), WHOLE)
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
    steady.add(0, SKIN, first, WHOLE)
    shown, _ = steady.add(1, opened, second, WHOLE)
    np.testing.assert_allclose(shown[320:380, 220:300], second[320:380, 220:300], atol=1e-5)
    np.testing.assert_allclose(shown[:200], 0.8 * first[:200] + 0.2 * second[:200], atol=1e-5)


def test_a_face_that_was_away_begins_anew() -> None:
    steady, back = Steady(), noise()
    steady.add(0, SKIN, noise(), WHOLE)
    steady.forget()
    shown, flicker = steady.add(1, SKIN, back, WHOLE)
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


@settings(max_examples=20, deadline=None)
@given(start=st.integers(1, 219), gone=st.sets(st.integers(0, 219), max_size=4))
def test_a_part_of_a_video_remembers_what_the_whole_does(start: int, gone: set[int]) -> None:
    """To the bit, although memories never fade to nothing: faces tremble, stand still and are away now and then."""
    rng = np.random.default_rng(0)
    seen = np.repeat(rng.integers(0, 256, (22, 8, 8, 3), dtype=np.uint8), 10, axis=0)
    added = rng.normal(scale=6, size=(220, 8, 8, 3)).astype(np.float32)
    points = (np.repeat(rng.uniform(0, 200, (4, 5, 2)), 55, axis=0) + rng.normal(size=(220, 5, 2))).astype(np.float32)

    def shown(first: int) -> list[FloatArray]:
        steady, finder, made = Steady(), Finder(), []
        for index in range(first, 220):
            if index in gone:
                steady.forget()
                made.append(points[index])
                continue
            found = finder.points(MadeFace(key_points=points[index], is_steady=False), seen[index])
            assert found is not None
            drawn, _ = steady.add(index, seen[index], added[index] + found.mean(), np.ones((8, 8), np.float32))
            made.append(drawn)
        return made

    first = max(0, remembered_from(start) - FOLLOWED_FRAMES)
    for part, whole in zip(shown(first)[start - first :], shown(0)[start:], strict=True):
        np.testing.assert_array_equal(part, whole)
