"""What is seen between the lips: teeth, tongue, shadow.

The person's own teeth are used where the source shows them. Otherwise teeth are drawn after average anatomy, scaled by
the face, and coloured, shaded and softened after the picture. Upper teeth stay with the skull, lower teeth and tongue
go with the jaw, and the lips uncover what lies behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import COLUMNS, NUM_COLUMNS, FaceGeometry
from talkinghead.families.viseme.warp import JAW_DROP, NEUTRAL_HALF_WIDTH, MouthPose, MouthShape

UPPER_TEETH = np.array([0.0, 0.335, 0.575, 0.765, 0.90, 1.02], np.float32)
"""Where upper teeth meet, from the middle outwards as seen from the front, in neutral half widths of the mouth."""
UPPER_LENGTH = np.array([0.0, -0.030, -0.008, -0.045, -0.075], np.float32)
"""Of incisors, canine and premolars, relative to the middle incisor."""
LOWER_TEETH = np.array([0.0, 0.21, 0.43, 0.65, 0.83, 0.98], np.float32)
LOWER_LENGTH = np.array([0.0, 0.0, 0.012, -0.03, -0.06], np.float32)
SHOW_AT_REST = 0.10
"""How far the upper incisors reach below the line where closed lips meet, in neutral half widths."""
OVERBITE = 0.06
"""How far lower incisors hide behind upper ones with the jaw closed."""


@dataclass(frozen=True, eq=False)
class Palette:
    """Colours of the inside of a mouth in the light of the picture; [3] float32, RGB 0..255."""

    teeth: FloatArray
    lips: FloatArray
    cavity: FloatArray
    tongue: FloatArray
    softness: float
    """Width in pixels over which an edge in the picture spreads."""
    grain: float
    """Standard deviation of the picture's noise, 0..255."""


def read_palette(frame: Frame, face: FaceGeometry) -> Palette:
    """Take the colours from lips, skin and the brightest parts of the face."""
    import cv2

    mouth, d = face.mouth, face.eye_distance
    a = mouth.half_width
    u = np.linspace(-0.6, 0.6, 25)
    inner = np.interp(u, COLUMNS, mouth.lower_inner)
    outer = np.interp(u, COLUMNS, mouth.lower_outer)
    rows = inner + (outer - inner) * np.linspace(0.3, 0.75, 7)[:, None]
    lips = np.median(_pick(frame, face, np.broadcast_to(u * a, rows.shape), rows), axis=0)

    cheeks = [_pick(frame, face, *_disc(side * 0.72 * d, -0.38 * d, 0.15 * d)) for side in (-1, 1)]
    skin_samples = np.concatenate([*cheeks, _pick(frame, face, *_disc(0.0, 0.50 * d, 0.10 * d))])
    luma = np.array([0.299, 0.587, 0.114])
    lightness = skin_samples @ luma
    skin = np.median(skin_samples[lightness >= np.percentile(lightness, 40)], axis=0)
    skin_luma = float(skin @ luma)
    eyes = np.concatenate([_pick(frame, face, *_disc(side * 0.5 * d, -1.04 * d, 0.2 * d)) for side in (-1, 1)])
    bright = float(np.percentile(np.concatenate([eyes, skin_samples]) @ luma, 97))
    teeth_luma = float(np.clip(0.50 * skin_luma + 0.48 * bright, 40, 235))
    tint = (skin / max(skin_luma, 1.0)) ** 0.28
    teeth = teeth_luma * tint / float(tint @ luma)
    light = teeth_luma / 190
    cavity = 0.17 * lips + np.array([20.0, 7.0, 6.0]) * light
    tongue = 0.55 * lips + np.array([78.0, 38.0, 38.0]) * light

    x, y = _disc(0.0, 0.0, 0.8 * d)
    region = _pick_grid(frame, face, 0.7 * d)
    softness, grain = _sharpness(cv2.cvtColor(region, cv2.COLOR_RGB2GRAY))
    del x, y
    as32 = [np.clip(c, 0, 255).astype(np.float32) for c in (teeth, lips, cavity, tongue)]
    return Palette(*as32, softness=softness, grain=grain)


