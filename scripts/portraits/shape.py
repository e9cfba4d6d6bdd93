"""The sculpted head: signed distances to skin, eyes, hair, clothes and glasses, as compiled scalar functions.

Head units: x to the right of the picture, y up, z towards the camera; the crown is at 1, the chin near -0.8, the eyes
near 0. A head looks straight at the camera and is nearly symmetric: most parts are written for |x|.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from typing import NamedTuple

from numba import njit as _njit

njit = _njit(fastmath=True, error_model="numpy")

SKIN, EYE, HAIR, CLOTH, FRAME, METAL = 1, 2, 3, 4, 5, 6
"""What a point of the surface is made of."""
BALD, SWEPT, BOB, CURLS, CROWN, TOUSLED, BUN = range(7)
"""Ways to wear one's hair."""
CREW, COLLAR, ROLL = range(3)
"""Clothes."""


class Face(NamedTuple):
    """One person's features, in head units or as factors of the usual."""

    width: float = 1.0
    skull: float = 1.0
    """Height of the skull above the brows."""
    jaw: float = 1.0
    """Width of the jaw."""
    chin_y: float = -0.80
    chin: float = 1.0
    """Size of the chin."""
    cheek: float = 1.0
    brow_ridge: float = 0.4
    nose_y: float = -0.25
    """Base of the nose."""
    nose_width: float = 1.0
    nose_out: float = 1.0
    """How far the nose stands out."""
    bridge: float = 1.0
    """Height of the nose's bridge."""
    lip_y: float = -0.455
    lip_width: float = 0.225
    upper_lip: float = 1.0
    lower_lip: float = 1.0
    smile: float = 0.5
    """How far the corners of the mouth are raised."""
    eye_x: float = 0.265
    eye_y: float = 0.03
    eye_half_width: float = 0.150
    lid_up: float = 0.082
    """Upper lid's edge above the line between the corners of the eye, in its middle."""
    lid_down: float = 0.058
    eye_tilt: float = 0.10
    """Slope of the line between the corners, outer one higher."""
    hood: float = 0.0
    """How far the fold hangs over the upper lid."""
    brow_y: float = 0.215
    brow_thick: float = 0.030
    brow_arch: float = 0.045
    brow_fall: float = 0.04
    neck: float = 0.29
    age: float = 0.0
    """Depth of the folds."""
    hair: int = SWEPT
    beard: float = 0.0
    """Thickness of a full beard."""
    moustache: float = 0.0
    glasses: int = 0
    """0 none, 1 round, 2 square."""
    earring: int = 0
    cloth: int = CREW
    long: float = 0.0
    """How far long hair falls, 0 to 1."""


EYE_Z, EYE_R, LID = 0.475, 0.170, 0.022


@njit
def clamp(v, a, b):
    return min(max(v, a), b)


@njit
def step(v):
    """0 below 0, 1 above 1, smooth between."""
    t = min(max(v, 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit
def ellipsoid(x, y, z, rx, ry, rz):
    a = math.sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2)
    b = math.sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2 + (z / rz**2) ** 2)
    return a * (a - 1) / max(b, 1e-9)


