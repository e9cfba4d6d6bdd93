"""A model for tests: shows the source's frames, with a bar on the left as long as the sound is loud.

It needs no face, no weights and next to no time, so that what is around a model can be tested: the head, the API, the
command line. `python -m tests.stripes ARGUMENTS...` is the command line with this model in it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, Frame
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Avatar, Description, Head, LoadOptions, PrepareOptions
from talkinghead.engine.listener import Heard, Listener
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan, PlannedFrame, planned_frames
from talkinghead.registry import FAMILIES


@dataclass(frozen=True)
class StripesConfig:
    """How the bar is painted."""

    delay_s: float = 0.0
    """Seconds that each frame takes."""
    fail_at: int | None = None
    """Output frame at which painting fails."""
    bar: bool = True
    """Paint it at all."""

    def __post_init__(self) -> None:
        if self.delay_s < 0:
            raise ValueError(f"delay_s must not be negative, not {self.delay_s}")


FACTS = Manifest(
    name="stripes",
    title="Stripes for tests",
    summary="Paints a bar as long as the sound is loud.",
    kind="patch",
    builder="tests.stripes:build",
    face_source="any picture or video",
    source_option="--face",
    needs_checkpoint=False,
    fps=None,
    config="tests.stripes:StripesConfig",
    extra=None,
)


class StripesListener(Listener[float]):
    """How loud each frame is; knows a frame as soon as its last sample has come."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = fps
        self._samples = np.zeros(0, np.float32)
        self._made = 0

    @property
    def lookahead_s(self) -> float:
        return float(1 / self._fps)

    def push(self, samples: np.ndarray) -> list[float]:
        self._samples = np.concatenate([self._samples, samples])
        return self._until(int(len(self._samples) * self._fps / SPEECH_RATE_HZ))

    def flush(self) -> list[float]:
        return self._until(AudioClip(self._samples, SPEECH_RATE_HZ).num_frames(self._fps))

    def _until(self, count: int) -> list[float]:
        first, self._made = self._made, max(count, self._made)
        return [loudness(self._samples, self._fps, index) for index in range(first, self._made)]


class StripesHead(Head[Avatar, float]):
    """The model."""

    def __init__(self, options: LoadOptions) -> None:
        super().__init__(FACTS, options)
        self.config = build_config(StripesConfig, options.family, owner="stripes")
        self.prepared = 0

    def open_avatar(self, source: Any, options: PrepareOptions, run: RunContext) -> Avatar:
        from talkinghead.media import FrameOptions, open_frames

        frames = open_frames(source, options=options.frames or FrameOptions())
        self.prepared += 1
        return Avatar(frames, None, frames.size, frames.fps, len(frames))

    def listener(self, avatar: Avatar, fps: Fraction, run: RunContext, *, phones: Any = None) -> StripesListener:
        return StripesListener(fps)

    def stages(self, avatar: Avatar, heard: Heard[float], plan: FramePlan, run: RunContext) -> Sequence[Stage]:
        source = avatar.source
        assert source is not None

        def read(indices: Iterator[int]) -> Iterator[PlannedFrame]:
            for index, item in zip(indices, planned_frames(source, plan), strict=False):
                assert index == item.index
                yield item

        def paint(items: Iterator[PlannedFrame]) -> Iterator[Frame]:
            for item in items:
                if item.index == self.config.fail_at:
                    raise RuntimeError("the paint is empty")
                time.sleep(self.config.delay_s)
                frame = item.frame.copy()
                if self.config.bar:
                    frame[: round(heard.windows[item.index] * frame.shape[0]), :2] = 255
                run.count("frames painted")
                yield frame

        return [Stage("read", read), Stage("compose", paint)]

    def describe(self, avatar: Avatar, heard: Heard[float], run: RunContext) -> Description:
        details = {"bar": self.config.bar, "frames_painted": run.counters["frames painted"]}
        return Description(model_details=details)


def loudness(samples: np.ndarray, fps: Fraction, index: int) -> float:
    """Root mean square of the samples of one frame."""
    part = samples[int(index / fps * SPEECH_RATE_HZ) : int((index + 1) / fps * SPEECH_RATE_HZ)]
    return float(np.sqrt(np.mean(np.square(part)))) if len(part) else 0.0


def build(options: LoadOptions) -> StripesHead:
    return StripesHead(options)


if __name__ == "__main__":
    FAMILIES[FACTS.name] = FACTS
    from talkinghead.cli.main import main

    sys.exit(main())
