"""The mesh renderer: the published pictures, the readable twin, and what must hold for any mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.rendering import mesh

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "artalk"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "mesh_render.npz")


def check_image(image, expected):
    """At most two pixels differ, by the edge of a face; all others agree."""
    difference = np.abs(image.transpose(2, 0, 1).astype(np.float64) * 255 - expected).max(axis=0)
    assert (difference > 2e-3).sum() <= 2


@pytest.mark.parametrize("number", [0, 1])
def test_published_pictures(golden, number):
    image, alpha = mesh.render_mesh(golden["verts"][number], golden["faces"], 64)
    check_image(image, golden["images"][number])
    assert np.abs(alpha - golden["alpha"][number, 0]).sum() <= 2


def test_published_picture_of_a_scaled_head(golden):
    camera = mesh.MeshCamera(translation=np.array([0, 0, 10], np.float32))
    image, _ = mesh.render_mesh(golden["verts"][0] * np.float32(5), golden["faces"], 64, camera=camera)
    check_image(image, golden["images_scale5"])


def test_published_picture_of_another_camera(golden):
    matrix = golden["transform_custom"]
    camera = mesh.MeshCamera(
        np.ascontiguousarray(matrix[:, :3]), matrix[:, 3].copy(), focal=float(golden["focal_custom"])
    )
    image, _ = mesh.render_mesh(golden["verts"][0], golden["faces"], 64, camera=camera)
    check_image(image, golden["images_custom"])


def test_published_raster(golden):
    vertices, faces = golden["verts"][0], golden["faces"].astype(np.int32)
    np.testing.assert_allclose(mesh.vertex_normals(vertices, faces), golden["vertex_normals"], atol=1e-5)
    raster = mesh.rasterize_mesh(mesh.MeshCamera().project(vertices), faces, 64)
    same = raster.face == golden["pix_to_face"]
    assert (~same).sum() <= 2
    np.testing.assert_allclose(raster.depth[same], golden["zbuf"][same], atol=2e-5)
    np.testing.assert_allclose(raster.barycentric[same], golden["bary"][same], atol=2e-4)


def random_mesh(seed, count=30):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.12, 0.12, (count, 1, 3))
    vertices = (centres + rng.normal(scale=0.05, size=(count, 3, 3))).reshape(-1, 3).astype(np.float32)
    return vertices, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


@given(st.integers(0, 10_000), st.integers(5, 40))
@settings(max_examples=15, deadline=None)
def test_compiled_equals_the_readable_twin(seed, size):
    vertices, faces = random_mesh(seed)
    projected = mesh.MeshCamera().project(vertices)
    fast = mesh.rasterize_mesh(projected, faces, size)
    slow = mesh.rasterize_mesh_reference(projected, faces, size)
    assert (fast.face != slow.face).sum() <= 1
    same = fast.face == slow.face
    np.testing.assert_allclose(fast.depth[same], slow.depth[same], atol=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_depth_does_not_depend_on_the_order_of_faces(seed):
    vertices, faces = random_mesh(seed)
    projected = mesh.MeshCamera().project(vertices)
    order = np.random.default_rng(seed).permutation(len(faces))
    first = mesh.rasterize_mesh(projected, faces, 48)
    second = mesh.rasterize_mesh(projected, faces[order], 48)
    assert np.array_equal(first.depth, second.depth)
    seen = first.face >= 0
    assert np.array_equal(first.face[seen], order[second.face[seen]])


def test_threads_do_not_change_the_picture():
    vertices, faces = random_mesh(3)
    one, _ = mesh.render_mesh(vertices, faces, 60, threads=1)
    many, _ = mesh.render_mesh(vertices, faces, 60, threads=5)
    assert np.array_equal(one, many)


def test_turning_the_camera_is_turning_the_mesh():
    vertices, faces = random_mesh(5)
    angle = 0.3
    turn = np.array(
        [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]], dtype=np.float64
    )
    camera = mesh.MeshCamera()
    turned = mesh.MeshCamera(rotation=np.ascontiguousarray((turn @ camera.rotation).astype(np.float32)))
    by_camera = mesh.rasterize_mesh(turned.project(vertices), faces, 64)
    by_mesh = mesh.rasterize_mesh(camera.project((vertices @ turn).astype(np.float32)), faces, 64)
    assert (by_camera.face != by_mesh.face).mean() < 0.01


def test_degenerate_and_hidden_faces_are_skipped():
    vertices = np.array([[0, 0, 0], [0, 0, 0], [0.1, 0, 0], [0, 0.1, 5], [0.1, 0, 5], [0, 0, 5]], np.float32)
    raster = mesh.rasterize_mesh(mesh.MeshCamera().project(vertices), np.array([[0, 1, 2], [3, 4, 5]], np.int32), 16)
    assert (raster.face == -1).all()
