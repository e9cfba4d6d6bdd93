"""The landmark network against the original code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.backends import GraphBuilder, Placement, network_of, open_session
from talkinghead.errors import MissingWeights, WrongCheckpoint
from talkinghead.face.landmarks import pfld
from tests.golden_files import Golden
from tests.tolerances import tolerance


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return Golden("synctalk2d/pfld").weights()


@pytest.fixture(scope="module")
def mean_face() -> np.ndarray:
    return Golden("synctalk2d/landmark_post")["mean_face"]


def test_golden_network(weights: Any) -> None:
    data = Golden("synctalk2d/pfld")
    face = Golden("synctalk2d/pfld").inputs()["face"]
    net = pfld.fold_pfld(weights, "x")
    graph = GraphBuilder("pfld", {"face": (None, 3, 192, 192)})
    results = pfld.forward(graph, net, "face")
    network = network_of(graph.build(list(results.values())), list(results))
    seen = open_session(network, Placement("cpu", "torch", "float32", "")).run({"face": face})
    data.check("output", seen["output"][:, :, 0, 0])
    names = json.loads(str(data["stage_names"]))
    for name, shape, samples in zip(names, json.loads(str(data["stage_shapes"])), data["stage_samples"], strict=True):
        assert list(seen[name].shape) == shape
        index = np.linspace(0, seen[name].size - 1, 64).astype(np.int64)
        np.testing.assert_allclose(seen[name].ravel()[index], samples, atol=tolerance("synctalk2d/pfld:stage_samples"))


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_golden_network_as_a_graph(weights: Any, backend: str) -> None:
    pytest.importorskip("onnxruntime" if backend == "onnx" else "openvino")
    face = Golden("synctalk2d/pfld").inputs()["face"]
    network = network_of(pfld.pfld_graph(pfld.fold_pfld(weights, "x")))
    session = open_session(network, Placement("cpu", backend, "float32", ""), batch=2)
    Golden("synctalk2d/pfld").check("output", session.run({"face": face})["output"])


@pytest.mark.parametrize("j", range(5))
def test_golden_square_and_points(j: int, mean_face: Any) -> None:
    data = Golden("synctalk2d/landmark_post")
    frame = np.ascontiguousarray(data["image"][:, :, ::-1])
    square = pfld.face_square(data["boxes_xywh"][j])
    x, y, _, _, height, width = data["crop_x1y1x2y2_h_w"][j]
    assert square == (x, y, height)
    assert height == width
    stride = int(data["net_in_stride"])
    np.testing.assert_array_equal(pfld.network_input(frame, square)[:, ::stride, ::stride], data[f"net_in_{j}"])
    points = pfld.points_in_frame(data["pfld_out"][j], mean_face, square)
    np.testing.assert_array_equal(points, data[f"landmarks_{j}"])


def test_fused_checkpoints_are_read_too(weights: Any) -> None:
    net = pfld.fold_pfld(weights, "x")
    fused: dict[str, np.ndarray] = {}
    for name, conv in net.convs.items():
        if name.startswith(("conv8", "conv_out")):
            continue
        assert conv.bias is not None
        fused |= {f"{name}.reparam_conv.weight": conv.weight, f"{name}.reparam_conv.bias": conv.bias}
    fused |= {key: weights[key] for key in ("conv8.0.weight", "conv_out.weight", "conv_out.bias")}
    again = pfld.fold_pfld(fused, "x")
    for name, conv in net.convs.items():
        np.testing.assert_array_equal(again[name].weight, conv.weight)
        assert again[name].stride == conv.stride


def test_checkpoint_file(tmp_path: Path, weights: Any, mean_face: Any) -> None:
    import torch

    path = tmp_path / "checkpoint_epoch_335.pth.tar"
    state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    torch.save({"epoch": 335, "pfld_backbone": state, "auxiliarynet": {"a": torch.zeros(3)}}, path)
    with pytest.raises(MissingWeights, match="mean_face"):
        pfld.read_pfld(path)
    (tmp_path / "mean_face.txt").write_text(" ".join(repr(float(v)) for v in mean_face))
    network = pfld.read_pfld(path)
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    points = network.landmarks(frame, (100.4, 60.7, 80.2, 101.9))
    assert points.shape == (110, 2)
    assert points.dtype == np.int32
    with pytest.raises(ValueError, match="empty"):
        network.landmarks(frame, (10.0, 10.0, 0.0, 0.0))


def test_wrong_files_are_refused(tmp_path: Path, weights: Any) -> None:
    with pytest.raises(WrongCheckpoint, match="landmark network"):
        pfld.fold_pfld({k: v for k, v in weights.items() if not k.startswith("conv6")}, "x")
    with pytest.raises(MissingWeights):
        pfld.read_pfld(tmp_path / "none.pth.tar")
    (tmp_path / "mean_face.txt").write_text("1 2 3")
    with pytest.raises(WrongCheckpoint, match="3 numbers"):
        pfld.read_mean_face(tmp_path / "mean_face.txt")
    (tmp_path / "mean_face.txt").write_text("one two")
    with pytest.raises(WrongCheckpoint, match="not a mean face"):
        pfld.read_mean_face(tmp_path / "mean_face.txt")


@given(st.integers(-60, 60), st.integers(-60, 60), st.integers(1, 90))
def test_squares_are_black_outside_the_frame(x: int, y: int, side: int) -> None:
    frame = np.full((40, 50, 3), 200, np.uint8)
    out = pfld.cut_square(frame, pfld.FaceSquare(x, y, side))
    assert out.shape == (side, side, 3)
    rows, columns = np.arange(side) + y, np.arange(side) + x
    inside = ((rows >= 0) & (rows < 40))[:, None] & ((columns >= 0) & (columns < 50))[None]
    np.testing.assert_array_equal(out[:, :, 0], np.where(inside, 200, 0))
