"""Folded convolutions and the operations that networks here are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray

T = TypeVar("T")

BATCH_NORM_EPS = 1e-5
"""PyTorch's default, which the published networks use."""


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution with its bias."""

    weight: FloatArray
    """[out, in / groups, k, k] float32."""
    bias: FloatArray | None
    """[out] float32."""
    stride: tuple[int, int] = (1, 1)
    padding: int = 0
    groups: int = 1

    def columns(self, start: int, stop: int, *, bias: bool) -> Conv:
        """The part that acts on some input channels."""
        weight = np.ascontiguousarray(self.weight[:, start:stop])
        return Conv(weight, self.bias if bias else None, self.stride, self.padding)


def fold_batch_norm(
    tensors: Mapping[str, NDArray[Any]],
    conv: str,
    norm: str,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: int = 0,
    groups: int = 1,
) -> Conv:
    """A convolution and the BatchNorm behind it as one convolution; computed in float64.

    Args:
        tensors: state dict.
        conv, norm: names of the two modules in it.
    """

    def get(name: str) -> NDArray[np.float64]:
        return np.asarray(tensors[name], np.float64)

    scale = get(f"{norm}.weight") / np.sqrt(get(f"{norm}.running_var") + BATCH_NORM_EPS)
    bias = get(f"{norm}.bias") - get(f"{norm}.running_mean") * scale
    if f"{conv}.bias" in tensors:
        bias = bias + get(f"{conv}.bias") * scale
    weight = get(f"{conv}.weight") * scale[:, None, None, None]
    return Conv(weight.astype(np.float32), bias.astype(np.float32), stride, padding, groups)


class Ops(Protocol[T]):
    """The operations; maps are [B, C, H, W] floats."""

    def conv(self, x: T, conv: Conv, *, relu: bool = False) -> T: ...

    def add(self, a: T, b: T, *, relu: bool = False) -> T: ...

    def concat(self, a: T, b: T) -> T:
        """Along the channels."""

    def upsample(self, x: T) -> T:
        """Bilinear, twice the size, corners aligned."""

    def planes(self, picture: T) -> T:
        """uint8 [B, H, W, 3] to [B, 3, H, W] in [0, 1]: divided by 255."""

    def masked(self, x: T, mask: FloatArray) -> T:
        """Times a constant [1, 1, H, W]."""

    def pooled(self, x: T) -> T:
        """Mean over the picture: [B, C, 1, 1]."""

    def sigmoid(self, x: T) -> T: ...

    def picture(self, x: T) -> T:
        """[B, 3, H, W] in [0, 1] to uint8 [B, H, W, 3]: times 255, truncated."""
