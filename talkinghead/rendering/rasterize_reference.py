"""The Gaussian rasteriser in readable NumPy: the specification that every fast rasteriser is compared with.

    cloud, camera -> project -> tile_lists -> composite -> picture

Everything is float32, in the order of operations of the published kernels. Source: Kerbl et al. 2023, "3D Gaussian
Splatting", as changed by the rasterisers of TalkingGaussian (depth and alpha outputs) and GAGAvatar (32 channels).
Kept from them: pixel centres at integers; tiles are listed by a square of three standard deviations of the longer axis
and with `+ 15` at the far side, so that a Gaussian that reaches less than one pixel into a tile is not listed there;
a Gaussian acts only in tiles where it is listed; the one that would end a pixel is not composited.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray
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
    well_formed,
)

F = np.float32


@dataclass(frozen=True, eq=False)
class Projection:
    """Gaussians as ellipses in the picture. Rows of Gaussians that were dropped are zero, except in `cov3d`."""

    visible: NDArray[np.bool_]
    """[N] bool."""
    xy: FloatArray
    """[N, 2] float32, centre in pixels; (0, 0) is the middle of the top-left pixel."""
    view_z: FloatArray
    """[N] float32, depth of the centre along the viewing axis."""
    cov3d: FloatArray
    """[N, 6] float32, covariance in world space: xx, xy, xz, yy, yz, zz."""
    cov2d: FloatArray
    """[N, 3] float32, covariance in square pixels, blur included: xx, xy, yy."""
    conic: FloatArray
    """[N, 3] float32, inverse of cov2d: xx, xy, yy."""
    radii: IntArray
    """[N] int32, three standard deviations of the longer axis, rounded up, in pixels."""
    tile_rect: IntArray
    """[N, 4] int32, tiles (x1, y1, x2, y2), half open."""

    @property
    def tiles_touched(self) -> IntArray:
        """[N] int32, number of tiles in which the Gaussian is listed."""
        rect = self.tile_rect
        return (rect[:, 2] - rect[:, 0]) * (rect[:, 3] - rect[:, 1])


@dataclass(frozen=True, eq=False)
class TileLists:
    """Which Gaussians each tile draws, front to back."""

    gaussians: IntArray
    """[M] int32, Gaussian index of each entry; tile after tile, sorted by depth and then by index."""
    starts: NDArray[np.int64]
    """[tiles + 1] int64: tile t (row-major) owns gaussians[starts[t]:starts[t + 1]]."""


@dataclass(frozen=True, eq=False)
class ReferenceRaster(Raster):
    """A drawn cloud with everything that led to it."""

    projection: Projection
    tiles: TileLists
    transmittance: FloatArray
    """[H, W] float32 in [0, 1], what is left for the background."""
    num_contributing: IntArray
    """[H, W] int32, place in the tile's list (from 1) of the last Gaussian that was composited; 0 for none."""


def _stack(columns: list[FloatArray]) -> FloatArray:
    stacked: FloatArray = np.stack(columns, axis=1).astype(np.float32)
    return stacked


def covariance_3d(scales: FloatArray, rotations: FloatArray) -> FloatArray:
    """R diag(scale^2) R^T as [N, 6] float32 (xx, xy, xz, yy, yz, zz); quaternions (w, x, y, z) are not normalised."""
    w, x, y, z = rotations.T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    scaled = [[row[k] * scales[:, k] for k in range(3)] for row in rows]
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    return _stack(
        [(scaled[i][0] * scaled[j][0] + scaled[i][1] * scaled[j][1]) + scaled[i][2] * scaled[j][2] for i, j in pairs]
    )


def _transform(means: FloatArray, matrix: FloatArray, column: int) -> FloatArray:
    """One coordinate of `[means, 1] @ matrix`."""
    m = matrix[:, column]
    moved: FloatArray = ((means[:, 0] * m[0] + means[:, 1] * m[1]) + means[:, 2] * m[2]) + m[3]
    return moved


