"""The procedural head's texture: skin with lips and brows, eyes and hair, painted texel by texel.

The skin's chart is its grid (columns across, rows upwards), and so is the hair's; both eyes share one chart, seen from
the front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray
from talkinghead.families.artalk.procedural.surface import EYE_CENTRE, EYE_RADIUS, NUM_COLUMNS, Points, Skin
from talkinghead.families.artalk.procedural.wear import hair_tone

SIZE = 1024
"""Texels per side."""
SKIN_FROM = 0.25
"""The skin's chart lies above this v, over the whole width."""
EYE_CHART = 0.24
"""Side of the eyes' chart, at the corner (0, 0)."""
HAIR_LOW, HAIR_HIGH = (0.26, 0.010), (0.985, 0.235)
"""Corners (u, v) of the hair's chart."""
EYE_SPAN = 1.06
"""Half of the eyes' chart in radii of the eyeball."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where on the resting head something is painted: arrays of one shape."""

    x: Points
    y: Points
    z: Points
    front: Points
    """1 on the face."""
    away: Points
    """Height over the mouth's line."""
    upper: Points
    """1 above the mouth's line, -1 below."""
    lids: Points
    """Shadow of the lids' edges, in [0, 1]."""
    mouth: Points
    """Shadow of the lips' edges, in [0, 1]."""


def vertex_places(skin: Skin) -> Places:
    """The skin's vertices."""
    lids = np.zeros(len(skin.points))
    for edges, share in ((skin.lids_upper, 0.90), (skin.lids_lower, 0.35)):
        for edge in edges:
            lids[edge[1:-1]] = share
    mouth = np.zeros(len(skin.points))
    mouth[skin.mouth_upper] = 0.50
    mouth[skin.mouth_lower] = 0.30
    x, y, z = skin.points.T
    return Places(x, y, z, skin.front, y - skin.line_height, skin.side_of_mouth, lids, mouth)


