"""Boxes for Wav2Lip: by the shared trackers, framed as its training data was, or by the published rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import ArrayStore, FaceStatus, FaceTrack, FrameSource
from talkinghead.errors import MissingWeights, NoFaceFound, OptionError
from talkinghead.face import Detector, FaceOptions, choose_identity, detect_faces, load_detector, track_faces
from talkinghead.face.crop import clamp_box
from talkinghead.face.detections import DetectionLog
from talkinghead.families.wav2lip.preprocess import pad_rects, smooth_rects
from talkinghead.files import cache_key
from talkinghead.weights.folder import find_model

Told = Callable[[int, int], None]

FRAMING: Mapping[str, tuple[float, float, float, float]] = {
    "scrfd": (-0.010, 0.002, 0.003, 0.003),
    "yunet": (0.010, -0.002, -0.003, -0.003),
    "haar": (-0.015, -0.029, -0.010, -0.010),
    "mesh": (0.136, 0.000, -0.011, -0.011),
}
"""How far the box of a detector is moved outwards at the top, bottom, left and right, as shares of its height and
width, so that it frames the face as S3FD's boxes do: as WIDER FACE does, on which S3FD, SCRFD and YuNet were trained.
The target is the mean of SCRFD and YuNet, which lie 2 % apart; medians of 34 people (185 faces) by
scripts/measure_framing.py. Between people Haar's edges spread by 0.02 (top) to 0.05, the networks' by 0.014. The mesh,
whose outline begins below the hairline, was measured against SCRFD alone, on 5 people (210 faces): 0.022 and 0.006."""


class _MemoryStore:
    """Remembers within one call what a cache on disk may not keep, so that several faces cost one detection."""

    def __init__(self, below: ArrayStore) -> None:
        self._below = below
        self._kept: dict[str, Mapping[str, NDArray[Any]]] = {}

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        if key not in self._kept:
            found = self._below.get(key)
            if found is None:
                return None
            self._kept[key] = found
        return dict(self._kept[key])

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._kept[key] = dict(arrays)
        self._below.put(key, arrays)


def several_tracks(
    source: FrameSource,
    options: FaceOptions,
    detector: Detector,
    *,
    stop: int,
    cache: ArrayStore,
    selections: tuple[int, ...],
    progress: Told | None = None,
) -> tuple[FaceTrack, ...]:
    """One track per selected face, or one for the face that the options choose.

    The boxes are framed as S3FD frames them, then padded; a box that the user gave is only padded.
    """
    remembered = _MemoryStore(cache)
    found = options if options.box is not None else replace(options, padding=(0, 0, 0, 0))
    wanted = [replace(found, select=f"index:{number}") for number in selections] or [found]
    tracks = [
        track_faces(source, item, detector=detector, cache=remembered, progress=progress, stop=stop) for item in wanted
    ]
    if options.box is not None:
        return tuple(tracks)
    return tuple(frame_track(track, detector.name, options.padding, source.size) for track in tracks)


def frame_track(
    track: FaceTrack, detector: str, padding: tuple[int, int, int, int], size: tuple[int, int]
) -> FaceTrack:
    """Move boxes to S3FD's framing and pad them."""
    boxes = track.boxes_xyxy.astype(np.float64)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    top, bottom, left, right = FRAMING.get(detector, (0.0, 0.0, 0.0, 0.0))
    framed = np.stack(
        [
            boxes[:, 0] - left * width - padding[2],
            boxes[:, 1] - top * height - padding[0],
            boxes[:, 2] + right * width + padding[3],
            boxes[:, 3] + bottom * height + padding[1],
        ],
        axis=1,
    )
    return replace(track, boxes_xyxy=clamp_box(np.rint(framed), *size))


