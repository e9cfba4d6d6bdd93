"""ONNX files of strangers are looked through, field by field, before a library sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import InputError, WrongCheckpoint
from talkinghead.reading import onnx_file
from talkinghead.reading.onnx_file import check_onnx, check_onnx_file, read_onnx
from tests.wire import field

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

OUTPUT = field(11, field(1, b"x")) + field(12, field(1, b"y"))
"""What goes in and what comes out."""
NODE = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Relu"))


def model(*parts: bytes) -> bytes:
    """A file with these parts in its graph."""
    return field(1, 8) + field(7, b"".join((NODE, *parts, OUTPUT))) + field(8, field(2, 17))


def tensor(*parts: bytes, sizes: tuple[int, ...] = (), kind: int = 1) -> bytes:
    return b"".join((*(field(1, size) for size in sizes), field(2, kind), *parts, field(8, b"w")))


def nested(depth: int) -> bytes:
    """A graph inside an attribute of an operator of a graph, and so on."""
    graph = NODE + OUTPUT
    for _ in range(depth):
        inner = field(5, field(1, b"g") + field(6, graph) + field(20, 5))
        graph = field(1, field(2, b"y") + field(4, b"If") + inner) + OUTPUT
    return field(1, 8) + field(7, graph)


def whole_model(**facts: object) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [weight],
    )
    return helper.make_model(graph, **facts)


def test_a_model_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    onnx.save(whole_model(), path)
    check_onnx_file(path)
    assert read_onnx(path).graph.initializer[0].name == "w"


KINDS = [name for name, number in TensorProto.DataType.items() if 0 < number <= 24]
"""Newer ones than these are in no published model."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [False, True])
def test_tensors_of_every_kind(kind: str, raw: bool) -> None:
    number = TensorProto.DataType.Value(kind)
    if kind == "STRING":
        values: list[object] = [b"a", b"bc", b"d", b"", b"e"]
        raw = False
    else:
        values = [1, 0, 1, 1, 0]
    made = helper.make_tensor("w", number, [5], values)
    if raw:
        made = numpy_helper.from_array(numpy_helper.to_array(made), "w")
    check_onnx(model(field(5, made.SerializeToString())), "x")


HOSTILE = {
    "nothing": b"",
    "another file": b"<html>" * 40,
    "cut short": model()[:-20],
    "no graph": field(1, 8),
    "two graphs": model() + field(7, NODE + OUTPUT),
    "no operators": field(7, OUTPUT),
    "no outputs": field(7, NODE),
    "an operator without a name": field(7, field(1, field(1, b"x")) + OUTPUT),
    "a graph that is a number": field(7, 5),
    "elements that are not there": model(field(5, tensor(sizes=(1000, 1000)))),
    "fewer elements than it says": model(field(5, tensor(field(9, b"\0" * 8), sizes=(3,)))),
    "more elements than it says": model(field(5, tensor(field(9, b"\0" * 16), sizes=(3,)))),
    "two petabytes": model(field(5, tensor(field(9, b"\0" * 16), sizes=(1 << 40, 1 << 11)))),
    "a product that wraps": model(field(5, tensor(sizes=(1 << 32, 1 << 32)))),
    "a negative size": model(field(5, tensor(field(9, b"\0" * 16), sizes=((1 << 64) - 4,)))),
    "a hundred dimensions": model(field(5, tensor(field(9, b"\0" * 4), sizes=(1,) * 100))),
    "an unknown type": model(field(5, tensor(field(9, b"\0" * 4), sizes=(1,), kind=77))),
    "text as raw data": model(field(5, tensor(field(9, b"\0" * 4), sizes=(1,), kind=8))),
    "numbers cut short": model(field(5, tensor(field(4, b"\0" * 7), sizes=(2,)))),
    "packed numbers cut short": model(field(5, tensor(field(7, b"\x80"), sizes=(1,), kind=7))),
    "sparse": model(field(15, tensor())),
    "sparse in an attribute": model(field(1, field(4, b"Constant") + field(5, field(22, b"")))),
    "a tensor in an attribute": model(field(1, field(4, b"Constant") + field(5, field(5, tensor(sizes=(99,)))))),
    "a value that nothing gives": model(field(1, field(1, b"w") + field(2, b"z") + field(4, b"Relu"))),
    "a result that nothing gives": model(field(12, field(1, b"z"))),
    "a name of a megabyte": model(field(1, field(1, b"w" * 1_000_000) + field(4, b"Relu"))),
    "a name that is no text": model(field(1, field(1, b"\xff") + field(4, b"Relu"))),
    "a training graph": model() + field(20, b""),
    "a function with a hollow tensor": model()
    + field(25, field(7, field(4, b"Constant") + field(5, field(5, tensor(sizes=(99,)))))),
    "graphs in graphs": nested(1000),
    "a number of ten bytes": b"\x38" + b"\xff" * 10,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(HOSTILE[name])
    checks: tuple[Callable[[], object], ...] = (
        lambda: check_onnx(HOSTILE[name], path, error=WrongCheckpoint),
        lambda: check_onnx_file(path, error=WrongCheckpoint),
        lambda: read_onnx(path, error=WrongCheckpoint),
    )
    for check in checks:
        with pytest.raises(WrongCheckpoint, match=r"x\.onnx"):
            check()


def test_the_helpers_make_what_onnx_reads() -> None:
    parsed = onnx.load_model_from_string(model(field(5, tensor(field(9, b"\0" * 8), sizes=(2,)))))
    assert parsed.graph.node[0].op_type == "Relu"
    assert list(parsed.graph.initializer[0].dims) == [2]
    check_onnx(parsed.SerializeToString(), "x")
    check_onnx(nested(3), "x")


def test_weights_in_other_files_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    onnx.save_model(whole_model(), path, save_as_external_data=True, size_threshold=0, location="w.bin")
    assert (tmp_path / "w.bin").is_file()
    with pytest.raises(InputError, match="other files") as caught:
        read_onnx(path)
    assert "save it as one file" in str(caught.value.remedy)
    for place in ("/etc/passwd", "../../x"):
        hostile = model(
            field(5, tensor(field(13, field(1, b"location") + field(2, place.encode())), field(14, 1), sizes=(4,)))
        )
        with pytest.raises(InputError, match="other files"):
            check_onnx(hostile, path)


def test_fields_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_FIELDS", 100)
    with pytest.raises(InputError, match="more than 100 fields"):
        check_onnx(model(*[field(10, b"")] * 200), "x")