@njit
def capsule(x, y, z, ax, ay, az, bx, by, bz, ra, rb):
    dx, dy, dz = bx - ax, by - ay, bz - az
    t = ((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / (dx * dx + dy * dy + dz * dz)
    t = min(max(t, 0.0), 1.0)
    return math.sqrt((x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2 + (z - az - t * dz) ** 2) - (ra + t * (rb - ra))


@njit
def union(a, b, k):
    """Smooth minimum: the surfaces melt into each other over about k."""
    h = min(max(0.5 + 0.5 * (b - a) / k, 0.0), 1.0)
    return b * (1 - h) + a * h - k * h * (1 - h)


@njit
def carve(a, b, k):
    """Take b out of a, smoothly."""
    return -union(-a, b, k)


@njit
def both(a, b, k):
    """What is inside both."""
    return -union(-a, -b, k)


@njit
def lattice(i, j, k):
    n = (i * 1619 + j * 31337 + k * 6971) & 0x7FFFFFFF
    n = (n ^ (n >> 13)) & 0x7FFFFFFF
    n = (n * (n * n * 60493 + 19990303) + 1376312589) & 0x7FFFFFFF
    return n / 1073741824.0 - 1.0


@njit
def noise(x, y, z):
    """Smooth noise in [-1, 1]."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    i, j, k = int(i), int(j), int(k)
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
                total += weight * lattice(i + a, j + b, k + c)
    return total


@njit
def lid_edges(f, across):
    """Upper and lower edge of the open lids, above the eye's centre, at `across` in [-1, 1] from nose to temple."""
    a = min(max(across, -1.0), 1.0)
    tilt = f.eye_tilt * f.eye_half_width * a * 0.5
    up = f.lid_up * (1 - abs(a) ** 2.3) * (1 - 0.12 * a)
    down = f.lid_down * (1 - abs(a) ** 2.0) * (1 + 0.22 * a)
    return up + tilt, -down + tilt


@njit
def lip_line(f, x):
    """Height of the line between the lips."""
    a = min(abs(x) / f.lip_width, 1.3)
    return (
        f.lip_y
        + 0.036 * f.smile * a * a
        - 0.006 * math.exp(-((x / 0.03) ** 2))
        + 0.005 * math.exp(-(((abs(x) - 0.075) / 0.05) ** 2))
    )


@njit
def lip_edges(f, x):
    """Upper edge of the upper and lower edge of the lower lip."""
    a = min(abs(x) / (f.lip_width * 0.98), 1.0)
    line = lip_line(f, x)
    bow = (
        0.062 * f.upper_lip * (1 - a**1.7)
        + 0.012 * f.upper_lip * math.exp(-(((abs(x) - 0.05) / 0.04) ** 2))
        - 0.006 * math.exp(-((x / 0.022) ** 2))
    )
    pout = 0.088 * f.lower_lip * math.sqrt(max(1 - a**2.2, 0.0))
    return line + bow, line - pout


@njit
def skin(f, x, y, z):
    """Head, ears and neck, with open lids and closed lips."""
    q = abs(x)
    w = f.width
    d = ellipsoid(x, y - 0.32, z + 0.12, 0.655 * w, 0.685 * f.skull, 0.78)
    d = union(d, ellipsoid(x, y + 0.06, z - 0.10, 0.565 * w, 0.68, 0.56), 0.18)
    d = union(d, ellipsoid(x, y - (f.chin_y + 0.27), z - 0.24, 0.365 * f.jaw, 0.30, 0.40), 0.20)
    d = union(d, ellipsoid(q - 0.33 * f.jaw, y - (f.chin_y + 0.36), z - 0.06, 0.14, 0.20, 0.22), 0.16)
    d = union(d, ellipsoid(x, y - (f.chin_y + 0.095), z - 0.525, 0.135 * f.chin, 0.095, 0.11), 0.13)
    d = union(d, ellipsoid(q - 0.325 * w, y + 0.20, z - 0.43, 0.20 * f.cheek, 0.17 * f.cheek, 0.155 * f.cheek), 0.14)
    d = union(d, ellipsoid(q - 0.24, y - (f.brow_y + 0.015), z - 0.55, 0.20, 0.05, 0.04 + 0.06 * f.brow_ridge), 0.14)
    ex, ey, ez = q - f.eye_x, y - f.eye_y, z - EYE_Z
    d = carve(d, ellipsoid(ex, ey - 0.02, z - EYE_Z - 0.165, 0.17, 0.085, 0.085), 0.12)
    # nose
    tip = 0.735 + 0.075 * f.nose_out
    d = union(
        d,
        capsule(
            x,
            y,
            z,
            0,
            f.eye_y + 0.06,
            0.56 + 0.045 * f.bridge,
            0,
            f.nose_y + 0.09,
            tip - 0.065,
            0.046,
            0.062 * f.nose_width,
        ),
        0.095,
    )
    d = union(d, ellipsoid(x, y - (f.nose_y + 0.055), z - tip, 0.078 * f.nose_width, 0.064, 0.068), 0.055)
    d = union(
        d,
        ellipsoid(
            q - 0.082 * f.nose_width, y - (f.nose_y + 0.035), z - tip + 0.072, 0.044 * f.nose_width, 0.040, 0.056
        ),
        0.055,
    )
    d = carve(
        d,
        ellipsoid(
            q - 0.046 * f.nose_width, y - (f.nose_y - 0.016), z - tip + 0.045, 0.024 * f.nose_width, 0.018, 0.035
        ),
        0.022,
    )
    # mouth
    a = min(q / f.lip_width, 1.2)
    line = lip_line(f, x)
    d = union(d, ellipsoid(x, y - f.lip_y - 0.01, z - 0.545, 0.27, 0.17, 0.135), 0.11)
    bend = z + 0.16 * a * a * f.lip_width  # lips follow the teeth's arch
    d = union(
        d,
        ellipsoid(x, y - line - 0.026 * f.upper_lip, bend - 0.668, f.lip_width * 0.94, 0.036 * f.upper_lip, 0.038),
        0.035,
    )
    d = union(
        d,
        ellipsoid(x, y - line + 0.043 * f.lower_lip, bend - 0.660, f.lip_width * 0.80, 0.045 * f.lower_lip, 0.046),
        0.040,
    )
    d = carve(d, capsule(x, y, z, 0, f.nose_y - 0.05, 0.735, 0, f.lip_y + 0.095, 0.735, 0.010, 0.018), 0.035)
    d = carve(d, ellipsoid(x, y - (f.lip_y - 0.150), z - 0.70, 0.15, 0.030, 0.045), 0.08)
    near = math.sqrt((y - line) ** 2 + (bend - 0.705) ** 2)
    if q < f.lip_width + 0.1:
        gone = step((q - f.lip_width * 0.97) / 0.04)
        d = carve(d, near - 0.010 * (1 - gone) + 0.06 * gone, 0.016)
    if f.age > 0:
        fold = capsule(
            q,
            y,
            z,
            0.155 * f.nose_width,
            f.nose_y + 0.03,
            0.70,
            f.lip_width + 0.075,
            f.lip_y + 0.02,
            0.64,
            0.010,
            0.012,
        )
        d = carve(d, fold, 0.05 * f.age + 0.004)
        bags = (
            abs(math.sqrt(ex * ex + (ey + 0.01) ** 2 + ez * ez) - EYE_R - 0.045) + max(0.0, ey + 0.10) + max(0.0, -ez)
        )
        d = carve(d, bags - 0.004, 0.03 * f.age + 0.002)
    # eyes
    r = math.sqrt(ex * ex + ey * ey + ez * ez)
    if r < EYE_R + 0.3:
        d = carve(d, r - EYE_R + 0.004, 0.015)
        across = ex / f.eye_half_width
        up, down = lid_edges(f, across)
        gap = max(ey - up, down - ey)
        if across < -1 or across > 1:
            gap = max(gap, (abs(across) - 1) * f.eye_half_width)
        shell = abs(r - EYE_R - 0.5 * LID) - 0.5 * LID
        shell = both(shell, -gap, 0.012)
        shell = max(shell, -ez - 0.02)
        d = union(d, shell, 0.035 + 0.045 * step((down + 0.01 - ey) / 0.06))
        crease = abs(ey - (up + 0.034 + 0.012 * (1 - across * across) - 0.02 * f.hood))
        if abs(across) < 1.15 and ez > 0:
            d += 0.010 * math.exp(-((crease / 0.011) ** 2)) * step((1.15 - abs(across)) / 0.3)
            # flesh above the fold
            d -= (
                0.012
                * (0.4 + f.hood)
                * math.exp(-(((ey - up - 0.075) / 0.030) ** 2))
                * step((1.15 - abs(across)) / 0.4)
            )
    # ears
    ear = ellipsoid(q - 0.655 * w, y + 0.02, z + 0.10, 0.06, 0.175, 0.115)
    ear = carve(ear, ellipsoid(q - 0.70 * w, y, z + 0.035, 0.03, 0.11, 0.065), 0.03)
    d = union(d, ear, 0.045)
    d = union(d, capsule(x, y, z, 0, -0.50, -0.12, 0, -1.5, -0.22, f.neck, f.neck + 0.05), 0.13)
    return union(d, capsule(q, y, z, 0.10, -1.30, -0.24, 0.8, -1.50, -0.36, 0.15, 0.15), 0.20)


@njit
def eye(f, x, y, z):
    q = abs(x)
    return math.sqrt((q - f.eye_x) ** 2 + (y - f.eye_y) ** 2 + (z - EYE_Z) ** 2) - EYE_R


@njit
def strands(along, across, seed, coarse):
    """Grooves of combed hair in [-1, 1]: locks, and finer ones in them."""
    warp = 0.35 * noise(along * 1.3, across * 2.0, seed)
    a = noise((across + warp * 0.10) * coarse, along * 0.45, seed + 7.0)
    b = noise((across + warp * 0.10) * coarse * 2.7, along * 0.7, seed + 19.0)
    return (1 - abs(a)) * 1.2 - 0.6 + 0.45 * b


@njit
def flow(f, x, y, z):
    """Where a point lies along and across the combed strands."""
    if f.hair == SWEPT or f.hair == TOUSLED:
        # from a parting on one side over to the other
        along = math.atan2(x + 0.25, 0.9) + 0.25 * y
        across = z * 0.9 - 0.30 * y + 0.18 * x
        if y < 0.45:
            mix = step((0.45 - y) / 0.35)
            along = along * (1 - mix) + mix * (-y)
            across = across * (1 - mix) + mix * (z * 1.1 + 0.2 * y)
        return along, across
    px = 0.0
    if f.hair == BOB:
        px = -0.16
    if f.hair == BUN:
        dy, dz = y - 0.95, z + 0.45
        return math.sqrt(x * x + dy * dy + dz * dz), 0.55 * math.atan2(x, 0.35 + 1.1 * (0.95 - y) + 0.2) + 0.25 * dz
    dx, dz = x - px, z + 0.10
    along = math.sqrt(dx * dx + dz * dz) + 0.8 * max(0.0, 0.7 - y)
    across = 0.55 * math.atan2(dx, dz) + 0.10 * math.sin(3.2 * y) * (1 if x > 0 else -1)
    return along, across


@njit
def hair(f, x, y, z):
    """Outer surface of the hair, with its locks."""
    q = abs(x)
    if f.hair == BALD:
        return 9.0
    w = f.width
    if f.hair == CURLS:
        d = ellipsoid(x, y - 0.42, z + 0.22, 0.98, 0.86, 0.92)
        d = union(d, ellipsoid(q - 0.62, y - 0.05, z + 0.25, 0.38, 0.52, 0.5), 0.2)
        window = ellipsoid(x, y + 0.16, z - 0.62, 0.56 * w, 0.73, 0.75)
        d = carve(d, window, 0.10)
        if d < 0.16:
            curl = 0.0
            for scale in range(2):
                s = 7.5 if scale == 0 else 16.0
                u, v, t = x * s, y * s, z * s
                warp = noise(u * 0.5, v * 0.5, t * 0.5 + 3.0)
                curl += abs(noise(u + warp, v - warp, t + 11.0 * scale)) * (0.085 if scale == 0 else 0.035)
            d += curl - 0.035
        return d * 0.7
    if f.hair == CROWN:  # receded, short at the sides
        d = ellipsoid(x, y - 0.20, z + 0.18, 0.745 * w, 0.72, 0.80)
        top = y - (0.42 - 0.75 * (z + 0.05))
        d = both(d, top, 0.10)
        line = -0.10 + 0.25 * step((z + 0.1) / 0.3)
        d = both(d, line - y, 0.05)
        d = both(d, z - 0.16, 0.05)
        if d < 0.06:
            d += 0.022 * noise(x * 9, y * 7, z * 12) + 0.010 * noise(x * 30, y * 16, z * 34)
        return d * 0.8
    if f.hair == SWEPT or f.hair == TOUSLED:
        d = ellipsoid(x, y - 0.36, z + 0.14, 0.715 * w, 0.745, 0.85)
        d = union(d, ellipsoid(x + 0.10, y - 0.90, z - 0.34, 0.50, 0.20, 0.28), 0.18)
        d = union(d, ellipsoid(x - 0.26, y - 0.86, z - 0.30, 0.30, 0.20, 0.26), 0.14)
        d = union(d, ellipsoid(q - 0.60 * w, y - 0.42, z - 0.02, 0.13, 0.30, 0.30), 0.12)
        line = 0.64 - 0.05 * x + 0.03 * math.cos(7 * x + 0.6)
        side = step((0.34 - z) / 0.42)
        low = -0.06 - 0.30 * step((-0.12 - z) / 0.25)
        edge = line * (1 - side) + low * side
        if f.hair == TOUSLED:
            edge -= (1 - side) * (0.07 + 0.06 * math.sin(9.0 * x + 1.3) + 0.05 * math.sin(21 * x))
        d = both(d, (edge - y) * 0.72, 0.05)
        if d < 0.12:
            along, across = flow(f, x, y, z)
            rough = 1.9 if f.hair == TOUSLED else 1.0
            d -= 0.024 * rough * strands(along * 1.2, across, 3.0, 6.5 if f.hair == SWEPT else 5.0)
            d -= 0.006 * noise(across * 60, along * 3, 1.0)
        return d * 0.75
    if f.hair == BUN:
        d = ellipsoid(x, y - 0.34, z + 0.14, 0.695 * w, 0.725, 0.83)
        window = ellipsoid(x, y + 0.12, z - 0.70, 0.535 * w, 0.735, 0.75)
        d = carve(d, window, 0.07)
        d = both(d, -0.35 - y + 0.3 * z, 0.08)
        if d < 0.12:
            along, across = flow(f, x, y, z)
            d -= 0.013 * strands(along * 1.1, across, 5.0, 13.0)
        bun = ellipsoid(x - 0.02, y - 1.16, z + 0.32, 0.33, 0.27, 0.33)
        if bun < 0.1:
            turn = math.atan2(y - 1.16, x - 0.02)
            bun -= 0.022 * strands(
                turn * 0.8, 0.5 * turn + 1.4 * math.sqrt((x - 0.02) ** 2 + (y - 1.16) ** 2), 9.0, 6.0
            )
        return union(d, bun, 0.05) * 0.8
    # BOB: falls to both sides
    d = ellipsoid(x, y - 0.36, z + 0.16, 0.765 * w, 0.765, 0.87)
    end = -0.50 - 0.95 * f.long
    fall = capsule(q, y, z, 0.60 * w, 0.25, -0.10, 0.66 * w, end + 0.25, -0.04 + 0.10 * f.long, 0.18, 0.19)
    d = union(d, fall, 0.20)
    d = union(
        d, capsule(q, y, z, 0.66 * w, end + 0.25, -0.04 + 0.10 * f.long, 0.53 * w, end - 0.02, 0.0, 0.17, 0.06), 0.12
    )
    d = union(d, ellipsoid(x, y + 0.2 + 0.3 * f.long, z + 0.42, 0.72, 0.8 + 0.4 * f.long, 0.42), 0.2)
    part = -0.17  # the hairline falls from the parting to both sides
    hi = 0.74 - 0.36 * (abs(x - part) / 0.6) ** 1.15
    window = ellipsoid(x, y + 0.12, z - 0.62, 0.555 * w, 0.90, 0.66)
    window = both(window, (y - hi) * 0.85, 0.06)
    d = carve(d, window, 0.06)
    d += 0.030 * math.exp(-(((x - part - 0.02 * z) / 0.020) ** 2)) * step((y - 0.6) / 0.1)
    if d < 0.14:
        along, across = flow(f, x, y, z)
        d -= 0.022 * strands(along * 0.9, across, 4.0, 12.0)
        d -= 0.006 * noise(across * 70, along * 2, 1.0)
    return d * 0.72


@njit
def beard_mask(f, x, y, z):
    """1 where a full beard grows: cheeks' lower part, jaw, chin, upper lip; not on the lips."""
    q = abs(x)
    top = -0.42 + 0.62 * step((q - 0.22) / 0.42) ** 1.5
    m = step((top - y) / 0.16) * step((z + 0.10) / 0.12) * step((y + 0.95) / 0.10)
    up, down = lip_edges(f, x)
    if q < f.lip_width + 0.05:
        inside = step((up + 0.016 - y) / 0.022) * step((y - down + 0.012) / 0.022)
        inside *= step((f.lip_width + 0.035 - q) / 0.035) * step((z - 0.4) / 0.1)
        m *= 1 - inside
        under = math.exp(-(((y - down + 0.03) / 0.03) ** 2)) * step((q - 0.045) / 0.05) * step((0.19 - q) / 0.05)
        m *= 1 - 0.55 * under
    m *= 1 - step((y - (f.nose_y - 0.025)) / 0.03) * step((0.2 - q) / 0.06)
    m *= 1 - step((q - 0.615 * f.width) / 0.02) * step((y + 0.25) / 0.05)  # not on the ears
    return m


@njit
def moustache_mask(f, x, y, z):
    q = abs(x)
    up, _ = lip_edges(f, x)
    middle = up + 0.052 - 0.22 * max(0.0, q - 0.10)
    m = math.exp(-(((y - middle) / (0.052 - 0.06 * max(0.0, q - 0.12))) ** 4)) * step((0.29 - q) / 0.10)
    if q < f.lip_width:
        m *= step((y - up + 0.002) / 0.025)
    return m * step((z - 0.45) / 0.1)


@njit
def beard(f, d, x, y, z):
    """Surface of the beard over skin whose distance is `d`."""
    if d > 0.3 or z < -0.2 or y > 0.25:
        return 9.0
    m = 0.0
    if f.beard > 0:
        m = f.beard * beard_mask(f, x, y, z) * (0.55 + 0.75 * step((-0.5 - y) / 0.3))
    if f.moustache > 0:
        m = max(m, f.moustache * moustache_mask(f, x, y, z))
    if m < 0.002:
        return 9.0
    across = x + 0.25 * math.tanh(x / 0.12) * (y + 0.5)
    grooves = 0.010 * noise(across * 26, y * 7, z * 10) + 0.006 * noise(across * 60, y * 15, z * 20)
    return (d - m - grooves * min(m / 0.03, 1.0)) * 0.8


@njit
def cloth(f, x, y, z):
    q = abs(x)
    y -= 0.17
    body = ellipsoid(x, y + 2.30, z + 0.36, 1.20, 0.98, 0.52)
    body = union(body, capsule(q, y, z, 0.22, -1.46, -0.30, 1.10, -1.80, -0.40, 0.22, 0.34), 0.3)
    neck = capsule(x, y, z, 0, -0.50, -0.12, 0, -1.5, -0.22, f.neck + 0.02, f.neck + 0.07)
    tall = -1.16 - 0.16 * clamp(z + 0.25, 0.0, 0.4)
    if f.cloth == CREW:
        top = -1.24 - 0.42 * clamp(z + 0.25, 0.0, 0.6)
        d = both(union(body, neck - 0.02, 0.10), y - top, 0.03)
        rim = math.sqrt((y - top + 0.02) ** 2 + min(d, 0.5) ** 2) - 0.035
        return union(d, rim, 0.02)
    if f.cloth == COLLAR:
        d = union(body, neck, 0.12)
        d = both(d, y - (-1.26 - 0.30 * clamp(z + 0.2, 0.0, 0.6)), 0.02)
        # an open collar: two leaves
        lean = 0.42 + 0.30 * clamp(-1.05 - y, -0.1, 0.6)
        leaf = abs(math.sqrt(x * x + (z + 0.18) ** 2) - lean) - 0.022
        leaf = both(leaf, y - (-1.02 - 0.26 * clamp(z + 0.25, 0.0, 0.7)), 0.02)
        leaf = both(leaf, -1.50 - y - 0.2 * q, 0.02)
        leaf = both(leaf, (z + 0.18) - 0.95 * q - 0.06 + 0.30 * (y + 1.3), 0.02)
        return union(d, leaf, 0.012)
    d = union(neck - 0.015, body, 0.14)
    roll = math.exp(-(((y - tall + 0.075) / 0.06) ** 4))
    d -= 0.032 * roll + 0.006 * math.sin(46 * math.atan2(x, z + 0.2)) * roll
    return both(d, y - tall, 0.03) * 0.85


@njit
def glasses(f, x, y, z):
    if f.glasses == 0:
        return 9.0
    q = abs(x)
    ex, ey = q - f.eye_x - 0.012, y - f.eye_y + 0.015
    zc = 0.735 - 0.32 * max(0.0, q - 0.12) ** 2 - 0.02
    if f.glasses == 1:
        ring = math.sqrt((ex / 1.04) ** 2 + ey**2) - 0.205
    else:
        bx, by = abs(ex) - 0.125, abs(ey) - 0.082
        ring = math.sqrt(max(bx, 0.0) ** 2 + max(by, 0.0) ** 2) + min(max(bx, by), 0.0) - 0.092
        ring -= 0.03 * step((ey + 0.05) / 0.25) * step((ex + 0.05) / 0.25)
    thick = 0.0105 if f.glasses == 1 else 0.020
    d = math.sqrt(ring * ring + (z - zc) ** 2) - thick
    bridge = capsule(
        q,
        y - 0.05 * (1 - (q / 0.08) ** 2) * 0.4,
        z,
        0,
        f.eye_y + 0.035,
        0.745,
        0.075,
        f.eye_y + 0.025,
        0.725,
        0.015,
        0.015,
    )
    temple = capsule(
        q, y, z, f.eye_x + 0.225, f.eye_y + 0.03, 0.64, 0.69 * f.width, f.eye_y + 0.03, -0.05, 0.016, 0.014
    )
    return min(d, min(bridge, temple)) * 0.9


@njit
def earring(f, x, y, z):
    if f.earring == 0:
        return 9.0
    q = abs(x)
    if f.earring == 1:
        a = math.sqrt((q - 0.665 * f.width) ** 2 * 3.0 + (y + 0.33) ** 2) - 0.105
        return math.sqrt(a * a + (z - 0.02) ** 2) * 0.6 - 0.010
    return math.sqrt((q - 0.68 * f.width) ** 2 + (y + 0.20) ** 2 + (z - 0.02) ** 2) - 0.034


@njit
def scene(f, x, y, z):
    """(distance, what)."""
    d = skin(f, x, y, z)
    what = SKIN
    fur = beard(f, d, x, y, z)
    if fur < d:
        d, what = fur, HAIR
    other = eye(f, x, y, z)
    if other < d:
        d, what = other, EYE
    other = hair(f, x, y, z)
    if other < d:
        d, what = other, HAIR
    if y < -0.6:
        other = cloth(f, x, y, z)
        if other < d:
            d, what = other, CLOTH
    other = glasses(f, x, y, z)
    if other < d:
        d, what = other, FRAME
    other = earring(f, x, y, z)
    if other < d:
        d, what = other, METAL
    return d, what


@njit
def distance(f, x, y, z):
    return scene(f, x, y, z)[0]
