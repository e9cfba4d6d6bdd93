"""The drawn person: smooth shapes with soft shading, in frames that sway, blink and look about.

Shapes are given in distances between the eyes, origin between them, y downwards, as the standard landmarks are. The
head moves by whole pixels, so that the square that the network redraws lies on the face alike in every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray
from talkinghead.face.landmarks.layout import BRIDGE_Y, MOUTH_Y, rounded, standard_face
from talkinghead.families.synctalk2d.crop import CropBox, crop_box
from talkinghead.families.synctalk2d.procedural import mouth
from talkinghead.families.synctalk2d.template import IMAGES, LANDMARKS, landmark_text
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS

FPS = float(AUDIO_VARIANTS["ave"].fps)
FINER = 4
"""Masks are drawn so much larger, then reduced: edges with 16 steps."""
SKIN, SHADE, BLUSH = (0.945, 0.760, 0.655), (0.800, 0.560, 0.455), (0.935, 0.560, 0.490)
HAIR, HAIR_DARK, HAIR_LIGHT = (0.285, 0.175, 0.130), (0.170, 0.100, 0.080), (0.500, 0.330, 0.230)
CLOTH, CLOTH_DARK, CLOTH_LIGHT = (0.170, 0.370, 0.430), (0.105, 0.255, 0.310), (0.260, 0.480, 0.535)
WALL = ((0.930, 0.905, 0.870), (0.800, 0.790, 0.775))
LASH, BROW = (0.125, 0.080, 0.075), (0.260, 0.165, 0.130)
EYE_X = 0.5
BLINK_EVERY_S, FIRST_BLINK_S = 2.7, 0.95
SWAY = (0.085, 0.035)
"""How far the head moves, across and up."""

Colour = tuple[float, float, float]
Points = Sequence[tuple[float, float]]


def smooth_curve(points: Points, *, closed: bool = True, steps: int = 12) -> NDArray[np.float64]:
    """A Catmull-Rom curve through points."""
    p = np.array(points, np.float64)
    ring = np.vstack([p[-1:], p, p[:2]]) if closed else np.vstack([p[:1], p, p[-1:]])
    t = (np.arange(steps) / steps)[:, None]
    parts = []
    for a, b, c, d in zip(ring[:-3], ring[1:-2], ring[2:-1], ring[3:], strict=True):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(parts if closed else [*parts, p[-1:]])


def mirrored(points: Points) -> list[tuple[float, float]]:
    """A right half from top to bottom, and its left half back up."""
    return [*points, *((-x, y) for x, y in reversed(points) if x > 0)]


def moved(outline: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """A shape at another place."""
    result: NDArray[np.float64] = outline + np.array([x, y])
    return result


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture with alpha, not multiplied."""

    rgb: FloatArray
    """[H, W, 3] float32 in [0, 1]."""
    alpha: FloatArray
    """[H, W] float32."""
    unit: float
    """Pixels between the eyes."""
    centre: NDArray[np.float64]
    """[2] pixel between the eyes."""

    @classmethod
    def empty(cls, width: int, height: int, unit: float, centre: NDArray[np.float64]) -> Layer:
        return cls(np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32), unit, centre)

    def mask(self, outline: NDArray[np.float64], soft: float = 0.0) -> FloatArray:
        """How much of each pixel lies in a shape: [H, W]; `soft` blurs the edge, in eye distances."""
        import cv2

        height, width = self.alpha.shape
        pixels = outline * self.unit + self.centre + 0.5
        low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, (width, height)).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, (width, height)).astype(int)
        found = np.zeros((height, width), np.float32)
        if (high > low).all():
            box = np.zeros(((high[1] - low[1]) * FINER, (high[0] - low[0]) * FINER), np.uint8)
            cv2.fillPoly(box, [np.rint((pixels - low) * FINER * 16 - 8).astype(np.int32)], 255, cv2.LINE_8, 4)
            small = cv2.resize(box, (int(high[0] - low[0]), int(high[1] - low[1])), interpolation=cv2.INTER_AREA)
            found[low[1] : high[1], low[0] : high[0]] = small.astype(np.float32) / 255
        if soft:
            found = np.asarray(cv2.GaussianBlur(found, (0, 0), soft * self.unit), np.float32)
        return found

    def paint(self, share: FloatArray, colour: Colour | FloatArray, strength: float = 1.0) -> None:
        """Lay a colour over the picture, and make it opaque there."""
        amount = share * np.float32(strength)
        self.alpha[:] += amount * (1 - self.alpha)
        amount = amount / np.maximum(self.alpha, 1e-6)
        self.rgb[:] += amount[..., None] * (np.asarray(colour, np.float32) - self.rgb)

    def shade(self, share: FloatArray, colour: Colour, strength: float) -> None:
        """Lay a colour over what is there already; what is transparent stays so."""
        amount = share * np.float32(strength)
        self.rgb[:] += amount[..., None] * (np.asarray(colour, np.float32) - self.rgb)

    def part(self, x1: float, y1: float, x2: float, y2: float) -> Layer:
        """A rectangle of it, in eye distances; painting there paints here."""
        low = np.maximum(np.floor(np.array([x1, y1]) * self.unit + self.centre), 0).astype(int)
        high = np.maximum(np.ceil(np.array([x2, y2]) * self.unit + self.centre), low + 1).astype(int)
        place = (slice(low[1], high[1]), slice(low[0], high[0]))
        return Layer(self.rgb[place], self.alpha[place], self.unit, self.centre - low)

    def blob(self, x: float, y: float, radius_x: float, radius_y: float) -> FloatArray:
        """A soft round spot, [H, W]."""
        height, width = self.alpha.shape
        across = (np.arange(width, dtype=np.float32) - self.centre[0]) / self.unit - x
        down = (np.arange(height, dtype=np.float32) - self.centre[1]) / self.unit - y
        spot: FloatArray = np.exp(-((down[:, None] / radius_y) ** 2) - (across / radius_x) ** 2).astype(np.float32)
        return spot


