"""Speech encoders against the original code's features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.audio.encoders import ave, hubert, wenet
from talkinghead.audio.mel import mel_spectrogram
from talkinghead.backends import GraphBuilder, Placement, network_of, open_session
from talkinghead.backends.onnx_export import to_onnx
from talkinghead.errors import MissingWeights, OptionError, WrongCheckpoint
from tests.golden import synthetic
from tests.golden_files import Golden
from tests.tolerances import tolerance


def golden(name: str) -> Golden:
    return Golden(f"synctalk2d/{name}")


@pytest.fixture(scope="module")
def ave_weights() -> dict[str, np.ndarray]:
    return golden("ave_encoder").weights()


# AVE ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_golden_ave_encoder(ave_weights: Any, backend: str) -> None:
    pytest.importorskip("onnxruntime" if backend == "onnx" else "openvino")
    encoder = ave.AveEncoder(ave_weights, backend=backend)
    mel = synthetic.uniform("ave/mel", (5, 1, 80, 16), -4, 4, 0)
    golden("ave_encoder").check("output", encoder.encode(mel))


def test_golden_ave_stages(ave_weights: Any) -> None:
    data = golden("ave_encoder")
    mel = synthetic.uniform("ave/mel", (5, 1, 80, 16), -4, 4, 0)
    graph = GraphBuilder("ave", {"mel": (None, 1, 80, 16)})
    network = network_of(graph.build(ave.encode(graph, ave.fold_encoder(ave_weights), "mel")))
    seen = list(open_session(network, Placement("cpu", "torch", "float32", "")).run({"mel": mel}).values())
    assert [list(x.shape) for x in seen] == json.loads(str(data["stage_shapes"]))
    for x, samples in zip(seen, data["stage_samples"], strict=True):
        index = np.linspace(0, x.size - 1, 64).astype(np.int64)
        np.testing.assert_allclose(x.ravel()[index], samples, atol=tolerance("synctalk2d/ave_encoder:stage_samples"))


def test_golden_ave_features(ave_weights: Any) -> None:
    data = golden("mel")
    samples = (data["wav_int16"] / 32768).astype(np.float32)
    data.check("mel", mel_spectrogram(samples).T)
    np.testing.assert_array_equal(ave.window_starts(81), data["window_starts"])
    windows = ave.encoder_windows(samples)
    data.check("windows_first", windows[0])
    data.check("windows_last", windows[-1])
    features = ave.AveEncoder(ave_weights).features(samples)
    data.check("ave_features", features)
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[-1], features[-2])


def test_golden_resampled_mel() -> None:
    import soxr

    data = golden("mel_resampled")
    stereo = (data["wav_int16"] / 32768).astype(np.float32)
    mono = soxr.resample(stereo.mean(axis=1), 48_000, 16_000, quality="HQ")
    data.check("wav16k", mono)
    data.check("mel", mel_spectrogram(data["wav16k"]).T)


def test_golden_window_counts() -> None:
    """Trap: counted in double precision in the published order; exact arithmetic gives one more for some lengths."""
    data = golden("audio_indexing")
    for columns, windows, frames in zip(data["T"], data["n_windows"], data["n_frames"], strict=True):
        assert ave.num_windows(int(columns)) == windows
        assert ave.num_windows(int(columns)) + 2 == frames
    assert ave.num_windows(384) == 116


def test_rows_are_computed_as_far_as_asked_for(ave_weights: Any) -> None:
    encoder = ave.AveEncoder(ave_weights)
    samples = synthetic.uniform("long", (60_000,), -0.3, 0.3, 0)
    whole = encoder.features(samples)
    lazy = encoder.lazy_features(samples)
    assert len(lazy.rows) == len(whole) == ave.num_rows(60_000)
    for stop in (1, 5, 33, 34, 70, len(whole)):
        lazy.fill(stop)
        np.testing.assert_array_equal(lazy.rows[:stop], whole[:stop])


def test_short_sounds_are_padded(ave_weights: Any) -> None:
    encoder = ave.AveEncoder(ave_weights)
    for count in (1, 160, 2999):
        rows = encoder.features(np.zeros(count, np.float32))
        assert rows.shape == (ave.num_rows(count), 512) == (4, 512)
        assert np.isfinite(rows).all()


@given(st.integers(1, 2000))
def test_samples_for_rows_is_the_shortest_sound(rows: int) -> None:
    samples = ave.samples_for_rows(rows)
    assert ave.num_rows(samples) >= rows
    assert samples <= ave.MIN_SAMPLES or ave.num_rows(samples - 1) < rows
    samples = wenet.samples_for_rows(rows)
    assert wenet.num_rows(samples) >= rows
    assert samples == 0 or wenet.num_rows(samples - 1) < rows


def test_ave_checkpoints(tmp_path: Path, ave_weights: Any) -> None:
    import torch

    path = tmp_path / "audio_visual_encoder.pth"
    state = {f"audio_encoder.{name}": torch.from_numpy(value) for name, value in ave_weights.items()}
    torch.save(state, path)
    found = ave.read_ave_encoder(path)
    assert found.sha256 is not None
    with pytest.raises(WrongCheckpoint, match="is missing"):
        ave.AveEncoder({k: v for k, v in ave_weights.items() if not k.startswith("7.")})
    with pytest.raises(WrongCheckpoint, match=r"\[1\]"):
        ave.AveEncoder({**ave_weights, "3.conv_block.0.bias": np.zeros(1, np.float32)})


# HuBERT -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_hubert() -> hubert.HubertEncoder:
    import torch
    import transformers

    data = golden("hubert_tiny")
    model = transformers.HubertModel(transformers.HubertConfig(**json.loads(str(data["config"]))))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in data.weights().items()})
    return hubert.HubertEncoder(model)


def test_golden_hubert_hidden_states(tiny_hubert: hubert.HubertEncoder) -> None:
    data = golden("hubert_tiny")
    values = hubert.normalise(synthetic.uniform("hubert/wav", (16000,), -0.5, 0.7, 0))
    data.check("input_values_first", values[:64])
    stride = int(data["hidden_stride"])
    for layer in range(len(data["hidden_states"])):
        data.check("hidden_states", tiny_hubert.hidden_rows(values, layer)[::stride], layer)
    data.check("last_hidden_state", tiny_hubert.hidden_rows(values, None)[::stride])


@pytest.mark.parametrize("length", [5000, 330500, 640350])
def test_golden_hubert_chunks(tiny_hubert: hubert.HubertEncoder, length: int) -> None:
    data = golden("hubert_stitch")
    samples = synthetic.uniform(f"hubert/long{length}", (length,), -0.5, 0.5, 0)
    rows = tiny_hubert.rows(samples, "synctalk")
    assert len(rows) == int(data[f"len{length}_T"])
    data.check(f"len{length}_feat", rows[:: int(data[f"len{length}_stride"])])
    data.check(f"len{length}_last3", rows[-3:])
    border = f"len{length}_rows997_1003"
    data.check(border, rows[997 : 997 + len(data[border])])
    assert len(hubert.paired(rows, "zero")) == int(data[f"len{length}_pairs"])


def test_hubert_conventions(tiny_hubert: hubert.HubertEncoder) -> None:
    rows = np.arange(15, dtype=np.float32)[:, None].repeat(4, axis=1)
    assert hubert.paired(rows, "drop").shape == (7, 2, 4)
    assert hubert.paired(rows, "zero")[-1, :, 0].tolist() == [14, 0]
    assert hubert.paired(rows, "repeat")[-1, :, 0].tolist() == [14, 14]
    assert hubert.paired(rows[:14], "drop").shape == (7, 2, 4)
    sound = synthetic.uniform("hubert/long5000", (5000,), -0.5, 0.5, 0)
    assert tiny_hubert.features(sound, "synctalk").shape == (8, 2, 32)
    assert tiny_hubert.features(sound, "udh-classic").shape == (7, 2, 32)
    assert tiny_hubert.features(np.zeros(10, np.float32), "synctalk").shape == (1, 2, 32)
    with pytest.raises(OptionError):
        tiny_hubert.features(sound, "whisper")


def test_hubert_without_weights(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="not on this machine"):
        hubert.read_hubert(tmp_path)


# WeNet --------------------------------------------------------------------------------------------------------------


def test_golden_filter_bank() -> None:
    data = golden("wenet_fbank")
    sound = data["wav_int16"]
    padded = np.concatenate([np.zeros(wenet.SILENCE_BEFORE, np.int16), sound, np.zeros(wenet.SILENCE_AFTER, np.int16)])
    frames = wenet.filter_bank(padded)
    data.check("fbank", frames)
    np.testing.assert_array_equal(wenet.window_starts(len(frames)), data["chunk_starts"])
    assert wenet.num_rows(len(sound)) == int(data["n_chunks"])
    streamed = wenet.filter_bank(padded[:11040], snip_edges=False)
    data.check("stream_fbank_first690ms", streamed)


def test_samples_are_truncated_to_16_bits() -> None:
    found = wenet.padded_int16(np.array([0.5, -0.5, 1.0, -1.0, 2.0], np.float32))
    assert found[wenet.SILENCE_BEFORE :][:5].tolist() == [16383, -16383, 32767, -32767, 32767]


def small_encoder(path: Path, outputs: int = 512) -> Path:
    """An encoder with the published inputs: sums of the window, spread over [1, 16, outputs]."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["chunk"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "one"], ["flat"]),
        helper.make_node("Expand", ["flat", "shape"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info("chunk", TensorProto.FLOAT, [1, 1, 67, 80]),
            helper.make_tensor_value_info("offset", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("att_cache", TensorProto.FLOAT, [3, 8, 16, 128]),
            helper.make_tensor_value_info("cnn_cache", TensorProto.FLOAT, [3, 1, 512, 14]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 16, outputs])],
        [
            helper.make_tensor("one", TensorProto.INT64, [3], [1, 1, 1]),
            helper.make_tensor("shape", TensorProto.INT64, [3], [1, 16, outputs]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_wenet_encoder(tmp_path: Path) -> None:
    encoder = wenet.WenetEncoder(small_encoder(tmp_path / "encoder.onnx"))
    sound = synthetic.uniform("wenet", (8000,), -0.5, 0.5, 0)
    rows = encoder.features(sound)
    assert rows.shape == (wenet.num_rows(8000), 16, 512)
    windows = wenet.encoder_windows(wenet.filter_bank(wenet.padded_int16(sound)))
    np.testing.assert_allclose(rows[:, 0, 0], windows.mean(axis=(1, 2)), rtol=1e-4)


def test_wrong_wenet_encoders_are_refused(tmp_path: Path, ave_weights: Any) -> None:
    from talkinghead.errors import BackendError

    with pytest.raises(MissingWeights):
        wenet.WenetEncoder(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(WrongCheckpoint, match="not a readable ONNX file"):
        wenet.WenetEncoder(tmp_path / "text.onnx")
    (tmp_path / "ave.onnx").write_bytes(to_onnx(ave.encoder_graph(ave.fold_encoder(ave_weights))))
    with pytest.raises(WrongCheckpoint, match="takes mel"):
        wenet.WenetEncoder(tmp_path / "ave.onnx")
    with pytest.raises(BackendError, match="256"):
        wenet.WenetEncoder(small_encoder(tmp_path / "e.onnx", 256)).features(np.zeros(100, np.float32))
