"""Rays through the sculpted head: what each pixel sees, its colour, and the light that falls on it."""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portraits.shape import (
    CLOTH,
    CURLS,
    EYE,
    EYE_Z,
    FRAME,
    HAIR,
    METAL,
    SKIN,
    Face,
    beard_mask,
    clamp,
    distance,
    flow,
    hair,
    lid_edges,
    lip_edges,
    lip_line,
    njit,
    noise,
    scene,
    step,
)

Image = NDArray[np.float32]


class Colors(NamedTuple):
    """Albedo of each part, linear RGB; how a person is painted."""

    skin: tuple[float, float, float]
    blush: tuple[float, float, float]
    lip: tuple[float, float, float]
    hair: tuple[float, float, float]
    brow: tuple[float, float, float]
    iris: tuple[float, float, float]
    cloth: tuple[float, float, float]
    frame: tuple[float, float, float] = (0.02, 0.02, 0.025)
    metal: tuple[float, float, float] = (0.75, 0.52, 0.2)
    blush_amount: float = 0.5
    freckles: float = 0.0
    lashes: float = 1.0
    lid_shade: float = 0.25
    stubble: float = 0.0
    lipstick: float = 1.0
    knit: float = 1.0
    gray: float = 0.0


class Buffers(NamedTuple):
    """Per pixel, [H, W, ...] float32."""

    what: Image
    """0 background, else SKIN, EYE, ..."""
    albedo: Image
    light: Image
    """Diffuse light."""
    shine: Image
    """Reflected light."""
    normal: Image
    place: Image
    mark: Image
    """Lines that a drawing would ink: lids, mouth, nostrils, brows; 0 to 1."""


KEY = np.array([-0.50, 0.62, 0.80])
FILL = np.array([0.85, 0.10, 0.60])
RIM_LEFT = np.array([-0.9, 0.25, -0.55])
RIM_RIGHT = np.array([0.95, 0.45, -0.50])


@njit
def blend(a, b, t):
    t = min(max(t, 0.0), 1.0)
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t


@njit
def times(a, s):
    return a[0] * s, a[1] * s, a[2] * s


@njit
def bell(v):
    return math.exp(-v * v)


