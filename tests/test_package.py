"""The package as a whole: imports are cheap, the version is one, the public names exist."""

from __future__ import annotations

import subprocess
import sys

import pytest

import talkinghead
from talkinghead.registry import FAMILIES

HEAVY = ("torch", "cv2", "av", "onnxruntime", "onnx", "openvino", "numba", "scipy", "skimage", "transformers",
         "pocketsphinx", "soxr", "gradio")  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """Heavy packages that a fresh interpreter holds after running code."""
    program = f"import sys\n{code}\nprint(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import talkinghead",
        "import talkinghead as th; th.load, th.generate, th.models()",
        "import talkinghead.media, talkinghead.face, talkinghead.audio",
        "import talkinghead.registry, talkinghead.engine.options",
        "from talkinghead.cli.main import main; assert main(['--help']) == 0",
        "from talkinghead.cli.main import main; assert main(['generate', '--help']) == 0",
        "from talkinghead.cli.main import main; assert main(['models', 'list']) == 0",
    ],
)
def test_nothing_heavy_is_imported(code):
    assert loaded_after(code) == set()


def processor_s(*arguments: str) -> float:
    """Processor time of a fresh interpreter."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.thorough
def test_help_is_quick():
    """At most twice what its parser and its console take to import (0.2 s of 0.3 s on a quiet machine).

    Processor time in turns, the best of several, so that neither another machine nor a busy one decides.
    """
    rounds = [
        (processor_s("-m", "talkinghead", "--help"), processor_s("-c", "import typer.main, typer.rich_utils"))
        for _ in range(5)
    ]
    ours, theirs = (min(times) for times in zip(*rounds, strict=True))
    assert ours < 2 * theirs


def test_public_names_exist():
    for name in talkinghead.__all__:
        assert getattr(talkinghead, name) is not None
    assert set(talkinghead.__all__) <= set(dir(talkinghead))
    with pytest.raises(AttributeError):
        _ = talkinghead.nothing


def test_the_models_are_those_of_the_registry():
    assert dict(talkinghead.models()) == dict(FAMILIES)
