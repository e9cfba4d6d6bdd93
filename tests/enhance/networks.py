"""Networks of published architectures with weights made here: one that sharpens as a known formula says, and others."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from talkinghead.enhance.spandrel_import import import_spandrel
from talkinghead.weights import write_safetensors

needs_spandrel = pytest.mark.skipif(importlib.util.find_spec("spandrel") is None, reason="spandrel is not installed")

SHARPEN = 2.0
_RING = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4


def compact_weights(first: np.ndarray) -> dict[str, np.ndarray]:
    """A compact network of Real-ESRGAN's (three convolutions, no larger picture): its input, and what a 3x3 filter
    makes of each colour of it.
    """
    through = np.zeros((3, 3, 3, 3), np.float32)
    through[range(3), range(3), 1, 1] = 1
    filtered = through.copy()
    filtered[range(3), range(3)] = first
    weights: dict[str, np.ndarray] = {}
    for number, kernel in ((0, filtered), (2, through), (4, through)):
        weights[f"body.{number}.weight"] = kernel
        weights[f"body.{number}.bias"] = np.zeros(3, np.float32)
    for number in (1, 3):
        weights[f"body.{number}.weight"] = np.ones(3, np.float32)
    return weights


def sharpener(path: Path, amount: float = SHARPEN) -> Path:
    """A network that adds to each pixel what it differs from its four neighbours by, times `amount`."""
    middle = np.zeros((3, 3), np.float32)
    middle[1, 1] = 1
    write_safetensors(compact_weights(np.float32(amount) * (middle - _RING)), path)
    return path


def sharpened(crop: np.ndarray, amount: float = SHARPEN) -> np.ndarray:
    """What that network makes of a crop, by SciPy; beyond the edge it sees black."""
    picture = crop.astype(np.float64) / 255
    around = np.stack([ndimage.convolve(picture[..., c], _RING, mode="constant") for c in range(3)], axis=-1)
    return np.rint(np.clip(picture + amount * (picture - around), 0, 1) * 255)


def esrgan(path: Path) -> Path:
    """An ESRGAN of one block and few channels that doubles the size."""
    network = import_spandrel().architectures.ESRGAN.ESRGAN
    return save(path, network(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2, plus=False, shuffle_factor=None))


def restoreformer(path: Path) -> Path:
    """A RestoreFormer with few channels."""
    network = import_spandrel().architectures.RestoreFormer.RestoreFormer
    return save(
        path,
        network(
            n_embed=16, embed_dim=32, ch=32, out_ch=3, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1,
            attn_resolutions=(16,), dropout=0.0, in_channels=3, resolution=512, z_channels=32, double_z=False,
            enable_mid=True, head_size=8,
        ),
    )  # fmt: skip


def gfpgan_module(out_size: int, narrow: float) -> Any:
    """A GFPGAN with random weights; 512 and 1 are the published ones."""
    return import_spandrel().architectures.GFPGAN.GFPGAN(
        out_size=out_size, num_style_feat=512, channel_multiplier=2, decoder_load_path=None, fix_decoder=False,
        num_mlp=8, input_is_latent=True, different_w=True, narrow=narrow, sft_half=True,
    ).eval()  # fmt: skip


def save(path: Path, module: Any) -> Path:
    """The weights of a module as a training script saves them."""
    import torch

    torch.save({"params_ema": module.state_dict()}, path)
    return path
