"""Nothing that the package needs reaches for the network or the home folder without being asked."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from talkinghead.assets import demo_speech_path
from talkinghead.assets.portrait import astronaut
from talkinghead.backends.runtimes import onnxruntime, openvino
from talkinghead.media import write_png
from tests.conftest import ROOT
from tests.mesh_hidden import python_path

RUNTIME = ("onnxruntime", "openvino", "openvino_telemetry")
LOCAL = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0")

WATCHED = """
import json, os, sys

REACHED = []


def watch(event, given):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request"):
        REACHED.append([event, str(given[0])])
    elif event in ("socket.connect", "socket.sendto") and isinstance(given[1], tuple):
        REACHED.append([event, str(given[1][0])])


sys.addaudithook(watch)
"""


RUNTIMES = """
from talkinghead.backends import Placement, open_session
from tests.backends.test_graph import every_operator, random

network = every_operator()
for backend in ("onnx", "openvino", "torch"):
    session = open_session(network, Placement(device="cpu", backend=backend, precision="float32"))
    session.run({name: random(1, *[size or 8 for size in spec.shape[1:]]) for name, spec in network.inputs.items()})
"""

COMMAND = """
from talkinghead.cli.main import main

for line in json.loads(sys.argv[1]):
    assert main(line) == 0, line
"""

SPEECH = """
from pathlib import Path
import numpy as np
from transformers import HubertConfig, HubertModel
from talkinghead.audio.encoders.hubert import read_hubert

sizes = {"hidden_size": 1024, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
folder = Path("hubert")
HubertModel(HubertConfig(conv_dim=(8,) * 7, **sizes)).save_pretrained(folder)
read_hubert(folder)
"""

PAGE = """
from urllib.request import urlopen
from talkinghead.webui import AppOptions, open_app

with open_app(AppOptions(port=0)) as app:
    assert urlopen(app.url, timeout=30).status == 200
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home that cannot be written, where the tests do not run as root."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o500)
    return folder


def reached_by(code: str, *arguments: str, home: Path, work: Path) -> list[list[str]]:
    """Hosts that a new process looked up or connected to, except this machine."""
    hidden = ("XDG_", "HF_", "GRADIO_", "ORT_", "TRANSFORMERS_", "DO_NOT_TRACK", "TALKINGHEAD_OFFLINE", "CI")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [sys.executable, "-c", f"{WATCHED}\n{code}\nprint(json.dumps(REACHED))", *arguments],
        cwd=work, capture_output=True, text=True, timeout=300, check=False,
        env={**plain, "HOME": str(home), "PYTHONPATH": python_path(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return [[event, host] for event, host in found if host not in LOCAL and "//127.0.0.1" not in host]


@pytest.mark.thorough
def test_no_part_reaches_out(home: Path, tmp_path: Path) -> None:
    """One process for all: commands, the three runtimes, a speech encoder of transformers, the page."""
    write_png(tmp_path / "face.png", astronaut()[:440:2, 40:480:2])
    sound = ["--audio", str(demo_speech_path()), "--start", "0", "--duration", "0.3"]
    made = ["generate", "-q", "--face", "face.png", *sound, "-o", "video.mp4"]
    lines = json.dumps([made, ["doctor"], ["models", "list"], ["models", "licenses"]])
    code = "\n".join([COMMAND, RUNTIMES, SPEECH, PAGE])
    assert reached_by(code, lines, home=home, work=tmp_path) == []
    assert (tmp_path / "video.mp4").exists()
    assert list(home.rglob("*")) == []


def test_the_watch_sees_what_it_watches(home: Path, tmp_path: Path) -> None:
    code = "import socket\ntry:\n    socket.getaddrinfo('statistics.invalid', 443)\nexcept OSError:\n    pass"
    assert reached_by(code, home=home, work=tmp_path) == [["socket.getaddrinfo", "statistics.invalid"]]


def test_a_program_that_wants_statistics_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    assert onnxruntime().__name__ == "onnxruntime"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    assert openvino() is sys.modules["openvino"]
    assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is not None


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


@pytest.mark.thorough
def test_there_is_one_way_in() -> None:
    """No other module imports the two, so that none forgets it; parts of one follow the call that opens it."""
    found = {path.name for path in (ROOT / "talkinghead").rglob("*.py") for name in imports(path) if name in RUNTIME}
    assert found == set()
