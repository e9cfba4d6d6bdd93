"""Viola-Jones cascade of OpenCV: no model file, nearly upright frontal faces.

Source: Viola and Jones 2001; cascade `haarcascade_frontalface_alt2` of OpenCV, inside its wheel.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Detection, FloatArray, Frame, NetworkRun
from talkinghead.errors import BackendError
from talkinghead.face.cascades import open_cascade
from talkinghead.face.detectors.base import check_frame
from talkinghead.face.detectors.options import FaceOptions

CASCADE = "haarcascade_frontalface_alt2.xml"
DEFAULT_MAX_SIDE = 400
"""Longer side of a 16:9 frame in the first search; squarer frames are reduced to the same number of pixels."""
DEFAULT_MIN_SCORE = 0.1
FIRST_MIN_SCORE = 0.3
"""Of a first search, for a face to be looked at again."""
SCORE_HALF, FINE_SCORE_HALF = 10.0, 15.0
"""This many agreeing windows make a score of one half: of a first search, and of a second one around a face."""
MIN_NEIGHBOURS = 3
MAX_ENLARGEMENT = 2.0
"""Small pictures are enlarged up to this much, towards the size searched: the cascade misses faces near its least."""
SMALLEST = 20
"""Side of the smallest face that the cascade knows, pixels."""

FACE_IN_SQUARE = np.array([0.08, -0.08, 0.92, 1.09], np.float32)
"""Where the face (hairline to chin, as the networks mark it) lies in the cascade's square, as shares of its side.

Medians over 55 portraits and video frames against SCRFD's boxes; each edge deviates by 0.03 to 0.08.
"""


REFINE_FACE = 64
"""A face found is searched again at this size, in pixels, ..."""
REFINE_REGION = 1.8
"""... in a region of this many times its side, ..."""
REFINE_STEP = 1.03
"""... in fine steps of size; the mean of all windows is the face. On a talking video this brings the smoothed edges
from 2 to 5 pixels off SCRFD's (of 240) to 1 to 2."""
REFINE_SIZES = (0.6, 1.6)


@dataclass(frozen=True)
class _Pass:
    """One search of a frame."""

    side: float
    """Size of the searched picture as a share of that of the first search."""
    smallest: float
    """Side of the smallest face looked for as a share of the shorter side."""
    largest: float = 1.0
    """Side of the largest face looked for, likewise."""
    turn_degrees: float = 0.0
    """Rotation of the picture before the search, anticlockwise."""
    neighbours: int = MIN_NEIGHBOURS
    step: float = 1.1
    """Ratio of one size looked for to the next."""
    least_score: float = 0.0
    """Of the second search."""
    equalised: bool = True
    """The histogram of the whole picture is spread first; it tells nothing of faces that are small parts of it."""


_FIRST = _Pass(side=1.0, smallest=1 / 9)
_OTHERS = (
    _Pass(side=2.0, smallest=1 / 30, largest=1 / 6, neighbours=4, step=1.2),  # small faces in large frames
    _Pass(side=0.64, smallest=1 / 7, turn_degrees=22.0, neighbours=5),
    _Pass(side=0.64, smallest=1 / 7, turn_degrees=-22.0, neighbours=5),
)
"""Where the first search finds nothing, all of these are made and the one with the best score counts."""
_SMALL = _Pass(side=4.0, smallest=1 / 48, largest=1 / 18, neighbours=4, least_score=0.5, equalised=False)
"""Made where nothing else is found in any frame: faces of 36 pixels in a frame of 1920 x 1080. It takes ten times as
long."""


