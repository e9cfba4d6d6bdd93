"""Compiled kernels of the mesh renderer; `mesh.py` explains them."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkinghead.rendering.jit import kernel


@kernel
def rasterize_rows(
    row_start: int,
    row_stop: int,
    projected: Any,
    faces: Any,
    size: int,
    out_face: Any,
    out_weights: Any,
    out_depth: Any,
) -> None:
    """Rows [row_start, row_stop) of the raster, face by face inside each face's bounding box."""
    nearest = np.full((row_stop - row_start, size), np.inf)
    for row in range(row_start, row_stop):
        for column in range(size):
            out_face[row, column] = -1
            out_depth[row, column] = -1.0
            out_weights[row, column, 0] = -1.0
            out_weights[row, column, 1] = -1.0
            out_weights[row, column, 2] = -1.0
    for number in range(faces.shape[0]):
        ia, ib, ic = faces[number, 0], faces[number, 1], faces[number, 2]
        az, bz, cz = np.float64(projected[ia, 2]), np.float64(projected[ib, 2]), np.float64(projected[ic, 2])
        if min(az, bz, cz) < 1e-8:
            continue
        ay, by, cy = np.float64(projected[ia, 1]), np.float64(projected[ib, 1]), np.float64(projected[ic, 1])
        # w_j = 1 - (2 j + 1) / S, so j = (S (1 - w) - 1) / 2; a margin for rounding
        first_row = max(row_start, int(np.ceil((size * (1.0 - max(ay, by, cy)) - 1.0) / 2.0 - 1e-6)))
        last_row = min(row_stop - 1, int(np.floor((size * (1.0 - min(ay, by, cy)) - 1.0) / 2.0 + 1e-6)))
        if first_row > last_row:
            continue
        ax, bx, cx = np.float64(projected[ia, 0]), np.float64(projected[ib, 0]), np.float64(projected[ic, 0])
        first_column = max(0, int(np.ceil((size * (1.0 - max(ax, bx, cx)) - 1.0) / 2.0 - 1e-6)))
        last_column = min(size - 1, int(np.floor((size * (1.0 - min(ax, bx, cx)) - 1.0) / 2.0 + 1e-6)))
        if first_column > last_column:
            continue
        area = (cx - ax) * (by - ay) - (cy - ay) * (bx - ax)
        if not abs(area) > 1e-8:
            continue
        inverse = 1.0 / (area + 1e-8)
        scale_a, scale_b, scale_c = bz * cz * inverse, az * cz * inverse, az * bz * inverse
        for row in range(first_row, last_row + 1):
            py = 1.0 - (2.0 * row + 1.0) / size
            for column in range(first_column, last_column + 1):
                px = 1.0 - (2.0 * column + 1.0) / size
                wa = ((px - bx) * (cy - by) - (py - by) * (cx - bx)) * scale_a
                wb = ((px - cx) * (ay - cy) - (py - cy) * (ax - cx)) * scale_b
                wc = ((px - ax) * (by - ay) - (py - ay) * (bx - ax)) * scale_c
                if not (wa > 0.0 and wb > 0.0 and wc > 0.0):
                    continue
                norm = 1.0 / max(wa + wb + wc, 1e-8)
                wa, wb, wc = wa * norm, wb * norm, wc * norm
                depth = wa * az + wb * bz + wc * cz
                if depth < nearest[row - row_start, column]:
                    nearest[row - row_start, column] = depth
                    out_face[row, column] = number
                    out_depth[row, column] = depth
                    out_weights[row, column, 0] = wa
                    out_weights[row, column, 1] = wb
                    out_weights[row, column, 2] = wc


