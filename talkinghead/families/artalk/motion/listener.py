"""ARTalk's networks as a listener: sound in pieces to the motion of each video frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import Listener, Told
from talkinghead.families.artalk.motion.config import EXPRESSION, MotionRow
from talkinghead.families.artalk.motion.counts import VideoLength
from talkinghead.families.artalk.motion.rate import RateChange, longest_wait_s

if TYPE_CHECKING:
    from talkinghead.families.artalk.motion.stream import MotionStream

NO_FLAME = (
    "The head is not FLAME, so of ARTalk's motion only jaw and head rotation show; "
    "give FLAME_with_eye.pt in the assets to see its expressions."
)


class MotionListener(Listener[MotionRow]):
    """Gives the motion of a frame once the chunk of 4 s is there in which it lies, with what smoothing and another
    frame rate need of the next one.

    However the sound is cut, the windows are the same.

    Args:
        stream: new.
        length: how many frames the sound makes, and how fast they come.
        expressive: the head that is drawn knows ARTalk's expressions.
    """

    def __init__(self, stream: MotionStream, length: VideoLength, run: RunContext, *, expressive: bool) -> None:
        self._stream = stream
        self._length = length
        self._run = run
        self._expressive = expressive
        self._rate = RateChange(length.fps)
        self._samples = 0
        self._given = 0

    @property
    def lookahead_s(self) -> float:
        return float(longest_wait_s(self._length.fps, self._stream.chunk_frames, self._stream.behind))

    def told(self) -> Told:
        notes = (*self._length.notes(self._samples), *(() if self._expressive else (NO_FLAME,)))
        return Told("artalk", notes=notes)

    def push(self, samples: FloatArray) -> Sequence[MotionRow]:
        self._samples += len(samples)
        if self._given == self._length.most:
            return ()
        rows = self._rate.feed(self._shown(self._stream.feed(samples, self._tell())))
        return self._out(rows, self._length.most)

    def flush(self) -> Sequence[MotionRow]:
        count = self._length.frames(self._samples)
        if self._given == count:
            return ()
        rows = self._rate.feed(self._shown(self._stream.finish(self._tell())))
        return self._out(np.concatenate((rows, self._rate.finish(count))), count)

    def _tell(self) -> Callable[[float, float], None]:
        return self._run.hearing(self._samples / SPEECH_RATE_HZ)

    def _shown(self, motion: FloatArray) -> FloatArray:
        if not self._expressive:
            motion[:, EXPRESSION] = 0.0
        return motion

    def _out(self, rows: FloatArray, most: int | None) -> Sequence[MotionRow]:
        given = rows if most is None else rows[: most - self._given]
        self._given += len(given)
        return cast("Sequence[MotionRow]", given)
