"""What the procedural head wears: hair with locks, lashes, and a jumper on its shoulders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.procedural.parts import Part, grid_faces
from talkinghead.families.artalk.procedural.surface import Points, Skin, bump, smoothstep

HAIR_CENTRE = np.array([0.0, 0.028, -0.028])
"""From here the hair is seen as a height over the skull in every direction."""
HAIR_ROWS, HAIR_COLUMNS = 26, 84
TURN_OF_PART = -0.62
"""Where the hair is parted: radians from the front to the head's right."""

# Turn in radians from the front (either side), and height of the hairline in metres: temples, sideburns, ears, nape.
_HAIRLINE = (
    [0.0, 0.35, 0.62, 0.85, 1.05, 1.20, 1.34, 1.50, 1.66, 1.85, 2.2, np.pi],
    [0.0800, 0.0810, 0.0740, 0.0560, 0.0400, 0.0120, -0.0180, -0.0120, 0.0240, 0.0180, -0.0330, -0.0560],
)


def hairline(turn: Points) -> Points:
    """Height where hair begins, by the direction around the head (0 in front)."""
    found: Points = np.interp(np.abs(turn), *_HAIRLINE)
    return found


def around(x: Points, z: Points) -> Points:
    """Direction around the head: 0 in front, positive to the head's left."""
    turn: Points = np.arctan2(x - HAIR_CENTRE[0], z - HAIR_CENTRE[2])
    return turn


@dataclass(frozen=True, eq=False)
class Hair:
    """The hair's surface and its place in the texture."""

    part: Part
    grid: NDArray[np.float64]
    """[rows * columns + 1, 2]: row and turn as shares, for colours."""


def _skull_radius(skin: Skin, directions: Points) -> Points:
    """Distance of the skin from HAIR_CENTRE in some directions, [n]; smooth over the nearest vertices."""
    rays = skin.points - HAIR_CENTRE
    length = np.linalg.norm(rays, axis=1)
    unit = rays / length[:, None]
    closeness = directions @ unit.T
    nearest = np.argpartition(-closeness, 6, axis=1)[:, :6]
    weight = 1.0 / (1.00002 - np.take_along_axis(closeness, nearest, axis=1))
    found: Points = (length[nearest] * weight).sum(axis=1) / weight.sum(axis=1)
    return found


def hair(skin: Skin) -> Hair:
    """A cap of hair: high and swept over on top, short at the sides, thin where it begins."""
    turn = np.linspace(-np.pi, np.pi, HAIR_COLUMNS, endpoint=False)
    low = np.arctan2(hairline(turn) - 0.004 - HAIR_CENTRE[1], 0.088)
    share = np.linspace(0.0, 1.0, HAIR_ROWS + 1)[:-1, None] ** 1.15
    lift = low + share * (np.pi / 2 - low)
    turns = np.broadcast_to(turn, lift.shape)
    directions = np.stack([np.cos(lift) * np.sin(turns), np.sin(lift), np.cos(lift) * np.cos(turns)], axis=-1)
    flat = np.concatenate([directions.reshape(-1, 3), [[0.0, 1.0, 0.0]]])
    radius = _skull_radius(skin, flat)
    heights = np.append(_thickness(turns, lift, share * np.ones_like(lift)).ravel(), 0.0)
    heights[-1] = heights[-1 - HAIR_COLUMNS : -1].mean()
    points = HAIR_CENTRE + flat * (radius + heights)[:, None]
    count = HAIR_ROWS * HAIR_COLUMNS
    top = np.arange(count - HAIR_COLUMNS, count)
    cap = np.stack([top, np.roll(top, -1), np.full(HAIR_COLUMNS, count)], axis=1)
    faces = np.concatenate([grid_faces(HAIR_ROWS, HAIR_COLUMNS, closed=True), cap])
    grid = np.stack([np.broadcast_to(share, lift.shape), (turns + np.pi) / (2 * np.pi)], axis=-1).reshape(-1, 2)
    return Hair(Part("hair", points, faces), np.vstack([grid, [1.0, 0.5]]))


