"""The loop: steps, evaluation, the best so far, and a state from which it goes on to the same bits.

    plan ──► step 0, 1, 2, ... ──every `evaluate_every`──► evaluate ──► best.safetensors
                    │
                    └──every `keep_every_s` and at the end──► state.safetensors

What a step sees follows from the seed and its number alone, and so does its rate of learning; the number of steps is
decided once, before the first. So a training that was killed goes on from its last state as if nothing had happened: on
one machine and device, with as many threads, its result is the same to the bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkinghead.errors import BackendError, OutOfMemory
from talkinghead.training.prefetch import prefetched
from talkinghead.training.ranks import Ranks
from talkinghead.training.speed import Speed
from talkinghead.training.state import State, load_optimiser, optimiser_tensors, read_state, write_state

STATE, BEST = "state.safetensors", "best.safetensors"
Batch = Mapping[str, NDArray[Any]]
TIMED_STEPS, WARM_STEPS = 6, 2


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is learned, besides the data; decided before the first step."""

    steps: int
    batch: int
    rate: float
    """Highest learning rate."""
    seed: int
    evaluate_every: int
    warm_up: int = 100
    """Steps until the highest rate."""
    last_rate: float = 0.02
    """Share of the rate at the end."""
    decay: float = 0.998
    """Of the moving average of the weights; less at first."""
    weight_decay: float = 0.01
    patience: int = 8
    """Evaluations in a row without a better one after which it stops; counted from the middle on."""
    precision: str = "float32"

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: a straight rise, then half a cosine."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (self.last_rate + (1 - self.last_rate) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))

    def decay_at(self, step: int) -> float:
        return min(self.decay, (step + 1) / (step + 10))


@dataclass(frozen=True)
class Evaluation:
    """What was measured at a step."""

    step: int
    figures: dict[str, float]
    """By name; "score" decides which is best, higher is better."""

    @property
    def score(self) -> float:
        return self.figures["score"]


@dataclass(frozen=True)
class Progress:
    """How far it is; told after every step."""

    step: int
    steps: int
    loss: float
    left_s: float
    steps_per_s: float
    last: Evaluation | None
    """The last evaluation, told once more with every step."""


class Task(Protocol):
    """What a family gives."""

    def batch(self, rng: np.random.Generator, size: int, step: int) -> Batch:
        """What a step sees; called in several threads, depends on its arguments alone."""

    def losses(self, network: nn.Module, batch: Mapping[str, Tensor], speed: Speed) -> dict[str, Tensor]:
        """Numbers by name; "loss" is what is made smaller."""

    def evaluate(self, network: nn.Module, speed: Speed) -> dict[str, float]:
        """Figures on what is never learned from, "score" among them."""

    def preview(self, network: nn.Module, speed: Speed, step: int) -> None:
        """Write a picture for people to look at."""


@dataclass(eq=False)
class Outcome:
    """How a training ended."""

    step: int
    best: Evaluation | None
    stopped: str
    """"done", "early" or "asked"."""
    history: list[Evaluation] = field(default_factory=list)


class Diverged(BackendError):
    """The loss is no number any more; the last good state is kept."""


