"""A head in LiveKit and in pipecat, in environments of their own: what they need does not go with all else."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

INSTALL_S, RUN_S = 240, 120


def wanted(extra: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"][extra], "pytest"]


def environment(folder: Path, extra: str, constraints: str) -> Path:
    """An interpreter with what one extra asks for; the package itself is that of the checkout."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=RUN_S)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--constraint", ROOT / constraints, *wanted(extra)],
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )
    if "No matching distribution" in done.stderr or "Could not find a version" in done.stderr:
        pytest.skip(f"the package index lacks what the extra {extra} asks for: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("extra", "constraints"), [("livekit", "constraints.txt"), ("pipecat", "constraints-pipecat.txt")]
)
def test_the_contracts_of_agents(tmp_path: Path, extra: str, constraints: str) -> None:
    python = environment(tmp_path / "env", extra, constraints)
    cases = ROOT / "tests" / "live" / f"{extra}_cases.py"
    command = [python, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", tmp_path, "--import-mode=importlib"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", cases],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        env=environ,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("extra", "package"), [("livekit", "livekit"), ("pipecat", "pipecat")])
def test_without_the_package_the_error_names_the_extra(extra: str, package: str, monkeypatch) -> None:
    from talkinghead.errors import MissingDependency

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"talkinghead.live.{extra}", raising=False)
    with pytest.raises(MissingDependency, match=rf"talkinghead\[{extra}\]"):
        __import__(f"talkinghead.live.{extra}")
