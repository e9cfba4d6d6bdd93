"""Frames that are already in memory, as a source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkinghead.contracts import Frame, MediaInfo
from talkinghead.errors import UnreadableMedia
from talkinghead.media.options import AS_THEY_ARE, FrameOptions
from talkinghead.media.transform import Transform, content_digest, frame_indices


class ArraySource:
    """Pictures in memory as a source of frames.

    Args:
        frames: RGB uint8 [H, W, 3], at least one, all of one size.
        fps: their rate; None for a single picture.
        options: crop, resize and rotate are applied; times and rates are not.
        name: shown in messages.
    Raises:
        UnreadableMedia: no frames, or not uint8 [H, W, 3] of one size.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        *,
        fps: Fraction | None = None,
        options: FrameOptions = AS_THEY_ARE,
        name: str = "the picture in memory",
    ) -> None:
        if not frames:
            raise UnreadableMedia(f"{name} has no frames.", accepted="at least one frame")
        shape = frames[0].shape
        for index, frame in enumerate(frames):
            if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
                raise UnreadableMedia(
                    f"Frame {index} of {name} is an array {list(frame.shape)} {frame.dtype}.",
                    accepted="RGB, uint8, [H, W, 3]",
                )
            if frame.shape != shape:
                raise UnreadableMedia(
                    f"Frame {index} of {name} is {list(frame.shape)}, frame 0 is {list(shape)}.",
                    accepted="frames of one size",
                )
        transform = Transform.plan(shape[1], shape[0], options)
        self._frames = [np.ascontiguousarray(transform.apply(frame)) for frame in frames]
        self._options = options
        self._hash: str | None = None
        self._info = MediaInfo(
            path=Path(name),
            kind="image" if fps is None else "video",
            width=shape[1],
            height=shape[0],
            fps=fps,
            num_frames=len(frames),
            duration_s=None if fps is None else float(len(frames) / fps),
            has_audio=False,
            codec="raw",
        )

    @property
    def info(self) -> MediaInfo:
        return self._info

    @property
    def fps(self) -> Fraction | None:
        return self._info.fps

    @property
    def size(self) -> tuple[int, int]:
        height, width = self._frames[0].shape[:2]
        return width, height

    @property
    def content_hash(self) -> str:
        if self._hash is None:
            sha = hashlib.sha256(str((len(self._frames), *self._frames[0].shape)).encode())
            for frame in self._frames:
                sha.update(np.ascontiguousarray(frame).data)
            self._hash = content_digest(sha.hexdigest(), self._options, "array")
        return self._hash

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        for index in frame_indices(start, stop, step, len(self._frames)):
            yield self._frames[index]

    def close(self) -> None:
        """Nothing to release."""