@njit
def paint_skin(f, c, x, y, z):
    """(albedo, gloss, ink)."""
    q = abs(x)
    ex, ey, ez = q - f.eye_x, y - f.eye_y, z - EYE_Z
    color = c.skin
    mottle = 0.03 * noise(x * 9, y * 9, z * 9) + 0.015 * noise(x * 28, y * 28, z * 28)
    front = step((z - 0.15) / 0.25)
    cheek = bell((q - 0.36) / 0.17) * bell((y + 0.20) / 0.14) * front
    color = blend(color, c.blush, c.blush_amount * cheek)
    tip = bell(x / 0.11) * bell((y - f.nose_y - 0.05) / 0.10) * step((z - 0.6) / 0.1)
    color = blend(color, c.blush, 0.55 * c.blush_amount * tip)
    ears = step((q - 0.60 * f.width) / 0.05)
    color = blend(color, c.blush, 0.45 * ears)
    chin = bell(x / 0.14) * bell((y - f.chin_y - 0.08) / 0.10) * front
    color = blend(color, c.blush, 0.20 * c.blush_amount * chin)
    hollow = bell(ex / 0.20) * bell((ey + 0.10) / 0.05) * front
    color = blend(color, times(c.blush, 0.85), (0.06 + 0.25 * f.age) * hollow)
    if c.stubble > 0:
        m = beard_mask(f, x, y, z)
        color = blend(color, times(c.hair, 1.6), c.stubble * m * (0.8 + 0.35 * noise(x * 120, y * 120, z * 120)))
    if c.freckles > 0:
        spot = noise(x * 44, y * 44, z * 44) * 0.65 + 0.35 * noise(x * 85, y * 85, z * 85)
        where = bell((q - 0.24) / 0.24) * bell((y + 0.12) / 0.15) * front
        color = blend(color, times(c.blush, 0.62), c.freckles * where * step((spot - 0.30) / 0.14))
    color = times(color, 1 + mottle)
    gloss, ink = 0.30, 0.0
    gloss += 0.25 * tip + 0.1 * bell(x / 0.25) * bell((y - 0.45) / 0.2)
    # lips
    up, down = lip_edges(f, x)
    line = lip_line(f, x)
    if q < f.lip_width + 0.06 and z > 0.4:
        soft = 0.012
        lip = step((up - y) / soft + 0.5) * step((y - down) / (soft * 1.6) + 0.3) * step((f.lip_width - q) / 0.02 + 0.2)
        grooves = 1 + 0.05 * noise(x * 85, y * 9, 2.0)
        upper = 0.86 if y > line else 1.0
        color = blend(color, times(c.lip, upper * grooves), 0.92 * c.lipstick * lip)
        gloss = gloss * (1 - lip) + lip * (0.45 + 0.4 * c.lipstick * bell((y - line + 0.05) / 0.02))
        ends = step((f.lip_width + 0.008 - q) / 0.02)
        crease = bell((y - line) / (0.0075 + 0.002 * bell(x / 0.1))) * ends
        color = blend(color, times(c.lip, 0.16), 0.88 * crease)
        ink = max(ink, bell((y - line) / 0.0095) * ends)
    # nostrils
    nose_x, nose_y = 0.046 * f.nose_width, f.nose_y - 0.014
    hole = bell((q - nose_x) / 0.022) * bell((y - nose_y) / 0.014) * step((z - 0.6) / 0.05)
    color = blend(color, times(c.blush, 0.10), 0.9 * hole)
    ink = max(ink, 0.9 * step(hole * 2 - 0.6))
    # eyes: lids, lashes
    across = ex / f.eye_half_width
    up, down = lid_edges(f, across)
    if ez > 0 and abs(across) < 1.6:
        inside = step((1.35 - abs(across)) / 0.3)
        shadow = bell((ey - up - 0.015) / 0.035) * inside
        color = blend(color, times(c.blush, 0.55), c.lid_shade * shadow)
        fold = bell((ey - (up + 0.034 + 0.012 * (1 - across * across) - 0.02 * f.hood)) / 0.008)
        fold *= step((1.12 - abs(across)) / 0.25)
        color = blend(color, times(c.blush, 0.30), 0.55 * fold)
        ink = max(ink, 0.55 * fold * step((0.95 - abs(across)) / 0.2))
        thick = (0.010 + 0.012 * step((across + 0.5) / 1.2)) * (0.5 + 0.75 * c.lashes)
        lash = step((up + thick - ey) / 0.007) * step((ey - up + 0.02) / 0.006) * step((1.06 - abs(across)) / 0.06)
        if c.lashes > 0.8 and across > 0.8:  # a small wing
            wing_y = up + 0.25 * (ex - f.eye_half_width * 0.9)
            wing = step((0.013 * (1.42 - across) / 0.5 - abs(ey - wing_y - 0.004)) / 0.006) * step(
                (1.38 - across) / 0.1
            )
            lash = max(lash, wing)
        color = blend(color, times(c.brow, 0.18), 0.93 * lash)
        ink = max(ink, lash)
        lower = bell((ey - down + 0.002) / 0.007) * step((1.0 - abs(across)) / 0.1) * step((across + 0.75) / 0.5)
        color = blend(color, times(c.brow, 0.45), 0.45 * lower * c.lashes)
        ink = max(ink, 0.45 * lower)
        rim = bell((ey - down) / 0.004) * step((0.95 - abs(across)) / 0.1)
        color = blend(color, (0.75, 0.42, 0.38), 0.25 * rim)
    # brows, hair by hair
    bx = q - f.eye_x
    t = (bx + 0.175) / 0.37  # 0 at the nose, 1 at the temple
    if -0.1 < t < 1.1 and z > 0.2:
        middle = f.brow_y + f.brow_arch * (1 - ((t - 0.62) / 0.62) ** 2) - f.brow_fall * max(0.0, t - 0.55) ** 1.5 * 2.2
        half = f.brow_thick * (0.75 + 0.45 * bell((t - 0.25) / 0.3) - 0.75 * max(0.0, t - 0.45))
        lean = (y - middle) / max(half, 0.004)
        hairs = noise((t * 34 - lean * (1.2 - 0.9 * t)), lean * 0.9, 5.0 if x > 0 else 8.0)
        edge = 1.0 + 0.22 * hairs
        brow = step((edge - abs(lean)) / 0.45) * step((t + 0.02 + 0.03 * hairs) / 0.07) * step((1.02 - t) / 0.10)
        color = blend(color, times(c.brow, 1 + 0.25 * hairs), brow * (0.86 + 0.14 * hairs))
        ink = max(ink, 0.85 * brow)
        gloss *= 1 - 0.7 * brow
    if f.age > 0:
        for k in range(3):
            level = 0.40 + 0.085 * k + 0.012 * noise(x * 4, k * 3.0, 1.0)
            wrinkle = bell((y - level) / 0.008) * step((0.34 - q) / 0.15) * front
            color = blend(color, times(c.blush, 0.5), 0.32 * f.age * wrinkle)
        for k in range(3):
            dx, dy = q - f.eye_x - f.eye_half_width - 0.03, ey - 0.01 - 0.035 * (k - 1)
            foot = bell((dy - (k - 1) * 0.3 * dx) / 0.006) * bell((dx - 0.045) / 0.04)
            color = blend(color, times(c.blush, 0.5), 0.45 * f.age * foot)
    return color, gloss, ink