def _disc(x: float, y: float, radius: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample points of a disc, the mouth's own coordinates."""
    grid = np.linspace(-1, 1, 11)
    gx, gy = np.meshgrid(grid, grid)
    inside = gx**2 + gy**2 <= 1
    return x + gx[inside] * radius, y + gy[inside] * radius


def _pick(frame: Frame, face: FaceGeometry, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours [n, 3] at points in the mouth's own coordinates; outside the frame, of its border."""
    points = face.mouth.centre + x.reshape(-1, 1) * face.mouth.axis + y.reshape(-1, 1) * face.mouth.down
    columns = np.clip(np.rint(points[:, 0]), 0, frame.shape[1] - 1).astype(int)
    rows = np.clip(np.rint(points[:, 1]), 0, frame.shape[0] - 1).astype(int)
    return frame[rows, columns].astype(np.float64)


def _pick_grid(frame: Frame, face: FaceGeometry, radius: float) -> Frame:
    """The square of pixels around the mouth, clipped to the frame."""
    x, y = face.mouth.centre
    height, width = frame.shape[:2]
    x1, x2 = (int(np.clip(v, 0, width)) for v in (x - radius, x + radius))
    y1, y2 = (int(np.clip(v, 0, height)) for v in (y - radius, y + radius))
    if x2 - x1 < 8 or y2 - y1 < 8:
        return np.zeros((8, 8, 3), np.uint8)
    return np.ascontiguousarray(frame[y1:y2, x1:x2])


def _sharpness(grey: NDArray[np.uint8]) -> tuple[float, float]:
    """Edge width in pixels and noise of a region.

    The steepest edges tell the blur: an edge of height h blurred by sigma has slope h / (sigma * sqrt(2 pi)).
    """
    import cv2

    values = grey.astype(np.float32)
    smooth = cv2.GaussianBlur(values, (0, 0), sigmaX=0.8)
    noise = float(np.median(np.abs(values - smooth))) / 0.6745 * 1.3
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) / 8
    window = max(5, 2 * (len(grey) // 16) + 1)
    kernel = np.ones((window, 1), np.uint8)
    height = cv2.dilate(smooth, kernel) - cv2.erode(smooth, kernel)
    strong = height > np.percentile(height, 85)
    slope = float(np.percentile((np.abs(gy) / np.maximum(height, 8))[strong], 97)) if strong.any() else 0.4
    sigma = 1 / (max(slope, 0.02) * 2.5)
    return float(np.clip(1.6 * np.sqrt(max(sigma**2 - 0.64, 0.16)), 1.0, 0.05 * len(grey) + 1)), min(noise, 6.0)


@dataclass(frozen=True, eq=False)
class OwnTeeth:
    """The person's teeth, cut out of a source whose mouth is open."""

    top: FloatArray
    """[41] float32 at `COLUMNS`: where they begin, the mouth's own pixels."""
    bottom: FloatArray
    """[41] float32: where they end."""
    share: float
    """How much of the opening shows teeth."""


def find_own_teeth(frame: Frame, face: FaceGeometry) -> OwnTeeth | None:
    """Teeth between the lips of an open source, or None where there are hardly any."""
    mouth = face.mouth
    if not mouth.is_open:
        return None
    a = mouth.half_width
    rows = 24
    share = (np.arange(rows) + 0.5) / rows
    top, bottom = mouth.upper_inner, mouth.lower_inner
    y = top[None] + (bottom - top)[None] * share[:, None]
    x = np.broadcast_to(COLUMNS * a, y.shape)
    colours = _pick(frame, face, x.astype(np.float64), y.astype(np.float64)).reshape(rows, NUM_COLUMNS, 3)
    luma = colours @ np.array([0.299, 0.587, 0.114])
    redness = colours[..., 0] - (colours[..., 1] + colours[..., 2]) / 2
    palette_lips = np.median(
        _pick(
            frame,
            face,
            COLUMNS[8:33] * a,
            (mouth.lower_inner + 0.4 * (mouth.lower_outer - mouth.lower_inner))[8:33].astype(np.float64),
        ),
        axis=0,
    )
    lip_luma = float(palette_lips @ np.array([0.299, 0.587, 0.114]))
    lip_red = float(palette_lips[0] - (palette_lips[1] + palette_lips[2]) / 2)
    white = (luma > 0.92 * lip_luma) & (redness < max(0.75 * lip_red, lip_red - 30)) | (luma > 1.25 * lip_luma)
    middle = slice(NUM_COLUMNS // 4, NUM_COLUMNS - NUM_COLUMNS // 4)
    fraction = float(white[:, middle].mean())
    if fraction < 0.35:
        return None
    # From the top, as long as mostly teeth are seen.
    end = np.full(NUM_COLUMNS, 1.0)
    for k in range(NUM_COLUMNS):
        column = white[:, k]
        if column.any():
            end[k] = (np.flatnonzero(column)[-1] + 1) / rows
    end = np.convolve(np.pad(end, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    return OwnTeeth(top, (top + (bottom - top) * end).astype(np.float32), fraction)


def _step(distance: FloatArray, width: float) -> FloatArray:
    """1 well inside (positive distance), 0 outside, a ramp of `width` pixels between."""
    return np.clip(distance / np.float32(width) + np.float32(0.5), 0, 1)


def _ease(t: FloatArray) -> FloatArray:
    t = np.clip(t, 0, 1)
    eased: FloatArray = t * t * (3 - 2 * t)
    return eased


def paint(
    face: FaceGeometry,
    shape: MouthShape,
    pose: MouthPose,
    palette: Palette,
    x: FloatArray,
    y: FloatArray,
    upper: FloatArray,
    lower: FloatArray,
    *,
    teeth: bool = True,
    own: OwnTeeth | None = None,
    own_pixels: FloatArray | None = None,
) -> FloatArray:
    """Colour of the inside of the mouth.

    Args:
        x, y: [h, w] float32, points in the mouth's own pixels (of the target).
        upper, lower: [h, w] float32, y of the lips' edges in the same column.
        own, own_pixels: the person's teeth, and the source picture at the same points, [h, w, 3] float32.
    Returns:
        [h, w, 3] float32, 0..255, everywhere as if there were no lips.
    """
    unit = np.float32(NEUTRAL_HALF_WIDTH * face.eye_distance)
    soft = palette.softness
    X = np.abs(x) / unit
    middle = float(shape.seam[NUM_COLUMNS // 2])
    jaw = np.float32(JAW_DROP * pose.jaw) * unit
    gap = np.maximum(lower - upper, 0)
    light = 0.74 + 0.26 * _ease(np.float32(shape.gap) / (0.35 * unit))

    # The cavity: darkest behind the upper teeth, a little light from below and at the lips.
    depth = np.clip((y - upper) / np.maximum(gap, 1), 0, 1)
    glow = 0.75 + 0.55 * depth**2
    colour = palette.cavity * (light * glow)[..., None]

    incisal = middle + SHOW_AT_REST * unit - (0.55 * middle + 0.05 * unit) * np.minimum(X, 1.3) ** 2
    lower_top = middle + (SHOW_AT_REST - OVERBITE) * unit + jaw * 0.96 - 0.35 * middle * np.minimum(X, 1.3) ** 2

    # Tongue: a mound behind the lower teeth; its tip rises to the upper teeth for l and th.
    mound = np.maximum(lower_top - (0.06 + 0.10 * pose.jaw) * unit, incisal + 0.10 * unit)
    tip = incisal - 0.03 * unit
    rise = np.float32(pose.tongue)
    tongue_top = mound * (1 - rise) + tip * rise + (0.30 + 0.1 * rise) * unit * X**2
    round_ = np.exp(-((X / (0.62 - 0.12 * rise)) ** 2))
    below = np.clip((y - tongue_top) / (0.30 * unit), 0, 1)
    body = (0.42 + 0.42 * round_ * (0.55 + 0.45 * (1 - below))) * (1 - 0.10 * np.exp(-((X / 0.05) ** 2)))
    tongue = palette.tongue * (body * light)[..., None]
    tongue_alpha = _step(y - tongue_top, soft + 0.08 * float(unit)) * _step(1.05 - X, 0.5)

    def blend(base: FloatArray, top: FloatArray, alpha: FloatArray) -> FloatArray:
        mixed: FloatArray = base + (top - base) * alpha[..., None]
        return mixed

    colour = blend(colour, tongue, tongue_alpha * (0.72 + 0.2 * rise))
    if teeth:
        low, low_alpha = _row_of_teeth(
            palette, X, (y - lower_top) / unit, float(unit), LOWER_TEETH, LOWER_LENGTH, soft, upwards=True
        )
        shadow = (0.40 + 0.25 * _ease((y - incisal) / (0.5 * unit))) * light
        colour = blend(
            colour, low * shadow[..., None], low_alpha * _step(lower_top + 0.40 * unit - y, 0.2 * float(unit))
        )
        if rise > 0:
            colour = blend(colour, tongue, tongue_alpha * rise * _ease((lower_top + 0.10 * unit - y) / (0.10 * unit)))

        up, up_alpha = _row_of_teeth(
            palette, X, (incisal - y) / unit, float(unit), UPPER_TEETH, UPPER_LENGTH, soft, upwards=False
        )
        up = up * (light * 0.96)
        if own is not None and own_pixels is not None:
            u = np.clip(x / np.float32(shape.half_width), -1, 1)
            top, bottom = (np.interp(u, COLUMNS, curve).astype(np.float32) for curve in (own.top, own.bottom))
            edge = 0.06 * unit
            real = _step(bottom - edge - y, soft + 0.5) * _step(y - top, soft)
            # Above what the source shows, the drawn teeth go on; below it there is nothing.
            up_alpha = up_alpha * _step(top - y, soft)
            colour = blend(colour, up, up_alpha)
            colour = blend(colour, own_pixels * (0.80 + 0.20 * light), real)
        else:
            colour = blend(colour, up, up_alpha)

    # Shadow of the upper lip, and of the corners.
    shade = 0.55 + 0.45 * _ease((y - upper) / (0.13 * unit) + 0.1)
    if own is not None:
        shade = 0.5 + 0.5 * shade
    corners = 1 - 0.55 * _ease((X - 0.45) / 0.65)
    painted: FloatArray = colour * (shade * corners)[..., None]
    return painted


def _row_of_teeth(
    palette: Palette,
    X: FloatArray,
    inside: FloatArray,
    unit: float,
    borders: FloatArray,
    lengths: FloatArray,
    soft: float,
    *,
    upwards: bool,
) -> tuple[FloatArray, FloatArray]:
    """Colour and coverage of a row of teeth.

    Args:
        X: distance from the middle in half widths. inside: distance from the biting edge into the tooth, same unit.
        upwards: lower teeth.
    """
    index = np.clip(np.searchsorted(borders, X, side="right") - 1, 0, len(lengths) - 1)
    left, right = borders[index], borders[index + 1]
    across = (X - left) / (right - left) * 2 - 1  # -1..1 over the tooth
    rounding = 0.022 * across**4 + 0.006 * across**2
    surface = inside + lengths[index] - rounding
    alpha = _step(surface * np.float32(unit), soft)
    alpha = alpha * _step((borders[-1] + 0.05 - X) * np.float32(unit), 0.15 * unit)

    # Thin shadows between teeth, drawn no finer than the picture resolves.
    fine = max(0.014, 0.45 * soft / unit)
    nearest = np.minimum(np.abs(X - left), np.abs(right - X))
    strength = 0.26 * min(1.0, 0.014 / fine + 0.25)
    gaps = 1 - strength * np.exp(-((nearest / fine) ** 2))
    curve = 1 - 0.10 * across**2  # each tooth is rounded
    translucent = 1 - 0.10 * np.exp(-np.maximum(surface, 0) / 0.03)
    away = 1 - 0.30 * np.clip(X, 0, 1) ** 2
    tone = gaps * curve * translucent * away
    colour = palette.teeth * tone[..., None]
    # Further back teeth are a little warmer.
    warm = np.clip(X - 0.3, 0, 1)[..., None] * np.array([0.0, 0.02, 0.08], np.float32)
    if upwards:
        warm = warm + np.array([0.0, 0.01, 0.04], np.float32)
    return colour * (1 - warm), alpha
