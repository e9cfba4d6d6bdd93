"""The GPU renderer with gsplat's pixel kernel replaced by the readable one: everything around it, on the processor.

On a machine with a GPU the last test runs the real thing.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from talkinghead.contracts import Frame
from talkinghead.families.talkinggaussian.frames import BLACK
from talkinghead.families.talkinggaussian.renderer import HeadRenderer, SpeechCodes
from talkinghead.families.talkinggaussian.renderer_cuda import CudaHeadRenderer
from talkinghead.families.talkinggaussian.scene import Backdrop, read_poses
from talkinghead.rendering import rasterize_cuda
from talkinghead.rendering.gaussians import GaussianCloud
from talkinghead.rendering.rasterize_cpu import rasterize_cpu
from talkinghead.rendering.rasterize_reference import Projection, TileLists, composite


def rasterize_to_pixels(
    means2d: torch.Tensor,
    conics: torch.Tensor,
    colors: torch.Tensor,
    opacities: torch.Tensor,
    width: int,
    height: int,
    tile: int,
    offsets: torch.Tensor,
    ids: torch.Tensor,
    backgrounds: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """gsplat's signature and layout; pixel centres at halves."""
    n = means2d.shape[1]
    assert means2d.shape == (1, n, 2)
    assert conics.shape == (1, n, 3)
    assert opacities.shape == (1, n)
    assert offsets.shape == (1, -(-height // tile), -(-width // tile))
    assert offsets.dtype == ids.dtype == torch.int32
    zeros = np.zeros((n, 6), np.float32)
    projection = Projection(
        visible=np.ones(n, bool),
        xy=(means2d[0] - 0.5).numpy(),
        view_z=zeros[:, 0],
        cov3d=zeros,
        cov2d=zeros[:, :3],
        conic=conics[0].numpy(),
        radii=zeros[:, 0].astype(np.int32),
        tile_rect=zeros[:, :4].astype(np.int32),
    )
    cloud = GaussianCloud(
        zeros[:, :3], zeros[:, :3], zeros[:, :4], opacities[0].numpy(), colors[0].contiguous().numpy()
    )
    starts = np.concatenate([offsets.reshape(-1).numpy(), [len(ids)]]).astype(np.int64)
    drawn = composite(cloud, projection, TileLists(ids.numpy(), starts), (width, height), backgrounds[0].numpy())
    color = torch.from_numpy(np.asarray(drawn["color"])).permute(1, 2, 0)[None]
    return color, torch.from_numpy(np.asarray(drawn["alpha"]))[None, ..., None]


def fully_fused_projection(
    means: torch.Tensor,
    covars: None,
    quats: torch.Tensor,
    scales: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    eps2d: float = 0.3,
    near_plane: float = 0.01,
    *,
    opacities: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, None]:
    """gsplat's signature and rule of extent; refuses what must not reach a kernel."""
    assert covars is None
    assert viewmats.shape == (1, 4, 4)
    assert Ks.shape == (1, 3, 3)
    for values in (means, quats, scales, opacities):
        assert torch.isfinite(values).all()
    assert (quats.norm(dim=1) > 0).all()
    x, y, z = (means @ viewmats[0, :3, :3].T + viewmats[0, :3, 3]).unbind(1)
    front = z >= near_plane
    depth = torch.where(front, z, 1)
    limits = [1.3 * size / (2 * Ks[0, k, k]) for k, size in enumerate((width, height))]
    tx, ty = ((v / depth).clamp(-limit, limit) * depth for v, limit in zip((x, y), limits, strict=True))
    zero = torch.zeros_like(depth)
    fx, fy = Ks[0, 0, 0], Ks[0, 1, 1]
    jacobian = torch.stack([fx / depth, zero, -fx * tx / depth**2, zero, fy / depth, -fy * ty / depth**2], 1).reshape(
        -1, 2, 3
    )
    turn = rasterize_cuda._rotation_rows(quats / quats.norm(dim=1, keepdim=True))
    half = jacobian @ viewmats[0, :3, :3] @ (turn * scales[:, None])
    cov = half @ half.transpose(1, 2) + eps2d * torch.eye(2)
    determinant = cov[:, 0, 0] * cov[:, 1, 1] - cov[:, 0, 1] ** 2
    conics = torch.stack([cov[:, 1, 1], -cov[:, 0, 1], cov[:, 0, 0]], 1) / determinant[:, None]
    means2d = torch.stack([fx * x / depth + Ks[0, 0, 2], fy * y / depth + Ks[0, 1, 2]], 1)
    reach = torch.sqrt(2 * torch.log(255 * opacities.clamp_min(1 / 255))).clamp_max(3.33)
    radii = torch.ceil(reach[:, None] * torch.sqrt(torch.stack([cov[:, 0, 0], cov[:, 1, 1]], 1)))
    radii = torch.where((front & (opacities >= 1 / 255))[:, None], radii, 0).nan_to_num(7).clamp_max(2e9)
    return radii.to(torch.int32)[None], means2d[None], depth[None], conics[None], None


def isect_tiles(
    means2d: torch.Tensor, radii: torch.Tensor, depths: torch.Tensor, tile: int, across: int, down: int
) -> tuple[None, torch.Tensor, torch.Tensor]:
    """gsplat's rectangles; tile and depth in one number, as there."""
    assert torch.isfinite(means2d).all()
    assert torch.isfinite(depths).all()
    assert radii.shape == means2d.shape
    assert radii.dtype == torch.int32
    found = []
    for i, (centre, radius) in enumerate(zip(means2d[0].double(), radii[0].double(), strict=True)):
        if not (radius > 0).all():
            continue
        low = torch.floor((centre - radius) / tile).clamp_min(0).long()
        high = torch.ceil((centre + radius) / tile).clamp_min(0).long()
        for row in range(int(low[1]), min(down, int(high[1]))):
            for column in range(int(low[0]), min(across, int(high[0]))):
                found.append(((row * across + column) << 32 | int(depths[0, i].view(torch.int32)), i))
    found.sort(key=lambda pair: pair[0])
    ids, entries = zip(*found, strict=True) if found else ((), ())
    return None, torch.tensor(ids, dtype=torch.int64), torch.tensor(entries, dtype=torch.int32)


def isect_offset_encode(ids: torch.Tensor, images: int, across: int, down: int) -> torch.Tensor:
    tiles = torch.arange(across * down)
    return torch.searchsorted(ids >> 32, tiles).to(torch.int32).reshape(images, down, across)


GSPLAT = SimpleNamespace(
    rasterize_to_pixels=rasterize_to_pixels,
    fully_fused_projection=fully_fused_projection,
    isect_tiles=isect_tiles,
    isect_offset_encode=isect_offset_encode,
)


def tensors(cloud: GaussianCloud) -> rasterize_cuda.TorchCloud:
    names = ("means", "scales", "rotations", "opacities", "colors")
    return rasterize_cuda.TorchCloud(*(torch.from_numpy(getattr(cloud, name)) for name in names))


def random_cloud(seed: int, count: int) -> GaussianCloud:
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(count, 4))
    return GaussianCloud(
        means=rng.normal(0, 0.08, (count, 3)).astype(np.float32),
        scales=np.exp(rng.uniform(-7, -4, (count, 3))).astype(np.float32),
        rotations=(quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).astype(np.float32),
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        colors=rng.uniform(0, 1, (count, 3)).astype(np.float32),
    )


def test_fast_lists_differ_as_little_as_stated(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterize_cuda, "_gsplat", lambda: GSPLAT)
    camera = read_poses(scene.data / "transforms_val.json").camera(0, (64, 48))
    background = np.array([0.2, 0.4, 0.6], np.float32)
    for seed in (2, 3):
        cloud = random_cloud(seed, 150)
        slow = rasterize_cpu(cloud, camera, background, depth=True)
        for exact in (False, True):
            fast = rasterize_cuda.rasterize_cuda(
                tensors(cloud), camera, torch.from_numpy(background), exact=exact, depth=True
            )
            difference = np.abs(fast.color.numpy() - slow.color)
            assert difference.max() < (1e-4 if exact else 0.02)
            assert difference.mean() < (1e-6 if exact else 2e-5)
            assert (difference > 1 / 255).mean() < 2e-3
            assert np.abs(fast.alpha.numpy() - slow.alpha).max() < 0.03


def test_nothing_malformed_reaches_a_kernel(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replaced kernels refuse it; what is well formed is drawn as if the rest were not there."""
    monkeypatch.setattr(rasterize_cuda, "_gsplat", lambda: GSPLAT)
    camera = read_poses(scene.data / "transforms_val.json").camera(0, (32, 24))
    cloud = random_cloud(0, 60)
    sound = np.ones(60, bool)
    for index, (name, value) in enumerate((
        ("means", np.nan), ("means", np.inf), ("scales", np.nan), ("scales", 0.0), ("scales", -1.0),
        ("rotations", np.nan), ("opacities", np.nan), ("colors", -np.inf), ("scales", 1e25), ("means", 1e30),
    )):  # fmt: skip
        getattr(cloud, name)[index] = value
        sound[index] = False
    behind = camera.position + 0.3 * (camera.position - cloud.means[sound].mean(0))
    cloud.means[10], sound[10] = behind, False
    clean = GaussianCloud(**{name: getattr(cloud, name)[sound] for name in cloud.__dataclass_fields__})
    cloud.opacities[8:10] = 0.001  # huge ones: they must do no harm, and may not be seen
    for exact in (True, False):
        black = torch.zeros(3)
        found = rasterize_cuda.rasterize_cuda(tensors(cloud), camera, black, exact=exact)
        expected = rasterize_cuda.rasterize_cuda(tensors(clean), camera, black, exact=exact)
        assert torch.isfinite(found.color).all()
        torch.testing.assert_close(found.color, expected.color, atol=1e-6, rtol=0)
    zero = replace(cloud, rotations=np.zeros_like(cloud.rotations))
    assert torch.isfinite(rasterize_cuda.rasterize_cuda(tensors(zero), camera, torch.zeros(3), exact=False).color).all()


def pictures(renderer: HeadRenderer, scene: SimpleNamespace) -> list[Frame]:
    poses, backdrop = read_poses(scene.data / "transforms_val.json"), Backdrop(scene.data)
    rng = np.random.default_rng(0)
    rows = renderer.audio_rows(rng.normal(size=(12, 29, 16)).astype(np.float32))
    codes = renderer.codes(rows, np.arange(12), 16)
    assert isinstance(codes, SpeechCodes)
    found = []
    for index in range(3):
        head = renderer.deform([codes[index]], rng.uniform(0, 2, (1, 6)).astype(np.float32))[0]
        camera = poses.camera(index, backdrop.size)
        drawn = renderer.draw(head, camera, BLACK)
        found.append(renderer.compose(drawn, backdrop.frame(index)))
        found.append(renderer.compose(drawn, backdrop.frame(index), dilate_mouth=True))
        found.append(renderer.alone(drawn.face))
        white = renderer.draw(head, camera, np.ones(3, np.float32))
        found.append(renderer.alone(white.mouth))
        found.append(
            renderer.compose(renderer.without_background(white, np.ones(3, np.float32)), backdrop.frame(index))
        )
    return found


def close(ours: list[Frame], expected: list[Frame]) -> None:
    for a, b in zip(ours, expected, strict=True):
        difference = np.abs(a.astype(int) - b)
        assert (difference <= 1).mean() > 0.9995  # a radius may round up where the other order of additions does not
        assert (difference == 0).mean() > 0.998


@pytest.mark.thorough
def test_everything_around_the_pixel_kernel(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterize_cuda, "_gsplat", lambda: SimpleNamespace(rasterize_to_pixels=rasterize_to_pixels))
    close(pictures(CudaHeadRenderer(scene.head, "cpu"), scene), pictures(HeadRenderer(scene.head), scene))


def test_depth_and_empty_clouds(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterize_cuda, "_gsplat", lambda: SimpleNamespace(rasterize_to_pixels=rasterize_to_pixels))
    camera = read_poses(scene.data / "transforms_val.json").camera(0, (96, 72))
    cloud = rasterize_cuda.TorchCloud(
        torch.zeros(1, 3), torch.full((1, 3), 0.02), torch.tensor([[1.0, 0, 0, 0]]), torch.ones(1), torch.ones(1, 3)
    )
    drawn = rasterize_cuda.rasterize_cuda(cloud, camera, torch.zeros(3), depth=True)
    assert drawn.depth is not None
    assert drawn.color.shape == (3, 72, 96)
    middle = drawn.alpha > 0.5
    assert (drawn.depth[middle] / drawn.alpha[middle]).mean() == pytest.approx(0.85, abs=0.1)
    nothing = rasterize_cuda.TorchCloud(*(value[:0] for value in vars(cloud).values()))
    assert not rasterize_cuda.rasterize_cuda(nothing, camera, torch.ones(3)).color.any()


@pytest.mark.gpu
@pytest.mark.parametrize("exact", [True, False])
def test_gpu_frames_agree_with_the_processor(scene: SimpleNamespace, exact: bool) -> None:
    if not rasterize_cuda.available():
        pytest.skip("gsplat is not installed")
    ours = pictures(CudaHeadRenderer(scene.head, "cuda:0", exact=exact), scene)
    expected = pictures(HeadRenderer(scene.head), scene)
    for a, b in zip(ours, expected, strict=True):
        difference = np.abs(a.astype(int) - b)
        assert (difference <= 3).mean() > 0.999
