"""The skin of the procedural head: closed curves from the neck to the crown, with slits for the mouth and the eyes.

Metres; x to the head's left, y up, z forwards; the eyes look along +z. Every curve ("row") is given by its front, side
and back; columns run around the head from the back over the right, the front and the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

NUM_COLUMNS = 76
EYE_CENTRE = np.array([0.0315, 0.0065, 0.0462])
EYE_RADIUS = 0.0140
LID_THICKNESS = 0.0011
EYE_CORNERS = (0.0178, 0.0452)
MOUTH_HALF_WIDTH = 0.0245
UPPER_LID_HEIGHT = 0.0048
LOWER_LID_HEIGHT = 0.0044

# front y, front z, half width, side y, side z, back y, back z, flatness of the front, rows up to the next curve
_CURVES = np.array([
    [-0.205, -0.004, 0.057, -0.205, -0.048, -0.205, -0.094, 0.95, 2],  # end of the neck
    [-0.165, -0.003, 0.0455, -0.160, -0.047, -0.150, -0.092, 0.95, 2],
    [-0.134, 0.004, 0.0455, -0.115, -0.044, -0.112, -0.093, 0.95, 2],  # throat
    [-0.127, 0.040, 0.051, -0.096, -0.032, -0.088, -0.098, 1.05, 2],  # below the chin
    [-0.119, 0.063, 0.0565, -0.080, -0.026, -0.068, -0.105, 1.20, 2],
    [-0.105, 0.0715, 0.0610, -0.067, -0.023, -0.052, -0.112, 1.22, 3],  # chin
    [-0.0885, 0.0722, 0.0650, -0.056, -0.022, -0.040, -0.118, 1.16, 3],
    [-0.0785, 0.0720, 0.0671, -0.050, -0.022, -0.033, -0.121, 1.10, 4],  # lower lip
    [-0.0695, 0.0718, 0.0687, -0.045, -0.022, -0.027, -0.123, 1.06, 4],  # between the lips
    [-0.0615, 0.0717, 0.0700, -0.040, -0.022, -0.021, -0.124, 1.03, 3],  # upper lip
    [-0.0515, 0.0714, 0.0717, -0.032, -0.022, -0.012, -0.125, 0.99, 6],  # below the nose
    [-0.0260, 0.0692, 0.0745, -0.012, -0.022, 0.004, -0.127, 0.92, 6],
    [0.0065, 0.0665, 0.0758, 0.012, -0.022, 0.028, -0.128, 0.84, 6],  # eyes
    [0.0280, 0.0722, 0.0770, 0.032, -0.022, 0.048, -0.126, 0.82, 4],  # brows
    [0.0560, 0.0728, 0.0778, 0.058, -0.023, 0.068, -0.120, 0.85, 3],
    [0.0850, 0.0605, 0.0735, 0.083, -0.025, 0.087, -0.107, 0.90, 3],
    [0.1080, 0.0370, 0.0590, 0.104, -0.028, 0.105, -0.083, 0.95, 2],
    [0.1215, 0.0050, 0.0345, 0.120, -0.031, 0.120, -0.058, 1.00, 2],
    [0.1265, -0.0300, 0.0000, 0.1265, -0.030, 0.1265, -0.030, 1.00, 0],  # crown
])  # fmt: skip
_MOUTH_CURVE, _EYE_CURVE = 8, 12


def spline(values: Points, at: Points) -> Points:
    """A smooth curve through the rows of `values` at fractional row numbers; its knots follow their fronts."""
    last = len(values) - 1
    knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(values[:, :2], axis=0), axis=1))])
    before, after = np.clip(np.arange(last + 1) - 1, 0, last), np.clip(np.arange(last + 1) + 1, 0, last)
    slopes = (values[after] - values[before]) / (knots[after] - knots[before])[:, None]
    index = np.clip(np.floor(at).astype(int), 0, last - 1)
    t = (at - index)[:, None]
    step = (knots[index + 1] - knots[index])[:, None]
    result: Points = (
        (2 * t**3 - 3 * t**2 + 1) * values[index]
        + (t**3 - 2 * t**2 + t) * step * slopes[index]
        + (3 * t**2 - 2 * t**3) * values[index + 1]
        + (t**3 - t**2) * step * slopes[index + 1]
    )
    return result


def smoothstep(x: Points) -> Points:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0.0, 1.0)
    result: Points = x * x * (3 - 2 * x)
    return result


def bump(x: Points, y: Points, centre: tuple[float, float], width: float, height: float) -> Points:
    """A Gaussian hill over (x, y)."""
    result: Points = np.exp(-(((x - centre[0]) / width) ** 2) - ((y - centre[1]) / height) ** 2)
    return result


@dataclass(frozen=True, eq=False)
class Skin:
    """The skin as a grid with slits."""

    points: Points
    """[V, 3]."""
    faces: NDArray[np.int64]
    """[F, 3]."""
    mouth_upper: NDArray[np.int64]
    """Vertices of the upper lip's edge from the right corner to the left, corners included."""
    mouth_lower: NDArray[np.int64]
    lids_upper: tuple[NDArray[np.int64], NDArray[np.int64]]
    """Of the eye at -x (the head's right) and at +x, each from one corner to the other."""
    lids_lower: tuple[NDArray[np.int64], NDArray[np.int64]]
    side_of_mouth: Points
    """[V]: -1 below the line of the mouth, 1 above it."""
    side_of_eye: Points
    """[V]: -1 below the line of the eyes, 1 above it."""
    front: Points
    """[V] in [0, 1]: 1 on the face."""
    line_height: Points
    """[V]: y of the mouth's line in the vertex's column."""
    shut: Points
    """[V, 3]: the points with both eyes' lids on the line between their corners, not yet opened."""
    grid_place: NDArray[np.int64]
    """[V, 2]: row and column of the grid."""


