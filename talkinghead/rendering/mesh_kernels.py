"""Compiled kernels of the mesh renderer; `mesh.py` explains them."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkinghead.rendering.jit import kernel

EDGES = 16
"""Numbers per face that `prepare_faces` writes."""


@kernel
def prepare_faces(projected: Any, faces: Any, size: int, edges: Any, rows: Any) -> None:
    """What a face needs to be drawn, in pixels (column + 0.5 is the middle of a pixel).

    Args:
        projected: [V, 3] float32 (u, w, depth).
        edges: [F, 16] float64, filled: per corner the plane a x + b y + c of its share (1 at the corner, 0 on the side
            across), then the plane of inverse depth, then 1 / a per corner, and one place that is not used.
        rows: [F, 2] float64, filled: lowest and highest y; an empty interval where the face is not drawn.
    """
    half = 0.5 * size
    for number in range(faces.shape[0]):
        ia, ib, ic = faces[number, 0], faces[number, 1], faces[number, 2]
        rows[number, 0], rows[number, 1] = 1e30, -1e30
        az, bz, cz = np.float64(projected[ia, 2]), np.float64(projected[ib, 2]), np.float64(projected[ic, 2])
        if not min(az, bz, cz) >= 1e-8:
            continue
        ax, ay = half * (1.0 - projected[ia, 0]), half * (1.0 - projected[ia, 1])
        bx, by = half * (1.0 - projected[ib, 0]), half * (1.0 - projected[ib, 1])
        cx, cy = half * (1.0 - projected[ic, 0]), half * (1.0 - projected[ic, 1])
        area = (cx - ax) * (by - ay) - (cy - ay) * (bx - ax)
        if not abs(area) > 1e-8 * half * half:
            continue
        scale = 1.0 / area
        a0, b0 = (cy - by) * scale, (bx - cx) * scale
        a1, b1 = (ay - cy) * scale, (cx - ax) * scale
        a2, b2 = (by - ay) * scale, (ax - bx) * scale
        edges[number, 0], edges[number, 1], edges[number, 2] = a0, b0, -(a0 * bx + b0 * by)
        edges[number, 3], edges[number, 4], edges[number, 5] = a1, b1, -(a1 * cx + b1 * cy)
        edges[number, 6], edges[number, 7], edges[number, 8] = a2, b2, -(a2 * ax + b2 * ay)
        za, zb, zc = 1.0 / az, 1.0 / bz, 1.0 / cz
        edges[number, 9] = a0 * za + a1 * zb + a2 * zc
        edges[number, 10] = b0 * za + b1 * zb + b2 * zc
        edges[number, 11] = edges[number, 2] * za + edges[number, 5] * zb + edges[number, 8] * zc
        edges[number, 12] = 0.0 if a0 == 0.0 else 1.0 / a0
        edges[number, 13] = 0.0 if a1 == 0.0 else 1.0 / a1
        edges[number, 14] = 0.0 if a2 == 0.0 else 1.0 / a2
        rows[number, 0], rows[number, 1] = min(ay, by, cy), max(ay, by, cy)


@kernel(inline=True)
def _inside(column: int, a0: float, a1: float, a2: float, r0: float, r1: float, r2: float) -> bool:
    return a0 * column + r0 > 0.0 and a1 * column + r1 > 0.0 and a2 * column + r2 > 0.0


@kernel(inline=True)
def _exact_span(
    start: int, stop: int, size: int, a0: float, a1: float, a2: float, r0: float, r1: float, r2: float
) -> tuple[int, int]:
    """The columns of a row that lie inside, from about them: for middles that lie on a side."""
    while start > 0 and _inside(start - 1, a0, a1, a2, r0, r1, r2):
        start -= 1
    while start < stop and not _inside(start, a0, a1, a2, r0, r1, r2):
        start += 1
    while stop < size and _inside(stop, a0, a1, a2, r0, r1, r2):
        stop += 1
    while stop > start and not _inside(stop - 1, a0, a1, a2, r0, r1, r2):
        stop -= 1
    return start, stop


@kernel
def cover_rows(
    row_start: int, row_stop: int, size: int, places: Any, edges: Any, rows: Any, out_face: Any, nearest: Any
) -> None:
    """Find the nearest face of every sample of the pixel rows [row_start, row_stop).

    Args:
        places: [n] where in its pixel, from left to right, the sample of each of the n lines of a pixel row lies.
        out_face: [(row_stop - row_start) n, size] int32, filled; -1 where nothing is seen.
        nearest: the same shape, float, filled with inverse depth; 0 where nothing is seen.
    """
    count = places.shape[0]
    step = 1.0 / count
    for line in range((row_stop - row_start) * count):
        for column in range(size):
            out_face[line, column] = -1
            nearest[line, column] = 0.0
    last_line = (row_stop - row_start) * count - 1
    for number in range(rows.shape[0]):
        low, high = rows[number, 0], rows[number, 1]
        if low >= row_stop or high <= row_start:
            continue
        first = max(0, int(np.ceil((low - row_start) * count - 0.5 - 1e-6)))
        last = min(last_line, int(np.floor((high - row_start) * count - 0.5 + 1e-6)))
        a0, a1, a2 = edges[number, 0], edges[number, 3], edges[number, 6]
        b0, b1, b2 = edges[number, 1], edges[number, 4], edges[number, 7]
        c0, c1, c2 = edges[number, 2], edges[number, 5], edges[number, 8]
        # where each share is 0 on a line: x = p y + q
        p0, q0 = -b0 * edges[number, 12], -c0 * edges[number, 12]
        p1, q1 = -b1 * edges[number, 13], -c1 * edges[number, 13]
        p2, q2 = -b2 * edges[number, 14], -c2 * edges[number, 14]
        slope, slope_y, near_0 = edges[number, 9], edges[number, 10], edges[number, 11]
        level = a0 == 0.0 or a1 == 0.0 or a2 == 0.0
        for line in range(first, last + 1):
            y = row_start + (line + 0.5) * step
            x = places[line % count]
            if level and (
                (a0 == 0.0 and not b0 * y + c0 > 0.0)
                or (a1 == 0.0 and not b1 * y + c1 > 0.0)
                or (a2 == 0.0 and not b2 * y + c2 > 0.0)
            ):
                continue
            t0, t1, t2 = p0 * y + q0, p1 * y + q1, p2 * y + q2
            left = max(t0 if a0 > 0.0 else -1.0, t1 if a1 > 0.0 else -1.0, t2 if a2 > 0.0 else -1.0) - x
            right = min(t0 if a0 < 0.0 else 1e9, t1 if a1 < 0.0 else 1e9, t2 if a2 < 0.0 else 1e9) - x
            if not left < right:
                continue
            start = max(0, int(np.floor(left)) + 1)
            stop = min(size, int(np.ceil(right)))
            if count == 1:  # the published rule to the bit of a pixel whose middle lies on a side
                r0, r1, r2 = b0 * y + c0 + a0 * x, b1 * y + c1 + a1 * x, b2 * y + c2 + a2 * x
                start, stop = _exact_span(start, stop, size, a0, a1, a2, r0, r1, r2)
            base = slope_y * y + near_0 + slope * x
            for column in range(start, stop):
                near = base + slope * column
                if near > nearest[line, column]:
                    nearest[line, column] = near
                    out_face[line, column] = number


@kernel
def weigh_points(
    count: int, numbers: Any, xs: Any, ys: Any, edges: Any, projected: Any, faces: Any, weights: Any
) -> None:
    """Perspective-correct shares of faces' corners at `count` places of the picture, clamped to the faces.

    Args:
        numbers: [n] faces. xs, ys: [n] places in pixels.
        weights: [3, n] float32, filled.
    """
    for i in range(count):
        number, x, y = numbers[i], xs[i], ys[i]
        za = np.float64(projected[faces[number, 0], 2])
        zb = np.float64(projected[faces[number, 1], 2])
        zc = np.float64(projected[faces[number, 2], 2])
        la = edges[number, 0] * x + edges[number, 1] * y + edges[number, 2]
        lb = edges[number, 3] * x + edges[number, 4] * y + edges[number, 5]
        lc = edges[number, 6] * x + edges[number, 7] * y + edges[number, 8]
        wa = (la if la > 0.0 else 0.0) * (zb * zc)
        wb = (lb if lb > 0.0 else 0.0) * (za * zc)
        wc = (lc if lc > 0.0 else 0.0) * (za * zb)
        norm = 1.0 / (wa + wb + wc + 1e-300)
        weights[0, i], weights[1, i], weights[2, i] = wa * norm, wb * norm, wc * norm


@kernel
def weigh_rows(
    row_start: int, row_stop: int, face: Any, edges: Any, projected: Any, faces: Any, out_weights: Any
) -> None:
    """Barycentric coordinates of the pixels' middles in rows [row_start, row_stop); -1 where no face is seen."""
    width = face.shape[1]
    numbers, weights = np.empty(width, np.int32), np.empty((3, width), np.float32)
    xs, ys = np.empty(width), np.empty(width)
    for row in range(row_start, row_stop):
        count = 0
        for column in range(width):
            if face[row, column] >= 0:
                numbers[count], xs[count], ys[count] = face[row, column], column + 0.5, row + 0.5
                count += 1
        weigh_points(count, numbers, xs, ys, edges, projected, faces, weights)
        count = 0
        for column in range(width):
            seen = face[row, column] >= 0
            for corner in range(3):
                out_weights[row, column, corner] = weights[corner, count] if seen else np.float32(-1.0)
            count += seen


