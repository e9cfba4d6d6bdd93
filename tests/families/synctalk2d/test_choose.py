"""Which engine is taken for what is asked."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.errors import BackendError, MissingDependency, OptionError
from talkinghead.families.synctalk2d import choose
from talkinghead.families.synctalk2d.choose import candidates, psnr_db


def names(backend: str = "auto", precision: str = "auto", *, compat: bool = False) -> list[str]:
    return [choice.name for choice in candidates(backend, "cpu", precision, compat=compat)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "installed", lambda backend: True)
    monkeypatch.setattr(choose, "openvino_precisions", lambda: ("float16", "bfloat16", "float32"))


@pytest.mark.usefixtures("fake")
def test_fast_first_and_exact_last() -> None:
    ways = names()
    assert ways[:3] == ["openvino float16 on cpu", "openvino bfloat16 on cpu", "onnx float32 on cpu"]
    assert ways[3:] == ["openvino float32 on cpu", "torch float32 on cpu"]
    assert names(compat=True) == names(precision="parity")
    assert names(precision="parity")[0] == "onnx float32 on cpu"
    assert names("openvino", "parity") == ["openvino float32 on cpu"]
    assert names("onnx") == ["onnx float32 on cpu"]
    assert names("torch", "bfloat16") == ["torch bfloat16 on cpu"]
    assert names("openvino", "bfloat16", compat=True) == ["openvino bfloat16 on cpu"]


@pytest.mark.usefixtures("fake")
def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"backend": "tensorrt"}, {"precision": "int4"}, {"backend": "onnx", "precision": "float16"}):
        with pytest.raises(OptionError):
            names(**wrong)
    with pytest.raises(OptionError, match="runs on the CPU"):
        candidates("openvino", "cuda", "auto", compat=False)
    with pytest.raises(OptionError):
        candidates("auto", "tpu", "auto", compat=False)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "installed", lambda backend: False)
    with pytest.raises(MissingDependency, match="onnxruntime"):
        names()
    with pytest.raises(MissingDependency, match="openvino"):
        names("openvino")
    monkeypatch.setattr(choose, "installed", lambda backend: backend == "onnx")
    assert names() == ["onnx float32 on cpu"]


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str) -> str:
        raise BackendError(f"no {device}")

    monkeypatch.setattr(choose, "choose_device", refuse)
    with pytest.raises(BackendError):
        candidates("auto", "cuda", "auto", compat=False)
    monkeypatch.setattr(choose, "choose_device", lambda device: "cuda:0")
    found = [choice.name for choice in candidates("auto", "auto", "auto", compat=False)]
    assert found == ["torch float16 on cuda:0", "torch float32 on cuda:0"]


def test_psnr() -> None:
    a = np.zeros((4, 4, 3), np.uint8)
    assert psnr_db(a, a) == float("inf")
    assert abs(psnr_db(a, a + 1) - 48.13) < 0.01
