"""FLAME heads: the published numbers, the file formats, and what must hold for any head."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.errors import OptionError, UnsafeCheckpoint, WrongCheckpoint
from talkinghead.families.artalk import reference
from talkinghead.families.artalk.flame import flame_from_arrays, load_flame, rodrigues
from talkinghead.reference.networks import ReferenceOptions
from tests.golden_files import Golden
from tests.tolerances import tolerance


@pytest.fixture(scope="module")
def arrays():
    golden = Golden("artalk/flame_model")
    return {key: golden[key] for key in golden.arrays.files}


@pytest.fixture(scope="module")
def head(arrays):
    return flame_from_arrays(arrays, "golden")


@pytest.fixture(scope="module")
def case():
    return Golden("artalk/flame_case")


def test_vertices_as_published(head, case):
    given = case.inputs()
    shape, expression, pose, eye = given["shape"], given["exp"], case["pose"], case["eye"]
    verts = head.vertices(shape, expression, pose, eye)
    case.check("verts", verts)
    case.check("verts_scale5", head.vertices(shape, expression, pose, eye, scale=5.0))
    case.check("verts_noeye", head.vertices(shape, expression, pose))
    case.check("lmk_dense105", head.mediapipe_landmarks(verts))
    motion = np.concatenate([expression, pose], axis=1)
    case.check("get_flame_verts_global", head.motion_vertices(motion, shape))
    case.check("get_flame_verts_noglobal", head.motion_vertices(motion, shape, with_global=False))
    halves = [head.motion_vertices(motion * np.float32(factor), shape) for factor in (1.0, 0.5)]
    case.check("get_flame_verts_3d", np.stack(halves))


def test_three_numbers_of_pose_are_the_jaw(head, case):
    given = case.inputs()
    candidates = [
        head.vertices(given["shape"], given["exp"], case["pose"][:, part]) for part in (slice(3), slice(3, 6))
    ]
    nearest = min(float(case.difference("verts_pose3", verts).max()) for verts in candidates)
    assert nearest <= tolerance("artalk/flame_case:verts_pose3")
    jaw = case["pose"][:, 3:]
    full = np.concatenate((np.zeros_like(jaw), jaw), axis=1)
    np.testing.assert_array_equal(candidates[1], head.vertices(given["shape"], given["exp"], full))


def test_rotations_as_published(case):
    case.check("rodrigues", rodrigues(case["rodrigues_in"]))


def test_through_reference(arrays, case):
    given = case.inputs()
    inputs = {"shape": given["shape"], "exp": given["exp"], "pose": case["pose"], "eye": case["eye"]}
    out = reference.run_flame(arrays, inputs, {}, ReferenceOptions())
    case.check("verts", out["verts"])


def test_rest_pose_is_the_shape(head):
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(1, 300)).astype(np.float32)
    rest = head.template + (head.shape_directions[..., :300] @ shape[0]).astype(np.float32)
    np.testing.assert_allclose(head.vertices(shape)[0], rest, atol=1e-6)


@given(st.lists(st.floats(-6, 6, width=32), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None)
def test_rotation_matrices_stay_orthonormal(vector):
    matrix = rodrigues(np.array([vector], np.float32))[0].astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=3e-6)
    assert np.linalg.det(matrix) == pytest.approx(1.0, abs=3e-6)


def test_no_rotation_is_exactly_none():
    assert np.array_equal(rodrigues(np.zeros((1, 3), np.float32))[0], np.eye(3, dtype=np.float32))


def nested(arrays):
    tree = {}
    for key, value in arrays.items():
        group, _, name = key.partition("/")
        tree.setdefault(group, {})[name] = torch.from_numpy(value)
    return tree


def test_published_file(tmp_path, arrays, head):
    path = tmp_path / "FLAME_with_eye.pt"
    torch.save(nested(arrays), path)
    loaded = load_flame(path)
    np.testing.assert_array_equal(loaded.vertices(), head.vertices())
    assert set(loaded.landmarks) == set(head.landmarks)


def test_npz_file(tmp_path, arrays, head):
    plain = {key.removeprefix("flame_model/"): value for key, value in arrays.items() if key.startswith("flame_model")}
    np.savez(tmp_path / "head.npz", **plain)
    np.testing.assert_array_equal(load_flame(tmp_path / "head.npz").vertices(), head.vertices())


def test_official_pickle_with_sparse_regressor_and_huge_root_parent(tmp_path, arrays, head):
    import scipy.sparse

    plain = {key.removeprefix("flame_model/"): value for key, value in arrays.items() if key.startswith("flame_model")}
    plain["J_regressor"] = scipy.sparse.csc_matrix(plain["J_regressor"])
    plain["kintree_table"] = plain["kintree_table"].astype(np.uint32)
    plain["kintree_table"][0, 0] = 4294967295
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(plain, protocol=2))
    np.testing.assert_array_equal(load_flame(path).vertices(), head.vertices())


def test_a_hostile_pickle_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("this must not run",))

    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps({"f": Evil()}))
    with pytest.raises(UnsafeCheckpoint):
        load_flame(path)


def test_another_body_is_refused(arrays):
    with pytest.raises(WrongCheckpoint, match="lacks"):
        flame_from_arrays({"v_template": arrays["flame_model/v_template"]}, "file")
    other = dict(arrays)
    other["flame_model/kintree_table"] = other["flame_model/kintree_table"] * 0
    with pytest.raises(WrongCheckpoint, match="joints"):
        flame_from_arrays(other, "file")


def test_wrong_widths_are_refused(head):
    with pytest.raises(OptionError, match="expression"):
        head.vertices(expression=np.zeros((2, 99), np.float32))
