"""The Gaussian rasteriser for processors: compiled, tiles in parallel; same names as `rasterize_reference`.

    project_range  per Gaussian: ellipse, radius, tiles, extent          chunks in parallel
    sort_by_depth  stable radix sort of the visible ones
    count / fill   lists of every tile, in depth order                   chunks in parallel
    composite_tile per tile row of 16 pixels, front to back              rows of tiles in parallel

Nothing is left out that would change a pixel: a Gaussian is skipped in a tile or a row of pixels only where its alpha
is certainly below 1/255, and a tile ends when all of its pixels have ended. Results do not depend on the number of
threads: every tile is drawn by one thread, in one order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray
from talkinghead.cores import available_cores
from talkinghead.rendering.cameras import Camera
from talkinghead.rendering.gaussians import (
    ALPHA_MAX,
    ALPHA_MIN,
    BLUR,
    FRUSTUM_MARGIN,
    MAX_RADIUS,
    MIN_ROOT,
    NEAR_CUT_Z,
    TILE,
    TRANSMITTANCE_MIN,
    W_EPSILON,
    GaussianCloud,
    Raster,
    tile_grid,
)
from talkinghead.rendering.jit import chunks, kernel, spread
from talkinghead.rendering.simd import (
    count,
    float_bits,
    larger,
    load,
    multiply_add,
    power_of_two,
    prefetch,
    ramp,
    select,
    smaller,
    splat,
    store,
)

F = np.float32

X, Y, CONIC_XX, CONIC_XY, CONIC_YY, OPACITY, Z, HALF_X, HALF_Y, FAINT = range(10)
"""Columns of the packed Gaussians: centre, inverse covariance, opacity, depth, half sizes of the box outside which
alpha is below 1/255, and an exponent below which it certainly is."""
FIRST_SHADE = 10
"""First colour channel, where they all fit into the rest of the row; more channels stay in their own array."""
NUM_PACKED = 16
"""A row is one line of the processor's cache."""
PREFETCH = 8
"""Entries of a tile's list that are asked from memory before they are needed."""
FAINT_MARGIN = 1e-4
"""Exponents are trusted to this where they decide that alpha is below 1/255."""
NOT_VISIBLE = np.uint32(0xFFFFFFFF)
"""Sort key of a dropped Gaussian; keys of others are the bits of their positive depth."""

_EXP_TERMS = tuple(F(math.log(2) ** k / math.factorial(k)) for k in range(7))
"""2^x near 0."""
_LOG2_E = F(math.log2(math.e))
_ROUNDER = F(12582912.0)
"""1.5 * 2^23: adding and subtracting it rounds a float32 to an integer."""


@kernel(inline=True)
def _exp(x: Any) -> Any:
    """exp of 16 float32 in [-80, 0], within 3e-7 relative."""
    scaled = x * splat(_LOG2_E)
    shifted = scaled + splat(_ROUNDER)
    part = scaled - (shifted - splat(_ROUNDER))
    value = multiply_add(splat(_EXP_TERMS[6]), part, splat(_EXP_TERMS[5]))
    value = multiply_add(value, part, splat(_EXP_TERMS[4]))
    value = multiply_add(value, part, splat(_EXP_TERMS[3]))
    value = multiply_add(value, part, splat(_EXP_TERMS[2]))
    value = multiply_add(value, part, splat(_EXP_TERMS[1]))
    value = multiply_add(value, part, splat(_EXP_TERMS[0]))
    return value * power_of_two(shifted)


@kernel(inline=True)
def _tile_bound(position: Any, num_tiles: Any) -> Any:
    """int(position / 16) toward zero, limited to the grid before the conversion so that it cannot overflow."""
    tile = position / F(TILE)
    if not tile > F(0):
        return 0
    if tile >= F(num_tiles):
        return num_tiles
    return int(tile)


@kernel(inline=True)
def _well_formed(means: Any, scales: Any, rotations: Any, opacity: Any, colors: Any, i: int) -> bool:
    """Every number of a Gaussian is finite, no scale is negative and one is positive."""
    zero = F(0)
    s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
    zeros = (means[i, 0] * zero + means[i, 1] * zero + means[i, 2] * zero) + (s0 * zero + s1 * zero + s2 * zero)
    for part in range(4):
        zeros += rotations[i, part] * zero
    zeros += opacity * zero  # NaN by now if any is not finite
    for channel in range(colors.shape[1]):
        zeros += colors[i, channel] * zero
    return bool(zeros == zero and min(s0, s1, s2) >= zero and max(s0, s1, s2) > zero)


