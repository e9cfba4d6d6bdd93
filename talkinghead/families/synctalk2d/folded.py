"""The generator for speed: BatchNorm folded into the convolutions, work that repeats separated from work that does not.

`UNet` in `network.py` is the readable twin. Here the same arithmetic is cut where the pipeline can reuse results:

    picture of a template  ──► `picture_state`   once per template
    window of speech       ──► `speech_state`    once per clip, batched
    both                   ──► `render`          once per output frame

and written once as graphs that every back end runs (`talkinghead.backends`). Two forms give the same values up to
rounding:

- "joined": the skip connections are concatenated as published;
- "split": the first 1x1 convolution of each up block is linear, so W.[up(x), skip] = up(W_a.x) + W_b.skip: W_a runs
  before the upsampling, W_b.skip belongs to the template. Fewer multiplications, more memory traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import GraphBuilder
from talkinghead.backends.layers import Conv, fold_batch_norm
from talkinghead.contracts import FloatArray
from talkinghead.families.synctalk2d.variants import Variant

Array = NDArray[Any]
Form = Literal["joined", "split"]


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


def _block(graph: GraphBuilder, block: Block, x: str) -> str:
    return _after_expand(graph, block, block.expand.write(graph, x, relu=True), x)


def _after_expand(graph: GraphBuilder, block: Block, hidden: str, x: str | None) -> str:
    y = block.project.write(graph, block.depth.write(graph, hidden, relu=True))
    return graph.add(x, y) if block.residual and x is not None else y


def _blocks(graph: GraphBuilder, blocks: Sequence[Block], x: str) -> str:
    for block in blocks:
        x = _block(graph, block, x)
    return x


def six_channels(graph: GraphBuilder, net: FoldedUNet, picture: str) -> str:
    """uint8 BGR [B, H, W, 3] to the network's six channels."""
    planes = graph.from_pixels(picture)
    return graph.concat([planes, graph.scale(planes, net.mask)])


def picture_state(graph: GraphBuilder, net: FoldedUNet, form: Form, image: str) -> list[str]:
    """Everything that depends on the template alone.

    Args:
        image: [B, 6, H, W] in [0, 1].
    Returns:
        What `render` needs, from the bottleneck up: maps ("joined"), or the skip half of each first convolution
        ("split"; of the largest map, where that half would be four times the map, the map itself).
    """
    maps = [_block(graph, net.stem, image)]
    for down in net.downs:
        maps.append(_blocks(graph, down, maps[-1]))
    maps.reverse()
    if form == "joined":
        return maps
    terms = [net.fuse_picture.write(graph, maps[0])]
    terms += [up.skip.write(graph, skip) for up, skip in zip(net.ups[:-1], maps[1:-1], strict=True)]
    return [*terms, maps[-1]]


def speech_state(graph: GraphBuilder, net: FoldedUNet, form: Form, windows: str) -> str:
    """Everything that depends on the speech alone.

    Args:
        windows: [B, *variant.audio.input_shape].
    """
    x = windows
    for part in net.audio:
        x = _block(graph, part, x) if isinstance(part, Block) else part.write(graph, x, relu=True)
    return x if form == "joined" else net.fuse_speech.write(graph, x)


def render(
    graph: GraphBuilder, net: FoldedUNet, form: Form, state: Sequence[str], heard: str, name: str | None = None
) -> str:
    """The talking picture: [B, 3, H, W] in (0, 1), BGR.

    Args:
        name: of the result.
    """
    deep = 1 + len(net.ups) // 2
    x = render_deep(graph, net, form, state[:deep], heard)
    return render_shallow(graph, net, form, state[deep:], x, name)


def render_deep(graph: GraphBuilder, net: FoldedUNet, form: Form, state: Sequence[str], heard: str) -> str:
    """The small maps of `render`: from the bottleneck up, as many up blocks as there are states besides the first."""
    fuse = net.fuse
    if form == "joined":
        x = _block(graph, fuse[0], graph.concat([state[0], heard]))
    else:
        x = _after_expand(graph, fuse[0], graph.relu(graph.add(state[0], heard)), None)
    x = _blocks(graph, fuse[1:], x)
    for k, skip in enumerate(state[1:]):
        x = _up(graph, net, form, k, x, skip)
    return x


def render_shallow(
    graph: GraphBuilder, net: FoldedUNet, form: Form, state: Sequence[str], x: str, name: str | None = None
) -> str:
    """The large maps of `render`: the remaining up blocks and the output."""
    first = len(net.ups) - len(state)
    for k, skip in enumerate(state, start=first):
        x = _up(graph, net, form, k, x, skip)
    return graph.sigmoid(net.out.write(graph, x), name)


def _up(graph: GraphBuilder, net: FoldedUNet, form: Form, k: int, x: str, skip: str) -> str:
    up = net.ups[k]
    if form == "joined":
        x = _block(graph, up.first, graph.concat([graph.upsample(x), skip]))
    else:
        term = up.skip.write(graph, skip) if k == len(net.ups) - 1 else skip
        hidden = graph.relu(graph.add(graph.upsample(up.deep.write(graph, x)), term))
        x = _after_expand(graph, up.first, hidden, None)
    return _block(graph, up.second, x)
