"""What is seen between the lips: teeth, tongue, shadow.

The person's own teeth are used where the source shows them. Otherwise teeth are drawn after average anatomy, scaled by
the face, and coloured, shaded and softened after the picture. Upper teeth stay with the skull, lower teeth and tongue
go with the jaw, and the lips uncover what lies behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import COLUMNS, NUM_COLUMNS, FaceGeometry, Values
from talkinghead.families.viseme.grain import noise
from talkinghead.families.viseme.seam import Seam
from talkinghead.families.viseme.teeth import TeethStrip, laid
from talkinghead.families.viseme.warp import JAW_DROP, NEUTRAL_HALF_WIDTH, MouthPose, MouthShape

UPPER_TEETH = np.array([0.0, 0.335, 0.575, 0.765, 0.90, 1.02], np.float32)
"""Where upper teeth meet, from the middle outwards as seen from the front, in neutral half widths of the mouth."""
UPPER_LENGTH = np.array([0.0, -0.030, -0.008, -0.045, -0.075], np.float32)
"""Of incisors, canine and premolars, relative to the middle incisor."""
LOWER_TEETH = np.array([0.0, 0.21, 0.43, 0.65, 0.83, 0.98], np.float32)
LOWER_LENGTH = np.array([0.0, 0.0, 0.012, -0.03, -0.06], np.float32)
SHOW_AT_REST = 0.10
"""How far the upper incisors reach below the line where closed lips meet, in neutral half widths."""
HIDDEN_ROUNDED = 0.07
"""How much less of them lips that are rounded leave to see."""
OVERBITE = 0.06
"""How far lower incisors hide behind upper ones with the jaw closed."""


_LUMA = np.array([0.299, 0.587, 0.114])
FLAT_GRAIN = 0.45
"""Standard deviation of a picture's noise below which it begins to be a drawing; photographs have 1 and more."""
LEAST_TEETH = 0.3
"""Share of the middle of an opening that must look like teeth for their colour to be believed."""
DEEP, DARK_PERCENTILE = 0.3, 5
"""Openings at least that high, half widths, tell how dark it is inside: this percentile of the light in the middle,"""
SURELY_DARK = 0.7
"""where it is below this share of that of the lips: else teeth or tongue fill the opening."""
FROM_DARK = 0.75
"""The darkest of a drawn inside over the light of the cavity's colour."""
FADED = 0.5
"""How far the drawn inside is lifted towards the light of that in the source: a narrow opening's dark is blurred."""


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
    warmth: float = 1.0
    """[0, 1]; 0 in a grey picture, where shade has no colour."""
    flatness: float = 0.0
    """[0, 1]; 1 in a drawing of even colours, where teeth are one bright shape."""
    seam: Seam = field(default_factory=Seam)
    """The line between closed lips."""
    strip: TeethStrip | None = None
    """The person's upper teeth, where a frame of a video shows them well."""


def read_palette(frame: Frame, face: FaceGeometry) -> Palette:
    """Take the colours from lips, skin and the brightest parts of the face."""
    import cv2

    d, lips = face.eye_distance, _lip_colour(frame, face)
    cheeks = [_pick(frame, face, *_disc(side * 0.72 * d, -0.38 * d, 0.15 * d)) for side in (-1, 1)]
    skin_samples = np.concatenate([*cheeks, _pick(frame, face, *_disc(0.0, 0.50 * d, 0.10 * d))])
    lightness = skin_samples @ _LUMA
    skin = np.median(skin_samples[lightness >= np.percentile(lightness, 40)], axis=0)
    skin_luma = float(skin @ _LUMA)
    eyes = np.concatenate([_pick(frame, face, *_disc(side * 0.5 * d, -1.04 * d, 0.2 * d)) for side in (-1, 1)])
    bright = float(np.percentile(np.concatenate([eyes, skin_samples]) @ _LUMA, 97))
    # Teeth are nearly as bright as the white of the eye and take some of the skin's warmth.
    teeth_luma = float(np.clip(0.50 * skin_luma + 0.48 * bright, 40, 235))
    tint = (np.maximum(skin, 1.0) / max(skin_luma, 1.0)) ** 0.38
    teeth = teeth_luma * tint / float(tint @ _LUMA)
    # In a grey picture, or one of little colour, the flesh inside has as little.
    colourful = float(np.clip((skin.max() - skin.min()) / 40, 0, 1))
    light = teeth_luma / 190
    cavity = 0.21 * lips + _muted(np.array([18.0, 5.0, 5.0]), colourful) * light
    tongue = 0.60 * lips + _muted(np.array([86.0, 42.0, 42.0]), colourful) * light

    softness, grain = _sharpness(np.asarray(cv2.cvtColor(_square(frame, face, 0.7 * d), cv2.COLOR_RGB2GRAY), np.uint8))

    def stored(colour: Values) -> FloatArray:
        return np.clip(colour, 0, 255).astype(np.float32)

    flatness = float(np.clip((FLAT_GRAIN - grain) / (0.7 * FLAT_GRAIN), 0, 1))
    return Palette(stored(teeth), stored(lips), stored(cavity), stored(tongue), softness, grain, colourful, flatness)


