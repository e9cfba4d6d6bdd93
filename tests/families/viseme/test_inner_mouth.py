"""What an open source shows between its lips is taken away before the lips move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.families.viseme.analyse import analyse_picture
from talkinghead.families.viseme.animator import telling_frames
from talkinghead.families.viseme.compose import Face, Pose, animate, to_mouth
from talkinghead.families.viseme.geometry import COLUMNS, FaceGeometry, MouthGeometry, Values
from talkinghead.families.viseme.inner_mouth import without_inside
from talkinghead.families.viseme.mouth_interior import lifted, read_dark, read_palette, read_teeth
from talkinghead.families.viseme.opening import edges_seen
from talkinghead.families.viseme.warp import MouthPose
from tests.families.viseme.conftest import Prepared
from tests.families.viseme.faces import MOUTH_BELOW, Drawing, DrawnFace, draw_face

Drawn = Callable[..., Prepared]
TEETH = np.array([226, 220, 208])


def true_geometry(drawn_face: DrawnFace) -> FaceGeometry:
    """What the drawing was made from."""
    drawing, d = drawn_face.drawing, drawn_face.eye_distance
    arch = 1 - COLUMNS**2
    seam, half_gap = drawing.grin * arch, drawing.gap / 2 * arch
    angle = np.deg2rad(drawing.roll_degrees)

    def pixels(curve: Values) -> np.ndarray:
        return (curve * d).astype(np.float32)

    mouth = MouthGeometry(
        centre=drawn_face.mouth,
        axis=np.array([np.cos(angle), np.sin(angle)]),
        half_width=drawing.half_width * d,
        upper_outer=pixels(seam - half_gap - 0.11 * (1 - np.abs(COLUMNS) ** 1.6)),
        upper_inner=pixels(seam - half_gap),
        lower_inner=pixels(seam + half_gap),
        lower_outer=pixels(seam + half_gap + 0.16 * (1 - np.abs(COLUMNS) ** 2.4)),
        confidence=1.0,
    )
    return FaceGeometry(d, mouth, (1.8 - MOUTH_BELOW) * d, (0.9 * d, 0.9 * d))


def inside(frame: Frame, face: FaceGeometry, share: float = 1.0) -> np.ndarray:
    """[h, w] pixels of the middle of the opening."""
    gy, gx = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    x, y = to_mouth(face, gx, gy)
    u = x / np.float32(face.mouth.half_width)
    upper, lower = (np.interp(u, COLUMNS, c) for c in (face.mouth.upper_inner, face.mouth.lower_inner))
    middle, half = (upper + lower) / 2, share * (lower - upper) / 2
    return (np.abs(u) < 0.95) & (np.abs(y - middle) < half)


@pytest.mark.parametrize("teeth", [True, False])
@pytest.mark.parametrize("roll", [0.0, 20.0])
def test_nothing_but_lips_is_left(teeth: bool, roll: float) -> None:
    drawn_face = draw_face(Drawing(gap=0.25, teeth=teeth, roll_degrees=roll, eye_distance=50, noise=0.5))
    frame, face = drawn_face.frame, true_geometry(drawn_face)
    before = frame.copy()
    result = without_inside(frame, face.mouth)
    assert np.array_equal(frame, before)
    opening = inside(frame, face)
    lips = np.array(drawn_face.drawing.lips)
    assert np.abs(frame[opening].astype(int) - lips).max(axis=1).mean() > 80
    assert np.quantile(np.abs(result[opening].astype(int) - lips).max(axis=1), 0.95) < 45
    changed = (result != frame).any(axis=-1)
    gy, gx = np.nonzero(changed)
    x, y = to_mouth(face, gx.astype(np.float32), gy.astype(np.float32))
    assert np.abs(x).max() < 1.25 * face.mouth.half_width
    assert y.min() > face.mouth.upper_outer.min() - 3
    assert y.max() < face.mouth.lower_outer.max() + 3


def test_contours_that_are_a_little_wrong_leave_no_teeth() -> None:
    drawn_face = draw_face(Drawing(gap=0.25, teeth=True, eye_distance=60, noise=0.5))
    face = true_geometry(drawn_face)
    mouth = face.mouth
    lagging = replace(mouth, upper_inner=mouth.upper_inner + np.float32(3) * (1 - COLUMNS**2))
    result = without_inside(drawn_face.frame, edges_seen(drawn_face.frame, lagging))
    left = np.abs(result[inside(result, face)].astype(int) - TEETH).max(axis=1)
    assert (left < 40).mean() < 0.01


def test_closed_mouths_and_mouths_outside_are_left_alone() -> None:
    closed = draw_face(Drawing())
    assert without_inside(closed.frame, true_geometry(closed).mouth) is closed.frame
    open_face = draw_face(Drawing(gap=0.25))
    face = true_geometry(open_face)
    away = replace(face.mouth, centre=np.array([-500.0, 40.0]))
    assert without_inside(open_face.frame, away) is open_face.frame


def test_large_mouths_are_filled_as_well() -> None:
    drawn_face = draw_face(Drawing(gap=0.25, teeth=True, eye_distance=200, noise=0.5))
    face = true_geometry(drawn_face)
    result = without_inside(drawn_face.frame, face.mouth)
    assert (np.abs(result[inside(result, face)].astype(int) - TEETH).max(axis=1) < 40).mean() < 0.01


def test_colour_of_teeth_is_the_persons() -> None:
    seen = draw_face(Drawing(gap=0.25, teeth=True))
    colour = read_teeth(seen.frame, true_geometry(seen))
    assert colour is not None
    np.testing.assert_allclose(colour, TEETH, atol=6)
    for hidden in (Drawing(gap=0.25), Drawing()):
        drawn_face = draw_face(hidden)
        assert read_teeth(drawn_face.frame, true_geometry(drawn_face)) is None


def test_a_faded_source_has_a_faded_inside() -> None:
    clear = draw_face(Drawing(gap=0.25))
    face = true_geometry(clear)
    cavity, lips = read_palette(clear.frame, face).cavity, read_palette(clear.frame, face).lips
    dark = read_dark(clear.frame, face)
    assert dark is not None
    np.testing.assert_allclose(lifted(cavity, lips, dark), cavity, atol=6)
    faded = (70 + 0.5 * clear.frame).astype(np.uint8)
    veiled = read_dark(faded, face)
    assert veiled is not None
    assert veiled > dark + 40
    assert lifted(cavity, lips, veiled).mean() > cavity.mean() + 20
    toothy = draw_face(Drawing(gap=0.25, teeth=True))
    shut = draw_face(Drawing())
    assert read_dark(shut.frame, true_geometry(shut)) is None
    teeth = toothy.frame.copy()
    teeth[inside(teeth, face, 1.2)] = TEETH
    assert read_dark(teeth, face) is None


def test_flat_drawings_have_flat_teeth() -> None:
    flat, photograph = draw_face(Drawing(noise=0.0)), draw_face(Drawing(noise=2.5))
    assert read_palette(flat.frame, true_geometry(flat)).flatness > 0.9
    assert read_palette(photograph.frame, true_geometry(photograph)).flatness == 0


def test_rounded_lips_show_less_teeth(drawn: Drawn) -> None:
    frame, face = drawn(eye_distance=80)
    green, black = np.array([0, 255, 0], np.float32), np.zeros(3, np.float32)
    marked = Face(face.geometry, replace(face.palette, teeth=green, cavity=black, tongue=black, grain=0.0))

    def teeth(width: float) -> float:
        shown = animate(frame, marked, Pose(MouthPose(0.35, 0.4, width))).astype(int)
        return float(np.clip(shown[..., 1] - shown[..., 0] - 20, 0, None).sum())

    assert teeth(-0.9) < 0.6 * teeth(0.0)


def test_colours_are_read_where_the_mouth_is_widest(drawn: Drawn) -> None:
    shut, open_face = (draw_face(Drawing(gap=gap, teeth=True)) for gap in (0.0, 0.3))
    paths = [analyse_picture(each.frame, each.track(key_points=True))[0] for each in (shut, open_face)]
    order = np.zeros(40, int)
    order[[7, 23]] = 1
    contours = np.stack([paths[k].contours[0] for k in order])
    n = len(order)
    path = replace(
        paths[0],
        contours=contours,
        chin=np.ones(n),
        confidence=np.where(np.arange(n) == 23, 0.01, 1.0),
    )
    chosen = telling_frames(path, np.arange(len(path)), 5, 1)
    assert chosen == [0, 7, 9, 19, 29, 39]


def test_line_between_the_lips_has_no_steps() -> None:
    """Lips of two colours, tilted and small: where they meet, the border runs as evenly as in a picture."""
    drawn_face = draw_face(Drawing(gap=0.2, roll_degrees=7, eye_distance=36, grin=0.0, noise=0.0))
    face = true_geometry(drawn_face)
    gy, gx = np.mgrid[: drawn_face.frame.shape[0], : drawn_face.frame.shape[1]].astype(np.float32)
    _, y = to_mouth(face, gx, gy)
    frame = np.where((y < 0)[..., None], (40, 40, 40), (200, 200, 200)).astype(np.uint8)
    palette = replace(read_palette(frame, face), grain=0.0)
    sealed = animate(frame, Face(face, palette), Pose()).astype(float)[..., 0]
    column, row = face.mouth.centre
    columns = np.arange(round(column - 0.5 * face.mouth.half_width), round(column + 0.5 * face.mouth.half_width))
    strip = sealed[round(row) - 8 : round(row) + 12, columns]
    # How much of each column belongs to the dark upper lip tells, to a fraction of a pixel, where the border runs.
    border = ((200 - strip) / 160).sum(axis=0)
    assert np.abs(np.diff(border, 2)).max() < 0.1
