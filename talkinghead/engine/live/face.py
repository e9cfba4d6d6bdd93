"""What a family offers to be live: one object per session, and one function that draws for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic

from talkinghead.contracts import Frame
from talkinghead.engine.listener import WindowT


class LiveFace(ABC, Generic[WindowT]):
    """A prepared face in one session. Its methods must be quick; `pose` is called in the order of frames, and again
    from an earlier one on where speech was interrupted."""

    @property
    @abstractmethod
    def rest(self) -> WindowT:
        """What is heard in silence: with it the mouth is shut, or as the source has it."""

    @abstractmethod
    def eased(self, window: WindowT, share: float) -> WindowT:
        """A window of which only a share in [0, 1] is shown; 0 looks like `rest`."""

    def pose(self, index: int, window: WindowT) -> Any:  # noqa: ARG002 - the interface
        """What the drawing of a frame of the clock needs; by default the window."""
        return window


@dataclass(frozen=True, eq=False)
class Order:
    """A frame to be drawn."""

    avatar: Any
    """The prepared face, of the family's own class."""
    source_index: int
    frame: Frame | None
    """Of the source, RGB uint8 [H, W, 3]; None where the family renders whole frames."""
    pose: Any
    """From `LiveFace.pose`."""

    @property
    def picture(self) -> Frame:
        """The source frame, for families that change one."""
        assert self.frame is not None
        return self.frame