def covariance_2d(view_xyz: FloatArray, cov3d: FloatArray, camera: Camera) -> FloatArray:
    """Covariance in the picture by the local affine approximation (Zwicker et al. 2002), blur included.

    Args:
        view_xyz: [N, 3] float32 centres in camera space.
        cov3d: [N, 6] float32.
    Returns:
        [N, 3] float32: xx, xy, yy in square pixels.
    """
    focal_x, focal_y = camera.focal_px
    limit_x, limit_y = (FRUSTUM_MARGIN * F(tan) for tan in camera.tan_half_fov)
    z = view_xyz[:, 2]
    x = np.minimum(limit_x, np.maximum(-limit_x, view_xyz[:, 0] / z)) * z
    y = np.minimum(limit_y, np.maximum(-limit_y, view_xyz[:, 1] / z)) * z
    j00, j02 = focal_x / z, -(focal_x * x) / (z * z)
    j11, j12 = focal_y / z, -(focal_y * y) / (z * z)
    turn = camera.world_view[:3, :3]  # world_view is row-vector: camera axis k is column k
    ax, ay = ([j * turn[i, k] + j2 * turn[i, 2] for i in range(3)] for j, j2, k in ((j00, j02, 0), (j11, j12, 1)))
    xx, xy, xz, yy, yz, zz = cov3d.T

    def quadratic(u: list[FloatArray], v: list[FloatArray]) -> FloatArray:
        first = (xx * v[0] + xy * v[1]) + xz * v[2]
        second = (xy * v[0] + yy * v[1]) + yz * v[2]
        third = (xz * v[0] + yz * v[1]) + zz * v[2]
        form: FloatArray = (u[0] * first + u[1] * second) + u[2] * third
        return form

    return _stack([quadratic(ax, ax) + BLUR, quadratic(ax, ay), quadratic(ay, ay) + BLUR])


def pixel_position(ndc: FloatArray, pixels: int) -> FloatArray:
    """Normalised device coordinates to pixels: the middle of the first pixel is 0; in float64, as published."""
    position: FloatArray = (((ndc.astype(np.float64) + 1.0) * pixels - 1.0) * 0.5).astype(np.float32)
    return position


def tile_interval(position: FloatArray, radius: FloatArray, num_tiles: int) -> tuple[IntArray, IntArray]:
    """Tiles along one axis where Gaussians are listed, half open.

    Kept from the published code: truncation toward zero, and `+ 15` instead of `+ 16` at the far side.
    """
    low = np.clip(np.trunc((position - radius) / F(TILE)), 0, num_tiles)
    high = np.clip(np.trunc((position + radius + F(TILE - 1)) / F(TILE)), 0, num_tiles)
    return low.astype(np.int32), high.astype(np.int32)


def project(cloud: GaussianCloud, camera: Camera) -> Projection:
    """Where and how large each Gaussian appears."""
    n = len(cloud)
    usable = well_formed(cloud)
    view = np.zeros((n, 3), np.float32)
    safe = np.where(usable[:, None], cloud.means, F(0))
    with np.errstate(all="ignore"):  # Gaussians that overflow are dropped below
        for k in range(3):
            view[:, k] = _transform(safe, camera.world_view, k)
        in_front = usable & (view[:, 2] > NEAR_CUT_Z)
        view[~in_front] = (0, 0, 1)
        clip_x, clip_y, clip_w = (_transform(safe, camera.full_projection, k) for k in (0, 1, 3))
        inverse_w = F(1) / (clip_w + W_EPSILON)
        width, height = camera.size
        xy = np.stack([pixel_position(clip_x * inverse_w, width), pixel_position(clip_y * inverse_w, height)], axis=1)
        cov3d = covariance_3d(
            np.where(usable[:, None], cloud.scales, F(0)), np.where(usable[:, None], cloud.rotations, F(0))
        )
        cov2d = covariance_2d(view, cov3d, camera)
        a, b, c = cov2d.T
        determinant = a * c - b * b
        conic = np.stack([c / determinant, -b / determinant, a / determinant], axis=1)
        middle = F(0.5) * (a + c)
        largest = middle + np.sqrt(np.maximum(MIN_ROOT, middle * middle - determinant))
        radius = np.minimum(np.ceil(F(3) * np.sqrt(largest)), MAX_RADIUS)
        drawable = in_front & (determinant != 0) & np.isfinite(xy).all(1) & np.isfinite(conic).all(1)
        drawable &= np.isfinite(radius)
        across, down = tile_grid(camera.size)
        x1, x2 = tile_interval(np.where(drawable, xy[:, 0], F(0)), np.where(drawable, radius, F(0)), across)
        y1, y2 = tile_interval(np.where(drawable, xy[:, 1], F(0)), np.where(drawable, radius, F(0)), down)
    visible = drawable & (x2 > x1) & (y2 > y1)
    keep = visible[:, None]
    return Projection(
        visible=visible,
        xy=np.where(keep, xy, F(0)),
        view_z=np.where(visible, view[:, 2], F(0)),
        cov3d=cov3d,
        cov2d=np.where(keep, cov2d, F(0)),
        conic=np.where(keep, conic, F(0)),
        radii=np.where(visible, radius, F(0)).astype(np.int32),
        tile_rect=np.where(keep, np.stack([x1, y1, x2, y2], axis=1), np.int32(0)).astype(np.int32),
    )


