"""`talkinghead serve` as a process that is killed, started again, and asked to stop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from talkinghead.media import probe
from tests.conftest import ROOT
from tests.mesh_hidden import python_path
from tests.serve.conftest import TOKENS, ended, ordered

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@contextmanager
def command(data: Path) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The command with the model for tests in it, and a client."""
    import httpx

    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stripes", "serve", "--port", "0", "--data", str(data)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": python_path(ROOT), "TALKINGHEAD_SERVE_TOKENS": f"anna {TOKENS['anna']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+/", line)
        assert found is not None, line
        bearer = {"Authorization": f"Bearer {TOKENS['anna']}"}
        with httpx.Client(base_url=found[0], headers=bearer, timeout=60) as client:
            yield process, client
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.thorough
def test_a_server_that_is_killed_goes_on_where_it_was(tmp_path: Path, media: dict[str, Path]) -> None:
    slow = {"model": {"delay_s": 0.1}}
    with command(tmp_path / "data") as (process, client):
        done = ordered(client, media, {"Idempotency-Key": "1"}).json()["id"]
        assert ended(client, done)["status"] == "completed"
        videos = [ordered(client, media, options=slow).json()["id"] for _ in range(2)]
        with client.stream("GET", f"/v1/videos/{videos[0]}/events") as events:
            assert any('"stage":"render"' in line for line in events.iter_lines())
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    with command(tmp_path / "data") as (process, client):
        assert [ended(client, video)["status"] for video in (done, *videos)] == ["completed"] * 3
        assert ordered(client, media, {"Idempotency-Key": "1"}).json()["id"] == done
        path = tmp_path / "got.mp4"
        path.write_bytes(client.get(f"/v1/videos/{videos[0]}/content").content)
        assert probe(path).video[0].num_frames == 25
        waiting = ordered(client, media, options=slow).json()["id"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    with command(tmp_path / "data") as (process, client):
        assert ended(client, waiting)["status"] == "completed"
    left = {path.name for place in (tmp_path / "data" / "videos").iterdir() for path in place.iterdir()}
    assert {name.partition("-")[0] for name in left} == {"record.json", "made"}
