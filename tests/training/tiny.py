"""A network and a task that take a millisecond a step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkinghead.training.loop import Loop, Plan
from talkinghead.training.speed import Speed

SPEED = Speed(torch.device("cpu"), half=False)


class TinyTask:
    """Learn a fixed picture from noise. `spoil_at`: the loss is no number from that step on."""

    def __init__(self, spoil_at: int = -1) -> None:
        self.spoil_at = spoil_at
        self.evaluated: list[float] = []
        self.score = 0.0

    def batch(self, rng: np.random.Generator, size: int, step: int) -> dict[str, np.ndarray]:
        x = rng.random((size, 3, 6, 6)).astype(np.float32)
        if step == self.spoil_at:
            x[0, 0, 0, 0] = np.nan
        return {"x": x, "y": x.mean(axis=1, keepdims=True)}

    def losses(self, network: nn.Module, batch: Mapping[str, Tensor], speed: Speed) -> dict[str, Tensor]:
        return {"loss": (network(batch["x"]) - batch["y"]).abs().mean()}

    def evaluate(self, network: nn.Module, speed: Speed) -> dict[str, float]:
        batch = {name: torch.from_numpy(value) for name, value in self.batch(np.random.default_rng(9), 8, -2).items()}
        with torch.no_grad():
            return {"score": -self.losses(network, batch, speed)["loss"].item() if self.score == 0.0 else self.score}

    def preview(self, network: nn.Module, speed: Speed, step: int) -> None:
        pass


def tiny_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))


def tiny_loop(folder: Path, steps: int = 40, **more: Any) -> Loop:
    task = more.pop("task", None) or TinyTask()
    plan = Plan(steps, batch=8, rate=1e-2, seed=3, evaluate_every=10, warm_up=5, **more.pop("plan", {}))
    return Loop(task, SPEED.ready(tiny_network()), plan, folder, SPEED, **more)