@njit
def paint_eye(f, c, x, y):
    side = 1.0 if x > 0 else -1.0
    ex, ey = abs(x) - f.eye_x, y - f.eye_y
    gx, gy = ex + 0.012, ey - 0.006  # the eyes meet at the camera
    r = math.sqrt(gx * gx + gy * gy)
    across = ex / f.eye_half_width
    up, down = lid_edges(f, across)
    color = (0.84, 0.82, 0.80)
    color = blend(color, (0.66, 0.40, 0.36), 0.45 * step((abs(across) - 0.55) / 0.45))
    color = blend(color, (0.80, 0.38, 0.34), 0.9 * step((-across - 0.80) / 0.14))  # inner corner
    radius = 0.083
    angle = math.atan2(gy, gx * side)
    fibre = 1 + 0.28 * noise(angle * 7, r * 22, 3.0) + 0.14 * noise(angle * 19, r * 12, 6.0)
    lower = 0.62 + 0.75 * step((0.03 - gy) / 0.09) * step(r / 0.05)
    iris = times(c.iris, fibre * lower)
    iris = blend(
        iris, (c.iris[0] * 1.9 + 0.03, c.iris[1] * 1.6 + 0.02, c.iris[2] * 1.2), 0.55 * bell((r - 0.043) / 0.012)
    )
    iris = blend(iris, times(c.iris, 0.16), step((r - radius + 0.016) / 0.014))
    iris = blend(iris, (0.004, 0.004, 0.006), step((0.040 - r) / 0.006))
    color = blend(color, iris, step((radius - r) / 0.007 + 0.5))
    shadow = step(1 - (up - ey) / 0.055)
    color = times(color, 1 - 0.62 * shadow)
    low = step(1 - (ey - down) / 0.02)
    color = times(color, 1 - 0.25 * low)
    # reflections of a window and of something low
    a, b = x - side * f.eye_x + 0.026, ey - 0.032
    flash = step((0.021 - max(abs(a + 0.1 * b), abs(b) * 0.85)) / 0.006)
    a2, b2 = x - side * f.eye_x - 0.030, ey + 0.036
    flash = max(flash, 0.42 * step((0.013 - math.sqrt(a2 * a2 + b2 * b2)) / 0.008))
    wet = bell((ey - down - 0.006) / 0.004) * step((0.8 - abs(across)) / 0.2) * 0.35
    return color, flash, wet