def _lip_colour(frame: Frame, face: FaceGeometry) -> Values:
    """[3] of the lower lip."""
    mouth = face.mouth
    u = np.linspace(-0.6, 0.6, 25)
    inner = np.interp(u, COLUMNS, mouth.lower_inner)
    outer = np.interp(u, COLUMNS, mouth.lower_outer)
    rows = inner + (outer - inner) * np.linspace(0.3, 0.75, 7)[:, None]
    colour: Values = np.median(_pick(frame, face, np.broadcast_to(u * mouth.half_width, rows.shape), rows), axis=0)
    return colour


def _muted(colour: Values, colourful: float) -> Values:
    """A colour with that share of its saturation."""
    grey = float(colour @ _LUMA)
    mixed: Values = grey + (colour - grey) * colourful
    return mixed


def _disc(x: float, y: float, radius: float) -> tuple[Values, Values]:
    """Sample points of a disc, the mouth's own coordinates."""
    grid = np.linspace(-1, 1, 11)
    gx, gy = np.meshgrid(grid, grid)
    inside = gx**2 + gy**2 <= 1
    return x + gx[inside] * radius, y + gy[inside] * radius


def _pick(frame: Frame, face: FaceGeometry, x: Values, y: Values) -> Values:
    """Colours [n, 3] at points in the mouth's own coordinates; outside the frame, of its border."""
    points = face.mouth.points(x.ravel(), y.ravel())
    columns = np.clip(np.rint(points[:, 0]), 0, frame.shape[1] - 1).astype(int)
    rows = np.clip(np.rint(points[:, 1]), 0, frame.shape[0] - 1).astype(int)
    picked: Values = frame[rows, columns].astype(np.float64)
    return picked


