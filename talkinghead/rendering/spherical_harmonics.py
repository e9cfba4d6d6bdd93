"""Real spherical harmonics up to degree 3, as Gaussian splatting uses them for colours that depend on the view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)
MAX_DEGREE = 3


def num_coefficients(degree: int) -> int:
    """Basis functions up to and including `degree`."""
    return (degree + 1) ** 2


def basis(degree: int, directions: FloatArray) -> FloatArray:
    """Values of the basis functions.

    Args:
        degree: 0 to MAX_DEGREE.
        directions: [N, 3] float32 unit vectors.
    Returns:
        [N, (degree + 1)^2] float32, order and signs of the published Gaussian splatting code.
    Source: Ramamoorthi and Hanrahan 2001; table of the published rasteriser.
    """
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"degree must be 0 to {MAX_DEGREE}, not {degree}")
    x, y, z = directions[:, 0], directions[:, 1], directions[:, 2]
    columns: list[NDArray[np.floating]] = [np.full_like(x, C0)]
    if degree > 0:
        columns += [-C1 * y, C1 * z, -C1 * x]
    if degree > 1:
        xx, yy, zz = x * x, y * y, z * z
        columns += [
            C2[0] * (x * y),
            C2[1] * (y * z),
            C2[2] * (2 * zz - xx - yy),
            C2[3] * (x * z),
            C2[4] * (xx - yy),
        ]
    if degree > 2:
        columns += [
            C3[0] * y * (3 * xx - yy),
            C3[1] * (x * y) * z,
            C3[2] * y * (4 * zz - xx - yy),
            C3[3] * z * (2 * zz - 3 * xx - 3 * yy),
            C3[4] * x * (4 * zz - xx - yy),
            C3[5] * z * (xx - yy),
            C3[6] * x * (xx - 3 * yy),
        ]
    return np.stack(columns, axis=1, dtype=np.float32)


def evaluate(degree: int, coefficients: FloatArray, directions: FloatArray) -> FloatArray:
    """Sum of coefficients times basis.

    Args:
        coefficients: [N, K, C] float32, K at least (degree + 1)^2; further ones are ignored.
        directions: [N, 3] float32 unit vectors.
    Returns:
        [N, C] float32, any sign.
    """
    values = basis(degree, directions)
    count = num_coefficients(degree)
    if coefficients.shape[1] < count:
        raise ValueError(f"degree {degree} needs {count} coefficients, not {coefficients.shape[1]}")
    result: FloatArray = np.einsum("nk,nkc->nc", values, coefficients[:, :count], dtype=np.float32)
    return result


def directions_from(position: FloatArray, means: FloatArray) -> FloatArray:
    """Unit vectors from a camera to points, [N, 3] float32; a point at the camera gives the zero vector."""
    offset = means - position
    length = np.sqrt(np.sum(offset * offset, axis=1, keepdims=True))
    result: FloatArray = np.divide(offset, length, out=np.zeros_like(offset), where=length > 0)
    return result


def colors(degree: int, coefficients: FloatArray, means: FloatArray, position: FloatArray) -> FloatArray:
    """Colours of Gaussians seen from a camera.

    Args:
        coefficients: [N, K, 3] float32, K at least (degree + 1)^2.
        means: [N, 3] float32 world positions.
        position: [3] float32, the camera.
    Returns:
        [N, 3] float32, not below 0 and not limited above: max(SH + 0.5, 0).
    """
    raw = evaluate(degree, coefficients, directions_from(position, means))
    result: FloatArray = np.maximum(raw + np.float32(0.5), np.float32(0))
    return result
