"""The person's upper teeth are taken from a frame that shows them, and stay with the skull."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.families.viseme.compose import Face, Pose, animate, to_mouth
from talkinghead.families.viseme.geometry import FaceGeometry
from talkinghead.families.viseme.mouth_interior import read_palette
from talkinghead.families.viseme.teeth import ABOVE, PIXELS, SIDE, laid, read_strip, skin_light
from talkinghead.families.viseme.warp import NEUTRAL_HALF_WIDTH, MouthPose
from tests.families.viseme.faces import Drawing, draw_face
from tests.families.viseme.test_inner_mouth import inside, true_geometry

EDGE = 0.12
"""Of the drawn teeth below the middle of the mouth, neutral half widths."""
GREEN_FROM = 0.1
"""To the right of it teeth are marked."""


def grin(edge: float = EDGE, blur: float = 0.0, eye_distance: float = 90.0) -> tuple[Frame, FaceGeometry]:
    """An open mouth with upper teeth before a dark inside; a part of them is green."""
    drawn = draw_face(Drawing(gap=0.34, grin=0.0, eye_distance=eye_distance, noise=0.5))
    face = true_geometry(drawn)
    frame = drawn.frame.copy()
    gy, gx = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    x, y = (each / (NEUTRAL_HALF_WIDTH * eye_distance) for each in to_mouth(face, gx, gy))
    teeth = inside(frame, face) & (y < edge)
    frame[teeth] = (225, 220, 205)
    frame[teeth & (x > GREEN_FROM)] = (205, 245, 205)
    if blur:
        blurred = cv2.GaussianBlur(frame, (0, 0), sigmaX=blur)
        frame[inside(frame, face)] = blurred[inside(frame, face)]
    return frame, face


def test_teeth_are_found_and_laid_as_they_were() -> None:
    frame, face = grin()
    strip = read_strip(frame, face)
    assert strip is not None
    assert strip.reach[0] < -0.45
    assert strip.reach[1] > 0.45
    across = np.linspace(-0.4, 0.4, 9, dtype=np.float32)
    x, above = np.meshgrid(across, np.array([0.1, 0.02, -0.05], np.float32))
    colour, covered, share = laid(strip, x, above)
    assert (share == 1).all()
    assert (covered[:2] > 0.9).all()
    assert (covered[2] < 0.1).all()
    green = colour[:2, :, 1] - colour[:2, :, 0] > 25
    np.testing.assert_array_equal(green, np.broadcast_to(across > GREEN_FROM, green.shape))
    _, _, beyond = laid(strip, np.array([[-0.85, 0.85]], np.float32), np.zeros((1, 2), np.float32))
    assert (beyond == 0).all()


@pytest.mark.parametrize("case", ["no teeth", "shut", "small", "blurred", "short", "no edge"])
def test_teeth_that_are_not_seen_well_are_not_taken(case: str) -> None:
    if case == "no teeth":
        drawn = draw_face(Drawing(gap=0.34, eye_distance=90))
        frame, face = drawn.frame, true_geometry(drawn)
    elif case == "shut":
        drawn = draw_face(Drawing(eye_distance=90))
        frame, face = drawn.frame, true_geometry(drawn)
    elif case == "no edge":
        drawn = draw_face(Drawing(gap=0.34, teeth=True, eye_distance=90))
        frame, face = drawn.frame, true_geometry(drawn)
    else:
        changes = {"small": {"eye_distance": 50.0}, "blurred": {"blur": 7.0}, "short": {"edge": -0.36}}[case]
        frame, face = grin(**changes)
    assert read_strip(frame, face) is None


def test_teeth_stay_with_the_skull_whatever_the_jaw_does() -> None:
    frame, face = grin()
    palette = replace(read_palette(frame, face), strip=read_strip(frame, face), grain=0.0)
    borders = []
    for jaw in (0.5, 0.8, 1.2):
        shown = animate(frame, Face(face, palette), Pose(MouthPose(jaw, 1.0))).astype(int)
        green = (shown[..., 1] - shown[..., 0] > 12) & (shown[..., 1] > 90)
        rows, columns = np.nonzero(green)
        assert len(rows) > 50
        borders.append((int(columns.min()), int(np.quantile(rows, 0.98))))
    assert np.ptp(np.array(borders), axis=0).max() <= 1


def test_teeth_follow_the_light_of_the_frame() -> None:
    frame, face = grin()
    strip = read_strip(frame, face)
    assert strip is not None
    assert skin_light(frame, face) == pytest.approx(strip.light)
    dim = (frame * 0.6).astype(np.uint8)
    dark = np.zeros(3, np.float32)
    palette = replace(read_palette(frame, face), strip=strip, grain=0.0, teeth=dark, tongue=dark)
    pose = Pose(MouthPose(0.8, 1.0))
    row = slice(round(face.mouth.centre[1]) - 12, round(face.mouth.centre[1]) + 12)
    middle = slice(round(face.mouth.centre[0]) - 12, round(face.mouth.centre[0]) + 2)
    light, dimmed = (animate(each, Face(face, palette), pose)[row, middle].max() for each in (frame, dim))
    assert dimmed == pytest.approx(0.6 * light, rel=0.12)


def test_the_strip_has_one_place_for_each_pixel() -> None:
    strip = read_strip(*grin())
    assert strip is not None
    assert strip.pixels.dtype == np.float32
    assert strip.pixels.shape[1] == round(2 * SIDE * PIXELS) + 1
    assert strip.pixels.shape[0] > ABOVE * PIXELS
    assert strip.pixels[..., 3].min() >= 0
    assert strip.pixels[..., 3].max() <= 1
