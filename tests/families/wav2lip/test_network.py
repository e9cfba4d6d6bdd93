"""The generators against the published network (golden)."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.errors import WrongCheckpoint  # noqa: E402
from talkinghead.families.wav2lip.architecture import GENERATOR_96, GENERATOR_256, check_finite, recognise  # noqa: E402
from talkinghead.families.wav2lip.network import build_generator  # noqa: E402
from tests.golden_files import Golden  # noqa: E402
from tests.tolerances import tolerance  # noqa: E402


def statistics(x: np.ndarray) -> np.ndarray:
    return np.array([x.mean(dtype=np.float64), x.std(dtype=np.float64), x.min(), x.max()])


@pytest.mark.parametrize("size", [96, 256])
def test_golden_generator(size: int, request: pytest.FixtureRequest) -> None:
    data = Golden(f"wav2lip/wav2lip{size}_generator")
    weights = request.getfixturevalue(f"weights{size}")
    architecture = recognise(weights, "golden")
    assert architecture.size == size
    generator = build_generator(architecture, weights)
    inputs = data.inputs()
    inputs["face"][:, :3, size // 2 :] = 0
    audio = generator.encode_audio(torch.from_numpy(inputs["mel"]))
    features = generator.encode_face(torch.from_numpy(inputs["face"]))
    output = generator.decode(audio, features).numpy()
    stride = int(data["output_stride"])
    data.check("output", output[:, :, ::stride, ::stride])
    data.check("output_stats", statistics(output))
    for key, found in (("audio_embedding", audio), ("face_feat_last", features[-1])):
        scale = np.abs(data[key]).max()
        assert (data.difference(key, found.numpy()[:, :, 0, 0]) / scale).max() <= tolerance(f"{data.name}:{key}")
    assert [tuple(f.shape[1:]) for f in features] == list(architecture.feature_shapes)
    near = tolerance(f"{data.name}:face_feat_stats")
    for feature, expected in zip(features, data["face_feat_stats"], strict=True):
        np.testing.assert_allclose(statistics(feature.numpy()), expected, rtol=near, atol=near)


def test_sizes_and_macs() -> None:
    for architecture, parameters, entries in ((GENERATOR_96, 36_298_035, 352), (GENERATOR_256, 53_605_683, 380)):
        shapes = dict(architecture.expected())
        trained = sum(int(np.prod(shape)) for name, shape in shapes.items() if "running" not in name)
        assert trained == parameters
        assert len(shapes) + len(architecture.blocks) == entries
    macs = {name: round(count / 1e9, 3) for name, count in GENERATOR_96.macs().items()}
    assert macs == {"audio_encoder": 0.093, "face_encoder": 0.311, "face_decoder": 3.349, "output": 0.213}


def test_recognise_refuses_what_is_something_else(weights96: dict[str, np.ndarray]) -> None:
    name = "face_decoder_blocks.3.0.conv_block.0.weight"
    cases = [
        ({}, "not a Wav2Lip generator"),
        ({"conv3_3_norm.weight": np.ones(256)}, "S3FD"),
        ({"face_encoder.0.conv_block.0.weight": np.ones(1)}, "sync expert"),
        ({k: v for k, v in weights96.items() if k != name}, "1 weights are missing"),
        ({**weights96, name: np.zeros((768, 100, 3, 3), np.float32)}, "instead of"),
        ({**weights96, "extra.weight": np.zeros(1, np.float32)}, "unknown"),
    ]
    for tensors, message in cases:
        with pytest.raises(WrongCheckpoint, match=message):
            recognise(tensors, "x.pth")
    with pytest.raises(WrongCheckpoint, match="not numbers"):
        check_finite({"output_block.1.bias": np.full(3, np.nan, np.float32)}, "x.pth")
