"""Checkpoints of every container: the same tensors out, and nothing of a hostile file is run."""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import io
import os
import pickle
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from talkinghead.errors import CheckpointError, OutputExists, UnsafeCheckpoint, WrongCheckpoint  # noqa: E402
from talkinghead.files import file_sha256  # noqa: E402
from talkinghead.reading import Budget  # noqa: E402
from talkinghead.weights import read_checkpoint, write_safetensors  # noqa: E402
from talkinghead.weights.pickled import PickleReader  # noqa: E402


def small_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    base = torch.randn(6, 5, generator=generator)
    return {
        "a.weight": base,
        "a.transposed": base.t(),
        "a.part": base[1:3, ::2],
        "b.half": base.half(),
        "b.bfloat16": base.bfloat16(),
        "b.double": base.double(),
        "b.count": torch.tensor(7),
        "b.flags": base > 0,
        "b.bytes": torch.arange(5, dtype=torch.uint8),
        "b.empty": torch.zeros(0, 3),
        "b.expanded": torch.ones(1).expand(4),
    }


def assert_same(found: dict[str, np.ndarray], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        wanted = value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
        np.testing.assert_array_equal(found[name], wanted, err_msg=name)
        assert found[name].dtype == wanted.dtype
        assert tuple(found[name].shape) == tuple(value.shape)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_torch_containers(tmp_path: Path, zipped: bool, protocol: int) -> None:
    path = tmp_path / "x.pth"
    torch.save(small_state(), path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    checkpoint = read_checkpoint(path)
    assert checkpoint.container == ("torch-zip" if zipped else "torch-legacy")
    assert_same(checkpoint.tensors, small_state())
    assert checkpoint.sha256 == file_sha256(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_wrapper_and_prefixes(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pth"
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4}]}
    wrapped = {
        "state_dict": collections.OrderedDict(("module." + k, v) for k, v in small_state().items()),
        "optimizer": optimizer,
        "global_step": 12,
        "global_epoch": 1,
        "args": argparse.Namespace(lr=0.1, path="x"),
    }
    torch.save(wrapped, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint.tensors, small_state())
    assert checkpoint.metadata == {"global_step": 12, "global_epoch": 1}
    assert checkpoint.tree["args"].attributes() == {"lr": 0.1, "path": "x"}
    np.testing.assert_array_equal(read_checkpoint(path, key="optimizer").tensors["state.0.exp_avg"], np.ones(2))
    with pytest.raises(WrongCheckpoint, match="nothing under"):
        read_checkpoint(path, key="ema")


def test_stacked_prefixes_are_leading_only(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"module._orig_mod.module.a": torch.ones(1), "module.sub.module.b": torch.ones(1)}, path)
    assert list(read_checkpoint(path).tensors) == ["a", "sub.module.b"]


def test_optimiser_parameter_and_module_attributes(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    torch.save((dict(layer.named_parameters()), [layer.state_dict(), 5]), path)
    tensors = read_checkpoint(path).tensors
    np.testing.assert_array_equal(tensors["0.0.weight"], layer[0].weight.detach().numpy())
    np.testing.assert_array_equal(tensors["1.0.1.running_var"], layer[1].running_var.numpy())


@pytest.mark.thorough
def test_torchscript_archive_is_read_without_running_it(tmp_path: Path) -> None:
    layer = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.ReLU())
    ).eval()
    path = tmp_path / "x.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(layer, torch.zeros(1, 2, 5, 5)).save(str(path))
    checkpoint = read_checkpoint(path)
    assert checkpoint.container == "torchscript"
    expected = {name: value.detach() for name, value in layer.state_dict().items()}
    assert set(checkpoint.tensors) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], value.numpy())


def test_recompressed_zip(tmp_path: Path) -> None:
    plain, packed = tmp_path / "x.pth", tmp_path / "y.pth"
    torch.save(small_state(), plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert_same(read_checkpoint(packed).tensors, small_state())


def test_npz_and_bare_pickle_of_arrays(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.asfortranarray(np.eye(3))}
    np.savez(tmp_path / "x.npz", **arrays)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({**arrays, "again": [arrays["a"]], "n": np.float64(2.5)}))
    for name in ("x.npz", "x.pkl"):
        tensors = read_checkpoint(tmp_path / name).tensors
        np.testing.assert_array_equal(tensors["a"], arrays["a"])
        np.testing.assert_array_equal(tensors["b"], arrays["b"])
    checkpoint = read_checkpoint(tmp_path / "x.pkl")
    np.testing.assert_array_equal(checkpoint.tensors["again.0"], arrays["a"])
    assert checkpoint.tree["n"] == 2.5


def test_arrays_that_a_pickle_names_again_are_the_same(tmp_path: Path) -> None:
    """Records of finished arrays are freed and their addresses used again: no array may take another one's place."""
    arrays = [np.full(3, index, np.float32) for index in range(300)]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"first": arrays, "again": list(arrays)}))
    tensors = read_checkpoint(tmp_path / "x.pkl").tensors
    for index, array in enumerate(arrays):
        np.testing.assert_array_equal(tensors[f"first.{index}"], array)
        np.testing.assert_array_equal(tensors[f"again.{index}"], array)