@kernel(contract=True)
def _textured(
    count: int, numbers: Any, weights: Any, texture: Any, texture_points: Any, texture_faces: Any, points: Any
) -> None:
    """Bilinear texels, edges held, into rows 6 to 8 of `points`; v = 0 is the lowest row of the texture.

    Faces whose first texture point is negative have no texture.
    """
    height, width = texture.shape[0], texture.shape[1]
    zero, one = np.float32(0.0), np.float32(1.0)
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    for i in range(count):
        number = numbers[i]
        if texture_faces[number, 0] < 0:
            continue
        ta, tb, tc = texture_faces[number, 0], texture_faces[number, 1], texture_faces[number, 2]
        wa, wb, wc = weights[0, i], weights[1, i], weights[2, i]
        u = wa * texture_points[ta, 0] + wb * texture_points[tb, 0] + wc * texture_points[tc, 0]
        v = wa * texture_points[ta, 1] + wb * texture_points[tb, 1] + wc * texture_points[tc, 1]
        x = min(max(u * np.float32(width) - np.float32(0.5), zero), last_x)
        y = min(max((one - v) * np.float32(height) - np.float32(0.5), zero), last_y)
        left, top = int(x), int(y)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        fx, fy = x - np.float32(left), (y - np.float32(top)) * np.float32(1.0 / 255.0)
        gy = np.float32(1.0 / 255.0) - fy
        for channel in range(3):
            upper = (one - fx) * texture[top, left, channel] + fx * texture[top, right, channel]
            lower = (one - fx) * texture[bottom, left, channel] + fx * texture[bottom, right, channel]
            points[6 + channel, i] = gy * upper + fy * lower


