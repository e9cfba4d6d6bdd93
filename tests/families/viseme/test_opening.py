"""Inner contours are laid where a picture shows the edges of the lips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.families.viseme.compose import to_mouth
from talkinghead.families.viseme.geometry import COLUMNS, FaceGeometry, MouthGeometry
from talkinghead.families.viseme.inner_mouth import without_inside
from talkinghead.families.viseme.opening import edges_seen
from tests.families.viseme.faces import Drawing, draw_face
from tests.families.viseme.test_inner_mouth import TEETH, inside, true_geometry

MIDDLE = np.abs(COLUMNS) < 0.85


def open_face(**changes: object) -> tuple[Frame, FaceGeometry]:
    drawn = draw_face(Drawing(**{"gap": 0.25, "teeth": True, "noise": 1.0, **changes}))  # type: ignore[arg-type]
    return drawn.frame, true_geometry(drawn)


def error(found: MouthGeometry, true: MouthGeometry) -> float:
    """Of the inner contours, the largest within `MIDDLE`, half widths."""
    upper, lower = found.upper_inner - true.upper_inner, found.lower_inner - true.lower_inner
    return float(np.abs(np.stack([upper, lower])[:, MIDDLE]).max()) / true.half_width


@pytest.mark.parametrize("teeth", [True, False])
@pytest.mark.parametrize("roll_degrees", [0.0, 15.0])
@pytest.mark.parametrize(("upper", "lower"), [(0.12, 0.0), (-0.08, 0.0), (0.0, -0.12), (0.0, 0.12), (0.1, -0.1)])
def test_contours_beside_the_edges_are_laid_on_them(
    teeth: bool, roll_degrees: float, upper: float, lower: float
) -> None:
    frame, face = open_face(teeth=teeth, roll_degrees=roll_degrees, eye_distance=100)
    true = face.mouth
    arch = (1 - COLUMNS**2) * np.float32(true.half_width)
    told = replace(
        true, upper_inner=true.upper_inner + upper * arch, lower_inner=true.lower_inner + np.float32(lower) * arch
    )
    assert error(told, true) > 0.07
    assert error(edges_seen(frame, told), true) < 0.06


def test_corners_that_the_contours_cut_off_are_inside() -> None:
    """Contours that meet well before the corners, as those of landmarks do on a mouth drawn aside."""
    frame, face = open_face(teeth=False, grin=0.0)
    true = face.mouth
    narrow = np.clip(1 - (COLUMNS / 0.8) ** 2, 0, None).astype(np.float32)
    half_gap = np.float32(0.125 * face.eye_distance)
    told = replace(true, upper_inner=-narrow * half_gap, lower_inner=narrow * half_gap)
    shut = without_inside(frame, edges_seen(frame, told))
    lips = np.array(Drawing().lips) @ [0.299, 0.587, 0.114]
    dark = inside(frame, face) & (frame @ [0.299, 0.587, 0.114] < 0.5 * lips)
    assert dark.sum() > 100
    assert (shut[dark] @ [0.299, 0.587, 0.114] < 0.6 * lips).mean() < 0.01


@pytest.mark.parametrize("gap", [0.05, 0.06])
def test_teeth_between_lips_that_landmarks_see_shut_open_them(gap: float) -> None:
    frame, face = open_face(gap=gap, grin=0.0, eye_distance=110)
    told = replace(face.mouth, upper_inner=face.mouth.upper_inner * 0, lower_inner=face.mouth.lower_inner * 0)
    assert not told.is_open
    found = edges_seen(frame, told)
    assert found.is_open
    shut = without_inside(frame, found)
    teeth = np.abs(shut[inside(frame, face)].astype(int) - TEETH).max(axis=1) < 50
    assert teeth.mean() < 0.02


DARK = (18, 6, 6)


def slit(reach: float, colour: tuple[int, int, int] = DARK, below: float = -0.05) -> tuple[Frame, FaceGeometry]:
    """A slit, as high as in its middle up to this share of the half width, which landmarks do not see.

    Args:
        below: its middle below the line where lips should meet, half widths.
    """
    frame, face = open_face(gap=0.0, grin=0.0, teeth=False, eye_distance=110)
    mouth = face.mouth
    gy, gx = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    x, y = to_mouth(face, gx, gy)
    u = np.abs(x) / np.float32(mouth.half_width)
    half = 0.05 * mouth.half_width * np.clip((reach + 0.1 - u) / 0.1, 0, 1)
    frame = frame.copy()
    frame[np.abs(y - below * mouth.half_width) < half] = colour
    return frame, face


@pytest.mark.parametrize("colour", [DARK, (120, 108, 102)])
def test_a_slit_of_the_dark_or_of_teeth_in_the_shade_that_landmarks_see_shut_is_open(
    colour: tuple[int, int, int],
) -> None:
    frame, face = slit(0.4, colour)
    found = edges_seen(frame, face.mouth)
    assert found.is_open
    assert 0.09 < found.gap < 0.18
    shut = without_inside(frame, found)[(frame == colour).all(axis=-1)]
    assert (np.abs(shut.astype(int) - colour).max(axis=-1) < 40).mean() < 0.05


def test_gloss_on_a_lip_is_no_opening() -> None:
    frame, face = slit(0.4, (233, 182, 182), below=0.08)
    assert edges_seen(frame, face.mouth) is face.mouth


def test_a_dark_line_from_corner_to_corner_is_none() -> None:
    frame, face = slit(0.9)
    assert edges_seen(frame, face.mouth) is face.mouth


@pytest.mark.parametrize("lips", [(190, 95, 95), (150, 110, 95), (120, 120, 120)])
def test_shut_lips_stay_shut(lips: tuple[int, int, int]) -> None:
    """The dark line between them is no opening."""
    skin = (150, 150, 150) if len(set(lips)) == 1 else (222, 180, 155)
    drawn = draw_face(Drawing(lips=lips, skin=skin))
    mouth = true_geometry(drawn).mouth
    assert edges_seen(drawn.frame, mouth) is mouth


def test_an_inside_like_the_lips_leaves_the_contours() -> None:
    frame, face = open_face()
    covered = frame.copy()
    covered[:] = Drawing().lips
    assert edges_seen(covered, face.mouth) is face.mouth


def test_lips_end_where_the_skin_begins() -> None:
    """Outer contours that lie on the skin are drawn in."""
    frame, face = open_face()
    true = face.mouth
    arch = (1 - COLUMNS**2) * np.float32(0.15 * true.half_width)
    told = replace(true, upper_outer=true.upper_outer - arch, lower_outer=true.lower_outer + arch)
    found = edges_seen(frame, told)
    for name in ("upper_outer", "lower_outer"):
        off = np.abs(getattr(found, name) - getattr(true, name))[MIDDLE].max() / true.half_width
        assert off < 0.08
    assert np.abs(found.upper_outer - true.upper_outer)[MIDDLE].mean() < 0.5 * np.abs(arch[MIDDLE]).mean()


def test_steady_over_frames() -> None:
    """Noise moves the edges by less than a third of a pixel."""
    frame, face = open_face(noise=0.0)
    rng = np.random.default_rng(3)
    found = []
    for _ in range(6):
        noisy = np.clip(frame + rng.normal(size=frame.shape) * 3, 0, 255).astype(np.uint8)
        found.append(edges_seen(noisy, face.mouth).lower_inner)
    assert np.std(found, axis=0)[MIDDLE].max() < 0.34


def test_a_mouth_at_the_border_of_the_frame_is_no_trouble() -> None:
    frame, face = open_face()
    mouth = replace(face.mouth, centre=np.array([4.0, float(frame.shape[0] - 3)]))
    found = edges_seen(frame, mouth)
    assert np.isfinite(np.stack([found.upper_inner, found.lower_inner])).all()
    x, _ = to_mouth(replace(face, mouth=found), np.float32([4.0]), np.float32([2.0]))
    assert np.isfinite(x).all()
    assert without_inside(frame, found).shape == frame.shape
