"""Every runtime gives what the others give, operator by operator and for whole networks."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from talkinghead.backends import (  # noqa: E402
    GraphBuilder,
    Network,
    Placement,
    TensorSpec,
    artefacts,
    network_of,
    open_session,
)
from talkinghead.backends.placement import installed  # noqa: E402
from talkinghead.backends.processor import cpu_has_bfloat16  # noqa: E402
from talkinghead.errors import OptionError  # noqa: E402
from tests.tolerances import tolerance  # noqa: E402

BACKENDS = [*(name for name in ("torch", "onnx", "openvino") if installed(name)), "numpy"]
COMPILING = [name for name in ("onnx", "openvino") if name in BACKENDS]
TOLERANCE = tolerance("runtimes")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def every_operator() -> Network:
    builder = GraphBuilder("every", {"x": (None, 4, 7, 9), "y": (None, 4, 7, 9)})
    x = builder.conv("x", random(6, 4, 3, 3) / 6, random(6), padding=(1, 1, 1, 1), name="plain")
    grouped = builder.conv("y", random(8, 2, 3, 3), random(8), stride=(2, 2), padding=(1, 1, 1, 1), groups=2)
    uneven = builder.conv(x, random(24, 6, 2, 2) / 5, random(24), padding=(0, 0, 1, 1))
    wide = builder.depth_to_space(builder.relu(uneven), 2, name="wide")
    up = builder.conv_transpose(grouped, random(8, 5, 3, 3) / 8, random(5), stride=(2, 2), padding=1, output_padding=0)
    joined = builder.concat([up, x])
    summed = builder.add(joined, joined)
    norm = builder.l2_norm(summed, random(11), 1e-10, name="norm")
    pooled = builder.max_pool(norm)
    pooled = builder.conv(pooled, random(3, 11, 1, 1) / 3, random(3), name="pooled")
    best = builder.max_channels(builder.slice_channels(summed, 1, 4), name="best")
    soft = builder.softmax_channels(builder.drop_rows(summed, 2), name="soft")
    end = builder.sigmoid(builder.concat([best, builder.slice_channels(summed, 4, 5)]), name="end")
    graph = builder.build([wide, norm, pooled, best, soft, end])
    spec = TensorSpec((None, 4, 7, 9))
    outputs = {name: TensorSpec((None, None, None, None)) for name in graph.outputs}
    return Network("every", {"x": spec, "y": spec}, outputs, graph.digest(), graph=graph)


def pixels_in_and_out() -> Network:
    """The operators of picture networks: bytes to bytes, and a flat row of means."""
    builder = GraphBuilder("pixels", {"p": (None, 6, 8, 3), "m": (None, 3, 3, 4)})
    planes = builder.scale(builder.from_pixels("p"), np.random.default_rng(0).random((1, 1, 6, 8)))
    large = builder.upsample("m", name="large")
    soft = builder.sigmoid(builder.concat([planes, large]))
    picture = builder.to_pixels(builder.slice_channels(soft, 0, 3), name="picture")
    return network_of(builder.build([picture, builder.flatten(builder.mean(soft), name="flat"), large]))


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_pixels(backend: str, batch: int | None) -> None:
    network = pixels_in_and_out()
    assert network.inputs["p"].dtype == network.outputs["picture"].dtype == "uint8"
    pixels = np.random.default_rng(1).integers(0, 256, (2, 6, 8, 3)).astype(np.uint8)
    inputs = {"p": pixels, "m": random(2, 3, 3, 4)}
    found = open_session(network, place(backend), threads=1, batch=batch).run(inputs)
    factor = np.random.default_rng(0).random((1, 1, 6, 8)).astype(np.float32)
    planes = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255) * factor
    row, column = (np.linspace(0, n - 1, 2 * n) for n in (3, 4))
    m = inputs["m"].astype(np.float64)
    left, top = np.minimum(column.astype(int), 2), np.minimum(row.astype(int), 1)
    across = m[..., left] * (1 - (column - left)) + m[..., left + 1] * (column - left)
    weight = (row - top)[:, None]
    large = across[:, :, top] * (1 - weight) + across[:, :, top + 1] * weight
    soft = 1 / (1 + np.exp(-np.concatenate([planes, large], axis=1)))
    np.testing.assert_allclose(found["large"], large, atol=tolerance("twins"))
    np.testing.assert_allclose(found["flat"], soft.mean(axis=(2, 3)), atol=tolerance("twins"))
    assert found["picture"].dtype == np.uint8
    wanted = soft[:, :3].transpose(0, 2, 3, 1) * 255
    assert np.abs(found["picture"] - (wanted - 0.5)).max() <= 0.5 + 1e-3  # truncated


@pytest.mark.skipif("openvino" not in BACKENDS, reason="openvino is not installed")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_packed_values_stay_when_the_session_goes_on(precision: str) -> None:
    """Each call gives new arrays, in whatever form the runtime computes."""
    first, second = GraphBuilder("first", {"x": (1, 4, 6, 6)}), GraphBuilder("second", {"mid": (1, 4, 6, 6)})
    one = network_of(first.build([first.relu("x", name="mid")]))
    two = network_of(second.build([second.add("mid", "mid", name="y")]))
    where = Placement("cpu", "openvino", precision, "")
    sessions = [open_session(n, where, threads=1, batch=1, packed=["mid"]) for n in (one, two)]
    values = [np.full((1, 4, 6, 6), k, np.float32) for k in (1, 2)]
    kept = [sessions[0].run({"x": value})["mid"] for value in values]
    for value, mid in zip(values, kept, strict=True):
        np.testing.assert_array_equal(sessions[1].run({"mid": mid})["y"], 2 * value)


def test_opsets() -> None:
    import onnx

    from talkinghead.backends.onnx_export import to_onnx

    builder = GraphBuilder("up", {"x": (None, 3, 4, 4)})
    graph = builder.build([builder.upsample("x", name="y")])
    for opset in (11, 18, 21):
        model = onnx.load_from_string(to_onnx(graph, opset=opset, metadata={"a": "b"}))
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version == opset
        assert model.metadata_props[0].value == "b"
        assert [d.dim_value or d.dim_param for d in model.graph.output[0].type.tensor_type.shape.dim] == [
            "batch",
            3,
            8,
            8,
        ]
    with pytest.raises(OptionError, match="out of range"):
        to_onnx(graph, opset=10)
    builder = GraphBuilder("norm", {"x": (None, 3, 4, 4)})
    with pytest.raises(OptionError, match="cannot be written"):
        to_onnx(builder.build([builder.l2_norm("x", np.ones(3), 1e-5)]), opset=11)


def place(backend: str, precision: str = "float32") -> Placement:
    return Placement("cpu", "numpy", "float32") if backend == "numpy" else Placement.choose("cpu", backend, precision)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "torch"])
@pytest.mark.parametrize("batch", [None, 3])
def test_every_operator_means_the_same(backend: str, batch: int | None) -> None:
    network = every_operator()
    inputs = {"x": random(3, 4, 7, 9, seed=1), "y": random(3, 4, 7, 9, seed=2)}
    expected = open_session(network, place("torch"), threads=1).run(inputs)
    session = open_session(network, place(backend), threads=1, batch=batch)
    found = session.run(inputs)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_equals_single_and_many_keeps_order(backend: str) -> None:
    network = every_operator()
    inputs = {"x": random(5, 4, 7, 9, seed=1), "y": random(5, 4, 7, 9, seed=2)}
    session = open_session(network, place(backend), threads=2, batch=2, streams=2)
    whole = session.run(inputs)
    parts = [{name: value[i : i + 1] for name, value in inputs.items()} for i in range(5)]
    for i, part in enumerate(session.run_many(iter(parts))):
        for name, value in whole.items():
            np.testing.assert_allclose(part[name], value[i : i + 1], atol=TOLERANCE, rtol=TOLERANCE)
    assert len(list(session.run_many([inputs, *parts, inputs]))) == 7


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_are_checked(backend: str) -> None:
    session = open_session(every_operator(), place(backend), threads=1)
    with pytest.raises(ValueError, match="takes"):
        session.run({"x": random(1, 4, 7, 9)})
    with pytest.raises(ValueError, match="must be"):
        session.run({"x": random(1, 4, 7, 9), "y": random(1, 4, 7, 8)})
    with pytest.raises(ValueError, match="float32"):
        session.run({"x": random(1, 4, 7, 9), "y": random(1, 4, 7, 9).astype(np.float64)})


@pytest.mark.parametrize("backend", COMPILING)
def test_compiled_networks_are_kept(backend: str, tmp_path: Path) -> None:
    network = every_operator()
    inputs = {"x": random(2, 4, 7, 9, seed=1), "y": random(2, 4, 7, 9, seed=2)}
    first = open_session(network, place(backend), threads=1, batch=2, cache_folder=tmp_path)
    expected = first.run(inputs)
    assert not first.facts.from_cache
    artefacts.wait()
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    without_graph = Network(network.name, network.inputs, network.outputs, network.key)
    second = open_session(without_graph, place(backend), threads=1, batch=2, cache_folder=tmp_path)
    assert second.facts.from_cache
    for name, value in second.run(inputs).items():
        np.testing.assert_allclose(value, expected[name], atol=tolerance("runtimes:again"))
    files[0].write_bytes(b"damaged")
    third = open_session(network, place(backend), threads=1, batch=2, cache_folder=tmp_path)
    assert not third.facts.from_cache
    np.testing.assert_allclose(third.run(inputs)["end"], expected["end"], atol=tolerance("runtimes:again"))


@pytest.mark.parametrize("backend", COMPILING)
def test_nobody_waits_for_the_hash_of_weights_that_cannot_have_been_compiled(backend: str, tmp_path: Path) -> None:
    known, network = threading.Event(), every_operator()

    def key() -> str:
        assert known.wait(60)
        return network.known_key()

    late = Network(network.name, network.inputs, network.outputs, key, network.graph)
    inputs = {"x": random(2, 4, 7, 9, seed=1), "y": random(2, 4, 7, 9, seed=2)}
    first = open_session(late, place(backend), threads=1, batch=2, cache_folder=tmp_path)
    expected = first.run(inputs)  # the key is not known yet
    assert list(tmp_path.iterdir()) == []
    known.set()
    artefacts.wait()
    assert len(list(tmp_path.iterdir())) == 1
    for again in (late, network):
        second = open_session(again, place(backend), threads=1, batch=2, cache_folder=tmp_path)
        assert second.facts.from_cache
        np.testing.assert_array_equal(second.run(inputs)["end"], expected["end"])


@pytest.mark.skipif("onnx" not in BACKENDS, reason="ONNX Runtime is not installed")
def test_no_room_for_temporary_files_costs_the_kept_network_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    session = open_session(every_operator(), place("onnx"), threads=1, cache_folder=tmp_path / "kept")
    assert session.run({"x": random(1, 4, 7, 9), "y": random(1, 4, 7, 9)})
    artefacts.wait()
    assert not (tmp_path / "kept").exists()


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="no bfloat16 here")
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "onnx"])
def test_bfloat16_is_near(backend: str) -> None:
    network = every_operator()
    inputs = {"x": random(2, 4, 7, 9, seed=1), "y": random(2, 4, 7, 9, seed=2)}
    expected = open_session(network, place("torch"), threads=1).run(inputs)
    found = open_session(network, place(backend, "bfloat16"), threads=1, batch=2).run(inputs)
    for name, value in expected.items():
        error = np.abs(found[name] - value).max() / np.abs(value).max()
        assert error < 0.05, name


@pytest.mark.parametrize("backend", BACKENDS)
def test_operators_are_timed(backend: str) -> None:
    session = open_session(every_operator(), place(backend), threads=1, profile=True)
    session.run({"x": random(1, 4, 7, 9), "y": random(1, 4, 7, 9)})
    assert sum(item.seconds for item in session.profile()) > 0
    session.close()


def test_macs_are_counted() -> None:
    builder = GraphBuilder("g", {"x": (None, 4, 8, 8)})
    x = builder.conv("x", random(6, 4, 3, 3), random(6), stride=(2, 2), padding=(1, 1, 1, 1))
    x = builder.conv_transpose(x, random(6, 2, 3, 3), random(2), stride=(2, 2), padding=1, output_padding=1)
    graph = builder.build([x])
    assert graph.macs({"x": (2, 4, 8, 8)}) == 2 * (6 * 4 * 9 * 16 + 6 * 2 * 9 * 16)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_packed_values_pass_between_sessions(backend: str, precision: str) -> None:
    if precision == "bfloat16" and (backend in ("onnx", "numpy") or not cpu_has_bfloat16()):
        pytest.skip("not offered here")
    first = GraphBuilder("first", {"x": (None, 3, 6, 8)})
    first_graph = first.build([first.conv("x", random(5, 3, 3, 3) / 5, random(5), padding=(1, 1, 1, 1), name="mid")])
    second = GraphBuilder("second", {"mid": (None, 5, 6, 8)})
    second_graph = second.build([second.conv("mid", random(2, 5, 1, 1), random(2), name="y")])
    mid = {"mid": TensorSpec((None, 5, 6, 8))}
    one = Network("first", {"x": TensorSpec((None, 3, 6, 8))}, mid, "1", graph=first_graph)
    two = Network("second", mid, {"y": TensorSpec((None, 2, 6, 8))}, "2", graph=lambda: second_graph)
    inputs = {"x": random(3, 3, 6, 8, seed=1)}
    exact = open_session(two, place("torch"), threads=1).run(open_session(one, place("torch"), threads=1).run(inputs))
    options: dict = {"threads": 1, "batch": 4, "packed": ("mid",)}
    packed = open_session(one, place(backend, precision), **options).run(inputs)
    assert len(packed["mid"]) == 3
    found = open_session(two, place(backend, precision), **options).run(packed)
    assert found["y"].shape == exact["y"].shape
    np.testing.assert_allclose(found["y"], exact["y"], atol=tolerance(f"runtimes:packed {precision}"))


def test_compiling_is_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(torch, "compile", lambda module, **settings: called.append(settings) or module)
    session = open_session(every_operator(), place("torch"), threads=1, compile=True)
    assert called == [{"dynamic": False}]
    assert session.run({"x": random(1, 4, 7, 9), "y": random(1, 4, 7, 9)})
    for backend in BACKENDS:
        if backend != "torch":
            with pytest.raises(OptionError, match=r"torch\.compile"):
                open_session(every_operator(), place(backend), compile=True)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name == "openvino"])
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_small_pictures_side_by_side(backend: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every case of the layout: kernels, strides, paddings, a kernel as large as the picture."""
    monkeypatch.setattr("talkinghead.backends.lowering.SIDE_BY_SIDE_WEIGHTS", 1)
    builder = GraphBuilder("small", {"x": (None, 4, 3, 3), "y": (None, 4, 1, 1), "z": (None, 4, 2, 4)})
    plain = builder.conv("x", random(5, 4, 3, 3) / 6, random(5), padding=(1, 1, 1, 1), name="plain")
    strided = builder.conv("x", random(5, 4, 3, 3) / 6, random(5), stride=(2, 2), padding=(1, 1, 1, 1))
    uneven = builder.relu(builder.conv("x", random(5, 4, 2, 2) / 4, random(5), padding=(0, 0, 1, 1)), name="uneven")
    one = builder.conv("x", random(5, 4, 1, 1), random(5), name="one")
    full = builder.relu(builder.conv("x", random(6, 4, 3, 3) / 6, random(6)), name="full")
    point = builder.relu(builder.conv("y", random(9, 4, 1, 1), random(9)), name="point")
    wide = builder.conv("z", random(5, 4, 3, 3) / 6, random(5), stride=(1, 2), padding=(1, 1, 1, 1), name="wide")
    both = builder.add(builder.relu(plain), plain)
    graph = builder.build([plain, strided, uneven, one, full, point, wide, both])
    specs = {name: TensorSpec(shape) for name, shape in graph.inputs.items()}
    outputs = {name: TensorSpec((None, None, None, None)) for name in graph.outputs}
    network = Network("small", specs, outputs, graph.digest(), graph=graph)
    inputs = {name: random(batch, *shape[1:], seed=1) for name, shape in graph.inputs.items()}
    expected = open_session(network, place("torch"), threads=1).run(inputs)
    found = open_session(network, place(backend), threads=1, batch=batch).run(inputs)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)


