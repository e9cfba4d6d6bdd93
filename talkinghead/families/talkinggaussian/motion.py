"""Moving the clouds of a trained head, with everything that does not depend on speech computed once.

The first layer of `sigma_net` sees `[enc_x, enc_a * A, v * E]`, where enc_x, A and E depend only on the canonical
centres, which never move. So it is cut in two:

    enc_x W1' + [A, E] ([diag(enc_a) W2'; diag(v) W3'])
    once per head     [N, 38] x [38, 64], once per frame

For the mouth the audio part is one vector for all Gaussians. `network.py` is the readable form; tests compare them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from talkinghead.contracts import FloatArray
from talkinghead.families.talkinggaussian import network
from talkinghead.families.talkinggaussian.checkpoint import CanonicalCloud
from talkinghead.families.talkinggaussian.network import FACE, MOUTH, MOUTH_SIDEWAYS, MOVE_SCALE
from talkinghead.families.talkinggaussian.windows import NO_ROW, ROWS, window_rows

Array = NDArray[Any]
BLOCK = 4096
"""Gaussians that go through the network together on a processor: their activations stay in its cache."""


@dataclass(frozen=True, eq=False)
class Deformed:
    """A cloud at one moment, activations applied."""

    means: Tensor
    """[N, 3] float32, world units."""
    scales: Tensor
    """[N, 3] float32, standard deviations."""
    rotations: Tensor
    """[N, 4] float32, unit quaternions (w, x, y, z)."""
    opacities: Tensor
    """[N] float32 in [0, 1]."""


def torch_weights(weights: Mapping[str, Array], device: torch.device) -> dict[str, Tensor]:
    """Weights of a motion network on a device; float32."""
    return {name: torch.from_numpy(np.array(value)).to(device) for name, value in weights.items()}


class AudioBranch:
    """Speech features to the code of each frame, for one network.

    The rows go through the network once each, not once per window that holds them.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights
        first = weights["audio_net.encoder_conv.0.weight"]
        self._zero = torch.zeros(1, first.shape[1], network.AUDIO_POSITIONS, device=first.device)

    @torch.inference_mode()
    def rows(self, features: FloatArray) -> Tensor:
        """[R, width, positions] float32 to [R, 32]."""
        device = self._zero.device
        return network.audio_rows(self._weights, torch.from_numpy(features).to(device))

    @torch.inference_mode()
    def codes(self, rows: Tensor, indices: NDArray[np.int64], positions: int) -> Tensor:
        """Code of the frames at `indices`: [F, 32] from `rows` of the whole sound, [T, 32]."""
        zero = network.audio_rows(self._weights, self._zero[..., :positions])
        table = torch.cat([rows, zero])
        slots = window_rows(indices, len(rows))
        slots = np.where(slots == NO_ROW, len(rows), slots)
        windows = table[torch.from_numpy(slots.reshape(-1)).to(table.device)].reshape(-1, ROWS, network.AUDIO_CODE)
        return network.attend(self._weights, windows)


MIN_LENGTH = 1e-12
"""Quaternions are divided by at least this."""


def unit_quaternions(raw: Tensor) -> Tensor:
    """Divide by the length."""
    return functional.normalize(raw, dim=1, eps=MIN_LENGTH)


