"""Viola-Jones cascade of OpenCV: no model file, upright frontal faces.

Source: Viola and Jones 2001; cascade `haarcascade_frontalface_alt2` of OpenCV, inside its wheel.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import Detection, Frame
from talkinghead.errors import BackendError
from talkinghead.face.detectors.base import check_frame, reduced_size
from talkinghead.face.options import FaceOptions

CASCADE = "haarcascade_frontalface_alt2.xml"
DEFAULT_MAX_SIDE = 480
DEFAULT_MIN_SCORE = 0.3


class HaarDetector:
    """Finds upright frontal faces."""

    name = "haar"
    has_key_points = False
    batch_size = 8
    looks_at_pixels = True

    def __init__(self, *, max_side: int = DEFAULT_MAX_SIDE, min_score: float = DEFAULT_MIN_SCORE) -> None:
        self.max_side = max_side
        self.min_score = min_score
        self._cascade = _load_cascade()
        self._lock = threading.Lock()  # a cascade is not safe to run from two threads

    @property
    def identity(self) -> str:
        return f"haar/1 {CASCADE} side {self.max_side} score {self.min_score}"

    @property
    def description(self) -> str:
        return f"haar (frontalface_alt2 at {self.max_side} pixels)"

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """See `Detector.detect`. Scores grow with the number of windows that agree."""
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: Frame) -> list[Detection]:
        import cv2

        check_frame(frame)
        height, width = frame.shape[:2]
        small_width, small_height = reduced_size(width, height, self.max_side)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (small_width, small_height), interpolation=cv2.INTER_AREA)
        grey = cv2.equalizeHist(grey)
        side = max(20, min(small_width, small_height) // 10)
        with self._lock:
            boxes, neighbours = self._cascade.detectMultiScale2(
                grey, scaleFactor=1.1, minNeighbors=3, minSize=(side, side)
            )
        found = []
        scale = np.array([width / small_width, height / small_height] * 2, np.float32)
        for (x, y, w, h), count in zip(boxes, neighbours, strict=True):
            score = 1.0 - 0.5 ** (float(count) / 5.0)
            if score >= self.min_score:
                found.append(Detection(np.array([x, y, x + w, y + h], np.float32) * scale, score))
        return sorted(found, key=lambda face: -face.score)


def _load_cascade() -> Any:
    import cv2

    path = Path(cv2.__file__).parent / "data" / CASCADE
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise BackendError(
            f"OpenCV's face cascade {path} cannot be loaded.",
            remedy="pip install --force-reinstall 'opencv-python-headless>=4.14,<5' (OpenCV 5 has no cascades).",
        )
    return cascade


def build(options: FaceOptions, model: Path | None) -> HaarDetector:  # noqa: ARG001 - the registry's signature
    return HaarDetector(
        max_side=DEFAULT_MAX_SIDE if options.max_side is None else options.max_side,
        min_score=DEFAULT_MIN_SCORE if options.min_score is None else options.min_score,
    )
