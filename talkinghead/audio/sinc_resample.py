"""Windowed-sinc resampling with the kernel of torchaudio, for systems that were trained behind it.

Everything else in the package resamples with soxr.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

LOWPASS_WIDTH = 6
ROLLOFF = 0.99


@lru_cache(maxsize=16)
def _kernel(source: int, target: int, dtype: torch.dtype | None) -> tuple[torch.Tensor, int]:
    """[target, 1, taps] float32 and the taps' half width.

    With `dtype` None the kernel is computed in float64, except that the phase j / target is rounded to float32 first,
    as torchaudio's `Resample` does (visible: 2e-5 at 44.1 kHz).
    """
    base = ROLLOFF * min(source, target)
    width = math.ceil(LOWPASS_WIDTH * source / base)
    kind = torch.float64 if dtype is None else dtype
    taps = torch.arange(-width, width + source, dtype=kind)[None] / source
    phases = torch.arange(0, -target, -1, dtype=dtype if dtype is not None else torch.int64)[:, None] / target
    t = ((phases + taps) * base).clamp(-LOWPASS_WIDTH, LOWPASS_WIDTH)
    window = torch.cos(t * math.pi / LOWPASS_WIDTH / 2) ** 2
    t = t * math.pi
    sinc = torch.where(t == 0, torch.ones((), dtype=kind), t.sin() / torch.where(t == 0, 1.0, t))
    return (sinc * (window * (base / source))).to(torch.float32)[:, None], width


def sinc_resample(
    wave: torch.Tensor, source_hz: int, target_hz: int, *, phase_dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Resample.

    Args:
        wave: [B, n] float32.
        phase_dtype: None is torchaudio's `transforms.Resample`; float32 is its `functional.resample`.
    Returns:
        [B, ceil(n * target_hz / source_hz)] float32.
    """
    if source_hz == target_hz:
        return wave
    divisor = math.gcd(source_hz, target_hz)
    source, target = source_hz // divisor, target_hz // divisor
    kernel, width = _kernel(source, target, phase_dtype)
    padded = F.pad(wave, (width, width + source))
    phases = F.conv1d(padded[:, None], kernel.to(wave.device), stride=source)  # [B, target, steps]
    joined = phases.transpose(1, 2).reshape(len(wave), -1)
    return joined[:, : math.ceil(target * wave.shape[1] / source)]
