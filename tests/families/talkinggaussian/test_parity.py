"""The synthetic scene against the original program: every frame, every file."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.families.talkinggaussian.compose import compose, compose_reference, dilate, quantize
from talkinghead.families.talkinggaussian.extractors import EXTRACTORS
from talkinghead.families.talkinggaussian.renderer import HeadRenderer
from talkinghead.families.talkinggaussian.scene import Backdrop, action_units_of, read_action_units, read_poses
from talkinghead.families.talkinggaussian.windows import feature_rows, read_features, window_rows
from talkinghead.reference.networks import run_network
from tests.tolerances import tolerance

BLACK = np.zeros(3, np.float32)


def close_bytes(ours: Frame, golden: Frame, sure: np.ndarray | None = None) -> None:
    """At most one level apart, and equal in at least 99.9 % of the values."""
    difference = np.abs(ours.astype(int) - golden)
    if sure is not None:
        difference = difference[sure]
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


@pytest.mark.parametrize("rows", [4, 5, 8, 9, 20])
def test_windows_match_golden(kit: SimpleNamespace, rows: int) -> None:
    golden = kit.golden("audio_windows")[f"n{rows}"]
    np.testing.assert_array_equal(window_rows(np.arange(rows + 1), rows), golden)


@pytest.mark.parametrize("split", ["train", "val"])
def test_dataset_matches_golden(kit: SimpleNamespace, scene: SimpleNamespace, split: str) -> None:
    golden = kit.golden("dataset")
    poses = read_poses(scene.data / f"transforms_{split}.json")
    ids = [frame.img_id for frame in poses.frames]
    np.testing.assert_array_equal(ids, golden[f"{split}_img_id"])
    units = action_units_of(read_action_units(scene.data / "au.csv"), poses.frames, scene.data)
    golden.check(f"{split}_au_exp", units)
    backdrop = Backdrop(scene.data)
    np.testing.assert_array_equal(backdrop.size, golden[f"{split}_size"][0])
    for row, picture in enumerate(golden[f"{split}_background"]):
        np.testing.assert_array_equal(backdrop.frame(ids[row]), picture.transpose(1, 2, 0))
    for row in range(len(ids)):
        camera = poses.camera(row, backdrop.size)
        golden.check(f"{split}_world_view", camera.world_view, row)
        golden.check(f"{split}_camera_center", camera.position, row)
    stored = read_features(scene.data / "aud_ds.npy", EXTRACTORS["deepspeech"])
    check_windows(stored, ids, golden[f"{split}_auds_sample"], int(golden["auds_stride"]))


def check_windows(stored: np.ndarray, indices: list[int], sample: np.ndarray, stride: int) -> None:
    rows = feature_rows(stored, 0, len(stored))
    padded = np.concatenate([rows, np.zeros_like(rows[:1])])
    windows = padded[window_rows(np.array(indices), len(rows))]  # row -1 is the zero row
    flat = windows.reshape(len(indices), windows.shape[1], -1)[..., ::stride]
    np.testing.assert_array_equal(flat, sample)


def test_custom_audio_windows_match_golden(kit: SimpleNamespace, scene: SimpleNamespace) -> None:
    golden = kit.golden("dataset")
    stored = read_features(scene.data / "custom.npy", EXTRACTORS["deepspeech"])
    count = int(golden["custom_n"])
    check_windows(stored, list(range(count)), golden["custom_auds_sample"], int(golden["auds_stride"]))
    train = read_poses(scene.data / "transforms_train.json").frames[:count]
    np.testing.assert_array_equal([frame.img_id for frame in train], golden["custom_img_id"])


@pytest.mark.parametrize("combine", [compose, compose_reference])
def test_composition_matches_golden(kit: SimpleNamespace, combine: object) -> None:
    golden = kit.golden("compose")
    for index in range(2):
        face, mouth = golden["in_face"][index], golden["in_mouth"][index]
        face_alpha, mouth_alpha = golden["in_face_alpha"][index, 0], golden["in_mouth_alpha"][index, 0]
        background = np.ascontiguousarray(golden["in_background"][index].transpose(1, 2, 0))
        np.testing.assert_array_equal(dilate(mouth_alpha), golden["dilated_alpha"][index, 0])
        close_bytes(combine(face, face_alpha, mouth, mouth_alpha, background), golden["out"][index])
        close_bytes(combine(face, face_alpha, mouth, dilate(mouth_alpha), background), golden["out_dilate"][index])
        close_bytes(quantize(face), golden["out_face"][index])
        close_bytes(quantize(mouth), golden["out_mouth"][index])


def test_an_untouched_background_keeps_its_bytes() -> None:
    background = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    nothing, empty = np.zeros((3, 16, 16), np.float32), np.zeros((16, 16), np.float32)
    for combine in (compose, compose_reference):
        np.testing.assert_array_equal(combine(nothing, empty, nothing, empty, background), background)


def test_compiled_composition_equals_the_twin() -> None:
    rng = np.random.default_rng(4)
    face, mouth = (rng.uniform(-0.2, 1.3, (3, 33, 47)).astype(np.float32) for _ in range(2))
    face_alpha, mouth_alpha = (rng.uniform(0, 1, (33, 47)).astype(np.float32) for _ in range(2))
    background = rng.integers(0, 256, (33, 47, 3), dtype=np.uint8)
    close_bytes(
        compose(face, face_alpha, mouth, mouth_alpha, background),
        compose_reference(face, face_alpha, mouth, mouth_alpha, background),
    )


@pytest.fixture(scope="module")
def renderer(scene: SimpleNamespace) -> HeadRenderer:
    return HeadRenderer(scene.head, threads=2)


def test_deformed_clouds_and_images_match_golden(
    kit: SimpleNamespace, scene: SimpleNamespace, renderer: HeadRenderer
) -> None:
    golden = kit.golden("render_motion")
    full = kit.golden("end_to_end")
    poses = read_poses(scene.data / "transforms_val.json")
    units = action_units_of(read_action_units(scene.data / "au.csv"), poses.frames, scene.data)
    backdrop = Backdrop(scene.data)
    stored = read_features(scene.data / "aud_ds.npy", EXTRACTORS["deepspeech"])
    rows = renderer.audio_rows(feature_rows(stored, 0, len(stored)))
    codes = renderer.codes(rows, np.array([frame.img_id for frame in poses.frames]), stored.shape[1])
    for index, frame in enumerate(poses.frames):
        deformed = renderer.deform([codes[index]], units[index][None])[0]
        drawn = renderer.draw(deformed, poses.camera(index, backdrop.size), BLACK)
        picture = renderer.compose(drawn, backdrop.frame(frame.img_id))
        close_bytes(picture, full["eval_out"][index], ~full["eval_fragile"][index])
        if index >= 2:
            continue
        for name in ("face", "mouth"):
            cloud, raster = getattr(deformed, name), getattr(drawn, name)
            sure = ~golden[f"{name}{index}_fragile"]
            golden.check(f"{name}{index}_render", raster.color[:, sure], np.s_[:, sure])
            golden.check(f"{name}{index}_alpha", raster.alpha[sure], np.s_[0, sure])
            off = np.abs(raster.radii - golden[f"{name}{index}_radii"])
            assert off.max() <= 1
            assert (off > 0).mean() <= 0.01
            close_bytes(renderer.alone(raster), full[f"eval_{name}"][index])
            if index == 0:
                golden.check(f"{name}0_means3D", cloud.means)
                golden.check(f"{name}0_scales", cloud.scales)
                golden.check(f"{name}0_rotations", cloud.rotations)
                golden.check(f"{name}0_opacities", cloud.opacities[:, None])
        dilated = renderer.compose(drawn, backdrop.frame(frame.img_id), dilate_mouth=True)
        close_bytes(dilated, full["dilate_out"][index], ~full["eval_fragile"][index])


@pytest.mark.parametrize("name", ["64x48", "96x96", "edge_70x50"])
def test_reference_rasteriser_by_name(kit: SimpleNamespace, name: str) -> None:
    golden = dict(kit.golden(f"raster_{name}").arrays)
    inputs = {key.removeprefix("in_"): value for key, value in golden.items() if key.startswith("in_")}
    outputs = run_network("talkinggaussian.rasterize", {}, inputs)
    sure = ~golden["fragile"]
    for key in ("radii", "tiles_touched", "visible"):
        np.testing.assert_array_equal(outputs[key], golden[key])
    np.testing.assert_array_equal(outputs["n_contrib"][sure], golden["n_contrib"][sure])
    for key in ("render", "depth", "alpha", "transmittance"):
        assert np.abs(outputs[key] - golden[key])[..., sure].max() < tolerance(f"talkinggaussian/raster_{name}:{key}")
    assert set(golden) - {"fragile", "seed", "inputs"} - {k for k in golden if k.startswith("in_")} == set(outputs)


def test_reference_harmonics_by_name(kit: SimpleNamespace) -> None:
    golden = kit.golden("sh_eval")
    outputs = run_network("talkinggaussian.sh", {}, golden.inputs())
    assert len(outputs) == 8
    for key, value in outputs.items():
        golden.check(key, value)
