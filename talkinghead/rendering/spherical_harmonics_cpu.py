"""Colours from spherical harmonics, compiled; same result as `spherical_harmonics.colors`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from talkinghead.contracts import FloatArray
from talkinghead.cores import available_cores
from talkinghead.rendering.jit import chunks, kernel, spread
from talkinghead.rendering.spherical_harmonics import C0, C1, C2, C3, MAX_DEGREE, num_coefficients

F = np.float32

_C0, _C1 = F(C0), F(C1)
_C20, _C21, _C22, _C23, _C24 = (F(value) for value in C2)
_C30, _C31, _C32, _C33, _C34, _C35, _C36 = (F(value) for value in C3)


@kernel(contract=True)
def colors_range(
    start: int, stop: int, degree: int, coefficients: Any, means: Any, position: Any, basis: Any, out: Any
) -> None:
    """Fill out[start:stop]; `basis` [16] is scratch space."""
    count = (degree + 1) * (degree + 1)
    channels = out.shape[1]
    basis[0] = _C0
    for i in range(start, stop):
        x, y, z = means[i, 0] - position[0], means[i, 1] - position[1], means[i, 2] - position[2]
        length = F(math.sqrt(x * x + y * y + z * z))
        inverse = F(1) / length if length > F(0) else F(0)
        x, y, z = x * inverse, y * inverse, z * inverse
        if degree > 0:
            basis[1], basis[2], basis[3] = -_C1 * y, _C1 * z, -_C1 * x
        if degree > 1:
            xx, yy, zz = x * x, y * y, z * z
            basis[4], basis[5] = _C20 * (x * y), _C21 * (y * z)
            basis[6] = _C22 * (F(2) * zz - xx - yy)
            basis[7], basis[8] = _C23 * (x * z), _C24 * (xx - yy)
            if degree > 2:
                basis[9] = _C30 * y * (F(3) * xx - yy)
                basis[10] = _C31 * (x * y) * z
                basis[11] = _C32 * y * (F(4) * zz - xx - yy)
                basis[12] = _C33 * z * (F(2) * zz - F(3) * xx - F(3) * yy)
                basis[13] = _C34 * x * (F(4) * zz - xx - yy)
                basis[14] = _C35 * z * (xx - yy)
                basis[15] = _C36 * x * (xx - F(3) * yy)
        for channel in range(channels):
            total = F(0)
            for k in range(count):
                total += basis[k] * coefficients[i, k, channel]
            out[i, channel] = max(total + F(0.5), F(0))


def colors_cpu(
    degree: int, coefficients: FloatArray, means: FloatArray, position: FloatArray, *, threads: int | None = None
) -> FloatArray:
    """Colours of Gaussians seen from a camera.

    Args:
        coefficients: [N, K, C] float32, K at least (degree + 1)^2.
        means: [N, 3] float32 world positions.
        position: [3] float32, the camera.
    Returns:
        [N, C] float32: max(SH + 0.5, 0).
    """
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"degree must be 0 to {MAX_DEGREE}, not {degree}")
    if coefficients.shape[1] < num_coefficients(degree):
        raise ValueError(f"degree {degree} needs {num_coefficients(degree)} coefficients, not {coefficients.shape[1]}")
    threads = threads or available_cores()
    out = np.empty((len(means), coefficients.shape[2]), np.float32)
    arrays = (np.ascontiguousarray(coefficients), np.ascontiguousarray(means), np.ascontiguousarray(position))
    pieces = chunks(len(means), 2 * threads)
    spread(colors_range, ((*p, degree, *arrays, np.empty(16, np.float32), out) for p in pieces), threads)
    return out
