"""S3FD: the detector that Wav2Lip was published with.

Source: Zhang et al. 2017, "S3FD: Single Shot Scale-invariant Face Detector"; weights `s3fd.pth` as distributed with
face-alignment (A. Bulat), also named `s3fd-619a316812.pth`.
Kept from the published detector: RGB pixels minus means in BGR order (trained that way), no resizing, no correction of
the anchors for the padding of `fc6`. Left out: NMS over all positions with a score above 0.05 on the union of a batch,
which cannot change the answer; only positions above the final threshold are decoded.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import ArrayStore, Detection, Frame, NetworkRun
from talkinghead.errors import MissingWeights, WrongCheckpoint
from talkinghead.face.detectors.base import check_frame, reduced_size
from talkinghead.face.detectors.options import FaceOptions

if TYPE_CHECKING:
    from talkinghead.backends import Network, Placement, Session

Array = NDArray[Any]

CHANNEL_MEANS = (104.0, 117.0, 123.0)
"""Subtracted from R, G, B: the means of B, G, R, as the weights were trained."""
NUM_LEVELS = 6
DEFAULT_MIN_SCORE = 0.5
NMS_MAX_OVERLAP = 0.3
VARIANCES = (0.1, 0.2)
"""Scale of the network's offsets and log sizes."""
FEATURE_SCALES = {"conv3_3": 256, "conv4_3": 512, "conv5_3": 512}
"""Feature maps that are normalised, with their channels."""
HEADS = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
MODEL_PATTERNS = ("s3fd.pth", "s3fd-619a316812.pth", "s3fd*.pth", "s3fd*.safetensors")
GRAPH_VERSION = 1
CHECKED_SIDE = 192
"""Longer side of the frame on which a reduced precision is compared with float32."""

_BODY = (
    ("conv1", (3, 64, 64)),
    ("conv2", (64, 128, 128)),
    ("conv3", (128, 256, 256, 256)),
    ("conv4", (256, 512, 512, 512)),
    ("conv5", (512, 512, 512, 512)),
)
_TOP = (
    ("fc6", 512, 1024, 3, 1, 3),
    ("fc7", 1024, 1024, 1, 1, 0),
    ("conv6_1", 1024, 256, 1, 1, 0),
    ("conv6_2", 256, 512, 3, 2, 1),
    ("conv7_1", 512, 128, 1, 1, 0),
    ("conv7_2", 128, 256, 3, 2, 1),
)
"""Name, input and output channels, kernel, stride, padding."""
_HEAD_CHANNELS = {"conv3_3_norm": 256, "conv4_3_norm": 512, "conv5_3_norm": 512}
_HEAD_CHANNELS.update({"fc7": 1024, "conv6_2": 512, "conv7_2": 256})


