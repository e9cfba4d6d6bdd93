"""The engine for GPUs: the same pixels as the others. Runs on the CPU device too, without graphs and pinned memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from talkinghead.backends import Placement  # noqa: E402
from talkinghead.engine.cache import NullCache  # noqa: E402
from talkinghead.engine.context import RunContext  # noqa: E402
from talkinghead.errors import OutOfMemory  # noqa: E402
from talkinghead.families.wav2lip.device import (  # noqa: E402
    DeviceEngine,
    finish_region,
    match_colours_batch,
    planes_of,
    resize_linear,
)
from talkinghead.families.wav2lip.engine import Engine, EngineOptions, Request, Task  # noqa: E402
from talkinghead.families.wav2lip.postprocess import (  # noqa: E402
    Finish,
    match_colours,
    paste_box,
    paste_lower_face,
)
from talkinghead.families.wav2lip.preprocess import network_faces  # noqa: E402
from talkinghead.families.wav2lip.weights import GeneratorWeights, load_generator  # noqa: E402

DEVICES = ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def weights(thin_checkpoint: Path) -> GeneratorWeights:
    return load_generator(thin_checkpoint)


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    target=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    seed=st.integers(0, 999),
)
def test_resizing_is_opencvs_to_the_bit(source: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (*source, 3), dtype=np.uint8)
    expected = cv2.resize(picture, dsize=target[::-1], interpolation=cv2.INTER_LINEAR)
    found = resize_linear(torch.from_numpy(picture), *target).numpy()
    exact = 2 * target[0] != source[0] or 2 * target[1] != source[1]  # halving, OpenCV averages four pixels
    if exact:
        np.testing.assert_array_equal(found, expected)
    else:
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("device", DEVICES)
def test_small_steps_equal_their_twins(device: str) -> None:
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    sources = np.clip(faces.astype(int) + rng.integers(-9, 9, faces.shape), 0, 255).astype(np.uint8)
    planes = planes_of(torch.from_numpy(faces).to(device), torch.float32).cpu().numpy()
    np.testing.assert_array_equal(planes, network_faces(faces))
    matched = match_colours_batch(torch.from_numpy(faces).to(device), torch.from_numpy(sources).to(device))
    for index in range(3):
        difference = matched[index].cpu().numpy().astype(int) - match_colours(faces[index], sources[index])
        assert np.abs(difference).max() <= 1
    frame = rng.integers(0, 256, (150, 140, 3), dtype=np.uint8)
    box = (10, 20, 130, 145)
    region = torch.from_numpy(frame[20:145, 10:130]).to(device)
    face = torch.from_numpy(faces[0]).to(device)
    pasted = finish_region(face, region, Finish("box", 0.0, False), 1.0).cpu().numpy()
    np.testing.assert_array_equal(pasted, paste_box(frame, faces[0], box)[20:145, 10:130])
    smooth = cv2.GaussianBlur(faces[0], (0, 0), 3)
    blended = finish_region(torch.from_numpy(smooth).to(device), region, Finish(), 0.7).cpu().numpy()
    expected = paste_lower_face(frame, smooth, box, feather=0.12, strength=0.7)[20:145, 10:130]
    assert np.abs(blended.astype(int) - expected).max() <= 6  # bicubic kernels differ: a = -0.75 and -0.5


BOX = np.array([10, 5, 80, 85])


def frames(distinct: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (100, 90, 3), dtype=np.uint8) for _ in range(distinct)]


def requests(engine: Engine, count: int, distinct: int) -> list[Request]:
    rng = np.random.default_rng(0)
    crops = [engine.crop(frame, BOX) for frame in frames(distinct)]
    return [
        Request(rng.standard_normal(512).astype(np.float32), crops[i % distinct], i % distinct, owner=i)
        for i in range(count)
    ]


def task(split: bool) -> Task:
    return Task(RunContext(cache=NullCache()), split)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("split", [False, True])
def test_engine_equals_the_other(device: str, split: bool, weights: GeneratorWeights) -> None:
    """A frame, its crop, a face, and the frame with it: the same through both engines."""
    options, finish = EngineOptions(batch_size=3), Finish("box", 0.0, False)
    engines = [
        Engine(weights, Placement.choose("cpu", "torch", "parity"), options, finish=finish),
        DeviceEngine(weights, Placement(device, "torch", "float32", ""), options, finish=finish),
    ]
    made: list[list[np.ndarray]] = []
    for engine in engines:
        work = task(split)
        engine.warm_up(work)
        results = [result for result in engine.run(iter(requests(engine, 7, 3)), work) if result is not None]
        assert [request.owner for request, _ in results] == list(range(7))
        assert work.run.counters["faces generated"] == 7
        assert work.run.counters["features reused"] == (4 if split else 0)
        sources = frames(3)
        made.append([engine.put_back(sources[request.key], face, request.face, BOX) for request, face in results])
        assert all((frame == before).all() for frame, before in zip(sources, frames(3), strict=True))
    for expected, found in zip(*made, strict=True):
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference[5:85, 10:80] == 0).mean() > 0.99
        outside = np.ones(found.shape[:2], bool)
        outside[5:85, 10:80] = False
        assert (difference[outside] == 0).all()


def test_strength_counts_where_the_face_is_finished(weights: GeneratorWeights) -> None:
    place = Placement("cpu", "torch", "float32", "")
    assert Engine(weights, place).variant(0.5) == Engine(weights, place).variant(1.0)
    assert DeviceEngine(weights, place).variant(0.5) != DeviceEngine(weights, place).variant(1.0)


@pytest.mark.parametrize("split", [False, True])
def test_out_of_memory_halves_the_batch_and_keeps_what_is_done(
    split: bool, weights: GeneratorWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = DeviceEngine._launch
    calls: list[int] = []

    def launch(self: Any, batch: list[Request], work: Task) -> Any:
        calls.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return original(self, batch, work)

    monkeypatch.setattr(DeviceEngine, "_launch", launch)
    engine, work = (
        DeviceEngine(weights, Placement("cpu", "torch", "float32", ""), EngineOptions(batch_size=8)),
        task(split),
    )
    found = [result for result in engine.run(iter(requests(engine, 5, 2)), work) if result is not None]
    assert [request.owner for request, _ in found] == list(range(5))
    assert calls == [5, 4, 2, 2, 1]
    assert engine.batch == 2
    assert len(work.run.fallbacks) == 2
    later = task(split)
    assert len(list(engine.run(iter(requests(engine, 2, 1)), later))) == 2
    assert later.run.fallbacks == ("Batches of 2 are used: 8 did not fit into memory before.",)
    monkeypatch.setattr(DeviceEngine, "_launch", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(OutOfMemory, match="Not even one"):
        list(engine.run(iter(requests(engine, 2, 1)), task(split)))
