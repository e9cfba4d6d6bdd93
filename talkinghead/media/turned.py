"""A source whose frames are turned by quarters."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from talkinghead.contracts import Frame, FrameSource, MediaInfo
from talkinghead.media.transform import Turn


class TurnedSource:
    """Another source's frames, each turned; all else is that source's.

    Args:
        turn: clockwise, without mirroring.
    """

    def __init__(self, source: FrameSource, turn: Turn) -> None:
        self._source = source
        self._turn = turn

    @property
    def info(self) -> MediaInfo:
        """Of the file: its size is that before this turn."""
        return self._source.info

    @property
    def fps(self) -> Fraction | None:
        return self._source.fps

    @property
    def size(self) -> tuple[int, int]:
        return self._turn.size(*self._source.size)

    @property
    def content_hash(self) -> str:
        return f"{self._source.content_hash}-{self._turn.degrees}"

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._source.warnings

    def __len__(self) -> int:
        return len(self._source)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        return (self._turn.apply(frame) for frame in self._source.read(start, stop, step))

    def close(self) -> None:
        self._source.close()