def expected_weights() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every weight of the checkpoint with its shape."""
    for block, channels in _BODY:
        for index, (a, b) in enumerate(itertools.pairwise(channels), start=1):
            yield f"{block}_{index}.weight", (b, a, 3, 3)
            yield f"{block}_{index}.bias", (b,)
    for name, a, b, kernel, _, _ in _TOP:
        yield f"{name}.weight", (b, a, kernel, kernel)
        yield f"{name}.bias", (b,)
    for name, count in FEATURE_SCALES.items():
        yield f"{name}_norm.weight", (count,)
    for level, name in enumerate(HEADS):
        for kind, count in (("conf", 2 if level else 4), ("loc", 4)):
            yield f"{name}_mbox_{kind}.weight", (count, _HEAD_CHANNELS[name], 3, 3)
            yield f"{name}_mbox_{kind}.bias", (count,)


def check_weights(tensors: Mapping[str, Array], source: str) -> None:
    """Refuse what is not this network.

    Raises:
        WrongCheckpoint: missing, unknown or misshapen weights.
    """
    expected = dict(expected_weights())
    missing = [name for name in expected if name not in tensors]
    wrong = [name for name, shape in expected.items() if name in tensors and tuple(tensors[name].shape) != shape]
    unknown = [name for name in tensors if name not in expected]
    if missing or wrong or unknown:
        first = (missing or wrong or unknown)[0]
        raise WrongCheckpoint(
            f"{source} is not the S3FD face detector: {len(missing)} weights are missing, {len(wrong)} have another "
            f"shape, {len(unknown)} are unknown (the first is {first!r}).",
            accepted="s3fd.pth (s3fd-619a316812.pth), about 90 MB",
        )


def s3fd_network(
    tensors: Mapping[str, Array], key: str, height: int | None = None, width: int | None = None
) -> Network:
    """The detector as a network.

    Input `image` [B, 3, H, W] float32, RGB with `CHANNEL_MEANS` subtracted; outputs cls1, reg1, ..., cls6, reg6: class
    scores before the softmax [B, 2, h, w] (no face, face) and offsets [B, 4, h, w].

    Args:
        height, width: fixed where given; runtimes that compile are faster with them.
    """
    from talkinghead.backends import GraphBuilder, Network, TensorSpec

    builder = GraphBuilder("s3fd", {"image": (None, 3, height, width)})

    def conv(x: str, name: str, stride: int = 1, padding: int = 1) -> str:
        return builder.conv(
            x,
            tensors[f"{name}.weight"],
            tensors[f"{name}.bias"],
            stride=(stride, stride),
            padding=(padding,) * 4,
            name=name,
        )

    x, features = "image", []
    for block, channels in _BODY:
        for index in range(1, len(channels)):
            x = builder.relu(conv(x, f"{block}_{index}"))
        scale = f"{block}_3"
        if scale in FEATURE_SCALES:
            features.append(builder.l2_norm(x, tensors[f"{scale}_norm.weight"], 1e-10, f"{scale}_norm"))
        x = builder.max_pool(x)
    for name, _, _, _, stride, padding in _TOP:
        x = builder.relu(conv(x, name, stride, padding))
        if name in HEADS:
            features.append(x)
    outputs = []
    for level, (feature, name) in enumerate(zip(features, HEADS, strict=True), start=1):
        classes = conv(feature, f"{name}_mbox_conf")
        if level == 1:  # three backgrounds, of which the strongest counts
            background = builder.max_channels(builder.slice_channels(classes, 0, 3))
            classes = builder.concat([background, builder.slice_channels(classes, 3, 4)], "cls1")
            outputs.append("cls1")
        else:
            outputs.append(classes)
        outputs.append(conv(feature, f"{name}_mbox_loc"))
    graph = builder.build(outputs)
    names = [f"{kind}{level}" for level in range(1, NUM_LEVELS + 1) for kind in ("cls", "reg")]
    specs = {name: TensorSpec((None, 2 if name.startswith("cls") else 4, None, None)) for name in names}
    image = {"image": TensorSpec((None, 3, height, width))}
    size = "" if height is None else f"/{height}x{width}"
    return Network("s3fd", image, specs, f"{key}/s3fd/{GRAPH_VERSION}{size}", graph=graph)


def network_input(frames: Sequence[Frame]) -> NDArray[np.float32]:
    """[B, 3, H, W] float32 from RGB frames of one size."""
    stacked = np.stack(frames).transpose(0, 3, 1, 2).astype(np.float32)
    stacked -= np.array(CHANNEL_MEANS, np.float32).reshape(1, 3, 1, 1)
    return stacked


# Decoding -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FaceBoxes:
    """Boxes of one image."""

    boxes_xyxy: NDArray[np.float32]
    """[n, 4], not rounded, may leave the image."""
    scores: NDArray[np.float32]
    """[n], falling."""


def face_scores(classes: Array) -> NDArray[np.float32]:
    """[B, 2, h, w] to the softmax probability of a face, [B, h, w] float32."""
    exponents = np.exp(classes.astype(np.float32) - classes.max(axis=1, keepdims=True))
    scores: NDArray[np.float32] = exponents[:, 1] / (exponents[:, 0] + exponents[:, 1])
    return scores


def decode_boxes(offsets: Array, level: int, rows: Array, columns: Array) -> NDArray[np.float32]:
    """Boxes of positions of one level.

    Args:
        offsets: [n, 4] float32: dx, dy, dw, dh.
        level: 0 is the finest.
        rows, columns: [n] int.
    Returns:
        [n, 4] float32, (x1, y1, x2, y2) in pixels.
    """
    stride = np.float32(4 * 2**level)
    anchor = stride * np.float32(4)
    centre = np.stack([stride / 2 + columns * stride, stride / 2 + rows * stride], axis=1).astype(np.float32)
    centre = centre + offsets[:, :2] * np.float32(VARIANCES[0]) * anchor
    size = anchor * np.exp(offsets[:, 2:] * np.float32(VARIANCES[1]))
    corner = centre - size / 2
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def find_faces(maps: Sequence[Array], image: int, min_score: float = DEFAULT_MIN_SCORE) -> FaceBoxes:
    """All faces of one image of a batch, best first: the first is what the published detector answers.

    Args:
        maps: cls1, reg1, ..., as the network gives them, [B, C, h, w].
        image: index in the batch.
    """
    boxes, scores = [], []
    for level in range(NUM_LEVELS):
        score = face_scores(maps[2 * level][image : image + 1])[0]
        rows, columns = np.nonzero(score > min_score)
        offsets = maps[2 * level + 1][image][:, rows, columns].T
        boxes.append(decode_boxes(offsets, level, rows, columns))
        scores.append(score[rows, columns])
    found = FaceBoxes(np.concatenate(boxes), np.concatenate(scores))
    # Of equal scores the published detector takes the last position.
    order = len(found.scores) - 1 - np.argsort(-found.scores[::-1], kind="stable")
    return suppress(FaceBoxes(found.boxes_xyxy[order], found.scores[order]))


def suppress(found: FaceBoxes, max_overlap: float = NMS_MAX_OVERLAP) -> FaceBoxes:
    """Leave out boxes that overlap a better one. Areas count whole pixels: width is x2 - x1 + 1."""
    boxes = found.boxes_xyxy
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left = np.arange(len(boxes))
    kept = []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        sides = np.maximum(0, high - low + 1)
        common = sides[:, 0] * sides[:, 1]
        left = rest[common / (areas[best] + areas[rest] - common) <= max_overlap]
    return FaceBoxes(boxes[kept], found.scores[kept])


def best_faces_on_device(maps: Sequence[Any]) -> tuple[Any, Any]:
    """The best position of every image, found where the maps are: one box per image instead of all maps goes back.

    Args:
        maps: torch tensors cls1, reg1, ... on any device.
    Returns:
        boxes [B, 4] float32 and scores [B] float32, tensors.
    """
    import torch

    scores, offsets, anchors = [], [], []
    for level in range(NUM_LEVELS):
        classes, regression = maps[2 * level].float(), maps[2 * level + 1].float()
        _, _, height, width = classes.shape
        scores.append(torch.softmax(classes, dim=1)[:, 1].flatten(1))
        offsets.append(regression.flatten(2))
        stride = 4.0 * 2**level
        rows = torch.arange(height, device=classes.device, dtype=torch.float32).repeat_interleave(width)
        columns = torch.arange(width, device=classes.device, dtype=torch.float32).repeat(height)
        side = torch.full_like(rows, 4 * stride)
        anchors.append(torch.stack([stride / 2 + columns * stride, stride / 2 + rows * stride, side]))
    score, offset, anchor = torch.cat(scores, 1), torch.cat(offsets, 2), torch.cat(anchors, 1)
    last = score.shape[1] - 1
    index = last - score.flip(1).argmax(dim=1)  # of equal scores the last position
    best = score.gather(1, index[:, None])[:, 0]
    chosen = offset.gather(2, index[:, None, None].expand(-1, 4, 1))[:, :, 0]
    place = anchor[:, index].T
    centre = place[:, :2] + VARIANCES[0] * chosen[:, :2] * place[:, 2:]
    size = place[:, 2:] * torch.exp(VARIANCES[1] * chosen[:, 2:])
    corner = centre - size / 2
    return torch.cat([corner, corner + size], dim=1), best


def published_rect(box_xyxy: Array) -> tuple[int, int, int, int]:
    """A box as the published detector rounds it: cut at 0 from below only, then truncated."""
    x1, y1, x2, y2 = (int(max(0.0, float(edge))) for edge in box_xyxy)
    return x1, y1, x2, y2


# The detector ---------------------------------------------------------------------------------------------------------


class S3fdDetector:
    """See `Detector` and `SettlingDetector`.

    Args:
        model: the checkpoint.
        precision: "parity" (float32, as published), "fast" or "auto" (reduced where that keeps scores and boxes), or a
            number format.
        max_side: frames are reduced to this length of the longer side; None looks at full size, as published.
    """

    name = "s3fd"
    has_key_points = False
    looks_at_pixels = True

    def __init__(
        self,
        model: Path,
        *,
        min_score: float = DEFAULT_MIN_SCORE,
        max_side: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
    ) -> None:
        from talkinghead.backends import DENSE, candidates
        from talkinghead.backends.gate import Verdict
        from talkinghead.backends.placement import asked_by_name
        from talkinghead.weights import read_checkpoint

        if not model.is_file():
            raise MissingWeights(
                f"The model file {model} of the face detector 's3fd' is not there.", remedy="check the path"
            )
        checkpoint = read_checkpoint(model)
        check_weights(checkpoint.tensors, str(model))
        self._tensors = checkpoint.tensors
        self._sha256 = checkpoint.sha256
        self._min_score = min_score
        self._max_side = max_side
        self._threads = threads
        self._places = candidates(DENSE, device, backend, precision)
        self._trusted = asked_by_name(precision)
        self._verdict: Verdict | None = None
        self._sessions: dict[tuple[int, int], Session] = {}
        self._lock = threading.Lock()

    @property
    def _place(self) -> Placement:
        return self._places[0] if self._verdict is None else self._verdict.placement

    @property
    def network(self) -> NetworkRun:
        name = f"face detector {self.name}"
        return self._place.run(name) if self._verdict is None else self._verdict.run(name)

    @property
    def fallbacks(self) -> tuple[str, ...]:
        return () if self._verdict is None else self._verdict.refused

    def settle(self, look: Callable[[], Frame], store: ArrayStore | None) -> None:
        """See `SettlingDetector.settle`; compared on the frame reduced to CHECKED_SIDE."""
        from talkinghead.backends.gate import first_faithful

        if self._verdict is None:
            self._verdict = first_faithful(
                self._places,
                lambda place: self._faithfulness_db(place, look()),
                network=f"face detector s3fd/{GRAPH_VERSION}",
                weights_sha256=self._sha256,
                store=store,
                trusted=self._trusted,
            )

    def _faithfulness_db(self, place: Placement, frame: Frame) -> float:
        from talkinghead.backends import open_session
        from talkinghead.backends.gate import exact_place

        frame = _reduced(frame, CHECKED_SIDE)
        height, width = frame.shape[:2]
        image = {"image": network_input([frame])}
        network = s3fd_network(self._tensors, self._sha256, height, width)
        maps = []
        for where in (place, exact_place(place)):
            session = open_session(network, where, batch=1, threads=self._threads)
            maps.append(list(session.run(image).values()))
            session.close()
        return faithfulness_db(*maps, side=max(height, width), min_score=self._min_score)

    @property
    def batch_size(self) -> int:
        return 1 if self._place.device == "cpu" else 16

    @property
    def identity(self) -> str:
        return (
            f"s3fd/{GRAPH_VERSION} {self._sha256[:16]} score {self._min_score} side {self._max_side} "
            f"{self._place.precision}"
        )

    @property
    def description(self) -> str:
        size = "full size" if self._max_side is None else f"{self._max_side} pixels"
        return f"s3fd (at {size}, {self._place.precision}, {self._place.backend})"

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """See `Detector.detect`. Full-size frames on a CPU take about a second each at 1280x720."""
        found: list[list[Detection]] = []
        for run in _runs_of_one_size(frames, self.batch_size):
            found.extend(self._detect_run(run))
        return found

    def _detect_run(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        for frame in frames:
            check_frame(frame)
        height, width = frames[0].shape[:2]
        frames = [_reduced(frame, self._max_side) for frame in frames]
        small_height, small_width = frames[0].shape[:2]
        scale = np.array([width / small_width, height / small_height] * 2, np.float32)
        with self._lock:
            self.settle(lambda: frames[0], None)
            outputs = self._session(frames[0].shape[0], frames[0].shape[1]).run({"image": network_input(frames)})
        maps = list(outputs.values())
        results = []
        for image in range(len(frames)):
            faces = find_faces(maps, image, self._min_score)
            results.append(
                [
                    Detection(box * scale, float(score))
                    for box, score in zip(faces.boxes_xyxy, faces.scores, strict=True)
                ]
            )
        return results

    def _session(self, height: int, width: int) -> Session:
        from talkinghead.backends import open_session

        if (height, width) not in self._sessions:
            self._sessions.clear()  # a source has one size; the buffers of a large one are hundreds of megabytes
            network = s3fd_network(self._tensors, self._sha256, height, width)
            self._sessions[height, width] = open_session(
                network, self._place, batch=self.batch_size, threads=self._threads
            )
        return self._sessions[height, width]


def faithfulness_db(
    found: Sequence[Array], exact: Sequence[Array], *, side: int, min_score: float = DEFAULT_MIN_SCORE
) -> float:
    """How near a reduced precision comes to float32: the worse of the PSNR of all face scores and that of the edges of
    the boxes where float32 sees a face, in shares of the longer side.

    Args:
        found, exact: cls1, reg1, ..., of one image, [1, C, h, w].
        side: longer side of the image in pixels.
    """
    from talkinghead.backends.gate import psnr_db

    scores: tuple[list[Array], list[Array]] = ([], [])
    boxes: tuple[list[Array], list[Array]] = ([], [])
    for level in range(NUM_LEVELS):
        rows, columns = np.nonzero(face_scores(exact[2 * level])[0] > min_score)
        for maps, seen, placed in zip((found, exact), scores, boxes, strict=True):
            seen.append(face_scores(maps[2 * level]).ravel())
            offsets = maps[2 * level + 1][0][:, rows, columns].T
            placed.append(decode_boxes(offsets, level, rows, columns).ravel())
    kept = [
        psnr_db(np.concatenate(one), np.concatenate(other), peak=peak)
        for (one, other), peak in ((scores, 1.0), (boxes, float(side)))
    ]
    return -np.inf if np.isnan(kept).any() else min(kept)


def _reduced(frame: Frame, max_side: int | None) -> Frame:
    """The frame with its longer side at most `max_side`."""
    import cv2

    height, width = frame.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return frame
    small = reduced_size(width, height, max_side)
    return np.asarray(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), np.uint8)


def _runs_of_one_size(frames: Sequence[Frame], limit: int) -> Iterator[list[Frame]]:
    run: list[Frame] = []
    for frame in frames:
        if run and (len(run) == limit or frame.shape != run[0].shape):
            yield run
            run = []
        run.append(frame)
    if run:
        yield run


def build(options: FaceOptions, model: Path | None) -> S3fdDetector:
    """The detector for the registry."""
    assert model is not None
    return S3fdDetector(
        model,
        min_score=DEFAULT_MIN_SCORE if options.min_score is None else options.min_score,
        max_side=options.max_side,
    )
