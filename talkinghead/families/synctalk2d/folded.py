"""The generator for speed: BatchNorm folded into the convolutions, work that repeats separated from work that does not.

`UNet` in `network.py` is the readable twin. Here the same arithmetic is cut where the pipeline can reuse results:

    picture of a template  ──► `picture_state`   once per template
    window of speech       ──► `speech_state`    once per clip, batched
    both                   ──► `render`          once per output frame

and written once over an `Ops` interface, so that one definition runs in torch and is written as an ONNX graph (which
ONNX Runtime and OpenVINO run). Two forms give the same values up to rounding:

- "joined": the skip connections are concatenated as published;
- "split": the first 1x1 convolution of each up block is linear, so W.[up(x), skip] = up(W_a.x) + W_b.skip: W_a runs
  before the upsampling, W_b.skip belongs to the template. Fewer multiplications, more memory traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.families.synctalk2d.variants import Variant
from talkinghead.graph import Conv, Ops, fold_batch_norm

Array = NDArray[Any]
Form = Literal["joined", "split"]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Block:
    """An inverted residual block: expand, depthwise, project."""

    expand: Conv
    depth: Conv
    project: Conv
    residual: bool


@dataclass(frozen=True, eq=False)
class UpBlock:
    """Two blocks; the first one takes the upsampled map and the skip connection."""

    first: Block
    second: Block
    deep_width: int
    """Input channels of the first block that come from below; the others are the skip connection."""

    @cached_property
    def deep(self) -> Conv:
        """W_a: the part of the first convolution for the upsampled map, without bias."""
        return self.first.expand.columns(0, self.deep_width, bias=False)

    @cached_property
    def skip(self) -> Conv:
        """W_b: the part for the skip connection, with the bias."""
        return self.first.expand.columns(self.deep_width, self.first.expand.weight.shape[1], bias=True)


@dataclass(frozen=True, eq=False)
class FoldedUNet:
    """The generator's weights with BatchNorm folded in."""

    variant: Variant
    stem: Block
    downs: tuple[tuple[Block, Block], ...]
    audio: tuple[Block | Conv, ...]
    """In order; a plain convolution is followed by ReLU."""
    fuse: tuple[Block, ...]
    """The first one takes [picture, speech]."""
    ups: tuple[UpBlock, ...]
    out: Conv

    @cached_property
    def fuse_picture(self) -> Conv:
        """The half of the first fusing convolution for the picture, with the bias."""
        first = self.fuse[0].expand
        return first.columns(0, first.weight.shape[1] // 2, bias=True)

    @cached_property
    def fuse_speech(self) -> Conv:
        """The half of the first fusing convolution for the speech, without bias."""
        first = self.fuse[0].expand
        return first.columns(first.weight.shape[1] // 2, first.weight.shape[1], bias=False)

    @cached_property
    def mask(self) -> FloatArray:
        """[1, 1, inner_px, inner_px] float32: 0 inside the black rectangle, 1 outside."""
        size = self.variant.size
        x, y, width, height = size.mask_xywh
        mask = np.ones((1, 1, size.inner_px, size.inner_px), np.float32)
        mask[:, :, y : y + height, x : x + width] = 0
        return mask


def fold(tensors: Mapping[str, Array], variant: Variant) -> FoldedUNet:
    """Fold BatchNorm into the convolutions, in float64.

    Args:
        tensors: state dict in key layout A.
    """
    audio = variant.audio
    size = variant.size
    levels = range(1, len(size.down_widths) + 1)

    def block(name: str, *, stride: int = 1, residual: bool = False) -> Block:
        depth_groups = tensors[f"{name}.conv.3.weight"].shape[0]
        return Block(
            fold_batch_norm(tensors, f"{name}.conv.0", f"{name}.conv.1"),
            fold_batch_norm(
                tensors, f"{name}.conv.3", f"{name}.conv.4", stride=(stride, stride), padding=1, groups=depth_groups
            ),
            fold_batch_norm(tensors, f"{name}.conv.6", f"{name}.conv.7"),
            residual,
        )

    def double(name: str, *, stride: int = 1) -> tuple[Block, Block]:
        return (
            block(f"{name}.double_conv.0", stride=stride),
            block(f"{name}.double_conv.1", residual=True),
        )

    deep_widths = (size.skip_widths[-1] // 2, *size.up_widths[:-1])
    model = "audio_model"
    return FoldedUNet(
        variant=variant,
        stem=block("inc.inconv.0"),
        downs=tuple(double(f"down{k}.maxpool_conv.0", stride=2) for k in levels),
        audio=(
            block(f"{model}.conv1", residual=audio.conv1_residual),
            block(f"{model}.conv2", residual=audio.conv2_residual),
            fold_batch_norm(tensors, f"{model}.conv3", f"{model}.bn3", stride=audio.conv3_stride, padding=1),
            block(f"{model}.conv4", residual=True),
            fold_batch_norm(tensors, f"{model}.conv5", f"{model}.bn5", stride=(2, 2), padding=3),
            block(f"{model}.conv6", residual=True),
            block(f"{model}.conv7", residual=True),
        ),
        fuse=(*double("fuse_conv.0"), *double("fuse_conv.1")),
        ups=tuple(UpBlock(*double(f"up{k}.conv"), deep_widths[k - 1]) for k in levels),
        out=Conv(
            np.asarray(tensors["outc.conv.weight"], np.float32), np.asarray(tensors["outc.conv.bias"], np.float32)
        ),
    )


def _block(ops: Ops[T], block: Block, x: T) -> T:
    return _after_expand(ops, block, ops.conv(x, block.expand, relu=True), x)


def _after_expand(ops: Ops[T], block: Block, hidden: T, x: T | None) -> T:
    y = ops.conv(ops.conv(hidden, block.depth, relu=True), block.project)
    return ops.add(x, y) if block.residual and x is not None else y


def _blocks(ops: Ops[T], blocks: Sequence[Block], x: T) -> T:
    for block in blocks:
        x = _block(ops, block, x)
    return x


def six_channels(ops: Ops[T], net: FoldedUNet, picture: T) -> T:
    """uint8 BGR [B, H, W, 3] to the network's six channels."""
    planes = ops.planes(picture)
    return ops.concat(planes, ops.masked(planes, net.mask))


def picture_state(ops: Ops[T], net: FoldedUNet, form: Form, image: T) -> list[T]:
    """Everything that depends on the template alone.

    Args:
        image: [B, 6, H, W] in [0, 1].
    Returns:
        What `render` needs, from the bottleneck up: maps ("joined"), or the skip half of each first convolution
        ("split"; of the largest map, where that half would be four times the map, the map itself).
    """
    maps = [_block(ops, net.stem, image)]
    for down in net.downs:
        maps.append(_blocks(ops, down, maps[-1]))
    maps.reverse()
    if form == "joined":
        return maps
    terms = [ops.conv(maps[0], net.fuse_picture)]
    terms += [ops.conv(skip, up.skip) for up, skip in zip(net.ups[:-1], maps[1:-1], strict=True)]
    return [*terms, maps[-1]]


def speech_state(ops: Ops[T], net: FoldedUNet, form: Form, windows: T) -> T:
    """Everything that depends on the speech alone.

    Args:
        windows: [B, *variant.audio.input_shape].
    """
    x = windows
    for part in net.audio:
        x = _block(ops, part, x) if isinstance(part, Block) else ops.conv(x, part, relu=True)
    return x if form == "joined" else ops.conv(x, net.fuse_speech)


def render(ops: Ops[T], net: FoldedUNet, form: Form, state: Sequence[T], heard: T) -> T:
    """The talking picture: [B, 3, H, W] in (0, 1), BGR."""
    deep = 1 + len(net.ups) // 2
    return render_shallow(ops, net, form, state[deep:], render_deep(ops, net, form, state[:deep], heard))


def render_deep(ops: Ops[T], net: FoldedUNet, form: Form, state: Sequence[T], heard: T) -> T:
    """The small maps of `render`: from the bottleneck up, as many up blocks as there are states besides the first."""
    fuse = net.fuse
    if form == "joined":
        x = _block(ops, fuse[0], ops.concat(state[0], heard))
    else:
        x = _after_expand(ops, fuse[0], ops.add(state[0], heard, relu=True), None)
    x = _blocks(ops, fuse[1:], x)
    for k, skip in enumerate(state[1:]):
        x = _up(ops, net, form, k, x, skip)
    return x


def render_shallow(ops: Ops[T], net: FoldedUNet, form: Form, state: Sequence[T], x: T) -> T:
    """The large maps of `render`: the remaining up blocks and the output."""
    first = len(net.ups) - len(state)
    for k, skip in enumerate(state, start=first):
        x = _up(ops, net, form, k, x, skip)
    return ops.sigmoid(ops.conv(x, net.out))


def _up(ops: Ops[T], net: FoldedUNet, form: Form, k: int, x: T, skip: T) -> T:
    up = net.ups[k]
    if form == "joined":
        x = _block(ops, up.first, ops.concat(ops.upsample(x), skip))
    else:
        term = ops.conv(skip, up.skip) if k == len(net.ups) - 1 else skip
        hidden = ops.add(ops.upsample(ops.conv(x, up.deep)), term, relu=True)
        x = _after_expand(ops, up.first, hidden, None)
    return _block(ops, up.second, x)
