"""What is computed of a face or a window does not depend on what is computed with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.engine.cache import NullCache  # noqa: E402
from talkinghead.engine.context import RunContext  # noqa: E402
from talkinghead.families.wav2lip.engine import EMBEDDING, Task  # noqa: E402
from talkinghead.families.wav2lip.preprocess import network_faces  # noqa: E402
from talkinghead.weights import write_safetensors  # noqa: E402
from tests.families.wav2lip.test_runs import load  # noqa: E402


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_items_of_a_batch_are_computed_alike(weights96: dict[str, np.ndarray], tmp_path: Path, backend: str) -> None:
    """With the published sizes, which choose other kernels than a thin network: each batch is part of one batch."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    write_safetensors(weights96, tmp_path / "wav2lip.safetensors")
    engine = load(tmp_path / "wav2lip.safetensors", backend=backend).engine
    task, rng = Task(RunContext(cache=NullCache())), np.random.default_rng(0)
    faces = rng.integers(0, 256, (16, 96, 96, 3), dtype=np.uint8)
    windows = rng.uniform(-4, 4, (40, 80, 16)).astype(np.float32)
    heard = engine.hear(windows, task)
    session = engine.session("generator", task)

    def generated(start: int, stop: int) -> np.ndarray:
        inputs = {"audio": heard[start:stop].reshape(-1, EMBEDDING, 1, 1), "face": network_faces(faces[start:stop])}
        return engine._called(session, inputs)["output"]

    whole = generated(0, 16)
    for count in (1, 2, 3, 5, 8, 15):
        start = (16 - count) // 2
        np.testing.assert_array_equal(generated(start, start + count), whole[start : start + count])
        np.testing.assert_array_equal(engine.hear(windows[7 : 7 + count], task), heard[7 : 7 + count])
    np.testing.assert_array_equal(engine.hear(windows[:33], task), heard[:33])  # one is left over
