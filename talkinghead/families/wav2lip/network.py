"""The generator in PyTorch, with the names of the published checkpoint: the reference that faster forms must equal.

Every other form (folded, bfloat16, ONNX, OpenVINO) is made from the same tables and compared with this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkinghead.families.wav2lip.architecture import BATCH_NORM_EPS, Architecture, Block


class ConvBlock(nn.Module):
    """Convolution (or its transpose), BatchNorm, ReLU; residual ones add their input before the ReLU."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        conv: nn.Module
        if block.transposed:
            conv = nn.ConvTranspose2d(
                block.in_channels,
                block.out_channels,
                block.kernel,
                stride=block.stride,
                padding=block.padding,
                output_padding=block.output_padding,
            )
        else:
            conv = nn.Conv2d(
                block.in_channels, block.out_channels, block.kernel, stride=block.stride, padding=block.padding
            )
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(block.out_channels, eps=BATCH_NORM_EPS))
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return torch.relu(y + x if self.residual else y)


class Generator(nn.Module):
    """Mel windows and masked faces to faces with moved lips."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.audio_encoder = nn.Sequential(*(ConvBlock(block) for block in architecture.audio_encoder))
        self.face_encoder_blocks = nn.ModuleList(
            nn.Sequential(*(ConvBlock(block) for block in stage)) for stage in architecture.face_encoder
        )
        self.face_decoder_blocks = nn.ModuleList(
            nn.Sequential(*(ConvBlock(block) for block in stage)) for stage in architecture.face_decoder
        )
        last = architecture.output_block
        self.output_block = nn.Sequential(ConvBlock(last), nn.Conv2d(last.out_channels, 3, 1))

    def encode_audio(self, mel: Tensor) -> Tensor:
        """[B, 1, 80, 16] in [-4, 4] -> [B, 512, 1, 1]."""
        embedding: Tensor = self.audio_encoder(mel)
        return embedding

    def encode_face(self, face: Tensor) -> list[Tensor]:
        """[B, 6, S, S] in [0, 1] (masked B, G, R, then whole B, G, R) -> the output of every encoder stage."""
        features = []
        for stage in self.face_encoder_blocks:
            face = stage(face)
            features.append(face)
        return features

    def decode(self, audio: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Embedding and face features to [B, 3, S, S] in (0, 1), B, G, R."""
        x = audio
        for stage, feature in zip(self.face_decoder_blocks, reversed(features), strict=True):
            x = torch.cat((stage(x), feature), dim=1)
        return torch.sigmoid(self.output_block(x))

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """The whole network; see the parts for shapes."""
        return self.decode(self.encode_audio(mel), self.encode_face(face))


def build_generator(architecture: Architecture, tensors: Mapping[str, NDArray[Any]]) -> Generator:
    """The network in evaluation mode with the checkpoint's weights, float32.

    Args:
        tensors: as `recognise` accepted them.
    """
    with torch.device("meta"):
        generator = Generator(architecture)
    state = {}
    for name, value in generator.state_dict().items():
        if name in tensors:
            source = np.array(tensors[name], dtype=np.float32 if value.is_floating_point() else np.int64)
            state[name] = torch.from_numpy(source)
        else:
            state[name] = torch.zeros(value.shape, dtype=value.dtype)  # num_batches_tracked, unused here
    generator.load_state_dict(state, strict=True, assign=True)
    return generator.eval().requires_grad_(False)