@pytest.mark.thorough
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name == "openvino"])
@given(data=st.data())
@settings(deadline=None, max_examples=25, derandomize=True)  # a rare shape makes the runtime itself crash: see below
def test_small_pictures_with_any_kernel_stride_and_padding(backend: str, data: st.DataObject) -> None:
    """Side by side as one by one. The shapes are drawn alike in every run: OpenVINO 2026.4 ended the process once, on a
    processor with AVX2 alone, in a shape that no network of the package has and that could not be found again.
    """
    height, width = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), "size")
    padding = data.draw(st.tuples(*[st.integers(0, 3)] * 4), "top, left, bottom, right")
    kernel = data.draw(
        st.tuples(
            st.integers(1, min(3, height + padding[0] + padding[2])),
            st.integers(1, min(3, width + padding[1] + padding[3])),
        ),
        "kernel",
    )
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), "stride")
    batch = data.draw(st.integers(2, 4), "batch")
    builder = GraphBuilder("small", {"x": (None, 4, height, width)})
    made = builder.conv("x", random(5, 4, *kernel) / 6, random(5), stride=stride, padding=padding)
    network = network_of(builder.build([builder.relu(made, name="out")]))
    inputs = {"x": random(batch, 4, height, width, seed=1)}
    expected = open_session(network, place("torch"), threads=1).run(inputs)["out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("talkinghead.backends.lowering.SIDE_BY_SIDE_WEIGHTS", 1)
        found = open_session(network, place(backend), threads=1, batch=batch).run(inputs)["out"]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_cannot_be_written_to(backend: str) -> None:
    """As they are read from an ONNX file."""
    weight, bias = random(3, 4, 1, 1), random(3)
    weight.flags.writeable = bias.flags.writeable = False
    builder = GraphBuilder("fixed", {"x": (None, 4, 5, 5)})
    network = network_of(builder.build([builder.conv("x", weight, bias, name="out")]))
    x = random(1, 4, 5, 5, seed=1)
    found = open_session(network, place(backend), threads=1, batch=1).run({"x": x})["out"]
    wanted = np.einsum("oi,bihw->bohw", weight[..., 0, 0], x) + bias[:, None, None]
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)