@dataclass(eq=False)
class Loop:
    """A training in a folder.

    Args:
        task: what is learned.
        network: with the weights it begins with; on its device already.
        folder: of state and best; made by the caller.
        tell: called after every step by the process that leads.
        stop: asked after every step; what it says ends the training, which can go on later.
    """

    task: Task
    network: nn.Module
    plan: Plan
    folder: Path
    speed: Speed
    ranks: Ranks = field(default_factory=Ranks)
    tell: Callable[[Progress], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False
    keep_every_s: float = 60.0
    preview_every: int = 0
    """Steps between previews; 0 draws none."""
    threads: int = 2

    def __post_init__(self) -> None:
        self._parameters = dict(self.network.named_parameters())
        self._average = {name: value.detach().clone() for name, value in self._parameters.items()}
        self._optimiser = new_optimiser(self.network, self.plan)
        self._history: list[Evaluation] = []
        self._step = 0
        self._wrapped = self.ranks.wrapped(self.network)

    def resume(self) -> bool:
        """Go on from the state in the folder, if there is one.

        Raises:
            WrongCheckpoint: it is of another network.
        """
        path = self.folder / STATE
        if not path.is_file():
            return False
        state = read_state(path)
        self.network.load_state_dict(state.network)
        for name, value in state.average.items():
            self._average[name].copy_(value)
        load_optimiser(self._optimiser, state.optimiser)
        self._step = int(state.facts["step"])
        self._history = [Evaluation(**each) for each in state.facts["history"]]
        return True

    def run(self) -> Outcome:
        """Train to the end of the plan, or until nothing gets better.

        Raises:
            Diverged: the loss is no number. OutOfMemory: a step does not fit.
        """
        plan, stopped = self.plan, "done"
        began, first, kept = time.monotonic(), self._step, time.monotonic()
        batches = prefetched(self._batch, range(self._step, plan.steps), threads=self.threads)
        for step, batch in zip(range(self._step, plan.steps), batches, strict=False):
            loss = self._learn(step, batch)
            self._step = step + 1
            if self._step % plan.evaluate_every == 0 or self._step == plan.steps:
                self._evaluate()
                if self._is_stale():
                    stopped = "early"
            if self.preview_every and self.ranks.leads and self._step % self.preview_every == 0:
                with self.averaged() as network:
                    self.task.preview(network, self.speed, self._step)
            now = time.monotonic()
            each = (now - began) / (self._step - first)
            last = self._history[-1] if self._history else None
            if self.ranks.leads:
                self.tell(Progress(self._step, plan.steps, loss, each * (plan.steps - self._step), 1 / each, last))
            if stopped == "done" and self.stop():
                stopped = "asked"
            if now - kept > self.keep_every_s:
                self.keep()
                kept = now
            if stopped != "done":
                break
        batches.close()
        self.keep()
        return Outcome(self._step, self.best, stopped, self._history)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self._step

    @property
    def best(self) -> Evaluation | None:
        """The first of the highest scores."""
        return max(self._history, key=lambda each: each.score, default=None)

    def keep(self) -> None:
        """Write the state.

        Raises:
            UnwritableOutput: the disk is full; the state before is still there.
        """
        if not self.ranks.leads:
            return
        facts = {
            "step": self._step,
            "plan": asdict(self.plan),
            "history": [{"step": each.step, "figures": each.figures} for each in self._history],
        }
        state = State(self.network.state_dict(), self._average, optimiser_tensors(self._optimiser), facts)
        write_state(self.folder / STATE, state)

    def averaged(self) -> _Averaged:
        """Within it the network has the averaged weights, and its normalisation is left as it is."""
        return _Averaged(self.network, self._parameters, self._average)

    def _batch(self, step: int) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng((self.plan.seed, step))
        whole = self.task.batch(rng, self.plan.batch, step)
        part = self.ranks.part(self.plan.batch)
        return {name: value[part] for name, value in whole.items()}

    def _learn(self, step: int, batch: Batch) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = self.plan.rate_at(step)
        self._wrapped.train()
        try:
            losses = self.task.losses(self._wrapped, on_device(batch, self.speed), self.speed)
            loss = self.ranks.mean(losses["loss"]).item()
            if not math.isfinite(loss):
                raise Diverged(
                    f"The loss is {loss} at step {step + 1}.",
                    remedy="the last good state is kept; begin again with --precision float32 or a lower --rate",
                )
            self._optimiser.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
        except (torch.cuda.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(f"A batch of {self.plan.batch} does not fit into memory.") from error
        keep = self.plan.decay_at(step)
        with torch.no_grad():
            average = list(self._average.values())
            torch._foreach_lerp_(average, list(self._parameters.values()), 1 - keep)
        return loss

    def _evaluate(self) -> None:
        with self.averaged() as network:
            figures = self.task.evaluate(network, self.speed)
            new = Evaluation(self._step, {name: float(value) for name, value in figures.items()})
            best = self.best
            self._history.append(new)
            if self.ranks.leads and (best is None or new.score > best.score):
                write_state(
                    self.folder / BEST, State(network.state_dict(), {}, {}, {"step": self._step, **new.figures})
                )

    def _is_stale(self) -> bool:
        best = self.best
        if best is None or self._step * 2 < self.plan.steps:
            return False
        since = [each for each in self._history if each.step > max(best.step, self.plan.steps // 2)]
        return len(since) >= self.plan.patience


class _Averaged:
    """Swaps averaged weights in, and the learning ones and all statistics back."""

    def __init__(self, network: nn.Module, learning: Mapping[str, Tensor], average: Mapping[str, Tensor]) -> None:
        self._network, self._learning, self._average = network, learning, average

    def __enter__(self) -> nn.Module:
        self._kept = {name: value.detach().clone() for name, value in self._learning.items()}
        self._buffers = {name: value.clone() for name, value in self._network.named_buffers()}
        with torch.no_grad():
            for name, value in self._learning.items():
                value.copy_(self._average[name])
        return self._network.eval()

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for name, value in self._learning.items():
                value.copy_(self._kept[name])
            for name, value in self._network.named_buffers():
                value.copy_(self._buffers[name])
        self._network.train()


def new_optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        network.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=plan.weight_decay, fused=True
    )


def on_device(batch: Batch, speed: Speed) -> dict[str, Tensor]:
    return {name: speed.tensor(value) for name, value in batch.items()}


def seconds_per_step(task: Task, network: nn.Module, plan: Plan, speed: Speed) -> float:
    """How long a step takes here, the median of a few on a copy of the network."""
    trial = copy.deepcopy(network).train()
    optimiser = new_optimiser(trial, plan)
    times = []
    for step in range(WARM_STEPS + TIMED_STEPS):
        batch = task.batch(np.random.default_rng((plan.seed, step)), plan.batch, step)
        began = time.perf_counter()
        loss = task.losses(trial, on_device(batch, speed), speed)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if speed.device.type == "cuda":
            torch.cuda.synchronize(speed.device)
        times.append(time.perf_counter() - began)
    return float(np.median(times[WARM_STEPS:]))
