"""Networks over `Ops` in torch: any device and precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from talkinghead.contracts import FloatArray
from talkinghead.graph.conv import Conv


class TorchOps:
    """`Ops` that computes at once; weights are moved to the device when first used."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype
        self._weights: dict[int, tuple[Any, Tensor, Tensor | None]] = {}

    def _of(self, conv: Conv) -> tuple[Tensor, Tensor | None]:
        found = self._weights.get(id(conv))
        if found is None:
            weight = torch.from_numpy(conv.weight).to(self.device, self.dtype, memory_format=torch.channels_last)
            bias = None if conv.bias is None else torch.from_numpy(conv.bias).to(self.device, self.dtype)
            found = (conv, weight, bias)  # keeps the key's owner alive
            self._weights[id(conv)] = found
        return found[1], found[2]

    def conv(self, x: Tensor, conv: Conv, *, relu: bool = False) -> Tensor:
        weight, bias = self._of(conv)
        y = functional.conv2d(x, weight, bias, conv.stride, conv.padding, groups=conv.groups)
        return functional.relu_(y) if relu else y

    def add(self, a: Tensor, b: Tensor, *, relu: bool = False) -> Tensor:
        y = a + b
        return functional.relu_(y) if relu else y

    def concat(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b], dim=1)

    def upsample(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)

    def planes(self, picture: Tensor) -> Tensor:
        # a contiguous uint8 [B, H, W, 3] seen as [B, 3, H, W] is in channels-last memory format already
        return (picture.permute(0, 3, 1, 2).to(torch.float32) / 255).to(self.dtype)

    def masked(self, x: Tensor, mask: FloatArray) -> Tensor:
        key = id(mask)
        if key not in self._weights:
            self._weights[key] = (mask, torch.from_numpy(mask).to(self.device, self.dtype), None)
        return x * self._weights[key][1]

    def pooled(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)

    def sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x.float())

    def picture(self, x: Tensor) -> Tensor:
        return (x * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
