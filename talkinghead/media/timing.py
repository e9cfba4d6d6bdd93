"""Frame times: from the timestamps of a file to a constant frame rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from talkinghead.media.limits import MAX_FPS, MAX_GAP_S

Ticks = NDArray[np.int64]
"""Timestamps in ticks of the stream's time base."""

STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in (
        "12",
        "12.5",
        "15",
        "24000/1001",
        "24",
        "25",
        "30000/1001",
        "30",
        "48",
        "50",
        "60000/1001",
        "60",
        "120",
    )
)
MAX_RATE, MIN_RATE = Fraction(MAX_FPS), 1 / Fraction(MAX_GAP_S)
DECLARED_WITHIN = 0.0002
"""Files name rates with few digits: 59.94 and 19001/317 mean 60000/1001, and 30 does not mean 30000/1001."""
FINE_S = Fraction(1, 24)
"""How exactly the times of animations with frames of uneven length are kept, seconds."""
SLIDES = 5
"""Frames per second."""
ON_GRID = 0.1
"""Frames of a rate by which a time may miss one of them."""
USUAL_RATE = Fraction(25)
"""Taken where a file says nothing that can be believed."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """When each decoded frame is shown, and at what constant rate that can be told."""

    ticks: Ticks
    """[n] int64, strictly increasing, from 0."""
    time_base: Fraction
    rate: Fraction
    """Nominal frames per second."""
    constant: bool
    """Frame i is shown at i / rate, to within the precision of the timestamps."""
    last_s: Fraction | None = None
    """How long the last frame is shown, where that is longer than the others are."""

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def fine_rate(self) -> Fraction:
        """The rate, or a multiple of it where frames of uneven length do not begin with those of the rate: then their
        times are kept to `FINE_S`.

        Slide shows, which have fewer than `SLIDES` frames a second, keep theirs: each of their frames costs time.
        """
        begins = self.ticks * float(self.time_base * self.rate)
        on_grid = float(np.abs(begins - np.rint(begins)).max()) < ON_GRID
        if self.constant or on_grid or self.rate * FINE_S >= 1 or self.rate < SLIDES:
            return self.rate
        return self.rate * math.ceil(1 / (self.rate * FINE_S))

    @property
    def duration_s(self) -> Fraction:
        """From the first frame to the end of the last."""
        if self.constant:
            return len(self) / self.rate
        return int(self.ticks[-1]) * self.time_base + (self.last_s or 1 / self.rate)

    def num_slots(self, fps: Fraction) -> int:
        """How many frames of a constant rate the timeline fills."""
        if self.constant and fps == self.rate:
            return len(self)
        return max(1, _round_half_up(self.duration_s * fps))

    def source_of_slots(self, fps: Fraction, first: int = 0, stop: int | None = None) -> NDArray[np.int64] | None:
        """Which decoded frame is shown in each frame of a constant rate.

        A frame belongs to the slot nearest to its time; a slot without one repeats the frame before, and of several
        the last is shown. (The rule of FFmpeg's `fps` filter.)

        Args:
            first, stop: the slots that are wanted; None goes to the end. A part costs memory for that part only.
        Returns:
            [m] int64, or None if it is 0, 1, 2, ... for all frames.
        """
        if self.constant and fps == self.rate:
            return None
        step = fps / self.rate if self.constant else self.time_base * fps
        ticks = range(len(self)) if self.constant else map(int, self.ticks)
        up, down = 2 * step.numerator, step.denominator
        slots = np.fromiter(((tick * up + down) // (2 * down) for tick in ticks), dtype=np.int64, count=len(self))
        count = self.num_slots(fps)
        wanted = np.arange(first, count if stop is None else min(stop, count), dtype=np.int64)
        sources = np.searchsorted(slots, wanted, side="right")
        sources -= 1
        return np.maximum(sources, 0, out=sources)


def timeline(
    ticks: Ticks, time_base: Fraction, hints: Iterable[Fraction | None], last_ticks: int | None = None
) -> tuple[Timeline, tuple[str, ...]]:
    """Find the frame rate behind timestamps.

    Args:
        ticks: [n] int64, strictly increasing, n >= 1.
        time_base: seconds per tick.
        hints: rates that the file names, best first; they may be wrong. One that fits the timestamps is believed
            before a standard rate near their mean, which in a clock of 1/1000 s takes seconds to tell 60 from 59.94.
        last_ticks: how long the last frame is shown, if known; only used when there is no other evidence.
    Returns:
        The timeline, and sentences about what was repaired.
    """
    notes: list[str] = []
    ticks = ticks - ticks[0]
    ticks, jumps = _close_gaps(ticks, time_base)
    if jumps:
        notes.append(
            f"The timestamps jump {jumps} time(s) by more than {MAX_GAP_S // 60} minutes; the holes are closed."
        )
    hinted = [Fraction(hint) for hint in hints if believable(hint)]
    if int(ticks[-1]) * time_base > MAX_GAP_S * len(ticks):  # a tick is longer than any frame: it means nothing
        return even_timeline(len(ticks), hinted[0] if hinted else USUAL_RATE), tuple(notes)
    if len(ticks) == 1:
        if not hinted and last_ticks:
            hinted = [rate for rate in (1 / (last_ticks * time_base),) if believable(rate)]
        return Timeline(ticks, time_base, hinted[0] if hinted else USUAL_RATE, True), tuple(notes)
    mean = (len(ticks) - 1) / (int(ticks[-1]) * time_base)
    exact = [hint for hint in hinted if _is_exact(ticks, time_base, hint)]
    blur = 1.5 / int(ticks[-1])  # the mean is known to one tick in all
    declared = [rate for hint in hinted for rate in _near(hint, DECLARED_WITHIN)]
    standard = [rate for hint in (mean, *hinted) for rate in _near(hint, max(0.0005, blur))]
    for rate in (*exact, *declared, *standard, *hinted, mean.limit_denominator(1001)):
        if MIN_RATE <= rate <= 10 * MAX_RATE and _is_constant(ticks, time_base, rate):
            return Timeline(ticks, time_base, rate, True), tuple(notes)
    intervals = np.diff(ticks)
    usual = 1 / (int(np.median(intervals)) * time_base)
    fitting = [rate for rate in declared if abs(rate - usual) <= 0.03 * usual]
    rate = next(iter((*fitting, *_near(usual, 0.03), *_near(mean, 0.03))), usual.limit_denominator(1001))
    return Timeline(ticks, time_base, min(max(rate, Fraction(1)), MAX_RATE), False), tuple(notes)


def with_last(line: Timeline, last_ticks: int | None, time_base: Fraction) -> Timeline:
    """The timeline with the time that an animation shows its last frame, where that is clearly longer than the others.

    Args:
        last_ticks: as the file says; None or 0 if it does not.
    """
    last_s = (last_ticks or 0) * time_base
    if not 1.5 / line.rate < last_s <= MAX_GAP_S:
        return line
    if line.constant:  # its ticks may be those of the rate
        ticks = np.array([_round_half_up(i / (line.rate * time_base)) for i in range(len(line))], dtype=np.int64)
        return Timeline(ticks, time_base, line.rate, False, last_s)
    return replace(line, last_s=last_s)


def even_timeline(count: int, rate: Fraction) -> Timeline:
    """A timeline for frames whose timestamps are useless: one after the other at a constant rate."""
    return Timeline(np.arange(count, dtype=np.int64), 1 / rate, rate, True)


def believable(rate: Fraction | None) -> TypeGuard[Fraction]:
    """Whether a rate that a file names can be one."""
    return rate is not None and MIN_RATE <= rate <= MAX_RATE


def _is_exact(ticks: Ticks, time_base: Fraction, rate: Fraction) -> bool:
    """Whether the time base can express the rate and every timestamp is where it belongs."""
    interval = 1 / (rate * time_base)
    return interval.denominator == 1 and bool(np.all(ticks == np.arange(len(ticks)) * int(interval)))


def _is_constant(ticks: Ticks, time_base: Fraction, rate: Fraction) -> bool:
    ideal = np.arange(len(ticks), dtype=np.float64) * float(1 / (rate * time_base))
    deviation = ticks - ideal
    # Rounding to ticks moves a time by half a tick each way, truncation by one tick.
    allowed = max(1.01, 0.02 * float(1 / (rate * time_base)))
    return float(deviation.max() - deviation.min()) <= allowed


def _near(rate: Fraction, tolerance: float) -> list[Fraction]:
    near = [standard for standard in STANDARD_RATES if abs(standard - rate) <= tolerance * rate]
    return sorted(near, key=lambda standard: abs(standard - rate))


def _close_gaps(ticks: Ticks, time_base: Fraction) -> tuple[Ticks, int]:
    intervals = np.diff(ticks)
    broken = intervals > MAX_GAP_S / time_base
    if not broken.any():
        return ticks, 0
    whole = intervals[~broken]
    intervals = np.where(broken, int(np.median(whole)) if len(whole) else 1, intervals)
    return np.concatenate([[0], np.cumsum(intervals)]).astype(np.int64), int(broken.sum())


def _round_half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
