"""What the network learns: from a reference of about the same pose, and the sound, to the true picture.

The published training takes any other frame as the reference. In use the reference is the very frame that is redrawn,
so what a network learns from frames of another pose it never needs. Here most references are frames of about the same
pose with another mouth; some are any frame, so that the mouth of the reference never tells the true one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkinghead.contracts import FloatArray
from talkinghead.families.synctalk2d.crop import masked_picture
from talkinghead.families.synctalk2d.network import UNet
from talkinghead.families.synctalk2d.training_data import TrainingData
from talkinghead.training.losses import Distance, temporal_difference, weighted_l1
from talkinghead.training.speed import Speed

ANY_REFERENCE = 0.1
"""Share of references that are any frame."""
PAIRS = 0.25
"""Share of a batch that is pairs of a frame and the next."""
EVALUATED = 48
"""Held-out frames that are measured, evenly spread."""
STATISTICS_BATCHES = 6
"""Batches over which the normalisation of a network is measured before it is judged or exported."""
EVALUATION_BATCH = 8
SHOWN = 6
GAIN = 0.06
"""How much brighter or darker reference and truth are made together."""


@dataclass(frozen=True)
class Weights:
    """What counts how much."""

    mouth: float = 4.0
    temporal: float = 0.5
    perceptual: float = 0.0


class AvatarTask:
    """A `training.loop.Task` over one person.

    Args:
        previews: folder for pictures.
        distance: perceptual, of pictures in BGR.
    """

    def __init__(
        self,
        data: TrainingData,
        weights: Weights,
        previews: Path,
        distance: Distance | None = None,
        cuts: NDArray[np.int64] | None = None,
    ) -> None:
        self.data = data
        self._weights, self._previews, self._distance = weights, previews, distance
        learned = set(data.learned.tolist()) - set((cuts if cuts is not None else np.empty(0, np.int64)).tolist())
        self._paired = np.array([k for k in data.learned.tolist() if k + 1 in learned], np.int64)
        chosen = np.linspace(0, len(data.held_out) - 1, min(EVALUATED, len(data.held_out))).round().astype(int)
        self._measured = data.held_out[chosen]

    # learning -------------------------------------------------------------------------------------------------------

    def batch(self, rng: np.random.Generator, size: int, step: int) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        """See `training.loop.Task`. The first places of a batch are pairs of neighbours with one reference."""
        data = self.data
        frames = rng.choice(data.learned, size)
        follows = np.zeros(size, np.float32)
        pairs = round(size * PAIRS / 2) if len(self._paired) else 0
        for k in range(pairs):
            first = int(rng.choice(self._paired))
            frames[2 * k : 2 * k + 2] = first, first + 1
            follows[2 * k + 1] = 1
        references = data.alike[frames, rng.integers(0, data.alike.shape[1], size)]
        anywhere = rng.random(size) < ANY_REFERENCE
        references = np.where(anywhere, rng.choice(data.learned, size), references)
        voices = rng.integers(0, len(data.rows), size)
        gains = (1 + rng.uniform(-GAIN, GAIN, size)).astype(np.float32)
        for k in range(pairs):
            for values in (references, voices, gains):
                values[2 * k + 1] = values[2 * k]
        made = self.inputs(frames, references, voices, gains)
        weight = 1 + np.float32(self._weights.mouth - 1) * data.masks(frames)
        made["weight"] = (weight / weight.mean(axis=(1, 2), keepdims=True))[:, None]
        made["follows"] = follows
        return made

    def inputs(
        self,
        frames: NDArray[np.int64],
        references: NDArray[np.int64],
        voices: NDArray[np.int64],
        gains: FloatArray | None = None,
    ) -> dict[str, NDArray[Any]]:
        """What the network sees and hears for some frames, and the true pictures."""
        data = self.data
        truth = data.crops[frames]
        masked = np.stack([masked_picture(picture, data.variant.size) for picture in truth])
        scale = np.float32(1 / 255) if gains is None else (gains / np.float32(255))[:, None, None, None]
        picture = np.concatenate([data.crops[references], masked], axis=3) * scale
        planes = np.minimum(picture, 1).transpose(0, 3, 1, 2)  # channels last in memory
        true = np.minimum(truth * scale, 1).transpose(0, 3, 1, 2)
        return {"picture": planes, "truth": true, "window": data.windows(frames, voices)}

    def losses(self, network: nn.Module, batch: Mapping[str, Tensor], speed: Speed) -> dict[str, Tensor]:
        """See `training.loop.Task`."""
        with speed.autocast():
            made = network(batch["picture"], batch["window"]).float()
        truth, weight = batch["truth"], batch["weight"]
        parts = {"picture": weighted_l1(made, truth, weight)}
        loss = parts["picture"]
        if self._weights.temporal:
            parts["temporal"] = temporal_difference(made, truth, weight, batch["follows"])
            loss = loss + self._weights.temporal * parts["temporal"]
        if self._distance is not None:
            parts["perceptual"] = self._distance(made, truth)
            loss = loss + self._weights.perceptual * parts["perceptual"]
        return {"loss": loss, **parts}

    # measuring ------------------------------------------------------------------------------------------------------

    def evaluate(self, network: nn.Module, speed: Speed) -> dict[str, float]:
        """PSNR of the mouth and of the whole crop on held-out frames; the first is the score."""
        self.measure_statistics(network, speed)
        errors, whole, weights = 0.0, 0.0, 0.0
        for made, truth, mask in self._made(network, speed, self._measured):
            square = np.square(made - truth).mean(axis=1)
            errors += float((square * mask).sum())
            weights += float(mask.sum())
            whole += float(square.mean(axis=(1, 2)).sum())
        mouth = _psnr(errors / weights)
        return {"score": mouth, "mouth_psnr": mouth, "psnr": _psnr(whole / len(self._measured))}

    @cached_property
    def baselines(self) -> dict[str, float]:
        """Mouth PSNR of what needs no network: the best constant picture, and the reference itself."""
        data = self.data
        mean = data.crops[data.learned[:: max(1, len(data.learned) // 500)]].mean(axis=0) / 255
        errors = dict.fromkeys(("constant", "reference"), 0.0)
        total = 0.0
        for k in self._measured.tolist():
            truth = data.crops[k] / np.float32(255)
            mask = data.masks(np.array([k]))[0]
            others = {"constant": mean, "reference": data.crops[data.alike[k, 0]] / np.float32(255)}
            for name, other in others.items():
                errors[name] += float((np.square(other - truth).mean(axis=2) * mask).sum())
            total += float(mask.sum())
        return {f"{name}_mouth_psnr": _psnr(error / total) for name, error in errors.items()}

    def measure_statistics(self, network: nn.Module, speed: Speed) -> None:
        """Set the normalisation of a network to the mean and variance of whole batches."""
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        momentums = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
        network.train()
        with torch.no_grad(), speed.autocast():
            for number in range(STATISTICS_BATCHES):
                batch = self.batch(np.random.default_rng((1_000_003, number)), EVALUATION_BATCH, 0)
                network(speed.tensor(batch["picture"]), speed.tensor(batch["window"]))
        network.eval()
        for norm, momentum in zip(norms, momentums, strict=True):
            norm.momentum = momentum

    def preview(self, network: nn.Module, speed: Speed, step: int) -> None:
        """Held-out frames: reference, made, truth, from left to right."""
        from talkinghead.media import write_png

        self.measure_statistics(network, speed)
        frames = self._measured[np.linspace(0, len(self._measured) - 1, SHOWN).round().astype(int)]
        rows = []
        for made, truth, _ in self._made(network, speed, frames):
            for picture, true in zip(made, truth, strict=True):
                rows.append((picture, true))
        cells = []
        for frame, pair in zip(frames.tolist(), rows, strict=True):
            reference = self.data.crops[self.data.alike[frame, 0]][:, :, ::-1]
            shown = [np.clip(np.rint(255 * each.transpose(1, 2, 0)[:, :, ::-1]), 0, 255) for each in pair]
            cells.append(np.hstack([reference, *shown]).astype(np.uint8))
        middle = (len(cells) + 1) // 2
        columns = [np.vstack(cells[:middle]), np.vstack(cells[middle:])]
        self._previews.mkdir(exist_ok=True)
        write_png(self._previews / f"step-{step:06d}.png", np.ascontiguousarray(np.hstack(columns)))

    def _made(self, network: nn.Module, speed: Speed, frames: NDArray[np.int64]) -> Any:
        """(made, truth, mask) of held-out frames, some at a time; [n, 3, P, P] twice, [n, P, P]."""
        for start in range(0, len(frames), EVALUATION_BATCH):
            part = frames[start : start + EVALUATION_BATCH]
            given = self.inputs(part, self.data.alike[part, 0], np.zeros(len(part), np.int64))
            with torch.no_grad(), speed.autocast():
                made = network(speed.tensor(given["picture"]), speed.tensor(given["window"]))
            yield made.float().cpu().numpy(), given["truth"], self.data.masks(part)


def _psnr(mean_square: float) -> float:
    return 10 * math.log10(1 / max(mean_square, 1e-10))


def new_network(data: TrainingData, seed: int) -> UNet:
    """A generator with weights to begin with: it begins by showing the reference.

    Stem and last block hand the reference's colours through channels that are set aside for them; everything else is
    drawn by the seed, and the second block of every pair begins as no change.
    """
    torch.manual_seed(seed)
    network = UNet(data.variant)
    with torch.no_grad():
        _begin_with_reference(network, data)
    return network


def _begin_with_reference(network: UNet, data: TrainingData) -> None:
    some = data.crops[data.learned[:: max(1, len(data.learned) // 64)]].reshape(-1, 3) / np.float32(255)
    mean, deviation = (torch.from_numpy(np.asarray(v, np.float32)) for v in (some.mean(axis=0), some.std(axis=0)))
    for name, module in network.named_modules():
        if name.endswith("double_conv.1"):
            module.get_submodule("conv.7").weight.zero_()
    stem: Any = network.get_submodule("inc.inconv.0.conv")
    last: Any = network.get_submodule(f"up{network.num_levels}.conv.double_conv.0.conv")
    deep = last[0].weight.shape[1] - stem[6].weight.shape[0]
    _hand_through(stem, 0, mean, deviation)
    _hand_through(last, deep, mean, deviation)
    out = network.outc.conv
    out.weight.zero_()
    assert out.bias is not None
    for colour in range(3):
        out.weight[colour, colour] = 4.4  # of a straight line through the logistic curve
    out.bias.fill_(-2.2)


def _hand_through(block: Any, first: int, mean: Tensor, deviation: Tensor) -> None:
    """Let the first three channels of an inverted residual be its input channels from `first` on."""
    for place in (0, 3, 6):
        weight = block[place].weight
        for colour in range(3):
            weight[colour] = 0
            source = 0 if place == 3 else colour + (first if place == 0 else 0)
            weight[colour, source, weight.shape[2] // 2, weight.shape[3] // 2] = 1
    for place in (1, 4, 7):
        block[place].weight[:3] = deviation
        block[place].bias[:3] = mean