def _thickness(turn: Points, lift: Points, share: Points) -> Points:
    """Height of the hair over the skull in metres."""
    front = np.exp(-((turn / 1.15) ** 4))
    high = smoothstep((lift - 0.25) / 0.7)
    begins = smoothstep(share / 0.16)
    body = 0.0045 + 0.0080 * high + 0.0085 * front * high * np.exp(-(((lift - 0.85) / 0.45) ** 2))
    side = turn - TURN_OF_PART
    body += 0.0050 * high * smoothstep(side / 0.5 + 0.2) * np.exp(-((np.minimum(np.abs(turn), 2.2) / 1.3) ** 4))
    parting = np.exp(-((side / 0.10) ** 2)) * smoothstep((lift - 0.35) / 0.3) * smoothstep((1.40 - lift) / 0.3)
    locks = 0.0011 * np.sin(17 * turn + 5.5 * lift + 0.8 * np.sin(5 * turn)) + 0.0007 * np.sin(31 * turn - 7 * lift)
    found: Points = begins * (body - 0.0045 * parting + locks * (0.35 + 0.65 * high)) - 0.0016 * (1 - begins)
    return found


def hair_tone(row: Points, turn_share: Points) -> Points:
    """Brightness of the hair's colour, [n]: strands from the part, a ring of shine, darker where it begins."""
    turn = (turn_share - 0.5) * 2 * np.pi
    lift = row * 1.35 + 0.1
    along = 60.0 * turn + 22.0 * lift + 2.0 * np.sin(7 * turn)
    strands = (
        np.sin(along) * 0.45 + np.sin(2.31 * along + 3 * lift + 1.0) * 0.35 + np.sin(4.7 * along - 5 * lift) * 0.30
    )
    shine = np.exp(-(((row - 0.52 - 0.05 * np.sin(9 * turn)) / 0.13) ** 2)) * (0.6 + 0.4 * np.sin(1.3 * along))
    roots = 0.70 + 0.30 * smoothstep(row / 0.22)
    found: Points = (0.92 + 0.26 * strands + 0.62 * shine) * roots
    return np.clip(found, 0.25, 2.0)