def published_track(
    source: FrameSource,
    options: FaceOptions,
    *,
    stop: int,
    cache: ArrayStore,
    selections: tuple[int, ...] = (),
    progress: Told | None = None,
    detector: Detector | None = None,
) -> tuple[FaceTrack, ...]:
    """Boxes by the published rules: best face of every frame, truncated, padded, clipped, smoothed forwards.

    A box given by the user is used as it is for all frames, not padded. `smoothing` 0 or 1 is the published
    `--nosmooth`.

    Args:
        stop: frames from here on are left out, before smoothing.
        detector: used instead of S3FD where given, and where the options name one.
    Raises:
        NoFaceFound: a frame without a face. MissingWeights: S3FD's weights are not found.
        OptionError: a fixed box outside the frame.
    """
    width, height = source.size
    if options.box is not None:
        x1, y1, x2, y2 = options.box
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            raise OptionError(
                f"The box {options.box} leaves the frame, which has {width}x{height} pixels.",
                accepted="x1,y1,x2,y2 inside the frame",
            )
        boxes = np.tile(np.array(options.box, np.int32), (stop, 1))
        status = np.full(stop, FaceStatus.DETECTED, np.uint8)
        return (FaceTrack(boxes, status, np.ones(stop, np.float32), detector="box, as published"),)
    detector = detector or published_detector(options)
    log, looked = _cached_log(source, options, detector, cache, stop, progress)
    tracks = []
    for selection in selections or (None,):
        rects, scores = _published_rects(source, options, log, selection)
        smoothed = pad_rects(rects, options.padding, width, height)
        if options.smoothing > 1:
            smoothed = smooth_rects(smoothed)
        status = np.full(len(rects), FaceStatus.DETECTED, np.uint8)
        described = f"{detector.description}, as published"
        network = detector.network if looked else None
        tracks.append(FaceTrack(smoothed.astype(np.int32), status, scores, detector=described, network=network))
    return tuple(tracks)


def published_detector(options: FaceOptions) -> Detector:
    """S3FD in float32, or the detector that the options name.

    Raises:
        MissingWeights: no weights of S3FD.
    """
    from talkinghead.face.detectors.s3fd import DEFAULT_MIN_SCORE, MODEL_PATTERNS, S3fdDetector

    if options.detector not in ("auto", "s3fd"):
        return load_detector(options)
    path = options.detector_model or find_model(MODEL_PATTERNS)
    if path is None:
        raise MissingWeights(
            "The published face detector S3FD is the default here, as published, and its weights were not found.",
            accepted="s3fd.pth (s3fd-619a316812.pth) in the models folder, or --detector-model s3fd.pth",
            remedy="give the place of the face with --box, or another detector with --detector haar; the rest stays "
            "as published",
        )
    return S3fdDetector(
        path,
        precision="parity",
        min_score=DEFAULT_MIN_SCORE if options.min_score is None else options.min_score,
        max_side=options.max_side,
    )


def _cached_log(
    source: FrameSource, options: FaceOptions, detector: Detector, cache: ArrayStore, stop: int, progress: Told | None
) -> tuple[DetectionLog, bool]:
    """What the detector saw, and whether it looked now."""
    parts = {"source": source.content_hash, "detector": detector.identity, "stop": stop, "every": options.step}
    key = cache_key("wav2lip-faces/1", **parts)
    stored = cache.get(key)
    if stored is not None:
        return DetectionLog.from_arrays(stored), False
    log = detect_faces(source, detector, every=options.step, stop=stop, progress=progress)
    cache.put(key, log.to_arrays())
    return log, True


def _published_rects(
    source: FrameSource, options: FaceOptions, log: DetectionLog, selection: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """[n, 4] int64 and [n] scores: the best face of each frame, or the one selected."""
    if selection is not None:
        chosen = choose_identity(log, replace(options, select=f"index:{selection}").selection)
    elif options.select != "largest":  # the default here means: the one with the best score, as published
        chosen = choose_identity(log, options.selection)
    else:
        counts = np.diff(log.offsets)
        chosen = np.where(counts > 0, log.offsets[:-1], -1).astype(np.int32)
    if (chosen < 0).any():
        first = int(log.frames[int(np.argmax(chosen < 0))])
        raise NoFaceFound(
            f"No face was found in frame {first} of {source.info.path}.",
            accepted="a face in every frame, as the published script demands",
            remedy="give --box, or use `talkinghead generate` without --compat, which holds the last box over gaps",
        )
    boxes = np.trunc(np.maximum(log.boxes_xyxy[chosen], 0)).astype(np.int64)
    scores = log.scores[chosen]
    if len(log.frames) < log.num_frames:  # every k-th frame was looked at
        frames = np.arange(log.num_frames)
        between = [np.interp(frames, log.frames, boxes[:, side]) for side in range(4)]
        boxes = np.trunc(np.stack(between, axis=1)).astype(np.int64)
        scores = scores[np.searchsorted(log.frames, frames, side="right") - 1]
    return boxes, scores.astype(np.float32)
