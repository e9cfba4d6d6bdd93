"""DeepSpeech features: golden files around the network, and a small network of the same kind in its place."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.audio.encoders import deepspeech
from talkinghead.errors import MissingWeights, WrongCheckpoint
from tests.golden import synthetic
from tests.golden_files import Golden
from tests.wire import field

pytest.importorskip("torch")
from talkinghead.audio.encoders.deepspeech_graph import (
    build_deepspeech,
    graph_constants,
    read_deepspeech,
)

FAST = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("case", [0, 1])
def test_the_front_end_matches_golden(case: int) -> None:
    golden = Golden("talkinggaussian/deepspeech_features")
    strides = [json.loads(str(golden[name]))[case] for name in ("input_vector_strides", "windows_strides")]
    audio = golden[f"audio{case}"]
    inputs = deepspeech.network_input(audio)
    assert len(inputs) == golden[f"steps{case}"]
    rows = inputs.rows(0, len(inputs))
    golden.check(f"input_vector{case}", rows[:: strides[0]])
    measured = [rows.mean(), rows.std(), rows.min(), rows.max()]
    golden.check(f"input_vector_stats{case}_f64", measured)
    logits = synthetic.uniform(f"ds/logits{case}", (len(inputs), 1, 29), -8, 8, 0)[:, 0]
    resampled = deepspeech.resampled(logits, len(audio))
    golden.check(f"interpolated{case}", resampled)
    windows = deepspeech.logit_windows(resampled)
    assert windows.shape == tuple(golden[f"windows_shape{case}"])
    assert len(windows) == deepspeech.num_windows(len(audio))
    golden.check(f"windows{case}", windows[:: strides[1]])
    # the whole chain in blocks, from floats
    samples = audio.astype(np.float32) / 32768
    found = np.concatenate(list(deepspeech.deepspeech_rows(samples, lambda _: logits)))
    np.testing.assert_array_equal(found, windows.astype(np.float32))


@FAST
@given(st.integers(0, 40_000), st.integers(0, 2**31))
def test_whitening_without_building_the_windows(count: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-3000, 3000, count).astype(np.int16)
    inputs = deepspeech.network_input(samples)
    rows = inputs.rows(0, len(inputs)).astype(np.float64)
    assert len(inputs) == (1 if count <= 400 else 1 + -(-(count - 400) // 160)) // 2 + (
        (1 if count <= 400 else 1 + -(-(count - 400) // 160)) % 2
    )
    assert abs(rows.mean()) < 1e-5
    assert abs(rows.std() - 1) < 1e-5


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, 30_000).astype(np.int16)
    whole = deepspeech.mfcc_rows(samples)
    monkeypatch.setattr(deepspeech, "BLOCK", 7)
    np.testing.assert_allclose(deepspeech.mfcc_rows(samples), whole, atol=1e-9)


def test_int16_is_truncated_toward_zero() -> None:
    samples = np.array([0, 1.5 / 32768, -1.5 / 32768, 1.0, -1.0, 2.0], np.float32)
    assert deepspeech.int16_samples(samples).tolist() == [0, 1, -1, 32767, -32768, 32767]


def constant(name: str, array: np.ndarray) -> bytes:
    """A Const node of a TensorFlow graph, in the wire format."""
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    tensor = field(1, 1) + field(2, shape) + field(4, array.astype("<f4").tobytes())
    value = field(1, b"value") + field(2, field(8, tensor))
    kind = field(1, b"dtype") + field(2, field(6, 1))
    return field(1, field(1, name.encode()) + field(2, b"Const") + field(5, kind) + field(5, value))


def small_graph(seed: int = 0, width: int = 12, cells: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        "h1": (494, width),
        "h2": (width, width),
        "h3": (width, 2 * width),
        "h5": (2 * cells, width),
        "h6": (width, 29),
    }
    arrays: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        arrays[name] = rng.normal(0, 0.3, shape).astype(np.float32)
        arrays[name.replace("h", "b")] = rng.normal(0, 0.3, shape[1]).astype(np.float32)
    for direction in ("fw", "bw"):
        base = f"bidirectional_rnn/{direction}/basic_lstm_cell"
        arrays[f"{base}/kernel"] = rng.normal(0, 0.3, (2 * width + cells, 4 * cells)).astype(np.float32)
        arrays[f"{base}/bias"] = rng.normal(0, 0.3, 4 * cells).astype(np.float32)
    return arrays


def graph_file(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    noise = field(1, field(1, b"input_node") + field(2, b"Placeholder"))
    path.write_bytes(noise + b"".join(constant(name, array) for name, array in arrays.items()) + field(4, b"\x08\x1a"))
    return path


def plain_deepspeech(arrays: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The network of mozilla/DeepSpeech v0.1.0 in plain NumPy, TensorFlow's LSTM cell included."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    x = rows.astype(np.float64)
    for layer in (1, 2, 3):
        x = np.clip(x @ arrays[f"h{layer}"] + arrays[f"b{layer}"], 0, 20)
    outputs = []
    for direction in ("fw", "bw"):
        kernel = arrays[f"bidirectional_rnn/{direction}/basic_lstm_cell/kernel"]
        bias = arrays[f"bidirectional_rnn/{direction}/basic_lstm_cell/bias"]
        c, h = (np.zeros(len(bias) // 4) for _ in range(2))
        found = []
        for row in x if direction == "fw" else x[::-1]:
            i, j, f, o = np.split(np.concatenate([row, h]) @ kernel + bias, 4)
            c = c * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
            h = np.tanh(c) * sigmoid(o)
            found.append(h)
        outputs.append(np.array(found if direction == "fw" else found[::-1]))
    both = np.concatenate(outputs, axis=1)
    return np.clip(both @ arrays["h5"] + arrays["b5"], 0, 20) @ arrays["h6"] + arrays["b6"]


def test_the_network_from_a_frozen_graph(tmp_path: Path) -> None:
    arrays = small_graph()
    network = read_deepspeech(graph_file(tmp_path / "graph.pb", arrays))
    inputs = deepspeech.network_input(np.random.default_rng(1).integers(-8000, 8000, 9000).astype(np.int16))
    logits = network(inputs)
    assert logits.shape == (len(inputs), 29)
    np.testing.assert_allclose(logits, plain_deepspeech(arrays, inputs.rows(0, len(inputs))), atol=2e-5)


def test_damaged_graphs_are_refused(tmp_path: Path) -> None:
    arrays = small_graph()
    whole = graph_file(tmp_path / "graph.pb", arrays).read_bytes()
    with pytest.raises(MissingWeights, match="no DeepSpeech graph"):
        read_deepspeech(tmp_path / "none.pb")
    for name, data in (
        ("empty", b""),
        ("text", b"hello, world"),
        ("cut", whole[: len(whole) // 2]),
        ("bits", b"\xff" * 99),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WrongCheckpoint):
            read_deepspeech(tmp_path / name)
    missing = {name: array for name, array in arrays.items() if "bw" not in name}
    with pytest.raises(WrongCheckpoint, match="bw kernel"):
        build_deepspeech(missing, tmp_path)
    narrow = {**arrays, "h1": arrays["h1"][:100]}
    with pytest.raises(WrongCheckpoint, match="takes 100 numbers"):
        build_deepspeech(narrow, tmp_path)


@FAST
@given(st.binary(max_size=200))
def test_any_bytes_are_a_graph_or_an_error(data: bytes) -> None:
    try:
        found = graph_constants(memoryview(data))
    except (ValueError, IndexError, UnicodeDecodeError):
        return
    assert isinstance(found, dict)


def test_wire_format_numbers() -> None:
    data = constant("a/b", np.arange(6, dtype=np.float32).reshape(2, 3)) + struct.pack("<B", 0x20) + b"\x01"
    found = graph_constants(memoryview(data))
    np.testing.assert_array_equal(found["a/b"], [[0, 1, 2], [3, 4, 5]])
