"""Golden files of Wav2Lip: weights and inputs made from their seeds."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FOLDER = GOLDEN / "wav2lip"


def load_synthetic() -> Any:
    spec = importlib.util.spec_from_file_location("golden_synthetic", GOLDEN / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic = load_synthetic()


def golden_weights(name: str) -> dict[str, np.ndarray]:
    """The synthetic weights of "wav2lip96", "wav2lip256" or "s3fd"."""
    state = synthetic.state(synthetic.load_manifest(FOLDER / f"{name}.manifest.json"), 0)
    for key, factor in json.loads((FOLDER / f"{name}.scale.json").read_text())["scale"].items():
        state[key] = (state[key] * np.float32(factor)).astype(np.float32)
    return state


def make_inputs(npz: Any) -> dict[str, np.ndarray]:
    """The inputs that a golden file does not store."""
    made = {}
    for item in json.loads(str(npz["inputs"])):
        if not item.get("stored"):
            made[item["name"]] = synthetic.uniform(
                item["name"], tuple(item["shape"]), item["low"], item["high"], int(npz["seed"])
            )
    return made


@pytest.fixture(scope="session")
def golden_file() -> Callable[[str], Any]:
    return lambda name: np.load(FOLDER / f"{name}.npz")


@pytest.fixture(scope="session")
def golden_inputs() -> Callable[[Any], dict[str, np.ndarray]]:
    """The inputs that a golden file does not store, made from its seed."""
    return make_inputs


@pytest.fixture(scope="session")
def weights96() -> dict[str, np.ndarray]:
    return golden_weights("wav2lip96")


@pytest.fixture(scope="session")
def weights256() -> dict[str, np.ndarray]:
    return golden_weights("wav2lip256")


@pytest.fixture(scope="session")
def weights_s3fd() -> dict[str, np.ndarray]:
    return golden_weights("s3fd")
