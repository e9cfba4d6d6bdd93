"""Every published container gives the same generator; wrong and hostile files are refused."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.errors import UnsafeCheckpoint, WrongCheckpoint  # noqa: E402
from talkinghead.families.wav2lip.architecture import GENERATOR_96  # noqa: E402
from talkinghead.families.wav2lip.graphs import fold_batch_norm  # noqa: E402
from talkinghead.families.wav2lip.network import build_generator  # noqa: E402
from talkinghead.families.wav2lip.weights import GeneratorWeights, load_generator  # noqa: E402
from talkinghead.weights import write_safetensors  # noqa: E402


@pytest.fixture(scope="module")
def folded(weights96: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return fold_batch_norm(GENERATOR_96, weights96)


def tensors_of(weights: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}


def assert_same(loaded: GeneratorWeights, folded: Any, tolerance: float = 0.0) -> None:
    assert loaded.architecture is GENERATOR_96
    assert set(loaded.folded) == set(folded)
    for name, (weight, bias) in folded.items():
        for found, expected in zip(loaded.folded[name], (weight, bias), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, atol=tolerance * max(1, np.abs(expected).max()), rtol=0)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_published_wrapper(tmp_path: Path, weights96: dict[str, np.ndarray], folded: Any, zipped: bool) -> None:
    path = tmp_path / "wav2lip_gan.pth"
    state = {f"module.{name}": value for name, value in tensors_of(weights96).items()}
    wrapped = {"state_dict": state, "optimizer": None, "global_step": 0, "global_epoch": 0}
    torch.save(wrapped, path, _use_new_zipfile_serialization=zipped)
    assert_same(load_generator(path), folded)


def test_safetensors_and_foreign_prefix(tmp_path: Path, weights96: dict[str, np.ndarray], folded: Any) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors({f"netG.{name}": value for name, value in weights96.items()}, path)
    assert_same(load_generator(path), folded)


@pytest.mark.thorough
def test_torchscript_archive(tmp_path: Path, weights96: dict[str, np.ndarray], folded: Any) -> None:
    path = tmp_path / "Wav2Lip-SD-GAN.pt"
    generator = build_generator(GENERATOR_96, weights96)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(generator, (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)), check_trace=False)
        traced.save(str(path))
    loaded = load_generator(path)
    assert loaded.container == "torchscript"
    assert_same(loaded, folded)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, weights96: dict[str, np.ndarray]) -> Path:
    """The generator as the usual exporter writes it: BatchNorm folded into some layers, constants numbered."""
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("onnx") / "wav2lip_gan.onnx"
    generator = build_generator(GENERATOR_96, weights96)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            generator,
            (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)),
            str(path),
            dynamo=False,
            input_names=["mel_spectrogram", "video_frames"],
        )
    return path


def test_onnx_export(exported: Path, folded: Any) -> None:
    assert_same(load_generator(exported), folded, 1e-6)


@pytest.mark.thorough
def test_converted_onnx_export(exported: Path, tmp_path: Path, folded: Any) -> None:
    from talkinghead.cli.models import convert

    convert(exported, tmp_path / "converted.safetensors")
    loaded = load_generator(tmp_path / "converted.safetensors")
    assert loaded.container == "safetensors"
    assert_same(loaded, folded, 1e-6)


@pytest.mark.thorough
def test_half_precision_onnx_export(exported: Path, tmp_path: Path, folded: Any) -> None:
    import onnx

    model = onnx.load(str(exported))
    for item in model.graph.initializer:
        value = onnx.numpy_helper.to_array(item)
        if value.dtype == np.float32:
            item.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float16), item.name))
    onnx.save(model, str(tmp_path / "half.onnx"))
    assert_same(load_generator(tmp_path / "half.onnx"), folded, 2e-3)


@pytest.mark.thorough
def test_onnx_file_with_published_names(tmp_path: Path, weights96: dict[str, np.ndarray], folded: Any) -> None:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in weights96.items()]
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [1])], [value("y", 1, [1])], constants)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "x.onnx")
    assert_same(load_generator(tmp_path / "x.onnx"), folded)


def test_other_onnx_models_are_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [value("x", 1, [1, 2, 4, 4])],
        [value("y", 1, None)],
        [onnx.numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "w")],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "x.onnx")
    with pytest.raises(WrongCheckpoint, match="not a Wav2Lip generator"):
        load_generator(tmp_path / "x.onnx")


class Trap:
    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


def test_hostile_wrong_and_truncated_files(
    tmp_path: Path, weights96: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = tensors_of(weights96)
    torch.save({"state_dict": state, "optimizer": Trap()}, "trap.pth")
    with pytest.raises(UnsafeCheckpoint):
        load_generator("trap.pth")
    assert not Path("executed").exists()
    torch.save({"syncnet": torch.zeros(3)}, "other.pth")
    with pytest.raises(WrongCheckpoint, match="not a Wav2Lip generator"):
        load_generator("other.pth")
    data = Path("trap.pth").read_bytes()
    Path("cut.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(WrongCheckpoint, match="damaged or cut short"):
        load_generator("cut.pth")
