"""Image features of an avatar: DINOv2 and a DPT head (reference: gagavatar.md, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

IMAGE_SIZE = 518
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class FeatureConfig:
    """Sizes of the feature network; the defaults are the published ones (ViT-B/14)."""

    image_size: int = IMAGE_SIZE
    patch_size: int = 14
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    width: int = 256
    """Channels inside the DPT head."""
    out_dim: int = 256
    project_dims: tuple[int, int, int, int] = (256, 512, 1024, 1024)

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch_size


class _PatchEmbed(nn.Module):
    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.embed_dim, config.patch_size, stride=config.patch_size)


class _SelfAttention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, dim = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        return out


class _LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))


class _Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.attn = _SelfAttention(config.embed_dim, config.num_heads)
        self.ls1 = _LayerScale(config.embed_dim)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = _Mlp(config.embed_dim)
        self.ls2 = _LayerScale(config.embed_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1.gamma * self.attn(self.norm1(x))
        out: torch.Tensor = x + self.ls2.gamma * self.mlp(self.norm2(x))
        return out


class Dinov2(nn.Module):
    """DINOv2 at its training size (no interpolation of positions)."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid**2 + 1, config.embed_dim))
        self.mask_token = nn.Parameter(torch.zeros(1, config.embed_dim))  # in the checkpoint, unused
        self.patch_embed = _PatchEmbed(config)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Normalised patch tokens after each of the last four blocks.

        Args:
            image: [B, 3, S, S] normalised.
        Returns:
            four arrays [B, patches, dim].
        """
        x = self.patch_embed.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1) + self.pos_embed
        layers = []
        first = len(self.blocks) - 4
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number >= first:
                layers.append(self.norm(x)[:, 1:])
        return layers


class _ResConvUnit(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.conv2(F.relu(self.conv1(F.relu(x))))
        return out


class _Fusion(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(dim, dim, 1)
        self.resConfUnit1 = _ResConvUnit(dim)  # in the checkpoint for every block, unused in the first
        self.resConfUnit2 = _ResConvUnit(dim)

    def forward(self, x: torch.Tensor, lateral: torch.Tensor | None, size: tuple[int, int]) -> torch.Tensor:
        if lateral is not None:
            x = x + self.resConfUnit1(lateral)
        x = F.interpolate(self.resConfUnit2(x), size=size, mode="bilinear", align_corners=True)
        fused: torch.Tensor = self.out_conv(x)
        return fused


def normalise_image(image: torch.Tensor) -> torch.Tensor:
    """[B, 3, H, W] RGB in [0, 1] to ImageNet statistics."""
    mean = image.new_tensor(IMAGE_MEAN)[None, :, None, None]
    std = image.new_tensor(IMAGE_STD)[None, :, None, None]
    return (image - mean) / std


def resize_image(image: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Bilinear with antialiasing, half-pixel centres: [B, C, H, W] to [B, C, *size]."""
    return F.interpolate(image, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)


class FeatureNetwork(nn.Module):
    """Weight names are those of `base_model.` in GAGAvatar.pt."""

    def __init__(self, config: FeatureConfig | None = None) -> None:
        super().__init__()
        self.config = config or FeatureConfig()
        dims, width = self.config.project_dims, self.config.width
        self.dino_model = Dinov2(self.config)
        self.projects = nn.ModuleList(nn.Conv2d(self.config.embed_dim, dim, 1) for dim in dims)
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(dims[0], dims[0], 4, stride=4),
                nn.ConvTranspose2d(dims[1], dims[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(dims[3], dims[3], 3, stride=2, padding=1),
            )
        )
        self.layer_rn = nn.ModuleList(nn.Conv2d(dim + 3, width, 3, padding=1, bias=False) for dim in dims)
        self.refinenet = nn.ModuleList(_Fusion(width) for _ in dims)
        self.output_conv = nn.Conv2d(width, self.config.out_dim, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of an avatar's picture.

        Args:
            image: [B, 3, S, S] RGB in [0, 1], S = 518.
        Returns:
            feature map [B, 256, 296, 296], and global vector [B, 768]: the top-left patch token of the last block
            (not the class token; kept from the published model).
        """
        normalised = normalise_image(image)
        tokens = self.dino_model(normalised)
        grid = self.config.grid
        maps = []
        for index, token in enumerate(tokens):
            x = token.transpose(1, 2).reshape(len(token), -1, grid, grid)
            x = self.resize_layers[index](self.projects[index](x))
            small = resize_image(normalised, x.shape[-2:])
            maps.append(self.layer_rn[index](torch.cat((small, x), dim=1)))
        fused = self._fuse(maps)
        features: torch.Tensor = self.output_conv(fused)
        return features, tokens[-1][:, 0]

    def _fuse(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """From coarse to fine; each block ends at the size of the next map, the last at twice its own."""
        sizes = [tuple(level.shape[-2:]) for level in maps]
        height, width = sizes[0]
        x: torch.Tensor = self.refinenet[0](maps[3], None, sizes[2])
        x = self.refinenet[1](x, maps[2], sizes[1])
        x = self.refinenet[2](x, maps[1], sizes[0])
        out: torch.Tensor = self.refinenet[3](x, maps[0], (2 * height, 2 * width))
        return out
