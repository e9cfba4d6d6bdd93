"""The quality gate of the generator, on a processor of which is said that it has bfloat16.

Where it has none, OpenVINO computes in float32 and only what passes between its sessions is rounded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from talkinghead.backends import Graph, Network, Placement, placement  # noqa: E402
from talkinghead.backends.gate import MIN_PSNR_DB  # noqa: E402
from talkinghead.backends.processor import Processor  # noqa: E402
from talkinghead.contracts import AudioClip, Report, Speech  # noqa: E402
from talkinghead.engine.cache import Cache, NullCache  # noqa: E402
from talkinghead.engine.context import RunContext  # noqa: E402
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions  # noqa: E402
from talkinghead.face import FaceOptions  # noqa: E402
from talkinghead.families.wav2lip import engine as module  # noqa: E402
from talkinghead.families.wav2lip.device import DeviceEngine  # noqa: E402
from talkinghead.families.wav2lip.engine import Engine, Task  # noqa: E402
from talkinghead.families.wav2lip.pipeline import Wav2LipHead  # noqa: E402
from talkinghead.families.wav2lip.precision import GeneratorPlace  # noqa: E402
from talkinghead.families.wav2lip.weights import load_generator  # noqa: E402
from tests.synthetic_media import speech_like  # noqa: E402

PICTURE = np.random.default_rng(0).integers(0, 256, (72, 80, 3), dtype=np.uint8)
BOX = FaceOptions(box=(10, 8, 66, 64))
CLIP = AudioClip(speech_like(0.2), 16_000)


@pytest.fixture(scope="module")
def checkpoint(thin_checkpoint: Path) -> Path:
    return thin_checkpoint


@pytest.fixture(autouse=True)
def fast_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "this_processor", lambda: Processor(frozenset({"amx_bf16"}), "made up"))


def load(checkpoint: Path, **options: Any) -> Wav2LipHead:
    return Wav2LipHead(LoadOptions(checkpoint=checkpoint, device="cpu", family={"batch_size": 2}, **options))


def report(head: Wav2LipHead, cache: Cache, output: Path) -> Report:
    avatar = head.prepare(PICTURE, PrepareOptions(faces=BOX, cache=cache))
    return head.render(avatar, Speech(CLIP, CLIP), output).report


def frames(head: Wav2LipHead, cache: Cache) -> np.ndarray:
    avatar = head.prepare(PICTURE, PrepareOptions(faces=BOX, cache=cache))
    return np.stack(list(head.frames(avatar, Speech(CLIP, CLIP), RenderOptions())))


def test_a_reduced_precision_is_measured_once_and_changes_no_pixel(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    first = report(load(checkpoint), cache, tmp_path / "v.mp4")
    generator, audio = first.networks
    assert (generator.backend, generator.precision, audio.precision) == ("openvino", "bfloat16", "bfloat16")
    assert generator.psnr_db is not None
    assert generator.psnr_db >= MIN_PSNR_DB
    assert first.fallbacks == ()

    monkeypatch.setattr(module, "psnr_db", lambda *_, peak: pytest.fail("the verdict is remembered"))
    later, named = load(checkpoint, precision="fast"), load(checkpoint, precision="bfloat16")
    np.testing.assert_array_equal(frames(later, cache), frames(named, NullCache()))
    assert later.place.verdict.psnr_db == pytest.approx(generator.psnr_db, abs=0.05)
    assert (named.placement.precision, named.place.verdict.psnr_db) == ("bfloat16", None)
    assert load(checkpoint, precision="parity").placement.precision == "float32"
    assert load(checkpoint, compat=True).placement.precision == "float32"


@pytest.mark.thorough
def test_a_precision_that_loses_too_much_is_left(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first frame: all frames are those of float32, also in the runs that remember it."""
    monkeypatch.setattr(module, "psnr_db", lambda *_, peak: 40.0)
    cache = Cache(tmp_path / "cache")

    exact = frames(load(checkpoint, precision="parity"), cache)
    used = load(checkpoint)
    np.testing.assert_array_equal(frames(used, cache), exact)
    monkeypatch.setattr(module, "psnr_db", lambda *_, peak: pytest.fail("the verdict is remembered"))
    again = load(checkpoint)
    np.testing.assert_array_equal(frames(again, cache), exact)
    for item in (used, again):
        said = report(item, cache, tmp_path / "v.mp4")
        assert (said.precision, said.networks[0].psnr_db) == ("float32", None)
        assert "keeps only 40.0 dB" in said.fallbacks[0]


def test_no_graph_is_built_twice_and_none_is_kept(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody speaks, and nothing is compared."""
    built: list[str] = []
    made = module.network

    def counted(part: str, *given: Any) -> Network:
        found = made(part, *given)
        build = found.graph

        def graph() -> Graph:
            built.append(part)
            assert callable(build)
            return build()

        return replace(found, graph=graph)

    def stop(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "network", counted)
    head = load(checkpoint)
    assert frames(head, Cache(tmp_path)).shape[0] == 5
    assert head.place.verdict.psnr_db is not None
    assert sorted(built) == ["audio", "decoder", "face"]
    assert head.engine._graphs is None

    silent = load(checkpoint)
    avatar = silent.prepare(PICTURE, PrepareOptions(faces=BOX, cache=Cache(tmp_path / "other")))
    run = silent.pictures(avatar, Speech(CLIP, CLIP))
    monkeypatch.setattr(GeneratorPlace, "settle", stop)
    with pytest.raises(ZeroDivisionError):
        next(run)
    assert silent.engine._graphs is None


@pytest.mark.parametrize(("kind", "split"), [(Engine, True), (DeviceEngine, False), (DeviceEngine, True)])
def test_engines_measure(kind: type[Engine], split: bool, checkpoint: Path) -> None:
    half, exact = Placement("cpu", "torch", "bfloat16"), Placement("cpu", "torch", "float32")
    engine = kind(load_generator(checkpoint), exact)
    task = Task(RunContext(cache=NullCache()), split)
    window = np.random.default_rng(1).uniform(-4, 4, (80, 16)).astype(np.float32)
    face = engine.crop(PICTURE, np.array([10, 8, 66, 64]))
    assert engine.faithfulness_db(exact, face, window, task) > 100
    if not split:  # slow where the processor has no bfloat16
        assert 35 < engine.faithfulness_db(half, face, window, task) < 75
        assert engine.placement == half
