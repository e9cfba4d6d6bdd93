"""The neural upsampler: 32 rendered channels to RGB (StyleUNet; reference: gagavatar.md, section 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2


@dataclass(frozen=True)
class UpsamplerConfig:
    """Sizes; the defaults are the published ones."""

    size: int = 512
    """Of the pictures that come out; smaller ones that go in are enlarged to it."""
    halves: bool = False
    """Whether pictures of twice that size go in and are halved after the first convolution."""
    in_channels: int = 32
    out_channels: int = 3
    style_dim: int = 512
    num_mlp: int = 8
    narrow: float = 1.0
    """Factor on all channel counts (tests use small networks)."""

    def unet_channels(self, size: int) -> int:
        """Channels of the U-Net at a picture size."""
        return int((256 if size <= 32 else 16384 // (2 * size)) * self.narrow)

    def decoder_channels(self, size: int) -> int:
        """Channels of the decoder at a picture size."""
        return int((512 if size <= 32 else 32768 // (2 * size)) * self.narrow)

    @property
    def levels(self) -> int:
        """Halvings from the full size down to 4 (7)."""
        return int(math.log2(self.size)) - 2


def _lrelu(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, SLOPE)


def _resize(x: torch.Tensor, factor: float) -> torch.Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class _ResBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = _lrelu(self.conv2(_resize(_lrelu(self.conv1(x)), self.factor)))
        out: torch.Tensor = y + self.skip(_resize(x, self.factor))
        return out


class _ModulatedConv(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, style_dim: int, *, demodulate: bool, upsample: bool
    ) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.upsample = upsample
        self.weight = nn.Parameter(torch.zeros(1, out_channels, in_channels, kernel, kernel))
        self.modulation = nn.Linear(style_dim, in_channels)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        batch, channels = x.shape[:2]
        weight = self.weight * self.modulation(style)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
        if self.upsample:
            x = _resize(x, 2.0)
        height, width = x.shape[-2:]
        grouped = x.reshape(1, batch * channels, height, width)
        out = F.conv2d(grouped, weight.flatten(0, 1), padding=self.weight.shape[-1] // 2, groups=batch)
        return out.view(batch, -1, height, width)


class _StyleConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, style_dim: int, *, upsample: bool) -> None:
        super().__init__()
        self.modulated_conv = _ModulatedConv(
            in_channels, out_channels, 3, style_dim, demodulate=True, upsample=upsample
        )
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: torch.Tensor, style: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return _lrelu(self.modulated_conv(x, style) * 2**0.5 + self.weight * noise + self.bias)


class _ToRGB(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, style_dim: int) -> None:
        super().__init__()
        self.modulated_conv = _ModulatedConv(in_channels, out_channels, 1, style_dim, demodulate=False, upsample=False)
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: torch.Tensor, style: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        out: torch.Tensor = self.modulated_conv(x, style) + self.bias
        return out if skip is None else out + _resize(skip, 2.0)


class _Constant(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, 4, 4))


class _Noises(nn.Module):
    """Stored noise, one picture per style convolution: deterministic, and without flicker."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        for number in range(2 * levels + 1):
            side = 4 * 2 ** ((number + 1) // 2)
            self.register_buffer(f"noise{number}", torch.zeros(1, 1, side, side))

    def stored(self) -> list[torch.Tensor]:
        return list(self.buffers())


class _Decoder(nn.Module):
    def __init__(self, config: UpsamplerConfig) -> None:
        super().__init__()
        style_dim = config.style_dim
        layers: list[nn.Module] = [nn.Identity()]  # the published list begins with the normalisation
        for _ in range(config.num_mlp):
            layers += [nn.Linear(style_dim, style_dim), nn.LeakyReLU(SLOPE)]
        self.style_mlp = nn.Sequential(*layers)
        channels = config.decoder_channels(4)
        self.constant_input = _Constant(channels)
        self.style_conv1 = _StyleConv(channels, channels, style_dim, upsample=False)
        self.to_rgb1 = _ToRGB(channels, config.out_channels, style_dim)
        convs: list[nn.Module] = []
        rgbs: list[nn.Module] = []
        for level in range(config.levels):
            out_channels = config.decoder_channels(8 * 2**level)
            convs.append(_StyleConv(channels, out_channels, style_dim, upsample=True))
            convs.append(_StyleConv(out_channels, out_channels, style_dim, upsample=False))
            rgbs.append(_ToRGB(out_channels, config.out_channels, style_dim))
            channels = out_channels
        self.style_convs = nn.ModuleList(convs)
        self.to_rgbs = nn.ModuleList(rgbs)
        self.noises = _Noises(config.levels)

    def forward(
        self,
        code: torch.Tensor,
        scales: list[torch.Tensor],
        shifts: list[torch.Tensor],
        noises: list[torch.Tensor],
    ) -> torch.Tensor:
        style = self.style_mlp(code * torch.rsqrt(code.square().mean(dim=1, keepdim=True) + 1e-8))
        x = self.constant_input.weight.expand(len(code), -1, -1, -1)
        x = self.style_conv1(x, style, noises[0])
        rgb: torch.Tensor = self.to_rgb1(x, style, None)
        for level, to_rgb in enumerate(self.to_rgbs):
            x = self.style_convs[2 * level](x, style, noises[2 * level + 1])
            x = x * scales[level] + shifts[level]
            x = self.style_convs[2 * level + 1](x, style, noises[2 * level + 2])
            rgb = to_rgb(x, style, rgb)
        return rgb


def _condition(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
    )


class StyleUNet(nn.Module):
    """Weight names are those of `upsampler.` in GAGAvatar.pt."""

    def __init__(self, config: UpsamplerConfig | None = None) -> None:
        super().__init__()
        config = config or UpsamplerConfig()
        self.config = config
        sizes = [config.size // 2**level for level in range(config.levels + 1)]  # 512 ... 4
        channels = [config.unet_channels(size) for size in sizes]
        self.conv_body_first: nn.Module
        if config.halves:
            wide = config.unet_channels(2 * config.size)
            self.conv_body_first = nn.ModuleList(
                [nn.Conv2d(config.in_channels, wide, 1), _ResBlock(wide, channels[0], 0.5)]
            )
        else:
            self.conv_body_first = nn.Conv2d(config.in_channels, channels[0], 1)
        self.conv_body_down = nn.ModuleList(_ResBlock(wide, narrow, 0.5) for wide, narrow in pairwise(channels))
        self.final_conv = nn.Conv2d(channels[-1], channels[-1], 3, padding=1)
        self.final_linear = nn.Linear(channels[-1] * 16, config.style_dim)
        ups = channels[::-1]
        self.conv_body_up = nn.ModuleList(_ResBlock(low, high, 2.0) for low, high in pairwise(ups))
        self.toRGB = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in ups[1:])  # in the checkpoint, unused
        outs = [config.decoder_channels(size) for size in sizes[::-1][1:]]
        self.condition_scale = nn.ModuleList(_condition(i, o) for i, o in zip(ups[1:], outs, strict=True))
        self.condition_shift = nn.ModuleList(_condition(i, o) for i, o in zip(ups[1:], outs, strict=True))
        self.stylegan_decoder = _Decoder(config)

    def _first(self, x: torch.Tensor) -> torch.Tensor:
        """The first convolution, and the output's size."""
        size = self.config.size
        if x.shape[-1] < size:
            x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
        if not isinstance(self.conv_body_first, nn.ModuleList):
            return _lrelu(self.conv_body_first(x))
        convolve, halve = self.conv_body_first
        halved: torch.Tensor = halve(_lrelu(convolve(x)))
        return halved

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Style code [B, 512], and the scales and shifts of the decoder's levels."""
        x = self._first(x)
        skips: list[torch.Tensor] = []
        for down in self.conv_body_down:
            x = down(x)
            skips.insert(0, x)
        x = _lrelu(self.final_conv(x))
        code = self.final_linear(x.flatten(1))
        scales, shifts = [], []
        for level, up in enumerate(self.conv_body_up):
            x = up(x + skips[level])
            scales.append(self.condition_scale[level](x))
            shifts.append(self.condition_shift[level](x))
        return code, scales, shifts

    def forward(self, x: torch.Tensor, noises: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Rendered channels to pictures.

        Args:
            x: [B, 32, 512, 512]; smaller pictures are enlarged first.
            noises: one per style convolution; None takes the stored ones (the published program draws new ones for
                every frame, so its frames cannot be repeated).
        Returns:
            [B, 3, 512, 512] RGB in [0, 1].
        """
        return self.pre_sigmoid(x, noises).sigmoid()

    def pre_sigmoid(self, x: torch.Tensor, noises: list[torch.Tensor] | None = None) -> torch.Tensor:
        code, scales, shifts = self.encode(x)
        rgb: torch.Tensor = self.stylegan_decoder(code, scales, shifts, noises or self.stylegan_decoder.noises.stored())
        return rgb
