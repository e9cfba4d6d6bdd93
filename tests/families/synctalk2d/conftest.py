"""Golden files of SyncTalk_2D: weights and inputs from their seeds; checkpoints and template folders from those."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden_files import Golden


def golden(name: str) -> Golden:
    """A golden file of this family."""
    return Golden(f"synctalk2d/{name}")


def golden_weights(name: str) -> dict[str, np.ndarray]:
    """The synthetic weights of a network case."""
    return golden(name).weights()


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
