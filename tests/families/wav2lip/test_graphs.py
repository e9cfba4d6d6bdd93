"""The folded graphs against the published network, on every runtime and precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.backends import Placement, open_session  # noqa: E402
from talkinghead.backends.placement import installed  # noqa: E402
from talkinghead.backends.processor import cpu_has_bfloat16  # noqa: E402
from talkinghead.families.wav2lip.architecture import GENERATOR_96, GENERATOR_256  # noqa: E402
from talkinghead.families.wav2lip.graphs import PARTS, feature_names, fold_batch_norm, network, part_graph  # noqa: E402
from tests.golden_files import Golden  # noqa: E402
from tests.tolerances import tolerance  # noqa: E402

BACKENDS = [name for name in ("torch", "onnx", "openvino") if installed(name)]
FAST = [name for name in BACKENDS if name != "onnx"]


def run_parts(backend: str, precision: str, weights: Any, mel: np.ndarray, face: np.ndarray, size: int = 96) -> Any:
    architecture = GENERATOR_96 if size == 96 else GENERATOR_256
    folded = fold_batch_norm(architecture, weights)
    place = Placement.choose("cpu", backend, precision)
    sessions = {
        part: open_session(network(part, architecture, folded, "test"), place, batch=len(mel), threads=2)
        for part in PARTS
    }
    audio = sessions["audio"].run({"mel": mel})
    features = sessions["face"].run({"face": face})
    split = sessions["decoder"].run({**audio, **features})["output"]
    whole = sessions["generator"].run({**audio, "face": face})["output"]
    assert list(features) == list(feature_names(architecture))
    return audio["audio"], split, whole


@pytest.mark.thorough
@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_is_the_published_network(backend: str, weights96: dict[str, np.ndarray]) -> None:
    data = Golden("wav2lip/wav2lip96_generator")
    inputs = data.inputs()
    inputs["face"][:, :3, 48:] = 0
    audio, split, whole = run_parts(backend, "float32", weights96, inputs["mel"], inputs["face"])
    scale = np.abs(data["audio_embedding"]).max()
    difference = data.difference("audio_embedding", audio[:, :, 0, 0]) / scale
    assert difference.max() <= tolerance("wav2lip/wav2lip96_generator:audio_embedding")
    data.check("output", split)
    data.check("output", whole)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="no bfloat16 here")
@pytest.mark.parametrize("backend", FAST)
def test_bfloat16_keeps_45_db(backend: str, weights96: dict[str, np.ndarray]) -> None:
    data = Golden("wav2lip/wav2lip96_generator")
    inputs = data.inputs()
    inputs["face"][:, :3, 48:] = 0
    _, split, whole = run_parts(backend, "bfloat16", weights96, inputs["mel"], inputs["face"])
    for output in (split, whole):
        assert -10 * np.log10(np.mean((output - data["output"]) ** 2)) >= 45


@pytest.mark.thorough
def test_256_generator(weights256: dict[str, np.ndarray]) -> None:
    data = Golden("wav2lip/wav2lip256_generator")
    inputs = data.inputs()
    inputs["face"][:, :3, 128:] = 0
    backend = "openvino" if "openvino" in BACKENDS else "torch"
    _, split, whole = run_parts(backend, "float32", weights256, inputs["mel"], inputs["face"], 256)
    for output in (split, whole):
        data.check("output", output[:, :, ::4, ::4])


def test_graphs_do_no_more_work_than_the_published_network(weights96: dict[str, np.ndarray]) -> None:
    folded = fold_batch_norm(GENERATOR_96, weights96)
    macs = GENERATOR_96.macs()
    shapes = GENERATOR_96.feature_shapes
    sizes = {name: (1, *shape) for name, shape in zip(feature_names(GENERATOR_96), shapes, strict=True)}
    decoder = part_graph("decoder", GENERATOR_96, folded).macs({"audio": (1, 512, 1, 1), **sizes})
    assert decoder <= 1.001 * (macs["face_decoder"] + macs["output"])
    assert part_graph("audio", GENERATOR_96, folded).macs({"mel": (1, 1, 80, 16)}) == macs["audio_encoder"]
    assert part_graph("face", GENERATOR_96, folded).macs({"face": (1, 6, 96, 96)}) == macs["face_encoder"]


@pytest.mark.parametrize("first_row", [1, 36, 48, 95])
def test_a_cut_decoder_gives_the_lower_rows(first_row: int, weights96: dict[str, np.ndarray]) -> None:
    folded = fold_batch_norm(GENERATOR_96, weights96)
    rng = np.random.default_rng(0)
    inputs = {"audio": np.abs(rng.standard_normal((1, 512, 1, 1))).astype(np.float32)}
    for name, shape in zip(feature_names(GENERATOR_96), GENERATOR_96.feature_shapes, strict=True):
        inputs[name] = rng.random((1, *shape), dtype=np.float32)

    def decoded(row: int) -> np.ndarray:
        net = network("decoder", GENERATOR_96, folded, "test", row)
        assert net.outputs["output"].shape == (None, 3, 96 - row, 96)
        return open_session(net, Placement.choose("cpu", "torch", "float32"), threads=1).run(inputs)["output"]

    np.testing.assert_allclose(decoded(first_row), decoded(0)[:, :, first_row:], atol=tolerance("runtimes"))


def test_a_cut_decoder_does_less_work(weights96: dict[str, np.ndarray]) -> None:
    folded = fold_batch_norm(GENERATOR_96, weights96)
    shapes = GENERATOR_96.feature_shapes
    sizes = {name: (1, *shape) for name, shape in zip(feature_names(GENERATOR_96), shapes, strict=True)}
    whole, lower = (
        part_graph("decoder", GENERATOR_96, folded, row).macs({"audio": (1, 512, 1, 1), **sizes}) for row in (0, 36)
    )
    assert lower < 0.75 * whole
