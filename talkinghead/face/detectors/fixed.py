"""The detector that is told where the face is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talkinghead.contracts import Detection, Frame
from talkinghead.errors import OptionError
from talkinghead.face.detectors.base import check_frame
from talkinghead.face.detectors.options import FaceOptions


class FixedBox:
    """Answers the same box for every frame, with score 1."""

    name = "box"
    has_key_points = False
    batch_size = 16
    looks_at_pixels = False
    network = None

    def __init__(self, box_xyxy: tuple[int, int, int, int]) -> None:
        self.box_xyxy = box_xyxy

    @property
    def identity(self) -> str:
        return f"box/1 {self.box_xyxy}"

    @property
    def description(self) -> str:
        return "box ({}, {}, {}, {})".format(*self.box_xyxy)

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """See `Detector.detect`.

        Raises:
            OptionError: the box lies outside a frame.
        """
        found = []
        for frame in frames:
            check_frame(frame)
            height, width = frame.shape[:2]
            x1, y1, x2, y2 = self.box_xyxy
            if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
                raise OptionError(
                    f"The box {self.box_xyxy} lies outside the frame, which has {width}x{height} pixels.",
                    accepted=f"x1,y1,x2,y2 with x from 0 to {width} and y from 0 to {height}.",
                )
            found.append([Detection(np.array(self.box_xyxy, np.float32), 1.0)])
        return found


def build(options: FaceOptions, model: Path | None) -> FixedBox:  # noqa: ARG001 - the registry's signature
    assert options.box is not None
    return FixedBox(options.box)
