"""The drawn person and the constructed networks: a real video whose mouth follows the sound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import talkinghead as th
from talkinghead.audio.encoders.ave import read_ave_encoder
from talkinghead.contracts import AudioClip
from talkinghead.engine.head import RenderOptions
from talkinghead.families.synctalk2d.build import check_template
from talkinghead.families.synctalk2d.procedural import mouth_openness, write_models, write_template

ROOT = Path(__file__).resolve().parents[3]


def bursts() -> AudioClip:
    """Silence and noise in turns of 0.4 s."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 16_000 * 2).astype(np.float32)
    on = (np.arange(len(noise)) // 6400) % 2 == 1
    return AudioClip(np.clip(noise * on, -1, 1), 16_000)


@pytest.mark.thorough
@pytest.mark.parametrize("size", ["328", "160"])
def test_mouth_follows_the_sound(tmp_path: Path, size: str) -> None:
    template = write_template(tmp_path / "template", num_frames=4, width=320, height=240)
    assert check_template(template).usable
    checkpoint = write_models(tmp_path / "model", size)
    head = th.load("synctalk2d", checkpoint=checkpoint)  # the file states its mode, the encoder lies beside it
    avatar, speech = head.prepare(template), th.listen(bursts())
    plan = head.plan(avatar, speech, RenderOptions())
    opened = np.array(
        [
            mouth_openness(frame, avatar.template.read_landmarks(int(key)))
            for frame, key in zip(head.frames(avatar, speech), plan.indices, strict=True)
        ]
    )
    loud = np.array([bool((i // 10) % 2) for i in range(len(opened))])
    inside = np.array([3 <= i % 10 <= 6 for i in range(len(opened))])
    assert opened[~loud & inside].max() < 0.02
    assert opened[loud & inside].min() > 0.2


def test_encoder_hears_loudness(tmp_path: Path) -> None:
    write_models(tmp_path, "160")
    encoder = read_ave_encoder(tmp_path / "audio_visual_encoder.safetensors")
    rows = encoder.features(bursts().samples)
    assert (np.ptp(rows, axis=1) == 0).all()  # all 512 the same
    assert rows[5, 0] == 0
    assert rows[15, 0] > 0.4


def test_script(tmp_path: Path) -> None:
    arguments = ["--frames", "2", "--width", "160", "--height", "120", "--size", "160"]
    script = ROOT / "scripts" / "make_synctalk2d_template.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out"), *arguments], capture_output=True, text=True, check=True
    )
    assert "1.safetensors" in done.stdout
    assert len(list((tmp_path / "out" / "template" / "full_body_img").iterdir())) == 2
