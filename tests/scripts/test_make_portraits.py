"""The portraits come out of their script: small here, and not as good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from talkinghead.assets.portrait import PORTRAITS
from talkinghead.media import open_frames
from tests.conftest import ROOT

SCRIPT = str(ROOT / "scripts" / "make_portraits.py")


@pytest.mark.thorough
def test_a_portrait_is_made(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, "iris", "-o", str(tmp_path), "--side", "48", "--samples", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (picture,) = open_frames(tmp_path / "portrait-iris.webp").read()
    assert picture.shape == (48, 48, 3)
    corner, cheek = picture[:4, :4].mean(axis=(0, 1)), picture[26:30, 16:20].mean(axis=(0, 1))
    assert abs(corner - cheek).max() > 10  # somebody is there


@pytest.mark.thorough
def test_the_script_makes_every_portrait_that_comes_along() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "rose"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith(f"there are: {', '.join(PORTRAITS)}\n")
