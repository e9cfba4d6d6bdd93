"""`talkinghead models convert`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.cli.main import main  # noqa: E402
from talkinghead.files import file_sha256  # noqa: E402
from talkinghead.weights import read_checkpoint  # noqa: E402


def test_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "x.pth", tmp_path / "x.safetensors"
    wrapped = {"state_dict": {"module.a": torch.ones(3)}, "optimizer": {"m": torch.zeros(9)}, "global_step": 7}
    torch.save(wrapped, source)
    assert main(["models", "convert", str(source), str(out)]) == 0
    assert "1 tensors" in capsys.readouterr().out
    converted = read_checkpoint(out)
    np.testing.assert_array_equal(converted.tensors["a"], np.ones(3, np.float32))
    assert converted.metadata["global_step"] == "7"
    assert converted.metadata["source_sha256"] == file_sha256(source)
    assert main(["models", "convert", str(source), str(out)]) == 1
    assert main(["models", "convert", str(source), str(out), "--force"]) == 0
    assert main(["models", "convert", str(source), str(tmp_path / "x.bin")]) == 2
    assert main(["models", "convert", str(tmp_path / "no.pth"), str(out), "--force"]) == 2
    other = tmp_path / "o.safetensors"
    assert main(["models", "convert", str(source), str(other), "--key", "optimizer"]) == 0
    assert list(read_checkpoint(other).tensors) == ["m"]
