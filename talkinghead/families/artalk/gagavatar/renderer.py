"""Frames of a Gaussian avatar: splatting and upsampling in batches, on the processor or a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from talkinghead.backends.gate import psnr_db
from talkinghead.contracts import FloatArray, Frame
from talkinghead.engine.cache import Cache
from talkinghead.families.artalk.gagavatar.avatar import (
    IMAGE_SIZE,
    AvatarGaussians,
    GAGAvatar,
    TrackedHead,
    add_watermark,
)
from talkinghead.families.artalk.gagavatar.generators import NUM_CHANNELS
from talkinghead.families.artalk.gagavatar.geometry import avatar_camera
from talkinghead.families.artalk.gagavatar.upsampler import StyleUNet
from talkinghead.files import cache_key
from talkinghead.rendering.cameras import Camera

CACHE_KIND = "gagavatar-gaussians/1"
"""Part of the cache key: raised when the networks' meaning changes."""


@dataclass(frozen=True, eq=False)
class Shot:
    """What one frame shows."""

    points: FloatArray
    """[V, 3] the head's points."""
    transform: FloatArray
    """[3, 4] the camera."""


def build_gaussians(model: GAGAvatar, head: TrackedHead, cache: Cache, weights_sha256: str) -> AvatarGaussians:
    """The avatar's Gaussians, from the cache where they were built before."""
    key = cache_key(
        CACHE_KIND, weights=weights_sha256, image=head.image, transform=head.transform, size=model.base_model.config
    )
    stored = cache.get(key)
    if stored is not None:
        return AvatarGaussians(**{name: stored[name] for name in AvatarGaussians.__dataclass_fields__})
    made = model.build(head)
    cache.put(key, {name: getattr(made, name) for name in AvatarGaussians.__dataclass_fields__})
    return made


@dataclass(eq=False)
class GaussianRenderer:
    """Draws one avatar."""

    model: GAGAvatar
    gaussians: AvatarGaussians
    logo: torch.Tensor | None = None
    """[4, 82, 256] in [0, 1], or None for no watermark."""
    seed: int | None = None
    """Seed of noise that is drawn anew for every frame; None uses the stored noise."""
    threads: int | None = None
    exact: bool = True
    """On a GPU: list Gaussians by the published rule."""
    autocast: torch.dtype | None = None
    """Half precision of the upsampler; None is float32."""
    _fixed: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.model.head_base.device

    def splat(self, shot: Shot) -> torch.Tensor:
        """[32, 512, 512] float32 channels on the device."""
        camera = avatar_camera(shot.transform, (IMAGE_SIZE, IMAGE_SIZE))
        if self.device.type == "cuda":
            return self._splat_cuda(shot, camera)
        from talkinghead.rendering.rasterize_cpu import rasterize_cpu

        background = np.zeros(NUM_CHANNELS, dtype=np.float32)
        drawn = rasterize_cpu(self.gaussians.cloud(shot.points), camera, background, threads=self.threads)
        return torch.from_numpy(drawn.color)

    def _splat_cuda(self, shot: Shot, camera: Camera) -> torch.Tensor:
        from talkinghead.rendering.rasterize_cuda import TorchCloud, rasterize_cuda

        if not self._fixed:  # what does not move goes to the device once
            names = ("scales", "rotations", "opacities", "colors", "plane_points")
            self._fixed = {name: torch.from_numpy(getattr(self.gaussians, name)).to(self.device) for name in names}
        fixed = self._fixed
        points = torch.from_numpy(shot.points).to(self.device, non_blocking=True)
        cloud = TorchCloud(
            means=torch.cat((points, fixed["plane_points"])),
            scales=fixed["scales"],
            rotations=fixed["rotations"],
            opacities=fixed["opacities"],
            colors=fixed["colors"],
        )
        background = torch.zeros(NUM_CHANNELS, device=self.device)
        return rasterize_cuda(cloud, camera, background, exact=self.exact).color

    @torch.inference_mode()
    def pictures(self, channels: torch.Tensor, first: int) -> Iterator[Frame]:
        """Upsample a batch.

        Args:
            channels: [B, 32, 512, 512] on the device.
            first: number of the first frame, which random noise depends on.
        Yields:
            RGB uint8 [512, 512, 3], truncated as published.
        """
        noises = None if self.seed is None else self._noises(first, len(channels))
        pictures = self._upsampled(channels, self.autocast, noises)
        if self.logo is not None:
            pictures = add_watermark(pictures, self.logo.to(self.device))
        bytes_ = (pictures * 255.0).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        yield from bytes_

    def _upsampled(
        self, channels: torch.Tensor, half: torch.dtype | None, noises: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """[B, 3, 512, 512] float32 RGB in [0, 1]."""
        with torch.autocast(self.device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            channels = channels.contiguous(memory_format=torch.channels_last)
            pictures: torch.Tensor = self.model.upsampler(channels, noises).float()
        return pictures

    @torch.inference_mode()
    def faithfulness_db(self, shot: Shot, half: torch.dtype) -> float:
        """PSNR of a frame whose upsampler computes in half precision against float32."""
        channels = self.splat(shot)[None]
        found, exact = (self._upsampled(channels, number).cpu().numpy() for number in (half, None))
        return psnr_db(found, exact, peak=1.0)

    def trial(self, shot: Shot) -> float:
        """Draw a frame twice (the first compiles) and return the seconds of the second."""
        seconds = 0.0
        for _ in range(2):
            started = time.perf_counter()
            list(self.pictures(self.splat(shot)[None], 0))
            seconds = time.perf_counter() - started
        return seconds

    def _noises(self, first: int, count: int) -> list[torch.Tensor]:
        """Fresh noise per frame; a frame's depends on the seed and its number alone."""
        upsampler: StyleUNet = self.model.upsampler
        shapes = [noise.shape for noise in upsampler.stylegan_decoder.noises.stored()]
        rows = []
        for number in range(first, first + count):
            generator = torch.Generator().manual_seed((self.seed or 0) * 1_000_003 + number)
            rows.append([torch.randn(shape, generator=generator) for shape in shapes])
        return [torch.cat(level).to(self.device) for level in zip(*rows, strict=True)]

    def batch_size(self) -> int:
        """Frames through the upsampler at once."""
        return 8 if self.device.type == "cuda" else 1
