"""Corners of open mouths are laid where their opening ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from talkinghead.families.viseme.corners import MOST_INWARDS, corners_seen, moved_corners
from talkinghead.families.viseme.geometry import COLUMNS, MouthGeometry
from talkinghead.families.viseme.inner_mouth import without_inside
from tests.families.viseme.faces import Drawing, draw_face
from tests.families.viseme.test_inner_mouth import true_geometry
from tests.families.viseme.test_opening import open_face


def corners(mouth: MouthGeometry) -> np.ndarray:
    """[2, 2] pixels."""
    return mouth.points(np.array([-1.0, 1.0]) * mouth.half_width, np.zeros(2))


def displaced(mouth: MouthGeometry, inwards: float, up: float) -> MouthGeometry:
    """With the left corner elsewhere, half widths."""
    return moved_corners(mouth, np.array([[inwards - 1, -up], [1.0, 0.0]]) * mouth.half_width)


@pytest.mark.parametrize("roll_degrees", [0.0, 20.0])
@pytest.mark.parametrize(("inwards", "up"), [(0.0, 0.1), (0.0, -0.1), (0.14, 0.0), (0.12, -0.08)])
def test_a_corner_beside_the_end_of_the_opening_is_laid_on_it(inwards: float, up: float, roll_degrees: float) -> None:
    frame, face = open_face(teeth=False, roll_degrees=roll_degrees, eye_distance=100)
    told = displaced(face.mouth, inwards, up)
    away = [np.hypot(*(corners(mouth) - corners(face.mouth)).T) for mouth in (told, corners_seen(frame, told))]
    assert away[0][0] > 0.09 * face.mouth.half_width
    # Before its corner an opening is lower than a pixel.
    assert away[1].max() < 0.08 * face.mouth.half_width
    assert away[1][0] < 0.6 * away[0][0]


def test_a_corner_is_hardly_taken_into_the_opening() -> None:
    """Lips beyond where they part belong to the mouth."""
    frame, face = open_face(teeth=False, eye_distance=100)
    told = displaced(face.mouth, -0.12, 0.0)
    found = corners_seen(frame, told)
    assert 1 - 1.3 * MOST_INWARDS < found.half_width / told.half_width < 1


def test_the_opening_reaches_to_a_corner_without_a_pinch() -> None:
    frame, face = open_face(teeth=False, eye_distance=100)
    true = face.mouth
    pinched = np.clip((0.95 - np.abs(COLUMNS)) / 0.2, 0, 1).astype(np.float32)
    told = replace(true, upper_inner=true.upper_inner * pinched, lower_inner=true.lower_inner * pinched)
    found = corners_seen(frame, told)
    near = np.abs(COLUMNS) > 0.84
    gaps = [(mouth.lower_inner - mouth.upper_inner)[near].mean() for mouth in (told, found, true)]
    assert gaps[0] < 0.5 * gaps[2]
    assert gaps[1] == pytest.approx(gaps[2], rel=0.35)


@pytest.mark.parametrize("gap", [0.0, 0.03])
def test_corners_of_lips_that_hardly_part_stay(gap: float) -> None:
    drawn = draw_face(Drawing(gap=gap))
    mouth = true_geometry(drawn).mouth
    assert corners_seen(drawn.frame, mouth) is mouth


def test_corners_stay_where_it_is_not_dark_inside() -> None:
    frame, face = open_face()
    covered = frame.copy()
    covered[:] = Drawing().lips
    assert corners_seen(covered, face.mouth) is face.mouth


def test_no_rim_of_the_opening_is_left_around_its_corners() -> None:
    frame, face = open_face(teeth=False, eye_distance=100)
    mouth = face.mouth
    shut = without_inside(frame, mouth).astype(np.float32) @ [0.299, 0.587, 0.114]
    place = mouth.points(np.linspace(0.9, 1.08, 30)[:, None] * mouth.half_width, np.linspace(-0.1, 0.1, 30) * 40)
    columns, rows = np.rint(place).astype(int).reshape(-1, 2).T
    lips = np.array(Drawing().lips) @ [0.299, 0.587, 0.114]
    assert shut[rows, columns].min() > 0.75 * lips
