"""Golden files of SyncTalk_2D: weights and inputs from their seeds; checkpoints and template folders from those."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FOLDER = GOLDEN / "synctalk2d"


def _load_synthetic() -> Any:
    spec = importlib.util.spec_from_file_location("golden_synthetic", GOLDEN / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic = _load_synthetic()


def golden(name: str) -> Any:
    """The arrays of a golden file."""
    return np.load(FOLDER / f"{name}.npz", allow_pickle=False)


def golden_weights(name: str) -> dict[str, np.ndarray]:
    """The synthetic weights of a network case."""
    data = golden(name)
    state = synthetic.state(synthetic.load_manifest(FOLDER / f"{name}.manifest.json"), int(data["seed"]))
    rules = json.loads(str(data["weights_scale"])) if "weights_scale" in data else []
    for pattern, factor in rules:
        for key, value in state.items():
            if re.search(pattern, key):
                state[key] = (value * np.float32(factor)).astype(value.dtype)
    return state


def golden_inputs(name: str) -> dict[str, np.ndarray]:
    """The inputs of a case by their full names."""
    data = golden(name)
    return {
        item["name"]: synthetic.uniform(item["name"], tuple(item["shape"]), item["low"], item["high"], 0)
        for item in json.loads(str(data["inputs"]))
    }


def write_checkpoint(path: Path, state: Mapping[str, np.ndarray], wrapper: str | None = None, **extra: Any) -> Path:
    """A checkpoint as `torch.save` writes it."""
    import torch

    tensors: Any = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    torch.save({wrapper: tensors, **extra} if wrapper else tensors, path)
    return path


def write_template(folder: Path, case: str) -> Path:
    """The template folder of an end-to-end case."""
    data = golden(case)
    (folder / "full_body_img").mkdir(parents=True)
    (folder / "landmarks").mkdir()
    for k, text in enumerate(json.loads(str(data["landmarks"]))):
        (folder / "full_body_img" / f"{k}.jpg").write_bytes(data[f"jpg_{k}"].tobytes())
        (folder / "landmarks" / f"{k}.lms").write_text(text)
    return folder


def psnr_db(a: np.ndarray, b: np.ndarray, peak: float = 255.0) -> float:
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(peak**2 / error)


@pytest.fixture(scope="session")
def unet328() -> dict[str, np.ndarray]:
    return golden_weights("unet328_ave")


@pytest.fixture(scope="session")
def unet160() -> dict[str, np.ndarray]:
    return golden_weights("unet160_ave")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, unet160: Any, unet328: Any) -> Path:
    """A folder with the checkpoints of the end-to-end cases: 328.pth, 160.pth and the AVE encoder."""
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / "328.pth", unet328)
    write_checkpoint(folder / "160.pth", unet160)
    write_checkpoint(folder / "audio_visual_encoder.pth", golden_weights("ave_encoder"))
    return folder


@pytest.fixture(scope="session")
def template160(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_template(tmp_path_factory.mktemp("template") / "May", "e2e_160_ave")


@pytest.fixture
def fresh_template(tmp_path: Path) -> Callable[[], Path]:
    """Makes a template folder that the test may change."""
    return lambda: write_template(tmp_path / "May", "e2e_160_ave")


def other_resizer() -> bool:
    """Whether OpenCV resizes with other kernels here than where the golden frames were made.

    Its bicubic resize of bytes rounds differently without AVX-512, by one grey level at a few values. The published
    script resizes with the same OpenCV, so it differs from its own golden frames there too.
    """
    import cv2

    return not cv2.checkHardwareSupport(AVX512_SKX)


AVX512_SKX = 256
"""OpenCV's number of the feature; its Python package names none of them."""
