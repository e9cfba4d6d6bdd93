"""The two published generators as tables, and recognising them from a checkpoint's keys.

Source: Prajwal et al. 2020, "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild" (96 pixels);
the 256-pixel variant as distributed with LiveTalking. Names of weights are those of the published checkpoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import WrongCheckpoint

MEL_BANDS = 80
MEL_COLUMNS = 16
"""Width of the window that one frame listens to; 0.2 s."""
BATCH_NORM_EPS = 1e-5
EMBEDDING = 512


@dataclass(frozen=True)
class Block:
    """One convolution with BatchNorm and ReLU."""

    name: str
    """Prefix of its weights in the checkpoint: "face_encoder_blocks.1.0"."""
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: tuple[int, int] = (1, 1)
    """(height, width)."""
    padding: int = 1
    residual: bool = False
    """The input is added before the ReLU."""
    transposed: bool = False
    output_padding: int = 0

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Of the convolution's weight; transposed ones keep input channels first."""
        a, b = (self.in_channels, self.out_channels) if self.transposed else (self.out_channels, self.in_channels)
        return (a, b, self.kernel, self.kernel)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) behind the block."""
        sizes = []
        for size, stride in zip((height, width), self.stride, strict=True):
            if self.transposed:
                sizes.append((size - 1) * stride - 2 * self.padding + self.kernel + self.output_padding)
            else:
                sizes.append((size + 2 * self.padding - self.kernel) // stride + 1)
        return sizes[0], sizes[1]

    def macs(self, height: int, width: int) -> int:
        """Multiply-adds for one input of that size."""
        if not self.transposed:
            height, width = self.output_size(height, width)
        return self.in_channels * self.out_channels * self.kernel**2 * height * width


@dataclass(frozen=True)
class Architecture:
    """One generator."""

    name: str
    size: int
    """Side of the face in pixels."""
    audio_encoder: tuple[Block, ...]
    face_encoder: tuple[tuple[Block, ...], ...]
    """Stages; the output of each is kept for the decoder."""
    face_decoder: tuple[tuple[Block, ...], ...]
    """Stages; behind each one the encoder's output of the same size is appended to the channels."""
    output_block: Block
    output_conv: str = "output_block.1"
    """Plain 1x1 convolution to B, G, R before the sigmoid."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks in the order in which the network runs: audio, face, decoder, output."""
        return (
            *self.audio_encoder,
            *itertools.chain.from_iterable(self.face_encoder),
            *itertools.chain.from_iterable(self.face_decoder),
            self.output_block,
        )

    @property
    def feature_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """[C, H, W] of what each face encoder stage gives."""
        height = width = self.size
        shapes = []
        for stage in self.face_encoder:
            for block in stage:
                height, width = block.output_size(height, width)
            shapes.append((stage[-1].out_channels, height, width))
        return tuple(shapes)

    def macs(self) -> dict[str, int]:
        """Multiply-adds for one frame, by part."""
        counts = {"audio_encoder": _macs(self.audio_encoder, MEL_BANDS, MEL_COLUMNS)[0]}
        height = width = self.size
        counts["face_encoder"] = 0
        for stage in self.face_encoder:
            count, height, width = _macs(stage, height, width)
            counts["face_encoder"] += count
        counts["face_decoder"] = 0
        for stage in self.face_decoder:
            count, height, width = _macs(stage, height, width)
            counts["face_decoder"] += count
        counts["output"] = self.output_block.macs(height, width)
        counts["output"] += self.output_block.out_channels * 3 * height * width
        return counts

    def expected(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every weight of the checkpoint with its shape."""
        for block in self.blocks:
            prefix = f"{block.name}.conv_block"
            channels = (block.out_channels,)
            yield f"{prefix}.0.weight", block.weight_shape
            yield f"{prefix}.0.bias", channels
            for entry in ("weight", "bias", "running_mean", "running_var"):
                yield f"{prefix}.1.{entry}", channels
        yield f"{self.output_conv}.weight", (3, self.output_block.out_channels, 1, 1)
        yield f"{self.output_conv}.bias", (3,)


def _macs(blocks: tuple[Block, ...], height: int, width: int) -> tuple[int, int, int]:
    count = 0
    for block in blocks:
        count += block.macs(height, width)
        height, width = block.output_size(height, width)
    return count, height, width


def _stage(prefix: str, first: Block, residuals: int) -> tuple[Block, ...]:
    """A block and the residual blocks behind it, named by their place."""
    channels = first.out_channels
    blocks = [first, *(Block("", channels, channels, residual=True) for _ in range(residuals))]
    return tuple(replace(block, name=f"{prefix}.{index}") for index, block in enumerate(blocks))


def _down(a: int, b: int) -> Block:
    return Block("", a, b, stride=(2, 2))


def _up(a: int, b: int) -> Block:
    return Block("", a, b, stride=(2, 2), transposed=True, output_padding=1)


def _embed(prefix: str, kernel: int) -> tuple[Block, ...]:
    """The last encoder stage: everything into one position."""
    return (
        Block(f"{prefix}.0", EMBEDDING, EMBEDDING, kernel=kernel, padding=0),
        Block(f"{prefix}.1", EMBEDDING, EMBEDDING, kernel=1, padding=0),
    )


def _audio_encoder() -> tuple[Block, ...]:
    rows = [
        Block("", 1, 32),
        *[Block("", 32, 32, residual=True)] * 2,
        Block("", 32, 64, stride=(3, 1)),
        *[Block("", 64, 64, residual=True)] * 2,
        Block("", 64, 128, stride=(3, 3)),
        *[Block("", 128, 128, residual=True)] * 2,
        Block("", 128, 256, stride=(3, 2)),
        Block("", 256, 256, residual=True),
        Block("", 256, EMBEDDING, padding=0),
        Block("", EMBEDDING, EMBEDDING, kernel=1, padding=0),
    ]
    return tuple(replace(row, name=f"audio_encoder.{index}") for index, row in enumerate(rows))


def _architecture(
    name: str,
    size: int,
    encoder: list[tuple[Block, int]],
    decoder: list[tuple[Block, int]],
    last_kernel: int,
) -> Architecture:
    stages = [_stage(f"face_encoder_blocks.{i}", first, count) for i, (first, count) in enumerate(encoder)]
    stages.append(_embed(f"face_encoder_blocks.{len(encoder)}", last_kernel))
    start = (Block("face_decoder_blocks.0.0", EMBEDDING, EMBEDDING, kernel=1, padding=0),)
    grow = [_stage(f"face_decoder_blocks.{i}", first, count) for i, (first, count) in enumerate(decoder, start=1)]
    return Architecture(
        name=name,
        size=size,
        audio_encoder=_audio_encoder(),
        face_encoder=tuple(stages),
        face_decoder=(start, *grow),
        output_block=Block("output_block.0", 80, 32),
    )


_ENCODER = [
    (Block("", 6, 16, kernel=7, padding=3), 0),
    (_down(16, 32), 2),
    (_down(32, 64), 3),
    (_down(64, 128), 2),
    (_down(128, 256), 2),
    (_down(256, 512), 1),
]
_DECODER_TAIL = [(_up(768, 384), 2), (_up(512, 256), 2), (_up(320, 128), 2), (_up(160, 64), 2)]

GENERATOR_96 = _architecture(
    "wav2lip96",
    96,
    _ENCODER,
    [(Block("", 1024, 512, padding=0, transposed=True), 1), (_up(1024, 512), 2), *_DECODER_TAIL],
    last_kernel=3,
)
GENERATOR_256 = _architecture(
    "wav2lip256",
    256,
    [*_ENCODER, (_down(512, 512), 1)],
    [
        (Block("", 1024, 512, kernel=4, padding=0, transposed=True), 1),
        (_up(1024, 512), 1),
        (_up(1024, 512), 2),
        *_DECODER_TAIL,
    ],
    last_kernel=4,
)
ARCHITECTURES: Mapping[str, Architecture] = {item.name: item for item in (GENERATOR_96, GENERATOR_256)}

_MARK_OF_256 = "face_encoder_blocks.7.0.conv_block.0.weight"
"""Present in the 256 generator alone."""


def recognise(tensors: Mapping[str, NDArray[Any]], source: str) -> Architecture:
    """Which generator a state dict belongs to; the name and shape of every weight is checked.

    Args:
        source: the file, for messages.
    Raises:
        WrongCheckpoint: another network, missing weights, or weights of another shape.
    """
    if "audio_encoder.0.conv_block.0.weight" not in tensors:
        hint = _other_network(tensors)
        raise WrongCheckpoint(
            f"{source} is not a Wav2Lip generator{hint}; it holds {len(tensors)} tensors"
            + (f", the first is {next(iter(tensors))!r}." if tensors else "."),
            accepted="wav2lip.pth, wav2lip_gan.pth, Wav2Lip-SD-GAN.pt or wav2lip256.pth, as safetensors or ONNX too",
        )
    architecture = GENERATOR_256 if _MARK_OF_256 in tensors else GENERATOR_96
    expected = dict(architecture.expected())
    missing = [name for name in expected if name not in tensors]
    wrong = [name for name, shape in expected.items() if name in tensors and tuple(tensors[name].shape) != shape]
    counters = {f"{block.name}.conv_block.1.num_batches_tracked" for block in architecture.blocks}
    unknown = [name for name in tensors if name not in expected and name not in counters]
    if missing or wrong or unknown:
        parts = []
        if missing:
            parts.append(f"{len(missing)} weights are missing ({missing[0]}, ...)")
        if wrong:
            found = list(tensors[wrong[0]].shape)
            parts.append(f"{wrong[0]} is {found} instead of {list(expected[wrong[0]])}")
        if unknown:
            parts.append(f"{len(unknown)} tensors are unknown ({unknown[0]}, ...)")
        raise WrongCheckpoint(
            f"{source} resembles the {architecture.size}-pixel Wav2Lip generator, but {'; '.join(parts)}.",
            accepted="the published 96- and 256-pixel generators",
        )
    return architecture


def check_finite(tensors: Mapping[str, NDArray[Any]], source: str) -> None:
    """Refuse weights that are not numbers.

    Raises:
        WrongCheckpoint: naming the first.
    """
    bad = next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)
    if bad is not None:
        raise WrongCheckpoint(f"{source} is damaged: {bad} holds values that are not numbers.")


def _other_network(tensors: Mapping[str, NDArray[Any]]) -> str:
    names = set(tensors)
    if "face_encoder.0.conv_block.0.weight" in names:
        return " but its sync expert or discriminator (lipsync_expert.pth)"
    if "conv3_3_norm.weight" in names:
        return " but the face detector S3FD"
    return ""
