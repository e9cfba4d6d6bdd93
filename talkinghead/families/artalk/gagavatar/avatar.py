"""A GAGAvatar head: built once from a tracked picture, then drawn for every frame of motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.gagavatar.features import FeatureConfig, FeatureNetwork, resize_image
from talkinghead.families.artalk.gagavatar.generators import (
    NUM_CHANNELS,
    PlaneGenerator,
    PointGenerator,
    direction_code,
    image_plane,
)
from talkinghead.families.artalk.gagavatar.geometry import avatar_camera
from talkinghead.families.artalk.gagavatar.upsampler import StyleUNet, UpsamplerConfig
from talkinghead.rendering.cameras import Camera
from talkinghead.rendering.gaussians import GaussianCloud, Raster

IMAGE_SIZE = 512
LOGO_SIZE = (82, 256)
"""(height, width) of the watermark."""
LOGO_OPACITY = 0.8

Rasterizer = Callable[[GaussianCloud, Camera, FloatArray], Raster]


@dataclass(frozen=True, eq=False)
class TrackedHead:
    """One entry of the published tracker's output."""

    image: FloatArray
    """[3, 512, 512] float32 RGB in [0, 1], the head on black."""
    transform: FloatArray
    """[3, 4] float32, rows [R | T]."""
    shape: FloatArray
    """[300] float32, FLAME identity."""


@dataclass(frozen=True, eq=False)
class AvatarGaussians:
    """The Gaussians of one avatar; the first ones ride on the head's vertices."""

    colors: FloatArray
    """[N, 32]."""
    opacities: FloatArray
    """[N]."""
    scales: FloatArray
    """[N, 3]."""
    rotations: FloatArray
    """[N, 4] (w, x, y, z)."""
    plane_points: FloatArray
    """[N - V, 3], positions that do not move."""

    def cloud(self, head_points: FloatArray) -> GaussianCloud:
        """With the head's vertices, [V, 3], in place."""
        return GaussianCloud(
            means=np.concatenate((head_points, self.plane_points)),
            scales=self.scales,
            rotations=self.rotations,
            opacities=self.opacities,
            colors=self.colors,
        )


class GAGAvatar(nn.Module):
    """The networks. Weight names are those of GAGAvatar.pt without `percep_loss`."""

    def __init__(self, features: FeatureConfig | None = None, num_vertices: int = 5023) -> None:
        super().__init__()
        self.head_base = nn.Parameter(torch.zeros(num_vertices, 256))
        self.base_model = FeatureNetwork(features)
        self.gs_generator_g = PointGenerator()
        self.gs_generator_l0 = PlaneGenerator()
        self.gs_generator_l1 = PlaneGenerator()
        self.upsampler = StyleUNet(UpsamplerConfig())

    @torch.inference_mode()
    def build(self, head: TrackedHead) -> AvatarGaussians:
        """Everything about an avatar that does not depend on motion."""
        device, dtype = self.head_base.device, self.head_base.dtype
        size = self.base_model.config.image_size
        image = torch.from_numpy(head.image).to(device, dtype)[None]
        features, global_vector = self.base_model(resize_image(image, (size, size)))
        plane, direction = image_plane(torch.from_numpy(head.transform).to(device, dtype), features.shape[-1])
        code = direction_code(direction)
        points = torch.cat((self.head_base, global_vector.expand(len(self.head_base), -1)), dim=-1)
        on_head = self.gs_generator_g(points, code)
        lifted = [(self.gs_generator_l0(features[0], code), 1.0), (self.gs_generator_l1(features[0], code), -1.0)]
        positions = [plane + sign * values.positions * direction for values, sign in lifted]
        parts = [on_head, *(values for values, _ in lifted)]

        def joined(name: str) -> FloatArray:
            return np.ascontiguousarray(torch.cat([getattr(part, name) for part in parts]).float().cpu().numpy())

        return AvatarGaussians(
            colors=joined("colors"),
            opacities=joined("opacities")[:, 0],
            scales=joined("scales"),
            rotations=joined("rotations"),
            plane_points=np.ascontiguousarray(torch.cat(positions).float().cpu().numpy()),
        )

    @torch.inference_mode()
    def draw(
        self, gaussians: AvatarGaussians, head_points: FloatArray, transform: FloatArray, rasterize: Rasterizer
    ) -> FloatArray:
        """The 32 rendered channels of one frame, [32, 512, 512] float32."""
        camera = avatar_camera(transform, (IMAGE_SIZE, IMAGE_SIZE))
        background = np.zeros(NUM_CHANNELS, dtype=np.float32)
        return rasterize(gaussians.cloud(head_points), camera, background).color

    @torch.inference_mode()
    def upsample(self, channels: FloatArray) -> torch.Tensor:
        """[B, 32, 512, 512] rendered channels to [B, 3, 512, 512] RGB in [0, 1]."""
        picture: torch.Tensor = self.upsampler(torch.from_numpy(channels).to(self.head_base))
        return picture


def resize_logo(logo: NDArray[np.uint8]) -> torch.Tensor:
    """[4, H, W] uint8 RGBA to [4, 82, 256] float32 in [0, 1]."""
    return resize_image(torch.from_numpy(logo).float()[None] / 255.0, LOGO_SIZE)[0]


def add_watermark(pictures: torch.Tensor, logo: torch.Tensor) -> torch.Tensor:
    """Blend the logo into the bottom-right corner: [B, 3, H, W] in [0, 1] and [4, h, w]."""
    height, width = logo.shape[1:]
    alpha = logo[3:].to(pictures) * LOGO_OPACITY
    marked = pictures.clone()
    corner = marked[..., -height:, -width:]
    marked[..., -height:, -width:] = corner * (1.0 - alpha) + logo[:3].to(pictures) * alpha
    return marked