@kernel
def project_range(
    start: int,
    stop: int,
    means: Any,
    scales: Any,
    rotations: Any,
    opacities: Any,
    colors: Any,
    view: Any,
    full: Any,
    tan_x: Any,
    tan_y: Any,
    focal_x: Any,
    focal_y: Any,
    width: int,
    height: int,
    packed: Any,
    rect: Any,
    radii: Any,
    keys: Any,
) -> None:
    """Project Gaussians [start, stop): fills their rows of `packed`, `rect` (tiles, int16), `radii` and `keys`.

    Float32 in the order of `rasterize_reference.project`, without fused multiply-add, so that both agree to the bit.
    """
    zero, one, two, half = F(0), F(1), F(2), F(0.5)
    across, down = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    limit_x, limit_y = FRUSTUM_MARGIN * tan_x, FRUSTUM_MARGIN * tan_y
    for i in range(start, stop):
        radii[i] = 0
        keys[i] = NOT_VISIBLE
        mx, my, mz = means[i, 0], means[i, 1], means[i, 2]
        s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
        qw, qx, qy, qz = rotations[i, 0], rotations[i, 1], rotations[i, 2], rotations[i, 3]
        opacity = opacities[i]
        if not _well_formed(means, scales, rotations, opacity, colors, i):
            continue
        tz = ((mx * view[0, 2] + my * view[1, 2]) + mz * view[2, 2]) + view[3, 2]
        if not tz > NEAR_CUT_Z:
            continue
        tx = ((mx * view[0, 0] + my * view[1, 0]) + mz * view[2, 0]) + view[3, 0]
        ty = ((mx * view[0, 1] + my * view[1, 1]) + mz * view[2, 1]) + view[3, 1]
        px = ((mx * full[0, 0] + my * full[1, 0]) + mz * full[2, 0]) + full[3, 0]
        py = ((mx * full[0, 1] + my * full[1, 1]) + mz * full[2, 1]) + full[3, 1]
        pw = ((mx * full[0, 3] + my * full[1, 3]) + mz * full[2, 3]) + full[3, 3]
        inverse_w = one / (pw + W_EPSILON)
        x = F(((np.float64(px * inverse_w) + 1.0) * width - 1.0) * 0.5)
        y = F(((np.float64(py * inverse_w) + 1.0) * height - 1.0) * 0.5)

        # 3D covariance: rows of R diag(scale)
        m00 = (one - two * (qy * qy + qz * qz)) * s0
        m01 = (two * (qx * qy - qw * qz)) * s1
        m02 = (two * (qx * qz + qw * qy)) * s2
        m10 = (two * (qx * qy + qw * qz)) * s0
        m11 = (one - two * (qx * qx + qz * qz)) * s1
        m12 = (two * (qy * qz - qw * qx)) * s2
        m20 = (two * (qx * qz - qw * qy)) * s0
        m21 = (two * (qy * qz + qw * qx)) * s1
        m22 = (one - two * (qx * qx + qy * qy)) * s2
        xx = (m00 * m00 + m01 * m01) + m02 * m02
        xy = (m00 * m10 + m01 * m11) + m02 * m12
        xz = (m00 * m20 + m01 * m21) + m02 * m22
        yy = (m10 * m10 + m11 * m11) + m12 * m12
        yz = (m10 * m20 + m11 * m21) + m12 * m22
        zz = (m20 * m20 + m21 * m21) + m22 * m22

        # 2D covariance by the local affine approximation
        cx = min(limit_x, max(-limit_x, tx / tz)) * tz
        cy = min(limit_y, max(-limit_y, ty / tz)) * tz
        j00, j02 = focal_x / tz, -(focal_x * cx) / (tz * tz)
        j11, j12 = focal_y / tz, -(focal_y * cy) / (tz * tz)
        a0 = j00 * view[0, 0] + j02 * view[0, 2]
        a1 = j00 * view[1, 0] + j02 * view[1, 2]
        a2 = j00 * view[2, 0] + j02 * view[2, 2]
        b0 = j11 * view[0, 1] + j12 * view[0, 2]
        b1 = j11 * view[1, 1] + j12 * view[1, 2]
        b2 = j11 * view[2, 1] + j12 * view[2, 2]
        u0 = (xx * a0 + xy * a1) + xz * a2
        u1 = (xy * a0 + yy * a1) + yz * a2
        u2 = (xz * a0 + yz * a1) + zz * a2
        v0 = (xx * b0 + xy * b1) + xz * b2
        v1 = (xy * b0 + yy * b1) + yz * b2
        v2 = (xz * b0 + yz * b1) + zz * b2
        a = ((a0 * u0 + a1 * u1) + a2 * u2) + BLUR
        b = (a0 * v0 + a1 * v1) + a2 * v2
        c = ((b0 * v0 + b1 * v1) + b2 * v2) + BLUR
        determinant = a * c - b * b
        if determinant == F(0):
            continue
        conic_xx, conic_xy, conic_yy = c / determinant, -b / determinant, a / determinant
        middle = half * (a + c)
        radius = np.ceil(F(3) * np.sqrt(middle + np.sqrt(max(MIN_ROOT, middle * middle - determinant))))
        zeros = (x * zero + y * zero) + (conic_xx * zero + conic_xy * zero + conic_yy * zero) + radius * zero
        if zeros != zero:
            continue
        radius = min(radius, MAX_RADIUS)
        x1 = _tile_bound(x - radius, across)
        y1 = _tile_bound(y - radius, down)
        x2 = _tile_bound(x + radius + F(TILE - 1), across)
        y2 = _tile_bound(y + radius + F(TILE - 1), down)
        if x2 <= x1 or y2 <= y1:
            continue
        radii[i] = int(radius)

        # Where alpha can reach 1/255 at all: narrows the lists without changing a pixel.
        level = math.log(255.0 * np.float64(opacity)) if opacity > F(0) else -1.0
        area = np.float64(conic_xx) * conic_yy - np.float64(conic_xy) * conic_xy
        half_x = half_y = float(MAX_RADIUS)
        if level < -1e-3:
            continue
        if area > 0.0:
            stretch = np.float64(conic_xx) * conic_yy / area
            reach = 2.0 * (level * (1.0 + 2e-6 * stretch) + 2e-3)
            half_x = math.sqrt(reach * conic_yy / area) + 0.01
            half_y = math.sqrt(reach * conic_xx / area) + 0.01
        x1 = max(x1, _tile_bound(F(x - half_x), across))
        y1 = max(y1, _tile_bound(F(y - half_y), down))
        x2 = min(x2, _tile_bound(F(x + half_x + TILE), across))
        y2 = min(y2, _tile_bound(F(y + half_y + TILE), down))
        if x2 <= x1 or y2 <= y1:
            continue
        keys[i] = np.uint32(float_bits(tz))
        rect[i, 0], rect[i, 1], rect[i, 2], rect[i, 3] = x1, y1, x2, y2
        packed[i, X], packed[i, Y], packed[i, Z] = x, y, tz
        packed[i, CONIC_XX], packed[i, CONIC_XY], packed[i, CONIC_YY] = conic_xx, conic_xy, conic_yy
        packed[i, OPACITY], packed[i, HALF_X], packed[i, HALF_Y] = opacity, F(half_x), F(half_y)
        packed[i, FAINT] = F(-level - FAINT_MARGIN)
        if colors.shape[1] <= NUM_PACKED - FIRST_SHADE:
            for channel in range(colors.shape[1]):
                packed[i, FIRST_SHADE + channel] = colors[i, channel]


