"""The shape and colour of the constructed head: a signed distance, points on it, Gaussians on the points.

Head units: x to the right of the picture, y up, z towards the camera; the mouth is closed.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.families.talkinggaussian.procedural.rig import (
    EYE,
    EYE_HALF_WIDTH,
    EYEBALL_RADIUS,
    JAW_DROP,
    LID_RADIUS,
    LID_TOP_Y,
    LIP_HALF_WIDTH,
    LIP_LINE_Y,
    almond,
    bump,
    lid_edges,
    smoothstep,
)

Values = NDArray[np.float64]

SKIN = np.array([0.86, 0.645, 0.53])
LIP = np.array([0.71, 0.36, 0.345])
HAIR = np.array([0.235, 0.155, 0.11])
IRIS = np.array([0.28, 0.45, 0.50])
WHITE = np.array([0.93, 0.92, 0.90])
KEY_LIGHT = np.array([-0.45, 0.55, 0.75])
RIM_LIGHT = np.array([0.85, 0.35, -0.35])


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians in head units, before they are written in the published form."""

    points: Values
    """[N, 3]."""
    normals: Values
    """[N, 3] unit."""
    colors: Values
    """[N, 3] RGB in [0, 1]."""
    sizes: Values
    """[N, 3] standard deviations along two tangents and the normal."""
    tangents: Values
    """[N, 3] unit, direction of the first size."""
    opacities: Values
    """[N] in (0, 1)."""

    def __len__(self) -> int:
        return len(self.points)

    def take(self, keep: NDArray[np.bool_]) -> Splats:
        return Splats(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def join(*parts: Splats) -> Splats:
    """All Gaussians of several parts."""
    return Splats(*(np.concatenate([getattr(part, name) for part in parts]) for name in Splats.__dataclass_fields__))


NECK_TOP, NECK_BOTTOM = (0.0, -0.55, -0.12), (0.0, -1.5, -0.22)
COLLAR_Y = -1.20
"""Upper edge of the collar at the sides of the neck; it is lower in front."""

# Signed distances ---------------------------------------------------------------------------------------------------


def ellipsoid(p: Values, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Values:
    q = p - np.array(centre)
    r = np.array(radii)
    scaled = np.linalg.norm(q / r, axis=1)
    slope = np.linalg.norm(q / r**2, axis=1)
    return scaled * (scaled - 1) / np.maximum(slope, 1e-9)


def capsule(p: Values, a: tuple[float, float, float], b: tuple[float, float, float], r0: float, r1: float) -> Values:
    start, along = np.array(a), np.array(b) - np.array(a)
    t = np.clip((p - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(p - start - t[:, None] * along, axis=1) - (r0 + t * (r1 - r0))


def union(a: Values, b: Values, k: float) -> Values:
    """Smooth minimum: the surfaces melt into each other over about k."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b * (1 - h) + a * h - k * h * (1 - h)


def carve(a: Values, b: Values, k: float) -> Values:
    """Take b out of a, smoothly."""
    return -union(-a, b, k)


def both_sides(p: Values) -> Values:
    q = p.copy()
    q[:, 0] = np.abs(q[:, 0])
    return q


def skin_distance(p: Values) -> Values:
    """Signed distance to head and neck, mouth closed."""
    q = both_sides(p)
    d = ellipsoid(p, (0, 0.30, -0.12), (0.69, 0.74, 0.83))
    d = union(d, ellipsoid(p, (0, -0.12, 0.10), (0.575, 0.80, 0.60)), 0.20)
    d = union(d, ellipsoid(p, (0, -0.60, 0.28), (0.37, 0.32, 0.40)), 0.18)  # jaw
    d = union(d, ellipsoid(q, (0.36, -0.48, 0.10), (0.13, 0.18, 0.22)), 0.16)
    d = union(d, ellipsoid(p, (0, -0.80, 0.54), (0.15, 0.10, 0.12)), 0.12)  # chin
    d = union(d, ellipsoid(q, (0.34, -0.12, 0.42), (0.20, 0.18, 0.20)), 0.14)  # cheeks
    d = union(d, ellipsoid(q, (0.25, 0.275, 0.585), (0.22, 0.06, 0.10)), 0.16)  # brows
    d = carve(d, ellipsoid(q, (EYE[0], EYE[1] + 0.01, EYE[2] + 0.21), (0.19, 0.115, 0.15)), 0.10)  # sockets
    d = union(d, capsule(p, (0, 0.16, 0.66), (0, -0.15, 0.81), 0.062, 0.075), 0.10)  # nose
    d = union(d, ellipsoid(p, (0, -0.165, 0.825), (0.082, 0.066, 0.072)), 0.05)
    d = union(d, ellipsoid(q, (0.082, -0.185, 0.755), (0.055, 0.047, 0.068)), 0.035)
    d = carve(d, ellipsoid(q, (0.042, -0.242, 0.785), (0.024, 0.022, 0.035)), 0.02)  # nostrils
    d = union(d, ellipsoid(p, (0, -0.42, 0.56), (0.28, 0.18, 0.15)), 0.10)  # muzzle
    d = union(d, ellipsoid(p, (0, LIP_LINE_Y + 0.040, 0.685), (0.185, 0.032, 0.055)), 0.035)  # upper lip
    d = union(d, ellipsoid(p, (0, LIP_LINE_Y - 0.050, 0.675), (0.165, 0.043, 0.062)), 0.035)  # lower lip
    d = carve(d, capsule(p, (0, -0.25, 0.78), (0, -0.335, 0.755), 0.012, 0.02), 0.03)  # philtrum
    d = carve(d, ellipsoid(p, (0, -0.565, 0.72), (0.17, 0.035, 0.05)), 0.07)  # below the lower lip
    d = union(d, np.linalg.norm(q - EYE, axis=1) - LID_RADIUS, 0.05)  # lids
    d = union(d, ellipsoid(q, (0.70, 0.03, -0.10), (0.065, 0.20, 0.13)), 0.05)  # ears
    d = carve(d, ellipsoid(q, (0.765, 0.04, -0.05), (0.035, 0.12, 0.065)), 0.03)
    return union(d, capsule(p, NECK_TOP, NECK_BOTTOM, 0.32, 0.36), 0.14)


def hair_distance(p: Values) -> Values:
    """Signed distance to the hair's outer surface."""
    q = both_sides(p)
    d = ellipsoid(p, (0, 0.36, -0.14), (0.765, 0.80, 0.89))
    d = union(d, ellipsoid(p, (-0.16, 0.93, 0.36), (0.46, 0.18, 0.30)), 0.20)  # swept up
    d = union(d, ellipsoid(q, (0.62, 0.40, 0.12), (0.14, 0.30, 0.26)), 0.14)  # sides
    line = np.interp(
        p[:, 2], (-0.40, -0.15, 0.02, 0.14, 0.26, 0.42, 0.62), (-0.32, -0.22, -0.02, 0.16, 0.42, 0.60, 0.66)
    )
    line = line + 0.035 * np.cos(9 * p[:, 0] + 1.0) * smoothstep((p[:, 2] - 0.2) / 0.2) - 0.06 * p[:, 0]
    return -union(-d, (p[:, 1] - line) * 0.75, 0.06)


def gradient(distance: Callable[[Values], Values], p: Values, step: float = 1e-3) -> Values:
    """Unit normals by differences."""
    g = np.stack([distance(p + step * axis) - distance(p - step * axis) for axis in np.eye(3)], axis=1)
    return g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-9)


# Points on a surface ------------------------------------------------------------------------------------------------


def surface_points(
    distance: Callable[[Values], Values],
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    spacing: float,
    rng: np.random.Generator,
) -> Values:
    """Points spread evenly over a surface, about `spacing` apart.

    A lattice of cells near the surface is found coarse to fine; the middle of each, moved a little, is projected.
    """
    cell = spacing * 8
    axes = [np.arange(a, b + cell, cell) for a, b in zip(low, high, strict=True)]
    p = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    while cell > spacing * 1.01:
        p = p[np.abs(distance(p)) < cell * 1.2]
        cell /= 2
        offsets = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * cell
        p = (p[:, None] + offsets).reshape(-1, 3)
    p = p[np.abs(distance(p)) < cell * 0.75]
    p = p + rng.uniform(-0.25, 0.25, p.shape) * cell
    for _ in range(4):
        p = p - distance(p)[:, None] * gradient(distance, p)
    p = p[np.abs(distance(p)) < 0.02 * spacing + 1e-4]
    return thin(p, spacing, rng)


def thin(p: Values, spacing: float, rng: np.random.Generator) -> Values:
    """Leave out points until hardly two are nearer than `spacing`."""
    from scipy.spatial import cKDTree

    if len(p) == 0:
        return p
    p = p[rng.permutation(len(p))]
    pairs = cKDTree(p).query_pairs(0.82 * spacing, output_type="ndarray")  # i < j: the earlier point has priority
    state = np.zeros(len(p), np.int8)  # 0 open, 1 kept, -1 left out
    while (state == 0).any():
        pairs = pairs[(state[pairs] == 0).all(axis=1)]
        first = np.ones(len(p), bool)
        first[pairs[:, 1]] = False
        kept = first & (state == 0)
        state[kept] = 1
        state[pairs[kept[pairs[:, 0]], 1]] = -1
    return p[state == 1]


def tangent_of(normals: Values, hint: Values) -> Values:
    """Unit vectors in the surface, as near to `hint` as possible."""
    along = hint - normals * np.sum(hint * normals, axis=1, keepdims=True)
    fallback = np.cross(normals, [0.3, 0.9, 0.2])
    short = np.linalg.norm(along, axis=1, keepdims=True) < 1e-3
    along = np.where(short, fallback, along)
    return along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)


# Light and colour ---------------------------------------------------------------------------------------------------


def shade(albedo: Values, normals: Values, *, soft: float = 0.5, gloss: float = 0.0) -> Values:
    """Baked light: a key from the upper left, a cool rim from behind, light from the sky and from below."""

    def lambert(light: Values) -> Values:
        return normals @ (light / np.linalg.norm(light))

    key = np.clip((lambert(KEY_LIGHT) + soft) / (1 + soft), 0, None) ** 1.3
    rim = np.clip(lambert(RIM_LIGHT), 0, None) ** 2
    sky = 0.5 + 0.5 * normals[:, 1]
    light = key[:, None] * np.array([0.92, 0.88, 0.82]) + sky[:, None] * np.array([0.20, 0.22, 0.25]) + 0.10
    light = light + rim[:, None] * np.array([0.16, 0.20, 0.27])
    half = KEY_LIGHT / np.linalg.norm(KEY_LIGHT) + np.array([0, 0, 1.0])
    shine = gloss * np.clip(normals @ (half / np.linalg.norm(half)), 0, None) ** 40
    return np.clip(albedo * light + shine[:, None], 0, 1)


def mix(a: Values, b: Values, t: Values) -> Values:
    return a + (b - a) * np.clip(t, 0, 1)[:, None]


def neck_shadow(p: Values) -> Values:
    """The head's shadow on the neck."""
    under = smoothstep((-0.70 - p[:, 1]) / 0.14) * smoothstep((0.42 - p[:, 2]) / 0.2)
    return 1 - 0.45 * under * (1 - 0.5 * smoothstep((-1.0 - p[:, 1]) / 0.5))


def skin_albedo(p: Values, rng: np.random.Generator) -> Values:
    """Colour of the skin, lips and painted brows."""
    x, y, z = p.T
    ax = np.abs(x)
    color = np.tile(SKIN, (len(p), 1))
    blush = bump((ax - 0.40) / 0.28) * bump((y + 0.16) / 0.26) * smoothstep((z - 0.2) / 0.2)
    color = mix(color, np.array([0.87, 0.52, 0.44]), 0.45 * blush)
    nose = bump(x / 0.14) * bump((y + 0.16) / 0.16) * smoothstep((z - 0.7) / 0.08)
    color = mix(color, np.array([0.86, 0.52, 0.45]), 0.40 * nose)
    color = mix(color, np.array([0.80, 0.50, 0.44]), 0.5 * smoothstep((ax - 0.68) / 0.05))  # ears
    hollow = bump((ax - EYE[0]) / 0.26) * bump((y - 0.06) / 0.2) * smoothstep((z - 0.5) / 0.1)
    color = mix(color, np.array([0.76, 0.50, 0.43]), 0.15 * hollow)
    stubble = smoothstep((-0.5 - y) / 0.2) * smoothstep((z - 0.1) / 0.2) * smoothstep((y + 1.0) / 0.1)
    color = mix(color, np.array([0.74, 0.56, 0.48]), 0.25 * stubble)
    bow = LIP_LINE_Y + 0.072 * np.sqrt(np.clip(1 - (ax / 0.25) ** 2, 0, 1)) - 0.016 * np.exp(-((x / 0.03) ** 2))
    pout = LIP_LINE_Y - 0.092 * np.sqrt(np.clip(1 - (ax / 0.235) ** 2, 0, 1))
    lip = smoothstep((bow - y) / 0.014) * smoothstep((y - pout) / 0.02) * smoothstep((0.255 - ax) / 0.02)
    lip = lip * smoothstep((z - 0.5) / 0.08)
    color = mix(color, LIP, lip)
    crease = (
        np.exp(-(((y - LIP_LINE_Y) / 0.010) ** 2))
        * smoothstep((LIP_HALF_WIDTH - ax) / 0.03)
        * smoothstep((z - 0.5) / 0.08)
    )
    color = mix(color, np.array([0.36, 0.15, 0.14]), 0.8 * crease)
    arch = 0.268 + 0.050 * np.cos((ax - 0.31) * 6.0) + 0.02 * np.clip(ax - 0.36, 0, None)
    thick = 0.028 * np.clip(1.3 - ax / 0.45, 0.3, 1) * (0.6 + 0.4 * smoothstep((ax - 0.08) / 0.10))
    hairs = smoothstep(1.4 - np.abs(y - arch) / thick) * smoothstep((ax - 0.10) / 0.03) * smoothstep((0.47 - ax) / 0.04)
    hairs = hairs * smoothstep((z - 0.3) / 0.1)
    color = mix(color, HAIR * 1.05, 0.9 * hairs)
    _, lower = lid_edges(x)
    close = almond(x) > 0
    under = np.exp(-(((y - lower) / 0.008) ** 2)) * close * smoothstep((z - 0.5) / 0.1)
    color = mix(color, np.array([0.45, 0.26, 0.23]), 0.6 * under)
    nostril = (
        np.exp(-(((ax - 0.042) / 0.022) ** 2)) * np.exp(-(((y + 0.238) / 0.018) ** 2)) * smoothstep((z - 0.66) / 0.06)
    )
    color = mix(color, np.array([0.24, 0.12, 0.11]), 0.9 * nostril)
    return np.clip(color * rng.normal(1, 0.012, (len(p), 1)), 0, 1)


def occlusion(distance: Callable[[Values], Values], p: Values, normals: Values) -> Values:
    """How open the surroundings are, 0 to 1, from the distance field along the normal."""
    total = np.zeros(len(p))
    for step, weight in ((0.04, 0.4), (0.09, 0.35), (0.18, 0.25)):
        total += weight * np.clip(distance(p + step * normals) / step, 0, 1)
    return total


# Parts --------------------------------------------------------------------------------------------------------------


def skin(spacing: float, rng: np.random.Generator) -> Splats:
    """Face, ears and neck, without the open eyes."""
    coarse = surface_points(skin_distance, (-0.85, -1.45, -1.0), (0.85, 1.15, 0.95), spacing, rng)
    detail = detailed(coarse)
    fine = surface_points(skin_distance, (-0.5, -0.62, 0.4), (0.5, 0.42, 0.95), 0.55 * spacing, rng)
    fine = fine[detailed(fine)]
    p = np.concatenate([coarse[~detail], fine])
    size = np.concatenate([np.full((~detail).sum(), spacing), np.full(len(fine), 0.55 * spacing)])
    normals = gradient(skin_distance, p)
    x, y, z = p.T
    upper, lower = lid_edges(x)
    eye = (almond(x) > 0) & (y < upper) & (y > lower) & (z > EYE[2])
    under_hair = (hair_distance(p) < -0.05) & (z < 0.3)
    keep = ~(eye | under_hair) & (y > collar_height(p) - 0.05)
    p, size, normals = p[keep], size[keep], normals[keep]
    # A second layer just below keeps the skin closed where it is stretched.
    lids = np.linalg.norm(both_sides(p) - EYE, axis=1) < LID_RADIUS + 0.01
    under = p[:, 2] > -0.05
    moved = rng.normal(0, 0.35, (len(p), 3)) * size[:, None] * ~lids[:, None]
    moved -= np.sum(moved * normals, axis=1, keepdims=True) * normals
    second = (p - (0.35 * size)[:, None] * normals + moved)[under]
    p, normals = np.concatenate([p, second]), np.concatenate([normals, normals[under]])
    size = np.concatenate([size, 1.5 * size[under]])
    open_sky = occlusion(skin_distance, p, normals)
    bags = under_eyes(p)
    open_sky = open_sky + (1 - open_sky) * 0.8 * bags
    hair_near = smoothstep((hair_distance(p) + 0.01) / 0.14)
    color = shade(skin_albedo(p, rng), normals, soft=0.55, gloss=0.10)
    dim = (0.52 + 0.48 * open_sky) * (0.72 + 0.28 * hair_near) * (1 + 0.38 * bags)
    tint = np.stack([dim**0.75, dim, dim**1.12], axis=1)  # light goes through skin: shadows stay warm
    color = np.clip(color * tint * (neck_shadow(p) * collar_shadow(p))[:, None], 0, 1)
    flat = np.stack([0.66 * size, 0.66 * size, 0.16 * size], axis=1)
    tangents = tangent_of(normals, np.tile([1.0, 0.0, 0.0], (len(p), 1)))
    return Splats(p, normals, color, flat, tangents, np.full(len(p), 0.96))


COLLAR = 0.16
"""Height of the collar."""


def collar_height(p: Values) -> Values:
    """Height of the collar's upper edge around the neck."""
    return COLLAR_Y - 0.16 * np.clip(p[:, 2] + 0.25, 0, 0.4)


def collar_shadow(p: Values) -> Values:
    """What the collar takes from the light on the neck."""
    return 1 - 0.45 * np.exp(-(((p[:, 1] - collar_height(p)) / 0.07) ** 2))


def bust_distance(p: Values) -> Values:
    """Signed distance to the clothed shoulders: neck and body, and the collar that is rolled around the neck."""
    q = both_sides(p)
    d = capsule(p, NECK_TOP, NECK_BOTTOM, 0.335, 0.375)
    body = ellipsoid(p, (0, -2.40, -0.38), (1.15, 1.0, 0.52))
    body = union(body, capsule(q, (0.22, -1.55, -0.32), (1.12, -1.90, -0.42), 0.24, 0.33), 0.3)
    body = union(body, capsule(q, (1.12, -1.90, -0.42), (1.24, -2.80, -0.40), 0.33, 0.30), 0.15)
    d = union(d, body, 0.14)
    roll = np.exp(-(((p[:, 1] - collar_height(p) + 0.055) / 0.05) ** 4))
    return d - 0.030 * roll


def bust(spacing: float, rng: np.random.Generator) -> Splats:
    """Shoulders in a dark jumper with a rolled collar."""
    p = surface_points(bust_distance, (-1.9, -2.3, -1.1), (1.9, -0.95, 0.4), spacing, rng)
    p = p[(p[:, 1] < collar_height(p) - COLLAR) & (p[:, 2] > -0.8)]
    fine = surface_points(bust_distance, (-0.6, -1.5, -1.1), (0.6, -0.95, 0.4), 0.5 * spacing, rng)
    fine = fine[(fine[:, 1] < collar_height(fine)) & (fine[:, 1] > collar_height(fine) - COLLAR - 0.5 * spacing)]
    size = np.repeat([spacing, 0.5 * spacing], [len(p), len(fine)])
    p = np.concatenate([p, fine])
    normals = gradient(bust_distance, p, step=3e-3)
    below = collar_height(p) - p[:, 1]
    knit = 1 + 0.05 * np.sin(90 * p[:, 1] + 2 * np.sin(9 * p[:, 0]))
    ribs = 1 + 0.10 * np.sin(60 * np.arctan2(p[:, 0], p[:, 2] + 0.2))
    rolled = smoothstep((COLLAR - 0.02 - below) / 0.02)
    jumper = np.array([0.13, 0.20, 0.29]) * (knit + rolled * (1.22 * ribs - knit))[:, None]
    jumper = jumper * (1 - 0.35 * np.exp(-(((below - 0.145) / 0.022) ** 2)))[:, None]  # under the collar
    color = shade(np.clip(jumper, 0, 1), normals, soft=0.9)
    tangents = tangent_of(normals, np.tile([1.0, 0.0, 0.0], (len(p), 1)))
    sizes = np.array([0.85, 0.85, 0.2]) * size[:, None]
    return Splats(p, normals, color, sizes, tangents, np.full(len(p), 0.97))


def cheek_lining(spacing: float, rng: np.random.Generator) -> Splats:
    """The dark inner side of the cheeks: it hides the skin's back where one looks into the mouth from the side."""
    count = int(2 * 0.5 * 0.36 / spacing**2 * 1.6)
    depth, height, side = rng.uniform(0, 1, count), rng.uniform(0, 1, count), rng.choice([-1.0, 1.0], count)
    x = side * (0.285 + 0.06 * np.sqrt(depth))
    p = np.stack([x, LIP_LINE_Y + 0.06 - 0.40 * height, 0.47 - 0.34 * depth], axis=1)
    normals = np.tile([1.0, 0.0, 0.0], (count, 1)) * -side[:, None]
    tangents = np.tile([0.0, 1.0, 0.0], (count, 1))
    color = np.tile([0.105, 0.035, 0.033], (count, 1)) * (1.0 - 0.6 * depth)[:, None]
    sizes = np.tile(np.array([1.0, 1.0, 0.2]) * spacing, (count, 1))
    return Splats(p, normals, color, sizes, tangents, np.full(count, 0.97))


def around_mouth(p: Values) -> Values:
    """Skin whose inner side is seen through the open mouth from the side: 1 there, smoothly 0 elsewhere."""
    y, z = p[:, 1], p[:, 2]
    return smoothstep((-0.18 - y) / 0.2) * smoothstep((y + 1.05) / 0.1) * smoothstep((z + 0.1) / 0.2)


def under_eyes(p: Values) -> Values:
    """The skin below the lower lids, which would look tired in the light from above."""
    x, y, z = p.T
    return bump((np.abs(x) - EYE[0]) / 0.25) * bump((y - EYE[1] + 0.125) / 0.11) * smoothstep((z - 0.45) / 0.1)


def seen_through_mouth(p: Values) -> NDArray[np.bool_]:
    """What stands behind the open mouth: it belongs to the mouth's cloud, which is drawn behind the face's."""
    x, y, z = p.T
    straight = (z < 0.14) & (np.abs(x) < 0.25 + 0.1 * (0.6 - z))
    return (straight | (z < -0.14)) & (y < -0.28) & (y > -0.88)


def detailed(p: Values) -> NDArray[np.bool_]:
    """Eyes, brows, nose and mouth get smaller Gaussians."""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    eyes = (np.abs(x - EYE[0]) < 0.24) & (np.abs(y - 0.17) < 0.24)
    nose = (x < 0.19) & (y < 0.02) & (y > -0.30)
    mouth = (x < 0.34) & (y < -0.28) & (y > -0.58)
    return (eyes | nose | mouth) & (z > 0.4)


def lids(spacing: float, rng: np.random.Generator) -> Splats:
    """Upper lids, dense enough to be drawn over the eyes, and their lashes."""
    parts = []
    columns, rows = int(2 * EYE_HALF_WIDTH / (0.5 * spacing)), int(4 * LID_TOP_Y / spacing)
    across, up = (v.ravel() for v in np.meshgrid(np.linspace(-0.97, 0.97, columns), np.linspace(0, 1, rows)))
    across = across + rng.uniform(-0.4, 0.4, len(across)) / columns
    for side in (-1.0, 1.0):
        centre = EYE * np.array([side, 1, 1])
        x = centre[0] + EYE_HALF_WIDTH * across
        edge, _ = lid_edges(x)
        y = edge + up * (EYE[1] + LID_TOP_Y - edge)
        radius = LID_RADIUS + 0.002
        z = centre[2] + np.sqrt(np.clip(radius**2 - (x - centre[0]) ** 2 - (y - centre[1]) ** 2, 0, None))
        p = np.stack([x, y, z], axis=1)
        normals = (p - centre) / np.linalg.norm(p - centre, axis=1, keepdims=True)
        albedo = mix(skin_albedo(p, rng), np.array([0.74, 0.48, 0.41]), np.full(len(p), 0.35))
        fold = np.exp(-(((up - 0.9) / 0.09) ** 2))
        color = shade(mix(albedo, albedo * 0.6, 0.6 * fold), normals, soft=0.55, gloss=0.06) * 0.92
        size = 0.5 * spacing
        tangents = tangent_of(normals, np.tile([1.0, 0.0, 0.0], (len(p), 1)))
        parts.append(
            Splats(p, normals, color, np.tile([size, size, 0.25 * size], (len(p), 1)), tangents, np.full(len(p), 0.95))
        )
        for height, thick in ((0.0, 0.42), (-0.002, 0.34)):
            t = np.linspace(-0.96, 0.96, 3 * columns)
            x = centre[0] + EYE_HALF_WIDTH * t
            edge, _ = lid_edges(x)
            y = edge + height
            z = centre[2] + np.sqrt(
                np.clip((radius + 0.008) ** 2 - (x - centre[0]) ** 2 - (y - centre[1]) ** 2, 0, None)
            )
            p = np.stack([x, y, z], axis=1)
            normals = (p - centre) / np.linalg.norm(p - centre, axis=1, keepdims=True)
            thickness = thick * spacing * (0.5 + 0.5 * almond(x))
            sizes = np.stack([1.3 * thickness, thickness, 0.3 * thickness], axis=1)
            tangents = tangent_of(normals, np.gradient(p, axis=0))
            color = np.tile(np.array([0.085, 0.06, 0.05]), (len(p), 1))
            parts.append(Splats(p, normals, color, sizes, tangents, np.full(len(p), 0.9)))
    return join(*parts)


def eyes(spacing: float) -> Splats:
    """Both eyeballs: white, iris, pupil and a reflection."""
    parts = []
    for side in (-1.0, 1.0):
        centre = EYE * np.array([side, 1, 1])
        count = int(14 * (EYEBALL_RADIUS / spacing) ** 2)
        k = np.arange(count) + 0.5
        polar, turn = np.arccos(1 - 1.05 * k / count), np.pi * (1 + 5**0.5) * k  # towards the camera only
        normals = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=1)
        p = centre + EYEBALL_RADIUS * normals
        gaze = np.linalg.norm((p - centre)[:, :2] - np.array([0.0, 0.0]), axis=1)
        color = np.tile(WHITE, (count, 1))
        color = mix(color, np.array([0.80, 0.62, 0.58]), smoothstep((np.abs(p[:, 0] - centre[0]) - 0.075) / 0.06) * 0.5)
        spokes = 0.85 + 0.3 * np.sin(17 * np.arctan2(normals[:, 1], normals[:, 0])) ** 2
        iris = np.clip(IRIS * spokes[:, None] * (0.55 + 0.9 * (gaze / 0.062)[:, None] ** 2), 0, 1)
        color = np.where((gaze < 0.062)[:, None], iris, color)
        color = np.where(((gaze > 0.056) & (gaze < 0.066))[:, None], IRIS * 0.35, color)
        color = np.where((gaze < 0.026)[:, None], 0.02, color)
        lit = shade(color, normals, soft=0.9)
        upper, _ = lid_edges(p[:, 0])
        lit = lit * (1 - 0.45 * smoothstep(1 - (upper - p[:, 1]) / 0.045))[:, None]  # shadow of the lid
        spark = np.linalg.norm((p - centre)[:, :2] - np.array([-0.022, 0.026]), axis=1) < 0.012
        lit = np.where(spark[:, None], 1.0, lit)
        size = 0.42 * spacing
        sizes = np.tile([size, size, 0.2 * size], (count, 1))
        tangents = tangent_of(normals, np.tile([1.0, 0.0, 0.0], (count, 1)))
        parts.append(Splats(p, normals, np.clip(lit, 0, 1), sizes, tangents, np.full(count, 0.97)))
    return join(*parts)


def hair(spacing: float, rng: np.random.Generator) -> Splats:
    """Strands: long thin Gaussians along the combing direction, in two layers."""
    layers = []
    for depth, bright in ((-0.035, 0.62), (0.0, 1.0)):
        p = surface_points(_deeper(hair_distance, depth), (-0.95, -0.4, -1.15), (0.95, 1.3, 0.75), spacing, rng)
        normals = gradient(hair_distance, p, step=4e-3)
        part = np.array([-0.28, 1.05, 0.25])
        combed = p - part
        combed[:, 1] *= 0.6
        combed += 0.25 * np.stack([np.sin(5 * p[:, 2] + 2 * p[:, 0]), np.cos(4 * p[:, 0]), np.sin(3 * p[:, 1])], axis=1)
        tangents = tangent_of(normals, combed)
        across = np.cross(normals, tangents)
        lock = np.sin(26 * np.sum(p * across, axis=1) + 5 * np.sin(3 * p[:, 1] + 2 * p[:, 2]))
        albedo = HAIR * (1 + 0.28 * lock + rng.normal(0, 0.10, len(p)))[:, None] * bright
        tilted = normals + 0.35 * lock[:, None] * across
        tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
        color = shade(np.clip(albedo, 0, 1), tilted, soft=0.35)
        half = KEY_LIGHT / np.linalg.norm(KEY_LIGHT) + np.array([0, 0, 1.0])
        half /= np.linalg.norm(half)
        shine = np.sqrt(np.clip(1 - (tangents @ half) ** 2, 0, 1)) ** 22 * np.clip(normals @ half, 0, None)
        color = np.clip(
            color + (0.20 * bright * shine * (0.6 + 0.4 * lock))[:, None] * np.array([1.0, 0.84, 0.66]), 0, 1
        )
        sizes = np.stack(
            [np.full(len(p), 1.5 * spacing), np.full(len(p), 0.42 * spacing), np.full(len(p), 0.3 * spacing)], axis=1
        )
        p = p + normals * rng.normal(0, 0.12 * spacing, (len(p), 1)) + normals * depth * 0
        layers.append(Splats(p, normals, color, sizes, tangents, np.full(len(p), 0.92)))
    return join(*layers)


def _deeper(distance: Callable[[Values], Values], depth: float) -> Callable[[Values], Values]:
    return lambda p: distance(p) - depth


def _evenly(count: int, rng: np.random.Generator) -> tuple[Values, Values]:
    """Points spread over [-1, 1] twice without gaps or clusters: the additive recurrence of the plastic number."""
    index = np.arange(count, dtype=np.float64) + rng.uniform()
    first, second = (2 * np.mod(index * step, 1.0) - 1 for step in (0.7548776662466927, 0.5698402909980532))
    return np.asarray(first, np.float64), np.asarray(second, np.float64)


def mouth_inside(spacing: float, rng: np.random.Generator) -> tuple[Splats, Splats]:
    """Teeth, gums, tongue and the dark behind them: (what stays, what follows the jaw), mouth closed."""

    def sheet(
        count: int, make: Callable[[Values, Values], Values], color: Callable[[Values, Values], Values]
    ) -> Splats:
        across, up = _evenly(count, rng)
        p = make(across, up)
        step = 1e-3
        du, dv = make(across + step, up) - p, make(across, up + step) - p
        normals = np.cross(du, dv)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        normals *= np.sign(normals[:, 2:] + 1e-9)
        lit = shade(color(across, up), normals, soft=0.8, gloss=0.08)
        size = 0.5 * spacing
        tangents = tangent_of(normals, np.tile([1.0, 0.0, 0.0], (count, 1)))
        return Splats(
            p,
            normals,
            np.clip(lit, 0, 1),
            np.tile([size, size, 0.3 * size], (count, 1)),
            tangents,
            np.full(count, 0.97),
        )

    def arch(across: Values, front_z: float) -> Values:
        return front_z - 0.20 * across**2 - 0.10 * across**4

    density = 1.0 / spacing**2

    def tooth_color(across: Values, up: Values, edge: float, gum: float, glow: float) -> Values:
        gaps = np.abs(((across * 4.6 + 0.5) % 1.0) - 0.5)  # near 0.5 between two teeth
        tooth = mix(
            np.tile([0.93, 0.90, 0.84], (len(across), 1)),
            np.array([0.62, 0.54, 0.47]),
            smoothstep((gaps - 0.42) / 0.08),
        )
        color = mix(tooth, np.array([0.70, 0.36, 0.34]), smoothstep((gum * up - 0.25) / 0.2))
        depth = 1 - 0.6 * np.abs(across) ** 2
        return color * (glow * depth)[:, None] * (1 - 0.15 * (edge * up > 0.8))[:, None]

    upper = sheet(
        int(0.42 * 0.12 * density * 2.2),
        lambda a, u: np.stack([0.21 * a, LIP_LINE_Y + 0.018 + 0.055 * u, arch(a, 0.655)], axis=1),
        lambda a, u: tooth_color(a, u, -1, 1, 0.92),
    )
    lower = sheet(
        int(0.38 * 0.11 * density * 2.2),
        lambda a, u: np.stack([0.19 * a, LIP_LINE_Y - 0.088 + 0.045 * u, arch(a, 0.635)], axis=1),
        lambda a, u: tooth_color(a, u, 1, -1, 0.74),
    )
    tongue = sheet(
        int(0.4 * 0.3 * density * 1.3),
        lambda a, u: np.stack(
            [0.17 * a, LIP_LINE_Y - 0.11 + 0.03 * np.cos(1.4 * a) - 0.05 * u**2, 0.50 + 0.10 * u - 0.05 * a**2], axis=1
        ),
        lambda a, u: np.tile([0.62, 0.29, 0.28], (len(a), 1)) * (0.62 + 0.2 * u)[:, None],
    )
    dark = sheet(
        int(0.72 * 0.42 * density * 0.8),
        lambda a, u: np.stack([0.32 * a, LIP_LINE_Y - 0.12 + 0.21 * u, 0.30 + 0.20 * a**2], axis=1),
        lambda a, _: np.tile([0.16, 0.055, 0.05], (len(a), 1)) * (0.9 - 0.4 * np.abs(a))[:, None],
    )
    wide = Splats(dark.points, dark.normals, dark.colors, dark.sizes * 2.2, dark.tangents, dark.opacities)
    return join(upper, wide), join(lower, tongue)


def fully_open(part: Splats) -> Splats:
    """The part of the mouth that follows the jaw, at full opening."""
    return Splats(part.points + JAW_DROP, part.normals, part.colors, part.sizes, part.tangents, part.opacities)