class FaceDeformation:
    """The face cloud with its network.

    Args:
        dtype: of the large products; torch.bfloat16 is about twice as fast on processors that have it, and moves
            Gaussians by less than a hundredth of a pixel.
    """

    def __init__(
        self, cloud: CanonicalCloud, weights: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
    ) -> None:
        self._cloud = cloud
        device = weights["sigma_net.net.0.weight"].device
        with torch.inference_mode():
            enc_x = network.encode_points(weights, FACE, cloud.xyz)
            audio_attention = network.mlp(weights, "aud_ch_att_net", enc_x)
            eye_attention = torch.relu(network.mlp(weights, "eye_att_net", enc_x))
            first, second, third = (weights[f"sigma_net.net.{index}.weight"] for index in range(3))
            width = enc_x.shape[1]
            self._dtype = dtype
            self._static = (enc_x @ first[:, :width].T).to(dtype)  # [N, 64]
            self._attention = torch.cat([audio_attention, eye_attention], dim=1).to(dtype)  # [N, 38]
            self._driven = first[:, width:].T.contiguous()  # [38, 64]
            self._second = second.T.contiguous().to(dtype)
            keep = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]  # without d_opa, which nothing uses
            self._third = third[keep].T.contiguous().to(dtype)
            self._weights = weights
            self._xyz, self._rotation, self._scaling = (
                torch.from_numpy(np.array(value)).to(device) for value in (cloud.xyz, cloud.rotation, cloud.scaling)
            )
            self._opacities = torch.sigmoid(torch.from_numpy(np.array(cloud.opacity)).to(device))[:, 0]

    def in_float32(self) -> FaceDeformation:
        """The same with float32 products."""
        return self if self._dtype == torch.float32 else FaceDeformation(self._cloud, self._weights)

    def _driven_weights(self, enc_a: Tensor, au_exp: Tensor) -> Tensor:
        """First layer behind the attentions for one frame: [38, 64]."""
        factors = torch.cat([enc_a, network.expression_code(self._weights, au_exp)])
        return (factors[:, None] * self._driven).to(self._dtype)

    def _outputs(self, driven: Tensor, block: slice) -> Tensor:
        """d_xyz (not scaled), d_rot, d_scale of some Gaussians: [F, n, 10] for F first layers."""
        frames = (len(driven), -1, -1)
        hidden = torch.baddbmm(
            self._static[block].expand(frames), self._attention[block].expand(frames), driven
        ).relu_()
        hidden = (hidden @ self._second).relu_()
        return (hidden @ self._third).float()

    @torch.inference_mode()
    def outputs(self, enc_a: Tensor, au_exp: Tensor) -> Tensor:
        """What the network says about one frame: d_xyz (not scaled), d_rot, d_scale, [N, 10].

        Args:
            enc_a: [32] code of the speech. au_exp: [6] action units.
        """
        return self._outputs(self._driven_weights(enc_a, au_exp)[None], slice(None))[0]

    @torch.inference_mode()
    def __call__(self, enc_a: Tensor, au_exp: Tensor) -> list[Deformed]:
        """The cloud at several moments; the same values in any batch.

        Args:
            enc_a: [F, 32] codes of the speech. au_exp: [F, 6] action units.
        """
        driven = torch.stack([self._driven_weights(*frame) for frame in zip(enc_a, au_exp, strict=True)])
        means, scales, rotations = (
            value.new_empty(len(driven), *value.shape) for value in (self._xyz, self._scaling, self._rotation)
        )
        for frames, block in _portions(len(driven), len(self._xyz), self._xyz.device):
            h = self._outputs(driven[frames], block)
            torch.add(self._xyz[block], h[..., :3], alpha=MOVE_SCALE, out=means[frames, block])
            scales[frames, block] = functional.softplus(self._scaling[block] + h[..., 7:10])
            turned = self._rotation[block] + h[..., 3:7]
            length = torch.linalg.vector_norm(turned, dim=-1, keepdim=True).clamp_min_(MIN_LENGTH)
            torch.div(turned, length, out=rotations[frames, block])
        return [Deformed(*values, self._opacities) for values in zip(means, scales, rotations, strict=True)]


def _portions(num_frames: int, count: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Frames and Gaussians that go through the network together.

    On a processor a block of Gaussians for one frame after the other, while the block is in the cache; on a GPU all.
    """
    if device.type != "cpu":
        yield slice(0, num_frames), slice(0, count)
        return
    for start in range(0, count, BLOCK):
        for frame in range(num_frames):
            yield slice(frame, frame + 1), slice(start, start + BLOCK)


class MouthDeformation:
    """The mouth cloud with its network: only the centres move."""

    def __init__(self, cloud: CanonicalCloud, weights: Mapping[str, Tensor]) -> None:
        device = weights["sigma_net.net.0.weight"].device
        with torch.inference_mode():
            enc_x = network.encode_points(weights, MOUTH, cloud.xyz)
            first, second, third = (weights[f"sigma_net.net.{index}.weight"] for index in range(3))
            width = enc_x.shape[1]
            self._static = enc_x @ first[:, :width].T
            self._driven = first[:, width:].T.contiguous()  # [32, 32]
            self._second = second.T.contiguous()
            sideways = torch.tensor([MOUTH_SIDEWAYS, 1.0, MOUTH_SIDEWAYS], device=device)
            self._third = third.T.contiguous()
            self._scale = MOVE_SCALE / sideways
            self._xyz = torch.from_numpy(np.array(cloud.xyz)).to(device)
            self._scales = functional.softplus(torch.from_numpy(np.array(cloud.scaling)).to(device))
            self._rotations = unit_quaternions(torch.from_numpy(np.array(cloud.rotation)).to(device))
            self._opacities = torch.sigmoid(torch.from_numpy(np.array(cloud.opacity)).to(device))[:, 0]

    @torch.inference_mode()
    def __call__(self, enc_a: Tensor) -> list[Deformed]:
        """The cloud at several moments, as `FaceDeformation`; enc_a is [F, 32]."""
        said = torch.stack([code @ self._driven for code in enc_a])[:, None]
        means = self._xyz.new_empty(len(said), *self._xyz.shape)
        for frames, block in _portions(len(said), len(self._xyz), self._xyz.device):
            hidden = (self._static[block] + said[frames]).relu_()
            hidden = (hidden @ self._second).relu_()
            torch.addcmul(self._xyz[block], hidden @ self._third, self._scale, out=means[frames, block])
        return [Deformed(moved, self._scales, self._rotations, self._opacities) for moved in means]
