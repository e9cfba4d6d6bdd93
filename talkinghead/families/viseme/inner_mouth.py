"""Take away what an open source shows between its lips, so that nothing of it travels with them.

What is taken is the opening and a fringe of the lips, where their colour and that of the inside run into each other.
The lips grow over it from both sides: each column takes the colour that the lip has next to the fringe there. Around
the corners, where lips end, what is darker than the lips about it is covered as well.
"""

from __future__ import annotations

import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import COLUMNS, LUMA, MouthGeometry, Region, Values
from talkinghead.families.viseme.warp import openness

FILL_HALF_WIDTH = 48.0
"""Pixels of half a mouth in the picture in which the filling is computed."""
BEYOND = 3
"""Columns beyond each corner in which is looked for what is to be covered."""
FRINGE, FRINGE_PIXELS = 0.04, 1.2
"""Taken from what lies about the opening, at right angles to its edge: half widths, and pixels of the frame,"""
FRINGE_OF_LIP = 0.4
"""at most this share of a lip, but for the corners, where lips are thin."""
STEEPEST = 4.0
"""How much higher than wide that is where the edge is steep."""
NARROW, WIDE = 0.12, 0.3
"""Corners of openings up to the first height keep their crease, that of the second is part of the opening."""
CORNER_FROM, CORNER_HEIGHT, CORNER_END = 0.75, 0.06, 1.05
"""From here outwards what is too dark is covered on the whole of the lips, and for this many half widths to either side
of the line between the corners at least; it ends beyond them."""
SAMPLE = 0.05
"""How far into the lip from there its colour is read, half widths."""
SAMPLES = 4
ALONG_SIGMA = 1.2
"""Columns over which that colour is smoothed."""
MEETING = 0.35
"""Share of the opening's height over which the colours of the two lips run into each other."""
ODD_FROM, ODD_TO = 0.2, 0.45
"""Around the corners a pixel is covered not at all and fully where it is darker by these shares."""

_WIDE = np.linspace(-1 - BEYOND * 0.05, 1 + BEYOND * 0.05, len(COLUMNS) + 2 * BEYOND, dtype=np.float32)


def without_inside(frame: Frame, mouth: MouthGeometry) -> Frame:
    """A copy of the frame in which lips cover the opening of the mouth; the frame itself where there is none."""
    import cv2

    apart = np.float32(openness(mouth))
    box = _box(frame, mouth)
    if apart == 0 or box.is_empty:
        return frame
    first, last, sure = _taken(mouth)
    a = mouth.half_width
    reach = SAMPLE * a + 1
    over, under = (np.pad(curve, BEYOND) for curve in (mouth.upper_outer, mouth.lower_outer))
    above = _colours(frame, mouth, first - np.clip(0.5 * (first - over), 1, reach), first)
    below = _colours(frame, mouth, last, last + np.clip(0.5 * (under - last), 1, reach))
    odd_first, odd_last = _looked_through(mouth, first, last)

    height, width = box.y2 - box.y1, box.x2 - box.x1
    scale = min(1.0, FILL_HALF_WIDTH / a)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    x = box.x1 + (np.arange(size[0], dtype=np.float32) + 0.5) * (width / size[0]) - 0.5
    y = box.y1 + (np.arange(size[1], dtype=np.float32)[:, None] + 0.5) * (height / size[1]) - 0.5
    (ax, ay), (cx, cy) = mouth.axis.astype(np.float32), mouth.centre.astype(np.float32)
    u = ((x - cx) * ax + (y - cy) * ay) / np.float32(a)
    v = (y - cy) * ax - (x - cx) * ay
    place = (u - _WIDE[0]) * np.float32((len(_WIDE) - 1) / (_WIDE[-1] - _WIDE[0]))
    ends = np.stack([first, last, odd_first, odd_last], axis=1)
    top, bottom, odd_top, odd_bottom = (np.asarray(each, np.float32) for each in cv2.split(_along(ends, place)))
    certain = _along(sure[:, None], place)
    middle = (v - (top + bottom) / 2) / np.maximum(MEETING * (bottom - top), 1) + np.float32(0.5)
    filling = _along(above, place)
    filling += (_along(below, place) - filling) * np.clip(middle, 0, 1)[..., None]
    part = frame[box.slices]
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if scale < 1 else part
    expected = filling @ LUMA
    darker = (expected - small @ LUMA) / np.maximum(expected, 12)
    odd = np.clip((darker - ODD_FROM) / (ODD_TO - ODD_FROM), 0, 1)
    weight = np.maximum(certain * _between(v, top, bottom, scale), odd * _between(v, odd_top, odd_bottom, scale))
    weight *= (np.abs(u) < _WIDE[-1]) * apart
    if scale < 1:
        filling = np.asarray(cv2.resize(filling, (width, height), interpolation=cv2.INTER_LINEAR))
        weight = np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR))
    result = frame.copy()
    result[box.slices] = np.rint(part + (filling - part) * weight[..., None]).astype(np.uint8)
    return result


