"""Golden files: what the published programs compute from weights and inputs that are made anew from their seeds.

Each family's folder below `golden/` has a README of its layout. Files that hold networks have `NAME.manifest.json`
(names and shapes of the weights) and the rules that keep synthetic activations in range: `NAME.overrides.json`,
`NAME.scale.json`, or `weights_scale` in the file itself.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden import synthetic
from tests.tolerances import tolerance

GOLDEN = Path(__file__).resolve().parent / "golden"


def read_json(name: str) -> Any:
    """A JSON file below tests/golden."""
    return json.loads((GOLDEN / name).read_text())


def manifest(name: str) -> dict[str, Any]:
    """Shapes and types of a network's weights: `manifest("wav2lip/s3fd")`."""
    found: dict[str, Any] = synthetic.load_manifest(GOLDEN / f"{name}.manifest.json")
    return found


def network_weights(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """The synthetic weights of a network: `network_weights("wav2lip/s3fd")`."""
    state: dict[str, np.ndarray] = synthetic.state(manifest(name), seed)
    overrides = read_json(f"{name}.overrides.json") if (GOLDEN / f"{name}.overrides.json").exists() else {}
    for key, (low, high) in dict(overrides.get("uniform") or {}).items():
        state[key] = synthetic.uniform(key, state[key].shape, low, high, seed)
    for key, factor in _factors(name, state, overrides):
        state[key] = (state[key] * np.float32(factor)).astype(state[key].dtype)
    return state


def _factors(name: str, state: dict[str, np.ndarray], overrides: dict[str, Any]) -> list[tuple[str, float]]:
    """Weights to be multiplied, with their factors."""
    factors = list(dict(overrides.get("scale") or {}).items())
    if (GOLDEN / f"{name}.scale.json").exists():
        factors += read_json(f"{name}.scale.json")["scale"].items()
    if (GOLDEN / f"{name}.npz").exists():
        case = Golden(name)
        for pattern, factor in json.loads(str(case["weights_scale"])) if "weights_scale" in case else []:
            factors += [(key, factor) for key in state if re.search(pattern, key)]
    return factors


class Golden:
    """One file: `Golden("artalk/vae_small")`.

    Args:
        network: whose weights, where the network has another name.
    """

    def __init__(self, name: str, network: str | None = None) -> None:
        self.name = name
        self.network = network or name
        self.arrays = np.load(GOLDEN / f"{name}.npz", allow_pickle=False)

    def __getitem__(self, key: str) -> np.ndarray:
        found: np.ndarray = self.arrays[key]
        return found

    def __contains__(self, key: str) -> bool:
        return key in self.arrays.files

    @property
    def seed(self) -> int:
        return int(self["seed"])

    @property
    def overrides(self) -> dict[str, Any]:
        """What else the network's overrides file says, such as its config."""
        path = f"{self.network}.overrides.json"
        return read_json(path) if (GOLDEN / path).exists() else {}

    def weights(self) -> dict[str, np.ndarray]:
        return network_weights(self.network, self.seed)

    def inputs(self, containing: str = "") -> dict[str, np.ndarray]:
        """The inputs that are not stored, by what stands after the last "/" of their names.

        Args:
            containing: only those whose whole name has this in it.
        """
        listed = self["inputs"]
        rows = json.loads(str(listed)) if listed.ndim == 0 else [json.loads(str(row)) for row in listed]
        made = {
            row["name"]: synthetic.uniform(row["name"], tuple(row["shape"]), row["low"], row["high"], self.seed)
            for row in rows
            if containing in row["name"] and not row.get("stored")
        }
        short = {name.rsplit("/", 1)[-1]: value for name, value in made.items()}
        assert len(short) == len(made), f"names of {self.name} meet: {list(made)}"
        return short

    def difference(self, key: str, value: Any, part: Any = ...) -> np.ndarray:
        """Absolute differences at the stored places, or to a part of what is stored; the whole shape must fit."""
        array = np.asarray(value)
        stored = self[key][part]
        if part is ... and f"{key}__shape" in self:
            assert tuple(self[f"{key}__shape"]) == array.shape, (key, array.shape)
            stride = int(self[f"{key}__stride"])
            if stride > 1:
                array = array.reshape(-1)[::stride]
        assert array.shape == stored.shape, (key, array.shape, stored.shape)
        return np.abs(array.astype(np.float64) - stored.astype(np.float64))

    def check(self, key: str, value: Any, part: Any = ...) -> None:
        """Whether a value is the published one (or a part of it), within the tolerance of the table."""
        difference = self.difference(key, value, part)
        worst = float(difference.max()) if difference.size else 0.0
        allowed = tolerance(f"{self.name}:{key}")
        assert worst <= allowed, f"{self.name}:{key} is off by {worst}, more than {allowed}"