@kernel(contract=True)
def look_up(
    count: int, numbers: Any, weights: Any, vertices: Any, faces: Any, normals: Any, colours: Any, texture: Any,
    texture_points: Any, texture_faces: Any, parameters: Any, smooth: bool, points: Any,
) -> None:  # fmt: skip
    """Position, normal and surface colour of `count` places of faces.

    Args:
        numbers: [n] faces. weights: [3, n] shares of their corners.
        points: [10, n] float32, rows 0 to 8 filled.
    """
    for i in range(count):
        number = numbers[i]
        ia, ib, ic = faces[number, 0], faces[number, 1], faces[number, 2]
        wa, wb, wc = weights[0, i], weights[1, i], weights[2, i]
        for axis in range(3):
            points[axis, i] = wa * vertices[ia, axis] + wb * vertices[ib, axis] + wc * vertices[ic, axis]
            points[3 + axis, i] = wa * normals[ia, axis] + wb * normals[ib, axis] + wc * normals[ic, axis]
    if not smooth:
        for i in range(count):
            number = numbers[i]
            ia, ib, ic = faces[number, 0], faces[number, 1], faces[number, 2]
            ux, uy, uz = (
                vertices[ic, 0] - vertices[ib, 0],
                vertices[ic, 1] - vertices[ib, 1],
                vertices[ic, 2] - vertices[ib, 2],
            )
            vx, vy, vz = (
                vertices[ia, 0] - vertices[ib, 0],
                vertices[ia, 1] - vertices[ib, 1],
                vertices[ia, 2] - vertices[ib, 2],
            )
            points[3, i], points[4, i], points[5, i] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            norm = np.float32(1.0) / np.sqrt(
                points[3, i] ** 2 + points[4, i] ** 2 + points[5, i] ** 2 + np.float32(1e-30)
            )
            for axis in range(3, 6):
                points[axis, i] *= norm
    if colours.shape[0] > 0:
        for i in range(count):
            number = numbers[i]
            ia, ib, ic = faces[number, 0], faces[number, 1], faces[number, 2]
            wa, wb, wc = weights[0, i], weights[1, i], weights[2, i]
            for channel in range(3):
                points[6 + channel, i] = (
                    wa * colours[ia, channel] + wb * colours[ib, channel] + wc * colours[ic, channel]
                )
    else:
        for channel in range(3):
            points[6 + channel, :count] = parameters[9 + channel]
    if texture.shape[0] > 0:
        _textured(count, numbers, weights, texture, texture_points, texture_faces, points)


