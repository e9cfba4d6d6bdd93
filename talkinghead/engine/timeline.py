"""Which source frame each frame of the output shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, FrameSource
from talkinghead.errors import OptionError, choices

LoopPolicy = Literal["pingpong", "loop", "hold", "trim"]
LOOP_POLICIES: tuple[LoopPolicy, ...] = get_args(LoopPolicy)
"""What happens when the source has fewer frames than the sound:
pingpong plays it forwards and backwards, loop starts again, hold repeats the last frame, trim ends the video."""

BLOCK = 4096
"""Frames that are planned at once."""
DEFAULT_FPS = Fraction(25)
"""Of videos made of a picture."""
SLOWEST_FPS = Fraction(24_000, 1001)
"""Of cinema: from which on a mouth moves smoothly."""


def source_indices(num_source: int, num_frames: int, policy: str) -> NDArray[np.int64]:
    """Index of the source frame of every output frame.

    Args:
        num_source: frames that the source has, at least 1.
        num_frames: frames that the sound asks for.
        policy: one of LOOP_POLICIES.
    Returns:
        [n] int64 in [0, num_source); n is num_frames, or less under `trim`. Under `pingpong` neighbours differ by at
        most one and the end frames are not shown twice.
    """
    count = min(num_frames, num_source) if policy == "trim" else num_frames
    return looped(np.arange(count, dtype=np.int64), num_source, policy)


def looped(index: NDArray[np.int64], num_source: int, policy: str) -> NDArray[np.int64]:
    """Which of the frames that a source has stands for each of those that it would have if it went on, [n] int64."""
    if policy not in LOOP_POLICIES:
        raise OptionError(f"There is no loop policy {policy!r}.", accepted=choices(LOOP_POLICIES))
    if num_source < 1:
        raise ValueError(f"num_source must be at least 1, not {num_source}")
    if policy in ("hold", "trim"):
        return np.minimum(index, num_source - 1)
    if policy == "loop":
        return index % num_source
    period = max(1, 2 * (num_source - 1))
    phase = index % period
    return np.minimum(phase, period - phase)


class SourceIndices(Sequence[int]):
    """Source frames of so many output frames, computed in blocks when they are asked for: a day takes no more memory
    than a minute. NumPy takes it for an array of int64.

    Args:
        num_frames: of the output.
        at: numbers of output frames, [n] int64, to those of the source frames that they show.
    """

    def __init__(self, num_frames: int, at: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
        self._num_frames = num_frames
        self._at = at
        self._kept: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return self._num_frames

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        block, place = divmod(number, BLOCK)
        kept = self._kept  # once: other threads ask for other blocks
        if kept[0] != block:
            self._kept = kept = (block, self._block(block))
        return int(kept[1][place])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.concatenate([np.zeros(0, np.int64), *self.blocks()]).astype(dtype or np.int64, copy=False)

    def tolist(self) -> list[int]:
        """As of an array."""
        return [index for block in self.blocks() for index in block.tolist()]

    def later(self, num_frames: int) -> SourceIndices:
        """These after so many output frames that show the first of them."""
        return SourceIndices(len(self) + num_frames, lambda index: self._at(np.maximum(index - num_frames, 0)))

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """All of them, in order."""
        return (self._block(number) for number in range(-(-len(self) // BLOCK)))

    def _block(self, number: int) -> NDArray[np.int64]:
        return self._at(np.arange(number * BLOCK, min((number + 1) * BLOCK, len(self)), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class FramePlan:
    """The output's frames: how many, how fast, and what each one shows."""

    fps: Fraction
    indices: NDArray[np.int64] | SourceIndices
    """[n], source frame of each output frame; all zero for a still picture or a scene without frames."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def num_distinct(self) -> int:
        """Source frames that are shown at all."""
        shown = np.zeros(0, bool)
        for block in self.indices.blocks() if isinstance(self.indices, SourceIndices) else (self.indices,):
            missing = int(block.max(initial=-1)) + 1 - len(shown)
            shown = np.pad(shown, (0, max(0, missing)))
            shown[block] = True
        return int(np.count_nonzero(shown))


def frame_plan(num_source: int, source_fps: Fraction | None, num_frames: int, fps: Fraction, policy: str) -> FramePlan:
    """Which source frame each output frame shows; source time and output time are the same, whatever the rates.

        source  25/s   |0   |1   |2   |3   |       output frame i begins at i / fps,
        output  50/s   |0 |1 |2 |3 |4 |5 |6 |7     in source frame floor(i * source_fps / fps)
        shows           0  0  1  1  2  2  3  3

    Args:
        num_source: frames that the source has, at least 1.
        source_fps: their rate; None for a picture, which has no time.
        num_frames: frames that the sound asks for at `fps`.
        policy: one of LOOP_POLICIES, applied in source frames; `trim` ends the video with the source.
    """
    rate = fps if source_fps is None else source_fps
    looped(np.zeros(0, np.int64), num_source, policy)  # what is wrong is said now
    if policy == "trim":
        num_frames = min(num_frames, math.ceil(num_source * fps / rate))
    return FramePlan(
        fps, SourceIndices(num_frames, lambda index: looped(source_frames_at(index, fps, rate), num_source, policy))
    )


def held_first(plan: FramePlan, num_held: int) -> FramePlan:
    """The plan after so many frames that show what it shows first."""
    if not num_held or not len(plan):
        return plan
    indices = plan.indices
    if isinstance(indices, SourceIndices):
        return FramePlan(plan.fps, indices.later(num_held))
    return FramePlan(plan.fps, np.concatenate([np.repeat(indices[:1], num_held), indices]))


def source_frames_at(index: NDArray[np.int64], fps: Fraction, source_fps: Fraction) -> NDArray[np.int64]:
    """Source frame during which each of some output frames begins, floor(i * source_fps / fps), exact; [n] int64."""
    ratio = source_fps / fps
    if ratio == 1 or not len(index):
        return index
    if int(index.max()) * ratio.numerator < 2**62:
        return index * ratio.numerator // ratio.denominator
    return np.array([int(i) * ratio.numerator // ratio.denominator for i in index], np.int64)


def speaking_fps(source_fps: Fraction | None) -> Fraction:
    """The rate of a video whose face has a rate of its own, where none is asked for.

    Slide shows and slow animations are shown at a multiple of theirs: no mouth speaks in a few pictures a second.
    """
    if source_fps is None or source_fps <= 0:
        return DEFAULT_FPS
    if source_fps >= SLOWEST_FPS:
        return source_fps
    repeats = round(DEFAULT_FPS / source_fps)
    return source_fps * (repeats if source_fps * repeats >= SLOWEST_FPS else repeats + 1)


def source_frames_needed(num_frames: int, fps: Fraction, source_fps: Fraction | None) -> int:
    """Source frames that can be shown by so many output frames."""
    if source_fps is None or source_fps == fps or num_frames < 1:
        return num_frames
    return int((num_frames - 1) * source_fps / fps) + 1


@dataclass(frozen=True, eq=False)
class PlannedFrame:
    """One source frame on its way to an output frame."""

    index: int
    """Output frame."""
    source_index: int
    frame: Frame


def frames_between(stretch: tuple[float, float], fps: Fraction, num_frames: int) -> range:
    """The output frames that begin in a stretch of a video; stretches that meet share none and leave none out.

    Args:
        stretch: seconds [from, to) of the video; what is beyond its end holds no frames.
    Raises:
        OptionError: not a single frame begins there.
    """
    first, last = (min(num_frames, math.ceil(Fraction(seconds) * fps)) for seconds in stretch)
    if first >= last:
        raise OptionError(
            f"No frame begins between {stretch[0]:g} and {stretch[1]:g} s: the video lasts "
            f"{float(num_frames / fps):.3f} s at {float(fps):.4g} frames a second.",
            accepted="a part of the video that is longer than a frame",
        )
    return range(first, last)


def in_groups(frames: range, size: int, num_frames: int) -> range:
    """Some output frames and those around them that complete groups of `size`, counted from the first of the video."""
    return range(frames.start - frames.start % size, min(num_frames, -(-frames.stop // size) * size))


def planned_frames(source: FrameSource, plan: FramePlan, first: int = 0) -> Iterator[PlannedFrame]:
    """Read the source in the plan's order, decoding each run of frames in one pass.

    A frame that repeats is the same array; receivers must not modify it.

    Args:
        first: output frame to begin with (`RunContext.first`).
    """
    indices = plan.indices
    n = len(indices)
    i = first
    while i < n:
        step = int(indices[i + 1] - indices[i]) if i + 1 < n else 1
        if step not in (1, -1):  # a repeated frame, or a jump: show this one until it changes
            frame = next(iter(source.read(int(indices[i]), int(indices[i]) + 1)))
            shown = indices[i]
            while i < n and indices[i] == shown:
                yield PlannedFrame(i, int(shown), frame)
                i += 1
            continue
        stop = i + 1
        while stop < n and indices[stop] - indices[stop - 1] == step:
            stop += 1
        for offset, frame in enumerate(source.read(int(indices[i]), int(indices[stop - 1]) + step, step)):
            yield PlannedFrame(i + offset, int(indices[i + offset]), frame)
        i = stop