def skin_chart(skin: Skin) -> tuple[FloatArray, IntArray]:
    """Texture points [n, 2] of the skin, and those of the corners of its faces [F, 3].

    The grid's first column stands at both ends of the chart.
    """
    rows = int(skin.grid_place[:, 0].max()) + 1
    middle = skin.points[np.arange(rows - 1) * NUM_COLUMNS + NUM_COLUMNS // 2]
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))])
    heights = np.append(lengths, lengths[-1] + 0.004)
    v = SKIN_FROM + (1.0 - SKIN_FROM) * (0.004 + 0.992 * heights / heights[-1])
    points = np.stack(np.broadcast_arrays(np.arange(NUM_COLUMNS + 1) / NUM_COLUMNS, v[:, None]), axis=-1)
    place = skin.grid_place[skin.faces]  # [F, 3, 2]: row and column of each corner
    columns = place[..., 1].copy()
    wraps = np.ptp(columns, axis=1) > NUM_COLUMNS // 2
    columns[wraps] = np.where(columns[wraps] < NUM_COLUMNS // 2, columns[wraps] + NUM_COLUMNS, columns[wraps])
    crown = place[..., 0] == rows - 1
    columns = np.where(crown, columns.max(axis=1, initial=0, where=~crown)[:, None], columns)
    faces = place[..., 0] * (NUM_COLUMNS + 1) + columns
    return points.reshape(-1, 2).astype(np.float32), faces.astype(np.int32)


def eye_chart(points: Points, side: int) -> FloatArray:
    """Texture points of one eyeball's vertices, [n, 2]; what looks back is held at the edge."""
    local = (points - EYE_CENTRE * [side, 1, 1]) / EYE_RADIUS
    length = np.maximum(np.hypot(local[:, 0], local[:, 1]), 1e-9)
    reach = np.where(local[:, 2] >= 0, np.minimum(length, 1.04), 1.04)[:, None]
    flat = local[:, :2] / length[:, None] * reach
    chart: FloatArray = ((flat / EYE_SPAN * 0.5 + 0.5) * EYE_CHART).astype(np.float32)
    return chart


def bake(
    skin: Skin, chart: tuple[FloatArray, IntArray], tone: Callable[[Places], Points], tones: dict[str, Points]
) -> Frame:
    """Paint the texture.

    Args:
        tone: colours [..., 3] of places, as for the vertices.
        tones: named colours.
    Returns:
        [SIZE, SIZE, 3] uint8 RGB.
    """
    from talkinghead.rendering.mesh import rasterize_mesh

    points, corners = chart
    flat = np.column_stack([1.0 - 2.0 * points[:, 0], 2.0 * points[:, 1] - 1.0, np.ones(len(points))])
    raster = rasterize_mesh(flat.astype(np.float32), corners, SIZE)
    first = int(SIZE * (1.0 - SKIN_FROM)) + 1
    face, weights = raster.face[:first], raster.barycentric[:first]
    seen = face >= 0
    shares = weights[seen].astype(np.float32)
    vertices = skin.faces[face[seen]]
    of_vertices = vertex_places(skin)
    values = np.column_stack([getattr(of_vertices, name) for name in Places.__dataclass_fields__]).astype(np.float32)
    mixed = sum(shares[:, corner, None] * values[vertices[:, corner]] for corner in range(3))
    colours = tone(Places(*np.asarray(mixed).T))
    picture = np.empty((SIZE, SIZE, 3), np.float32)
    picture[:] = tones["skin"]
    rows, columns = np.nonzero(seen)
    picture[rows, columns] = colours * _grain(rows, columns)[:, None]
    side = int(SIZE * EYE_CHART) + 2
    picture[SIZE - side :, :side] = _eye(side, tones)
    _comb(picture, tones["hair"])
    painted: Frame = np.clip(np.rint(picture * 255.0), 0, 255).astype(np.uint8)
    return _close(painted, seen, first)


def _comb(picture: FloatArray, colour: Points) -> None:
    """Paint the hair's chart."""
    left, right = (round(SIZE * u) for u in (HAIR_LOW[0], HAIR_HIGH[0]))
    bottom, top = (round(SIZE * (1.0 - v)) for v in (HAIR_LOW[1], HAIR_HIGH[1]))
    rows = np.clip((bottom - 0.5 - np.arange(top - 3, bottom + 3)) / (bottom - top), 0, 1)[:, None]
    turn = ((np.arange(left - 3, right + 3) + 0.5 - left) / (right - left))[None, :]
    picture[top - 3 : bottom + 3, left - 3 : right + 3] = hair_tone(rows, turn)[..., None] * colour


def _grain(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Points:
    """A factor near 1 that makes skin look less like wax."""
    import cv2

    rng = np.random.default_rng(7)
    field: Points = np.ones((SIZE, SIZE))
    for cells, strength in ((24, 0.012), (160, 0.014), (512, 0.010)):
        noise = rng.standard_normal((cells, cells))
        field = field + strength * cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    found: Points = field[rows, columns]
    return found


def _eye(side: int, tones: dict[str, Points]) -> Points:
    """The eyes' chart, [side, side, 3]: white, iris with its fibres, pupil, the lid's shadow and a glint."""
    place = (np.arange(side) + 0.5) / (SIZE * EYE_CHART)
    x = ((place - 0.5) * 2.0 * EYE_SPAN)[None, :]
    y = -((place - (side / (SIZE * EYE_CHART) - 0.5)) * 2.0 * EYE_SPAN)[:, None]
    radius = np.hypot(x, y)
    turn = np.arctan2(y, x)

    def step(edge: float, width: float) -> Points:
        inside: Points = np.clip((edge - radius) / width + 0.5, 0.0, 1.0)
        return (inside * inside * (3 - 2 * inside))[..., None]

    picture = np.broadcast_to(tones["white"], (side, side, 3)).copy()
    picture -= np.array([0.02, 0.10, 0.10]) * np.clip((np.abs(x) - 0.50) / 0.4, 0, 1)[..., None] ** 1.5
    fibres = 1.0 + 0.16 * np.sin(turn * 37 + 2 * np.sin(turn * 5)) * np.clip((radius - 0.2) / 0.1, 0, 1)
    fibres += 0.10 * np.sin(turn * 71 + 1.0)
    light = 0.80 + 0.65 * np.clip((radius - 0.20) / 0.25, 0, 1) - 0.35 * y  # light gathers opposite the glint
    iris = tones["iris"] * (fibres * light)[..., None]
    ring = tones["ring"] * np.ones((side, side, 1))
    iris = iris + np.clip((radius - 0.365) / 0.07, 0, 1)[..., None] * (ring - iris)
    picture += step(0.445, 0.045) * (iris - picture)
    picture += step(0.185, 0.035) * (tones["pupil"] - picture)
    shade = 1.0 - 0.42 * np.clip((y - 0.05) / 0.36, 0, 1) ** 1.3
    picture *= shade[..., None]
    for cx, cy, size, strength in ((0.15, 0.17, 0.088, 1.0), (-0.15, -0.18, 0.05, 0.35)):
        glint = np.clip((size - np.hypot(x - cx, y - cy)) / 0.05 + 0.5, 0, 1)[..., None] * strength
        picture += glint * (1.0 - picture)
    return picture


def _close(picture: Frame, seen: NDArray[np.bool_], rows: int) -> Frame:
    """Carry the skin's colours over the chart's edge, so that texels mixed across it are right."""
    import cv2

    known = np.zeros(picture.shape[:2], np.uint8)
    known[:rows][seen] = 1
    for _ in range(4):
        grown = cv2.dilate(picture * known[..., None], np.ones((3, 3), np.uint8))
        wider = cv2.dilate(known, np.ones((3, 3), np.uint8))
        new = (wider > 0) & (known == 0)
        new[rows + 4 :] = False
        picture[new] = grown[new]
        known = np.where(new, 1, known).astype(np.uint8)
    return picture
