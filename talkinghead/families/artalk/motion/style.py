"""The style encoder: 50 frames of motion to one vector (reference: artalk.md, section 4)."""

from __future__ import annotations

import math

import torch
from torch import nn

from talkinghead.families.artalk.motion.config import MOTION_DIM

STYLE_DIM = 128
MAX_LENGTH = 1600


def sinusoids(length: int = MAX_LENGTH, dim: int = STYLE_DIM) -> torch.Tensor:
    """[1, length, dim] float32: sines in even columns, cosines in odd ones."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    table = torch.zeros(1, length, dim)
    table[0, :, 0::2] = torch.sin(position * rate)
    table[0, :, 1::2] = torch.cos(position * rate)
    return table


class _Positions(nn.Module):
    pe: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids())


class _StyleTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.motion_proj = nn.Linear(MOTION_DIM, STYLE_DIM)
        layer = nn.TransformerEncoderLayer(
            STYLE_DIM, nhead=4, dim_feedforward=512, dropout=0.0, activation="gelu", batch_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, num_layers=4, enable_nested_tensor=False)


class StyleEncoder(nn.Module):
    """Style of a motion. Weight names are those of `style_encoder.` in the checkpoint.

    Kept from the published model: every frame gets the same row of the position table, the one numbered by the
    length of the sequence, so the order of the frames has no influence.
    """

    motion_mean: torch.Tensor
    motion_std: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("motion_mean", torch.zeros(MOTION_DIM))
        self.register_buffer("motion_std", torch.ones(MOTION_DIM))
        self.PE = _Positions()
        self.encoder = _StyleTransformer()

    def forward(self, motion: torch.Tensor) -> torch.Tensor:
        """[B, L, 106] float32, L < 1600, to [B, 128]."""
        x = self.encoder.motion_proj((motion - self.motion_mean) / self.motion_std)
        x = x + self.PE.pe[:, motion.shape[1]][:, None]
        feature: torch.Tensor = self.encoder.transformer(x).mean(dim=1)
        return feature