def lashes(skin: Skin, side: int) -> tuple[Part, NDArray[np.int64]]:
    """The upper lashes of one eye, a narrow fringe that hangs on the lid's edge.

    Returns:
        the part, and for each of its vertices the lid's vertex it hangs on.
    """
    edge = skin.lids_upper[(side + 1) // 2]
    root = skin.points[edge]
    outwards = np.linspace(0.0, 1.0, len(edge)) if side > 0 else np.linspace(1.0, 0.0, len(edge))
    length = 0.0062 * smoothstep(outwards / 0.35) * (1.0 - 0.55 * smoothstep((outwards - 0.86) / 0.14))
    ahead = np.stack(
        [side * (outwards - 0.35) * 0.55, np.full_like(outwards, 0.40), np.full_like(outwards, 0.70)], axis=1
    )
    thick = np.array([0.0, 0.0009, 0.0004])
    base = root + np.array([0.0, 0.0, 0.0004])
    rows = [base - thick, base + thick, base + length[:, None] * ahead * 0.55 + [0.0, 0.0002, 0.0006]]
    return Part("lash", np.concatenate(rows), grid_faces(3, len(edge), closed=False)), np.tile(edge, 3)


# Height, half width, half depth, depth of the middle, all in metres, from the inside of the collar to the chest.
_JUMPER = np.array([
    [-0.170, 0.0455, 0.0440, -0.048], [-0.156, 0.0490, 0.0470, -0.048], [-0.1535, 0.0520, 0.0495, -0.048],
    [-0.1560, 0.0545, 0.0515, -0.048], [-0.1620, 0.0560, 0.0525, -0.048], [-0.1690, 0.0590, 0.0545, -0.048],
    [-0.1740, 0.0680, 0.0610, -0.047], [-0.1790, 0.0850, 0.0650, -0.048], [-0.1840, 0.1060, 0.0700, -0.050],
    [-0.1900, 0.1280, 0.0740, -0.052], [-0.1990, 0.1480, 0.0780, -0.053], [-0.2140, 0.1640, 0.0820, -0.053],
    [-0.2400, 0.1740, 0.0860, -0.052], [-0.2800, 0.1790, 0.0900, -0.050], [-0.3400, 0.1800, 0.0920, -0.050],
])  # fmt: skip


def jumper(columns: int = 56) -> Part:
    """A jumper with a rolled collar, from the neck over the shoulders."""
    turn = 2 * np.pi * np.arange(columns) / columns
    y, half_width, half_depth, middle = (_JUMPER[:, [k]] for k in range(4))
    sine, cosine = np.sin(turn), np.cos(turn)
    square = 0.92  # rounder than an ellipse where the arms begin
    x = half_width * np.sign(sine) * np.abs(sine) ** square
    z = middle + half_depth * np.sign(cosine) * np.abs(cosine) ** square
    low = smoothstep((-y - 0.150) / 0.02) * smoothstep((0.205 + y) / 0.02)
    height = (
        y - 0.010 * low * np.clip(cosine, 0, 1) ** 2 - 0.016 * smoothstep((-y - 0.17) / 0.05) * (np.abs(x) / 0.19) ** 2
    )
    points = np.stack([x, height, z], axis=-1).reshape(-1, 3)
    return Part("jumper", points, grid_faces(len(_JUMPER), columns, closed=True)[:, ::-1])


def knit(points: Points) -> Points:
    """Brightness of the jumper's colour by vertex: the collar is lighter, its lower edge in shadow."""
    y = points[:, 1]
    found: Points = (
        1.0 + 0.16 * bump(y, y, (-0.155, -0.155), 0.012, 0.012) - 0.22 * bump(y, y, (-0.174, -0.174), 0.005, 0.005)
    )
    return found


def brow_share(x: Points, y: Points, front: Points) -> Points:
    """How much of the skin is eyebrow, [n] in [0, 1], painted hair by hair."""
    across = np.abs(x)
    share = (across - 0.0120) / 0.0350
    middle = 0.0238 + 0.0050 * np.sin(np.pi * np.clip(share * 0.80 + 0.05, 0, 1)) - 0.0040 * share**3
    thick = 0.0031 * (1.0 - 0.80 * np.clip(share, 0, 1) ** 2.2) * np.clip(0.60 + share * 3, 0, 1)
    off = (y - middle) / np.maximum(thick, 1e-6)
    hairs = 0.90 + 0.10 * np.sin(900.0 * across + 1700.0 * y + 2.0 * np.sin(300.0 * across))
    soft = smoothstep((1.15 - np.abs(off)) / 0.55) * smoothstep(share / 0.08 + 0.2) * smoothstep((1.0 - share) / 0.06)
    found: Points = soft * hairs * (front > 0.4)
    return found


def hair_chart(grid: NDArray[np.float64], low: tuple[float, float], high: tuple[float, float]) -> FloatArray:
    """Texture points of the hair's vertices in a rectangle of the texture, [n + HAIR_ROWS, 2].

    The first column stands once more at the end, for the faces that close the ring.
    """
    seam = np.column_stack([grid[:-1:HAIR_COLUMNS, 0], np.ones(HAIR_ROWS)])
    both = np.vstack([grid, seam])
    points: FloatArray = np.column_stack(
        [low[0] + both[:, 1] * (high[0] - low[0]), low[1] + both[:, 0] * (high[1] - low[1])]
    ).astype(np.float32)
    return points


def hair_corners(faces: NDArray[np.int64], crown: int) -> NDArray[np.int64]:
    """Texture point of each corner of the hair's faces, [F, 3]; `crown` is the number of the last vertex."""
    column = np.where(faces == crown, -1, faces % HAIR_COLUMNS)
    wraps = (column == HAIR_COLUMNS - 1).any(axis=1) & (column == 0).any(axis=1)
    first = wraps[:, None] & (column == 0)
    return np.where(first, crown + 1 + faces // HAIR_COLUMNS, faces)
