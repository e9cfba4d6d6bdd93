"""One function opens every session of ONNX Runtime."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import talkinghead
from talkinghead.backends.graph import GraphBuilder
from talkinghead.errors import BackendError

pytest.importorskip("onnxruntime")

from talkinghead.backends.onnx_export import to_onnx
from talkinghead.backends.onnx_runtime import open_onnx
from talkinghead.cores import available_cores


def model() -> bytes:
    builder = GraphBuilder("g", {"x": (1, 2, 3, 3)})
    return to_onnx(builder.build([builder.relu("x", name="y")]))


def test_sessions_have_the_same_options(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(model())
    for given in (model(), file, str(file)):
        session = open_onnx(given, name="net")
        options = session.get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert options.intra_op_num_threads == available_cores()
        assert session.get_providers() == ["CPUExecutionProvider"]
        x = np.linspace(-1, 1, 18, dtype=np.float32).reshape(1, 2, 3, 3)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))
    assert open_onnx(model(), name="net", threads=1).get_session_options().intra_op_num_threads == 1


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(BackendError, match="refused net"):
        open_onnx(b"not a model", name="net")


@pytest.mark.thorough
def test_no_other_place_opens_a_session() -> None:
    root = Path(talkinghead.__file__).parent
    places = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "InferenceSession"
    }
    assert places == {"backends/onnx_runtime.py"}
