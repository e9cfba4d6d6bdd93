"""Two networks that see drawn faces: a face is a disc with a red dot for its left and a blue one for its right eye."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.face.mesh import blaze
from talkinghead.face.mesh.files import MeshFiles
from talkinghead.face.mesh.networks import FaceMesh
from talkinghead.face.mesh.points import EYE_CORNERS, NUM_POINTS

EYES = np.array([[-0.5, -0.4], [0.5, -0.4]])
"""Where the eyes are in a face of radius 1."""


def shape() -> NDArray[np.float64]:
    """[468, 3] points of a face of radius 1: on a grid that fills it, the corners of the eyes where they are drawn."""
    angle = np.arange(NUM_POINTS) * 2.399963
    radius = np.sqrt((np.arange(NUM_POINTS) + 0.5) / NUM_POINTS)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.1 * radius], axis=1)
    for k, (x, y) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
        points[200 + k, :2] = x, y
    points[list(EYE_CORNERS), :2] = EYES
    return points


def placed(centre: tuple[float, float], radius: float, angle: float) -> NDArray[np.float64]:
    """[468, 2] where the points of a drawn face are, pixels."""
    c, s = radius * np.cos(angle), radius * np.sin(angle)
    return shape()[:, :2] @ np.array([[c, -s], [s, c]]).T + np.array(centre)


def draw(frame: Frame, centre: tuple[float, float], radius: float, angle: float = 0.0) -> None:
    """Draw a face; pixels have their middles at whole numbers plus a half."""

    def disc(point: NDArray[np.float64], size: float, colour: tuple[int, int, int]) -> None:
        fixed = tuple(round((value - 0.5) * 16) for value in point)
        cv2.circle(frame, fixed, round(size * 16), colour, -1, cv2.LINE_AA, 4)

    disc(np.array(centre), radius, (90, 200, 90))
    left, right = placed(centre, radius, angle)[list(EYE_CORNERS)]
    disc(left, 0.14 * radius, (250, 0, 0))
    disc(right, 0.14 * radius, (0, 0, 250))


def _dot(picture: FloatArray, channel: int) -> NDArray[np.float64] | None:
    """Middle of what is red (0) or blue (2), pixels; None where there is too little."""
    others = [other for other in range(3) if other != channel]
    strength = np.clip(picture[channel] - picture[others].max(axis=0), 0, None).astype(np.float64)
    strength[strength < 0.3 * strength.max()] = 0
    total = strength.sum()
    if total < 2.0:
        return None
    rows, columns = np.mgrid[: strength.shape[0], : strength.shape[1]] + 0.5
    return np.array([(columns * strength).sum(), (rows * strength).sum()]) / total


class FakeDetector:
    def run(self, picture: NDArray[np.float32]) -> list[FloatArray]:
        scores = np.full((1, blaze.NUM_ANCHORS, 1), -20.0, np.float32)
        values = np.zeros((1, blaze.NUM_ANCHORS, 16), np.float32)
        eyes = [_dot((picture[0] + 1) / 2, channel) for channel in (0, 2)]
        if eyes[0] is not None and eyes[1] is not None:
            across = eyes[1] - eyes[0]
            radius = float(np.hypot(*across))  # the eyes are a radius apart
            down = np.array([-across[1], across[0]]) / radius
            middle = (eyes[0] + eyes[1]) / 2 + 0.4 * radius * down
            row = int(np.hypot(*(blaze.anchors() * blaze.INPUT_PX - middle).T).argmin())
            origin = blaze.anchors()[row] * blaze.INPUT_PX
            scores[0, row] = 4.0
            values[0, row, :2] = middle - origin
            values[0, row, 2:4] = 2 * radius
            values[0, row, 4:] = np.tile(middle - origin, 6)
            values[0, row, 4:8] = np.concatenate([eyes[0] - origin, eyes[1] - origin])
        return [scores, values]


class FakeMesh:
    def run(self, picture: NDArray[np.float32]) -> list[FloatArray]:
        eyes = [_dot(picture[0], channel) for channel in (0, 2)]
        if eyes[0] is None or eyes[1] is None:
            return [np.full((1, 1, 1, 1), -9.0, np.float32), np.zeros((1, 3 * NUM_POINTS, 1, 1), np.float32)]
        across = eyes[1] - eyes[0]
        turn = np.array([[across[0], -across[1]], [across[1], across[0]]])
        flat = (shape()[:, :2] - EYES.mean(axis=0)) @ turn.T + (eyes[0] + eyes[1]) / 2
        points = np.concatenate([flat, shape()[:, 2:] * np.hypot(*across)], axis=1)
        return [np.full((1, 1, 1, 1), 9.0, np.float32), points.astype(np.float32).reshape(1, -1, 1, 1)]


def fake_mesh() -> FaceMesh:
    """A `FaceMesh` of these two."""
    mesh = FaceMesh.__new__(FaceMesh)
    mesh.files = MeshFiles(b"detector", b"mesh", Path("drawn.task"))
    mesh.input_px = 256
    mesh.sideways_px = 0.0
    mesh._detector = FakeDetector()  # type: ignore[assignment]
    mesh._mesh = FakeMesh()  # type: ignore[assignment]
    return mesh
