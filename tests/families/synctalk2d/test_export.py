"""ONNX files and folders for ports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.cli.main import main
from talkinghead.errors import BackendError, InputError, MediaNotFound, OptionError, OutputExists, UnwritableOutput
from talkinghead.families.synctalk2d import export
from talkinghead.families.synctalk2d.export import export_ave_encoder, export_generator, generator_metadata
from talkinghead.families.synctalk2d.port import write_port_folder
from talkinghead.families.synctalk2d.variants import VARIANTS
from talkinghead.families.synctalk2d.weights import generator_weights, read_generator
from talkinghead.measure.seams import check_folder, compare, compare_folders, where_they_part
from talkinghead.media import write_wav

from .conftest import golden_weights
from .test_end_to_end import clip_of


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("case", "mode", "opset"),
    [("unet328_ave", "ave", 11), ("unet160_hubert", "hubert", 13), ("unet160_wenet", "wenet", 17),
     ("udh160_hubert_flat", "hubert", 20)],
)  # fmt: skip
def test_export_in_all_modes(tmp_path: Path, case: str, mode: str, opset: int) -> None:
    import onnx

    weights = generator_weights(golden_weights(case), case)
    variant = weights.variant(mode)
    made = export_generator(weights, variant, tmp_path / "u.onnx", opset=opset)
    assert made.max_difference <= 1e-4
    side = variant.size.inner_px
    assert made.inputs == {"image": (1, 6, side, side), "audio": (1, *variant.audio.input_shape)}
    assert made.outputs == {"output": (1, 3, side, side)}
    model = onnx.load(made.path)
    assert model.opset_import[0].version == opset
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata == generator_metadata(variant, None)
    assert metadata["mode"] == mode
    assert metadata["color_order"] == "BGR"
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Resize") == len(variant.size.up_widths)
    if case == "unet328_ave":
        assert kinds.count("Conv") == 93  # as the published export
        assert abs(made.num_bytes / 1e6 - 48.7) < 0.3


def test_ave_export(tmp_path: Path) -> None:
    made = export_ave_encoder(golden_weights("ave_encoder"), tmp_path / "ave.onnx", opset=11)
    assert made.inputs["mel"] == (3, 1, 80, 16)


@pytest.mark.thorough
def test_wrong_exports_leave_nothing(tmp_path: Path, unet160: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = generator_weights(unet160, "x")
    variant = VARIANTS["unet160.ave"]
    for opset in (10, 99):
        with pytest.raises(OptionError, match="out of range"):
            export_generator(weights, variant, tmp_path / "u.onnx", opset=opset)
    monkeypatch.setattr(export, "published_output", lambda *a: np.zeros((1, 3, 160, 160), np.float32))
    with pytest.raises(BackendError, match="differs from torch"):
        export_generator(weights, variant, tmp_path / "u.onnx")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    with pytest.raises(UnwritableOutput, match="no folder"):
        export_generator(weights, variant, tmp_path / "no" / "u.onnx")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, models: Path, template160: Path) -> Path:
    weights = read_generator(models / "160.pth")
    return write_port_folder(
        tmp_path_factory.mktemp("port") / "ref",
        weights,
        weights.variant("ave"),
        template160,
        clip=clip_of("e2e_160_ave"),
        num_sample_frames=3,
    )


def test_port_folder_is_whole(port: Path) -> None:
    rows = check_folder(port)
    assert where_they_part(rows) is None
    names = [row.seam for row in rows]
    assert "generator.onnx: output" in names
    assert "ave_encoder.onnx: features" in names
    manifest = json.loads((port / "manifest.json").read_text())
    assert manifest["model"] == "synctalk2d.unet160.ave"
    assert manifest["num_frames"] == 11
    assert [seam["name"] for seam in manifest["seams"]][:2] == ["sound", "mel"]
    assert all(len(seam["sha256"]) == 64 for seam in manifest["seams"])
    frames = np.load(port / "seams" / "frames.npy")
    from .conftest import golden

    data = golden("e2e_160_ave")
    np.testing.assert_array_equal(np.load(port / "seams" / "sample_indices.npy"), [0, 5, 10])
    wanted = data["frames"][[list(data["frame_indices"]).index(k) for k in (0, 5, 10)]]
    assert np.abs(frames.astype(int) - wanted).max() <= 1


def test_a_port_is_compared_seam_by_seam(tmp_path: Path, port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("mel", "network_image", "network_output", "frames"):
        shutil.copy(port / "seams" / f"{name}.npy", mine)
    assert where_they_part(compare_folders(port, mine)) is None
    assert main(["reference", "validate", str(port), "--against", str(mine)]) == 0
    output = np.load(mine / "network_output.npy")
    np.save(mine / "network_output.npy", output[:, ::-1])  # RGB instead of BGR
    capsys.readouterr()
    assert main(["reference", "validate", str(port), "--against", str(mine), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["parts_at"] == "network_output"
    np.save(mine / "network_image.npy", np.load(mine / "network_image.npy")[:, :3])
    rows = compare_folders(port, mine)
    assert where_they_part(rows) == "network_image"
    assert "shape" in rows[1].note
    with pytest.raises(InputError, match="none of the arrays"):
        compare_folders(port, tmp_path)


def test_damage_is_found(tmp_path: Path, port: Path) -> None:
    copy = tmp_path / "ref"
    shutil.copytree(port, copy)
    mel = np.load(copy / "seams" / "mel.npy")
    np.save(copy / "seams" / "mel.npy", mel + 1)
    (copy / "seams" / "points.npy").unlink()
    bad = [row for row in check_folder(copy) if not row.ok]
    assert [row.note for row in bad] == ["changed since", "missing"]
    with pytest.raises(MediaNotFound):
        check_folder(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="format"):
        check_folder(tmp_path)


def test_comparison_of_pictures_allows_single_levels() -> None:
    wanted = np.zeros((100, 100), np.uint8)
    few, many = wanted.copy(), wanted + 1
    few[0, :5] = 1
    assert compare("x", few, wanted, 1).ok
    assert not compare("x", many, wanted, 1).ok
    assert not compare("x", few, wanted, 0).ok
    assert not compare("x", np.full(3, np.nan), np.zeros(3), 1).ok


@pytest.mark.thorough
def test_commands(tmp_path: Path, models: Path, template160: Path) -> None:
    checkpoint = str(models / "160.pth")
    arguments = ["synctalk2d", "export", "--checkpoint", checkpoint, "-o", str(tmp_path / "u.onnx")]
    assert main(arguments) == 2  # ave or hubert?
    encoder = ["--ave-encoder", str(models / "audio_visual_encoder.pth")]
    assert main([*arguments, "--mode", "ave", *encoder]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ave_encoder.onnx", "u.onnx"]
    assert main([*arguments, "--mode", "ave"]) == OutputExists.exit_status

    converted = tmp_path / "may.safetensors"
    assert main(["synctalk2d", "convert", "--checkpoint", checkpoint, "--mode", "hubert", "-o", str(converted)]) == 0
    assert read_generator(converted).variant().name == "unet160.hubert"

    sound = tmp_path / "a.wav"
    write_wav(sound, clip_of("e2e_160_ave"))
    ref = ["synctalk2d", "reference", "--checkpoint", checkpoint, "--mode", "ave", "--template", str(template160)]
    assert main([*ref, "-o", str(tmp_path / "ref"), "--frames", "1", "--audio", str(sound), *encoder]) == 0
    assert main(["reference", "validate", str(tmp_path / "ref")]) == 0
    assert main([*ref, "-o", str(tmp_path / "ref2")]) == 2


@pytest.mark.thorough
def test_published_flags(tmp_path: Path, models: Path, template160: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and names of the published script, relative to the working folder."""
    from talkinghead.media import open_frames

    for name, source in (("checkpoint/May/4.pth", "160.pth"), ("checkpoint/May/9.pth", "160.pth"),
                         ("model/checkpoints/audio_visual_encoder.pth", "audio_visual_encoder.pth")):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(models / source, tmp_path / name)
    shutil.copytree(template160, tmp_path / "dataset" / "May")
    write_wav(tmp_path / "x.y.wav", clip_of("e2e_160_ave"))
    monkeypatch.chdir(tmp_path)
    assert main(["synctalk2d", "--asr", "ave", "--name", "May", "--audio_path", "x.y.wav", "--quiet"]) == 0
    assert len(open_frames(tmp_path / "result" / "May_x_9.mp4")) == 11
    assert main(["synctalk2d", "--asr", "mfcc", "--name", "May", "--audio_path", "x.y.wav"]) == 2
