"""Every loss against plain loops over NumPy arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkinghead.measure.quality import Lpips
from talkinghead.training.losses import temporal_difference, weighted_l1
from talkinghead.training.ranks import Ranks

B, H, W = 4, 5, 6


def given() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Made, truth, weight, follows."""
    rng = np.random.default_rng(0)
    made, truth = rng.random((2, B, 3, H, W)).astype(np.float32)
    weight = rng.uniform(1, 4, (B, 1, H, W)).astype(np.float32)
    return made, truth, weight / weight.mean(axis=(1, 2, 3), keepdims=True), np.array([0, 1, 0, 1], np.float32)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def l1_twin(made: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    total = 0.0
    for b in range(B):
        for y in range(H):
            for x in range(W):
                total += weight[b, 0, y, x] * sum(abs(made[b, c, y, x] - truth[b, c, y, x]) for c in range(3)) / 3
    return total / (B * H * W)


def test_weighted_l1() -> None:
    made, truth, weight, _ = given()
    assert weighted_l1(*tensors(made, truth, weight)).item() == pytest.approx(l1_twin(made, truth, weight), rel=1e-5)


def test_temporal_difference() -> None:
    made, truth, weight, follows = given()
    total = 0.0
    for b in range(1, B):
        if follows[b]:
            change = (made[b] - made[b - 1]) - (truth[b] - truth[b - 1])
            total += sum(
                weight[b, 0, y, x] * abs(change[c, y, x]) / 3 for c in range(3) for y in range(H) for x in range(W)
            )
    wanted = total / (H * W) / B
    assert temporal_difference(*tensors(made, truth, weight, follows)).item() == pytest.approx(wanted, rel=1e-5)


def test_parts_of_a_batch_have_the_mean_of_the_whole() -> None:
    made, truth, weight, follows = tensors(*given())
    parts = [Ranks(rank, 2).part(B) for rank in range(2)]
    for loss, more in ((weighted_l1, ()), (temporal_difference, (follows,))):
        whole = loss(made, truth, weight, *more).item()
        each = [loss(made[p], truth[p], weight[p], *(m[p] for m in more)).item() for p in parts]
        assert np.mean(each) == pytest.approx(whole, rel=1e-5)


def test_the_perceptual_distance_has_the_gradient_of_what_evaluate_shows() -> None:
    rng = np.random.default_rng(1)
    inputs, kernels = (3, 64, 192, 384, 256), (11, 5, 3, 3, 3)
    state = {}
    for level, (index, width) in enumerate(zip((0, 3, 6, 8, 10), (64, 192, 384, 256, 256), strict=True)):
        shape = (width, inputs[level], kernels[level], kernels[level])
        state[f"features.{index}.weight"] = rng.normal(0, 0.05, shape).astype(np.float32)
        state[f"features.{index}.bias"] = np.zeros(width, np.float32)
        state[f"lin{level}.model.1.weight"] = rng.random((1, width, 1, 1)).astype(np.float32)
    lpips = Lpips(state)
    a, b = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    one, two = (torch.from_numpy(frame.transpose(2, 0, 1)[None].astype(np.float32) / 255) for frame in (a, b))
    one.requires_grad_()
    distance = lpips.distance(one, two)
    assert distance.item() == pytest.approx(lpips(a, b), rel=1e-5)
    distance.sum().backward()
    assert one.grad is not None
    assert one.grad.abs().sum() > 0
    assert lpips.distance(two, two).item() == 0