@kernel(contract=True)
def shade_rows(
    row_start: int,
    row_stop: int,
    face: Any,
    weights: Any,
    vertices: Any,
    faces: Any,
    normals: Any,
    colours: Any,
    parameters: Any,
    shininess: int,
    smooth: bool,
    image: Any,
) -> None:
    """Phong shading of rows [row_start, row_stop).

    Args:
        parameters: light xyz, eye xyz, ambient, diffuse, specular, colour rgb, background rgb.
    """
    lx, ly, lz, ex, ey, ez = (
        parameters[0],
        parameters[1],
        parameters[2],
        parameters[3],
        parameters[4],
        parameters[5],
    )
    ambient, diffuse, specular = parameters[6], parameters[7], parameters[8]
    one, zero = np.float32(1.0), np.float32(0.0)
    for row in range(row_start, row_stop):
        for column in range(face.shape[1]):
            number = face[row, column]
            if number < 0:
                image[row, column, 0] = parameters[12]
                image[row, column, 1] = parameters[13]
                image[row, column, 2] = parameters[14]
                continue
            ia, ib, ic = faces[number, 0], faces[number, 1], faces[number, 2]
            wa, wb, wc = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
            px = wa * vertices[ia, 0] + wb * vertices[ib, 0] + wc * vertices[ic, 0]
            py = wa * vertices[ia, 1] + wb * vertices[ib, 1] + wc * vertices[ic, 1]
            pz = wa * vertices[ia, 2] + wb * vertices[ib, 2] + wc * vertices[ic, 2]
            if smooth:
                nx = wa * normals[ia, 0] + wb * normals[ib, 0] + wc * normals[ic, 0]
                ny = wa * normals[ia, 1] + wb * normals[ib, 1] + wc * normals[ic, 1]
                nz = wa * normals[ia, 2] + wb * normals[ib, 2] + wc * normals[ic, 2]
            else:
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
                nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            norm = one / max(np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-6 if smooth else 1e-20))
            nx, ny, nz = nx * norm, ny * norm, nz * norm
            dx, dy, dz = lx - px, ly - py, lz - pz
            norm = one / max(np.sqrt(dx * dx + dy * dy + dz * dz), np.float32(1e-6))
            dx, dy, dz = dx * norm, dy * norm, dz * norm
            cosine = nx * dx + ny * dy + nz * dz
            shine = zero
            if cosine > zero:
                rx, ry, rz = (
                    np.float32(2.0) * cosine * nx - dx,
                    np.float32(2.0) * cosine * ny - dy,
                    np.float32(2.0) * cosine * nz - dz,
                )
                vx, vy, vz = ex - px, ey - py, ez - pz
                norm = one / max(np.sqrt(vx * vx + vy * vy + vz * vz), np.float32(1e-6))
                base = max(zero, (vx * rx + vy * ry + vz * rz) * norm)
                shine = one
                for _ in range(shininess):
                    shine *= base
            light = ambient + diffuse * max(zero, cosine)
            for channel in range(3):
                if colours.shape[0] > 0:
                    base_colour = wa * colours[ia, channel] + wb * colours[ib, channel] + wc * colours[ic, channel]
                else:
                    base_colour = parameters[9 + channel]
                image[row, column, channel] = light * base_colour + specular * shine


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


@kernel(contract=True)
def resolve_rows(row_start: int, row_stop: int, samples: int, image: Any, face: Any, background: Any, out: Any) -> None:
    """Mean of samples x samples colours per pixel, as uint8; uncovered samples show the background.

    Args:
        image: [S * samples, S * samples, 3] float32 in [0, 1].
        face: [S * samples, S * samples] int32, -1 where nothing is seen.
        background: [S, S, 3] float32 in [0, 1], or empty to take the colours as they are.
        out: [S, S, 3] uint8; truncated with one sample (as published), rounded with more.
    """
    share = np.float32(255.0 / (samples * samples))
    half = np.float32(0.0) if samples == 1 else np.float32(0.5)
    has_background = background.shape[0] > 0
    for row in range(row_start, row_stop):
        for column in range(out.shape[1]):
            red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for i in range(row * samples, (row + 1) * samples):
                for j in range(column * samples, (column + 1) * samples):
                    if has_background and face[i, j] < 0:
                        red += background[row, column, 0]
                        green += background[row, column, 1]
                        blue += background[row, column, 2]
                    else:
                        red += image[i, j, 0]
                        green += image[i, j, 1]
                        blue += image[i, j, 2]
            out[row, column, 0] = np.uint8(min(red * share + half, np.float32(255.0)))
            out[row, column, 1] = np.uint8(min(green * share + half, np.float32(255.0)))
            out[row, column, 2] = np.uint8(min(blue * share + half, np.float32(255.0)))
