"""The motion networks as published: what moves the Gaussians, written to be read.

`motion.py` computes the same with everything that does not depend on speech taken out of the frame loop.
Arrays are torch tensors, float32; weights are dictionaries with the published names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from talkinghead.families.talkinggaussian.grid import FACE_GRID, MOUTH_GRID, GridConfig, encode

if TYPE_CHECKING:
    from talkinghead.contracts import FloatArray

Weights = Mapping[str, Tensor]

BOUND = 0.15
"""Half size of the cube that the grids cover, world units."""
SLOPE = 0.02
"""Negative slope of the leaky rectifiers in the audio branch."""
AUDIO_CODE = 32
"""Numbers that describe the speech around one frame."""
WINDOW_ROWS = 8
"""Feature rows that one frame listens to."""
AUDIO_POSITIONS = 16
"""Positions of a feature row that are used."""
ACTION_UNITS = 6
"""AU01, AU04, AU05, AU06, AU07 and AU45 (blink)."""
MOVE_SCALE = 0.01
"""Network output to world units."""
MOUTH_SIDEWAYS = 5.0
"""The mouth's movement along x and z is divided by this."""

PLANES = (("xy", (0, 1)), ("yz", (1, 2)), ("xz", (0, 2)))
"""Encoders in the order of their features, with the coordinates that they see."""

CONVOLUTIONS = ((32, None), (32, 32), (64, 32), (64, 64))
"""(out, in) channels of the four convolutions over a feature row; None is the width of the speech feature."""


@dataclass(frozen=True)
class NetworkKind:
    """One of the two motion networks."""

    name: str
    grid: GridConfig
    sigma: tuple[tuple[int, int], ...]
    """(out, in) of each layer of `sigma_net`."""
    has_expression: bool


FACE = NetworkKind("face", FACE_GRID, ((64, 36 + AUDIO_CODE + ACTION_UNITS), (64, 64), (11, 64)), True)
MOUTH = NetworkKind("mouth", MOUTH_GRID, ((32, 36 + AUDIO_CODE), (32, 32), (3, 32)), False)