@njit
def paint_hair(f, c, x, y, z, furry):
    """(albedo, tangent): lighter and darker locks; the tangent runs along the strands."""
    if furry:
        across = x + 0.25 * math.tanh(x / 0.12) * (y + 0.5)
        lock = 0.5 * noise(across * 24, y * 6, z * 9) + 0.5 * noise(across * 85, y * 14, z * 20)
        color = times(c.hair, 1 + 0.35 * lock)
        gray = step((noise(x * 60, y * 12, z * 30) - 0.45 + c.gray) / 0.3) * c.gray
        return blend(color, (0.62, 0.60, 0.58), gray), 0.25 * math.tanh(x / 0.12), -1.0, 0.25
    along, across = flow(f, x, y, z)
    h = 0.02
    ax, bx = flow(f, x + h, y, z)
    ay, by = flow(f, x, y + h, z)
    az, bz = flow(f, x, y, z + h)
    tx, ty, tz = ax - along, ay - along, az - along
    cx, cy, cz = bx - across, by - across, bz - across
    n = max(math.sqrt(cx * cx + cy * cy + cz * cz), 1e-9)
    k = (tx * cx + ty * cy + tz * cz) / (n * n)
    tx, ty, tz = tx - k * cx, ty - k * cy, tz - k * cz
    n = max(math.sqrt(tx * tx + ty * ty + tz * tz), 1e-9)
    if f.hair == CURLS:
        lock = 0.6 * noise(x * 34, y * 34, z * 34)
        return times(c.hair, 1 + 0.5 * lock), noise(x * 9, y * 9, 1.0), noise(x * 9, y * 9, 5.0), 0.6
    fine = 0.45 * noise(across * 90, along * 2.2, 3.0) + 0.35 * noise(across * 210, along * 3.5, 9.0)
    wide = 0.30 * noise(across * 16, along * 1.2, 6.0)
    color = times(c.hair, max(0.25, 1 + 0.55 * fine + wide))
    if c.gray > 0:
        gray = step((noise(across * 120, along * 1.5, 4.0) + 2 * c.gray - 1.1) / 0.4)
        color = blend(color, (0.60, 0.585, 0.57), gray)
    return color, tx / n, ty / n, tz / n


@njit
def occlusion(f, x, y, z, nx, ny, nz):
    total = 0.0
    weight = 0.42
    for k in range(4):
        s = 0.035 * 2.0**k
        d = distance(f, x + nx * s, y + ny * s, z + nz * s)
        total += weight * clamp(d / s, 0.0, 1.0)
        weight *= 0.68
    return min(total / (0.42 * (1 + 0.68 + 0.68**2 + 0.68**3)), 1.0)


@njit
def reaches(f, x, y, z, lx, ly, lz, soft):
    """How much of a soft light comes to a point."""
    lit, t = 1.0, 0.04
    for _ in range(26):
        d = distance(f, x + lx * t, y + ly * t, z + lz * t)
        lit = min(lit, 0.5 + 0.5 * d / (soft * t))
        if lit < 0:
            return 0.0
        t += clamp(d, 0.025, 0.16)
        if t > 1.8:
            break
    return step(max(lit, 0.0))


@njit
def trace(f, ox, oy, oz, dx, dy, dz, near):
    t = near
    what = 0
    for _ in range(110):
        d, what = scene(f, ox + dx * t, oy + dy * t, oz + dz * t)
        if d < 0.0008:
            return t, what
        t += d * 0.85
        if t > near + 4.2:
            return -1.0, 0
    return t, what


