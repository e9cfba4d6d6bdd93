"""Source frames of a session, read a little ahead of its clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from talkinghead.contracts import Frame
from talkinghead.engine.timeline import FramePlan, planned_frames

AHEAD = 8
"""Frames that are read before they are asked for."""


class Shown:
    """A prepared face from one frame of a session's clock on.

    Args:
        avatar: with `source` and `num_frames`.
        face: its `LiveFace`.
        plan: source frames from `first` on.
        first: frame of the clock that shows the plan's first.
        news: held while frames are asked for; told when one has come.
    """

    def __init__(self, avatar: Any, face: Any, plan: FramePlan, first: int, news: threading.Condition) -> None:
        self.avatar, self.face, self.first = avatar, face, first
        self._plan, self._news = plan, news
        self._kept: dict[int, Frame] = {}
        self._still: Frame | None = None
        self._needed = first
        """No frame before it is asked for any more."""
        self._wanted = first + AHEAD
        self._closed = False
        self.error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if avatar.source is not None and avatar.num_frames > 1:
            self._thread = threading.Thread(target=self._read, name="live-read", daemon=True)
            self._thread.start()
        elif avatar.source is not None:
            self._still = next(iter(avatar.source.read(0, 1)))

    def source_index(self, index: int) -> int:
        """The source frame that a frame of the clock shows."""
        return int(self._plan.indices[index - self.first])

    def has(self, index: int) -> bool:
        """Whether `frame` has an answer."""
        self._wanted = max(self._wanted, index + AHEAD)
        return self._thread is None or index in self._kept

    def frame(self, index: int) -> Frame | None:
        """The source frame; None where the family renders whole frames."""
        return self._still if self._thread is None else self._kept[index]

    def let_go(self, index: int) -> None:
        """Frames before this one are not asked for any more."""
        for number in range(self._needed, index):
            self._kept.pop(number, None)
        self._needed = max(self._needed, index)
        self._wanted = max(self._wanted, index + AHEAD)

    @property
    def is_reading(self) -> bool:
        """Whether its thread is still there."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Read no more."""
        self._closed = True

    def join(self) -> None:
        """Wait for its thread; `news` must not be held."""
        if self._thread is not None:
            self._thread.join()

    def _read(self) -> None:
        frames: Iterator[Any] = planned_frames(self.avatar.source, self._plan)
        try:
            for planned in frames:
                with self._news:
                    index = self.first + planned.index
                    while not self._closed and index >= self._wanted:
                        self._news.wait(0.1)
                    if self._closed:
                        return
                    if index >= self._needed:
                        self._kept[index] = planned.frame
                        self._news.notify_all()
        except BaseException as error:  # noqa: BLE001 (raised again where the session is iterated)
            with self._news:
                self.error = error
                self._news.notify_all()
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()
