"""A trained head drawn on a GPU: frames leave it as finished bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.talkinggaussian.checkpoint import TrainedHead
from talkinghead.families.talkinggaussian.compose import DILATION
from talkinghead.families.talkinggaussian.renderer import DeformedHead, HeadRenderer
from talkinghead.rendering.cameras import Camera
from talkinghead.rendering.rasterize_cuda import TorchCloud, TorchRaster, colors_torch, rasterize_cuda


@dataclass(frozen=True, eq=False)
class DrawnOnDevice:
    """As `DrawnHead`, in tensors of the GPU."""

    face: TorchRaster
    mouth: TorchRaster


class CudaHeadRenderer(HeadRenderer):
    """As `HeadRenderer`, on a GPU.

    Args:
        device: "cuda:N".
        exact: list Gaussians by the published rule; False uses gsplat's own, faster lists.
    """

    def __init__(self, head: TrainedHead, device: str, *, exact: bool = True) -> None:
        super().__init__(head, device=device)
        self._exact = exact
        self._coefficients = [torch.from_numpy(harmonics).to(device) for harmonics in self._harmonics]

    @torch.inference_mode()
    def draw(self, head: DeformedHead, camera: Camera, background: FloatArray) -> DrawnOnDevice:  # type: ignore[override]
        position = torch.from_numpy(camera.position).to(self.device)
        behind = torch.from_numpy(background).to(self.device)
        rasters = []
        for moved, harmonics, degree in zip((head.face, head.mouth), self._coefficients, self._degrees, strict=True):
            colors = colors_torch(degree, harmonics, moved.means, position)
            cloud = TorchCloud(moved.means, moved.scales, moved.rotations, moved.opacities, colors)
            rasters.append(rasterize_cuda(cloud, camera, behind, exact=self._exact))
        return DrawnOnDevice(*rasters)

    @torch.inference_mode()
    def compose(  # type: ignore[override]
        self, drawn: DrawnOnDevice, backdrop: Frame, *, dilate_mouth: bool = False
    ) -> Frame:
        mouth_alpha = drawn.mouth.alpha
        if dilate_mouth:
            mouth_alpha = functional.max_pool2d(mouth_alpha[None, None], DILATION, stride=1, padding=DILATION // 2)[
                0, 0
            ]
        behind = torch.from_numpy(np.ascontiguousarray(backdrop)).to(self.device).permute(2, 0, 1).float() / 255
        inner = drawn.mouth.color + behind * (1 - mouth_alpha)
        return _bytes(drawn.face.color + inner * (1 - drawn.face.alpha))

    @torch.inference_mode()
    def without_background(  # type: ignore[override]
        self, drawn: DrawnOnDevice, background: FloatArray
    ) -> DrawnOnDevice:
        behind = torch.from_numpy(background).to(self.device)[:, None, None]
        return DrawnOnDevice(
            *(replace(part, color=part.color - behind * (1 - part.alpha)) for part in (drawn.face, drawn.mouth))
        )

    @staticmethod
    def alone(raster: TorchRaster) -> Frame:  # type: ignore[override]
        return _bytes(raster.color)


def _bytes(color: Tensor) -> Frame:
    """[3, H, W] float32 on the device to RGB uint8 [H, W, 3] on the host; truncated."""
    picture = (color.clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).contiguous()
    return picture.cpu().numpy()
