"""The line along which closed lips meet, as dark and as wide as this picture shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import COLUMNS, LUMA, MouthGeometry, Region, Values

DARK, DARK_DRAWN = 0.34, 0.3
"""How dark the line is where no shut mouth is seen, in a picture with black in it; how much darker in a drawing, which
has lines."""
FULL_CONTRAST = 0.85
"""Of the darkest part of a face against its lips, from which a picture has black in it."""
WIDTH = 0.03
"""Of the line where none is seen, half widths."""
LIGHTEST, DARKEST = 0.08, 0.5
"""Bounds of a line that was seen, and of its width:"""
NARROWEST, WIDEST = 0.015, 0.08
REACH = 0.16
"""Half widths to either side in which lips are compared with the line between them."""
ASTRAY = 0.06
"""How far from the contour the line may run, half widths."""
SAMPLES = 33
WARM: FloatArray = np.array([0.82, 1.05, 1.08], np.float32)
"""What of the line's darkness each colour takes on, where shade has colour: light comes there through flesh."""


@dataclass(frozen=True)
class Seam:
    """What the line is drawn from."""

    dark: float = DARK
    """[0, 1], share of the light of the lips that it takes in its middle."""
    width: float = WIDTH
    """Half widths of the mouth, from the middle to where it is a third as dark."""


def read_seam(frame: Frame, mouth: MouthGeometry) -> Seam | None:
    """The line of a shut mouth; None where lips are apart or no line is seen."""
    import cv2

    if mouth.gap > 0.01:
        return None
    a = mouth.half_width
    middle = np.abs(COLUMNS) < 0.65
    offsets = np.linspace(-REACH - ASTRAY, REACH + ASTRAY, SAMPLES)
    step = float(offsets[1] - offsets[0])
    v = mouth.upper_inner[middle] + offsets[:, None] * a
    points = mouth.points(COLUMNS[middle] * a, v)
    map_x, map_y = (np.ascontiguousarray(points[..., k], np.float32) for k in (0, 1))
    rows = cv2.remap(frame, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY).astype(np.float32)
    light = np.asarray(cv2.GaussianBlur(grey, (0, 0), sigmaX=1.5, sigmaY=0.3), np.float32)
    # Columns are put on each other where they are darkest, near the contour.
    reach = round(REACH / step)
    near = light[reach:-reach]
    first = near.argmin(axis=0)
    profile = np.median(np.stack([light[k : k + 2 * reach + 1, n] for n, k in enumerate(first)]), axis=0)
    lips = np.linspace(profile[0], profile[-1], len(profile))
    taken = 1 - profile / np.maximum(lips, 1)
    dark = float(taken[reach])
    if dark < LIGHTEST:
        return None
    # On one side the line often runs into the shade of a lip; exp(-(y / width)^2) is a half at the root of log 2.
    half = min(_to_half(taken[reach::-1]), _to_half(taken[reach:]))
    width = half * step / np.sqrt(np.log(2))
    return Seam(min(dark, DARKEST), float(np.clip(width, NARROWEST, WIDEST)))


def _to_half(flank: Values) -> float:
    """Steps from the first value to where it is halved."""
    half = flank[0] / 2
    below = np.flatnonzero(flank < half)
    if not len(below):
        return len(flank) - 1.0
    end = int(below[0])
    return end - float((half - flank[end]) / (flank[end - 1] - flank[end]))


def likely_seam(frame: Frame, mouth: MouthGeometry, eye_distance: float, flatness: float) -> Seam:
    """The line where no shut mouth is seen: as dark as the picture has dark parts beside its lips."""
    box = Region.around(mouth.centre - 0.5 * eye_distance * mouth.down, eye_distance, (frame.shape[1], frame.shape[0]))
    drawn = DARK_DRAWN * flatness
    if box.is_empty:
        return Seam(DARK + drawn)
    light = frame[box.slices][::2, ::2] @ LUMA
    lips = float(np.median(_lower_lip(frame, mouth)))
    contrast = 1 - float(np.percentile(light, 1)) / max(lips, 1.0)
    return Seam(DARK * float(np.clip(contrast / FULL_CONTRAST, 0.4, 1)) + drawn)


def _lower_lip(frame: Frame, mouth: MouthGeometry) -> Values:
    """Light of the middle of the lower lip."""
    columns = slice(10, 31, 2)
    points = mouth.points(COLUMNS[columns] * mouth.half_width, (mouth.lower_inner + mouth.lower_outer)[columns] / 2)
    limit = np.array([frame.shape[1], frame.shape[0]]) - 1
    x, y = np.clip(np.rint(points), 0, limit).astype(int).T
    light: Values = frame[y, x] @ LUMA
    return light


def seam_shadow(
    seam: Seam, half_width: float, softness: float, warmth: float, u: Values, y: Values, upper: Values, lower: Values
) -> Values:
    """Darkness [h, w, 3] in [0, 1] of the line between lips that the source shows apart.

    Args:
        softness: width in pixels over which edges in the picture spread.
        warmth: [0, 1], whether shade has colour.
        u, y: places in the target: between the corners, and pixels below the line between them.
        upper, lower: the lips' edges there.
    """
    natural = seam.width * half_width
    width = max(natural, 0.7 * softness)
    # Blur makes a line wider and as much lighter.
    dark = seam.dark * natural / width
    closed = np.clip(1 - (lower - upper) / (3 * width), 0, 1)
    fade = np.clip((1 - np.abs(u)) / 0.15, 0, 1)
    line = dark * np.exp(-(((y - (upper + lower) / 2) / np.float32(width)) ** 2)) * closed * fade
    coloured: Values = line[..., None] * (1 + (WARM - 1) * np.float32(warmth))
    return coloured
