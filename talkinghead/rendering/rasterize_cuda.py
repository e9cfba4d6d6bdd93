"""The Gaussian rasteriser on CUDA: projection and tile lists in PyTorch, pixels by gsplat.

Two ways of listing Gaussians in tiles:

- exact: the published rule, computed here; the pictures differ from `rasterize_reference` by rounding only
  (gsplat's fast exp, and `<=` instead of `<` at the end of a pixel).
- fast: gsplat's own lists, a tight rectangle around every alpha of at least 1/255. On eight clouds of 300 Gaussians,
  computed on a CPU, this changed colours by at most 0.012 and by 3e-6 in the mean; about one pixel in 6000 (one in 2600
  of the worst cloud) by more than 1/255; alpha by 0.024 at one pixel.

Gaussians that are not finite, have no extent, stand behind the camera or project to something that is not finite are
left out before any kernel sees them; extents are limited to MAX_RADIUS pixels.

`project_torch` and `tile_lists_torch` run on any device and are compared with the readable rasteriser in the tests;
the calls of gsplat need a GPU.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from talkinghead.errors import MissingDependency
from talkinghead.rendering.cameras import Camera
from talkinghead.rendering.gaussians import (
    BLUR,
    FRUSTUM_MARGIN,
    MAX_RADIUS,
    MIN_ROOT,
    NEAR_CUT_Z,
    TILE,
    W_EPSILON,
    tile_grid,
)
from talkinghead.rendering.spherical_harmonics import C0, C1, C2, C3, num_coefficients

PIXEL_CENTRE = 0.5
"""gsplat puts pixel centres at halves, the published rasteriser at integers."""


def available() -> bool:
    """Whether gsplat is installed and PyTorch sees a GPU."""
    return importlib.util.find_spec("gsplat") is not None and torch.cuda.is_available()


def _gsplat() -> Any:
    try:
        import gsplat
    except ImportError as error:
        raise MissingDependency("gsplat", extra="cuda", purpose="Rendering Gaussians on a GPU") from error
    return gsplat


@dataclass(frozen=True, eq=False)
class TorchCloud:
    """As `gaussians.GaussianCloud`, in tensors of one device."""

    means: Tensor
    scales: Tensor
    rotations: Tensor
    opacities: Tensor
    colors: Tensor


@dataclass(frozen=True, eq=False)
class TorchProjection:
    """As `rasterize_reference.Projection`; rows of dropped Gaussians hold anything and have an empty rectangle."""

    xy: Tensor
    view_z: Tensor
    conic: Tensor
    radii: Tensor
    tile_rect: Tensor


@dataclass(frozen=True, eq=False)
class TorchRaster:
    """A drawn cloud on the device."""

    color: Tensor
    """[C, H, W] float32."""
    alpha: Tensor
    """[H, W] float32."""
    depth: Tensor | None = None
    """[H, W] float32, sum of weight times view-space z."""


def well_formed_torch(cloud: TorchCloud) -> Tensor:
    """As `gaussians.well_formed`."""
    finite = torch.isfinite(cloud.opacities)
    for values in (cloud.means, cloud.scales, cloud.rotations, cloud.colors):
        finite = finite & torch.isfinite(values).all(dim=1)
    return finite & (cloud.scales >= 0).all(dim=1) & (cloud.scales > 0).any(dim=1)


def _rotation_rows(rotations: Tensor) -> Tensor:
    """[N, 3, 3] matrices of quaternions (w, x, y, z), used as they are."""
    w, x, y, z = rotations.unbind(1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        dim=1,
    ).reshape(-1, 3, 3)  # fmt: skip


def _tile_interval(position: Tensor, radius: Tensor, num_tiles: int) -> tuple[Tensor, Tensor]:
    low = torch.trunc((position - radius) / TILE).clamp(0, num_tiles)
    high = torch.trunc((position + radius + (TILE - 1)) / TILE).clamp(0, num_tiles)
    return low.to(torch.int32), high.to(torch.int32)


@torch.inference_mode()
def project_torch(cloud: TorchCloud, camera: Camera) -> TorchProjection:
    """As `rasterize_reference.project`."""
    device = cloud.means.device
    usable = well_formed_torch(cloud)
    means = torch.where(usable[:, None], cloud.means, 0)
    view = torch.from_numpy(camera.world_view).to(device)
    full = torch.from_numpy(camera.full_projection).to(device)
    x, y, z = ((means @ view[:3, :3]) + view[3, :3]).unbind(1)
    in_front = usable & (z > float(NEAR_CUT_Z))
    z = torch.where(in_front, z, 1)
    clip = means @ full[:3] + full[3]
    ndc = clip[:, :2] * (1 / (clip[:, 3:] + float(W_EPSILON)))
    width, height = camera.size
    size = torch.tensor([width, height], dtype=torch.float64, device=device)
    xy = (((ndc.double() + 1) * size - 1) * 0.5).float()
    focal_x, focal_y = (float(value) for value in camera.focal_px)
    limit_x, limit_y = (float(FRUSTUM_MARGIN) * tan for tan in camera.tan_half_fov)
    near_x = (x / z).clamp(-limit_x, limit_x) * z
    near_y = (y / z).clamp(-limit_y, limit_y) * z
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [focal_x / z, zero, -(focal_x * near_x) / (z * z), zero, focal_y / z, -(focal_y * near_y) / (z * z)], dim=1
    ).reshape(-1, 2, 3)
    half = jacobian @ view[:3, :3].T @ (_rotation_rows(cloud.rotations) * cloud.scales[:, None, :])  # [N, 2, 3]
    a = (half[:, 0] * half[:, 0]).sum(1) + float(BLUR)
    b = (half[:, 0] * half[:, 1]).sum(1)
    c = (half[:, 1] * half[:, 1]).sum(1) + float(BLUR)
    determinant = a * c - b * b
    conic = torch.stack([c, -b, a], dim=1) / determinant[:, None]
    middle = 0.5 * (a + c)
    largest = middle + torch.sqrt((middle * middle - determinant).clamp_min(float(MIN_ROOT)))
    radius = torch.ceil(3 * torch.sqrt(largest)).clamp_max(float(MAX_RADIUS))
    drawable = in_front & (determinant != 0) & torch.isfinite(xy).all(1) & torch.isfinite(conic).all(1)
    drawable = drawable & torch.isfinite(radius)
    across, down = tile_grid(camera.size)
    xy = torch.where(drawable[:, None], xy, 0)
    radius = torch.where(drawable, radius, 0)
    x1, x2 = _tile_interval(xy[:, 0], radius, across)
    y1, y2 = _tile_interval(xy[:, 1], radius, down)
    visible = drawable & (x2 > x1) & (y2 > y1)
    return TorchProjection(
        xy=xy,
        view_z=z,
        conic=torch.where(visible[:, None], conic, 0),
        radii=torch.where(visible, radius, 0).to(torch.int32),
        tile_rect=torch.where(visible[:, None], torch.stack([x1, y1, x2, y2], dim=1), 0).to(torch.int32),
    )


@torch.inference_mode()
def tile_lists_torch(projection: TorchProjection, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Lists by the published rule, front to back; equal depths keep the order of the cloud.

    Returns:
        Gaussian of each entry [M] int32, and the first entry of each tile [down, across] int32.
    """
    across, down = tile_grid(size)
    x1, y1, x2, y2 = projection.tile_rect.long().unbind(1)
    order = torch.argsort(projection.view_z, stable=True)
    touched = ((x2 - x1) * (y2 - y1))[order]
    gaussians = torch.repeat_interleave(order, touched)
    first = torch.cumsum(touched, 0) - touched
    place = torch.arange(len(gaussians), device=gaussians.device) - torch.repeat_interleave(first, touched)
    columns = (x2 - x1)[gaussians].clamp_min(1)
    tiles = (y1[gaussians] + place // columns) * across + x1[gaussians] + place % columns
    by_tile = torch.argsort(tiles, stable=True)  # entries are in depth order already
    counts = torch.bincount(tiles, minlength=across * down)
    starts = (torch.cumsum(counts, 0) - counts).to(torch.int32).reshape(down, across)
    return gaussians[by_tile].to(torch.int32), starts


def colors_torch(degree: int, coefficients: Tensor, means: Tensor, position: Tensor) -> Tensor:
    """As `spherical_harmonics.colors`, on any device."""
    direction = torch.nn.functional.normalize(means - position, dim=1, eps=1e-30)
    x, y, z = direction.unbind(1)
    columns = [torch.full_like(x, C0)]
    if degree > 0:
        columns += [-C1 * y, C1 * z, -C1 * x]
    if degree > 1:
        xx, yy, zz = x * x, y * y, z * z
        columns += [C2[0] * x * y, C2[1] * y * z, C2[2] * (2 * zz - xx - yy), C2[3] * x * z, C2[4] * (xx - yy)]
        if degree > 2:
            columns += [
                C3[0] * y * (3 * xx - yy),
                C3[1] * x * y * z,
                C3[2] * y * (4 * zz - xx - yy),
                C3[3] * z * (2 * zz - 3 * xx - 3 * yy),
                C3[4] * x * (4 * zz - xx - yy),
                C3[5] * z * (xx - yy),
                C3[6] * x * (xx - 3 * yy),
            ]
    used = coefficients[:, : num_coefficients(degree)]
    raw = torch.einsum("nk,nkc->nc", torch.stack(columns, dim=1), used)
    return torch.clamp_min(raw + 0.5, 0)


@torch.inference_mode()
def rasterize_cuda(
    cloud: TorchCloud, camera: Camera, background: Tensor, *, exact: bool = True, depth: bool = False
) -> TorchRaster:
    """Draw a cloud on the GPU that holds it.

    Args:
        background: [C] float32 on the same device.
        exact: list Gaussians by the published rule; False uses gsplat's own lists.
        depth: compute the depth picture too.
    Raises:
        MissingDependency: gsplat is not installed.
    """
    gsplat = _gsplat()
    width, height = camera.size
    device = cloud.means.device
    if len(cloud.means) == 0:
        picture = torch.zeros(cloud.colors.shape[1], height, width, device=device)
        return TorchRaster(picture, picture[0] * 0, picture[0] * 0 if depth else None)
    across, down = tile_grid(camera.size)
    if exact:
        flat = project_torch(cloud, camera)
        entries, starts = tile_lists_torch(flat, camera.size)
        xy, conic, view_z = flat.xy + PIXEL_CENTRE, flat.conic, flat.view_z
        visible = flat.radii > 0
    else:
        usable = well_formed_torch(cloud)
        view = torch.from_numpy(camera.world_view.T.copy()).to(device)
        focal_x, focal_y = camera.focal_px
        intrinsics = torch.tensor(
            [[float(focal_x), 0, width / 2], [0, float(focal_y), height / 2], [0, 0, 1]], device=device
        )
        safe = usable[:, None]
        upright = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)
        turned = safe & (cloud.rotations != 0).any(dim=1, keepdim=True)  # gsplat divides by the length
        radii, means2d, depths, conics, _ = gsplat.fully_fused_projection(
            torch.where(safe, cloud.means, 0),
            None,
            torch.where(turned, cloud.rotations, upright),
            torch.where(safe, cloud.scales, 1e-6),
            view[None],
            intrinsics[None],
            width,
            height,
            eps2d=float(BLUR),
            near_plane=float(NEAR_CUT_Z),
            opacities=torch.where(usable, cloud.opacities, 0),
        )
        visible = usable & (radii[0] > 0).all(dim=1) & torch.isfinite(depths[0])
        visible = visible & torch.isfinite(means2d[0]).all(dim=1) & torch.isfinite(conics[0]).all(dim=1)
        kept = visible[:, None]
        xy, conic, view_z = (
            torch.where(mask, value[0], 0) for mask, value in ((kept, means2d), (kept, conics), (visible, depths))
        )
        reach = torch.where(kept, radii[0].clamp(0, int(MAX_RADIUS)), 0)
        _, ids, entries = gsplat.isect_tiles(xy[None], reach[None], view_z[None], TILE, across, down)
        starts = gsplat.isect_offset_encode(ids, 1, across, down)[0]
    shown = visible[:, None]
    colors = torch.where(shown, cloud.colors, 0)
    if depth:
        colors = torch.cat([colors, torch.where(visible, view_z, 0)[:, None]], dim=1)
        background = torch.cat([background, background.new_zeros(1)])
    pictures, alphas = gsplat.rasterize_to_pixels(
        xy[None],
        conic[None],
        colors[None],
        torch.where(visible, cloud.opacities, 0)[None],
        width,
        height,
        TILE,
        starts[None],
        entries,
        backgrounds=background[None],
    )
    planes = pictures[0].permute(2, 0, 1)
    channels = cloud.colors.shape[1]
    return TorchRaster(planes[:channels], alphas[0, ..., 0], planes[channels] if depth else None)
