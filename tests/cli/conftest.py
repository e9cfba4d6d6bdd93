"""Running the command line inside the test's process, with a model for tests in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from talkinghead.registry import FAMILIES
from tests.stripes import FACTS
from tests.synthetic_media import make_sound, make_video


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model `stripes` is registered."""
    import talkinghead.cli.generate as module

    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)
    monkeypatch.setattr(module, "command", module._build())


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run `talkinghead ARGUMENTS...`; everything that reaches the process's stdout and stderr is caught."""
    monkeypatch.delenv("TALKINGHEAD_DEBUG", raising=False)

    def call(*arguments: object) -> Ran:
        from talkinghead.cli.main import main

        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return call


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """30 numbered frames of 64x48 at 25 frames per second, without sound."""
    return make_video(tmp_path / "face.mp4", 30)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """2 s of sound."""
    return make_sound(tmp_path / "speech.wav", 2.0)