def test_a_length_beyond_the_end_sets_no_memory_aside(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"a text of some bytes" + b".")
    with pytest.raises(WrongCheckpoint, match="damaged"):
        read_checkpoint(path)


def test_onnx_initialisers(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    weight = np.ones((2, 2), np.float32)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [value("x", 1, [1, 2])],
        [value("y", 1, [1, 2])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "x.onnx")
    checkpoint = read_checkpoint(tmp_path / "x.onnx")
    assert checkpoint.container == "onnx"
    np.testing.assert_array_equal(checkpoint.tensors["w"], weight)


# Safetensors ----------------------------------------------------------------------------------------------------------


def test_safetensors_agrees_with_the_library(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    state = {name: value.contiguous() for name, value in small_state().items()}
    library.save_file(state, tmp_path / "theirs.safetensors", metadata={"k": "v"})
    checkpoint = read_checkpoint(tmp_path / "theirs.safetensors")
    assert checkpoint.metadata == {"k": "v"}
    for name, value in state.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], value.float().numpy() if "bf" in name else value)
    write_safetensors(checkpoint.tensors, tmp_path / "ours.safetensors", metadata={"a": "b"})
    back = library.load_file(tmp_path / "ours.safetensors")
    for name, value in checkpoint.tensors.items():
        np.testing.assert_array_equal(back[name].numpy(), value)
    with pytest.raises(OutputExists):
        write_safetensors({}, tmp_path / "ours.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours.safetensors", "theirs.safetensors"]


# Hostile and broken files ---------------------------------------------------------------------------------------------


class Trap:
    """Touches a file when it is unpickled the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, kind: str) -> None:
    path, mark = tmp_path / "x.pth", tmp_path / "executed"
    payload = {"state_dict": {"a": torch.ones(1)}, "optimizer": Trap(mark)}
    if kind == "bare":
        path.write_bytes(pickle.dumps(payload["optimizer"]))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(UnsafeCheckpoint, match=r"would call posix\.system"):
        read_checkpoint(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Trap(mark)))
    assert mark.exists(), "the trap itself works"


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(cbuiltins\ndict\nS'get'\ntR.",
        b"(S'touch x'\nios\nsystem\n.",
        b"(cos\nsystem\nS'x'\no.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"ctorch.hub\nload\n(S'x'\ntR.",
    ],
)
def test_other_ways_to_call(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x02" + program + b" " * 16)
    with pytest.raises(UnsafeCheckpoint):
        read_checkpoint(path)


def test_whole_module_is_refused(tmp_path: Path) -> None:
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pth"
        torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("keep", [0.02, 0.3, 0.6, 0.95, 0.999])
def test_truncated_files(tmp_path: Path, container: str, keep: float) -> None:
    path = tmp_path / "x"
    state = {f"w{i}": torch.randn(32, 32) for i in range(8)}
    if container == "safetensors":
        write_safetensors({k: v.numpy() for k, v in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=container == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(WrongCheckpoint):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"<!DOCTYPE html><html>" + b" " * 600, b"version https://git-lfs.github.com/spec/v1\n", b"\0" * 99],
)
def test_not_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(WrongCheckpoint):
        read_checkpoint(path)
    with pytest.raises(WrongCheckpoint):
        read_checkpoint(tmp_path)
    with pytest.raises(WrongCheckpoint):
        read_checkpoint(tmp_path / "missing")


def test_npz_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(UnsafeCheckpoint):
        read_checkpoint(tmp_path / "x.npz")


@cache
def _saved(zipped: bool) -> bytes:
    """Saved once: the legacy container names storages after addresses, so that its length differs from time to time."""
    buffer = io.BytesIO()
    torch.save({"a": torch.arange(6.0), "b": [torch.ones(2, 2), 3]}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize("line", [b"c__main\\_o\nname", rb"S'a\q'", rb"S'\777'", b"ccollections\nOrdered\\Dict"])
def test_escapes_that_mean_nothing_are_refused_without_a_warning(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(line + b"\n.")
    with pytest.raises(CheckpointError, match="escape"):
        read_checkpoint(tmp_path / "x.pkl")


@pytest.mark.parametrize("text", [r"a\\b", r"tab\t", r"\x41\101", r"\'"])
def test_escapes_are_undone(tmp_path: Path, text: str) -> None:
    stream = io.BytesIO(b"S'" + text.encode() + b"'\n.")
    assert PickleReader("x", Budget(tmp_path, 100, WrongCheckpoint)).read(stream) == ast.literal_eval(f"'{text}'")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_do_more_than_raise(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "x.pth"
    content = bytearray(_saved(data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with contextlib.suppress(CheckpointError):
        read_checkpoint(path)
