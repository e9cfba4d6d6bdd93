"""Faces drawn for tests: every place in them is known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FaceStatus, FaceTrack, Frame


@dataclass(frozen=True)
class Drawing:
    """How a face is drawn; lengths in eye distances."""

    eye_distance: float = 60.0
    skin: tuple[int, int, int] = (222, 180, 155)
    lips: tuple[int, int, int] = (190, 95, 95)
    background: tuple[int, int, int] = (120, 135, 150)
    roll_degrees: float = 0.0
    gap: float = 0.0
    """Opening between the lips, eye distances."""
    grin: float = 0.03
    """How far the middle of the lips hangs below the corners."""
    half_width: float = 0.38
    teeth: bool = False
    noise: float = 1.5
    size: tuple[int, int] | None = None
    """(width, height); None fits the face."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Of the face from the middle of the picture, pixels."""


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """The picture and what is in it, pixels."""

    frame: Frame
    box_xyxy: NDArray[np.int32]
    key_points: NDArray[np.float32]
    """[5, 2]"""
    mouth: NDArray[np.float64]
    """[2] middle between the corners."""
    eye_distance: float
    drawing: Drawing

    def track(self, *, key_points: bool = False, n: int = 1) -> FaceTrack:
        return FaceTrack(
            boxes_xyxy=np.repeat(self.box_xyxy[None], n, axis=0),
            status=np.full(n, FaceStatus.DETECTED, np.uint8),
            scores=np.ones(n, np.float32),
            key_points=np.repeat(self.key_points[None], n, axis=0) if key_points else None,
            detector="drawn",
        )


MOUTH_BELOW = 1.05
"""Of the line of the eyes, eye distances."""


def draw_face(drawing: Drawing | None = None) -> DrawnFace:
    """Draw a face from shapes, four times too large, and scale it down."""
    drawing = drawing or Drawing()
    d = drawing.eye_distance
    width, height = drawing.size or (round(4.6 * d), round(5.2 * d))
    over = 4 if d < 120 else 2
    centre = np.array([width / 2, height / 2]) + np.array(drawing.shift)
    angle = np.deg2rad(drawing.roll_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    picture = np.empty((height * over, width * over, 3), np.float32)
    picture[:] = drawing.background

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points in eye distances from the middle of the eyes, in pixels."""
        eyes_middle = np.array([0.0, -0.45])
        result: NDArray[np.float64] = centre + (points + eyes_middle) @ turn.T * d
        return result

    def fill(points: NDArray[np.float64], colour: tuple[float, float, float]) -> None:
        corners = np.round((place(points) + 0.5) * over * 16 - 8).astype(np.int32)
        cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA, 4)

    def ellipse(x: float, y: float, rx: float, ry: float) -> NDArray[np.float64]:
        t = np.linspace(0, 2 * np.pi, 80)
        return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], axis=1)

    skin = np.array(drawing.skin, np.float64)

    def tone(factor: float) -> tuple[float, float, float]:
        r, g, b = np.clip(skin * factor, 0, 255)
        return float(r), float(g), float(b)

    fill(np.array([[-0.55, 1.2], [0.55, 1.2], [0.6, 3.2], [-0.6, 3.2]]), tone(0.78))
    fill(ellipse(0, 0.42, 1.02, 1.40), tone(1.0))
    for side in (-1, 1):
        fill(ellipse(side * 0.72, 0.65, 0.22, 0.18), tone(0.97))
        brow = np.linspace(-0.28, 0.28, 30)
        arch = -0.27 - 0.05 * (1 - (brow / 0.28) ** 2)
        fill(
            np.stack([np.r_[side * 0.5 + brow, (side * 0.5 + brow)[::-1]], np.r_[arch, arch[::-1] + 0.05]], axis=1),
            tone(0.3),
        )
        u = np.linspace(-1, 1, 40)
        upper, lower = -0.10 * (1 - np.abs(u) ** 2.4), 0.05 * (1 - u**2)
        x = side * 0.5 + 0.215 * u
        fill(np.stack([np.r_[x, x[::-1]], np.r_[upper - 0.025, lower[::-1]]], axis=1), tone(0.25))
        fill(np.stack([np.r_[x, x[::-1]], np.r_[upper, lower[::-1]]], axis=1), (235.0, 232.0, 228.0))
        fill(ellipse(side * 0.5, -0.02, 0.08, 0.075), (60.0, 40.0, 30.0))
        fill(ellipse(side * 0.13, 0.63, 0.07, 0.03), tone(0.45))
    fill(ellipse(0, 0.60, 0.10, 0.05), tone(0.9))

    u = np.linspace(-1, 1, 80)
    half = drawing.half_width
    seam = drawing.grin * (1 - u**2)
    top, bottom = seam - drawing.gap / 2 * (1 - u**2), seam + drawing.gap / 2 * (1 - u**2)
    x = half * u

    def band(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.r_[x, x[::-1]], MOUTH_BELOW + np.r_[above, below[::-1]]], axis=1)

    lips = drawing.lips
    fill(band(top - 0.11 * (1 - np.abs(u) ** 1.6), top), tuple(0.88 * c for c in lips))  # type: ignore[arg-type]
    fill(band(bottom, bottom + 0.16 * (1 - np.abs(u) ** 2.4)), tuple(float(c) for c in lips))  # type: ignore[arg-type]
    fill(ellipse(0, MOUTH_BELOW + drawing.gap / 2 + drawing.grin + 0.24, 0.22, 0.04), tone(0.85))
    if drawing.gap > 0:
        inner = (226.0, 220.0, 208.0) if drawing.teeth else (45.0, 18.0, 18.0)
        fill(band(top, bottom), inner)
    line = 0.012
    fill(band(top - line, top + line), tone(0.28))
    if drawing.gap > 0:
        fill(band(bottom - line, bottom + line), tone(0.28))

    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigmaX=max(0.5, 0.012 * d))
    rng = np.random.default_rng(3)
    small = small + rng.normal(size=small.shape) * drawing.noise
    frame = np.clip(np.rint(small), 0, 255).astype(np.uint8)

    points = place(np.array([[-0.5, 0], [0.5, 0], [0, 0.55], [-half, MOUTH_BELOW], [half, MOUTH_BELOW]], np.float64))
    # Hairline to chin of an upright face, clipped to the picture as a detector's box is.
    middle = place(np.array([[0.0, 0.42]]))[0]
    box = np.array([middle[0] - 1.16 * d, middle[1] - 1.40 * d, middle[0] + 1.16 * d, middle[1] + 1.38 * d])
    box = np.clip(np.rint(box), 0, [width, height, width, height]).astype(np.int32)
    return DrawnFace(
        frame=frame,
        box_xyxy=box,
        key_points=points.astype(np.float32),
        mouth=points[3:].mean(axis=0),
        eye_distance=d,
        drawing=drawing,
    )
