"""What is not skin: eyeballs, the inside of the mouth, teeth, tongue and ears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.families.artalk.procedural.surface import EYE_CENTRE, EYE_RADIUS, Points, Skin

Faces = NDArray[np.int64]

UPPER_TEETH_Y = (-0.0560, -0.0722)
LOWER_TEETH_Y = (-0.0738, -0.0870)
TEETH_Z = 0.0655


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of mesh."""

    name: str
    points: Points
    faces: Faces


def grid_faces(rows: int, columns: int, *, closed: bool, start: int = 0) -> Faces:
    """Two triangles per cell of a grid; `closed` joins the last column to the first."""
    number = start + np.arange(rows * columns).reshape(rows, columns)
    following = np.roll(number, -1, axis=1)
    if not closed:
        number, following = number[:, :-1], number[:, 1:]
    a, b, c, d = number[:-1], following[:-1], following[1:], number[1:]
    first = np.stack([a, b, c], axis=-1).reshape(-1, 3)
    second = np.stack([a, c, d], axis=-1).reshape(-1, 3)
    return np.concatenate([first, second])


def eyeball(side: int, rings: int = 11, columns: int = 18) -> Part:
    """A sphere whose pole looks forwards, with finer rings at the pupil and the iris, and a cornea."""
    angles = np.radians([8.0, 12.0, 18.0, 23.0, 27.0, 40.0, 55.0, 75.0, 100.0, 130.0, 160.0])[:rings]
    turn = 2 * np.pi * np.arange(columns) / columns
    radius = EYE_RADIUS * np.where(angles < np.radians(28), 1.0 + 0.040 * np.cos(angles * 3.2), 1.0)
    ring = np.stack(
        [
            (radius * np.sin(angles))[:, None] * np.cos(turn),
            (radius * np.sin(angles))[:, None] * np.sin(turn),
            np.broadcast_to((radius * np.cos(angles))[:, None], (rings, columns)),
        ],
        axis=-1,
    )
    points = np.concatenate([ring.reshape(-1, 3), [[0, 0, EYE_RADIUS * 1.040]], [[0, 0, -EYE_RADIUS]]])
    body = grid_faces(rings, columns, closed=True)[:, ::-1]
    first, last = np.arange(columns), (rings - 1) * columns + np.arange(columns)
    tip = np.stack([np.roll(first, -1), np.full(columns, rings * columns), first], axis=1)
    back = np.stack([last, np.full(columns, rings * columns + 1), np.roll(last, -1)], axis=1)
    name = "left eye" if side > 0 else "right eye"
    return Part(name, points + EYE_CENTRE * [side, 1, 1], np.concatenate([body, tip[:, ::-1], back[:, ::-1]]))


TEETH_PER_ROW = 12


def teeth(upper: bool, columns: int = 73) -> Part:
    """One row of teeth with its gum, on a dental arch; their edges are a little round."""
    arch = np.linspace(-1.12, 1.12, columns)
    depth = 0.0 if upper else -0.0024
    width = 0.0250 if upper else 0.0235
    x = width * np.sin(arch)
    z = TEETH_Z + depth - 0.0330 * (1.0 - np.cos(arch))
    edge, root = (UPPER_TEETH_Y[1], UPPER_TEETH_Y[0]) if upper else LOWER_TEETH_Y
    away = np.sign(root - edge)
    corner = 0.00045 * (2 * np.abs(tooth_place(columns))) ** 4 + 0.0012 * np.abs(arch) ** 2
    levels = [(0.0, -0.0030), (0.0, 0.0), (0.25, 0.0006), (0.55, 0.0006), (0.72, -0.0002), (1.0, -0.0012)]
    rows = []
    for share, out in levels:
        y = edge + share * (root - edge) + (1 - share) * away * corner
        rows.append(np.stack([x * (1 + out / 0.03), y, z + out], axis=1))
    points = np.concatenate(rows)
    return Part("upper teeth" if upper else "lower teeth", points, grid_faces(len(levels), columns, closed=False))


def tooth_place(columns: int) -> Points:
    """Place on its tooth of each column, -0.5 to 0.5."""
    across = np.linspace(0, TEETH_PER_ROW, columns) % 1.0
    place: Points = across - 0.5
    return place


def tongue(rows: int = 7, columns: int = 11) -> Part:
    """A flat dome behind the lower teeth."""
    along = np.linspace(0.0, 1.0, rows)[:, None]
    across = np.linspace(-1.0, 1.0, columns)[None]
    half = 0.0165 * np.sqrt(np.clip(1.0 - (1.0 - along) ** 3.0, 0.05, None))
    x = half * across
    z = TEETH_Z - 0.0075 - 0.036 * along + 0 * across - 0.004 * across**2 * (1 - along)
    y = (
        -0.0790
        + 0.0050 * np.sin(np.pi * (0.18 + 0.7 * along)) * (1.0 - 0.75 * across**2)
        - 0.0012 * np.exp(-((across / 0.15) ** 2))
    )
    y = y - 0.0035 * np.exp(-((along / 0.10) ** 2))
    return Part("tongue", np.stack([x, y, z], axis=-1).reshape(-1, 3), grid_faces(rows, columns, closed=False))


