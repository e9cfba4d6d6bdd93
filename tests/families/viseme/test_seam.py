"""The line between closed lips is as dark and as wide as the picture shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from talkinghead.families.viseme.compose import Face, Pose, animate, to_mouth
from talkinghead.families.viseme.geometry import COLUMNS, FaceGeometry
from talkinghead.families.viseme.mouth_interior import read_palette
from talkinghead.families.viseme.seam import DARK, Seam, likely_seam, read_seam, seam_shadow
from tests.families.viseme.faces import Drawing, draw_face
from tests.families.viseme.test_inner_mouth import true_geometry


def lined(dark: float, width: float, noise: float = 1.0, shade: float = 0.0) -> tuple[np.ndarray, FaceGeometry]:
    """Shut lips of one colour with a line between them, as dark and as wide (half widths) as given.

    Args:
        shade: how much darker it is above the line, less and less up to 0.3 half widths.
    """
    drawn = draw_face(Drawing(eye_distance=190, noise=0.0))
    face = true_geometry(drawn)
    gy, gx = np.mgrid[: drawn.frame.shape[0], : drawn.frame.shape[1]].astype(np.float32)
    x, y = to_mouth(face, gx, gy)
    a = face.mouth.half_width
    away = (y - np.interp(x / a, COLUMNS, face.mouth.upper_inner)) / (width * a)
    light = 150 * (1 - dark * np.exp(-(away**2)))
    light *= 1 - shade * np.clip(1 + away * width / 0.3, 0, 1) * (away < 0)
    light += np.random.default_rng(5).normal(size=y.shape) * noise
    return np.repeat(np.clip(np.rint(light), 0, 255).astype(np.uint8)[..., None], 3, axis=2), face


@pytest.mark.parametrize("dark", [0.15, 0.3, 0.45])
@pytest.mark.parametrize("width", [0.02, 0.045, 0.07])
def test_what_was_drawn_is_read(dark: float, width: float) -> None:
    frame, face = lined(dark, width)
    seam = read_seam(frame, face.mouth)
    assert seam is not None
    assert seam.dark == pytest.approx(dark, abs=0.05)
    assert seam.width == pytest.approx(width, rel=0.35)


def test_the_shade_on_a_lip_makes_the_line_no_wider() -> None:
    frame, face = lined(0.3, 0.03, shade=0.3)
    seam = read_seam(frame, face.mouth)
    assert seam is not None
    assert seam.width == pytest.approx(0.03, rel=0.35)


def test_a_contour_beside_the_line_finds_it() -> None:
    frame, face = lined(0.3, 0.03)
    shifted = face.mouth.upper_inner + np.float32(0.04 * face.mouth.half_width)
    seam = read_seam(frame, replace(face.mouth, upper_inner=shifted, lower_inner=shifted))
    assert seam is not None
    assert seam.dark == pytest.approx(0.3, abs=0.05)


def test_open_mouths_and_even_lips_show_none() -> None:
    drawn = draw_face(Drawing(gap=0.2))
    assert read_seam(drawn.frame, true_geometry(drawn).mouth) is None
    frame, face = lined(0.0, 0.03)
    assert read_seam(frame, face.mouth) is None


def test_pictures_without_black_get_a_paler_line() -> None:
    drawn = draw_face(Drawing(gap=0.2))
    face = true_geometry(drawn)
    contrasty = likely_seam(drawn.frame, face.mouth, face.eye_distance, 0.0)
    faded = (140 + 0.2 * drawn.frame).astype(np.uint8)
    pale = likely_seam(faded, face.mouth, face.eye_distance, 0.0)
    assert pale.dark < 0.75 * contrasty.dark <= 0.75 * DARK
    assert likely_seam(drawn.frame, face.mouth, face.eye_distance, 1.0).dark > contrasty.dark + 0.2


def test_lips_that_are_shut_get_the_line() -> None:
    drawn = draw_face(Drawing(gap=0.2, grin=0.0, eye_distance=80, noise=0.0))
    face = true_geometry(drawn)
    frame = np.full_like(drawn.frame, 150)
    palette = replace(read_palette(drawn.frame, face), grain=0.0)
    centre = np.rint(face.mouth.centre).astype(int)

    def light(seam: Seam) -> np.ndarray:
        shut = animate(frame, Face(face, replace(palette, seam=seam)), Pose())
        return (shut @ [0.299, 0.587, 0.114])[centre[1] - 12 : centre[1] + 13, centre[0]]

    faint, strong = light(Seam(0.1, 0.05)), light(Seam(0.4, 0.05))
    assert 150 - faint.min() == pytest.approx(15, abs=4)
    assert 150 - strong.min() == pytest.approx(60, abs=8)


def line_of(softness: float = 1.0, warmth: float = 1.0) -> np.ndarray:
    """[21, 3] across the middle of a line of a mouth of 30 pixels."""
    y = np.linspace(-10, 10, 21, dtype=np.float32)[:, None]
    nothing = np.zeros_like(y)
    return seam_shadow(Seam(0.4, 0.03), 30.0, softness, warmth, nothing, y, nothing, nothing)[:, 0]


def test_blur_makes_the_line_wider_and_as_much_paler() -> None:
    sharp, blurred = line_of(1.0), line_of(4.0)
    assert blurred.max() < 0.5 * sharp.max()
    np.testing.assert_allclose(blurred.sum(axis=0), sharp.sum(axis=0), rtol=0.05)


def test_the_line_is_warm_but_in_grey_pictures() -> None:
    red, green, blue = line_of(warmth=1.0).max(axis=0)
    assert red < 0.9 * green <= 0.9 * blue
    assert np.ptp(line_of(warmth=0.0), axis=1).max() == 0
