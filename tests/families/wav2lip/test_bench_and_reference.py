"""The bench table and the rows of `talkinghead reference`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.backends import Placement  # noqa: E402
from talkinghead.cli.main import main  # noqa: E402
from talkinghead.errors import InputError, WrongCheckpoint  # noqa: E402
from talkinghead.families.wav2lip import bench  # noqa: E402
from talkinghead.families.wav2lip.architecture import ARCHITECTURES, recognise  # noqa: E402
from talkinghead.measure.cases import BenchSettings  # noqa: E402
from talkinghead.reference.networks import ReferenceOptions, networks, run_network  # noqa: E402
from talkinghead.weights import write_safetensors  # noqa: E402
from tests.golden_files import Golden  # noqa: E402
from tests.tolerances import tolerance  # noqa: E402


@pytest.mark.thorough
def test_random_weights_are_of_the_published_form() -> None:
    for architecture in ARCHITECTURES.values():
        assert recognise(bench.random_weights(architecture), "random") is architecture


@pytest.mark.thorough
def test_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "CALLS", 1)
    monkeypatch.setattr(bench, "CPU_BATCH", 2)
    monkeypatch.setattr(bench, "_placements", lambda: iter([Placement.choose("cpu", "auto", "auto")]))
    monkeypatch.setattr(bench, "matmul_ceiling", lambda *_: 1e12)
    settings = BenchSettings(seconds=1, width=64, height=64, fps=Fraction(25))
    (table,) = bench.tables(settings, tmp_path, lambda _: None)
    assert [row[2] for row in table.rows] == ["whole", "pasted rows", "pasted rows, features kept"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert float(table.rows[0][6]) > 0
    cases = bench.cases(settings, tmp_path)
    assert [case.name for case in cases] == ["picture", "video"]
    assert Path(cases[0].load["checkpoint"]).is_file()


@pytest.mark.thorough
def test_reference_generator(weights96: dict[str, np.ndarray], tmp_path: Path) -> None:
    data = Golden("wav2lip/wav2lip96_generator")
    inputs = data.inputs()
    inputs["face"][:, :3, 48:] = 0
    prefixed = {f"module.{name}": value for name, value in weights96.items()}
    outputs = run_network("wav2lip.generator96", prefixed, {f"x/{name}": value for name, value in inputs.items()})
    data.check("output", outputs["output"])
    assert outputs["audio_embedding"].shape == data["audio_embedding"].shape
    assert outputs["face_feat_last"].shape == data["face_feat_last"].shape
    folded = run_network(
        "wav2lip.generator96", weights96, inputs, options=ReferenceOptions(backend="onnx", precision="float32")
    )
    assert set(folded) == set(outputs)
    np.testing.assert_allclose(
        folded["output"], outputs["output"], atol=tolerance("wav2lip/wav2lip96_generator:output"), rtol=0
    )
    with pytest.raises(WrongCheckpoint, match="96-pixel"):
        run_network("wav2lip.generator256", weights96, {**inputs})
    with pytest.raises(InputError, match="mel"):
        run_network("wav2lip.generator96", weights96, {"mel": inputs["mel"][:, 0], "face": inputs["face"]})


@pytest.mark.thorough
def test_reference_detector_from_the_command_line(weights_s3fd: dict[str, np.ndarray], tmp_path: Path) -> None:
    data = Golden("wav2lip/s3fd_network")
    write_safetensors(weights_s3fd, tmp_path / "w.safetensors")
    np.savez(tmp_path / "i.npz", images=data["images"])
    arguments = ["reference", "run", "wav2lip.s3fd", "--weights", str(tmp_path / "w.safetensors")]
    assert main([*arguments, "--inputs", str(tmp_path / "i.npz"), "-o", str(tmp_path / "o.npz")]) == 0
    found = np.load(tmp_path / "o.npz")
    for index in range(12):
        data.check(f"map{index:02d}", found[f"map{index:02d}"])
    np.testing.assert_array_equal(found["rects"], data["rects"])
    assert found["found"].all()
    assert {name for name in networks() if name.startswith("wav2lip.")} == {
        "wav2lip.generator96",
        "wav2lip.generator256",
        "wav2lip.s3fd",
    }