@njit
def render(f, c, lights, size, centre_y, scale, what, albedo, light, shine, normal, place, mark):
    far = 9.0
    for row in range(size):
        for column in range(size):
            u = (column + 0.5) / size * 2 - 1
            v = 1 - (row + 0.5) / size * 2
            dx, dy, dz = u * scale / far, v * scale / far, -1.0
            n = math.sqrt(dx * dx + dy * dy + dz * dz)
            dx, dy, dz = dx / n, dy / n, dz / n
            ox, oy, oz = 0.0, centre_y, far
            t, it = trace(f, ox, oy, oz, dx, dy, dz, far - 1.5)
            if t < 0:
                continue
            x, y, z = ox + dx * t, oy + dy * t, oz + dz * t
            e = 0.0022 if it != HAIR else 0.0035
            nx = distance(f, x + e, y, z) - distance(f, x - e, y, z)
            ny = distance(f, x, y + e, z) - distance(f, x, y - e, z)
            nz = distance(f, x, y, z + e) - distance(f, x, y, z - e)
            n = max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
            nx, ny, nz = nx / n, ny / n, nz / n
            what[row, column] = it
            normal[row, column, 0], normal[row, column, 1], normal[row, column, 2] = nx, ny, nz
            place[row, column, 0], place[row, column, 1], place[row, column, 2] = x, y, z
            gloss, ink, flash, wet = 0.1, 0.0, 0.0, 0.0
            tx, ty, tz = 0.0, 0.0, 0.0
            color = c.cloth
            wrap_r, wrap_g, wrap_b = 0.12, 0.12, 0.12
            if it == SKIN:
                color, gloss, ink = paint_skin(f, c, x, y, z)
                wrap_r, wrap_g, wrap_b = 0.55, 0.34, 0.26
            elif it == EYE:
                color, flash, wet = paint_eye(f, c, x, y)
                wrap_r, wrap_g, wrap_b = 0.5, 0.5, 0.5
            elif it == HAIR:
                furry = hair(f, x, y, z) > 0.02
                color, tx, ty, tz = paint_hair(f, c, x, y, z, furry)
                wrap_r, wrap_g, wrap_b = 0.3, 0.3, 0.3
            elif it == CLOTH:
                k = c.knit
                weave = 1 + k * (
                    0.05 * noise(x * 60, y * 60, z * 60)
                    + 0.06 * math.sin(70 * x + 2 * noise(x * 4, y * 4, z * 4)) * math.sin(85 * y)
                )
                color = times(c.cloth, weave)
                gloss = 0.02
            elif it == FRAME:
                color, gloss = c.frame, 0.9
            elif it == METAL:
                color, gloss = c.metal, 1.6
            open_sky = occlusion(f, x, y, z, nx, ny, nz)
            if it == EYE:
                open_sky = 0.35 + 0.65 * open_sky
            for k in range(3):
                albedo[row, column, k] = color[k]
            total_r, total_g, total_b = 0.0, 0.0, 0.0
            spec_r, spec_g, spec_b = 0.0, 0.0, 0.0
            for k in range(4):
                lx, ly, lz = lights[k, 0], lights[k, 1], lights[k, 2]
                c0 = nx * lx + ny * ly + nz * lz
                lit = 1.0
                if k < 2 and c0 > -0.5:
                    lit = reaches(f, x + nx * 0.01, y + ny * 0.01, z + nz * 0.01, lx, ly, lz, 0.30 if k == 0 else 0.6)
                if it == EYE:
                    lit = 0.4 + 0.6 * lit
                if it == HAIR and (tx * tx + ty * ty + tz * tz) > 0:
                    along = tx * lx + ty * ly + tz * lz
                    soft = math.sqrt(max(0.0, 1 - along * along))
                    c0 = 0.75 * c0 + 0.25 * (soft - 0.3)
                shadow_r = lit**0.75 if it == SKIN else lit
                total_r += lights[k, 3] * shadow_r * max(0.0, (c0 + wrap_r) / (1 + wrap_r)) ** 1.25
                total_g += lights[k, 4] * lit * max(0.0, (c0 + wrap_g) / (1 + wrap_g)) ** 1.25
                total_b += lights[k, 5] * lit * max(0.0, (c0 + wrap_b) / (1 + wrap_b)) ** 1.25
                hx, hy, hz = lx - dx, ly - dy, lz - dz
                n = math.sqrt(hx * hx + hy * hy + hz * hz)
                hx, hy, hz = hx / n, hy / n, hz / n
                if it == HAIR:
                    jitter = 0.12 * noise(x * 50, y * 6, z * 50)
                    qx, qy, qz = tx + nx * (0.05 + jitter), ty + ny * (0.05 + jitter), tz + nz * (0.05 + jitter)
                    n = max(math.sqrt(qx * qx + qy * qy + qz * qz), 1e-9)
                    along = (qx * hx + qy * hy + qz * hz) / n
                    power = math.sqrt(max(0.0, 1 - along * along))
                    amount = lit * max(0.0, 0.25 + 0.75 * c0)
                    s1 = 0.035 * power**90 * amount
                    s2 = 0.30 * power**18 * amount
                    spec_r += lights[k, 3] * (s1 + s2 * color[0] * 1.4)
                    spec_g += lights[k, 4] * (s1 + s2 * color[1] * 1.4)
                    spec_b += lights[k, 5] * (s1 + s2 * color[2] * 1.4)
                else:
                    ch = max(0.0, nx * hx + ny * hy + nz * hz)
                    s = 0.13 * ch**14 + 0.16 * ch**55
                    if it in (FRAME, METAL):
                        s = 0.5 * ch**30 + 0.9 * ch**140
                    s *= gloss * lit * step(c0 * 4)
                    spec_r += lights[k, 3] * s
                    spec_g += lights[k, 4] * s
                    spec_b += lights[k, 5] * s
            sky = 0.5 + 0.5 * ny
            ao_r = open_sky**0.75 if it == SKIN else open_sky
            total_r += ao_r * (0.20 + 0.13 * sky)
            total_g += open_sky * (0.17 + 0.17 * sky)
            total_b += open_sky**1.1 * (0.155 + 0.215 * sky)
            facing = 1 + nx * dx + ny * dy + nz * dz
            edge = max(0.0, facing) ** 3 * open_sky
            dim = 0.55 + 0.45 * open_sky
            light[row, column, 0], light[row, column, 1], light[row, column, 2] = (
                total_r * dim,
                total_g * dim,
                total_b * dim,
            )
            rim = 0.10 * edge * (0.15 + 0.85 * color[1])
            shine[row, column, 0] = spec_r + rim + flash * 1.1 + wet
            shine[row, column, 1] = spec_g + rim + flash * 1.1 + wet
            shine[row, column, 2] = spec_b + rim * 1.1 + flash * 1.15 + wet
            mark[row, column] = ink


def photograph(face: Face, colors: Colors, size: int, *, centre_y: float = -0.03, scale: float = 1.27) -> Buffers:
    """All buffers of a square picture."""

    def unit(v: NDArray[Any]) -> list[float]:
        return list(v / np.linalg.norm(v))

    lights = np.array([
        [*unit(KEY), 1.02, 0.94, 0.84],
        [*unit(FILL), 0.24, 0.26, 0.32],
        [*unit(RIM_LEFT), 0.34, 0.42, 0.55],
        [*unit(RIM_RIGHT), 0.62, 0.50, 0.38],
    ])  # fmt: skip
    one, three = (size, size), (size, size, 3)
    what, mark = np.zeros(one, np.float32), np.zeros(one, np.float32)
    albedo, light, shine, normal, place = (np.zeros(three, np.float32) for _ in range(5))
    render(face, colors, lights, size, centre_y, scale, what, albedo, light, shine, normal, place, mark)
    return Buffers(what, albedo, light, shine, normal, place, mark)
