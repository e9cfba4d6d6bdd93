"""Shapes of what passes between the parts of the folded generator."""

from __future__ import annotations

from talkinghead.families.synctalk2d.folded import FoldedUNet, Form

Shape = tuple[int | None, int, int, int]
"""[B, C, H, W]; a batch of None may be any."""


def state_shapes(net: FoldedUNet, form: Form, batch: int | None) -> list[Shape]:
    """Shapes of `picture_state`'s results."""
    size = net.variant.size
    sides = [size.inner_px >> k for k in range(len(size.skip_widths))][::-1]
    widths = list(size.skip_widths)[::-1]
    if form == "split":
        blocks = [net.fuse[0], *(up.first for up in net.ups[:-1])]
        widths = [*(block.expand.weight.shape[0] for block in blocks), widths[-1]]
    return [(batch, width, side, side) for width, side in zip(widths, sides, strict=True)]


def heard_shape(net: FoldedUNet, form: Form, batch: int | None) -> Shape:
    """Shape of `speech_state`'s result."""
    size = net.variant.size
    side = size.inner_px >> len(size.down_widths)
    width = size.skip_widths[-1] if form == "joined" else net.fuse[0].expand.weight.shape[0]
    return (batch, width, side, side)
