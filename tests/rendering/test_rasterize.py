"""Both Gaussian rasterisers: golden files, each other, and the laws of alpha compositing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.rendering import jit
from talkinghead.rendering.gaussians import GaussianCloud, Raster, tile_grid, well_formed
from talkinghead.rendering.rasterize_cpu import rasterize_cpu
from talkinghead.rendering.rasterize_reference import project, rasterize_reference, tile_lists
from tests.tolerances import tolerance

STORED = ("64x48", "96x96", "edge_70x50")
IMAGE, FRAGILE, XY_PX, VIEW_Z, CONIC, COV3D, RGB = (
    tolerance(f"talkinggaussian/raster_64x48:{name}")
    for name in ("render", "fragile", "xy", "view_z", "conic", "cov3d", "rgb")
)
TWINS = tolerance("twins:additions")

FAST = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def largest(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0.0))


def check_images(drawn: Raster, data: dict[str, np.ndarray]) -> None:
    sure = ~data["fragile"]
    np.testing.assert_array_equal(drawn.radii, data["radii"])
    assert drawn.depth is not None
    for ours, golden in (
        (drawn.color, data["render"]),
        (drawn.alpha, data["alpha"][0]),
        (drawn.depth, data["depth"][0]),
    ):
        assert largest(ours[..., sure], golden[..., sure]) < IMAGE
        assert largest(ours, golden) < FRAGILE


@pytest.mark.parametrize("name", STORED)
def test_reference_matches_every_intermediate(lab: SimpleNamespace, name: str) -> None:
    cloud, camera, background, data = lab.stored_case(name)
    drawn = rasterize_reference(cloud, camera, background)
    check_images(drawn, data)
    sure, projection = ~data["fragile"], drawn.projection
    np.testing.assert_array_equal(projection.visible, data["visible"])
    np.testing.assert_array_equal(projection.tiles_touched, data["tiles_touched"])
    np.testing.assert_array_equal(drawn.num_contributing[sure], data["n_contrib"][sure])
    assert largest(drawn.transmittance[sure], data["transmittance"][sure]) < IMAGE
    assert largest(projection.xy, data["xy"]) < XY_PX
    assert largest(projection.view_z, data["view_z"]) < VIEW_Z
    for ours, golden in ((projection.conic, data["conic"]), (projection.cov2d, data["cov2d"])):
        size = np.maximum(np.abs(golden).max(axis=1, keepdims=True), 1e-12)
        assert largest(ours / size, golden / size) < CONIC
    assert largest(projection.cov3d, data["cov3d"]) <= COV3D * np.abs(data["cov3d"]).max()
    assert largest(np.where(projection.visible[:, None], cloud.colors, 0), data["rgb"]) < RGB


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("threads", [1, 3])
def test_cpu_matches_golden(lab: SimpleNamespace, name: str, threads: int) -> None:
    cloud, camera, background, data = lab.stored_case(name)
    check_images(rasterize_cpu(cloud, camera, background, depth=True, threads=threads), data)


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("draw", [rasterize_reference, rasterize_cpu])
def test_32_channels_match_golden(lab: SimpleNamespace, name: str, draw: object) -> None:
    cloud, camera, background, data = lab.feature_case(name)
    drawn = draw(cloud, camera, background)
    np.testing.assert_array_equal(drawn.radii, data["radii"])
    assert largest(drawn.color, data["image"]) < IMAGE


@FAST
@given(
    seed=SEEDS, count=st.integers(0, 60), channels=st.sampled_from([1, 3, 5]), size=st.tuples(*[st.integers(1, 50)] * 2)
)
def test_cpu_equals_reference_on_random_clouds(
    lab: SimpleNamespace, seed: int, count: int, channels: int, size: tuple[int, int]
) -> None:
    cloud = lab.random_cloud(seed, count, channels=channels, spread=0.3, scale=(-9, -2))
    camera = lab.front_camera(*size)
    background = np.linspace(0, 1, channels, dtype=np.float32)
    twin, fast = rasterize_reference(cloud, camera, background), rasterize_cpu(cloud, camera, background, depth=True)
    np.testing.assert_array_equal(fast.radii, twin.radii)
    assert fast.depth is not None
    assert twin.depth is not None
    for ours, expected in ((fast.color, twin.color), (fast.alpha, twin.alpha), (fast.depth, twin.depth)):
        # a pixel may stand on a threshold of the published rule (fragile) and jump, but by no more than it allows
        difference = np.abs(ours - expected)
        assert (difference > IMAGE).sum() <= 2 * channels
        assert difference.max(initial=0) < FRAGILE


@FAST
@given(seed=SEEDS, count=st.integers(2, 80))
def test_order_of_gaussians_does_not_matter(lab: SimpleNamespace, seed: int, count: int) -> None:
    cloud, camera = lab.random_cloud(seed, count), lab.front_camera(40, 30)
    depths = np.random.default_rng(seed).permutation(np.linspace(-0.1, 0.1, count)).astype(np.float32)
    cloud = replace(cloud, means=np.column_stack([cloud.means[:, :2], depths]))
    shuffle = np.random.default_rng(seed + 1).permutation(count)
    shuffled = GaussianCloud(**{name: getattr(cloud, name)[shuffle] for name in cloud.__dataclass_fields__})
    background = np.array([0.1, 0.5, 0.9], np.float32)
    one, other = (rasterize_cpu(c, camera, background, depth=True) for c in (cloud, shuffled))
    np.testing.assert_array_equal(one.color, other.color)
    np.testing.assert_array_equal(one.alpha, other.alpha)
    np.testing.assert_array_equal(one.radii[shuffle], other.radii)


def test_equal_depths_keep_the_order_of_the_cloud(lab: SimpleNamespace) -> None:
    cloud, camera = lab.random_cloud(3, 40, spread=0.05), lab.front_camera(32, 32)
    means = cloud.means.copy()
    means[:, 2] = 0
    cloud = replace(cloud, means=means)
    background = np.zeros(3, np.float32)
    twin, fast = rasterize_reference(cloud, camera, background), rasterize_cpu(cloud, camera, background)
    assert largest(twin.color, fast.color) < TWINS
    first = tile_lists(twin.projection, camera.size)
    for start, stop in zip(first.starts[:-1], first.starts[1:], strict=True):
        assert (np.diff(first.gaussians[start:stop]) > 0).all()


@FAST
@given(seed=SEEDS, count=st.integers(1, 40))
def test_without_opacity_only_the_background_shows(lab: SimpleNamespace, seed: int, count: int) -> None:
    cloud = replace(lab.random_cloud(seed, count), opacities=np.zeros(count, np.float32))
    background = np.array([0.2, 0.4, 0.6], np.float32)
    for draw in (rasterize_cpu, rasterize_reference):
        drawn = draw(cloud, lab.front_camera(37, 21), background)
        assert (drawn.color == background[:, None, None]).all()
        assert not drawn.alpha.any()


@FAST
@given(seed=SEEDS, count=st.integers(1, 120))
def test_weights_and_transmittance_make_one(lab: SimpleNamespace, seed: int, count: int) -> None:
    cloud, camera = lab.random_cloud(seed, count), lab.front_camera(33, 33)
    drawn = rasterize_reference(cloud, camera, np.zeros(3, np.float32))
    np.testing.assert_allclose(drawn.alpha + drawn.transmittance, 1, atol=3e-6)
    assert drawn.transmittance.min() >= 0.0001
    # the same law for the compiled one: a white cloud on white is white
    white = replace(cloud, colors=np.ones_like(cloud.colors))
    np.testing.assert_allclose(rasterize_cpu(white, camera, np.ones(3, np.float32)).color, 1, atol=3e-6)


@FAST
@given(seed=SEEDS)
def test_conic_is_the_inverse_covariance(lab: SimpleNamespace, seed: int) -> None:
    projection = project(lab.random_cloud(seed, 50), lab.front_camera(64, 64))
    covariance, conic = (value[projection.visible].astype(np.float64) for value in (projection.cov2d, projection.conic))
    product = np.einsum(
        "nij,njk->nik", covariance[:, [0, 1, 1, 2]].reshape(-1, 2, 2), conic[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
    )
    condition = covariance[:, 0] * covariance[:, 2] / (covariance[:, 0] * covariance[:, 2] - covariance[:, 1] ** 2)
    assert (np.abs(product - np.eye(2)).max(axis=(1, 2)) < 4e-6 * condition).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_quaternion_and_its_negative_turn_alike(lab: SimpleNamespace, sign: int) -> None:
    cloud, camera = lab.random_cloud(11, 60), lab.front_camera(48, 48)
    drawn = rasterize_cpu(replace(cloud, rotations=sign * cloud.rotations), camera, np.zeros(3, np.float32))
    np.testing.assert_array_equal(drawn.color, rasterize_cpu(cloud, camera, np.zeros(3, np.float32)).color)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_same_picture_with_any_number_of_threads(lab: SimpleNamespace, threads: int) -> None:
    cloud, camera = lab.random_cloud(5, 4000), lab.front_camera(200, 150)
    background = np.zeros(3, np.float32)
    one = rasterize_cpu(cloud, camera, background, depth=True, threads=1)
    many = rasterize_cpu(cloud, camera, background, depth=True, threads=threads)
    for name in ("color", "alpha", "depth", "radii"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_a_gaussian_acts_only_in_listed_tiles(lab: SimpleNamespace) -> None:
    """Alpha at three standard deviations is 0.011, above 1/255, and still the neighbour tile shows nothing."""
    camera = lab.front_camera(64, 64, focal_px=128.0)
    cloud = GaussianCloud(
        means=np.array([[0.0, 0.0, 0.0]], np.float32),
        scales=np.full((1, 3), 0.034, np.float32),
        rotations=np.array([[1, 0, 0, 0]], np.float32),
        opacities=np.array([1.0], np.float32),
        colors=np.ones((1, 3), np.float32),
    )
    drawn = rasterize_reference(cloud, camera, np.zeros(3, np.float32))
    x1, y1, x2, y2 = drawn.projection.tile_rect[0] * 16
    listed = np.zeros((64, 64), bool)
    listed[y1:y2, x1:x2] = True
    assert listed.sum() < 64 * 64
    assert not drawn.alpha[~listed].any()
    sigma_px = np.sqrt(drawn.projection.cov2d[0, 0])
    ys, xs = np.mgrid[:64, :64]
    alpha = np.exp(-0.5 * ((xs - 31.5) ** 2 + (ys - 31.5) ** 2) / sigma_px**2)
    assert (alpha[~listed] > 1 / 255).any()  # the cut is visible: the rule matters
    np.testing.assert_array_equal(rasterize_cpu(cloud, camera, np.zeros(3, np.float32)).alpha > 0, drawn.alpha > 0)


MALFORMED = {
    "nan position": ("means", np.nan),
    "infinite position": ("means", np.inf),
    "nan scale": ("scales", np.nan),
    "infinite scale": ("scales", np.inf),
    "negative scale": ("scales", -1.0),
    "no extent": ("scales", 0.0),
    "nan quaternion": ("rotations", np.nan),
    "nan opacity": ("opacities", np.nan),
    "nan colour": ("colors", np.nan),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_gaussians_are_left_out(lab: SimpleNamespace, case: str) -> None:
    cloud, camera = lab.random_cloud(8, 30), lab.front_camera(40, 40)
    name, value = MALFORMED[case]
    values = getattr(cloud, name).copy()
    values[::3] = value
    bad = replace(cloud, **{name: values})
    keep = np.arange(30) % 3 != 0
    np.testing.assert_array_equal(well_formed(bad), keep)
    good = GaussianCloud(**{field: getattr(cloud, field)[keep] for field in cloud.__dataclass_fields__})
    background = np.full(3, 0.3, np.float32)
    for draw in (rasterize_reference, rasterize_cpu):
        with_bad, without = draw(bad, camera, background), draw(good, camera, background)
        np.testing.assert_array_equal(with_bad.color, without.color)
        assert not with_bad.radii[::3].any()


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e4, 1e12, 1e19, 3e38])
@pytest.mark.parametrize(
    "position", [(0, 0, 0), (0, 0, 0.649), (1e6, 0, 0), (-1e30, 1e30, -1e30), (0, 0, 0.9), (3e38, 0, 0)]
)
def test_absurd_gaussians_do_no_harm(lab: SimpleNamespace, size: float, position: tuple[float, float, float]) -> None:
    cloud = lab.random_cloud(2, 3)
    cloud = replace(
        cloud,
        means=np.array([position] * 3, np.float32),
        scales=np.array([[size] * 3, [size, 1e-3, 1e-3], [1e-3, size, 0]], np.float32),
    )
    camera = lab.front_camera(35, 50)
    for draw in (rasterize_reference, rasterize_cpu):
        drawn = draw(cloud, camera, np.full(3, 0.5, np.float32))
        assert np.isfinite(drawn.color).all()
        assert np.isfinite(drawn.alpha).all()
        assert drawn.alpha.max() <= 1


def test_an_empty_cloud_gives_zeros_without_background(lab: SimpleNamespace) -> None:
    cloud, camera = lab.random_cloud(0, 0), lab.front_camera(20, 10)
    for draw in (rasterize_reference, rasterize_cpu):
        drawn = draw(cloud, camera, np.ones(3, np.float32))
        assert drawn.color.shape == (3, 10, 20)
        assert not drawn.color.any()


def test_inputs_are_not_modified(lab: SimpleNamespace) -> None:
    cloud, camera = lab.random_cloud(1, 50), lab.front_camera(32, 32)
    before = {name: getattr(cloud, name).copy() for name in cloud.__dataclass_fields__}
    rasterize_cpu(cloud, camera, np.zeros(3, np.float32))
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(cloud, name), value)


def test_wrong_shapes_are_refused(lab: SimpleNamespace) -> None:
    cloud = lab.random_cloud(1, 5)
    with pytest.raises(ValueError, match=r"scales must be \[5, 3\]"):
        replace(cloud, scales=cloud.scales[:4])
    with pytest.raises(ValueError, match="float32"):
        replace(cloud, means=cloud.means.astype(np.float64))


def test_grid_covers_the_picture() -> None:
    assert tile_grid((70, 50)) == (5, 4)
    assert tile_grid((64, 16)) == (4, 1)
    assert tile_grid((1, 1)) == (1, 1)


def test_kernels_are_compiled_without_a_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba refuses to cache where it may write nowhere; the kernel works all the same."""
    from numba import njit

    asked = []

    def refusing(cache: bool = False, **flags: object) -> object:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**flags)

    monkeypatch.setattr("numba.njit", refusing)
    doubled = jit.kernel(lambda x: x + x)
    assert doubled(21) == 42
    assert asked == [True, False]


@given(st.integers(0, 1000), st.integers(-3, 50))
def test_chunks_cover_everything_once(count: int, pieces: int) -> None:
    found = jit.chunks(count, pieces)
    assert [i for a, b in found for i in range(a, b)] == list(range(count))
    assert max((b - a for a, b in found), default=0) - min((b - a for a, b in found), default=0) <= 1


def test_errors_in_pieces_reach_the_caller() -> None:
    def work(number: int) -> None:
        if number == 3:
            raise ValueError("piece 3")

    for threads in (1, 4):
        with pytest.raises(ValueError, match="piece 3"):
            jit.spread(work, [(number,) for number in range(6)], threads)