FACE = smooth_curve(
    mirrored(
        [(0.0, -1.42), (0.62, -1.28), (1.0, -0.85), (1.115, -0.3), (1.10, 0.25), (1.025, 0.80), (0.86, 1.28),
         (0.56, 1.69), (0.25, 1.90), (0.0, 1.94)]
    )
)  # fmt: skip
NECK = smooth_curve(
    [(-0.50, 1.1), (0.50, 1.1), (0.50, 1.9), (0.56, 2.35), (0.95, 2.66), (0.0, 3.3), (-0.95, 2.66), (-0.56, 2.35),
     (-0.50, 1.9)]
)  # fmt: skip
BODY = smooth_curve(
    [(-0.70, 2.50), (-0.45, 2.72), (0.0, 2.86), (0.45, 2.72), (0.70, 2.50), (1.30, 2.72), (2.15, 3.02), (2.62, 3.75),
     (2.85, 5.2), (2.9, 7.0), (-2.9, 7.0), (-2.85, 5.2), (-2.62, 3.75), (-2.15, 3.02), (-1.30, 2.72)]
)  # fmt: skip
COLLAR = smooth_curve(
    [(-0.80, 2.45), (-0.45, 2.67), (0.0, 2.80), (0.45, 2.67), (0.80, 2.45), (0.86, 2.58), (0.48, 2.84), (0.0, 2.99),
     (-0.48, 2.84), (-0.86, 2.58)]
)  # fmt: skip
HAIR_BACK = smooth_curve(
    mirrored(
        [(0.0, -1.86), (0.80, -1.66), (1.32, -1.05), (1.50, -0.2), (1.53, 0.6), (1.47, 1.2), (1.30, 1.66), (1.02, 1.78),
         (0.80, 1.60), (0.55, 1.45), (0.0, 1.40)]
    )
)  # fmt: skip
HAIR_RIGHT = smooth_curve(
    [(-0.42, -1.62), (0.25, -1.74), (0.88, -1.45), (1.30, -0.85), (1.44, -0.1), (1.47, 0.6), (1.38, 1.25), (1.12, 1.60),
     (1.06, 1.25), (1.10, 0.7), (1.09, 0.1), (1.00, -0.30), (0.74, -0.62), (0.30, -0.86), (-0.15, -1.05),
     (-0.40, -1.28)]
)  # fmt: skip
HAIR_LEFT = smooth_curve(
    [(-0.36, -1.66), (-0.45, -1.32), (-0.62, -0.95), (-0.90, -0.55), (-1.04, -0.15), (-1.10, 0.3), (-1.10, 0.8),
     (-1.06, 1.25), (-1.14, 1.60), (-1.40, 1.22), (-1.48, 0.6), (-1.45, -0.1), (-1.30, -0.85), (-0.92, -1.42)]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """The drawn person in frames of one size."""

    width: int
    height: int
    num_frames: int
    seed: int = 3
    _gaze: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_gaze", gaze(self.num_frames, np.random.default_rng(self.seed)))

    @property
    def unit(self) -> float:
        """Pixels between the eyes."""
        return min(self.width * 0.16, self.height * 0.19)

    @property
    def _rest(self) -> NDArray[np.float64]:
        return np.array([self.width / 2, self.height * 0.42]).round()

    def _empty(self) -> Layer:
        return Layer.empty(self.width, self.height, self.unit, self._rest)

    def frame(self, index: int) -> tuple[Frame, IntArray]:
        """One frame with its landmarks.

        Returns:
            RGB uint8 [height, width, 3] and [110, 2] int32 landmarks.
        """
        phase = index / max(1, self.num_frames - 1)
        sway = np.array([SWAY[0] * np.sin(2 * np.pi * phase), SWAY[1] * np.cos(4 * np.pi * phase)])
        step = np.rint(sway * self.unit).astype(int)
        breath = 0.018 * self.unit * np.sin(2 * np.pi * round(self.num_frames / FPS / 3.6 + 0.5) * phase)
        picture = self._wall.copy()
        for layer, x, y in ((self._hair_back, *step), (self._body, 0.35 * step[0], breath), (self._head, *step)):
            _lay(picture, layer, float(x), float(y))
        face = Layer(picture, np.ones((self.height, self.width), np.float32), self.unit, self._rest + step)
        for side in (-1.0, 1.0):
            self._eye(
                face.part(side * 0.5 - 0.5, -0.55, side * 0.5 + 0.5, 0.25), side, blink(index / FPS), self._gaze[index]
            )
        points = rounded((standard_face() * self.unit + face.centre).astype(np.float32))
        _resting_mouth(picture, crop_box(points, self.width, self.height))
        return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8), points

    @cached_property
    def _wall(self) -> FloatArray:
        layer = self._empty()
        layer.rgb[:] = WALL[1]
        layer.paint(layer.blob(-0.9, -0.6, 3.4, 3.0), WALL[0])
        return layer.rgb

    @cached_property
    def _hair_back(self) -> Layer:
        layer = self._empty()
        layer.paint(layer.mask(HAIR_BACK), HAIR_DARK)
        return layer

    @cached_property
    def _body(self) -> Layer:
        layer = self._empty()
        layer.paint(layer.mask(NECK), SKIN)
        layer.shade(layer.mask(moved(FACE, 0.0, 0.30), 0.16), SHADE, 0.80)  # the head's shadow
        for side in (-1.0, 1.0):
            layer.shade(layer.blob(side * 0.58, 1.9, 0.16, 0.9), SHADE, 0.5)
            bone = smooth_curve([(side * 0.16, 2.60), (side * 0.42, 2.55), (side * 0.75, 2.42)], closed=False)
            layer.shade(_stroke(layer, bone, 0.03, soft=0.03), SHADE, 0.35)
        cloth = layer.mask(BODY)
        layer.paint(cloth, CLOTH)
        layer.shade(layer.blob(-1.1, 2.9, 0.9, 0.5) * cloth, CLOTH_LIGHT, 0.7)
        layer.shade(layer.blob(1.9, 3.9, 1.3, 1.3) * cloth, CLOTH_DARK, 0.65)
        layer.shade(layer.blob(-2.7, 4.6, 0.7, 1.6) * cloth, CLOTH_DARK, 0.7)
        layer.shade(layer.mask(moved(COLLAR, 0.0, 0.07), 0.05) * cloth, CLOTH_DARK, 0.75)
        layer.paint(layer.mask(COLLAR), CLOTH_LIGHT)
        return layer

    @cached_property
    def _head(self) -> Layer:
        layer = self._empty()
        face = layer.mask(FACE)
        layer.paint(face, SKIN)
        inner = layer.mask(FACE * [0.90, 0.95], 0.14)
        layer.shade(1 - inner, SHADE, 0.55)
        layer.shade(layer.blob(1.15, 0.6, 0.45, 1.3), SHADE, 0.35)
        layer.shade(layer.blob(-0.15, -0.75, 0.6, 0.35), (1.0, 0.87, 0.78), 0.5)
        for side in (-1.0, 1.0):
            layer.shade(layer.blob(side * 0.66, 0.56, 0.26, 0.20), BLUSH, 0.34)
            layer.shade(layer.blob(side * 0.56, 0.33, 0.24, 0.08), (1.0, 0.86, 0.77), 0.35)
            layer.shade(layer.blob(side * 0.40, -0.13, 0.33, 0.16), SHADE, 0.30)
            layer.shade(layer.blob(side * 0.17, 0.05, 0.07, 0.22), SHADE, 0.32)
        self._nose(layer)
        layer.shade(layer.blob(0.0, 1.66, 0.26, 0.13), (1.0, 0.85, 0.76), 0.35)
        for fringe in (HAIR_LEFT, HAIR_RIGHT):
            layer.shade(layer.mask(moved(fringe, 0.03, 0.10), 0.06), SHADE, 0.75)
        self._locks(layer)
        return layer

    def _nose(self, layer: Layer) -> None:
        layer.shade(layer.blob(0.11, 0.45, 0.06, 0.25), SHADE, 0.35)
        layer.shade(layer.blob(-0.02, 0.30, 0.05, 0.30), (1.0, 0.88, 0.80), 0.50)
        layer.shade(layer.blob(-0.02, 0.60, 0.08, 0.07), (1.0, 0.88, 0.80), 0.60)
        layer.shade(layer.blob(0.0, 0.745, 0.16, 0.045), SHADE, 0.75)
        for side in (-1.0, 1.0):
            wing = smooth_curve([(side * 0.19, 0.56), (side * 0.225, 0.64), (side * 0.19, 0.70)], closed=False)
            layer.shade(_stroke(layer, wing, 0.022, soft=0.018), SHADE, 0.9)
            hole = smooth_curve(
                [(side * 0.055, 0.715), (side * 0.10, 0.695), (side * 0.145, 0.712), (side * 0.10, 0.728)]
            )
            layer.shade(layer.mask(hole, 0.012), (0.42, 0.22, 0.18), 0.85)

    def _locks(self, layer: Layer) -> None:
        """Front hair with strands that follow its outline."""
        rng = np.random.default_rng(self.seed)
        sides = (
            (HAIR_LEFT, (-0.38, -1.64), ((-1.10, -1.00), (-1.30, 0.1), (-1.24, 1.35))),
            (HAIR_RIGHT, (-0.34, -1.50), ((0.72, -1.12), (1.27, 0.0), (1.22, 1.35))),
        )
        for outline, root, (bend, middle, end) in sides:
            mask = layer.mask(outline)
            layer.paint(mask, HAIR)
            layer.shade((1 - layer.mask(outline * [0.97, 0.97], 0.08)) * mask, HAIR_DARK, 0.75)
            for k in range(26):
                spread = rng.normal(0, 1, 2)
                shift = np.array([0.16, 0.17]) * rng.uniform(-1, 1)
                line = smooth_curve(
                    [root, tuple(np.add(bend, shift * 1.2)), tuple(np.add(middle, shift * [0.6, 0.1])),
                     tuple(np.add(end, [0.5 * shift[0], 0.05 * spread[1]]))], closed=False,
                )  # fmt: skip
                colour, strength = (HAIR_LIGHT, 0.22) if k % 2 else (HAIR_DARK, 0.35)
                layer.shade(_stroke(layer, line, 0.022, soft=0.008, tapered=True) * mask, colour, strength)
            shine = layer.blob(-0.85 if root[0] < -0.35 else 0.55, -1.22, 0.42, 0.13)
            layer.shade(shine * mask, HAIR_LIGHT, 0.55)

    def _eye(self, layer: Layer, side: float, closed: float, look: NDArray[np.float64]) -> None:
        shape = _EyeShape(side, closed)
        white = layer.mask(shape.opening())
        layer.paint(layer.mask(shape.lid(), 0.012), tuple(0.93 * np.array(SKIN)), 0.85)
        layer.paint(white, (0.965, 0.955, 0.945))
        x, y = side * EYE_X + look[0], 0.005 + look[1]
        for radius, colour in ((0.128, (0.13, 0.20, 0.16)), (0.112, (0.30, 0.44, 0.33)), (0.056, (0.04, 0.04, 0.04))):
            turn = np.linspace(0, 2 * np.pi, 40)
            ring = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
            layer.paint(layer.mask(ring, 0.006) * white, colour)
            if radius == 0.112:
                layer.paint(layer.blob(x, y + 0.075, 0.085, 0.05) * layer.mask(ring) * white, (0.56, 0.68, 0.48), 0.8)
        layer.paint(layer.mask(moved(shape.opening(), 0.0, -0.10), 0.03) * white, (0.36, 0.27, 0.26), 0.42)
        turn = np.linspace(0, 2 * np.pi, 20)
        for dx, dy, radius in ((-0.042, -0.046, 0.028), (0.038, 0.040, 0.012)):
            spot = np.stack([x + dx + radius * np.cos(turn), y + dy + radius * np.sin(turn)], axis=1)
            layer.paint(layer.mask(spot) * white, (1.0, 1.0, 1.0), 0.95)
        self._lashes(layer, shape)
        brow = smooth_curve(
            [(side * 0.235, -0.355), (side * 0.42, -0.425), (side * 0.62, -0.435), (side * 0.83, -0.325),
             (side * 0.62, -0.385), (side * 0.42, -0.355), (side * 0.245, -0.285)]
        )  # fmt: skip
        layer.paint(layer.mask(brow, 0.010), BROW, 0.90)

    def _lashes(self, layer: Layer, shape: _EyeShape) -> None:
        edge = shape.upper_edge()
        layer.paint(_stroke(layer, edge, 0.036, tapered=True, soft=0.004), LASH, 0.96)
        side = shape.side
        tip = edge[-1]
        for share, length, rise in ((1.0, 0.10, -0.055), (0.9, 0.085, -0.065), (0.78, 0.07, -0.066)):
            root = edge[round(share * (len(edge) - 1))]
            drop = 0.10 * shape.closed
            bend, end = (0.5 * side * length, 0.45 * rise + 0.5 * drop), (side * length, rise + drop)
            hair = root + np.array([(0.0, 0.0), bend, end])
            layer.paint(_stroke(layer, smooth_curve(hair.tolist(), closed=False), 0.016, tapered=True), LASH, 0.9)
        layer.paint(_stroke(layer, shape.lower_edge(), 0.012, tapered=True, soft=0.006), (0.45, 0.26, 0.22), 0.55)
        crease = smooth_curve(
            [(side * 0.30, -0.085), (side * 0.50, -0.172), (side * 0.70, -0.115), (float(tip[0]), -0.055)], closed=False
        )
        layer.paint(_stroke(layer, crease, 0.014, tapered=True, soft=0.008), SHADE, 0.8 - 0.3 * shape.closed)