@kernel(contract=True)
def light_points(count: int, points: Any, parameters: Any, shininess: int, base: Any, shine: Any) -> None:
    """Phong shading of the first `count` columns of `points`: their colours become the light that they send.

    Args:
        points: [10, n] float32: position, normal (any length), surface colour, and one row of working space.
        parameters: light xyz, eye xyz, ambient, diffuse, specular, colour rgb, background rgb, wrap, sky, rim.
        base, shine: [n] float32, working space.
    """
    lx, ly, lz, ex, ey, ez = (
        parameters[0], parameters[1], parameters[2], parameters[3], parameters[4], parameters[5],
    )  # fmt: skip
    ambient, diffuse, specular = parameters[6], parameters[7], parameters[8]
    wrap, sky, rim = parameters[15], parameters[16], parameters[17]
    one, zero, two, nothing = np.float32(1.0), np.float32(0.0), np.float32(2.0), np.float32(1e-30)
    unwrap = one / (one + wrap)
    for i in range(count):
        px, py, pz = points[0, i], points[1, i], points[2, i]
        nx, ny, nz = points[3, i], points[4, i], points[5, i]
        norm = one / np.sqrt(nx * nx + ny * ny + nz * nz + nothing)
        nx, ny, nz = nx * norm, ny * norm, nz * norm
        dx, dy, dz = lx - px, ly - py, lz - pz
        norm = one / np.sqrt(dx * dx + dy * dy + dz * dz + nothing)
        dx, dy, dz = dx * norm, dy * norm, dz * norm
        vx, vy, vz = ex - px, ey - py, ez - pz
        norm = one / np.sqrt(vx * vx + vy * vy + vz * vz + nothing)
        vx, vy, vz = vx * norm, vy * norm, vz * norm
        cosine = nx * dx + ny * dy + nz * dz
        rx, ry, rz = two * cosine * nx - dx, two * cosine * ny - dy, two * cosine * nz - dz
        reflected = vx * rx + vy * ry + vz * rz
        base[i] = reflected if (cosine > zero) & (reflected > zero) else zero
        shine[i] = specular
        away = one - abs(vx * nx + vy * ny + vz * nz)
        upper = np.float32(0.4) + np.float32(0.6) * ny
        points[9, i] = rim * away * away * away * (upper if upper > zero else zero)
        lit = (cosine + wrap) * unwrap
        points[0, i] = ambient + diffuse * (lit if lit > zero else zero) + sky * ny
    for _ in range(shininess):
        for i in range(count):
            shine[i] *= base[i]
    for i in range(count):
        light, gloss = points[0, i], shine[i] + points[9, i]
        points[6, i] = light * points[6, i] + gloss
        points[7, i] = light * points[7, i] + gloss
        points[8, i] = light * points[8, i] + gloss


