"""What pictures are judged by while a network learns.

Every loss is a plain mean over the batch, so that parts of a batch in several processes have the mean of the whole.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of two batches of pictures [B, 3, H, W] in [0, 1], a mean over the batch."""


def weighted_l1(made: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference, places counted by their weight.

    Args:
        made, truth: [B, 3, H, W] float32.
        weight: [B, 1, H, W], of mean 1 in every picture.
    """
    return ((made - truth).abs().mean(dim=1, keepdim=True) * weight).mean()


def temporal_difference(made: Tensor, truth: Tensor, weight: Tensor, follows: Tensor) -> Tensor:
    """How much the change from a frame to the next differs from the true change.

    Args:
        made, truth, weight: as for `weighted_l1`.
        follows: [B]; 1 where a picture is the next frame of the one before it in the batch, else 0.
    """
    difference = (made[1:] - made[:-1]) - (truth[1:] - truth[:-1])
    each = (difference.abs().mean(dim=1, keepdim=True) * weight[1:]).mean(dim=(1, 2, 3))
    return (each * follows[1:]).sum() / len(follows)
