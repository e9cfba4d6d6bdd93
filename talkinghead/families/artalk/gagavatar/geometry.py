"""Head pose to camera, and the points that ride on the FLAME head (reference: gagavatar.md, section 6)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.flame import FlameModel
from talkinghead.families.artalk.gagavatar.generators import FOCAL
from talkinghead.families.artalk.motion.config import EXPRESSION, JAW_ROTATION
from talkinghead.rendering.cameras import Camera, projection_matrix

FLAME_SCALE = 5.0
FOREHEAD_KEEP = 0.98
"""Weight of the earlier position in the smoothing of the forehead."""

# fmt: off
FOREHEAD: NDArray[np.int64] = np.array([
    2168, 2165, 3068, 2199, 2196, 3720, 2091, 2088, 3524, 625, 628, 3871, 705, 708, 2030, 667, 670, 3708, 3706, 3729,
    3721, 3773, 3789, 3735, 3732, 3786, 3876, 3878, 3913, 3899, 3872, 3874, 3864, 3865, 3158, 3157, 336, 335, 3153,
    3705, 2177, 2176, 3540, 671, 672, 3863, 2134, 16, 17, 2138, 2139, 2567, 2566, 337, 338, 3154, 3712, 2178, 2179,
    3495, 674, 673, 3868, 2135, 27, 18, 1429, 1430,
])
# fmt: on
"""Vertices of FLAME's forehead (numbers of its published topology)."""


def quaternion_rotation(rotation_vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3] axis-angle to [3, 3] through a quaternion, with the published series for small angles."""
    angle = float(np.linalg.norm(rotation_vector))
    factor = 0.5 - angle * angle / 48.0 if angle < 1e-6 else math.sin(angle / 2.0) / angle
    w = math.cos(angle / 2.0)
    x, y, z = (float(value) * factor for value in rotation_vector)
    two = 2.0 / (w * w + x * x + y * y + z * z)
    return np.array(
        [
            [1 - two * (y * y + z * z), two * (x * y - z * w), two * (x * z + y * w)],
            [two * (x * y + z * w), 1 - two * (x * x + z * z), two * (y * z - x * w)],
            [two * (x * z - y * w), two * (y * z + x * w), 1 - two * (x * x + y * y)],
        ]
    )


def head_transform(rotation_vector: FloatArray, translation: FloatArray) -> FloatArray:
    """Camera for a head rotation: the head stays still and the camera moves.

    Args:
        rotation_vector: [3] head rotation of the motion, axis-angle; not modified (the published program flips the
            signs of two components in the caller's array).
        translation: [3] of the tracked avatar.
    Returns:
        [3, 4] float32, rows [R | T] with camera = world R + T.
    """
    flipped = rotation_vector.astype(np.float64) * np.array([-1.0, 1.0, -1.0])
    rotation = np.linalg.inv(quaternion_rotation(flipped) @ np.diag([-1.0, 1.0, -1.0]))
    return np.concatenate((rotation, translation.astype(np.float64)[:, None]), axis=1).astype(np.float32)


def avatar_camera(transform: FloatArray, size: tuple[int, int], focal: tuple[float, float] = (FOCAL, FOCAL)) -> Camera:
    """The rasteriser's camera: [3, 4] transform with axes x left, y up to x right, y down.

    Args:
        size: (width, height) in pixels.
        focal: (x, y) in half picture sizes.
    """
    view = np.zeros((4, 4), dtype=np.float32)
    view[:3, :3] = transform[:, :3]
    view[3, :3] = transform[:, 3]
    view[3, 3] = 1.0
    view[:, :2] *= -1.0
    fov_x, fov_y = (2.0 * math.atan(1.0 / value) for value in focal)
    return Camera(
        world_view=view,
        full_projection=view @ projection_matrix(fov_x, fov_y),
        position=np.ascontiguousarray(transform[:, 3]),  # as published; only spherical harmonics would read it
        tan_half_fov=(1.0 / focal[0], 1.0 / focal[1]),
        size=size,
    )


class HeadPoints:
    """Points of the head over a clip; the forehead follows slowly, so that it does not tremble."""

    def __init__(self, flame: FlameModel, shape: FloatArray) -> None:
        self._flame = flame
        self._shape = shape.reshape(1, -1)
        self._forehead: FloatArray | None = None

    def step(self, motion: FloatArray) -> FloatArray:
        """Points of the next frame.

        Args:
            motion: [106]; its head rotation is left to the camera.
        Returns:
            [V, 3] float32 in GAGAvatar's units (FLAME times five).
        """
        pose = np.concatenate((np.zeros(3, dtype=np.float32), motion[JAW_ROTATION]))[None]
        points: FloatArray = self._flame.vertices(self._shape, motion[None, EXPRESSION], pose, scale=FLAME_SCALE)[0]
        if len(points) <= int(FOREHEAD.max()):
            return points  # not FLAME's topology: there is no known forehead
        if self._forehead is None:
            self._forehead = points[FOREHEAD]
        else:
            keep = np.float32(FOREHEAD_KEEP)
            self._forehead = keep * self._forehead + np.float32(1.0 - FOREHEAD_KEEP) * points[FOREHEAD]
            points[FOREHEAD] = self._forehead
        return points
