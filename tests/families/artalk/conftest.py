"""Weights and inputs of the golden files, rebuilt from their seeds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def _load_synthetic() -> Any:
    spec = importlib.util.spec_from_file_location("golden_synthetic", GOLDEN / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic = _load_synthetic()


class Golden:
    """One golden file: `Golden("artalk/vae_small")`; `weights` names the manifest where it is another."""

    def __init__(self, name: str, weights: str | None = None) -> None:
        self.file = np.load(GOLDEN / f"{name}.npz")
        self.base = GOLDEN / (weights or name)

    def __getitem__(self, key: str) -> np.ndarray:
        return self.file[key]

    def __contains__(self, key: str) -> bool:
        return key in self.file.files

    @property
    def seed(self) -> int:
        return int(self.file["seed"])

    @property
    def overrides(self) -> dict[str, Any]:
        path = self.base.with_name(self.base.name + ".overrides.json")
        return json.loads(path.read_text()) if path.exists() else {}

    def state(self) -> dict[str, np.ndarray]:
        manifest = synthetic.load_manifest(self.base.with_name(self.base.name + ".manifest.json"))
        weights = synthetic.state(manifest, self.seed)
        extra = self.overrides
        for key, (low, high) in dict(extra.get("uniform") or {}).items():
            weights[key] = synthetic.uniform(key, weights[key].shape, low, high, self.seed)
        for key, factor in dict(extra.get("scale") or {}).items():
            weights[key] = (weights[key] * np.float32(factor)).astype(np.float32)
        return weights

    def inputs(self) -> dict[str, np.ndarray]:
        """By the name after the last "/"."""
        found = {}
        for text in self.file["inputs"]:
            row = json.loads(str(text))
            found[row["name"].split("/")[-1]] = synthetic.uniform(
                row["name"], tuple(row["shape"]), row["low"], row["high"], self.seed
            )
        return found

    def difference(self, key: str, value: Any) -> np.ndarray:
        """Absolute differences at the stored places; the whole shape must fit."""
        array = np.asarray(value)
        stored = self.file[key]
        if f"{key}__shape" in self:
            assert tuple(self.file[f"{key}__shape"]) == array.shape, (key, array.shape)
            stride = int(self.file[f"{key}__stride"])
            if stride > 1:
                array = array.reshape(-1)[::stride]
        assert array.shape == stored.shape, (key, array.shape, stored.shape)
        return np.abs(array.astype(np.float64) - stored.astype(np.float64))

    def check(self, key: str, value: Any, tolerance: float) -> None:
        worst = float(self.difference(key, value).max())
        assert worst <= tolerance, f"{key}: {worst} > {tolerance}"


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """A folder as published, with a small model."""
    golden = Golden("artalk/ar_small")
    folder = tmp_path_factory.mktemp("assets")
    weights = {name: torch.from_numpy(value) for name, value in golden.state().items()}
    # wav2vec2's sizes are not in config.json: the published ones are implied. Tests shrink them by hand.
    torch.save(weights, folder / "ARTalk_wav2vec.pt")
    (folder / "config.json").write_text(
        json.dumps(
            {
                "AR_CONFIG": {"T_DEPTH": 2, "T_NUM_HEADS": 12, "PREV_RATIO": 1},
                "VAE_CONFIG": golden.overrides["config"]["VAE_CONFIG"],
            }
        )
    )
    (folder / "style_motion").mkdir()
    storage = torch.zeros(3000, 106)
    storage[100:150] = torch.from_numpy(golden.inputs()["style23"][0])
    torch.save(storage[100:150], folder / "style_motion" / "natural_0.pt")
    return folder


@pytest.fixture(scope="module")
def small_sizes():
    """Make the implied audio encoder small while these tests run."""
    from talkinghead.families.artalk.motion import config

    before = dict(config.XLS_R_300M)
    config.XLS_R_300M.clear()
    config.XLS_R_300M.update(Golden("artalk/ar_small").overrides["wav2vec2_config"])
    yield
    config.XLS_R_300M.clear()
    config.XLS_R_300M.update(before)