@kernel(contract=True)
def shade_rows(
    row_start: int, row_stop: int, face: Any, weights: Any, vertices: Any, faces: Any, normals: Any, colours: Any,
    texture: Any, texture_points: Any, texture_faces: Any, parameters: Any, shininess: int, smooth: bool, image: Any,
) -> None:  # fmt: skip
    """Colours of the pixels' middles in rows [row_start, row_stop): [S, S, 3] float32."""
    width = face.shape[1]
    points, shares = np.empty((10, width), np.float32), np.empty((3, width), np.float32)
    numbers = np.empty(width, np.int32)
    base, shine = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(row_start, row_stop):
        count = 0
        for column in range(width):
            if face[row, column] >= 0:
                numbers[count] = face[row, column]
                for corner in range(3):
                    shares[corner, count] = weights[row, column, corner]
                count += 1
        look_up(
            count, numbers, shares, vertices, faces, normals, colours, texture, texture_points, texture_faces,
            parameters, smooth, points,
        )  # fmt: skip
        light_points(count, points, parameters, shininess, base, shine)
        count = 0
        for column in range(width):
            seen = face[row, column] >= 0
            for channel in range(3):
                image[row, column, channel] = points[6 + channel, count] if seen else parameters[12 + channel]
            count += seen


@kernel(contract=True)
def face_normals(start: int, stop: int, vertices: Any, faces: Any, out: Any) -> None:
    """Cross products (C - B) x (A - B) of faces [start, stop): twice the area along the normal."""
    for number in range(start, stop):
        ia, ib, ic = faces[number, 0], faces[number, 1], faces[number, 2]
        ux, uy, uz = (
            vertices[ic, 0] - vertices[ib, 0],
            vertices[ic, 1] - vertices[ib, 1],
            vertices[ic, 2] - vertices[ib, 2],
        )
        vx, vy, vz = (
            vertices[ia, 0] - vertices[ib, 0],
            vertices[ia, 1] - vertices[ib, 1],
            vertices[ia, 2] - vertices[ib, 2],
        )
        out[number, 0] = uy * vz - uz * vy
        out[number, 1] = uz * vx - ux * vz
        out[number, 2] = ux * vy - uy * vx


@kernel
def sum_normals(faces: Any, of_faces: Any, out: Any) -> None:
    """Add the faces' normals at their vertices and make them unit vectors (length at least 1e-6)."""
    sums = np.zeros((out.shape[0], 3), np.float64)
    for number in range(faces.shape[0]):
        for corner in range(3):
            vertex = faces[number, corner]
            for axis in range(3):
                sums[vertex, axis] += of_faces[number, axis]
    for vertex in range(out.shape[0]):
        x, y, z = sums[vertex, 0], sums[vertex, 1], sums[vertex, 2]
        norm = 1.0 / max(np.sqrt(x * x + y * y + z * z), 1e-6)
        out[vertex, 0] = x * norm
        out[vertex, 1] = y * norm
        out[vertex, 2] = z * norm


@kernel(inline=True)
def _touch(faces: Any, one: int, other: int) -> bool:
    """Two faces share a corner."""
    shared = False
    for i in range(3):
        for j in range(3):
            shared |= faces[one, i] == faces[other, j]
    return shared


@kernel(inline=True)
def _group_samples(
    line: int, column: int, row: int, total: int, face: Any, faces: Any, places: Any, smooth: bool, numbers: Any,
    share: Any, xs: Any, ys: Any,
) -> tuple[int, int]:  # fmt: skip
    """Put the surfaces that a pixel's samples see behind the first `total` points, each in the middle of its samples.

    Returns:
        How many points there are then, and how many samples see a surface.
    """
    count = places.shape[0]
    seen, start = 0, total
    for sample in range(count):
        number = face[line + sample, column]
        if number < 0:
            continue
        seen += 1
        place = total
        for earlier in range(start, total):
            other = numbers[earlier]
            if other == number or (smooth and _touch(faces, other, number)):
                place = earlier
                break
        if place == total:
            total += 1
            numbers[place], share[place], xs[place], ys[place] = number, 0.0, 0.0, 0.0
        share[place] += 1.0
        xs[place] += places[sample]
        ys[place] += (sample + 0.5) / count
    for place in range(start, total):
        xs[place] = column + xs[place] / share[place]
        ys[place] = row + ys[place] / share[place]
        share[place] /= seen
    return total, seen


@kernel(inline=True)
def _one_surface(line: int, column: int, count: int, face: Any) -> bool:
    """All samples of a pixel see the same face, or none."""
    same = True
    for sample in range(1, count):
        same = same and face[line + sample, column] == face[line, column]
    return same


