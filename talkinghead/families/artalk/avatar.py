"""A head that is ready to be drawn, and how motion flows to its pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from talkinghead.contracts import FloatArray, Frame, NetworkRun, Picture
from talkinghead.engine.head import Avatar
from talkinghead.engine.runner import Stage
from talkinghead.families.artalk.motion.config import MotionRow

MESH = "mesh"
"""Name of the avatar that needs no files."""


@dataclass(frozen=True, eq=False)
class LivePose:
    """A head in one frame of a live session."""

    index: int
    """Frame of the session's clock."""
    row: MotionRow
    memory: Any
    """From `Drawer.begin`, of this session."""


class Drawer(Protocol):
    """Draws a head in motion."""

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        """What draws, and where."""

    @property
    def antialias(self) -> int | None:
        """Samples per pixel along each side; None where pictures come out of a network."""

    def with_shape(self, shape: FloatArray) -> Drawer:
        """The same with another identity, [1, 300]."""

    def stages(self, motion: Sequence[MotionRow]) -> Sequence[Stage]:
        """From output frame numbers to pictures: "pose", "draw", and "upsample" where there is a network.

        Args:
            motion: of each output frame; may grow. The numbers may begin with a later one than the first.
        """

    @property
    def group(self) -> int:
        """Frames, counted from the first, that its stages compute together."""

    @property
    def at_once(self) -> int:
        """Pictures that `draw` had best be given together."""

    def begin(self) -> Any:
        """What drawing a live session remembers from frame to frame."""

    def draw(self, poses: Sequence[LivePose]) -> Sequence[Frame | Picture]:
        """Pictures of live sessions, those of each in its order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HeadAvatar(Avatar):
    """A head, ready to be drawn."""

    name: str
    """MESH, or the id of a tracked avatar."""
    drawer: Drawer


class Paced(Protocol):
    """A value on its way to a picture."""

    @property
    def pause(self) -> bool:
        """No later motion is known yet: whoever collects values must go on with those that are there."""


PacedT = TypeVar("PacedT", bound=Paced)


@dataclass(frozen=True, eq=False)
class Moment:
    """The motion of one output frame."""

    index: int
    row: MotionRow
    pause: bool


def moments(indices: Iterator[int], motion: Sequence[MotionRow]) -> Iterator[Moment]:
    """The motion of each output frame as its number comes."""
    for index in indices:
        yield Moment(index, motion[index], index + 1 >= len(motion))


def batches(values: Iterator[PacedT], size: int) -> Iterator[list[PacedT]]:
    """Lists of at most `size` values, in order; none waits for a value that comes after a pause."""
    batch: list[PacedT] = []
    for value in values:
        batch.append(value)
        if value.pause or len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def bursts(values: Iterator[PacedT]) -> Iterator[Iterator[PacedT]]:
    """The values up to the next pause, again and again; take all of one before the next."""

    def rest() -> Iterator[PacedT]:
        for value in values:
            yield value
            if value.pause:
                return

    for first in values:
        yield iter((first,)) if first.pause else itertools.chain((first,), rest())
