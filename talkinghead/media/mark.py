"""A visible mark: a few words on a dark plate in a corner of every frame.

The letters are those that come with OpenCV, drawn eight times as large and scaled down; accents are strokes of our own.
Size and place follow from the size of the frame alone, so each frame of a stretch is as in the whole.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, Picture
from talkinghead.errors import OptionError
from talkinghead.media.options import MarkPlace

CAP_SHARE = 0.022
"""Height of a capital letter as a share of the square root of the frame's area: 32 pixels in 1920x1080."""
SMALLEST_CAP = 7
"""Pixels; in smaller letters nothing is read."""
PLATE = 0.75
"""How dark the plate is, of 1, before `opacity`."""
TIMES = 8
"""By which letters are drawn larger than they are shown."""
UNITS = 21
"""Units of OpenCV's letters from the line they stand on to the top of a capital."""
SMALL_UNITS = 14
"""And to the top of a small letter."""
STROKE = 2.6
"""Width of a line, units."""
HIGH = "bdfhklt"
"""Small letters as tall as capitals."""
Strokes = tuple[tuple[tuple[float, float], ...], ...]
DOTS: Strokes = (((0, 1.5), (0, 1.5)),)
ACCENTS: dict[str, Strokes] = {
    "\u0300": (((1.8, 0), (-1.8, 3.5)),),
    "\u0301": (((-1.8, 0), (1.8, 3.5)),),
    "\u0302": (((-3, 0), (0, 3.5), (3, 0)),),
    "\u0303": (((-3.5, 0.8), (-1.6, 2.6), (1.6, 0.6), (3.5, 2.4)),),
    "\u0304": (((-3, 1.5), (3, 1.5)),),
    "\u0306": (((-3, 3.2), (-1.5, 0.8), (1.5, 0.8), (3, 3.2)),),
    "\u0307": DOTS,
    "\u0308": (((-2.6, 1.5), (-2.6, 1.5)), ((2.6, 1.5), (2.6, 1.5))),
    "\u030a": (((-1.8, 1.8), (0, 3.6), (1.8, 1.8), (0, 0), (-1.8, 1.8)),),
    "\u030b": (((-3, 0), (-0.4, 3.5)), ((1, 0), (3.6, 3.5))),
    "\u030c": (((-3, 3.5), (0, 0), (3, 3.5)),),
}
"""Strokes above a letter: (right, up) in units from the middle of the letter, above its top."""
BELOW: dict[str, Strokes] = {
    "\u0327": (((0, 0), (1.4, -2), (-1.4, -3.8)),),
    "\u0328": (((1, 0), (-0.4, -2.2), (1.6, -3.8)),),
    "\u0326": (((0.6, -1.6), (-0.6, -4)),),
}
"""The same below the line."""
ROOM = 7.5
"""Units above a capital, and below the line, that letters and accents may take."""


def check_mark(text: str) -> str:
    """A text that can be drawn, in its parts: letters and the accents that follow them.

    Raises:
        OptionError: it is empty, or has a character that cannot be drawn.
    """
    parts = unicodedata.normalize("NFD", " ".join(text.split()))
    wrong = sorted({c for c in parts if not (" " <= c <= "~" or c in ACCENTS or c in BELOW)})
    if not parts or wrong or unicodedata.combining(parts[0]):
        shown = ", ".join(repr(c) for c in wrong[:4]) or "no letter"
        raise OptionError(
            f"The mark {text[:60]!r} cannot be drawn: it has {shown}.",
            accepted="Latin letters with or without accents, digits and ASCII signs",
            remedy='other words, such as "AI-generated", or an editor for other scripts',
        )
    return parts


class Mark:
    """A mark for frames of one size.

    Args:
        text: what it says.
        size: (width, height) of the frames, pixels.
        opacity: of the whole mark, in (0, 1].
    Raises:
        OptionError: the text cannot be drawn, or does not fit into the frame.
    """

    def __init__(
        self, text: str, size: tuple[int, int], place: MarkPlace = "bottom-right", opacity: float = 0.9
    ) -> None:
        letters = _fitting(text, size)
        cap = letters.cap
        gap = max(2, round(0.55 * cap))
        height, width = letters.mask.shape[0], letters.mask.shape[1] + 2 * gap
        margin = max(2, round(0.6 * cap))
        plate = _plate(height, width, max(2, round(0.45 * cap)))
        ink = np.zeros((height, width), np.float32)
        ink[:, gap : width - gap] = letters.mask
        alpha = opacity * (ink + (1 - ink) * PLATE * plate)
        x = size[0] - margin - width if place.endswith("right") else margin
        y = size[1] - margin - height if place.startswith("bottom") else margin
        self._region = (slice(y, y + height), slice(x, x + width))
        self._alpha = np.asarray(alpha[..., None], np.float32)
        self._light = np.asarray((255 * opacity * ink)[..., None], np.float32)

    def over(self, picture: Frame | Picture) -> Frame | Picture:
        """`on`, for a picture with or without alpha beside it."""
        if not isinstance(picture, Picture):
            return self.on(picture)
        marked = self.on(np.dstack((picture.frame, picture.alpha)))
        return Picture(np.ascontiguousarray(marked[..., :3]), np.ascontiguousarray(marked[..., 3]))

    def on(self, frame: Frame) -> Frame:
        """A copy of a frame with the mark.

        Args:
            frame: RGB or RGBA uint8 [H, W, 3 or 4] of the size announced; where there is alpha the mark adds to it.
        """
        marked = frame.copy()
        part = frame[self._region].astype(np.float32)
        if frame.shape[2] == 3:
            marked[self._region] = np.rint(part * (1 - self._alpha) + self._light)
            return marked
        below = part[..., 3:] / 255 * (1 - self._alpha)
        covered = below + self._alpha
        colours = (part[..., :3] * below + self._light) / np.maximum(covered, 1e-6)
        marked[self._region] = np.rint(np.concatenate((colours, 255 * covered), axis=2)).clip(0, 255)
        return marked