@dataclass(frozen=True)
class _EyeShape:
    """One eye: its lids' edges from the inner to the outer corner."""

    side: float
    closed: float

    def _edge(self, heights: Sequence[float]) -> NDArray[np.float64]:
        across = (0.27, 0.36, 0.48, 0.62, 0.745)
        return smooth_curve([(self.side * x, y) for x, y in zip(across, heights, strict=True)], closed=False)

    def lower_edge(self) -> NDArray[np.float64]:
        return self._edge((0.055, 0.085, 0.112, 0.088, 0.008))

    def upper_edge(self) -> NDArray[np.float64]:
        opened = self._edge((0.050, -0.065, -0.122, -0.098, 0.0))
        return opened + self.closed * (self.lower_edge() - opened)

    def opening(self) -> NDArray[np.float64]:
        return np.concatenate([self.upper_edge(), self.lower_edge()[::-1]])

    def lid(self) -> NDArray[np.float64]:
        """The skin that the upper lid covers the eye with."""
        return np.concatenate([_EyeShape(self.side, 0.0).upper_edge() - [0.0, 0.03], self.upper_edge()[::-1]])


def blink(time_s: float) -> float:
    """How far the lids are closed, 0 to 1."""
    since = (time_s - FIRST_BLINK_S) % BLINK_EVERY_S
    t = min(since, BLINK_EVERY_S - since) / 0.16  # from the middle of the blink
    eased = float(np.clip(1.25 - t, 0, 1))
    return eased * eased * (3 - 2 * eased)


