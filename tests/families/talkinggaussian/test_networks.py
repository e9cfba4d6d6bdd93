"""Grid encoder, motion networks and deformation: golden files, and the fast form against the readable one."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.families.talkinggaussian import motion, network
from talkinghead.families.talkinggaussian.checkpoint import CanonicalCloud
from talkinghead.families.talkinggaussian.grid import FACE_GRID, MOUTH_GRID, GridConfig, encode, table_rows
from talkinghead.families.talkinggaussian.network import FACE, MOUTH, NetworkKind, expected_shapes
from talkinghead.reference.networks import run_network
from tests.golden_files import manifest
from tests.tolerances import tolerance

ARRAYS = ("xyz", "features", "scaling", "rotation", "opacity")
WIDTHS = {"deepspeech": 29, "hubert": 1024}


@pytest.mark.parametrize("name", ["face", "mouth", "hashed"])
def test_grid_encoder_matches_golden(kit: SimpleNamespace, name: str) -> None:
    data = kit.golden("grid_encoder")
    config = json.loads(str(data["config"]))[name]
    inputs = data.inputs(f"/{name}/")
    outputs = run_network("talkinggaussian.grid_encoder", {}, inputs, config)
    np.testing.assert_array_equal(outputs["offsets"], data[f"{name}_offsets"])
    data.check(f"{name}_out", outputs["out"])
    np.testing.assert_allclose(
        outputs["per_level_scale_f64"],
        data[f"{name}_per_level_scale_f64"],
        rtol=tolerance("talkinggaussian/grid_encoder:per_level_scale_f64"),
    )


def test_the_published_grids() -> None:
    assert FACE_GRID.offsets.tolist() == [0, 296, 664, 1064, 1552, 2088, 2720, 3456, 4304, 5328, 6488, 7864, 9464]
    assert MOUTH_GRID.offsets[-1] == 46600
    assert MOUTH_GRID.per_level_scale < 1  # the mouth's grids become coarser


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_points_outside_the_grid_have_no_features(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(FACE_GRID.offsets[-1], 1)).astype(np.float32)
    points = rng.uniform(-0.3, 0.3, (count, 2)).astype(np.float32)
    points[::7] = np.nan
    outside = ~(np.abs(points) <= np.float32(0.15)).all(1)
    features = encode(points, table, FACE_GRID, 0.15)
    assert np.isfinite(features).all()
    assert not features[outside].any()
    inside = ~outside & (np.abs(points) < 0.1499).all(1)
    assert (features[inside] != 0).all()


def test_dense_levels_are_not_hashed() -> None:
    corners = np.array([[3, 2], [0, 0], [17, 17]], np.uint32)
    assert table_rows(corners, 17, 328).tolist() == [3 + 2 * 18, 0, (17 + 17 * 18) % 328]


def test_embeddings_of_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="embeddings must be"):
        encode(np.zeros((1, 2), np.float32), np.zeros((5, 1), np.float32), FACE_GRID, 0.15)
    assert GridConfig(16, 32.0, num_levels=3).num_features == 3


@pytest.mark.parametrize("extractor", WIDTHS)
@pytest.mark.parametrize("kind", [FACE, MOUTH], ids=lambda kind: kind.name)
def test_motion_network_matches_golden(kit: SimpleNamespace, kind: NetworkKind, extractor: str) -> None:
    data = kit.golden(f"{kind.name}_motion_{extractor}")
    weights = kit.network_weights(kind, extractor)
    published = manifest(f"talkinggaussian/{kind.name}_motion_{extractor}")
    shapes = expected_shapes(kind, WIDTHS[extractor])
    assert list(shapes) == list(published)
    assert all(list(shapes[name]) == published[name]["shape"] for name in shapes)
    inputs = data.inputs()
    outputs = run_network(f"talkinggaussian.{kind.name}_motion", weights, inputs, {"audio_extractor": extractor})
    for name, value in outputs.items():
        data.check(name, value)


def test_fast_motion_equals_the_readable_network(scene: SimpleNamespace) -> None:
    head = scene.head
    rng = np.random.default_rng(0)
    weights = {
        name: motion.torch_weights(getattr(head, f"{name}_motion"), torch.device("cpu")) for name in ("face", "mouth")
    }
    enc_a = torch.from_numpy(rng.normal(size=32).astype(np.float32))
    au_exp = torch.from_numpy(rng.uniform(0, 2, 6).astype(np.float32))
    fast = motion.FaceDeformation(head.face, weights["face"])
    moved = network.face_motion(
        weights["face"], network.encode_points(weights["face"], FACE, head.face.xyz), enc_a[None], au_exp
    )
    expected = torch.cat([moved.d_xyz / network.MOVE_SCALE, moved.d_rot, moved.d_scale], dim=1)
    torch.testing.assert_close(fast.outputs(enc_a, au_exp), expected, atol=tolerance("twins:split"), rtol=1e-5)
    [deformed] = fast(enc_a[None], au_exp[None])
    xyz, scaling, rotation = (torch.from_numpy(getattr(head.face, name)) for name in ("xyz", "scaling", "rotation"))
    torch.testing.assert_close(deformed.means, xyz + moved.d_xyz, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        deformed.scales, torch.nn.functional.softplus(scaling + moved.d_scale), atol=1e-6, rtol=1e-5
    )
    turned = rotation + moved.d_rot
    torch.testing.assert_close(
        deformed.rotations, turned / turned.norm(dim=1, keepdim=True), atol=tolerance("twins:split"), rtol=1e-5
    )
    [mouth] = motion.MouthDeformation(head.mouth, weights["mouth"])(enc_a[None])
    enc_x = network.encode_points(weights["mouth"], MOUTH, head.mouth.xyz)
    expected = torch.from_numpy(head.mouth.xyz) + network.mouth_motion(weights["mouth"], enc_x, enc_a[None])
    torch.testing.assert_close(mouth.means, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_of_frames_equals_its_frames(scene: SimpleNamespace, dtype: torch.dtype) -> None:
    """To the bit, with more Gaussians than go through the network together."""
    rng = np.random.default_rng(0)
    enc_a = torch.from_numpy(rng.normal(size=(3, 32)).astype(np.float32))
    au_exp = torch.from_numpy(rng.uniform(0, 2, (3, 6)).astype(np.float32))
    count = motion.BLOCK + 5
    clouds = [
        CanonicalCloud(
            **{name: np.resize(getattr(cloud, name), (count, *getattr(cloud, name).shape[1:])) for name in ARRAYS},
            sh_degree=cloud.sh_degree,
        )
        for cloud in (scene.head.face, scene.head.mouth)
    ]
    weights = [
        motion.torch_weights(values, torch.device("cpu"))
        for values in (scene.head.face_motion, scene.head.mouth_motion)
    ]
    face = motion.FaceDeformation(clouds[0], weights[0], dtype)
    mouth = motion.MouthDeformation(clouds[1], weights[1])
    together = zip(face(enc_a, au_exp), mouth(enc_a), strict=True)
    for index, moved in enumerate(together):
        alone = *face(enc_a[index : index + 1], au_exp[index : index + 1]), *mouth(enc_a[index : index + 1])
        for ours, expected in zip(moved, alone, strict=True):
            for name in ("means", "scales", "rotations", "opacities"):
                assert torch.equal(getattr(ours, name), getattr(expected, name)), name


def test_rows_once_equal_windows_one_by_one(scene: SimpleNamespace) -> None:
    """The audio network sees every row once; the published program sees it in eight windows."""
    weights = motion.torch_weights(scene.head.face_motion, torch.device("cpu"))
    rows = np.random.default_rng(1).normal(size=(11, 29, 16)).astype(np.float32)
    branch = motion.AudioBranch(weights)
    indices = np.arange(-3, 16)
    codes = branch.codes(branch.rows(rows), indices, 16)
    for index, code in zip(indices, codes, strict=True):
        window = np.zeros((8, 29, 16), np.float32)
        for slot, row in enumerate(range(index - 4, index + 4)):
            if 0 <= row < len(rows):
                window[slot] = rows[row]
        expected = network.attend(weights, network.audio_rows(weights, torch.from_numpy(window))[None])[0]
        torch.testing.assert_close(code, expected, atol=1e-6, rtol=1e-5)
