"""Pinhole cameras for Gaussian and mesh rasterisers.

Matrices are *row-vector* matrices, as the published rasterisers take them: a point is a row and is multiplied from the
left, `p_row @ M`, so translations stand in the last row. Camera space is x right, y down, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray

Z_NEAR = 0.01
"""Near plane of the published projection matrix; nothing is cut there (see `gaussians.NEAR_CUT_Z`)."""
Z_FAR = 100.0


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with its principal point in the middle of the picture."""

    world_view: FloatArray
    """[4, 4] float32, row-vector world-to-camera matrix."""
    full_projection: FloatArray
    """[4, 4] float32, row-vector world-to-clip matrix: `world_view @ projection`."""
    position: FloatArray
    """[3] float32, the camera's centre in world coordinates."""
    tan_half_fov: tuple[float, float]
    """Tangents of half the field of view, (x, y)."""
    size: tuple[int, int]
    """(width, height) in pixels."""

    def __post_init__(self) -> None:
        for name, shape in (("world_view", (4, 4)), ("full_projection", (4, 4)), ("position", (3,))):
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32:
                raise ValueError(f"{name} must be {list(shape)} float32, not {list(value.shape)} {value.dtype}")
            if not np.isfinite(value).all():
                raise ValueError(f"{name} holds values that are not finite")
        if min(self.size) < 1:
            raise ValueError(f"size must be positive, not {self.size}")
        if not min(self.tan_half_fov) > 0:
            raise ValueError(f"tan_half_fov must be positive, not {self.tan_half_fov}")

    @property
    def focal_px(self) -> tuple[np.float32, np.float32]:
        """Focal lengths in pixels (x, y), float32 arithmetic as in the published rasteriser."""
        width, height = self.size
        tan_x, tan_y = (np.float32(tan) for tan in self.tan_half_fov)
        return np.float32(width / (np.float32(2) * tan_x)), np.float32(height / (np.float32(2) * tan_y))


def fov_from_focal(focal_px: float, pixels: int) -> float:
    """Full field of view in radians."""
    return 2 * math.atan(pixels / (2 * focal_px))


def projection_matrix(fov_x: float, fov_y: float) -> FloatArray:
    """Row-vector projection of a centred pinhole camera, [4, 4] float32; clip w is the view-space depth.

    Args:
        fov_x, fov_y: full fields of view in radians.
    Source: TalkingGaussian, published `getProjectionMatrix`; depth goes to [0, 1] for z in [Z_NEAR, Z_FAR].
    """
    right = math.tan(fov_x / 2) * Z_NEAR
    top = math.tan(fov_y / 2) * Z_NEAR
    column = np.zeros((4, 4), np.float32)
    column[0, 0] = 2.0 * Z_NEAR / (right + right)
    column[1, 1] = 2.0 * Z_NEAR / (top + top)
    column[2, 2] = Z_FAR / (Z_FAR - Z_NEAR)
    column[2, 3] = -(Z_FAR * Z_NEAR) / (Z_FAR - Z_NEAR)
    column[3, 2] = 1.0
    return np.ascontiguousarray(column.T)


def world_to_camera(pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation and translation of a camera pose that looks along -z with y up.

    Args:
        pose: [4, 4] float64 camera-to-world matrix (column vectors), OpenGL axes: x right, y up, z backwards.
    Returns:
        R [3, 3] and t [3], float64, so that `p_camera = p_world @ R + t` with axes x right, y down, z forward.
    """
    camera_to_world: NDArray[np.float64] = np.array(pose, np.float64)
    camera_to_world[:3, 1:3] *= -1
    inverse: NDArray[np.float64] = np.linalg.inv(camera_to_world).astype(np.float64)
    return inverse[:3, :3].T, inverse[:3, 3]


def camera_from_pose(pose: NDArray[np.float64], focal_px: float, size: tuple[int, int]) -> Camera:
    """Camera of one frame of a head scene.

    Args:
        pose: [4, 4] float64 camera-to-world matrix (column vectors), OpenGL axes.
        focal_px: focal length in pixels, the same for both axes.
        size: (width, height) in pixels.
    Source: TalkingGaussian, published camera set-up. Kept from it: the pose is inverted twice in float64 before it is
    narrowed; the camera's position is read from the float32 inverse; the principal point is the middle of the picture.
    """
    rotation, translation = world_to_camera(pose)
    fov_x, fov_y = (fov_from_focal(focal_px, pixels) for pixels in size)
    column = np.eye(4)
    column[:3, :3] = rotation.T
    column[:3, 3] = translation
    world_view = np.ascontiguousarray(np.linalg.inv(np.linalg.inv(column)).astype(np.float32).T)
    return Camera(
        world_view=world_view,
        full_projection=world_view @ projection_matrix(fov_x, fov_y),
        position=np.ascontiguousarray(np.linalg.inv(world_view)[3, :3]),
        tan_half_fov=(math.tan(fov_x / 2), math.tan(fov_y / 2)),
        size=size,
    )


def orbit(
    pose: NDArray[np.float64], pivot: NDArray[np.float64], *, yaw: float = 0.0, pitch: float = 0.0, zoom: float = 1.0
) -> NDArray[np.float64]:
    """Move a camera around a point that it keeps in the same place of the picture.

    Args:
        pose: [4, 4] float64 camera-to-world matrix, OpenGL axes.
        pivot: [3] float64 world point, usually the middle of the head.
        yaw: radians; positive shows the head from its left (the camera goes to the right of the picture).
        pitch: radians; positive looks down on it from above.
        zoom: 2 halves the distance to the pivot.
    Returns:
        [4, 4] float64.
    """
    if not zoom > 0:
        raise ValueError(f"zoom must be positive, not {zoom}")
    axes = pose[:3, :3]
    cos_y, sin_y, cos_p, sin_p = math.cos(yaw), math.sin(yaw), math.cos(-pitch), math.sin(-pitch)
    around_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    around_x = np.array([[1, 0, 0], [0, cos_p, -sin_p], [0, sin_p, cos_p]])
    turn = axes @ around_y @ around_x @ np.linalg.inv(axes)
    moved = np.array(pose, np.float64)
    moved[:3, :3] = turn @ axes
    offset = np.linalg.inv(axes) @ (pose[:3, 3] - pivot)  # in camera axes: +z is away from the scene
    offset[2] /= zoom
    moved[:3, 3] = pivot + turn @ axes @ offset
    return moved
