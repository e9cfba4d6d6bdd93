"""What makes a step fast: half precision where the processor multiplies in it, channels last, memory that is kept.

On a processor every step of a network makes and drops some hundred arrays of tens of megabytes. The C library gives
each back to the system at once and gets it again page by page, up to a third of a step's time: `keep_memory` keeps it.
"""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from talkinghead.errors import OptionError, choices

PRECISIONS = ("auto", "float32", "bfloat16")
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1


@dataclass(frozen=True)
class Speed:
    """How steps are computed."""

    device: torch.device
    half: bool
    """Products in bfloat16; weights, sums, losses and the optimiser stay in float32."""

    @property
    def name(self) -> str:
        return f"{self.device.type}, {'bfloat16' if self.half else 'float32'}"

    def autocast(self) -> Any:
        """Within it the network is run."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half)

    def ready(self, network: nn.Module) -> nn.Module:
        """The network on its device, channels last."""
        moved: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def tensor(self, array: Any) -> Tensor:
        """An array on the device; pictures channels last."""
        value = torch.from_numpy(array)
        if self.device.type == "cuda":
            value = value.pin_memory().to(self.device, non_blocking=True)
        return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def choose_speed(device: str, precision: str) -> Speed:
    """Where and how to compute.

    Args:
        device: auto, cpu, cuda or cuda:N.
        precision: one of PRECISIONS; auto is bfloat16 where the processor multiplies in it.
    Raises:
        OptionError: no such device or precision.
    """
    from talkinghead.backends import choose_device

    if precision not in PRECISIONS:
        raise OptionError(f"There is no precision {precision!r} of training.", accepted=choices(PRECISIONS))
    place = torch.device(choose_device(device))
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if place.type == "cuda" else has_half_products()
        return Speed(place, bool(fast))
    return Speed(place, precision == "bfloat16")


def has_half_products() -> bool:
    """Whether this processor multiplies in bfloat16: without, it is slower than float32."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check()) if check is not None else False


def keep_memory() -> bool:
    """Have the C library keep freed memory for the next step; False where it is not glibc."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_M_MMAP_MAX, 0)) and bool(library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
