"""Audio encoders of ARTalk: wav2vec 2.0 (XLS-R 300M) and Mimi, built through transformers from embedded settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from talkinghead.audio.sinc_resample import sinc_resample
from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.errors import MissingDependency

MIMI_RATE_HZ = 24_000
UNLIMITED_WINDOW = 1 << 20


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingDependency("transformers", extra="models", purpose="ARTalk's audio encoder") from error
    return transformers


def normalise_wave(wave: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit deviation (n - 1) per row, padding included: [B, n]."""
    return (wave - wave.mean(dim=-1, keepdim=True)) / (wave.std(dim=-1, keepdim=True) + 1e-6)


def wav2vec_encoder(settings: Mapping[str, Any]) -> nn.Module:
    """A wav2vec 2.0 network of random weights; nothing is fetched."""
    transformers = _transformers()
    config = transformers.Wav2Vec2Config(**settings, attn_implementation="sdpa")
    network: nn.Module = transformers.Wav2Vec2Model(config)
    return network.eval()


def encode_wav2vec(network: nn.Module, chunks: torch.Tensor) -> torch.Tensor:
    """Features of independent chunks.

    Args:
        chunks: [B, n] float32, 16 kHz, zero padding included.
    Returns:
        [B, frames, width] (199 frames of 4 s).
    """
    dtype = next(network.parameters()).dtype
    features: torch.Tensor = network(normalise_wave(chunks).to(dtype)).last_hidden_state
    return features.to(chunks.dtype)


class MimiEncoder(nn.Module):
    """Quantised features of the Mimi codec; weight names stand below `acoustic_model.`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        transformers = _transformers()
        # The published program's transformers ignored the attention window on every path but one.
        unlimited = {**settings, "sliding_window": UNLIMITED_WINDOW}
        self.acoustic_model = transformers.MimiModel(transformers.MimiConfig(**unlimited)).eval()

    def codes(self, chunks: torch.Tensor) -> torch.Tensor:
        """[B, n] at 16 kHz to [B, quantizers, frames] int64 at 12.5 per second."""
        wave = sinc_resample(chunks, SPEECH_RATE_HZ, MIMI_RATE_HZ, phase_dtype=torch.float32)
        found: torch.Tensor = self.acoustic_model.encode(wave[:, None]).audio_codes
        return found

    def forward(self, chunks: torch.Tensor) -> torch.Tensor:
        """[B, n] at 16 kHz to [B, frames, width]."""
        features: torch.Tensor = self.acoustic_model.quantizer.decode(self.codes(chunks))
        return features.transpose(1, 2)