def gaze(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """[count, 2] in eye distances: the eyes rest, and jump to another place every second or so."""
    targets = np.zeros((count, 2))
    at, place = 0, np.zeros(2)
    while at < count:
        following = at + int(rng.integers(14, 34))
        targets[at:following] = place
        at, place = following, rng.normal(0, 1, 2) * [0.020, 0.008]
    previous = np.vstack([targets[:1], targets[:-1]])
    return 0.5 * (targets + previous)


def _stroke(
    layer: Layer, line: NDArray[np.float64], thick: float, *, soft: float = 0.0, tapered: bool = False
) -> FloatArray:
    """A brush stroke along a line, [H, W]."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    share = np.linspace(0, 1, len(line))
    half = 0.5 * thick * (np.sin(np.pi * np.clip(share * 0.86 + 0.07, 0, 1)) ** 0.6 if tapered else np.ones(len(line)))
    return layer.mask(np.concatenate([line + half[:, None] * normal, (line - half[:, None] * normal)[::-1]]), soft)


def _lay(picture: FloatArray, layer: Layer, x: float, y: float) -> None:
    """Put a moved layer over a picture; only its part that is not empty, and what is around, is touched."""
    import cv2

    move = np.array([[1, 0, x], [0, 1, y]], np.float32)
    around = int(max(abs(x), abs(y))) + 2
    rows, columns = (np.flatnonzero(layer.alpha.any(axis=axis)) for axis in (1, 0))
    place = tuple(slice(max(0, int(found[0]) - around), int(found[-1]) + around + 1) for found in (rows, columns))
    size = (layer.alpha[place].shape[1], layer.alpha[place].shape[0])
    rgb, alpha = (
        cv2.warpAffine(part[place], move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in (layer.rgb, layer.alpha)
    )
    picture[place] += alpha[..., None] * (rgb - picture[place])


def _resting_mouth(picture: FloatArray, box: CropBox) -> None:
    """Add the resting mouth as the network computes it: fields on a grid of 160x160 points, straight in between."""
    import cv2

    side, nodes = box.x2 - box.x1, 160
    width = 2 * abs(float(standard_face()[1, 0]))
    at = (np.arange(nodes) * (319 / (nodes - 1)) + 4.5) / 328 * width  # of the network's pixels in the square
    x, y = np.meshgrid(at - width / 2, at + BRIDGE_Y)
    top, bottom = (round((MOUTH_Y + edge - BRIDGE_Y) / width * side) for edge in (-0.25, 0.40))
    rows, columns = np.mgrid[top:bottom, 0:side].astype(np.float32)
    across, down = (((place + 0.5) / side * 328 - 4.5) * (nodes - 1) / 319 for place in (columns, rows))
    part = picture[box.y1 + top : box.y1 + bottom, box.x1 : box.x2]
    for name, values in mouth.fields(x, y, mouth.resting()).items():
        drawn = cv2.remap(values.astype(np.float32), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        share = np.clip(drawn, 0, 1)[: part.shape[0], : part.shape[1]]
        part += share[..., None] * mouth.COLOURS[name].astype(np.float32)


def write_template(
    folder: str | Path, *, num_frames: int = 100, width: int = 960, height: int = 540, quality: int = 97
) -> Path:
    """Write a template folder of the drawn person.

    Args:
        num_frames: one sway of the head there and back when played as templates are.
        quality: JPEG quality.
    """
    import cv2

    folder = Path(folder)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    (folder / LANDMARKS).mkdir(exist_ok=True)
    person = Person(width, height, num_frames)
    settings = [
        cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    ]  # fmt: skip
    for k in range(num_frames):
        frame, points = person.frame(k)
        ok, data = cv2.imencode(".jpg", frame[:, :, ::-1], settings)
        assert ok
        (folder / IMAGES / f"{k}.jpg").write_bytes(data.tobytes())
        (folder / LANDMARKS / f"{k}.lms").write_text(landmark_text(points), encoding="ascii")
    return folder
