"""SCRFD: a small network with boxes and five key points, run by ONNX Runtime.

Source: Guo et al. 2021 (SCRFD), as used by SyncTalk_2D and Ultralight-Digital-Human (`scrfd_2.5g_kps.onnx`) and by
InsightFace (`det_*.onnx`, `scrfd_*.onnx`: no batch axis, any input size, with or without key points).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Detection, FloatArray, Frame, IntArray, NetworkRun
from talkinghead.errors import BackendError, WrongCheckpoint
from talkinghead.face.detectors.base import check_frame, read_model, short_hash
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.reading.onnx_file import check_onnx

STRIDES = (8, 16, 32)
ANCHORS_PER_CELL = 2
DEFAULT_INPUT_SIDE = 640
DEFAULT_MIN_SCORE = 0.5
NMS_OVERLAP = 0.5
RETRY_BORDER = 0.5
"""Where nothing is found, black borders of this share of each side are added and the frame is searched again: the
network misses faces that fill most of its input."""


@dataclass(frozen=True)
class Letterbox:
    """How a frame was fitted into the square input of the network."""

    height: int
    """Rows of the resized frame."""
    width: int
    top: int
    """Rows of padding above it; the rest is below."""
    left: int


def letterbox(height: int, width: int, side: int = DEFAULT_INPUT_SIDE) -> Letterbox:
    """The fit of a height x width frame into side x side.

    Kept from the reference: a landscape frame gets one row more than its shape asks for, and ratios are computed
    in double precision and truncated.
    """
    if height == width:
        return Letterbox(side, side, 0, 0)
    ratio = height / width
    if height > width:
        new_width = max(1, int(side / ratio))
        return Letterbox(side, new_width, 0, int((side - new_width) * 0.5))
    new_height = min(side, int(side * ratio) + 1)
    return Letterbox(new_height, side, int((side - new_height) * 0.5), 0)


def network_input(frame: Frame, side: int = DEFAULT_INPUT_SIDE) -> tuple[FloatArray, Letterbox]:
    """Resize, pad with black and normalise one frame.

    Args:
        frame: [H, W, 3] RGB uint8.
    Returns:
        [1, 3, side, side] float32 RGB in [-1, 1] (padding is -0.996), and the fit.
    """
    import cv2

    fit = letterbox(frame.shape[0], frame.shape[1], side)
    small = cv2.resize(frame, (fit.width, fit.height), interpolation=cv2.INTER_AREA)
    square = np.zeros((side, side, 3), np.uint8)
    square[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = small
    blob = np.empty((1, 3, side, side), np.float32)
    np.subtract(square.transpose(2, 0, 1), np.float32(127.5), out=blob[0], dtype=np.float32)
    blob *= np.float32(1 / 128)
    return blob, fit


def decode(
    outputs: Sequence[FloatArray], fit: Letterbox, size: tuple[int, int], *, side: int, min_score: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Turn the network's maps into boxes in pixels of the frame.

    Args:
        outputs: per stride of `STRIDES` scores [n, 1], then distances to the edges [n, 4], then (if the model has
            them) offsets of the key points [n, 10]; all in strides, n = 2 (side / stride)^2.
        size: (width, height) of the frame.
    Returns:
        boxes [k, 4] as (x, y, w, h), key points [k, 5, 2] (NaN if the model has none), scores [k], all float32,
        in order of stride, row, column, anchor; every candidate with a score of at least `min_score`.
    """
    levels = len(STRIDES)
    boxes, points, scores = [], [], []
    for level, stride in enumerate(STRIDES):
        score = outputs[level].reshape(-1)
        keep = np.flatnonzero(score >= min_score)
        cell = keep // ANCHORS_PER_CELL
        cells_per_row = side // stride
        corner = np.stack([cell % cells_per_row, cell // cells_per_row], axis=1).astype(np.float32) * np.float32(stride)
        distance = outputs[levels + level].reshape(-1, 4)[keep] * np.float32(stride)
        boxes.append(np.concatenate([corner - distance[:, :2], corner + distance[:, 2:]], axis=1))
        if len(outputs) == 3 * levels:
            offset = outputs[2 * levels + level].reshape(-1, 5, 2)[keep] * np.float32(stride)
            points.append(corner[:, None, :] + offset)
        else:
            points.append(np.full((len(keep), 5, 2), np.nan, np.float32))
        scores.append(score[keep])
    corners = np.concatenate(boxes)
    # To (x, y, w, h) before scaling, in the order of the reference: the last bits of float32 follow from it.
    found = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    scale = np.array([size[0] / fit.width, size[1] / fit.height], np.float64)
    shift = np.array([fit.left, fit.top], np.float64)
    found[:, :2] = (found[:, :2] - shift) * scale
    found[:, 2:] = found[:, 2:] * scale
    landmarks = ((np.concatenate(points) - shift) * scale).astype(np.float32)
    return found.astype(np.float32), landmarks, np.concatenate(scores).astype(np.float32)


def suppress(boxes_xywh: FloatArray, scores: FloatArray, *, min_score: float, max_overlap: float) -> IntArray:
    """Greedy non-maximum suppression.

    Args:
        boxes_xywh: [k, 4] (x, y, w, h).
    Returns:
        Indices of the boxes kept, best first; among equal scores the earlier stands first. Only scores above
        `min_score` take part; a box goes if its intersection over union with a better one exceeds `max_overlap`.
    """
    boxes = boxes_xywh.astype(np.float64)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    area = boxes[:, 2] * boxes[:, 3]
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > min_score]
    kept: list[int] = []
    while len(order):
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        edges = np.minimum(high[best], high[rest]) - np.maximum(low[best], low[rest])
        shared = np.clip(edges, 0, None).prod(axis=1)
        union = area[best] + area[rest] - shared
        order = rest[shared <= max_overlap * union]
    return np.array(kept, np.int32)


class ScrfdDetector:
    """SCRFD with the model file given."""

    name = "scrfd"
    batch_size = 4
    looks_at_pixels = True
    network = NetworkRun("face detector scrfd", "onnx")

    def __init__(
        self,
        model: bytes,
        *,
        source: str = "",
        side: int | None = None,
        min_score: float = DEFAULT_MIN_SCORE,
        retry_with_border: bool = True,
    ) -> None:
        """Load a model from an ONNX file's content.

        Args:
            source: where it came from, for messages.
            side: of the square input, a multiple of 32, where the model leaves it free; default 640.
            retry_with_border: search again with a border where nothing is found; the published systems do not.
        Raises:
            WrongCheckpoint: not an SCRFD model, or its input size is fixed to another.
            MissingDependency: ONNX Runtime is not installed.
        """
        self._session, self._input = _session(model, source)
        self._outputs = _output_order(self._session, source)
        fixed = _fixed_side(self._session, source)
        self.side = fixed or _round_side(side) or DEFAULT_INPUT_SIDE
        self.min_score = min_score
        self.retry_with_border = retry_with_border
        self._source = source
        self._hash = short_hash(model)

    @property
    def has_key_points(self) -> bool:
        return len(self._outputs) == 3 * len(STRIDES)

    @property
    def identity(self) -> str:
        return f"scrfd/1 {self._hash} side {self.side} score {self.min_score} retry {self.retry_with_border}"

    @property
    def description(self) -> str:
        return f"scrfd ({Path(self._source).name or 'model'} at {self.side} pixels)"

    def run(self, blob: FloatArray) -> list[FloatArray]:
        """The network alone: [1, 3, side, side] to the maps that `decode` takes, without a batch axis."""
        maps: list[NDArray[Any]] = self._session.run(self._outputs, {self._input: blob})
        return [array.reshape(-1, array.shape[-1]).astype(np.float32, copy=False) for array in maps]

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """See `Detector.detect`."""
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: Frame) -> list[Detection]:
        check_frame(frame)
        found = self._search(frame)
        if found or not self.retry_with_border:
            return found
        height, width = frame.shape[:2]
        y, x = round(RETRY_BORDER * height), round(RETRY_BORDER * width)
        framed: Frame = np.zeros((height + 2 * y, width + 2 * x, 3), np.uint8)
        framed[y : y + height, x : x + width] = frame
        shift = np.array([x, y], np.float32)
        return [
            Detection(
                face.box_xyxy - np.tile(shift, 2),
                face.score,
                None if face.key_points is None else face.key_points - shift,
            )
            for face in self._search(framed)
        ]

    def _search(self, frame: Frame) -> list[Detection]:
        height, width = frame.shape[:2]
        blob, fit = network_input(frame, self.side)
        maps = self.run(blob)
        self._check_maps(maps)
        boxes, points, scores = decode(maps, fit, (width, height), side=self.side, min_score=self.min_score)
        found = []
        for row in suppress(boxes, scores, min_score=self.min_score, max_overlap=NMS_OVERLAP):
            box = boxes[row].copy()
            box[2:] += box[:2]
            score = float(np.clip(scores[row], 0.0, 1.0))
            found.append(Detection(box, score, points[row] if self.has_key_points else None))
        return found

    def _check_maps(self, maps: Sequence[FloatArray]) -> None:
        widths = (1, 4, 10)
        for i, array in enumerate(maps):
            stride, columns = STRIDES[i % len(STRIDES)], widths[i // len(STRIDES)]
            expected = (ANCHORS_PER_CELL * (self.side // stride) ** 2, columns)
            if array.shape != expected:
                raise WrongCheckpoint(
                    f"Output {self._outputs[i]!r} of the model {self._source} is {list(array.shape)}, "
                    f"an SCRFD model gives {list(expected)}.",
                    accepted="an SCRFD model with strides 8, 16, 32 and two anchors per cell.",
                )


def _session(model: bytes, source: str) -> tuple[Any, str]:
    from talkinghead.backends.onnx_runtime import open_onnx

    check_onnx(
        model, source, error=WrongCheckpoint, accepted="an SCRFD model as an ONNX file, e.g. scrfd_2.5g_kps.onnx."
    )
    try:
        session = open_onnx(model, name=f"the model {source}", purpose="The face detector 'scrfd'")
    except BackendError as error:
        raise WrongCheckpoint(
            f"The model {source} cannot be read as ONNX: {error.__cause__}",
            accepted="an SCRFD model as an ONNX file, e.g. scrfd_2.5g_kps.onnx.",
            remedy="check that the file was downloaded completely.",
        ) from error
    return session, session.get_inputs()[0].name


def _output_order(session: Any, source: str) -> list[str]:
    """The outputs in the order of `decode`: as listed in the file, which is that order in every known export."""
    outputs = session.get_outputs()
    if len(session.get_inputs()) != 1 or len(outputs) not in (2 * len(STRIDES), 3 * len(STRIDES)):
        raise WrongCheckpoint(
            f"The model {source} has {len(session.get_inputs())} inputs and {len(outputs)} outputs.",
            accepted="an SCRFD model: one input, and 6 or 9 outputs (scores, boxes, key points at three strides).",
        )
    return [output.name for output in outputs]


def _fixed_side(session: Any, source: str) -> int | None:
    """The square input size that the model insists on, or None if it takes any."""
    shape = session.get_inputs()[0].shape
    sides = [value for value in shape[2:] if isinstance(value, int) and value > 0]
    if len(shape) != 4 or (len(sides) == 2 and sides[0] != sides[1]) or any(side % STRIDES[-1] for side in sides):
        raise WrongCheckpoint(
            f"The model {source} takes an input of {shape}.",
            accepted="[1, 3, side, side] with a side that 32 divides, or of free size.",
        )
    return sides[0] if sides else None


def _round_side(side: int | None) -> int | None:
    """The nearest multiple of the coarsest stride, at least one of them."""
    return None if side is None else max(1, round(side / STRIDES[-1])) * STRIDES[-1]


def build(options: FaceOptions, model: Path | None) -> ScrfdDetector:
    assert model is not None
    return ScrfdDetector(
        read_model(model, "scrfd"),
        source=str(model),
        side=options.max_side,
        min_score=DEFAULT_MIN_SCORE if options.min_score is None else options.min_score,
    )
