"""Which source frame each frame of the output shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, FrameSource
from talkinghead.errors import OptionError, choices

LoopPolicy = Literal["pingpong", "loop", "hold", "trim"]
LOOP_POLICIES: tuple[LoopPolicy, ...] = get_args(LoopPolicy)
"""What happens when the source has fewer frames than the sound:
pingpong plays it forwards and backwards, loop starts again, hold repeats the last frame, trim ends the video."""


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
    if policy not in LOOP_POLICIES:
        raise OptionError(f"There is no loop policy {policy!r}.", accepted=choices(LOOP_POLICIES))
    if num_source < 1:
        raise ValueError(f"num_source must be at least 1, not {num_source}")
    if policy == "trim":
        return np.arange(min(num_frames, num_source), dtype=np.int64)
    index = np.arange(num_frames, dtype=np.int64)
    if policy == "hold":
        return np.minimum(index, num_source - 1)
    if policy == "loop":
        return index % num_source
    period = max(1, 2 * (num_source - 1))
    phase = index % period
    return np.minimum(phase, period - phase)


@dataclass(frozen=True, eq=False)
class FramePlan:
    """The output's frames: how many, how fast, and what each one shows."""

    fps: Fraction
    indices: NDArray[np.int64]
    """[n] int64, source frame of each output frame; all zero for a still picture or a scene without frames."""

    def __len__(self) -> int:
        return len(self.indices)


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
    if source_fps is None or source_fps == fps:
        return FramePlan(fps, source_indices(num_source, num_frames, policy))
    at = source_frames_at(num_frames, fps, source_fps)
    shown = source_indices(num_source, int(at[-1]) + 1 if num_frames else 0, policy)
    return FramePlan(fps, shown[at[at < len(shown)]])


def source_frames_at(num_frames: int, fps: Fraction, source_fps: Fraction) -> NDArray[np.int64]:
    """Source frame during which each output frame begins, floor(i * source_fps / fps), exact; [n] int64."""
    ratio = source_fps / fps
    if num_frames * ratio.numerator < 2**62:
        return np.arange(num_frames, dtype=np.int64) * ratio.numerator // ratio.denominator
    return np.array([i * ratio.numerator // ratio.denominator for i in range(num_frames)], np.int64)


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


def planned_frames(source: FrameSource, plan: FramePlan) -> Iterator[PlannedFrame]:
    """Read the source in the plan's order, decoding each run of frames in one pass.

    A frame that repeats is the same array; receivers must not modify it.
    """
    indices = plan.indices
    n = len(indices)
    i = 0
    while i < n:
        step = int(indices[i + 1] - indices[i]) if i + 1 < n else 1
        if step not in (1, -1):  # a repeated frame, or a jump: show this one until it changes
            frame = next(iter(source.read(int(indices[i]), int(indices[i]) + 1)))
            first = indices[i]
            while i < n and indices[i] == first:
                yield PlannedFrame(i, int(first), frame)
                i += 1
            continue
        stop = i + 1
        while stop < n and indices[stop] - indices[stop - 1] == step:
            stop += 1
        for offset, frame in enumerate(source.read(int(indices[i]), int(indices[stop - 1]) + step, step)):
            yield PlannedFrame(i + offset, int(indices[i + offset]), frame)
        i = stop
