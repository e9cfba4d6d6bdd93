"""Motion features as bits on several time scales (ARTalk, bitwise multi-scale residual quantisation)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F


def area_pool(x: torch.Tensor, length: int) -> torch.Tensor:
    """Average bins over time: bin i covers [floor(i n / length), ceil((i + 1) n / length)).

    Args:
        x: [B, n, C].
    Returns:
        [B, length, C].
    """
    if x.shape[1] == length:
        return x
    return F.adaptive_avg_pool1d(x.transpose(1, 2), length).transpose(1, 2)


def stretch(x: torch.Tensor, length: int) -> torch.Tensor:
    """Linear interpolation over time with half-pixel centres, clamped at the ends.

    Args:
        x: [B, p, C].
    Returns:
        [B, length, C].
    """
    if x.shape[1] == length:
        return x
    return F.interpolate(x.transpose(1, 2), size=length, mode="linear", align_corners=False).transpose(1, 2)


def residual_bits(features: torch.Tensor, patch_nums: Sequence[int]) -> torch.Tensor:
    """Quantise features scale by scale; each scale codes what the ones before left over.

    Args:
        features: [B, T, C] float32.
    Returns:
        [B, sum(patch_nums), C] bool; zero and NaN give False.
    """
    length, dim = features.shape[1], features.shape[2]
    residual = features
    bits = []
    for number in patch_nums:
        unit = F.normalize(area_pool(residual, number), dim=-1, eps=1e-12)
        bit = unit > 0
        bits.append(bit)
        code = torch.where(bit, 1.0, -1.0).to(unit.dtype) / math.sqrt(dim)
        # The published straight-through form; it differs from `code` by at most one unit in the last place.
        residual = residual - stretch(unit + (code - unit), length)
    return torch.cat(bits, dim=1)


def bits_to_codes(bits: torch.Tensor) -> torch.Tensor:
    """±1 / sqrt(C), float32, of the bits' shape."""
    return (2.0 * bits.to(torch.float32) - 1.0) / math.sqrt(bits.shape[-1])


def running_sums(bits: torch.Tensor, patch_nums: Sequence[int]) -> list[torch.Tensor]:
    """Features after each scale.

    Args:
        bits: [B, sum of the first k patch_nums, C]; may stop after any scale.
    Returns:
        k arrays [B, T, C]; the last of a complete set is the decoder's input.
    """
    length = patch_nums[-1]
    total: torch.Tensor | None = None
    sums = []
    start = 0
    for number in patch_nums:
        if start == bits.shape[1]:
            break
        step = stretch(bits_to_codes(bits[:, start : start + number]), length)
        total = step if total is None else total + step
        sums.append(total)
        start += number
    return sums


def multiscale_features(bits: torch.Tensor, patch_nums: Sequence[int]) -> torch.Tensor:
    """What the generator reads: after each scale, the running sum pooled to the next scale.

    Returns:
        [B, sum of patch_nums[1 : k + 1], C] for bits of k scales (180 tokens of a complete set).
    """
    sums = running_sums(bits, patch_nums)
    pooled = [area_pool(total, number) for total, number in zip(sums, patch_nums[1:], strict=False)]
    return torch.cat(pooled, dim=1)