def _square(frame: Frame, face: FaceGeometry, radius: float) -> Frame:
    """The pixels around the mouth, clipped to the frame."""
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
    smooth = np.asarray(cv2.GaussianBlur(values, (0, 0), sigmaX=0.8), np.float32)
    noise = float(np.median(np.abs(values - smooth))) / 0.6745 * 1.3
    slopes = np.abs(np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3), np.float32)) / 8
    window = max(5, 2 * (len(grey) // 16) + 1)
    kernel = np.ones((window, 1), np.uint8)
    height = np.asarray(cv2.dilate(smooth, kernel)) - np.asarray(cv2.erode(smooth, kernel))
    strong = height > np.percentile(height, 85)
    slope = float(np.percentile((slopes / np.maximum(height, 8))[strong], 97)) if strong.any() else 0.4
    sigma = 1 / (max(slope, 0.02) * 2.5)
    softness = float(np.clip(1.6 * np.sqrt(max(sigma**2 - 0.64, 0.16)), 1.0, 0.05 * len(grey) + 1))
    return softness, min(noise, 6.0)


@dataclass(frozen=True, eq=False)
class OwnTeeth:
    """The person's teeth, cut out of a source whose mouth is open."""

    top: FloatArray
    """[41] float32 at `COLUMNS`: where they begin, the mouth's own pixels."""
    bottom: FloatArray
    """[41] float32: where they end."""
    share: float
    """How much of the opening shows teeth."""


def read_teeth(frame: Frame, face: FaceGeometry) -> FloatArray | None:
    """Colour [3] of the person's teeth in full light, RGB 0..255; None where hardly any are seen."""
    if not face.mouth.is_open:
        return None
    colours, white = _between_lips(frame, face)
    middle = slice(NUM_COLUMNS // 4, NUM_COLUMNS - NUM_COLUMNS // 4)
    seen = colours[:, middle][white[:, middle]]
    if len(seen) < LEAST_TEETH * white[:, middle].size:
        return None
    luma = seen @ _LUMA
    lit = seen[(luma >= np.percentile(luma, 60)) & (luma <= np.percentile(luma, 95))]
    return np.asarray(np.median(lit, axis=0), np.float32)


def read_dark(frame: Frame, face: FaceGeometry) -> float | None:
    """Light [0, 255] of the darkest behind open lips; None where none is seen."""
    if face.mouth.gap < DEEP:
        return None
    colours, _ = _between_lips(frame, face)
    middle = slice(NUM_COLUMNS // 5, NUM_COLUMNS - NUM_COLUMNS // 5)
    dark = float(np.percentile(colours[:, middle] @ _LUMA, DARK_PERCENTILE))
    return dark if dark < SURELY_DARK * float(_lip_colour(frame, face) @ _LUMA) else None


def lifted(cavity: FloatArray, lips: FloatArray, dark: float) -> FloatArray:
    """The colour of the cavity where a source shows this light as its darkest: in a faded picture it is no darker."""
    veil = FADED * max(0.0, dark / FROM_DARK - float(cavity @ _LUMA))
    # Half of it is light of the lips, half haze.
    tint = 0.5 + 0.5 * lips / max(float(lips @ _LUMA), 1.0)
    return np.asarray(cavity + veil * tint, np.float32)


def _between_lips(frame: Frame, face: FaceGeometry) -> tuple[Values, NDArray[np.bool_]]:
    """Colours [24, 41, 3] of an opening, from the upper to the lower lip, and what of it is as pale as teeth."""
    mouth = face.mouth
    a = mouth.half_width
    rows = 24
    share = (np.arange(rows) + 0.5) / rows
    top, bottom = mouth.upper_inner, mouth.lower_inner
    y = top[None] + (bottom - top)[None] * share[:, None]
    x = np.broadcast_to(COLUMNS * a, y.shape)
    colours = _pick(frame, face, x, y).reshape(rows, NUM_COLUMNS, 3)
    luma = colours @ _LUMA
    redness = colours[..., 0] - (colours[..., 1] + colours[..., 2]) / 2
    lip_rows = mouth.lower_inner + 0.4 * (mouth.lower_outer - mouth.lower_inner)
    lips = np.median(_pick(frame, face, COLUMNS[8:33] * a, lip_rows[8:33]), axis=0)
    lip_luma = float(lips @ _LUMA)
    lip_red = float(lips[0] - (lips[1] + lips[2]) / 2)
    pale = (luma > 0.92 * lip_luma) & (redness < max(0.75 * lip_red, lip_red - 30))
    return colours, pale | (luma > 1.25 * lip_luma)


def find_own_teeth(frame: Frame, face: FaceGeometry) -> OwnTeeth | None:
    """Teeth between the lips of an open source, or None where there are hardly any."""
    mouth = face.mouth
    if not mouth.is_open:
        return None
    _, white = _between_lips(frame, face)
    rows = len(white)
    top, bottom = mouth.upper_inner, mouth.lower_inner
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


def _step(distance: Values, width: np.floating[Any] | float) -> Values:
    """1 well inside (positive distance), 0 outside, a ramp of `width` pixels between."""
    ramp: Values = np.clip(distance / np.maximum(width, np.float32(1e-3)) + np.float32(0.5), 0, 1)
    return ramp


def _ease(t: Values | np.floating[Any] | float) -> Values:
    u: Values = np.asarray(np.clip(t, 0, 1))
    eased: Values = u * u * (3 - 2 * u)
    return eased


def _over(base: Values, top: Values, alpha: Values) -> Values:
    """Lay `top` over `base`."""
    mixed: Values = base + (top - base) * alpha[..., None]
    return mixed


_WARM = np.array([0.86, 1.0, 1.10], np.float32)
"""Shade inside a mouth is warm: light reaches it through flesh. Exponents of the shade per channel."""


def _shaded(colour: Values, shade: Values, warmth: float) -> Values:
    """Darken a colour by a factor in [0, 1] as light through flesh does."""
    exponents = 1 + (_WARM - 1) * np.float32(warmth)
    darker: Values = colour * np.power(np.maximum(shade, np.float32(1e-3))[..., None], exponents)
    return darker


def paint(
    face: FaceGeometry,
    shape: MouthShape,
    pose: MouthPose,
    palette: Palette,
    x: Values,
    y: Values,
    upper: Values,
    lower: Values,
    *,
    teeth: bool = True,
    own: OwnTeeth | None = None,
    own_pixels: Values | None = None,
    lit: float = 1.0,
) -> Values:
    """Colour of the inside of the mouth.

    Args:
        x, y: [h, w] float32, points in the mouth's own pixels (of the target).
        upper, lower: [h, w] float32, y of the lips' edges in the same column.
        own, own_pixels: the person's teeth, and the source picture at the same points, [h, w, 3] float32.
        lit: light of the frame over that in which the strip of teeth was taken.
    Returns:
        [h, w, 3] float32, 0..255, everywhere as if there were no lips.
    """
    unit = np.float32(NEUTRAL_HALF_WIDTH * face.eye_distance)
    soft = np.float32(palette.softness)
    X = np.abs(x) / unit
    bow = np.minimum(X, np.float32(1.3)) ** 2
    middle = np.float32(shape.seam[NUM_COLUMNS // 2])
    jaw = np.float32(JAW_DROP * pose.jaw) * unit
    gap = np.maximum(lower - upper, 0)
    light = np.float32(0.86 + 0.14 * float(_ease(shape.gap / (0.35 * float(unit)))))

    # The cavity: darkest behind the upper teeth, a little light from below and at the lips.
    depth = np.clip((y - upper) / np.maximum(gap, 1), 0, 1)
    colour: Values = palette.cavity * (light * (np.float32(0.65) + np.float32(0.70) * depth**2))[..., None]

    rounded = np.float32(max(0.0, -pose.width))
    incisal = (
        middle
        + (SHOW_AT_REST - HIDDEN_ROUNDED * rounded) * unit
        - (np.float32(0.55) * middle + np.float32(0.05) * unit) * bow
    )
    lower_top = middle + (SHOW_AT_REST - OVERBITE) * unit + np.float32(0.96) * jaw - np.float32(0.35) * middle * bow

    # Tongue: a mound behind the lower teeth; its tip rises to the upper teeth for l and th.
    rise = np.float32(pose.tongue)
    mound = np.maximum(lower_top - np.float32(0.06 + 0.12 * pose.jaw) * unit, incisal + np.float32(0.10) * unit)
    tip = incisal - np.float32(0.03) * unit
    tongue_top = mound * (1 - rise) + tip * rise + (np.float32(0.30) + np.float32(0.1) * rise) * unit * X**2
    hump = np.exp(-((X / (np.float32(0.66) - np.float32(0.12) * rise)) ** 2))
    below = np.clip((y - tongue_top) / (np.float32(0.34) * unit), 0, 1)
    body = (0.40 + 0.50 * hump * (0.45 + 0.55 * below)) * (1 - 0.12 * np.exp(-((X / np.float32(0.05)) ** 2)))
    tongue = _shaded(np.broadcast_to(palette.tongue, (*x.shape, 3)), body * light, palette.warmth)
    tongue_alpha = _step(y - tongue_top, soft + np.float32(0.10) * unit) * _step(np.float32(1.05) - X, 0.5)
    colour = _over(colour, tongue, tongue_alpha * np.float32(0.78 + 0.17 * float(rise)))

    taken: Values = np.zeros_like(X)  # what shows pixels of the person, which have their shade
    if teeth:
        low, low_alpha = _row_of_teeth(
            palette, X, (y - lower_top) / unit, float(unit), LOWER_TEETH, LOWER_LENGTH, upwards=True
        )
        dim = (0.56 + 0.22 * _ease((y - incisal) / (np.float32(0.5) * unit))) * light
        root = _step(lower_top + np.float32(0.40) * unit - y, np.float32(0.2) * unit)
        colour = _over(colour, _shaded(low, dim, palette.warmth), low_alpha * root)
        if rise > 0:
            front = _ease((lower_top + np.float32(0.10) * unit - y) / (np.float32(0.10) * unit))
            colour = _over(colour, tongue, tongue_alpha * rise * front)
        up, up_alpha = _row_of_teeth(
            palette, X, (incisal - y) / unit, float(unit), UPPER_TEETH, UPPER_LENGTH, upwards=False
        )
        if palette.strip is not None:
            strip, covers, share = laid(palette.strip, x / unit, (incisal - y) / unit)
            up = _over(up, np.clip(strip * np.float32(lit), 0, 255), share)
            up_alpha = up_alpha + (covers - up_alpha) * share
            taken = share * covers
        up = _shaded(up, np.full_like(X, 0.97 * float(light)), palette.warmth)
        if own is not None and own_pixels is not None:
            u = np.clip(x / np.float32(shape.half_width), -1, 1)
            top, bottom = (np.interp(u, COLUMNS, curve).astype(np.float32) for curve in (own.top, own.bottom))
            real = _step(bottom - np.float32(0.06) * unit - y, soft + np.float32(0.5)) * _step(y - top, soft)
            # Above what the source shows, the drawn teeth go on; below it there is nothing.
            colour = _over(colour, up, up_alpha * _step(top - y, soft))
            colour = _over(colour, own_pixels * (np.float32(0.80) + np.float32(0.20) * light), real)
        else:
            colour = _over(colour, up, up_alpha)

    # Shadow of the upper lip, and of the corners.
    shade = 0.70 + 0.30 * _ease((y - upper) / (np.float32(0.10) * unit) + np.float32(0.15))
    if own is not None:
        shade = 0.5 + 0.5 * shade
    shade = shade + (1 - shade) * np.float32(0.5) * taken
    across = np.abs(x) / np.float32(shape.half_width * shape.stretch)
    shade = shade * (1 - np.float32(0.50) * _ease((across - np.float32(0.45)) / np.float32(0.55)))
    # Little light falls into a slit.
    shade = shade * (0.40 + 0.60 * _ease(gap / (np.float32(0.14) * unit))) * (1 - np.float32(0.12) * rounded)
    shade = shade + (1 - shade) * np.float32(0.6 * palette.flatness)
    painted = _shaded(colour, shade, palette.warmth)
    if palette.grain > 0.5:
        painted = painted + noise(*x.shape)[..., None] * np.float32(0.6 * palette.grain)
    return painted


def _row_of_teeth(
    palette: Palette,
    X: Values,
    inside: Values,
    unit: float,
    borders: FloatArray,
    lengths: FloatArray,
    *,
    upwards: bool,
) -> tuple[Values, Values]:
    """Colour and coverage of a row of teeth.

    Args:
        X: distance from the middle in half widths. inside: distance from the biting edge into the tooth, same unit.
        upwards: lower teeth.
    """
    soft = palette.softness
    index = np.clip(np.searchsorted(borders, X, side="right") - 1, 0, len(lengths) - 1)
    left, right = borders[index], borders[index + 1]
    across = (X - left) / (right - left) * 2 - 1  # -1..1 over the tooth
    rounding = np.float32(0.022) * across**4 + np.float32(0.006) * across**2
    surface = inside + lengths[index] - rounding
    alpha = _step(surface * np.float32(unit), soft)
    alpha = alpha * _step((borders[-1] + np.float32(0.05) - X) * np.float32(unit), 0.15 * unit)

    # Thin shadows between teeth, drawn no finer than the picture resolves; fainter towards the sides.
    fine = max(0.014, 0.45 * soft / unit)
    nearest = np.minimum(np.abs(X - left), np.abs(right - X))
    detail = np.float32(1 - palette.flatness)
    strength = detail * np.float32(0.24 * min(1.0, 0.014 / fine + 0.2)) * (1 - np.float32(0.45) * np.minimum(X, 1))
    gaps = 1 - strength * np.exp(-((nearest / np.float32(fine)) ** 2))
    curve = 1 - detail * np.float32(0.09) * across**2  # each tooth is rounded
    translucent = 1 - np.float32(0.10) * np.exp(-np.maximum(surface, 0) / np.float32(0.03))
    away = 1 - np.float32(0.28) * np.clip(X, 0, 1) ** 2
    colour = _shaded(np.broadcast_to(palette.teeth, (*X.shape, 3)), gaps * curve * translucent * away, palette.warmth)
    # Further back teeth are a little warmer, lower ones too.
    warm = np.clip(X - np.float32(0.3), 0, 1)[..., None] * np.array([0.0, 0.02, 0.07], np.float32)
    if upwards:
        warm = warm + np.array([0.0, 0.01, 0.03], np.float32)
    return colour * (1 - warm * np.float32(palette.warmth)), alpha
