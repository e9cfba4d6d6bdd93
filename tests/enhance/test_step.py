"""`talkinghead stage enhance-frames`: a folder of frames to a folder of sharper ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.cli.main import main  # noqa: E402
from talkinghead.engine.picture_steps import read_picture, write_picture  # noqa: E402
from talkinghead.engine.steps import picture_name, write_array  # noqa: E402
from talkinghead.enhance.config import EnhanceConfig  # noqa: E402
from talkinghead.enhance.step import enhance_frames  # noqa: E402
from talkinghead.errors import MediaNotFound, OptionError, OutputExists, StaleStage  # noqa: E402
from tests.enhance.networks import needs_spandrel  # noqa: E402

pytestmark = needs_spandrel

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), dtype=np.uint8)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    (tmp_path / "frames").mkdir()
    for index, picture in enumerate(PICTURES):
        write_picture(tmp_path / "frames" / picture_name(index), picture)
    return tmp_path / "frames"


def test_the_step_sharpens_in_the_boxes(frames: Path, sharp: Path, tmp_path: Path) -> None:
    write_array(tmp_path / "coords.npy", np.array([[20, 100, 40, 110]]))
    out, report = tmp_path / "sharp", tmp_path / "report.json"
    command = ["stage", "enhance-frames", "--frames", str(frames), "--enhance", str(sharp), "--out", str(out),
               "--coords", str(tmp_path / "coords.npy"), "--device", "cpu", "--report", str(report)]  # fmt: skip
    assert main(command) == 0
    for index, picture in enumerate(PICTURES):
        touched = (read_picture(out / picture_name(index)) != picture).any(axis=-1)
        assert touched[60:95, 55:95].mean() > 0.5
        assert not touched[:40].any()
        assert not touched[:, 130:].any()
    told = json.loads(report.read_text())
    assert (told["stage"], told["items"], told["details"]["enhance"]["faces"]) == ("enhance-frames", 3, 3)
    with pytest.raises(OutputExists, match="--force"):
        enhance_frames(frames, out, EnhanceConfig(enhance=sharp))


def test_frames_without_a_face_pass(frames: Path, sharp: Path, tmp_path: Path) -> None:
    made = enhance_frames(frames, tmp_path / "sharp", EnhanceConfig(enhance=sharp, enhance_strength=0), device="cpu")
    assert made.items == 3
    assert all(
        np.array_equal(read_picture(tmp_path / "sharp" / picture_name(index)), picture)
        for index, picture in enumerate(PICTURES)
    )


def test_what_does_not_fit_is_refused_and_leaves_nothing(frames: Path, sharp: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "sharp", EnhanceConfig(enhance=sharp)
    for boxes in ([[20, 200, 40, 110]], [[20, 20, 40, 110]], np.zeros((0, 4), int)):
        write_array(tmp_path / "coords.npy", np.asarray(boxes))
        with pytest.raises(StaleStage, match="160x120"):
            enhance_frames(frames, out, config, coords=tmp_path / "coords.npy")
    with pytest.raises(OptionError, match="No network"):
        enhance_frames(frames, out, EnhanceConfig())
    with pytest.raises(MediaNotFound, match="no folder"):
        enhance_frames(tmp_path / "nowhere", out, config)
    assert not out.exists()
