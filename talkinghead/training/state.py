"""All that a training needs to go on, in one safetensors file that is complete or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from talkinghead.errors import WrongCheckpoint
from talkinghead.reading import parse_json, reading
from talkinghead.weights import write_safetensors
from talkinghead.weights.safetensors import read_safetensors

FORMAT = "talkinghead training/1"
NETWORK, AVERAGE, OPTIMISER = "network.", "average.", "optimiser."

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class State:
    """Where a training stands."""

    network: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    """Moving average of the parameters."""
    optimiser: dict[str, torch.Tensor]
    """"NUMBER.NAME": what the optimiser knows of each parameter."""
    facts: dict[str, Any]
    """Plain values: step, plan, what was measured."""


def write_state(path: Path, state: State) -> None:
    """Write a state so that it appears whole or not at all.

    Raises:
        UnwritableOutput: full disk, no permission.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for prefix, part in ((NETWORK, state.network), (AVERAGE, state.average), (OPTIMISER, state.optimiser)):
        tensors.update({prefix + name: _array(value) for name, value in part.items()})
    metadata = {"format": FORMAT, "facts": json.dumps(state.facts)}
    write_safetensors(tensors, path, metadata=metadata, overwrite=True)


def read_state(path: Path) -> State:
    """Read what `write_state` wrote.

    Raises:
        WrongCheckpoint: another file, or a damaged one.
    """
    with reading(path, WrongCheckpoint, what="is not the state of a training"):
        tensors, metadata = read_safetensors(path, np.memmap(path, np.uint8, "r"))
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        facts = parse_json(metadata["facts"].encode(), f"The facts of {path}", error=WrongCheckpoint)
        parts: dict[str, dict[str, torch.Tensor]] = {NETWORK: {}, AVERAGE: {}, OPTIMISER: {}}
        for name, value in tensors.items():
            prefix = name[: name.index(".") + 1]
            parts[prefix][name.removeprefix(prefix)] = torch.from_numpy(np.array(value))
    return State(parts[NETWORK], parts[AVERAGE], parts[OPTIMISER], facts)


def _array(value: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = value.detach().cpu().contiguous().numpy()
    return array


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What an optimiser of the Adam kind knows, by number of parameter and name."""
    known = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in known.items() for name, value in values.items()}


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Give an optimiser back what it knew."""
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        number, _, what = name.partition(".")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:  # fused steps go through memory: it must lie as the parameter does
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(number), {})[what] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