@kernel
def sort_by_depth(keys: Any) -> Any:
    """Indices of the visible Gaussians, nearest first; equal depths keep their order.

    Args:
        keys: [N] uint32, NOT_VISIBLE for those to leave out.
    Returns:
        [M] int32.
    """
    bits = 11
    buckets = 1 << bits
    mask = np.uint32(buckets - 1)
    histogram = np.zeros((3, buckets), np.int32)
    count = 0
    for key in keys:
        if key != NOT_VISIBLE:
            count += 1
            for step in range(3):
                histogram[step, (key >> np.uint32(bits * step)) & mask] += 1
    order, other = np.empty(count, np.int32), np.empty(count, np.int32)
    place = 0
    for i in range(len(keys)):
        if keys[i] != NOT_VISIBLE:
            order[place] = i
            place += 1
    for step in range(3):
        shift = np.uint32(bits * step)
        position = 0
        for bucket in range(buckets):
            size = int(histogram[step, bucket])
            histogram[step, bucket] = position
            position += size
        for index in order:
            digit = (keys[index] >> shift) & mask
            other[histogram[step, digit]] = index
            histogram[step, digit] += 1
        order, other = other, order
    return order


@kernel
def count_entries(start: int, stop: int, order: Any, rect: Any, across: int, counts: Any) -> None:
    """Add to `counts` [tiles] how many of the Gaussians order[start:stop] each tile lists."""
    for place in range(start, stop):
        i = order[place]
        for tile_y in range(rect[i, 1], rect[i, 3]):
            for tile_x in range(rect[i, 0], rect[i, 2]):
                counts[tile_y * across + tile_x] += 1


