"""What the network adds, kept on the frame's own colours and steady over time. Pure functions, and one small memory.

A restoration network invents detail anew in each frame. Where the face did not change from one frame to the next, most
of what was added before is kept; where it moves, what is new counts. So skin does not shimmer and lips leave no trail.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame

COLOUR_CELL = 32
"""Side of the parts, in pixels of the crop, over which the mean colour stays that of the frame."""
KEPT = 0.8
"""Share of the earlier detail where nothing moves: it then follows over about five frames."""
STILL, MOVING = 1.5, 6.0
"""Change of a neighbourhood from frame to frame, in levels: below nothing moves, above all does."""
NEIGHBOURHOOD = 9
"""Pixels of the crop."""
SPAN, LEAD = 64, 32
"""Frames: see `Steady`. After 32 frames in which nothing moves, less than a thousandth of a memory is left."""


def detail(made: Frame, seen: Frame) -> FloatArray:
    """What a network adds to a crop, without what it does to the colours of larger parts.

    Args:
        made, seen: [h, w, 3] uint8, after and before: of the crop, the part that is shown.
    Returns:
        [h, w, 3] float32, levels.
    """
    height, width = made.shape[:2]
    cells = max(1, round(width / COLOUR_CELL)), max(1, round(height / COLOUR_CELL))
    added = made.astype(np.float32) - seen
    small = cv2.resize(added, cells, interpolation=cv2.INTER_AREA)
    broad = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    kept: FloatArray = added - broad
    return kept


def movement(seen: Frame, before: Frame) -> FloatArray:
    """How much each place changed, [h, w] float32: 0 where nothing moves, 1 where it does."""
    change = cv2.cvtColor(cv2.absdiff(seen, before), cv2.COLOR_RGB2GRAY).astype(np.float32)
    around = cv2.blur(change, (NEIGHBOURHOOD, NEIGHBOURHOOD))
    moved: FloatArray = np.clip((around - STILL) / (MOVING - STILL), 0, 1).astype(np.float32)
    return moved


class Flicker(NamedTuple):
    """Mean change of the added detail from one frame to the next where the face stands still, in levels."""

    made: float
    """As the network made it."""
    shown: float


def remembered_from(index: int) -> int:
    """The earliest output frame that `Steady` still remembers in one; may be negative."""
    return index // SPAN * SPAN - LEAD


class Steady:
    """One face over time. Frames come in order.

    What is remembered fades away, but never to nothing. So that a video can be made in parts, each SPAN of frames,
    counted from the first of the video, remembers no more than the LEAD frames before it:

        frames      |0          |64         |128        |192
        memories    |0---------------|
                             |1---------------|           each is used in its own span
                                         |2---------------|
    """

    def __init__(self) -> None:
        self._memories: dict[int, _Memory] = {}
        """By span."""

    def forget(self) -> None:
        """The face was not there: what comes next begins anew."""
        self._memories.clear()

    def add(
        self, index: int, seen: Frame, added: FloatArray, mask: NDArray[np.float32]
    ) -> tuple[FloatArray, Flicker | None]:
        """What to add to the crop of an output frame; see `_Memory.add`."""
        own, later = index // SPAN, (index + LEAD) // SPAN
        self._memories = {span: self._memories.get(span) or _Memory() for span in {own, later}}
        if later != own:
            self._memories[later].add(seen, added, mask)
        return self._memories[own].add(seen, added, mask)


class _Memory:
    """What was seen and added last."""

    def __init__(self) -> None:
        self._seen: Frame | None = None
        self._added: FloatArray | None = None
        self._raw: FloatArray | None = None

    def add(self, seen: Frame, added: FloatArray, mask: NDArray[np.float32]) -> tuple[FloatArray, Flicker | None]:
        """What to add to this crop.

        Args:
            seen: the part of the crop that is shown, as the network saw it.
            added: of `detail`.
            mask: where it will be shown, for measuring.
        Returns:
            [h, w, 3] float32; and how it flickers against the frame before, None for the first.
        """
        shown, told = added, None
        if self._seen is not None and self._added is not None and self._raw is not None:
            moved = movement(seen, self._seen)
            weight = (1 - KEPT * (1 - moved))[..., None]
            shown = self._added + weight * (added - self._added)
            still = mask * (moved == 0)
            told = Flicker(_change(added, self._raw, still), _change(shown, self._added, still))
        self._seen, self._added, self._raw = seen, shown, added
        return shown, told


def _change(now: FloatArray, before: FloatArray, still: NDArray[np.float32]) -> float:
    weight = float(still.sum())
    if weight == 0:
        return 0.0
    return float((np.abs(now - before).mean(axis=2) * still).sum()) / weight