@dataclass(frozen=True, eq=False)
class _Letters:
    mask: NDArray[np.float32]
    """[height, width] in [0, 1]."""
    cap: int
    """Height of a capital, pixels."""


def _fitting(text: str, size: tuple[int, int]) -> _Letters:
    """The text as large as the frame's size asks for, or smaller where it is long."""
    parts = check_mark(text)
    width, height = size
    wanted = max(SMALLEST_CAP, round(CAP_SHARE * (width * height) ** 0.5))
    for cap in range(wanted, SMALLEST_CAP - 1, -1):
        letters = _Letters(_drawn(parts, cap), cap)
        rows, columns = letters.mask.shape
        around = 2 * (max(2, round(0.55 * cap)) + max(2, round(0.6 * cap)))
        if columns + around <= width and rows + 2 * max(2, round(0.6 * cap)) <= height:
            return letters
    raise OptionError(
        f"The mark {text[:60]!r} does not fit into frames of {width}x{height} pixels.",
        remedy='a shorter text, such as "AI", or a larger picture',
    )


def _drawn(parts: str, cap: int) -> NDArray[np.float32]:
    """Letters of a height, [height, width] in [0, 1]."""
    import cv2

    unit = cap * TIMES / UNITS
    thickness = max(1, round(STROKE * unit))
    font = cv2.FONT_HERSHEY_DUPLEX
    base = "".join(c for c in parts if not unicodedata.combining(c))

    def right(count: int) -> int:
        """Where the letter of a number begins."""
        return int(cv2.getTextSize(base[:count], font, unit, thickness)[0][0]) - thickness if count else 0

    side = TIMES * -(-thickness // TIMES)
    line = round((UNITS + ROOM) * unit)
    tall = TIMES * -(-(line + round(ROOM * unit)) // TIMES)
    wide = TIMES * -(-(right(len(base)) + 2 * side) // TIMES)
    canvas = np.zeros((tall, wide), np.uint8)
    cv2.putText(canvas, base, (side, line), font, unit, 255, thickness, cv2.LINE_AA)
    number = -1
    for c in parts:
        if not unicodedata.combining(c):
            number += 1
            continue
        letter = base[number]
        middle = side + (right(number) + right(number + 1)) / 2
        top = SMALL_UNITS if letter.islower() and letter not in HIGH else UNITS
        if letter in "ij" and c in ACCENTS:  # the dot gives way
            left, end = int(side + right(number) - thickness), int(side + right(number + 1) + thickness)
            canvas[: round(line - (SMALL_UNITS + 1.6) * unit), max(0, left) : end] = 0
        from_line = top + 2.6 if c in ACCENTS else 0.0
        for stroke in ACCENTS.get(c) or BELOW[c]:
            points = [(round(middle + dx * unit), round(line - (from_line + dy) * unit)) for dx, dy in stroke]
            cv2.polylines(canvas, [np.array(points, np.int32)], False, 255, thickness, cv2.LINE_AA)
    small = cv2.resize(canvas, (wide // TIMES, tall // TIMES), interpolation=cv2.INTER_AREA)
    return np.asarray(np.float32(1 / 255) * small, np.float32)


def _plate(height: int, width: int, radius: int) -> NDArray[np.float32]:
    """A rectangle with round corners, [height, width] in [0, 1]."""
    ys = np.arange(height, dtype=np.float32)[:, None] + 0.5
    xs = np.arange(width, dtype=np.float32)[None, :] + 0.5
    beyond_y = np.maximum(np.maximum(radius - ys, ys - (height - radius)), 0)
    beyond_x = np.maximum(np.maximum(radius - xs, xs - (width - radius)), 0)
    return np.asarray(np.clip(radius + 0.5 - np.hypot(beyond_x, beyond_y), 0, 1), np.float32)


def mark_of(text: str | None, size: tuple[int, int], place: MarkPlace, opacity: float) -> Mark | None:
    """The mark that options ask for; None where they ask for none."""
    return None if text is None else Mark(text, size, place, opacity)