def _between(v: Values, top: Values, bottom: Values, scale: float) -> Values:
    """[h, w] in [0, 1], 1 well between two edges, with a ramp of a pixel of the small picture."""
    inside = np.minimum(v - top, bottom - v) * np.float32(scale) + np.float32(0.5)
    between: Values = np.clip(inside, 0, 1) * (bottom > top)
    return between


def _taken(mouth: MouthGeometry) -> tuple[Values, Values, Values]:
    """At `_WIDE`: where what is taken begins and ends, pixels below the line, and how sure all of it is to go."""
    a = mouth.half_width
    fringe = FRINGE * a + FRINGE_PIXELS
    parted = np.clip((mouth.lower_inner - mouth.upper_inner) / (0.04 * a), 0, 1)
    parted[[0, -1]] = parted[[1, -2]]
    wide_open = _wide_open(mouth)
    corner = wide_open * np.clip((np.abs(COLUMNS) - CORNER_FROM) / 0.1, 0, 1)

    def widened(edge: Values, lip: Values) -> Values:
        steep = np.minimum(np.hypot(1, np.gradient(edge, COLUMNS[1] * a - COLUMNS[0] * a)), STEEPEST)
        steep[[0, -1]] = 1
        wide = fringe * steep
        taken: Values = parted * np.minimum(wide, np.maximum(FRINGE_OF_LIP * lip, corner * wide))
        return taken

    first = mouth.upper_inner - widened(mouth.upper_inner, mouth.upper_inner - mouth.upper_outer)
    last = mouth.lower_inner + widened(mouth.lower_inner, mouth.lower_outer - mouth.lower_inner)
    # Beyond the corners it is round.
    away = np.clip(np.abs(_WIDE) - 1, 0, None) * a
    sure = np.pad(parted, BEYOND, mode="edge") * np.maximum(wide_open, np.clip((1 - np.abs(_WIDE)) / 0.06, 0, 1))
    cap = sure * np.sqrt(np.clip(fringe**2 - away**2, 0, None)) * (away > 0)
    return np.pad(first, BEYOND) - cap, np.pad(last, BEYOND) + cap, sure


def _wide_open(mouth: MouthGeometry) -> float:
    return float(np.clip((mouth.gap - NARROW) / (WIDE - NARROW), 0, 1))


def _looked_through(mouth: MouthGeometry, first: Values, last: Values) -> tuple[Values, Values]:
    """At `_WIDE`: between which only what is too dark is covered."""
    end = np.abs(_WIDE)
    corner = np.clip((end - CORNER_FROM) / 0.1, 0, 1)
    least = CORNER_HEIGHT * mouth.half_width * np.clip((CORNER_END - end) / 0.1, 0, 1) * corner
    corner *= _wide_open(mouth)
    over, under = (np.pad(curve, BEYOND) for curve in (mouth.upper_outer, mouth.lower_outer))
    top = np.where(end < 1, first + corner * np.minimum(over - first, 0), first)
    bottom = np.where(end < 1, last + corner * np.maximum(under - last, 0), last)
    return np.minimum(top, -least), np.maximum(bottom, least)


def _box(frame: Frame, mouth: MouthGeometry) -> Region:
    """Pixels around the opening, clipped to the frame."""
    a = mouth.half_width
    side = float(_WIDE[-1]) * a
    ends = float(mouth.upper_inner.min()) - 0.1 * a - 2, float(mouth.lower_inner.max()) + 0.1 * a + 2
    return mouth.box((-side, side), ends).within((frame.shape[1], frame.shape[0]))


def _colours(frame: Frame, mouth: MouthGeometry, start: Values, stop: Values) -> FloatArray:
    """[columns of `_WIDE`, 3] mean colour between two curves at `_WIDE`, smooth along the lip."""
    import cv2

    v = start + (stop - start) * ((np.arange(SAMPLES)[:, None] + 0.5) / SAMPLES)
    points = mouth.points(_WIDE * mouth.half_width, v)
    map_x, map_y = (np.ascontiguousarray(points[..., k], np.float32) for k in (0, 1))
    picked = cv2.remap(frame, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mean = picked.astype(np.float32).mean(axis=0)[None]
    smooth = cv2.GaussianBlur(mean, (0, 0), sigmaX=ALONG_SIGMA, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE)
    colours: FloatArray = np.asarray(smooth, np.float32)[0]
    return colours


def _along(table: Values, place: Values) -> Values:
    """[h, w, channels] rows of a table [columns of `_WIDE`, channels] at places between them; held beyond."""
    import cv2

    row = np.ascontiguousarray(table[None], np.float32)
    between = cv2.remap(row, place, np.zeros_like(place), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(between, np.float32)
