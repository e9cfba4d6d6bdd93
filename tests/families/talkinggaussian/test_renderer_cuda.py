"""The GPU renderer with gsplat's pixel kernel replaced by the readable one: everything around it, on the processor.

On a machine with a GPU the last test runs the real thing.
"""

from __future__ import annotations

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


def pictures(renderer: HeadRenderer, scene: SimpleNamespace) -> list[Frame]:
    poses, backdrop = read_poses(scene.data / "transforms_val.json"), Backdrop(scene.data)
    rng = np.random.default_rng(0)
    rows = renderer.audio_rows(rng.normal(size=(12, 29, 16)).astype(np.float32))
    codes = renderer.codes(rows, np.arange(12), 16)
    assert isinstance(codes, SpeechCodes)
    found = []
    for index in range(3):
        head = renderer.deform(codes, [index], rng.uniform(0, 2, (1, 6)).astype(np.float32))[0]
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
