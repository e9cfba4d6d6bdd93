"""Videos say in their metadata that they are synthetic."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.cli.main import main
from talkinghead.media import EncodeOptions, probe, write_video
from talkinghead.media.writer import SYNTHETIC_LABEL

FRAMES = [np.full((32, 48, 3), 90, np.uint8)] * 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_a_video_says_that_it_is_synthetic(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, FRAMES, fps=Fraction(25))
    assert probe(tmp_path / name).comment == SYNTHETIC_LABEL


def test_it_can_be_left_out_and_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "a.mp4", FRAMES, fps=Fraction(25), options=EncodeOptions(label=False))
    assert probe(tmp_path / "a.mp4").comment is None
    write_video(tmp_path / "b.mp4", FRAMES, fps=Fraction(25))
    assert main(["inspect", str(tmp_path / "b.mp4")]) == 0
    assert SYNTHETIC_LABEL in capfd.readouterr().out
