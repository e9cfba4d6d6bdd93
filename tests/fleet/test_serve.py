"""The HTTP service under Ray Serve: its options, and a cluster whose processes are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from talkinghead.errors import MissingDependency, OptionError
from talkinghead.fleet.serve import ScaledOptions, app
from talkinghead.service.rows import from_row, to_row
from tests.conftest import ROOT


def test_options_come_as_texts_and_as_values() -> None:
    texts = ScaledOptions.of({"data": "/srv/videos", "max_replicas": "8", "gpus": "0.25", "everybody": "true"})
    values = ScaledOptions.of({"data": "/srv/videos", "max_replicas": 8, "gpus": 0.25, "everybody": True})
    assert texts == values
    assert (texts.data, texts.max_replicas, texts.in_hand) == (Path("/srv/videos"), 8, 16)
    assert from_row(ScaledOptions, json.loads(json.dumps(to_row(texts))), "The service") == texts


def test_the_example_for_kuberay_has_options_of_ours() -> None:
    yaml = pytest.importorskip("yaml")
    document = yaml.safe_load((ROOT / "examples" / "kuberay" / "service.yaml").read_text(encoding="utf-8"))
    (application,) = yaml.safe_load(document["spec"]["serveConfigV2"])["applications"]
    options = ScaledOptions.of(application["args"])
    (group,) = document["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert options.max_replicas * options.cpus <= group["maxReplicas"] * 4
    assert options.data is not None
    assert options.data.is_relative_to("/data")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "No data folder"),
        ({"data": "/d", "replicas": "2"}, "replicas"),
        ({"data": "/d", "max_replicas": "many"}, "max_replicas"),
        ({"data": "/d", "min_replicas": 3, "max_replicas": 2}, "3 replicas"),
        ({"data": "/d", "everybody": "yes"}, "everybody"),
    ],
)
def test_other_options_are_refused(args: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ScaledOptions.of(args)


def test_a_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match="'ray'"):
        app({"data": "/d"})


@pytest.mark.thorough
@pytest.mark.skipif(find_spec("ray") is None or sys.platform != "linux", reason="Ray on Linux")
def test_processes_that_are_killed_cost_their_clients_nothing_but_time(tmp_path: Path) -> None:
    """A maker, then the desk, in the middle of a video each; then a video is cancelled, and the next one is made."""
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fleet.serve_case", str(tmp_path)], cwd=ROOT,
        env={**os.environ, **quiet, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    made = {"status": "completed", "error": None, "frames": 150}
    assert seen == {
        "healthy": "ok",
        "killed Maker": 1,
        "Maker": made,
        "killed Desk": 1,
        "Desk": made,
        "after a cancelled one": "completed",
    }
