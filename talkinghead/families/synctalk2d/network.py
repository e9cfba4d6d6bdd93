"""The generator as it was published: the readable twin that the fast engine is proven against.

Module names are those of the published checkpoint (key layout A), hence `maxpool_conv` for a block without pooling.
Everything is float32 [B, C, H, W] with BatchNorm in inference mode (eps 1e-5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from talkinghead.families.synctalk2d.variants import AudioVariant, Variant

EXPANSION = 2
"""Hidden width of an inverted residual block over its input width."""


class InvertedResidual(nn.Module):
    """1x1 expand, 3x3 depthwise, 1x1 project; no activation at the end."""

    def __init__(self, in_width: int, out_width: int, *, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        hidden = EXPANSION * in_width
        self.residual = residual
        self.conv = nn.Sequential(
            nn.Conv2d(in_width, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, out_width, 1, bias=False),
            nn.BatchNorm2d(out_width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class DoubleConv(nn.Module):
    """Two inverted residual blocks, the second one with a shortcut."""

    def __init__(self, in_width: int, out_width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            InvertedResidual(in_width, out_width, stride=stride),
            InvertedResidual(out_width, out_width, residual=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.double_conv(x)
        return y


class Stem(nn.Module):
    """Six colour channels to the first feature map, at full size."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.inconv = nn.Sequential(InvertedResidual(in_width, out_width))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inconv(x)
        return y


class Down(nn.Module):
    """Half the size by a strided block."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(DoubleConv(in_width, out_width, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.maxpool_conv(x)
        return y


class Up(nn.Module):
    """Twice the size, joined with the encoder's map of that size."""

    def __init__(self, deep_width: int, skip_width: int, out_width: int) -> None:
        super().__init__()
        self.conv = DoubleConv(deep_width + skip_width, out_width)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        raised = functional.interpolate(deep, scale_factor=2.0, mode="bilinear", align_corners=True)
        y: Tensor = self.conv(torch.cat([raised, skip], dim=1))
        return y


class Output(nn.Module):
    """The last 1x1 convolution; the sigmoid is applied by the caller."""

    def __init__(self, in_width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class AudioBranch(nn.Module):
    """One window of speech features to a [512, 10, 10] map."""

    def __init__(self, audio: AudioVariant) -> None:
        super().__init__()
        width1, width2 = audio.conv1_width, audio.conv2_width
        self.conv1 = InvertedResidual(audio.input_shape[0], width1, residual=audio.conv1_residual)
        self.conv2 = InvertedResidual(width1, width2, residual=audio.conv2_residual)
        self.conv3 = nn.Conv2d(width2, 256, 3, stride=audio.conv3_stride, padding=1)
        self.bn3 = nn.BatchNorm2d(256)
        self.conv4 = InvertedResidual(256, 256, residual=True)
        self.conv5 = nn.Conv2d(256, 512, 3, stride=2, padding=3)
        self.bn5 = nn.BatchNorm2d(512)
        self.conv6 = InvertedResidual(512, 512, residual=True)
        self.conv7 = InvertedResidual(512, 512, residual=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x))
        x = self.conv4(functional.relu(self.bn3(self.conv3(x))))
        x = functional.relu(self.bn5(self.conv5(x)))
        y: Tensor = self.conv7(self.conv6(x))
        return y


class UNet(nn.Module):
    """Reference picture, blacked copy and speech window to the talking crop."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        size = variant.size
        self.audio_model = AudioBranch(variant.audio)
        widths = size.skip_widths
        bottleneck = widths[-1]
        self.fuse_conv = nn.Sequential(
            DoubleConv(2 * bottleneck, bottleneck),
            DoubleConv(bottleneck, bottleneck // 2),
        )
        self.inc = Stem(6, size.stem_width)
        for k, (in_width, out_width) in enumerate(pairwise(widths), start=1):
            self.add_module(f"down{k}", Down(in_width, out_width))
        deep_widths = (bottleneck // 2, *size.up_widths[:-1])
        skips = widths[-2::-1]
        for k, (deep, skip, out) in enumerate(zip(deep_widths, skips, size.up_widths, strict=True), start=1):
            self.add_module(f"up{k}", Up(deep, skip, out))
        self.outc = Output(size.up_widths[-1])

    @property
    def num_levels(self) -> int:
        """Halvings between the picture and the bottleneck."""
        return len(self.variant.size.down_widths)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Feature maps of the picture, from full size to the bottleneck: what does not depend on speech."""
        maps: list[Tensor] = [self.inc(image)]
        for k in range(1, self.num_levels + 1):
            maps.append(self.get_submodule(f"down{k}")(maps[-1]))
        return maps

    def decode(self, maps: Sequence[Tensor], heard: Tensor) -> Tensor:
        """Join picture and speech.

        Args:
            maps: from `encode`.
            heard: [B, 512, 10, 10], from `audio_model`.
        Returns:
            [B, 3, H, W] in (0, 1), BGR.
        """
        x: Tensor = self.fuse_conv(torch.cat([maps[-1], heard], dim=1))
        for k in range(1, self.num_levels + 1):
            x = self.get_submodule(f"up{k}")(x, maps[-1 - k])
        return torch.sigmoid(self.outc(x).float())  # of half precision, too, the last step is exact

    def forward(self, image: Tensor, audio: Tensor) -> Tensor:
        """Run the whole network.

        Args:
            image: [B, 6, H, W] in [0, 1]: blue, green, red of the reference, then of the blacked copy.
            audio: [B, *variant.audio.input_shape].
        Returns:
            [B, 3, H, W] in (0, 1), BGR.
        """
        return self.decode(self.encode(image), self.audio_model(audio))


def load_unet(tensors: Mapping[str, NDArray[Any]], variant: Variant) -> UNet:
    """The network with its weights, float32, ready for inference.

    Args:
        tensors: checked state dict in key layout A; `num_batches_tracked` may be absent.
    """
    with torch.device("meta"):
        network = UNet(variant)
    state = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in tensors.items()}
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()
