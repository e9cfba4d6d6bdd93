"""Speech piece by piece, against LiveTalking (golden)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.engine.cache import NullCache  # noqa: E402
from talkinghead.engine.head import LoadOptions, PrepareOptions  # noqa: E402
from talkinghead.face import FaceOptions  # noqa: E402
from talkinghead.families.wav2lip.live import LiveSession, LiveWindows  # noqa: E402
from talkinghead.families.wav2lip.pipeline import Wav2LipHead  # noqa: E402
from talkinghead.families.wav2lip.postprocess import paste_box, to_faces_bgr  # noqa: E402
from talkinghead.families.wav2lip.preprocess import from_coords, mirror_index, network_faces  # noqa: E402
from talkinghead.weights import write_safetensors  # noqa: E402
from tests.families.wav2lip.test_pipeline import stand_in  # noqa: E402


@pytest.mark.parametrize("piece", [320, 777, 7680])
def test_golden_windows(golden_file: Callable[[str], Any], piece: int) -> None:
    data = golden_file("livetalking_stream")
    windows = LiveWindows(int(data["batch"]))
    wave = data["wave"]
    steps = [step for first in range(0, len(wave), piece) for step in windows.push(wave[first : first + piece])]
    assert len(steps) == len(data["chunks"])
    for (found, heard), expected in zip(steps, data["chunks"], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
        assert len(heard) == windows.step_samples
    delayed = np.concatenate([np.zeros(windows.delay_samples, np.float32), wave])
    np.testing.assert_array_equal(np.concatenate([heard for _, heard in steps]), delayed[: len(wave)])


def test_golden_frames(golden_file: Callable[[str], Any]) -> None:
    data = golden_file("livetalking_stream")
    count = len(data["frames"])
    index = [mirror_index(int(data["start"]) + i, count) for i in range(int(data["batch"]))]
    np.testing.assert_array_equal(index, data["index"])
    faces = data["faces"][index]
    planes = network_faces(faces)
    np.testing.assert_array_equal(np.rint(planes[[0, -1]] * 255).astype(np.uint8), data["input_u8"])
    made = to_faces_bgr(stand_in(data["chunks"][int(data["step_used"])], planes))
    boxes = from_coords(data["coords"])
    for i, shown in enumerate(index):
        frame = np.ascontiguousarray(data["frames"][shown][..., ::-1])
        np.testing.assert_array_equal(paste_box(frame, made[i], boxes[shown])[..., ::-1], data["written"][i])


def test_session(tmp_path: Path, weights96: dict[str, np.ndarray]) -> None:
    path = tmp_path / "w.safetensors"
    write_safetensors(weights96, path)
    head = Wav2LipHead(LoadOptions(checkpoint=path, device="cpu", family={"batch_size": 2}))
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    avatar = head.prepare(picture, PrepareOptions(faces=FaceOptions(box=(8, 8, 56, 56)), cache=NullCache()))
    session = LiveSession(head, avatar, batch=2)
    speech = np.random.default_rng(1).uniform(-0.5, 0.5, 5000).astype(np.float32)
    steps = list(session.push(np.concatenate([np.zeros(6400, np.float32), speech])))
    assert [len(step.frames) for step in steps] == [2] * 8
    np.testing.assert_array_equal(steps[0].frames[0], picture)
    assert (steps[-1].frames[0] != picture).any()
    assert (steps[-1].frames[0][:8] == picture[:8]).all()
    assert sum(len(step.samples) for step in steps) == 8 * 1280
