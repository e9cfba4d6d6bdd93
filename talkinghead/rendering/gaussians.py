"""Clouds of 3D Gaussians, what a rasteriser makes of them, and the constants of the published rasteriser."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray

TILE = 16
"""Side of a tile in pixels."""
NEAR_CUT_Z = np.float32(0.2)
"""Gaussians whose centre is not farther than this in front of the camera are dropped."""
BLUR = np.float32(0.3)
"""Added to both variances of the projected Gaussian, in square pixels."""
FRUSTUM_MARGIN = np.float32(1.3)
"""The Jacobian is taken at most this many half fields of view off the axis."""
MIN_ROOT = np.float32(0.1)
"""Floor under the root in the eigenvalue formula of the radius."""
W_EPSILON = np.float32(1e-7)
"""Added to clip-space w before the division."""
ALPHA_MAX = np.float32(0.99)
ALPHA_MIN = np.float32(1.0 / 255.0)
"""A Gaussian does not touch a pixel where its alpha is smaller."""
TRANSMITTANCE_MIN = np.float32(0.0001)
"""A pixel ends before the Gaussian that would take its transmittance below this."""
MAX_RADIUS = np.float32(1 << 24)
"""Radii are limited to this: larger ones cover every picture and would overflow integers."""


@dataclass(frozen=True, eq=False)
class GaussianCloud:
    """Gaussians in world space, ready to be drawn: activations applied, colours seen from the camera."""

    means: FloatArray
    """[N, 3] float32, world units."""
    scales: FloatArray
    """[N, 3] float32, standard deviations along the own axes, world units."""
    rotations: FloatArray
    """[N, 4] float32 quaternions (w, x, y, z); used as they are, unit length is the caller's business."""
    opacities: FloatArray
    """[N] float32 in [0, 1]."""
    colors: FloatArray
    """[N, C] float32: RGB or any features; any sign and size."""

    def __post_init__(self) -> None:
        n = len(self.means)
        shapes = {"means": (n, 3), "scales": (n, 3), "rotations": (n, 4), "opacities": (n,)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32:
                raise ValueError(f"{name} must be {list(shape)} float32, not {list(value.shape)} {value.dtype}")
        if self.colors.ndim != 2 or len(self.colors) != n or self.colors.dtype != np.float32:
            raise ValueError(f"colors must be [{n}, C] float32, not {list(self.colors.shape)} {self.colors.dtype}")

    def __len__(self) -> int:
        return len(self.means)

    @property
    def num_channels(self) -> int:
        return int(self.colors.shape[1])


@dataclass(frozen=True, eq=False)
class Raster:
    """A drawn cloud."""

    color: FloatArray
    """[C, H, W] float32, background included where it shines through."""
    alpha: FloatArray
    """[H, W] float32 in [0, 1], sum of the weights of all Gaussians in the pixel."""
    depth: FloatArray | None
    """[H, W] float32, sum of weight times view-space z, not divided by alpha; None where not asked for."""
    radii: IntArray
    """[N] int32, radius in pixels; 0 for a Gaussian that was dropped."""


def well_formed(cloud: GaussianCloud) -> NDArray[np.bool_]:
    """[N] bool: Gaussians that can be drawn.

    Left out are those with any value that is not finite, with a negative scale, or with no extent at all (every scale
    0). All others behave as in the published rasteriser, whatever their size.
    """
    finite = np.isfinite(cloud.opacities)
    for values in (cloud.means, cloud.scales, cloud.rotations, cloud.colors):
        finite &= np.isfinite(values).all(axis=1)
    with np.errstate(invalid="ignore"):
        extent = (cloud.scales >= 0).all(axis=1) & (cloud.scales > 0).any(axis=1)
    return finite & extent


def tile_grid(size: tuple[int, int]) -> tuple[int, int]:
    """Tiles (across, down) that cover a picture of (width, height)."""
    return -(-size[0] // TILE), -(-size[1] // TILE)
