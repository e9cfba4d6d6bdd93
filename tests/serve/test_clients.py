"""What the examples and the page tell clients to do."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from talkinghead.media import probe
from tests.conftest import ROOT
from tests.docs.desk import Shop
from tests.serve.conftest import TOKENS, client_of, opened


def test_the_client_of_a_page(running: Any, media: dict[str, Path], tmp_path: Path) -> None:
    client = runpy.run_path(str(ROOT / "examples" / "http_client.py"))
    out = tmp_path / "out.mp4"
    asked = [str(media["face"]), str(media["audio"]), "--model", "stripes", "-o", str(out)]
    where = ["--url", running.url, "--token", TOKENS["anna"]]
    assert client["main"]([*asked, *where]) == 0
    assert probe(out).video[0].num_frames == 25
    with client_of(running) as anna:
        assert anna.get("/v1/videos").json()["data"] == []  # it removes what it has fetched
    assert client["main"]([*asked[:1], "--text", " ", *asked[2:], *where]) == 1


@pytest.mark.thorough
def test_the_lines_of_the_page(tmp_path: Path) -> None:
    """One after the other in one shell, as a reader would."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("no curl")
    text = (ROOT / "docs" / "http-service.md").read_text(encoding="utf-8")
    lines = [line[2:] for line in re.findall(r"^\$ (?:curl|ID=).*$", text, re.MULTILINE)]
    assert len(lines) >= 9
    desk = tmp_path / "desk"
    desk.mkdir()
    Shop(tmp_path / "shop").furnish(desk, text)
    with opened(tokens=()) as running:
        script = "set -e\n" + "\n".join(lines).replace("http://localhost:8962/", running.url)
        script = script.replace("curl ", "curl --fail-with-body ")
        # the events are those of the whole making: what is fetched after them is there
        done = subprocess.run(
            ["bash", "-c", script], cwd=desk, capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "no_proxy": "localhost"},
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"completed"' in done.stdout
    assert '"deleted":true' in done.stdout
    for name in ("hello.mp4", "live.mp4"):
        assert probe(desk / name).video[0].num_frames > 5
    assert (desk / "hello.webp").read_bytes()[8:12] == b"WEBP"