@kernel
def place_chunks(counts: Any, starts: Any) -> None:
    """Turn `counts` [chunks, tiles] into the places where each chunk writes; fill `starts` [tiles + 1]."""
    position = 0
    for tile in range(counts.shape[1]):
        starts[tile] = position
        for chunk in range(counts.shape[0]):
            size = counts[chunk, tile]
            counts[chunk, tile] = position
            position += size
    starts[counts.shape[1]] = position


@kernel
def fill_entries(start: int, stop: int, order: Any, rect: Any, across: int, places: Any, entries: Any) -> None:
    """Write the Gaussians order[start:stop] into the lists of their tiles, from `places` [tiles] on."""
    for place in range(start, stop):
        i = order[place]
        for tile_y in range(rect[i, 1], rect[i, 3]):
            for tile_x in range(rect[i, 0], rect[i, 2]):
                tile = tile_y * across + tile_x
                entries[places[tile]] = i
                places[tile] += 1


@kernel(inline=True)
def _begin_tile(columns: int, rows: int, sums: Any, left: Any, row_ends: Any) -> None:
    """Nothing drawn yet; pixels beyond the picture have ended already."""
    sums[:] = F(0)
    left[:] = F(-1)
    for row in range(rows):
        row_ends[row] = columns
        for column in range(columns):
            left[row * TILE + column] = F(1)


@kernel(contract=True, inline=True)
def _add_row(base: int, weight: Any, shades: Any, i: int, first_shade: int, channels: int, z: Any, sums: Any) -> None:
    """Add a Gaussian's colours, alpha and (where `sums` has room for it) depth to a row of pixels."""
    pixels = TILE * TILE
    for channel in range(channels):
        target = channel * pixels + base
        store(sums, target, multiply_add(splat(shades[i, first_shade + channel]), weight, load(sums, target)))
    target = channels * pixels + base
    store(sums, target, load(sums, target) + weight)
    if sums.shape[0] > (channels + 1) * pixels:
        target += pixels
        store(sums, target, multiply_add(splat(z), weight, load(sums, target)))


@kernel(contract=True, inline=True)
def _finish_tile(
    x0: int, y0: int, columns: int, rows: int, sums: Any, left: Any, background: Any, color: Any, alpha: Any, depth: Any
) -> None:
    """Put the background behind a tile and the tile into the picture."""
    pixels = TILE * TILE
    channels = color.shape[0]
    for row in range(rows):
        for column in range(columns):
            pixel = row * TILE + column
            through = abs(left[pixel])
            for channel in range(channels):
                color[channel, y0 + row, x0 + column] = sums[channel * pixels + pixel] + background[channel] * through
            alpha[y0 + row, x0 + column] = sums[channels * pixels + pixel]
            if depth.shape[0] > 0:
                depth[y0 + row, x0 + column] = sums[(channels + 1) * pixels + pixel]


