"""A file of one frame that is stored as an animation, as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from talkinghead.contracts import Frame, FrameSource, MediaInfo
from talkinghead.media.transform import frame_indices


class StillSource:
    """The first frame of another source, without a time of its own."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._info = replace(
            source.info, kind="image", fps=None, num_frames=1, duration_s=None, variable_frame_rate=False
        )

    @property
    def info(self) -> MediaInfo:
        return self._info

    @property
    def fps(self) -> Fraction | None:
        return None

    @property
    def size(self) -> tuple[int, int]:
        return self._source.size

    @property
    def content_hash(self) -> str:
        return self._source.content_hash

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._source.warnings

    def __len__(self) -> int:
        return 1

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        for _ in frame_indices(start, stop, step, 1):
            yield from self._source.read(0, 1)

    def close(self) -> None:
        """Nothing to release: the frame is read again when it is wanted."""