def expected_shapes(kind: NetworkKind, feature_width: int) -> dict[str, tuple[int, ...]]:
    """Published weight names and shapes, in the order of the state dict.

    Args:
        feature_width: 29 for DeepSpeech, 44 for Esperanto, 1024 for HuBERT.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (out, width) in enumerate(CONVOLUTIONS):
        shapes[f"audio_net.encoder_conv.{2 * index}.weight"] = (out, width or feature_width, 3)
        shapes[f"audio_net.encoder_conv.{2 * index}.bias"] = (out,)
    for index, (out, width) in ((0, (64, 64)), (2, (AUDIO_CODE, 64))):
        shapes[f"audio_net.encoder_fc1.{index}.weight"] = (out, width)
        shapes[f"audio_net.encoder_fc1.{index}.bias"] = (out,)
    widths = (AUDIO_CODE, 16, 8, 4, 2, 1)
    for index in range(5):
        shapes[f"audio_att_net.attentionConvNet.{2 * index}.weight"] = (widths[index + 1], widths[index], 3)
        shapes[f"audio_att_net.attentionConvNet.{2 * index}.bias"] = (widths[index + 1],)
    shapes["audio_att_net.attentionNet.0.weight"] = (WINDOW_ROWS, WINDOW_ROWS)
    shapes["audio_att_net.attentionNet.0.bias"] = (WINDOW_ROWS,)
    for plane, _ in PLANES:
        shapes[f"encoder_{plane}.embeddings"] = (int(kind.grid.offsets[-1]), kind.grid.level_dim)
        shapes[f"encoder_{plane}.offsets"] = (kind.grid.num_levels + 1,)
    features = len(PLANES) * kind.grid.num_features
    if kind.has_expression:
        shapes["exp_encode_net.net.0.weight"] = (16, ACTION_UNITS - 1)
        shapes["exp_encode_net.net.1.weight"] = (ACTION_UNITS - 1, 16)
        shapes["eye_att_net.net.0.weight"] = (16, features)
        shapes["eye_att_net.net.1.weight"] = (ACTION_UNITS, 16)
    for index, shape in enumerate(kind.sigma):
        shapes[f"sigma_net.net.{index}.weight"] = shape
    shapes["aud_ch_att_net.net.0.weight"] = (AUDIO_CODE, features)
    shapes["aud_ch_att_net.net.1.weight"] = (AUDIO_CODE, AUDIO_CODE)
    return shapes


@dataclass(frozen=True, eq=False)
class FaceMotion:
    """What the face network says about one frame."""

    d_xyz: Tensor
    """[N, 3] world units, added to the centres."""
    d_rot: Tensor
    """[N, 4] added to the raw quaternions."""
    d_opa: Tensor
    """[N, 1] computed and, as published, used nowhere."""
    d_scale: Tensor
    """[N, 3] added to the raw scales."""
    ambient_aud: Tensor
    """[N, 1] length of the audio attention."""
    ambient_eye: Tensor
    """[N, 1] length of the expression attention."""


def mlp(weights: Weights, prefix: str, x: Tensor) -> Tensor:
    """Layers `prefix.net.0`, `prefix.net.1`, ... without bias; ReLU between, none after the last."""
    index = 0
    while f"{prefix}.net.{index}.weight" in weights:
        if index:
            x = torch.relu(x)
        x = functional.linear(x, weights[f"{prefix}.net.{index}.weight"])
        index += 1
    return x


def audio_rows(weights: Weights, rows: Tensor) -> Tensor:
    """Describe each row of speech features by itself.

    Args:
        rows: [R, C, win] float32; positions from AUDIO_POSITIONS on are ignored.
    Returns:
        [R, AUDIO_CODE]: `audio_net` as published.
    """
    x = rows[..., :AUDIO_POSITIONS]
    for index in (0, 2, 4, 6):
        name = f"audio_net.encoder_conv.{index}"
        x = functional.conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2, padding=1)
        x = functional.leaky_relu(x, SLOPE)
    x = x.squeeze(-1)  # [R, 64]
    x = functional.linear(x, weights["audio_net.encoder_fc1.0.weight"], weights["audio_net.encoder_fc1.0.bias"])
    x = functional.leaky_relu(x, SLOPE)
    return functional.linear(x, weights["audio_net.encoder_fc1.2.weight"], weights["audio_net.encoder_fc1.2.bias"])


def attend(weights: Weights, codes: Tensor) -> Tensor:
    """Weigh the rows of each window against each other.

    Args:
        codes: [B, WINDOW_ROWS, AUDIO_CODE] float32, `audio_rows` of the windows' rows.
    Returns:
        [B, AUDIO_CODE]: `audio_att_net` as published.
    """
    x = codes.transpose(1, 2)
    for index in (0, 2, 4, 6, 8):
        name = f"audio_att_net.attentionConvNet.{index}"
        x = functional.conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
        x = functional.leaky_relu(x, SLOPE)
    x = x.reshape(-1, WINDOW_ROWS)
    x = functional.linear(
        x, weights["audio_att_net.attentionNet.0.weight"], weights["audio_att_net.attentionNet.0.bias"]
    )
    return torch.einsum("bk,bkc->bc", torch.softmax(x, dim=1), codes)


def encode_points(weights: Weights, kind: NetworkKind, xyz: FloatArray) -> Tensor:
    """Grid features of the canonical centres, [N, 36]: planes xy, yz, xz."""
    columns = [
        encode(xyz[:, list(axes)], weights[f"encoder_{plane}.embeddings"].cpu().numpy(), kind.grid, BOUND)
        for plane, axes in PLANES
    ]
    device = weights["sigma_net.net.0.weight"].device
    return torch.from_numpy(np.concatenate(columns, axis=1)).to(device)


def expression_code(weights: Weights, au_exp: Tensor) -> Tensor:
    """Five action units through a small network, the blink as it is: [..., ACTION_UNITS]."""
    return torch.cat([mlp(weights, "exp_encode_net", au_exp[..., :5]), au_exp[..., 5:]], dim=-1)


def face_motion(weights: Weights, enc_x: Tensor, enc_a: Tensor, au_exp: Tensor) -> FaceMotion:
    """The face network for one frame.

    Args:
        enc_x: [N, 36] from `encode_points`.
        enc_a: [1, AUDIO_CODE] from `attend`.
        au_exp: [ACTION_UNITS] action units.
    """
    audio_attention = mlp(weights, "aud_ch_att_net", enc_x)
    eye_attention = torch.relu(mlp(weights, "eye_att_net", enc_x))
    enc_w = enc_a * audio_attention
    enc_e = expression_code(weights, au_exp) * eye_attention
    h = mlp(weights, "sigma_net", torch.cat([enc_x, enc_w, enc_e], dim=1))
    return FaceMotion(
        d_xyz=h[:, :3] * MOVE_SCALE,
        d_rot=h[:, 3:7],
        d_opa=h[:, 7:8],
        d_scale=h[:, 8:11],
        ambient_aud=audio_attention.norm(dim=1, keepdim=True),
        ambient_eye=eye_attention.norm(dim=1, keepdim=True),
    )


def mouth_motion(weights: Weights, enc_x: Tensor, enc_a: Tensor) -> Tensor:
    """The mouth network for one frame: [N, 3], added to the centres."""
    h = mlp(weights, "sigma_net", torch.cat([enc_x, enc_a.expand(len(enc_x), -1)], dim=1))
    return h * MOVE_SCALE / torch.tensor([MOUTH_SIDEWAYS, 1.0, MOUTH_SIDEWAYS], device=h.device)