class HaarDetector:
    """Finds frontal faces that are upright or tilted by up to some 35 degrees."""

    name = "haar"
    has_key_points = False
    batch_size = 8
    looks_at_pixels = True
    network = NetworkRun("face detector haar", "opencv")

    def __init__(
        self, *, max_side: int = DEFAULT_MAX_SIDE, min_score: float = DEFAULT_MIN_SCORE, small: bool = False
    ) -> None:
        """Load the cascade.

        Args:
            max_side: pixels, see `DEFAULT_MAX_SIDE`.
            min_score: see `detect`.
            small: look for small faces, too, which takes long.
        Raises:
            BackendError: the cascade is not in the installed OpenCV.
        """
        self.max_side = max_side
        self.min_score = min_score
        self.small = small
        self._cascade = _load_cascade()
        self._lock = threading.Lock()  # a cascade is not safe to run from two threads

    @property
    def identity(self) -> str:
        import cv2

        at = f"side {self.max_side} score {self.min_score} small {self.small}"
        return f"haar/7 OpenCV {cv2.__version__} {CASCADE} {at}"

    @property
    def description(self) -> str:
        return f"haar (frontalface_alt2 at {self.max_side} pixels)"

    def for_small_faces(self) -> HaarDetector | None:
        """See `DeepDetector`."""
        return None if self.small else HaarDetector(max_side=self.max_side, min_score=self.min_score, small=True)

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """See `Detector.detect`.

        A score is n / (n + 15) for the n windows of a fine search around the face in which the cascade sees it, and
        n / (n + 10) for those of the coarse search where a face is tilted. Boxes are converted from the
        cascade's square to the rectangle from hairline to chin that the networks give.
        """
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: Frame) -> list[Detection]:
        import cv2

        check_frame(frame)
        grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
        found = self._search(grey, _FIRST)
        if not found:
            others = [self._search(grey, search) for search in _OTHERS]
            found = max(others, key=lambda faces: max((face.score for face in faces), default=0.0))
        if not found and self.small:
            found = self._search(grey, _SMALL)
        # The cascade runs in threads and lists what it finds in no fixed order.
        return sorted(found, key=lambda face: (-face.score, *face.box_xyxy.tolist()))

    def _search(self, grey: NDArray[np.uint8], search: _Pass) -> list[Detection]:
        import cv2

        height, width = grey.shape
        wanted = self.max_side * search.side * min(1 / max(width, height), math.sqrt(9 / 16 / (width * height)))
        zoom = min(wanted, MAX_ENLARGEMENT if search is _FIRST else 1.0)
        small_width, small_height = max(1, round(width * zoom)), max(1, round(height * zoom))
        kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        small = cv2.resize(grey, (small_width, small_height), interpolation=kind)
        if search.equalised:
            small = cv2.equalizeHist(small)
        turn = None
        if search.turn_degrees:
            turn = cv2.getRotationMatrix2D((small_width / 2, small_height / 2), search.turn_degrees, 1.0)
            small = cv2.warpAffine(
                small, turn, (small_width, small_height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        shorter = min(small_width, small_height)
        smallest, largest = (
            max(SMALLEST, round(shorter * search.smallest)),
            max(SMALLEST, round(shorter * search.largest)),
        )
        with self._lock:
            squares, counts = self._cascade.detectMultiScale2(
                small,
                scaleFactor=search.step,
                minNeighbors=search.neighbours,
                minSize=(smallest, smallest),
                maxSize=(largest, largest),
            )
        scale_x, scale_y = width / small_width, height / small_height
        found = []
        for (x, y, side, _), count in zip(squares, counts, strict=True):
            score = float(count) / (float(count) + SCORE_HALF)
            if score < FIRST_MIN_SCORE:
                continue
            centre = np.array([x + side / 2, y + side / 2, 1.0])
            if turn is not None:
                centre[:2] = cv2.invertAffineTransform(turn) @ centre
            square = _Square(centre[0] * scale_x, centre[1] * scale_y, side * (scale_x + scale_y) / 2)
            if turn is None:
                square, score = self._refine(grey, square)
            if score >= max(self.min_score, search.least_score):
                found.append(Detection(square.face(), score))
        return found

    def _refine(self, grey: NDArray[np.uint8], coarse: _Square) -> tuple[_Square, float]:
        """Place a face more exactly, and score it; `coarse` itself where the second search finds nothing."""
        import cv2

        height, width = grey.shape
        half = coarse.side * REFINE_REGION / 2
        x1, y1 = max(0, int(coarse.x - half)), max(0, int(coarse.y - half))
        x2, y2 = min(width, int(coarse.x + half) + 1), min(height, int(coarse.y + half) + 1)
        if x2 <= x1 or y2 <= y1:
            return coarse, 0.0
        zoom = REFINE_FACE / coarse.side
        size = max(1, round((x2 - x1) * zoom)), max(1, round((y2 - y1) * zoom))
        kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        region = cv2.resize(grey[y1:y2, x1:x2], size, interpolation=kind)
        low, high = (round(REFINE_FACE * bound) for bound in REFINE_SIZES)
        windows: Sequence[Any] = ()
        for picture in (region, cv2.equalizeHist(region)):  # the second where it is too dark or bright
            with self._lock:
                windows = self._cascade.detectMultiScale(
                    picture, scaleFactor=REFINE_STEP, minNeighbors=0, minSize=(low, low), maxSize=(high, high)
                )
            if len(windows):
                break
        score = len(windows) / (len(windows) + FINE_SCORE_HALF)
        if len(windows) == 0:
            return coarse, score
        x, y, side, _ = np.asarray(windows, np.float64).mean(axis=0)
        zoom_x, zoom_y = size[0] / (x2 - x1), size[1] / (y2 - y1)
        middle_x, middle_y = x1 + (x + side / 2) / zoom_x, y1 + (y + side / 2) / zoom_y
        return _Square(middle_x, middle_y, float(side) * 2 / (zoom_x + zoom_y)), score


@dataclass(frozen=True)
class _Square:
    """What the cascade finds, in pixels of the frame."""

    x: float
    """Centre."""
    y: float
    side: float

    def face(self) -> FloatArray:
        """The face's box (x1, y1, x2, y2), [4] float32."""
        corner = np.array([self.x, self.y, self.x, self.y]) - self.side / 2
        return (corner + FACE_IN_SQUARE * self.side).astype(np.float32)


def _load_cascade() -> Any:
    cascade = open_cascade(CASCADE)
    if cascade.empty():
        raise BackendError(
            f"OpenCV's face cascade {CASCADE} cannot be loaded.",
            remedy="pip install --force-reinstall 'opencv-python-headless>=4.14,<5' (OpenCV 5 has no cascades).",
        )
    return cascade


def build(options: FaceOptions, model: Path | None) -> HaarDetector:  # noqa: ARG001 - the registry's signature
    return HaarDetector(
        max_side=DEFAULT_MAX_SIDE if options.max_side is None else options.max_side,
        min_score=DEFAULT_MIN_SCORE if options.min_score is None else options.min_score,
    )