@kernel(contract=True)
def composite_tiles(
    first_tile: int,
    last_tile: int,
    starts: Any,
    entries: Any,
    packed: Any,
    shades: Any,
    first_shade: int,
    background: Any,
    color: Any,
    alpha: Any,
    depth: Any,
) -> None:
    """Draw tiles [first_tile, last_tile) into `color` [C, H, W], `alpha` [H, W] and `depth` ([H, W], or empty).

    The colours of Gaussian i are `shades[i, first_shade:]`.

    A pixel that has ended keeps its transmittance with a minus sign.
    """
    channels, height, width = color.shape
    across = (width + TILE - 1) // TILE
    pixels = TILE * TILE
    planes = channels + (2 if depth.shape[0] > 0 else 1)  # colours, alpha, depth
    sums = np.empty(planes * pixels, np.float32)
    left = np.empty(pixels, np.float32)
    row_ends = np.empty(TILE, np.int32)
    zero, one, lowest = splat(F(0)), splat(F(1)), splat(F(-80))
    for tile in range(first_tile, last_tile):
        x0, y0 = (tile % across) * TILE, (tile // across) * TILE
        columns, rows = min(TILE, width - x0), min(TILE, height - y0)
        _begin_tile(columns, rows, sums, left, row_ends)
        rows_left = rows
        for entry in range(starts[tile], starts[tile + 1]):
            i = entries[entry]
            ahead = entries[min(entry + PREFETCH, starts[tile + 1] - 1)]
            prefetch(packed, ahead * NUM_PACKED)
            if first_shade == 0:
                prefetch(shades, ahead * channels)
            y = packed[i, Y] - F(y0)
            half_y = packed[i, HALF_Y]
            first_row = max(0, math.ceil(max(y - half_y, F(-1))))
            last_row = min(rows, int(min(y + half_y, F(TILE))) + 1)
            if y + half_y < F(0):
                continue
            x = packed[i, X] - F(x0)
            a, b, c = packed[i, CONIC_XX], packed[i, CONIC_XY], packed[i, CONIC_YY]
            opacity, faint = packed[i, OPACITY], splat(packed[i, FAINT])
            dx = splat(x) - ramp()
            down_factor = F(-0.5) * c
            quadratic = splat(F(-0.5) * a) * dx * dx
            linear = splat(-b) * dx
            for row in range(first_row, last_row):
                if row_ends[row] == 0:
                    continue
                dy = y - F(row)
                base = row * TILE
                power = quadratic + multiply_add(linear, splat(dy), splat(down_factor * dy * dy))
                now = load(left, base)
                if count((power >= faint) & (now > zero)) == 0:
                    continue
                value = smaller(splat(ALPHA_MAX), splat(opacity) * _exp(larger(smaller(power, zero), lowest)))
                following = now * (one - value)
                hit = (power <= zero) & (value >= splat(ALPHA_MIN)) & (now > zero)
                touched = count(hit)
                if touched == 0:
                    continue
                draw = hit & (following >= splat(TRANSMITTANCE_MIN))
                drawn = count(draw)
                weight = select(draw, now * value, zero)
                store(left, base, select(draw, following, select(hit, zero - now, now)))
                _add_row(base, weight, shades, i, first_shade, channels, packed[i, Z], sums)
                ended = touched - drawn
                if ended > 0:
                    row_ends[row] -= ended
                    if row_ends[row] == 0:
                        rows_left -= 1
            if rows_left == 0:
                break
        _finish_tile(x0, y0, columns, rows, sums, left, background, color, alpha, depth)


def aligned_rows(count: int) -> FloatArray:
    """[count, NUM_PACKED] float32, not initialised, each row in one cache line."""
    line = 4 * NUM_PACKED
    raw = np.empty(count * NUM_PACKED + NUM_PACKED, np.float32)
    skip = (-raw.ctypes.data % line) // 4
    return raw[skip : skip + count * NUM_PACKED].reshape(count, NUM_PACKED)


@dataclass(frozen=True, eq=False)
class PackedCloud:
    """A cloud as the camera sees it, one row per Gaussian; rows of Gaussians that are not visible hold anything."""

    values: FloatArray
    """[N, NUM_PACKED] float32."""
    tile_rect: IntArray
    """[N, 4] int16: the tiles x1 <= x < x2, y1 <= y < y2."""
    radii: IntArray
    """[N] int32, 0 for a Gaussian that was dropped by the published rule."""
    keys: NDArray[np.uint32]
    """[N] uint32, what to sort by."""


@dataclass(frozen=True, eq=False)
class TileLists:
    """Which Gaussians each tile draws, front to back."""

    starts: NDArray[np.int64]
    """[tiles + 1] int64, first entry of each tile."""
    entries: IntArray
    """[starts[-1]] int32, rows of the cloud."""


def project_cpu(cloud: GaussianCloud, camera: Camera, threads: int) -> PackedCloud:
    """Project every Gaussian of a cloud."""
    n, (width, height) = len(cloud), camera.size
    packed = PackedCloud(aligned_rows(n), np.empty((n, 4), np.int16), np.zeros(n, np.int32), np.empty(n, np.uint32))
    tan_x, tan_y = (F(tan) for tan in camera.tan_half_fov)
    focal_x, focal_y = camera.focal_px
    values = (cloud.means, cloud.scales, cloud.rotations, cloud.opacities, cloud.colors)
    arrays = tuple(np.ascontiguousarray(value) for value in (*values, camera.world_view, camera.full_projection))
    numbers = (tan_x, tan_y, focal_x, focal_y, width, height)
    into = (packed.values, packed.tile_rect, packed.radii, packed.keys)
    spread(project_range, ((*piece, *arrays, *numbers, *into) for piece in chunks(n, 4 * threads)), threads)
    return packed


def tile_lists_cpu(packed: PackedCloud, order: IntArray, size: tuple[int, int], threads: int) -> TileLists:
    """Put Gaussians into the lists of their tiles.

    Args:
        order: [M] int32 from `sort_by_depth`. size: (width, height) of the picture.
    """
    across, down = tile_grid(size)
    rect = packed.tile_rect
    pieces = chunks(len(order), 2 * threads)
    counts = np.zeros((len(pieces), across * down), np.int64)
    spread(count_entries, ((*piece, order, rect, across, counts[k]) for k, piece in enumerate(pieces)), threads)
    starts = np.empty(across * down + 1, np.int64)
    place_chunks(counts, starts)
    entries = np.empty(starts[-1], np.int32)
    spread(fill_entries, ((*piece, order, rect, across, counts[k], entries) for k, piece in enumerate(pieces)), threads)
    return TileLists(starts, entries)


def composite_cpu(
    cloud: GaussianCloud,
    packed: PackedCloud,
    lists: TileLists,
    size: tuple[int, int],
    background: FloatArray,
    *,
    depth: bool,
    threads: int,
) -> Raster:
    """Draw the pixels of every tile."""
    (width, height), (across, down) = size, tile_grid(size)
    color = np.zeros((cloud.num_channels, height, width), np.float32)
    alpha = np.zeros((height, width), np.float32)
    depth_map = np.zeros((height, width) if depth else (0, 0), np.float32)
    inside = cloud.num_channels <= NUM_PACKED - FIRST_SHADE
    shades = (packed.values, FIRST_SHADE) if inside else (np.ascontiguousarray(cloud.colors), 0)
    pictures = (np.ascontiguousarray(background), color, alpha, depth_map)
    drawn = (lists.starts, lists.entries, packed.values, *shades, *pictures)
    spread(composite_tiles, ((*piece, *drawn) for piece in chunks(across * down, 16 * threads)), threads)
    return Raster(color, alpha, depth_map if depth else None, packed.radii)


def rasterize_cpu(
    cloud: GaussianCloud, camera: Camera, background: FloatArray, *, depth: bool = False, threads: int | None = None
) -> Raster:
    """Draw a cloud on the processor.

    Args:
        background: [C] float32, shines through where the cloud is not opaque.
        depth: compute the depth picture too.
        threads: None uses every core; the picture is the same with any number.
    Returns:
        The same as `rasterize_reference`, within float32 rounding.
    """
    threads = threads or available_cores()
    if len(cloud) == 0:
        nothing = np.zeros((cloud.num_channels + 2, camera.size[1], camera.size[0]), np.float32)
        return Raster(nothing[:-2], nothing[-2], nothing[-1] if depth else None, np.zeros(0, np.int32))
    packed = project_cpu(cloud, camera, threads)
    lists = tile_lists_cpu(packed, sort_by_depth(packed.keys), camera.size, threads)
    return composite_cpu(cloud, packed, lists, camera.size, background, depth=depth, threads=threads)