def tile_lists(projection: Projection, size: tuple[int, int]) -> TileLists:
    """List the Gaussians of every tile, nearest first; equal depths keep the order of the cloud."""
    across, down = tile_grid(size)
    order = np.argsort(projection.view_z, kind="stable")
    entries: list[list[int]] = [[] for _ in range(across * down)]
    for index in order[projection.visible[order]]:
        x1, y1, x2, y2 = projection.tile_rect[index]
        for tile_y in range(y1, y2):
            for tile_x in range(x1, x2):
                entries[tile_y * across + tile_x].append(int(index))
    lengths = [len(entry) for entry in entries]
    flat = np.array([index for entry in entries for index in entry], np.int32)
    return TileLists(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def composite(
    cloud: GaussianCloud, projection: Projection, tiles: TileLists, size: tuple[int, int], background: FloatArray
) -> dict[str, NDArray[np.generic]]:
    """Alpha compositing, front to back, tile by tile.

    Args:
        background: [C] float32.
    Returns:
        `color` [C, H, W], `alpha`, `depth`, `transmittance` [H, W] float32 and `num_contributing` [H, W] int32.
    """
    width, height = size
    across, _ = tile_grid(size)
    color = np.zeros((cloud.num_channels, height, width), np.float32)
    alpha_sum, depth, transmittance = (np.zeros((height, width), np.float32) for _ in range(3))
    num_contributing = np.zeros((height, width), np.int32)
    for tile in range(len(tiles.starts) - 1):
        y0, x0 = (tile // across) * TILE, (tile % across) * TILE
        window = np.s_[y0 : min(y0 + TILE, height), x0 : min(x0 + TILE, width)]
        ys, xs = (axis.astype(np.float32) for axis in np.mgrid[window])
        left = np.ones(ys.shape, np.float32)
        alive = np.ones(ys.shape, np.bool_)
        for place, index in enumerate(tiles.gaussians[tiles.starts[tile] : tiles.starts[tile + 1]], start=1):
            dx, dy = projection.xy[index, 0] - xs, projection.xy[index, 1] - ys
            conic = projection.conic[index]
            power = F(-0.5) * (conic[0] * dx * dx + conic[2] * dy * dy) - conic[1] * dx * dy
            alpha = np.minimum(ALPHA_MAX, cloud.opacities[index] * np.exp(np.minimum(power, F(0))))
            touched = alive & (power <= 0) & (alpha >= ALPHA_MIN)
            next_left = left * (F(1) - alpha)
            alive &= ~(touched & (next_left < TRANSMITTANCE_MIN))
            touched &= alive
            weight = np.where(touched, alpha * left, F(0))
            color[(slice(None), *window)] += cloud.colors[index][:, None, None] * weight
            alpha_sum[window] += weight
            depth[window] += projection.view_z[index] * weight
            left = np.where(touched, next_left, left)
            num_contributing[window][touched] = place
            if not alive.any():
                break
        transmittance[window] = left
    color += background[:, None, None] * transmittance
    return {
        "color": color,
        "alpha": alpha_sum,
        "depth": depth,
        "transmittance": transmittance,
        "num_contributing": num_contributing,
    }


def rasterize_reference(cloud: GaussianCloud, camera: Camera, background: FloatArray) -> ReferenceRaster:
    """Draw a cloud, slowly and readably.

    Args:
        background: [C] float32, shines through where the cloud is not opaque.
    Returns:
        The picture and everything that led to it. Kept from the published code: an empty cloud gives zeros without
        the background.
    """
    projection = project(cloud, camera)
    tiles = tile_lists(projection, camera.size)
    if len(cloud) == 0:
        background = np.zeros_like(background)
    drawn = composite(cloud, projection, tiles, camera.size, background)
    return ReferenceRaster(radii=projection.radii, projection=projection, tiles=tiles, **drawn)  # type: ignore[arg-type]
