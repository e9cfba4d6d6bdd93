"""Take away what an open source shows between its lips, so that nothing of it travels with them.

What is taken is the opening and a fringe of the lips, where their colour and that of the inside run into each other.
The lips grow over it from both sides: each column takes the colour that the lip has next to the fringe there. Around
the corners, where lips end, only what is much darker or lighter than the lips about it is covered.
"""

from __future__ import annotations

import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import COLUMNS, LUMA, MouthGeometry, Region, Values
from talkinghead.families.viseme.warp import openness

FILL_HALF_WIDTH = 48.0
"""Pixels of half a mouth in the picture in which the filling is computed."""
BEYOND = 1
"""Columns beyond each corner in which is looked for what is to be covered."""
FRINGE, FRINGE_PIXELS = 0.04, 1.2
"""Taken from the lips at the edge of the opening: half widths, and pixels of the frame,"""
FRINGE_OF_LIP = 0.4
"""at most this share of a lip."""
CORNER_FROM, CORNER_HEIGHT = 0.75, 0.06
"""From here outwards the least that is taken to either side of the line between the corners, half widths, is this and
ends `BEYOND` them."""
SAMPLE = 0.05
"""How far into the lip from there its colour is read, half widths."""
SAMPLES = 4
ALONG_SIGMA = 1.2
"""Columns over which that colour is smoothed."""
MEETING = 0.35
"""Share of the opening's height over which the colours of the two lips run into each other."""
ODD_FROM, ODD_TO = 0.3, 0.6
"""Around the corners a pixel is covered not at all and fully where its lightness departs by these shares."""

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

    height, width = box.y2 - box.y1, box.x2 - box.x1
    scale = min(1.0, FILL_HALF_WIDTH / a)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    x = box.x1 + (np.arange(size[0], dtype=np.float32) + 0.5) * (width / size[0]) - 0.5
    y = box.y1 + (np.arange(size[1], dtype=np.float32)[:, None] + 0.5) * (height / size[1]) - 0.5
    (ax, ay), (cx, cy) = mouth.axis.astype(np.float32), mouth.centre.astype(np.float32)
    u = ((x - cx) * ax + (y - cy) * ay) / np.float32(a)
    v = (y - cy) * ax - (x - cx) * ay
    place = (u - _WIDE[0]) * np.float32((len(_WIDE) - 1) / (_WIDE[-1] - _WIDE[0]))
    top, bottom, certain = cv2.split(_along(np.stack([first, last, sure], axis=1), place))
    middle = (v - (top + bottom) / 2) / np.maximum(MEETING * (bottom - top), 1) + np.float32(0.5)
    filling = _along(above, place)
    filling += (_along(below, place) - filling) * np.clip(middle, 0, 1)[..., None]
    part = frame[box.slices]
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if scale < 1 else part
    expected = filling @ LUMA
    departs = np.abs(small @ LUMA - expected) / np.maximum(expected, 12)
    odd = np.clip((departs - ODD_FROM) / (ODD_TO - ODD_FROM), 0, 1)
    weight = np.clip(np.minimum(v - top, bottom - v) * np.float32(scale) + np.float32(0.5), 0, 1)
    weight *= np.maximum(certain, odd) * (np.abs(u) < _WIDE[-1]) * apart
    if scale < 1:
        filling = np.asarray(cv2.resize(filling, (width, height), interpolation=cv2.INTER_LINEAR))
        weight = np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR))
    result = frame.copy()
    result[box.slices] = np.rint(part + (filling - part) * weight[..., None]).astype(np.uint8)
    return result


def _taken(mouth: MouthGeometry) -> tuple[Values, Values, Values]:
    """At `_WIDE`: where what is taken begins and ends, pixels below the line, and how sure all of it is to go."""
    a = mouth.half_width
    fringe = FRINGE * a + FRINGE_PIXELS
    parted = np.clip((mouth.lower_inner - mouth.upper_inner) / (0.04 * a), 0, 1)
    first = mouth.upper_inner - parted * np.minimum(fringe, FRINGE_OF_LIP * (mouth.upper_inner - mouth.upper_outer))
    last = mouth.lower_inner + parted * np.minimum(fringe, FRINGE_OF_LIP * (mouth.lower_outer - mouth.lower_inner))
    end = np.abs(_WIDE)
    least = CORNER_HEIGHT * a * np.clip((_WIDE[-1] - end) / 0.1, 0, 1) * np.clip((end - CORNER_FROM) / 0.1, 0, 1)
    sure = np.pad(parted, BEYOND) * np.clip((1 - end) / 0.06, 0, 1)
    return np.minimum(np.pad(first, BEYOND), -least), np.maximum(np.pad(last, BEYOND), least), sure


def _box(frame: Frame, mouth: MouthGeometry) -> Region:
    """Pixels around the opening, clipped to the frame."""
    a = mouth.half_width
    side = float(_WIDE[-1]) * a
    ends = float(mouth.upper_inner.min()) - 0.1 * a - 2, float(mouth.lower_inner.max()) + 0.1 * a + 2
    return mouth.box((-side, side), ends).within((frame.shape[1], frame.shape[0]))


def _colours(frame: Frame, mouth: MouthGeometry, start: Values, stop: Values) -> FloatArray:
    """[43, 3] mean colour between two curves at `_WIDE`, smooth along the lip."""
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
    """[h, w, 3] rows of a table [43, 3] at places between them; held beyond."""
    import cv2

    row = np.ascontiguousarray(table[None], np.float32)
    between = cv2.remap(row, place, np.zeros_like(place), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(between, np.float32)
