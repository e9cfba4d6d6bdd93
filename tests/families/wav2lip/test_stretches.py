"""A video of Wav2Lip in parts: a face is the same whichever faces it is generated with, and after whichever."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.contracts import AudioClip, Speech  # noqa: E402
from talkinghead.engine.cache import Cache, NullCache  # noqa: E402
from tests.families.wav2lip.test_runs import PICTURES, load, prepare  # noqa: E402
from tests.stretches import check_stretches  # noqa: E402
from tests.synthetic_media import make_video  # noqa: E402


def speech() -> Speech:
    """Noise, then silence, in which windows are equal and the gate shuts, then noise."""
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, 24_000).astype(np.float32)
    samples[8_000:16_000] = 0
    clip = AudioClip(samples, 16_000)
    return Speech(clip, clip)


def test_a_picture_whose_face_comes_again(thin_checkpoint: Path, tmp_path: Path) -> None:
    head = load(thin_checkpoint, backend="onnx")
    check_stretches(head, prepare(head, PICTURES[0], Cache(tmp_path)), speech())


FAMILIES = [{}, {"silence_gate": False}, {"reuse": False, "batch_size": 3}]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("backend", "precision", "family"),
    [
        *itertools.product(["torch", "onnx"], ["parity"], FAMILIES),
        ("openvino", "int8", {}),
    ],
)
def test_a_video(thin_checkpoint: Path, tmp_path: Path, backend: str, precision: str, family: dict) -> None:
    """PyTorch computes one face alone otherwise than two together; 8 bits are calibrated on the first faces."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    video = make_video(tmp_path / "face.mp4", num_frames=20, size=(80, 72))
    head = load(thin_checkpoint, backend=backend, precision=precision, **family)
    check_stretches(head, prepare(head, video, NullCache()), speech(), examples=6)
