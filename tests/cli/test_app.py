"""`talkinghead app` and `talkinghead artalk --run_app`: the options arrive, the page opens, Ctrl-C ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server was asked for; nothing is served."""
    found: dict[str, Any] = {}

    def serve(options: Any, **rest: Any) -> None:
        from talkinghead.webui import RunningApp

        found.update(options=options, **rest)
        rest["on_ready"](RunningApp("http://127.0.0.1:1/", None, 1))

    monkeypatch.setattr("talkinghead.webui.serve", serve)
    return found


def test_the_page_is_local_unless_asked_otherwise(run: Callable[..., Any], asked: dict[str, Any]) -> None:
    ran = run("app")
    assert ran.status == 0
    assert "The page is at" in ran.out
    options = asked["options"]
    assert (options.host, options.port, options.share, options.auth) == ("127.0.0.1", 8960, False, None)
    assert ran.err == ""


def test_options_arrive_and_an_open_door_is_said(
    run: Callable[..., Any], asked: dict[str, Any], tmp_path: Path
) -> None:
    ran = run("app", "--host", "0.0.0.0", "--port", 8970, "--model", "artalk", "--gallery", tmp_path, "--at-once", 2)
    assert ran.status == 0
    assert "without a password" in ran.err
    assert (asked["options"].host, asked["options"].port, asked["options"].at_once) == ("0.0.0.0", 8970, 2)
    assert asked["model"] == "artalk"
    assert asked["folders"] == [tmp_path]
    assert "without a password" not in run("app", "--host", "0.0.0.0", "--auth", "a:b").err


def test_artalks_page_is_the_same_page(run: Callable[..., Any], asked: dict[str, Any], tmp_path: Path) -> None:
    assert run("artalk", "--run_app", "--assets", tmp_path).status == 0
    assert asked["model"] == "artalk"
    assert asked["fixed"]["artalk"]["assets"] == tmp_path


def test_what_cannot_be_served_is_a_sentence(run: Callable[..., Any]) -> None:
    ran = run("app", "--auth", "secretpassword")
    assert ran.status == 2
    assert "secretpassword" not in ran.err
    assert "USER:PASSWORD" in ran.err


@pytest.mark.thorough
def test_it_serves_until_it_is_interrupted_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    import os

    environment = {**os.environ, "TMPDIR": str(tmp_path), "TALKINGHEAD_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        [sys.executable, "-m", "talkinghead", "app", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[4]
            with urllib.request.urlopen(url, timeout=120) as answer:
                assert b"talkinghead" in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 130
        finally:
            if process.poll() is None:
                process.kill()
    assert list(tmp_path.glob("talkinghead-app-*")) == []
