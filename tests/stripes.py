"""A model for tests: shows the source's frames, with a bar on the left as long as the sound is loud.

It needs no face, no weights and next to no time, so that what is around a model can be tested: the head, the API, the
command line. `python -m tests.stripes ARGUMENTS...` is the command line with this model in it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from talkinghead.contracts import AudioClip, Frame, Speech
from talkinghead.engine.head import Avatar, Description, Head, LoadOptions, PrepareOptions, RenderOptions
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
    look_ahead_s=0.0,
    can_stream=True,
    config="tests.stripes:StripesConfig",
    extra=None,
)


class StripesHead(Head):
    """The model."""

    facts = FACTS

    def __init__(self, config: StripesConfig) -> None:
        self.config = config
        self.prepared = 0

    def prepare(self, source: Any, options: PrepareOptions | None = None, *, progress=None, cancel=None) -> Avatar:
        from talkinghead.media import FrameOptions, open_frames

        options = options or PrepareOptions()
        frame_options = options.frames or FrameOptions()
        wanted = (options.render or RenderOptions()).fps
        frames = open_frames(source, options=replace(frame_options, fps=frame_options.fps or wanted))
        self.prepared += 1
        return Avatar(frames, None, frames.size, frames.fps, len(frames))

    def condition(self, speech: Speech, fps: Fraction, num_frames: int) -> np.ndarray:
        return loudness(speech.clip, fps, num_frames)

    def stages(self, avatar: Avatar, conditioning: np.ndarray, plan: FramePlan) -> Sequence[Stage]:
        source = avatar.source
        assert source is not None

        def read(indices: Iterator[int]) -> Iterator[PlannedFrame]:
            for index, item in zip(indices, planned_frames(source, plan), strict=True):
                assert index == item.index
                yield item

        def paint(items: Iterator[PlannedFrame]) -> Iterator[Frame]:
            for item in items:
                if item.index == self.config.fail_at:
                    raise RuntimeError("the paint is empty")
                time.sleep(self.config.delay_s)
                frame = item.frame.copy()
                if self.config.bar:
                    frame[: round(float(conditioning[item.index]) * frame.shape[0]), :2] = 255
                yield frame

        return [Stage("read", read), Stage("paint", paint)]

    def describe(self, avatar: Avatar, conditioning: Any) -> Description:
        return Description(model_details={"bar": self.config.bar})


def loudness(clip: AudioClip, fps: Fraction, num_frames: int) -> np.ndarray:
    """[num_frames] root mean square of each frame's samples."""
    edges = [int(i / fps * clip.sample_rate_hz) for i in range(num_frames + 1)]
    parts = (clip.samples[a:b] for a, b in pairwise(edges))
    return np.array([np.sqrt(np.mean(np.square(part))) if len(part) else 0.0 for part in parts])


def build(options: LoadOptions) -> StripesHead:
    return StripesHead(build_config(StripesConfig, options.family, owner="stripes"))


if __name__ == "__main__":
    FAMILIES[FACTS.name] = FACTS
    from talkinghead.cli.main import main

    sys.exit(main())
