"""The generators against the original code's outputs, and the fast forms against the readable network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.backends import artefacts
from talkinghead.backends.gate import MIN_PSNR_DB, psnr_db
from talkinghead.families.synctalk2d.crop import network_input, picture_from_output
from talkinghead.families.synctalk2d.engine import Engine, OnnxEngine, OpenVinoEngine, StateCache, TorchEngine
from talkinghead.families.synctalk2d.folded import fold
from talkinghead.families.synctalk2d.variants import VARIANTS, Variant
from talkinghead.families.synctalk2d.weights import generator_weights
from talkinghead.reference.networks import ReferenceOptions, run_network
from tests.tolerances import tolerance

from .conftest import golden, golden_weights

CASES = {
    "unet328_ave": "unet328.ave",
    "unet328_hubert": "unet328.hubert",
    "unet328_wenet": "unet328.wenet",
    "unet160_ave": "unet160.ave",
    "unet160_hubert": "unet160.hubert",
    "unet160_wenet": "unet160.wenet",
    "udh160_hubert_classic": "udh160.hubert",
    "udh160_hubert_flat": "udh160.hubert",
    "udh160_wenet_classic": "udh160.wenet",
    "udh160_wenet_flat": "udh160.wenet",
    "unet328_ave_netlayout": "unet328.ave",
}


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    data = golden(case)
    found = run_network(f"synctalk2d.{CASES[case]}", golden_weights(case), golden(case).inputs())["output"]
    stride = int(data["output_stride"])
    data.check("output", found[:, :, ::stride, ::stride])
    stats = [found.mean(), found.std(), found.min(), found.max()]
    data.check("output_stats", stats)


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("case", ["unet328_ave", "unet160_hubert", "unet160_wenet", "udh160_wenet_flat"])
def test_golden_on_other_backends(case: str, backend: str) -> None:
    pytest.importorskip("onnxruntime" if backend == "onnx" else "openvino")
    data = golden(case)
    found = run_network(
        f"synctalk2d.{CASES[case]}",
        golden_weights(case),
        golden(case).inputs(),
        options=ReferenceOptions(backend=backend),
    )["output"]
    stride = int(data["output_stride"])
    data.check("output", found[:, :, ::stride, ::stride])


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["unet328_ave", "unet160_wenet"])
def test_golden_stages(case: str) -> None:
    """Every stage of the readable network, so that a failure shows where it begins."""
    import torch

    from talkinghead.families.synctalk2d.network import load_unet

    data = golden(case)
    network = load_unet(generator_weights(golden_weights(case), case).tensors, VARIANTS[CASES[case]])
    seen: dict[str, Any] = {}
    names = json.loads(str(data["stage_names"]))
    for name in names:
        module = network.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
    image, audio = golden(case).inputs().values()
    with torch.inference_mode():
        network(torch.from_numpy(image), torch.from_numpy(audio))
    for name, shape, samples in zip(names, json.loads(str(data["stage_shapes"])), data["stage_samples"], strict=True):
        values = torch.sigmoid(seen[name]).numpy() if name == "outc" else seen[name].numpy()
        assert list(values.shape) == shape, name
        index = np.linspace(0, values.size - 1, 64).astype(np.int64)
        raw = seen[name].numpy().ravel()[index]
        near = tolerance(f"synctalk2d/{case}:stage_samples")
        close = np.abs(values.ravel()[index] - samples).max() < near or np.abs(raw - samples).max() < near
        assert close, name


def smooth_picture(side: int, seed: int = 0) -> np.ndarray:
    import cv2

    coarse = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8)
    return np.ascontiguousarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))


def published_picture(weights: dict[str, np.ndarray], variant: Variant, picture: Any, window: Any) -> np.ndarray:
    import torch

    from talkinghead.families.synctalk2d.network import load_unet

    image = network_input(picture, variant.size)[None]
    with torch.inference_mode():
        network = load_unet(generator_weights(weights, "weights").tensors, variant)
        out = network(torch.from_numpy(image), torch.from_numpy(window[None]))
    return picture_from_output(out[0].numpy())


ENGINES = {
    "torch joined": lambda net: TorchEngine(net),
    "torch split": lambda net: TorchEngine(net, form="split"),
    "onnx split": lambda net: OnnxEngine(net),
    "onnx joined": lambda net: OnnxEngine(net, form="joined"),
    "openvino split": lambda net: OpenVinoEngine(net),
    "openvino joined": lambda net: OpenVinoEngine(net, form="joined"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("case", ["udh160_hubert_classic"])
def test_every_float32_form_gives_the_published_picture(case: str, kind: str) -> None:
    if "openvino" in kind:
        pytest.importorskip("openvino")
    weights, variant = golden_weights(case), VARIANTS[CASES[case]]
    net = fold(generator_weights(weights, case).tensors, variant)
    engine = ENGINES[kind](net)
    picture, window = smooth_picture(variant.size.inner_px), golden(case).inputs()["audio"][0]
    wanted = published_picture(weights, variant, picture, window)
    found = engine(picture, window)
    difference = np.abs(found.astype(int) - wanted)
    assert found.shape == (variant.size.inner_px, variant.size.inner_px, 3)
    assert difference.max() <= 1  # truncation turns rounding into one grey level
    assert np.count_nonzero(difference) < 1e-3 * difference.size


def test_kept_networks_give_the_same_picture(unet160: Any, tmp_path: Path) -> None:
    variant = VARIANTS["unet160.ave"]
    net = fold(generator_weights(unet160, "weights").tensors, variant)
    picture, window = smooth_picture(160), np.random.default_rng(1).uniform(0, 2, (32, 16, 16)).astype(np.float32)
    wanted = OnnxEngine(net, cache_folder=tmp_path)(picture, window)
    artefacts.wait()
    again = OnnxEngine(net, cache_folder=tmp_path)
    assert all(session.facts.from_cache for session in (again._picture, again._speech, again._last))
    np.testing.assert_array_equal(again(picture, window), wanted)


def fast_precisions() -> list[str]:
    from talkinghead.backends.placement import installed
    from talkinghead.backends.processor import this_processor

    able = this_processor().openvino_formats() if installed("openvino") else ()
    return [precision for precision in ("float16", "bfloat16") if precision in able]


@pytest.mark.parametrize("precision", fast_precisions())
def test_fast_precision_keeps_45_db_at_328(unet328: Any, precision: str) -> None:
    variant = VARIANTS["unet328.ave"]
    net = fold(generator_weights(unet328, "weights").tensors, variant)
    picture, window = smooth_picture(320), golden("unet328_ave").inputs()["audio"][0]
    wanted = published_picture(unet328, variant, picture, window)
    assert psnr_db(OpenVinoEngine(net, precision=precision)(picture, window), wanted, peak=255) >= MIN_PSNR_DB


@pytest.mark.thorough
def test_states_and_batches_change_nothing(unet160: Any) -> None:
    """Speech in batches, states from the cache, several frames at once: the same pictures."""
    variant = VARIANTS["unet160.ave"]
    net = fold(generator_weights(unet160, "weights").tensors, variant)
    engine: Engine = OnnxEngine(net)
    pictures = [smooth_picture(160, seed) for seed in range(3)]
    windows = np.random.default_rng(1).uniform(0, 2, (11, 32, 16, 16)).astype(np.float32)
    heard = engine.speech(windows)
    assert len(heard) == 11
    cache = StateCache(engine, 2 * engine.state_bytes())
    order = [1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    states = [cache.get(k, lambda k=k: pictures[k]) for k in order]
    together = engine.render(states, heard)
    for k, window, found in zip(order, windows, together, strict=True):
        np.testing.assert_array_equal(found, engine(pictures[k], window))
    assert cache.misses == 6  # two fit, and the third is always the one that was left out longest
    assert cache.hits == 5
    assert StateCache(engine, 10**9).room > 2


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["openvino split", "onnx split", "torch joined"])
def test_a_stream_gives_the_frames_in_order(kind: str) -> None:
    if "openvino" in kind:
        pytest.importorskip("openvino")
    case = "udh160_hubert_classic"
    net = fold(generator_weights(golden_weights(case), case).tensors, VARIANTS[CASES[case]])
    engine = ENGINES[kind](net)
    states = [engine.picture(smooth_picture(160, seed)) for seed in range(3)]
    heard = engine.speech(
        np.random.default_rng(1).uniform(0, 2, (5, *net.variant.audio.input_shape)).astype(np.float32)
    )
    pairs = [(states[k % 3], sound) for k, sound in enumerate(heard)]
    found = list(engine.stream(iter(pairs)))
    assert len(found) == 5
    for picture, (state, sound) in zip(found, pairs, strict=True):
        assert np.abs(picture.astype(int) - engine.render([state], [sound])[0]).max() <= 1


@pytest.mark.thorough
def test_torch_renders_a_batch_as_its_frames(unet160: Any) -> None:
    net = fold(generator_weights(unet160, "weights").tensors, VARIANTS["unet160.ave"])
    engine = TorchEngine(net, batch=3)
    pictures = [smooth_picture(160, seed) for seed in range(3)]
    windows = np.random.default_rng(1).uniform(0, 2, (3, 32, 16, 16)).astype(np.float32)
    together = engine.render([engine.picture(p) for p in pictures], engine.speech(windows))
    for picture, window, found in zip(pictures, windows, together, strict=True):
        assert np.abs(found.astype(int) - engine(picture, window)).max() <= 1


@pytest.mark.gpu
def test_gpu_graph_gives_the_published_picture(unet328: Any) -> None:
    variant = VARIANTS["unet328.ave"]
    net = fold(generator_weights(unet328, "weights").tensors, variant)
    window = golden("unet328_ave").inputs()["audio"]
    pictures = [smooth_picture(320, seed) for seed in range(4)]
    engine = TorchEngine(net, device="cuda", precision="float16", batch=2)
    for k in (0, 2):  # the second round replays the graph with other inputs
        states = [engine.picture(p) for p in pictures[k : k + 2]]
        found = engine.render(states, engine.speech(window))
        for i in range(2):
            wanted = published_picture(unet328, variant, pictures[k + i], window[i])
            assert psnr_db(found[i], wanted, peak=255) >= MIN_PSNR_DB