@kernel(contract=True, inline=True)
def _sum_colours(first: int, stop: int, share: Any, points: Any) -> Any:
    """Red, green and blue of a pixel's surfaces, weighted by their samples."""
    red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for slot in range(first, stop):
        red += share[slot] * points[6, slot]
        green += share[slot] * points[7, slot]
        blue += share[slot] * points[8, slot]
    return red, green, blue


@kernel(contract=True)
def draw_rows(
    row_start: int, row_stop: int, size: int, places: Any, edges: Any, rows: Any, projected: Any, vertices: Any,
    faces: Any, normals: Any, colours: Any, texture: Any, texture_points: Any, texture_faces: Any, parameters: Any,
    shininess: int, smooth: bool, background: Any, out: Any,
) -> None:  # fmt: skip
    """Draw rows [row_start, row_stop) of a picture, a band of rows at a time.

    A pixel whose samples see one surface is shaded once in the middle of them; one that sees several, once per surface,
    weighted by samples. Neighbouring faces of a smooth surface are one surface.

    Args:
        background: [S, S, 3] uint8, or empty for the colour of the parameters.
        out: [S, S, 3] uint8, or [S, S, 4] for transparency (colours not multiplied by it). With one sample colours are
            truncated (as published), with more rounded.
    """
    count = places.shape[0]
    band = 32
    depth = np.empty((band * count, size), np.float32) if count > 1 else np.empty((0, size), np.float32)
    exact = np.empty((band, size), np.float64) if count == 1 else np.empty((0, size), np.float64)
    face = np.empty((band * count, size), np.int32)
    points = np.empty((10, size * count), np.float32)
    base, shine = np.empty(size * count, np.float32), np.empty(size * count, np.float32)
    share, numbers = np.empty(size * count, np.float32), np.empty(size * count, np.int32)
    weights = np.empty((3, size * count), np.float32)
    xs, ys = np.empty(size * count), np.empty(size * count)
    shown, covered = np.empty(size, np.int32), np.empty(size, np.int32)
    transparent = out.shape[2] == 4
    has_picture = background.shape[0] > 0
    full, half = np.float32(255.0), np.float32(0.0 if count == 1 else 0.5)
    for top in range(row_start, row_stop, band):
        bottom = min(top + band, row_stop)
        if count == 1:
            cover_rows(top, bottom, size, places, edges, rows, face, exact)
        else:
            cover_rows(top, bottom, size, places, edges, rows, face, depth)
        for row in range(top, bottom):
            line = (row - top) * count
            total = 0
            for column in range(size):
                shown[column] = 0
                number = face[line, column]
                if _one_surface(line, column, count, face):
                    covered[column] = 0 if number < 0 else count
                    if number < 0:
                        continue
                    numbers[total], share[total] = number, 1.0
                    xs[total], ys[total] = column + 0.5, row + 0.5
                    shown[column] = 1
                    total += 1
                    continue
                start = total
                total, covered[column] = _group_samples(
                    line, column, row, total, face, faces, places, smooth, numbers, share, xs, ys
                )
                shown[column] = total - start
            weigh_points(total, numbers, xs, ys, edges, projected, faces, weights)
            look_up(
                total, numbers, weights, vertices, faces, normals, colours, texture, texture_points, texture_faces,
                parameters, smooth, points,
            )  # fmt: skip
            light_points(total, points, parameters, shininess, base, shine)
            slot = 0
            for column in range(size):
                red, green, blue = _sum_colours(slot, slot + shown[column], share, points)
                slot += shown[column]
                seen = covered[column]
                if transparent:
                    out[row, column, 3] = np.uint8((255 * seen + count // 2) // count)
                elif seen < count:
                    part = np.float32(seen) / np.float32(count)
                    rest = np.float32(1.0) - part
                    red, green, blue = red * part, green * part, blue * part
                    if has_picture:
                        rest *= np.float32(1.0 / 255.0)
                        red += rest * background[row, column, 0]
                        green += rest * background[row, column, 1]
                        blue += rest * background[row, column, 2]
                    else:
                        red += rest * parameters[12]
                        green += rest * parameters[13]
                        blue += rest * parameters[14]
                out[row, column, 0] = np.uint8(max(min(red * full + half, full), np.float32(0.0)))
                out[row, column, 1] = np.uint8(max(min(green * full + half, full), np.float32(0.0)))
                out[row, column, 2] = np.uint8(max(min(blue * full + half, full), np.float32(0.0)))
