"""What the animator knows about a face: where the mouth and the eyes are, in pixels of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray

Values = NDArray[np.floating[Any]]
"""Intermediate values of any float type; what is stored is FloatArray."""

NUM_COLUMNS = 41
COLUMNS: FloatArray = np.linspace(-1, 1, NUM_COLUMNS, dtype=np.float32)
"""Positions between the corners at which contours are stored: -1 left corner, +1 right corner."""

OPEN_MOUTH = 0.07
"""A gap between the lips above this share of the half width counts as open."""
LUMA: FloatArray = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in the light of a colour (BT.601)."""


@dataclass(frozen=True)
class Region:
    """A box of pixels, half open, that may be empty."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def is_empty(self) -> bool:
        return self.x2 <= self.x1 or self.y2 <= self.y1

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y1, self.y2), slice(self.x1, self.x2)

    @classmethod
    def around(cls, centre: Values, radius: float, size: tuple[int, int]) -> Region:
        """The square around a point, cut to a frame of (width, height)."""
        return cls.holding(np.stack([centre - radius, centre + radius])).within(size)

    @classmethod
    def holding(cls, points: Values, margin: int = 0) -> Region:
        """The box of all pixels that points [n, 2] touch, and of some around it; it may leave the frame."""
        low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int) + 1
        return cls(*(int(v) for v in (*(low - margin), *(high + margin))))

    def within(self, size: tuple[int, int]) -> Region:
        """The part in a frame of (width, height)."""
        x1, x2 = (int(v) for v in np.clip([self.x1, self.x2], 0, size[0]))
        y1, y2 = (int(v) for v in np.clip([self.y1, self.y2], 0, size[1]))
        return Region(x1, y1, x2, y2)


def gap_between(upper: Values, lower: Values, half_width: float) -> float:
    """Height of the opening between two contours [41] in the middle, in half widths."""
    middle = slice(NUM_COLUMNS // 2 - 4, NUM_COLUMNS // 2 + 5)
    return float(np.mean(lower[middle] - upper[middle])) / half_width


@dataclass(frozen=True, eq=False)
class MouthGeometry:
    """A mouth. Contours are pixels below the straight line between the corners, along the mouth's own down axis."""

    centre: NDArray[np.float64]
    """[2] float64, middle between the corners, pixels."""
    axis: NDArray[np.float64]
    """[2] float64, unit vector from the left to the right corner."""
    half_width: float
    """Half the distance between the corners, pixels."""
    upper_outer: FloatArray
    """[41] float32 at `COLUMNS`: upper border of the upper lip."""
    upper_inner: FloatArray
    """[41] float32: lower border of the upper lip; equals lower_inner where the lips touch."""
    lower_inner: FloatArray
    """[41] float32: upper border of the lower lip."""
    lower_outer: FloatArray
    """[41] float32: lower border of the lower lip."""
    confidence: float
    """[0, 1]; low when the picture shows little and the average face had to help."""

    def __post_init__(self) -> None:
        for name in ("upper_outer", "upper_inner", "lower_inner", "lower_outer"):
            values = getattr(self, name)
            if values.shape != (NUM_COLUMNS,) or values.dtype != np.float32:
                raise ValueError(f"{name} must be [{NUM_COLUMNS}] float32, not {list(values.shape)} {values.dtype}")

    @property
    def gap(self) -> float:
        """Height of the opening in the middle, in half widths."""
        return gap_between(self.upper_inner, self.lower_inner, self.half_width)

    @property
    def is_open(self) -> bool:
        return self.gap > OPEN_MOUTH

    @property
    def down(self) -> NDArray[np.float64]:
        """[2] unit vector at right angles to `axis`, towards the chin."""
        return np.array([-self.axis[1], self.axis[0]])

    def points(self, x: Values, y: Values) -> Values:
        """[..., 2] pixels of the frame at places along the line between the corners and below it, of any shapes."""
        x, y = np.broadcast_arrays(x, y)
        points: Values = self.centre + x[..., None] * self.axis + y[..., None] * self.down
        return points

    def box(self, across: tuple[float, float], below: tuple[float, float], margin: int = 0) -> Region:
        """Pixels that hold a rectangle of the mouth's own coordinates; see `Region.holding`."""
        return Region.holding(self.points(np.array(across)[:, None], np.array(below)).reshape(-1, 2), margin)


@dataclass(frozen=True, eq=False)
class EyeGeometry:
    """An eye. Lids are pixels below the straight line between its corners."""

    centre: NDArray[np.float64]
    """[2] float64, middle between the corners, pixels."""
    axis: NDArray[np.float64]
    """[2] float64, unit vector from the left to the right corner."""
    half_width: float
    """Half the distance between the corners, pixels."""
    upper_lid: FloatArray
    """[41] float32 at `COLUMNS`, negative: the lid's edge above the eyeball."""
    lower_lid: FloatArray
    """[41] float32, positive."""
    confidence: float
    """[0, 1]"""


@dataclass(frozen=True, eq=False)
class FaceGeometry:
    """A face in one frame."""

    eye_distance: float
    """Between the eye centres, pixels: the unit of everything that scales with the face."""
    mouth: MouthGeometry
    chin: float
    """Pixels from the middle of the mouth down to the tip of the chin."""
    sides: tuple[float, float]
    """Pixels from the middle of the mouth to the left and right outline of the face: cheeks move only inside."""
