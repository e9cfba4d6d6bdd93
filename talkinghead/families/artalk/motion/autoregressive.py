"""Speech to bits, scale by scale (reference: artalk.md, section 6).

Every pass of the published loop predicts all scales again; because a scale never sees a later one, only the new
scale's tokens are computed here, against cached keys and values. Keys and values of the history and all modulations
are computed once per chunk. The bits are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from talkinghead.families.artalk.motion.config import MOTION_DIM, ARConfig, MotionConfig
from talkinghead.families.artalk.motion.quantise import area_pool, multiscale_features, running_sums
from talkinghead.families.artalk.motion.style import STYLE_DIM, StyleEncoder
from talkinghead.families.artalk.motion.vae import MotionVAE

MAX_LOG_SCALE = math.log(100.0)
STYLE_GUIDANCE = 1.1
"""Style tokens are pushed away from the style-less one by a tenth."""

Cache = tuple[torch.Tensor, torch.Tensor]
"""Keys and values, [B, heads, tokens, head width]."""


def _norm(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class _Modulation(nn.Sequential):
    """SiLU and a linear layer, numbered as in the checkpoint."""

    def __init__(self, cond_dim: int, out_dim: int) -> None:
        super().__init__(nn.SiLU(), nn.Linear(cond_dim, out_dim))


class _CrossAttention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale_mul_1H11 = nn.Parameter(torch.full((1, num_heads, 1, 1), math.log(4.0)))
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1], self.num_heads, -1).transpose(1, 2)

    def keys_values(self, x: torch.Tensor) -> Cache:
        return F.normalize(self._heads(self.key(x)), dim=-1, eps=1e-12), self._heads(self.value(x))

    def forward(self, x: torch.Tensor, cache: Cache, mask: torch.Tensor | None = None) -> torch.Tensor:
        scale = self.scale_mul_1H11.clamp(max=MAX_LOG_SCALE).exp()
        query = F.normalize(self._heads(self.query(x)), dim=-1, eps=1e-12) * scale
        out = F.scaled_dot_product_attention(query, cache[0], cache[1], attn_mask=mask, scale=1.0)
        mixed: torch.Tensor = self.proj(out.transpose(1, 2).reshape(x.shape))
        return mixed


class AttentionBlock(nn.Module):
    """Modulated attention over history and own tokens, then a modulated MLP."""

    def __init__(self, width: int, cond_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attn = _CrossAttention(width, num_heads)
        self.ffn = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.ada_lin = _Modulation(cond_dim, 6 * width)

    def modulation(self, cond: torch.Tensor) -> torch.Tensor:
        """[B, L, 6 * width]: two gains, two scales, two shifts."""
        values: torch.Tensor = self.ada_lin(cond)
        return values

    def history(self, prev: torch.Tensor) -> Cache:
        """Keys and values of the history, which is neither normalised nor modulated."""
        return self.attn.keys_values(prev)

    def step(
        self, x: torch.Tensor, modulation: torch.Tensor, cache: Cache, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Cache]:
        """Run new tokens; returns them and the cache with their keys and values appended."""
        gain1, gain2, scale1, scale2, shift1, shift2 = modulation.chunk(6, dim=-1)
        normed = _norm(x) * (1 + scale1) + shift1
        key, value = self.attn.keys_values(normed)
        cache = (torch.cat((cache[0], key), dim=2), torch.cat((cache[1], value), dim=2))
        x = x + gain1 * self.attn(normed, cache, mask)
        x = x + gain2 * self.ffn(_norm(x) * (1 + scale2) + shift2)
        return x, cache


class _ModulatedNorm(nn.Module):
    def __init__(self, width: int, cond_dim: int) -> None:
        super().__init__()
        self.ada_lin = _Modulation(cond_dim, 2 * width)

    def forward(self, x: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        scale, shift = self.ada_lin(cond).chunk(2, dim=-1)
        modulated: torch.Tensor = _norm(x) * (1 + scale) + shift
        return modulated


def block_causal_mask(patch_nums: tuple[int, ...], prev_ratio: int) -> torch.Tensor:
    """[1, 1, S, S * (prev_ratio + 1)]: all history is visible, of the own tokens those of no later scale."""
    level = torch.cat([torch.full((number,), index) for index, number in enumerate(patch_nums)])
    own = torch.where(level[:, None] >= level[None, :], 0.0, -torch.inf)
    return torch.cat((torch.zeros(len(level), len(level) * prev_ratio), own), dim=1)[None, None]


@dataclass(frozen=True, eq=False)
class MotionState:
    """What one chunk leaves to the next."""

    prev_bits: torch.Tensor
    """[B, 181, C] bool, bits of the chunk before."""
    prev_tokens: torch.Tensor
    """[B, 181 * prev_ratio, width], its tokens."""


@dataclass(frozen=True, eq=False)
class ChunkResult:
    """One chunk of motion."""

    motion: torch.Tensor
    """[B, T, 106] float32."""
    bits: torch.Tensor
    """[B, 181, C] bool."""
    logits: torch.Tensor
    """[B, 181, 2 C]."""


class BitwiseGenerator(nn.Module):
    """Audio features to motion. Weight names are those of the checkpoint, without `audio_encoder.`."""

    lvl_idx: torch.Tensor
    attn_bias_for_masking: torch.Tensor

    def __init__(self, config: MotionConfig | None = None) -> None:
        super().__init__()
        config = config or MotionConfig()
        self.config = config
        ar: ARConfig = config.ar
        patches, total = config.vae.patch_nums, config.vae.num_codes
        self.basic_vae = MotionVAE(config.vae)
        self.style_encoder = StyleEncoder()
        self.style_cond_embed = nn.Linear(STYLE_DIM, ar.width)
        self.null_style_cond = nn.Parameter(torch.zeros(1, 1, ar.width))
        self.vqfeat_embed = nn.Linear(config.vae.code_dim, ar.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, total, ar.width))
        self.prev_pos_embed = nn.Parameter(torch.zeros(1, total * ar.prev_ratio, ar.width))
        self.lvl_embed = nn.Embedding(len(patches), ar.width)
        self.attn_blocks = nn.ModuleList(AttentionBlock(ar.width, ar.cond_dim, ar.num_heads) for _ in range(ar.depth))
        self.cond_logits_head = _ModulatedNorm(ar.width, ar.cond_dim)
        self.logits_head = nn.Linear(ar.width, 2 * config.vae.code_dim)
        levels = torch.cat([torch.full((number,), index) for index, number in enumerate(patches)])[None]
        self.register_buffer("lvl_idx", levels)
        self.register_buffer("attn_bias_for_masking", block_causal_mask(patches, ar.prev_ratio))

    def style_token(self, style: torch.Tensor | None) -> torch.Tensor:
        """The first token.

        Args:
            style: [1, 50, 106] motion in that style, or None.
        Returns:
            [1, 1, width].
        """
        if style is None:
            return self.null_style_cond
        embedded = self.style_cond_embed(self.style_encoder(style))[:, None]
        token: torch.Tensor = STYLE_GUIDANCE * embedded - (STYLE_GUIDANCE - 1.0) * self.null_style_cond
        return token

    def initial_state(self, style_token: torch.Tensor) -> MotionState:
        """The state before the first chunk: zero motion (in raw units)."""
        frames = self.config.vae.chunk_frames
        zeros = style_token.new_zeros(1, frames, MOTION_DIM)
        bits = self.basic_vae.encode(zeros)
        return MotionState(bits, self._tokens(style_token, bits).repeat(1, self.config.ar.prev_ratio, 1))

    def generate_chunk(
        self, features: torch.Tensor, style_token: torch.Tensor, state: MotionState
    ) -> tuple[ChunkResult, MotionState]:
        """Motion of one chunk.

        Args:
            features: [1, frames, cond_dim] audio features.
        """
        patches = self.config.vae.patch_nums
        cond = torch.cat([area_pool(features, number) for number in patches], dim=1)  # [1, S, cond_dim]
        levels = self.lvl_embed(self.lvl_idx)  # [1, S, width]
        own_positions = levels + self.pos_embed
        prev = state.prev_tokens + levels.repeat(1, self.config.ar.prev_ratio, 1) + self.prev_pos_embed
        blocks = [block for block in self.attn_blocks if isinstance(block, AttentionBlock)]
        dtype = blocks[0].attn.query.weight.dtype  # half precision, where it was asked for, is that of the blocks alone
        caches = [block.history(prev.to(dtype)) for block in blocks]
        modulations = [block.modulation(cond.to(dtype)) for block in blocks]

        bits = torch.zeros(1, 0, self.config.vae.code_dim, dtype=torch.bool, device=features.device)
        logits = []
        start = 0
        for scale, number in enumerate(patches):
            part = slice(start, start + number)
            if scale == 0:
                x = style_token
            else:
                x = self.vqfeat_embed(area_pool(running_sums(bits, patches)[-1], number))
            x = (x + own_positions[:, part]).to(dtype)
            for index, block in enumerate(blocks):
                x, caches[index] = block.step(x, modulations[index][:, part], caches[index])
            scores = self.logits_head(self.cond_logits_head(x.to(cond.dtype), cond[:, part]))
            logits.append(scores)
            pairs = scores.view(1, number, -1, 2)
            bits = torch.cat((bits, pairs[..., 1] > pairs[..., 0]), dim=1)
            start += number

        motion = self.basic_vae.decode(state.prev_bits, bits)
        prev_bits = self.basic_vae.encode(motion)  # of the decoded motion, not the predicted bits
        kept = state.prev_tokens[:, self.config.vae.num_codes :]
        tokens = torch.cat((kept, self._tokens(style_token, prev_bits)), dim=1)
        return ChunkResult(motion, bits, torch.cat(logits, dim=1)), MotionState(prev_bits, tokens)

    def _tokens(self, style_token: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
        embedded = self.vqfeat_embed(multiscale_features(bits, self.config.vae.patch_nums))
        return torch.cat((style_token, embedded), dim=1)