def mouth_bag(skin: Skin) -> tuple[Part, NDArray[np.bool_], NDArray[np.int64]]:
    """The inside of the mouth, from the lips' edges inwards.

    Returns:
        the part, whether each of its vertices belongs to the upper half, and for each the lip's vertex it hangs on.
    """
    loop = np.concatenate([skin.mouth_upper, skin.mouth_lower[-2:0:-1]])
    is_upper = np.concatenate([np.ones(len(skin.mouth_upper), bool), np.zeros(len(skin.mouth_lower) - 2, bool)])
    corners = np.zeros(len(loop), bool)
    corners[[0, len(skin.mouth_upper) - 1]] = True
    edge = skin.points[loop]
    centre = np.array([0.0, edge[:, 1].mean(), 0.0])
    half = np.abs(edge[:, 0]).max()
    arch = np.sqrt(np.clip(1.0 - (edge[:, 0] / half) ** 2, 0.0, 1.0))
    sign = np.where(is_upper, 1.0, -1.0)
    rings = []
    for back, height, narrow in ((0.0, 0.0, 1.0), (0.0030, 0.0010, 0.99), (0.0065, 0.0060, 0.97), (0.016, 0.0165, 1.0),
                                 (0.038, 0.0150, 0.90), (0.052, 0.0060, 0.60)):  # fmt: skip
        ring = edge.copy()
        ring[:, 0] *= narrow
        ring[:, 1] += sign * height * arch
        ring[:, 2] -= back
        if back > 0.02:
            ring[:, 2] = edge[:, 2].max() - 0.004 - back
        rings.append(ring)
    tip = centre + np.array([0.0, 0.0, edge[:, 2].max() - 0.062])
    points = np.concatenate([*rings, tip[None]])
    count = len(loop)
    faces = grid_faces(len(rings), count, closed=True)
    last = (len(rings) - 1) * count + np.arange(count)
    cap = np.stack([last, np.roll(last, -1), np.full(count, len(rings) * count)], axis=1)
    half_of = np.concatenate([np.tile(is_upper, len(rings)), [True]])
    hangs_on = np.concatenate([np.tile(loop, len(rings)), loop[:1]])
    return Part("mouth", points, np.concatenate([faces, cap])), half_of, hangs_on


def eye_socket(side: int, skin: Skin) -> tuple[Part, NDArray[np.int64]]:
    """The margins of one eye's lids, from their edges inwards.

    Returns:
        the part, and for each of its vertices the lid's vertex it hangs on.
    """
    upper, lower = skin.lids_upper[(side + 1) // 2], skin.lids_lower[(side + 1) // 2]
    loop = np.concatenate([upper, lower[-2:0:-1]])
    edge = skin.points[loop]
    centre = EYE_CENTRE * [side, 1, 1]
    rings = [edge]
    for share in (0.35, 1.0):
        inner = edge + share * np.array([0.0, 0.0, -0.0115])
        inner[:, :2] += share * 0.10 * (edge[:, :2] - centre[:2])
        rings.append(inner)
    faces = grid_faces(len(rings), len(loop), closed=True)
    return Part("socket", np.concatenate(rings), faces), np.tile(loop, len(rings))


def ear(side: int, rings: int = 8, columns: int = 22) -> Part:
    """An outer ear: a bowl with a rolled rim, leaning back and standing away from the head."""
    turn = 2 * np.pi * np.arange(columns) / columns
    outline = 1.0 + 0.10 * np.sin(turn) - 0.10 * np.cos(2 * turn) + 0.05 * np.cos(turn)
    shares = np.array([0.16, 0.36, 0.54, 0.68, 0.82, 0.93, 1.0, 0.93])[:rings]
    heights = np.array([0.0010, 0.0016, 0.0058, 0.0050, 0.0072, 0.0100, 0.0062, 0.0000])[:rings]
    helix = 0.55 + 0.45 * np.clip(np.cos(turn - np.radians(120)), -0.6, 1.0)  # the rim is high above and behind
    y = 0.0310 * shares[:, None] * outline * np.sin(turn)
    z = -0.0185 * shares[:, None] * outline * np.cos(turn)
    x = heights[:, None] * helix
    x = x - 0.0045 * np.exp(-(((turn - np.pi * 1.85) / 0.7) ** 2)) * (shares[:, None] > 0.9)
    lobe = np.clip(-np.sin(turn), 0, 1)
    z = z + 0.0045 * lobe * shares[:, None]
    lean = np.radians(12)
    y, z = y * np.cos(lean) + z * np.sin(lean), z * np.cos(lean) - y * np.sin(lean)
    open_angle = np.radians(15)
    x, z = x * np.cos(open_angle) - z * np.sin(open_angle), z * np.cos(open_angle) + x * np.sin(open_angle) * 0.4
    points = np.stack([side * (x + 0.0775), y - 0.0085, z - 0.0290], axis=-1).reshape(-1, 3)
    middle = points[:columns].mean(axis=0) + np.array([side * -0.0005, 0.0, 0.0])
    points = np.concatenate([points, middle[None]])
    cap = np.stack([np.roll(np.arange(columns), -1), np.arange(columns), np.full(columns, rings * columns)], axis=1)
    faces = np.concatenate([grid_faces(rings, columns, closed=True), cap])
    return Part("left ear" if side > 0 else "right ear", points, faces[:, ::-1] if side > 0 else faces)
