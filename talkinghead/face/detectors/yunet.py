"""YuNet: OpenCV's small face network with five key points, run by OpenCV.

Source: Wu et al. 2023 (YuNet); `cv2.FaceDetectorYN`, model files `face_detection_yunet_*.onnx`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import Detection, Frame, NetworkRun
from talkinghead.errors import BackendError, WrongCheckpoint
from talkinghead.face.detectors.base import check_frame, read_model, reduced_size, short_hash
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.face.model_files import CATALOGUE
from talkinghead.reading.onnx_file import check_onnx
from talkinghead.reading.trial import failure_apart

DEFAULT_MAX_SIDE = 640
DEFAULT_MIN_SCORE = 0.6
NMS_OVERLAP = 0.3
TOP_K = 200
_BOX = slice(0, 4)  # x, y, w, h
_POINTS = slice(4, 14)  # right eye of the person (left in the image), left eye, nose, mouth corners likewise
_SCORE = 14


class YunetDetector:
    """YuNet with the model file given."""

    name = "yunet"
    has_key_points = True
    batch_size = 8
    looks_at_pixels = True
    network = NetworkRun("face detector yunet", "opencv")

    def __init__(
        self,
        model: bytes,
        *,
        source: str = "",
        max_side: int = DEFAULT_MAX_SIDE,
        min_score: float = DEFAULT_MIN_SCORE,
    ) -> None:
        """Load a model from an ONNX file's content.

        Raises:
            WrongCheckpoint: not a YuNet model.
        """
        self.max_side = max_side
        self.min_score = min_score
        self._source = source
        self._hash = short_hash(model)
        self._network = _load(model, source, min_score)
        self._lock = threading.Lock()  # the input size is state of the network

    @property
    def identity(self) -> str:
        import cv2

        return f"yunet/1 OpenCV {cv2.__version__} {self._hash} side {self.max_side} score {self.min_score}"

    @property
    def description(self) -> str:
        return f"yunet ({Path(self._source).name or 'model'} at {self.max_side} pixels)"

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """See `Detector.detect`."""
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: Frame) -> list[Detection]:
        import cv2

        check_frame(frame)
        height, width = frame.shape[:2]
        small_width, small_height = reduced_size(width, height, self.max_side)
        small = cv2.resize(frame, (small_width, small_height), interpolation=cv2.INTER_AREA)
        try:
            with self._lock:
                self._network.setInputSize((small_width, small_height))
                _, rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise BackendError(f"OpenCV cannot run the model {self._source}: {error.err}") from error
        if rows is None:
            return []
        scale = np.array([width / small_width, height / small_height], np.float32)
        found = []
        for row in np.asarray(rows, np.float32):
            box = row[_BOX].copy()
            box[2:] += box[:2]
            points = row[_POINTS].reshape(5, 2) * scale
            found.append(Detection(box * np.tile(scale, 2), float(np.clip(row[_SCORE], 0, 1)), points))
        return sorted(found, key=lambda face: -face.score)


ACCEPTED = "a YuNet model as an ONNX file, e.g. face_detection_yunet_2023mar.onnx."
_TRIAL = f"""
import cv2, numpy
try:
    model = numpy.frombuffer(data, numpy.uint8)
    network = cv2.FaceDetectorYN.create("onnx", model, numpy.empty(0, numpy.uint8), (64, 64))
    for side in (64, {DEFAULT_MAX_SIDE}):
        network.setInputSize((side, side))
        network.detect(numpy.zeros((side, side, 3), numpy.uint8))
except cv2.error as error:
    sys.exit(' '.join(error.err.split()))
"""


def _load(model: bytes, source: str, min_score: float) -> Any:
    import cv2

    check_onnx(model, source, error=WrongCheckpoint, accepted=ACCEPTED)
    failure = _failure(model)
    if failure is not None:
        raise WrongCheckpoint(
            f"OpenCV cannot read the model {source}: {failure}",
            accepted=ACCEPTED,
            remedy="check that the file was downloaded completely.",
        )
    try:
        network = cv2.FaceDetectorYN.create(
            framework="onnx",
            bufferModel=np.frombuffer(model, np.uint8),
            bufferConfig=np.empty(0, np.uint8),
            input_size=(64, 64),
            score_threshold=min_score,
            nms_threshold=NMS_OVERLAP,
            top_k=TOP_K,
        )
        network.detect(np.zeros((64, 64, 3), np.uint8))  # whether its outputs are those of YuNet shows only here
        return network
    except cv2.error as error:
        raise WrongCheckpoint(
            f"OpenCV cannot read the model {source}: {error.err}",
            accepted=ACCEPTED,
            remedy="check that the file was downloaded completely.",
        ) from error


@lru_cache(maxsize=8)
def _failure(model: bytes) -> str | None:
    """What OpenCV's importer makes of a file, found out in another process: damaged ones can end the one it runs in.

    The published file is known by its hash and needs no trial.
    """
    if hashlib.sha256(model).hexdigest() in {entry.sha256 for entry in CATALOGUE if entry.kind == "yunet"}:
        return None
    return failure_apart(_TRIAL, model)


def build(options: FaceOptions, model: Path | None) -> YunetDetector:
    assert model is not None
    return YunetDetector(
        read_model(model, "yunet"),
        source=str(model),
        max_side=DEFAULT_MAX_SIDE if options.max_side is None else options.max_side,
        min_score=DEFAULT_MIN_SCORE if options.min_score is None else options.min_score,
    )
