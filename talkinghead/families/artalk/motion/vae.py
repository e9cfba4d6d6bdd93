"""The motion autoencoder: 100 frames of motion to 181 x 32 bits and back (reference: artalk.md, section 5)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from talkinghead.families.artalk.motion.config import MOTION_DIM, VAEConfig
from talkinghead.families.artalk.motion.quantise import residual_bits, running_sums


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = width**-0.5  # the full width, not the head's: kept from the published model
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        batch, length, width = x.shape
        qkv = self.to_qkv(self.norm(x)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # [B, heads, L, width / heads]
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scale)
        mixed: torch.Tensor = self.to_out(out.transpose(1, 2).reshape(batch, length, width))
        return mixed


def _transformer(width: int, num_heads: int, depth: int) -> nn.ModuleList:
    """Alternating attention (even numbers) and MLP (odd numbers), as the checkpoint numbers them."""
    hidden = int(1.5 * width)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(_Attention(width, num_heads))
        layers.append(nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)))
    return nn.ModuleList(layers)


def _run(layers: nn.ModuleList, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    for number, layer in enumerate(layers):
        x = x + (layer(x, mask) if number % 2 == 0 else layer(x))
    return x


class _Encoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.inp_mapping = nn.Sequential(nn.Linear(MOTION_DIM, config.width), nn.LeakyReLU(0.2))
        self.encoder_transformer = _transformer(config.width, config.num_heads, config.depth)
        self.code_mapping = nn.Linear(config.width, config.code_dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        codes: torch.Tensor = self.code_mapping(_run(self.encoder_transformer, self.inp_mapping(x), mask))
        return codes


class _Decoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.inp_mapping = nn.Sequential(nn.Linear(config.code_dim, config.width), nn.LeakyReLU(0.2))
        self.decoder_transformer = _transformer(config.width, config.num_heads, config.depth)
        self.out_mapping = nn.Linear(config.width, MOTION_DIM)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        motion: torch.Tensor = self.out_mapping(_run(self.decoder_transformer, self.inp_mapping(x), mask))
        return motion


class MotionVAE(nn.Module):
    """Bits of a chunk of motion, and motion of bits. Weight names are those of `basic_vae.` in the checkpoint."""

    attn_mask: torch.Tensor
    motion_mean: torch.Tensor
    motion_std: torch.Tensor

    def __init__(self, config: VAEConfig | None = None) -> None:
        super().__init__()
        self.config = config or VAEConfig()
        frames = self.config.chunk_frames
        self.encoder = _Encoder(self.config)
        self.decoder = _Decoder(self.config)
        self.enc_pos_embed = nn.Parameter(torch.zeros(1, 2 * frames, MOTION_DIM))
        self.dec_pos_embed = nn.Parameter(torch.zeros(1, 2 * frames, self.config.code_dim))
        self.register_buffer("motion_mean", torch.zeros(MOTION_DIM))
        self.register_buffer("motion_std", torch.ones(MOTION_DIM))
        self.register_buffer("attn_mask", self.history_mask(frames))

    @staticmethod
    def history_mask(frames: int) -> torch.Tensor:
        """[1, 1, 2T, 2T]: the chunk before cannot see this one."""
        mask = torch.zeros(1, 1, 2 * frames, 2 * frames)
        mask[:, :, :frames, frames:] = -torch.inf
        return mask

    def features(self, motion: torch.Tensor) -> torch.Tensor:
        """Continuous codes.

        Args:
            motion: [B, T, 106] of one chunk, or [B, 2T, 106] of two.
        Returns:
            [B, T or 2T, C].
        """
        length = motion.shape[1]
        x = (motion - self.motion_mean) / self.motion_std + self.enc_pos_embed[:, :length]
        codes: torch.Tensor = self.encoder(x, self.attn_mask if length > self.config.chunk_frames else None)
        return codes

    def encode(self, motion: torch.Tensor) -> torch.Tensor:
        """Bits of one chunk: [B, T, 106] to [B, 181, C] bool."""
        return residual_bits(self.features(motion), self.config.patch_nums)

    def decode_pair(self, prev_bits: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
        """Motion of two chunks, [B, 2T, 106]; the first sees only itself."""
        sums = [running_sums(part, self.config.patch_nums)[-1] for part in (prev_bits, bits)]
        x = torch.cat(sums, dim=1) + self.dec_pos_embed
        out: torch.Tensor = self.decoder(x, self.attn_mask)
        return out * self.motion_std + self.motion_mean

    def decode(self, prev_bits: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
        """Motion of this chunk given the bits of the one before: [B, T, 106]."""
        return self.decode_pair(prev_bits, bits)[:, self.config.chunk_frames :]
