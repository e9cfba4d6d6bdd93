"""Convolutions with BatchNorm folded in, and writing them into a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.graph import GraphBuilder
from talkinghead.contracts import FloatArray

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

    def write(self, graph: GraphBuilder, x: str, *, relu: bool = False, name: str | None = None) -> str:
        """Apply it to a value of a graph; gives the name of the result."""
        bias = np.zeros(len(self.weight), np.float32) if self.bias is None else self.bias
        y = graph.conv(
            x,
            self.weight,
            bias,
            stride=self.stride,
            padding=(self.padding,) * 4,
            groups=self.groups,
            name=None if relu else name,
        )
        return graph.relu(y, name) if relu else y


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
