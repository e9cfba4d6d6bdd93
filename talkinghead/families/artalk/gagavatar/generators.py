"""Gaussians of an avatar from its image features (reference: gagavatar.md, sections 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

NUM_CHANNELS = 32
DIRECTION_DIM = 27
MAX_SCALE = 0.05
FOCAL = 12.0
"""In half picture sizes; the planes exactly fill the picture."""


def direction_code(direction: torch.Tensor) -> torch.Tensor:
    """Harmonic code of unit vectors: sines, cosines of 1, 2, 4, 8 times each component, then the vector.

    Args:
        direction: [..., 3].
    Returns:
        [..., 27].
    """
    angles = (direction[..., None] * direction.new_tensor([1.0, 2.0, 4.0, 8.0])).flatten(-2)
    return torch.cat((angles.sin(), angles.cos(), direction), dim=-1)


def image_plane(transform: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The plane near the world origin that fills the picture.

    Args:
        transform: [3, 4], rows [R | T] with camera = world R + T.
        size: points per side.
    Returns:
        points [size * size, 3] row-major, and the viewing direction [3].
    """
    rotation, translation = transform[:, :3], transform[:, 3]
    steps = torch.linspace(1.0, -1.0, size, dtype=transform.dtype, device=transform.device)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    rays = torch.stack((across / FOCAL, down / FOCAL, torch.ones_like(across)), dim=-1).reshape(-1, 3) @ rotation.T
    origin = -rotation @ translation
    direction = rotation @ rotation.new_tensor([0.0, 0.0, 1.0])
    distance = (origin @ direction).abs()
    return origin + distance * rays, direction


@dataclass(frozen=True, eq=False)
class GaussianValues:
    """What a generator gives per Gaussian."""

    colors: torch.Tensor
    """[N, 32]."""
    opacities: torch.Tensor
    """[N, 1] in [0, 1]."""
    scales: torch.Tensor
    """[N, 3] in [0, 0.05]."""
    rotations: torch.Tensor
    """[N, 4] (w, x, y, z), not of unit length where the published normalisation leaves them so."""
    positions: torch.Tensor | None = None
    """[N, 1] in [0, 1], distance from the plane; None for points on the head."""


def _head(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_dim, 128), nn.ReLU(), nn.Linear(128, out_dim))


class PointGenerator(nn.Module):
    """Gaussians on the head's vertices; weight names are those of `gs_generator_g.`."""

    def __init__(self, in_dim: int = 1024, dir_dim: int = DIRECTION_DIM) -> None:
        super().__init__()
        self.feature_layers = nn.Sequential(
            nn.Linear(in_dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
            nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256),
        )  # fmt: skip
        self.color_layers = _head(256 + dir_dim, NUM_CHANNELS)
        self.opacity_layers = _head(256 + dir_dim, 1)
        self.scale_layers = _head(256 + dir_dim, 3)
        self.rotation_layers = _head(256 + dir_dim, 4)

    def forward(self, features: torch.Tensor, code: torch.Tensor) -> GaussianValues:
        """[N, in_dim] features and the [27] direction code.

        Kept from the published model: rotations are normalised over the points, not over the four components, so the
        quaternions are far from unit length.
        """
        x = self.feature_layers(features)
        x = torch.cat((x, code.expand(len(x), -1)), dim=-1)
        colors = self.color_layers(x)
        colors = torch.cat((colors[:, :3].sigmoid(), colors[:, 3:]), dim=-1)
        return GaussianValues(
            colors=colors,
            opacities=self.opacity_layers(x).sigmoid(),
            scales=self.scale_layers(x).sigmoid() * MAX_SCALE,
            rotations=F.normalize(self.rotation_layers(x), dim=0),
        )


class PlaneGenerator(nn.Module):
    """Gaussians lifted from the picture; weight names are those of `gs_generator_l0.` and `gs_generator_l1.`."""

    def __init__(self, in_dim: int = 256, dir_dim: int = DIRECTION_DIM) -> None:
        super().__init__()
        self.gaussian_conv = nn.Sequential(
            nn.Conv2d(in_dim + dir_dim, 128, 3, padding=1), nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
            nn.Conv2d(128, NUM_CHANNELS + 1 + 3 + 4 + 1, 1),
        )  # fmt: skip

    def forward(self, features: torch.Tensor, code: torch.Tensor) -> GaussianValues:
        """[256, H, W] features and the [27] direction code to H * W Gaussians, row-major.

        Kept from the published model: the colours' sigmoid acts on the first three columns of the picture (all 32
        channels), not on the first three channels.
        """
        height, width = features.shape[-2:]
        spread = code[:, None, None].expand(-1, height, width)
        raw = self.gaussian_conv(torch.cat((features, spread))[None])
        colors, opacities, scales, rotations, positions = raw.split((NUM_CHANNELS, 1, 3, 4, 1), dim=1)
        colors = torch.cat((colors[..., :3].sigmoid(), colors[..., 3:]), dim=-1)
        return GaussianValues(
            colors=_points(colors),
            opacities=_points(opacities.sigmoid()),
            scales=_points(scales.sigmoid() * MAX_SCALE),
            rotations=_points(F.normalize(rotations, dim=1)),
            positions=_points(positions.sigmoid()),
        )


def _points(values: torch.Tensor) -> torch.Tensor:
    """[1, C, H, W] to [H * W, C]."""
    return values[0].flatten(1).T.contiguous()
