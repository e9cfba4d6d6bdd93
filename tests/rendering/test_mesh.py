"""The mesh renderer: the published pictures, the readable twin, and what must hold for any mesh."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.rendering import mesh
from tests.golden_files import Golden
from tests.tolerances import tolerance

EDGE_PIXELS = tolerance("artalk/mesh_render:edge_pixels")


@pytest.fixture(scope="module")
def golden():
    return Golden("artalk/mesh_render")


def check_image(image, expected):
    """Few pixels differ, by the edge of a face; all others agree."""
    difference = np.abs(image.transpose(2, 0, 1).astype(np.float64) * 255 - expected).max(axis=0)
    assert (difference > tolerance("artalk/mesh_render:images")).sum() <= EDGE_PIXELS


@pytest.mark.thorough
@pytest.mark.parametrize("number", [0, 1])
def test_published_pictures(golden, number):
    image, alpha = mesh.render_mesh(golden["verts"][number], golden["faces"], 64)
    check_image(image, golden["images"][number])
    assert np.abs(alpha - golden["alpha"][number, 0]).sum() <= EDGE_PIXELS


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
    golden.check("vertex_normals", mesh.vertex_normals(vertices, faces))
    raster = mesh.rasterize_mesh(mesh.MeshCamera().project(vertices), faces, 64)
    same = raster.face == golden["pix_to_face"]
    assert (~same).sum() <= EDGE_PIXELS
    golden.check("zbuf", raster.depth[same], same)
    golden.check("bary", raster.barycentric[same], same)


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
    np.testing.assert_allclose(fast.depth[same], slow.depth[same], atol=tolerance("twins"))


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


def soft_disc():
    """A disc of many faces, seen from the front."""
    turn = np.linspace(0, 2 * np.pi, 61)[:-1]
    ring = np.stack([0.1 * np.cos(turn), 0.1 * np.sin(turn), np.zeros(60)], axis=1)
    vertices = np.concatenate([[[0.0, 0.0, 0.0]], ring]).astype(np.float32)
    faces = np.stack([np.zeros(60), np.arange(60) + 1, np.roll(np.arange(60) + 1, -1)], axis=1).astype(np.int32)
    return vertices, faces


@pytest.mark.parametrize("antialias", [2, 3, 4])
def test_antialiasing_is_the_mean_of_many_samples(antialias):
    vertices, faces = soft_disc()
    shading = mesh.MeshShading(background=(0.0, 0.0, 0.0))
    fine, _ = mesh.render_mesh(vertices, faces, 48 * 8, shading=shading)
    expected = fine.reshape(48, 8, 48, 8, 3).mean(axis=(1, 3)) * 255
    frame = mesh.MeshRenderer(faces, 48, shading=shading, antialias=antialias).frame(vertices).astype(float)
    hard = mesh.MeshRenderer(faces, 48, shading=shading).frame(vertices).astype(float)
    error = np.sqrt(((frame - expected) ** 2).mean())
    assert error < 0.45 * np.sqrt(((hard - expected) ** 2).mean())
    inner = (slice(15, 33), slice(15, 33))
    assert np.abs(frame[inner] - expected[inner]).max() < 1.5


@pytest.mark.parametrize("antialias", [1, 2])
def test_many_frames_at_once_are_the_frames_one_by_one(antialias):
    meshes = [random_mesh(seed)[0] for seed in range(7)]
    faces = random_mesh(0)[1]
    renderer = mesh.MeshRenderer(faces, 50, antialias=antialias, threads=3)
    together = list(renderer.frames(iter(meshes)))
    assert len(together) == 7
    for vertices, frame in zip(meshes, together, strict=True):
        assert np.array_equal(frame, renderer.frame(vertices))


def test_one_sample_is_the_published_picture_truncated():
    vertices, faces = random_mesh(11)
    image, _ = mesh.render_mesh(vertices, faces, 40)
    frame = mesh.MeshRenderer(faces, 40).frame(vertices)
    difference = np.abs(frame.astype(int) - mesh.to_frame(image).astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_transparency_laid_on_a_background_is_the_opaque_frame():
    vertices, faces = soft_disc()
    renderer = mesh.MeshRenderer(faces, 40, shading=mesh.MeshShading(background=(0.2, 0.6, 0.4)), antialias=3)
    rgba = renderer.frame(vertices, transparent=True).astype(np.float64)
    assert rgba.shape == (40, 40, 4)
    assert set(np.unique(rgba[..., 3])) >= {0.0, 255.0}
    share = rgba[..., 3:] / 255
    laid = rgba[..., :3] * share + np.array([0.2, 0.6, 0.4]) * 255 * (1 - share)
    assert np.abs(laid - renderer.frame(vertices)).max() <= 2


def test_a_picture_stands_behind():
    vertices, faces = soft_disc()
    behind = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    frame = mesh.MeshRenderer(faces, 40, background=behind, antialias=2).frame(vertices)
    alpha = mesh.MeshRenderer(faces, 40, antialias=2).frame(vertices, transparent=True)[..., 3]
    assert np.array_equal(frame[alpha == 0], behind[alpha == 0])
    assert not np.array_equal(frame[alpha == 255], behind[alpha == 255])


def test_texture_is_read_upwards_and_untextured_faces_keep_their_colour():
    vertices = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :, 0] = 255  # the upper half is red
    picture[32:, :, 2] = 255
    points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    shading = mesh.MeshShading(ambient=1.0, diffuse=0.0, specular=0.0)
    texture = mesh.MeshTexture(picture, points, faces)
    frame = mesh.MeshRenderer(faces, 64, shading=shading, texture=texture, antialias=2).frame(vertices)
    assert frame[20, 32, 0] > 250 > 5 > frame[20, 32, 2]
    assert frame[44, 32, 2] > 250 > 5 > frame[44, 32, 0]
    half = mesh.MeshTexture(picture, points, np.array([[0, 1, 2], [-1, -1, -1]], np.int32))
    green = np.tile(np.array([[0, 1, 0]], np.float32), (4, 1))
    frame = mesh.MeshRenderer(faces, 64, shading=shading, colours=green, texture=half, antialias=2).frame(vertices)
    assert (frame[..., 1] > 250).sum() > 300
    small = texture.for_size(faces, mesh.MeshCamera().project(vertices), 8)
    assert small.picture.shape == (16, 16, 3)


def test_facets_have_one_light_each():
    vertices, faces = np.array([[-0.1, -0.1, 0.05], [0.1, -0.1, 0], [0, 0.1, -0.05]], np.float32), np.array([[0, 1, 2]])
    faces = faces.astype(np.int32)
    shading = mesh.MeshShading(specular=0.0, smooth=False, light=(0, 0, 1e4))
    frame = mesh.MeshRenderer(faces, 64, shading=shading, antialias=2).frame(vertices)
    alpha = mesh.MeshRenderer(faces, 64, antialias=2).frame(vertices, transparent=True)[..., 3]
    assert np.ptp(frame[alpha == 255].astype(int), axis=0).max() <= 2
