"""A trained head, ready to be drawn: deform both clouds, rasterise them, put them over the background."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.talkinggaussian.checkpoint import CanonicalCloud, TrainedHead
from talkinghead.families.talkinggaussian.compose import compose, dilate, quantize
from talkinghead.families.talkinggaussian.motion import (
    AudioBranch,
    Deformed,
    FaceDeformation,
    MouthDeformation,
    torch_weights,
)
from talkinghead.rendering.cameras import Camera
from talkinghead.rendering.gaussians import GaussianCloud, Raster
from talkinghead.rendering.rasterize_cpu import rasterize_cpu
from talkinghead.rendering.spherical_harmonics import num_coefficients
from talkinghead.rendering.spherical_harmonics_cpu import colors_cpu


@dataclass(frozen=True, eq=False)
class SpeechCode:
    """What the two networks understood of the speech in one video frame."""

    face: Tensor
    """[32] float32."""
    mouth: Tensor
    """[32] float32."""


@dataclass(frozen=True, eq=False)
class SpeechCodes(Sequence[SpeechCode]):
    """What the two networks understood of the speech, one code per video frame."""

    face: Tensor
    """[F, 32] float32."""
    mouth: Tensor
    """[F, 32] float32."""

    def __len__(self) -> int:
        return len(self.face)

    @overload
    def __getitem__(self, index: int) -> SpeechCode: ...

    @overload
    def __getitem__(self, index: slice) -> SpeechCodes: ...

    def __getitem__(self, index: int | slice) -> SpeechCode | SpeechCodes:
        kind = SpeechCodes if isinstance(index, slice) else SpeechCode
        return kind(self.face[index], self.mouth[index])


@dataclass(frozen=True, eq=False)
class DeformedHead:
    """Both clouds at one moment."""

    face: Deformed
    mouth: Deformed


@dataclass(frozen=True, eq=False)
class DrawnHead:
    """Both clouds as seen from the camera, on black."""

    face: Raster
    mouth: Raster


class HeadRenderer:
    """Draws a trained head on the processor; everything that does not change from frame to frame is computed here once.

    Args:
        head: the trained head.
        threads: threads of the rasteriser; None uses every core. The pictures do not depend on it.
        device: where the networks run.
        motion_dtype: of the face network's large products (see `FaceDeformation`).
    """

    def __init__(
        self,
        head: TrainedHead,
        *,
        threads: int | None = None,
        device: str = "cpu",
        motion_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        face, mouth = (torch_weights(weights, self.device) for weights in (head.face_motion, head.mouth_motion))
        self.threads = threads
        self._audio_face, self._audio_mouth = AudioBranch(face), AudioBranch(mouth)
        self._face = FaceDeformation(head.face, face, motion_dtype)
        self._mouth = MouthDeformation(head.mouth, mouth)
        self._harmonics = (_harmonics(head.face), _harmonics(head.mouth))
        self._degrees = (head.face.sh_degree, head.mouth.sh_degree)

    def in_float32(self) -> HeadRenderer:
        """The same with float32 products in the face's motion network; all else is shared."""
        other = copy(self)
        other._face = self._face.in_float32()
        return other

    def audio_rows(self, features: FloatArray) -> SpeechCodes:
        """Describe rows of features one by one: [R, width, positions] float32 to [R, 32] per network."""
        return SpeechCodes(self._audio_face.rows(features), self._audio_mouth.rows(features))

    def codes(self, rows: SpeechCodes, indices: NDArray[np.int64], positions: int) -> SpeechCodes:
        """Codes of the frames at `indices`, each from the eight rows around it."""
        return SpeechCodes(
            self._audio_face.codes(rows.face, indices, positions),
            self._audio_mouth.codes(rows.mouth, indices, positions),
        )

    def deform(self, codes: Sequence[SpeechCode], au_exp: FloatArray) -> list[DeformedHead]:
        """Both clouds, once for each code; au_exp is [F, 6] float32."""
        face, mouth = (torch.stack([getattr(code, name) for code in codes]) for name in ("face", "mouth"))
        faces = self._face(face, torch.from_numpy(au_exp).to(self.device))
        return [DeformedHead(*pair) for pair in zip(faces, self._mouth(mouth), strict=True)]

    def colored(self, head: DeformedHead, camera: Camera) -> tuple[GaussianCloud, GaussianCloud]:
        """Face and mouth with their colours as seen from the camera."""
        clouds = []
        for moved, harmonics, degree in zip((head.face, head.mouth), self._harmonics, self._degrees, strict=True):
            means = moved.means.numpy()
            colors = colors_cpu(degree, harmonics, means, camera.position, threads=self.threads)
            scales, rotations, opacities = moved.scales.numpy(), moved.rotations.numpy(), moved.opacities.numpy()
            clouds.append(GaussianCloud(means, scales, rotations, opacities, colors))
        return clouds[0], clouds[1]

    def draw(self, head: DeformedHead, camera: Camera, background: FloatArray) -> DrawnHead:
        """Rasterise both clouds; background is the [3] float32 colour behind each of them."""
        clouds = self.colored(head, camera)
        return DrawnHead(*(rasterize_cpu(cloud, camera, background, threads=self.threads) for cloud in clouds))

    def compose(self, drawn: DrawnHead, backdrop: Frame, *, dilate_mouth: bool = False) -> Frame:
        """Face over mouth over backdrop: RGB uint8 [H, W, 3]."""
        mouth_alpha = dilate(drawn.mouth.alpha) if dilate_mouth else drawn.mouth.alpha
        face, mouth = drawn.face, drawn.mouth
        return compose(face.color, face.alpha, mouth.color, mouth_alpha, backdrop, threads=self.threads)

    def without_background(self, drawn: DrawnHead, background: FloatArray) -> DrawnHead:
        """Take the colour behind the clouds out again: `compose` puts its own there."""

        def on_black(raster: Raster) -> Raster:
            left = np.float32(1) - raster.alpha
            return replace(raster, color=raster.color - background[:, None, None] * left)

        return DrawnHead(on_black(drawn.face), on_black(drawn.mouth))

    @staticmethod
    def alone(raster: Raster) -> Frame:
        """One cloud on black: RGB uint8 [H, W, 3]."""
        return quantize(raster.color)


def _harmonics(cloud: CanonicalCloud) -> FloatArray:
    return np.ascontiguousarray(cloud.features[:, : num_coefficients(cloud.sh_degree)])
