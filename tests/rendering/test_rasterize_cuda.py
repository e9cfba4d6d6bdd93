"""The CUDA rasteriser: everything before the pixel kernel on any device, the whole on a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.errors import MissingDependency
from talkinghead.rendering import rasterize_cuda as cuda
from talkinghead.rendering.gaussians import GaussianCloud
from talkinghead.rendering.rasterize_cpu import rasterize_cpu
from talkinghead.rendering.rasterize_reference import project, rasterize_reference, tile_lists
from talkinghead.rendering.spherical_harmonics import colors, num_coefficients
from tests.tolerances import tolerance


def near(name: str) -> float:
    return tolerance(f"talkinggaussian/raster_64x48:{name}")


def on(cloud: GaussianCloud, device: str = "cpu") -> cuda.TorchCloud:
    return cuda.TorchCloud(
        *(
            torch.from_numpy(getattr(cloud, n)).to(device)
            for n in ("means", "scales", "rotations", "opacities", "colors")
        )
    )


@pytest.mark.parametrize("name", ["64x48", "96x96", "edge_70x50"])
def test_projection_and_lists_match_golden(lab: SimpleNamespace, name: str) -> None:
    cloud, camera, _, data = lab.stored_case(name)
    flat = cuda.project_torch(on(cloud), camera)
    visible = data["visible"]
    np.testing.assert_array_equal(flat.radii, data["radii"])
    np.testing.assert_allclose(flat.xy[visible], data["xy"][visible], atol=near("xy"))
    np.testing.assert_allclose(flat.view_z[visible], data["view_z"][visible], atol=near("view_z"))
    size = np.abs(data["conic"][visible]).max(axis=1, keepdims=True)
    np.testing.assert_allclose(
        flat.conic.numpy()[visible] / size, data["conic"][visible] / size, atol=near("conic_torch")
    )
    twin = project(cloud, camera)
    np.testing.assert_array_equal(flat.tile_rect, twin.tile_rect)
    # exact ties keep the order of the cloud; view_z of both may differ by rounding, so take the twin's
    entries, starts = cuda.tile_lists_torch(
        cuda.TorchProjection(flat.xy, torch.from_numpy(twin.view_z), flat.conic, flat.radii, flat.tile_rect),
        camera.size,
    )
    expected = tile_lists(twin, camera.size)
    np.testing.assert_array_equal(entries, expected.gaussians)
    np.testing.assert_array_equal(starts.reshape(-1), expected.starts[:-1])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 60))
def test_projection_equals_the_twin(lab: SimpleNamespace, seed: int, count: int) -> None:
    cloud, camera = lab.random_cloud(seed, count, spread=0.3), lab.front_camera(45, 37)
    flat, twin = cuda.project_torch(on(cloud), camera), project(cloud, camera)
    assert (flat.radii.numpy() != twin.radii).mean() <= 0.05  # ceil of a sum in another order
    np.testing.assert_allclose(flat.xy[twin.visible], twin.xy[twin.visible], atol=1e-3)


def test_malformed_gaussians_are_left_out(lab: SimpleNamespace) -> None:
    cloud = lab.random_cloud(0, 12)
    for name, value in (("means", np.nan), ("scales", -1), ("opacities", np.inf)):
        getattr(cloud, name)[::4] = value
    flat = cuda.project_torch(on(cloud), lab.front_camera(32, 32))
    assert not flat.radii[::4].any()
    assert torch.isfinite(flat.conic).all()


@pytest.mark.parametrize("degree", range(4))
def test_harmonics_equal_the_twin(degree: int) -> None:
    rng = np.random.default_rng(degree)
    coefficients = rng.normal(size=(30, num_coefficients(degree), 3)).astype(np.float32)
    means, position = rng.normal(size=(30, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    found = cuda.colors_torch(degree, *(torch.from_numpy(v) for v in (coefficients, means, position)))
    np.testing.assert_allclose(found, colors(degree, coefficients, means, position), atol=tolerance("twins"))


def test_without_gsplat_it_says_what_to_install(lab: SimpleNamespace) -> None:
    if cuda.available():
        pytest.skip("gsplat is here")
    try:
        import gsplat  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependency, match="gsplat"):
            cuda.rasterize_cuda(on(lab.random_cloud(0, 3)), lab.front_camera(16, 16), torch.zeros(3))


@pytest.mark.gpu
@pytest.mark.parametrize("exact", [True, False])
def test_gpu_agrees_with_cpu(lab: SimpleNamespace, exact: bool) -> None:
    if not cuda.available():
        pytest.skip("gsplat is not installed")
    cloud, camera = lab.random_cloud(1, 5000), lab.front_camera(200, 150)
    background = np.array([0.2, 0.4, 0.6], np.float32)
    fast = cuda.rasterize_cuda(on(cloud, "cuda"), camera, torch.from_numpy(background).cuda(), exact=exact, depth=True)
    slow = rasterize_cpu(cloud, camera, background, depth=True)
    difference = np.abs(fast.color.cpu().numpy() - slow.color)
    assert difference.max() < 0.02
    assert difference.mean() < (1e-6 if exact else 1e-4)
    assert fast.depth is not None
    assert np.abs(fast.alpha.cpu().numpy() - slow.alpha).max() < 0.02


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["64x48", "96x96", "edge_70x50"])
def test_gpu_matches_golden(lab: SimpleNamespace, name: str) -> None:
    if not cuda.available():
        pytest.skip("gsplat is not installed")
    cloud, camera, background, data = lab.stored_case(name)
    drawn = cuda.rasterize_cuda(on(cloud, "cuda"), camera, torch.from_numpy(background).cuda(), depth=True)
    sure = ~data["fragile"]
    assert np.abs(drawn.color.cpu().numpy() - data["render"])[:, sure].max() < near("gpu")
    assert rasterize_reference(cloud, camera, background).alpha.shape == drawn.alpha.shape