def _columns() -> Points:
    u = (np.arange(NUM_COLUMNS) - NUM_COLUMNS // 2) / (NUM_COLUMNS / 2)
    angles: Points = np.pi * (0.37 * u + 0.63 * u**3)
    return angles


def build_skin() -> Skin:
    """Rows, columns, slits and the relief of the face."""
    stations = np.concatenate(
        [index + np.arange(int(count)) / count for index, count in enumerate(_CURVES[:-1, -1])] + [[len(_CURVES) - 1]]
    )
    mouth_row = int(np.flatnonzero(np.isclose(stations, _MOUTH_CURVE))[0])
    eye_row = int(np.flatnonzero(np.isclose(stations, _EYE_CURVE))[0])
    rows = spline(_CURVES[:, :8], stations[:-1])
    angle = _columns()[None]
    sine, cosine = np.sin(angle), np.cos(angle)
    yf, zf, width, ys, zs, yb, zb, flat = (rows[:, [k]] for k in range(8))
    x = width * np.sign(sine) * np.abs(sine) ** 0.95
    ahead = np.abs(cosine)
    z = np.where(
        cosine >= 0, zs + (zf - zs) * ahead * (1.0 + 1.5 * (1.0 - flat) * (1.0 - ahead)), zs + (zb - zs) * ahead
    )
    y = ys + np.where(cosine >= 0, yf - ys, yb - ys) * ahead**2
    grid = np.stack([x, y, z], axis=-1)
    num_rows = len(grid)
    front = smoothstep((cosine + 0.1) / 0.6) * np.ones((num_rows, 1))
    middle = NUM_COLUMNS // 2

    slits: list[tuple[int, int, int]] = []
    mouth_reach = int(np.argmin(np.abs(x[mouth_row, middle:] - MOUTH_HALF_WIDTH)))
    slits.append((mouth_row, middle - mouth_reach, middle + mouth_reach))
    inner, outer = (int(np.argmin(np.abs(x[eye_row, middle:] - corner))) for corner in EYE_CORNERS)
    slits.append((eye_row, middle - outer, middle - inner))
    slits.append((eye_row, middle + inner, middle + outer))

    number = np.arange(num_rows * NUM_COLUMNS).reshape(num_rows, NUM_COLUMNS)
    above = number.copy()  # what the faces above a row use
    points = [grid.reshape(-1, 3)]
    count = number.size
    edges: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for row, first, last in slits:
        inside = np.arange(first + 1, last)
        above[row, inside] = count + np.arange(len(inside))
        points.append(grid[row, inside])
        count += len(inside)
        edges.append((above[row, first : last + 1].copy(), number[row, first : last + 1].copy()))
    crown = count
    points.append(_CURVES[-1:, [2, 0, 1]])
    vertices = np.concatenate(points)

    faces = []
    following = np.roll(np.arange(NUM_COLUMNS), -1)
    for row in range(num_rows - 1):
        low, high = above[row], number[row + 1]
        a, b, c, d = low, low[following], high[following], high
        faces += [np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]
    top = above[-1]
    faces.append(np.stack([top, top[following], np.full(NUM_COLUMNS, crown)], axis=1))

    def spread(values: Points, fill: float) -> Points:
        """A value per grid place to a value per vertex."""
        parts = [values.reshape(-1)]
        parts += [values[row, first + 1 : last] for row, first, last in slits]
        return np.concatenate([*parts, [fill]])

    row_numbers = np.broadcast_to(np.arange(num_rows)[:, None], number.shape).astype(np.float64)
    column_numbers = np.broadcast_to(np.arange(NUM_COLUMNS)[None], number.shape).astype(np.float64)
    side_of_mouth = np.where(spread(row_numbers, num_rows) > mouth_row, 1.0, -1.0)
    side_of_eye = np.where(spread(row_numbers, num_rows) > eye_row, 1.0, -1.0)
    side_of_mouth[edges[0][0][1:-1]] = 1.0
    for upper, _ in edges[1:]:
        side_of_eye[upper[1:-1]] = 1.0
    line_height = spread(np.broadcast_to(y[mouth_row], number.shape), 0.0)
    skin = Skin(
        points=vertices,
        faces=np.concatenate(faces),
        mouth_upper=edges[0][0],
        mouth_lower=edges[0][1],
        lids_upper=(edges[1][0], edges[2][0]),
        lids_lower=(edges[1][1], edges[2][1]),
        side_of_mouth=side_of_mouth,
        side_of_eye=side_of_eye,
        front=spread(front, 0.0),
        line_height=line_height,
        shut=vertices.copy(),
        grid_place=np.column_stack([spread(row_numbers, num_rows), spread(column_numbers, 0)]).astype(np.int64),
    )
    _carve(skin)
    return skin


def _carve(skin: Skin) -> None:
    """The relief of the face, written into the points."""
    points, front = skin.points, skin.front
    x, y, z = points.T
    across = np.abs(x)

    # Nose: a ridge that grows to the tip and ends abruptly, with wings.
    ridge = np.interp(y, [-0.0530, -0.0475, -0.0400, -0.0330, -0.0200, 0.0000, 0.0150, 0.0300],
                      [0.0, 0.0090, 0.0255, 0.0262, 0.0195, 0.0105, 0.0058, 0.0])  # fmt: skip
    ridge_width = np.interp(y, [-0.05, -0.036, -0.015, 0.01, 0.03], [0.0125, 0.0122, 0.0112, 0.0095, 0.0130])
    lift = ridge * np.exp(-((np.abs(x) / ridge_width) ** 2.0))
    lift += 0.0100 * bump(across, y, (0.0125, -0.0425), 0.0058, 0.0070)
    # Cheeks, brows, eye sockets, lips, chin.
    lift += 0.0050 * bump(across, y, (0.0420, -0.0260), 0.0200, 0.0170)
    lift += 0.0035 * bump(across, y, (0.0280, 0.0275), 0.0200, 0.0065)
    lift -= 0.0115 * bump(across, y, (0.0300, 0.0075), 0.0165, 0.0125)
    lift -= 0.0022 * bump(across, y, (0.0370, -0.0720), 0.0110, 0.0200)
    lift += 0.0062 * bump(x, y, (0.0, -0.1060), 0.0190, 0.0110)
    lift += 0.0040 * bump(x, y, (0.0, -0.0680), 0.0300, 0.0180)  # the teeth behind
    away = y - skin.line_height
    lips = np.exp(-((across / 0.0215) ** 4)) * front
    cupid = 1.0 - 0.22 * np.exp(-((x / 0.0035) ** 2))
    lift += lips * cupid * 0.0052 * np.exp(-(((away - 0.0048) / 0.0042) ** 2))
    lift += lips * 0.0066 * np.exp(-(((away + 0.0055) / 0.0048) ** 2))
    lift -= lips * 0.0026 * np.exp(-((away / 0.0022) ** 2))
    lift -= 0.0018 * np.exp(-((x / 0.0035) ** 2)) * np.exp(-(((y + 0.0545) / 0.0050) ** 2))  # philtrum
    lift -= 0.0036 * np.exp(-((across / 0.0170) ** 2)) * np.exp(-(((away + 0.0185) / 0.0060) ** 2))
    lift -= 0.0030 * bump(across, y, (0.0265, -0.0690), 0.0050, 0.0055)  # corners of the mouth
    points[:, 2] = z + lift * front
    points[:, 1] += 0.0016 * front * np.exp(-((x / 0.0045) ** 2)) * np.exp(-((away / 0.0020) ** 2)) * -1.0
    # The nose hangs a little at its tip, so that its underside is seen.
    tip = np.exp(-((x / 0.010) ** 2)) * np.exp(-(((y + 0.0400) / 0.0055) ** 2)) * front
    points[:, 1] -= 0.0030 * tip
    _open_eyes(skin)


def eye_lines(skin: Skin, side: int) -> tuple[Points, Points]:
    """Weights along the columns of one eye: [V] almond shape (0 at the corners), and [V] 1 near that eye."""
    x, y = skin.points[:, 0], skin.points[:, 1]
    corners = skin.points[skin.lids_upper[(side + 1) // 2][[0, -1]], 0]
    middle, half = corners.mean(), np.ptp(corners) / 2
    place = np.clip(1.0 - ((x - middle) / half) ** 2, 0.0, None) ** 0.75
    near = np.exp(-(((x - middle) / (1.3 * half)) ** 6)) * np.exp(-((np.abs(y - EYE_CENTRE[1]) / 0.022) ** 4))
    return place, near * (skin.front > 0.5)


def lift_lids(points: Points, skin: Skin, upper: float, lower: float) -> Points:
    """Move the lids' edges of a shut face to these heights over their line, and the skin around after them."""
    moved = points.copy()
    line = np.concatenate([points[edge[[0, -1]], 1] for edge in skin.lids_upper]).mean()
    for side in (-1, 1):
        place, near = eye_lines(skin, side)
        distance = np.abs(points[:, 1] - line)
        fade = np.exp(-((distance / 0.0085) ** 2)) * near * place
        height = np.where(skin.side_of_eye > 0, upper, lower)
        moved[:, 1] += fade * height
    return moved


def onto_eyeballs(points: Points, front: Points, extra: Points | float = 0.0) -> Points:
    """Push what lies inside the eyeballs' cylinders in front of them."""
    moved = points.copy()
    for side in (-1, 1):
        centre = EYE_CENTRE * [side, 1, 1]
        radius = EYE_RADIUS + LID_THICKNESS + np.asarray(extra)
        squared = ((points[:, :2] - centre[:2]) ** 2).sum(axis=1)
        ball = centre[2] + np.sqrt(np.clip(radius**2 - squared, 0.0, None))
        over = (squared < radius**2) & (front > 0.5)
        softness = 0.0012
        gap = (ball - moved[:, 2]) / softness
        pushed = moved[:, 2] + softness * np.logaddexp(0.0, np.clip(gap, -40, 40))
        edge = smoothstep((radius**2 - squared) / (0.35 * radius**2))
        moved[:, 2] = np.where(over, moved[:, 2] + edge * (pushed - moved[:, 2]), moved[:, 2])
    return moved


def _open_eyes(skin: Skin) -> None:
    skin.shut[:] = skin.points
    opened = lift_lids(skin.points, skin, UPPER_LID_HEIGHT, -LOWER_LID_HEIGHT)
    skin.points[:] = onto_eyeballs(opened, skin.front)
