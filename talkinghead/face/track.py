"""From what a detector saw to one box per frame.

detect_faces -> choose_identity -> raw_track -> interpolate_skipped -> smooth_track -> fill_gaps -> finish_track

Each step is a pure function of its own; a family that reproduces a published preprocessing takes the steps that it
shares and replaces the others.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import ArrayStore, FaceStatus, FaceTrack, FloatArray, FrameSource, IntArray
from talkinghead.errors import AmbiguousFace, NoFaceFound
from talkinghead.face.crop import clamp_box, pad_box, round_box
from talkinghead.face.detections import DetectionLog, detect_faces
from talkinghead.face.detectors import Detector, load_detector
from talkinghead.face.detectors.base import DeepDetector, settle
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.face.gaps import (
    HOLD_S,
    nearest_rows,
    short_gaps,
    without_absent,
    without_face,
    without_guesses,
    without_hidden,
)
from talkinghead.face.identity import behind_others, choose_identity, crowded_look, most_crowded, overlap
from talkinghead.files import cache_key

CACHE_KIND = "faces/3"
"""Part of the cache key: raised when detection, cuts or the stored arrays change."""

JUMP_MAX_OVERLAP = 0.4
"""Smoothing does not reach across a lasting jump of the box to where it overlaps less than this."""
OUTLIER_FLOOR = 0.03
"""Deviations from the smooth path up to about this share of the box's side are noise, not outliers."""
SIZE_WINDOW = 3
"""Width and height are smoothed over this many times the window of the position: a head moves faster than it
grows, and a box that breathes with the mouth unsettles everything that is drawn into it."""
_BISQUARE = 4.685
_ROBUST_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class RawTrack:
    """One person over all frames, with gaps."""

    boxes_xyxy: FloatArray
    """[n, 4] float32; NaN where the frame has no box yet."""
    scores: FloatArray
    """[n] float32 in [0, 1]; 0 where the frame has no detection of its own."""
    key_points: FloatArray | None
    """[n, 5, 2] float32, NaN where missing; None if no frame has any."""
    looked: NDArray[np.bool_]
    """[n] bool: the detector looked at this frame."""
    detected: NDArray[np.bool_]
    """[n] bool: it saw the person there."""
    shots: IntArray
    """[n] int32, not descending: shot of each frame."""

    def __len__(self) -> int:
        return len(self.boxes_xyxy)


def raw_track(log: DetectionLog, chosen: IntArray) -> RawTrack:
    """Lay the chosen detections out over all frames.

    Args:
        chosen: [m] int32, per frame looked at the row of the log, or -1 (see `choose_identity`).
    """
    n = log.num_frames
    boxes = np.full((n, 4), np.nan, np.float32)
    scores = np.zeros(n, np.float32)
    points = np.full((n, 5, 2), np.nan, np.float32)
    looked = np.zeros(n, bool)
    looked[log.frames] = True
    seen = chosen >= 0
    frames, rows = log.frames[seen], chosen[seen]
    boxes[frames] = log.boxes_xyxy[rows]
    scores[frames] = log.scores[rows]
    points[frames] = log.key_points[rows]
    points[np.isnan(points).any(axis=(1, 2))] = np.nan
    detected = np.zeros(n, bool)
    detected[frames] = True
    shots = np.zeros(n, np.int32)
    if len(log.frames):
        shots = log.shots[np.maximum(np.searchsorted(log.frames, np.arange(n), side="right") - 1, 0)]
    return RawTrack(boxes, scores, None if np.isnan(points).all() else points, looked, detected, shots)


def interpolate_skipped(track: RawTrack) -> tuple[RawTrack, NDArray[np.uint8]]:
    """Fill the frames that were not looked at from those around them, where both are of one shot.

    Between two detections boxes and key points run linearly. A skipped frame beside a look without a face takes
    after the nearer of the two (the earlier if equally near).

    Returns:
        The track, and [n] uint8 of FaceStatus: DETECTED, INTERPOLATED, or MISSING where there is still no box.
    """
    n = len(track)
    status = np.where(track.detected, FaceStatus.DETECTED, FaceStatus.MISSING).astype(np.uint8)
    boxes = track.boxes_xyxy.copy()
    points = None if track.key_points is None else track.key_points.copy()
    looks = np.flatnonzero(track.looked)
    if len(looks) == 0 or len(looks) == n:
        return track, status
    frames = np.arange(n)
    place = np.searchsorted(looks, frames, side="right") - 1
    before = looks[np.maximum(place, 0)]
    after = looks[np.minimum(place + 1, len(looks) - 1)]
    skipped = ~track.looked
    same_shot = track.shots[before] == track.shots[after]
    between = (
        skipped & same_shot & track.detected[before] & track.detected[after] & (before < frames) & (frames < after)
    )
    share = ((frames - before) / np.maximum(after - before, 1)).astype(np.float32)
    nearest = np.where((frames - before <= after - frames) | (after <= frames), before, after)
    beside = skipped & ~between & track.detected[nearest]
    for values in (boxes,) if points is None else (boxes, points):
        weight = share[between].reshape((-1,) + (1,) * (values.ndim - 1))
        values[between] = values[before[between]] * (1 - weight) + values[after[between]] * weight
        values[beside] = values[nearest[beside]]
    status[between | beside] = FaceStatus.INTERPOLATED
    return replace(track, boxes_xyxy=boxes, key_points=points), status


def smooth_track(track: RawTrack, window: int) -> RawTrack:
    """Remove jitter from boxes and key points without lag.

    A straight line is fitted to the values in a window centred on each frame (Gaussian weights, so that it follows
    bends), with single wild values left out (Tukey's bisquare). Width and height have a longer window. A steady or
    evenly moving box is left as it is, from the first frame to the last. Gaps shorter than the window with values on
    both sides are bridged; longer ones stay. Nothing is smoothed across a cut or a lasting jump.

    Args:
        window: frames, made odd by adding one; 0 or 1: nothing is done.
    """
    if window <= 1:
        return track
    boxes = track.boxes_xyxy.copy()
    points = None if track.key_points is None else track.key_points.copy()
    for part in _stretches(track):
        size = _median_side(track.boxes_xyxy[part])
        low, high = track.boxes_xyxy[part, :2], track.boxes_xyxy[part, 2:]
        middle = smooth_series(np.float32(0.5) * (low + high), window, noise=OUTLIER_FLOOR * size)
        extent = smooth_series(high - low, SIZE_WINDOW * window, noise=OUTLIER_FLOOR * size)
        boxes[part] = np.concatenate([middle - extent / 2, middle + extent / 2], axis=1)
        if points is not None and track.key_points is not None:
            flat = track.key_points[part].reshape(-1, 10)
            points[part] = smooth_series(flat, window, noise=OUTLIER_FLOOR * size).reshape(-1, 5, 2)
    return replace(track, boxes_xyxy=boxes, key_points=points)


def smooth_series(values: FloatArray, window: int, *, noise: float) -> FloatArray:
    """Robust local-linear regression with a centred Gaussian window.

    Args:
        values: [n, d] float32; rows with NaN are missing.
        window: length in samples; an even one is made odd by adding one.
        noise: deviations up to about this are never called outliers; unit of `values`.
    Returns:
        [n, d] float32; a missing row is filled if it has values before and after it within the window.
    """
    from numpy.lib.stride_tricks import sliding_window_view

    n, d = values.shape
    half = window // 2
    present: NDArray[np.bool_] = np.logical_not(np.isnan(values).any(axis=1))
    if half == 0 or not present.any():
        return values.copy()
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    kernel = np.exp(-0.5 * (offsets / (0.25 * (2 * half + 1))) ** 2)
    # Values relative to their mean: the sums below then cancel less.
    middle = values[present].mean(axis=0, dtype=np.float64)
    clean = np.where(present[:, None], values - middle, 0.0)

    def windows(series: NDArray[np.float64]) -> NDArray[np.float64]:
        return sliding_window_view(np.pad(series, (half, half)), 2 * half + 1)  # [n, window]

    def fit(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        around = windows(weights)
        s0, s1, s2 = (around @ (kernel * offsets**power) for power in range(3))
        determinant = s0 * s2 - s1 * s1
        straight = determinant > 1e-6 * np.maximum(s0, 1e-12) ** 2
        fitted = np.empty((n, d))
        for column in range(d):
            weighted = windows(weights * clean[:, column])
            t0, t1 = weighted @ kernel, weighted @ (kernel * offsets)
            level = t0 / np.maximum(s0, 1e-12)
            fitted[:, column] = np.where(straight, (s2 * t0 - s1 * t1) / np.where(straight, determinant, 1), level)
        return fitted

    weights = present.astype(np.float64)
    fitted = _running_median(clean, present, half)
    for _ in range(_ROBUST_ROUNDS):
        deviation = np.abs(clean - fitted).max(axis=1)
        scale = max(noise, 1.4826 * float(np.median(deviation[present])))
        ratio = np.clip(deviation / (_BISQUARE * scale), 0, 1) if scale > 0 else np.zeros(n)
        robust = present * (1 - ratio**2) ** 2
        # Where everything in the window deviates there is no path to be an outlier of.
        weights = np.where(windows(robust).sum(axis=1) > 0.5, robust, present.astype(np.float64))
        fitted = fit(weights)
    has_before = np.cumsum(present) > 0
    reach = windows(present.astype(np.float64))
    before, after = reach[:, :half].sum(axis=1) > 0, reach[:, half + 1 :].sum(axis=1) > 0
    supported = present | (has_before & before & after)
    result = np.where(supported[:, None], fitted + middle, np.nan)
    return result.astype(np.float32)


def _running_median(clean: NDArray[np.float64], present: NDArray[np.bool_], half: int) -> NDArray[np.float64]:
    """Median of up to five values around each present row, [n, d]; other rows are 0."""
    reach = min(half, 2)
    rows = np.flatnonzero(present)
    place = np.arange(len(rows))
    around = np.clip(place[:, None] + np.arange(-reach, reach + 1), 0, len(rows) - 1)
    medians = np.zeros_like(clean)
    medians[rows] = np.median(clean[rows][around], axis=1)
    return medians


def _stretches(track: RawTrack) -> list[slice]:
    """Runs of frames to smooth together: cut at shot changes and at lasting jumps of the box."""
    n = len(track)
    borders = {0, n, *(int(i) + 1 for i in np.flatnonzero(np.diff(track.shots)))}
    rows = np.flatnonzero(~np.isnan(track.boxes_xyxy).any(axis=1))
    boxes = track.boxes_xyxy[rows]
    for k in range(1, len(rows)):
        if overlap(boxes[k - 1 : k], boxes[k : k + 1])[0, 0] >= JUMP_MAX_OVERLAP:
            continue
        old = np.median(boxes[max(0, k - 3) : k], axis=0, keepdims=True)
        new = np.median(boxes[k : k + 3], axis=0, keepdims=True)
        lasting = len(boxes[max(0, k - 3) : k]) >= 2 and len(boxes[k : k + 3]) >= 2
        if lasting and overlap(old, new)[0, 0] < JUMP_MAX_OVERLAP:
            borders.add(int(rows[k]))
    edges = sorted(borders)
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _median_side(boxes: FloatArray) -> float:
    """Typical side of the boxes, 0 if there are none."""
    sides = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
    sides = sides[np.isfinite(sides)]
    return float(np.median(sides)) if len(sides) else 0.0


def fill_gaps(values: FloatArray, shots: IntArray | None = None) -> FloatArray:
    """Give each missing row the nearest earlier one of its shot, else the nearest later one of its shot, else the
    nearest earlier one of any shot, else the first.

    Args:
        values: [n, ...] float32; rows with NaN are missing.
        shots: [n] int32; None for a single shot.
    Raises:
        ValueError: every row is missing.
    """
    n = len(values)
    present: NDArray[np.bool_] = np.logical_not(np.isnan(values.reshape(n, -1)).any(axis=1))
    if not present.any():
        raise ValueError("there is nothing to fill from")
    earlier, later = nearest_rows(present)
    groups = np.zeros(n, np.int32) if shots is None else shots
    earlier_fits = (earlier >= 0) & (groups[np.maximum(earlier, 0)] == groups)
    later_fits = (later < n) & (groups[np.minimum(later, n - 1)] == groups)
    source = np.where(earlier_fits, earlier, np.where(later_fits, later, np.where(earlier >= 0, earlier, later)))
    return values[source]


def finish_track(
    track: RawTrack,
    status: NDArray[np.uint8],
    size: tuple[int, int],
    *,
    padding: Sequence[float] = (0, 0, 0, 0),
    no_face: str = "hold",
    hold_frames: int | None = None,
    detector: str = "",
) -> FaceTrack:
    """Fill what is still missing, pad, round and clamp.

    Args:
        status: [n] as `interpolate_skipped` gives it.
        size: (width, height) of the frames.
        no_face: "hold" marks frames of short gaps as HELD, "pass" leaves them MISSING (with a box all the same).
        hold_frames: longest gap that is held; longer ones, and shots without the face, stay MISSING. None: any.
    """
    boxes = fill_gaps(track.boxes_xyxy, track.shots)
    final = status.copy()
    if no_face == "hold":
        final[short_gaps(status, track.shots, hold_frames)] = FaceStatus.HELD
    final = without_guesses(final, track.shots)
    padded = round_box(pad_box(boxes, padding))
    points = None if track.key_points is None else fill_gaps(track.key_points, track.shots)
    return FaceTrack(
        boxes_xyxy=clamp_box(padded, *size),
        status=final,
        scores=np.where(status == FaceStatus.DETECTED, track.scores, 0).astype(np.float32),
        key_points=points,
        detector=detector,
        notes=without_face(final),
    )


def track_faces(
    source: FrameSource,
    options: FaceOptions | None = None,
    *,
    detector: Detector | None = None,
    cache: ArrayStore | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: int | None = None,
    log: DetectionLog | None = None,
) -> FaceTrack:
    """Find one person's face in every frame of a source.

    Frames pass through in small batches. What the detector saw is cached, so that another selection, padding or
    smoothing costs nothing.

    Args:
        detector: an already loaded one; default: `load_detector(options)`.
        cache: where detections are kept; None keeps none.
        progress: called with (frames done, frames in all); what it raises ends the run.
        stop: frames from here on are left out.
        log: what the detector saw in every `options.step`-th frame, where that is known: it does not look again.
    Raises:
        NoFaceFound: no face in any frame, or in one under the policy "fail".
        AmbiguousFace: `select="only"` and a frame shows several.
        OptionError: `select="index:K"` and no frame shows that many; or the fixed box lies outside the frame.
        MissingWeights, MissingDependency, WrongCheckpoint: from `load_detector`.
    """
    options = FaceOptions() if options is None else options
    detector = load_detector(options) if detector is None else detector
    fallbacks = settle(detector, source, cache)
    looked = log is None
    if log is None:
        log, looked = _cached_log(source, options, detector, cache, progress, stop)
    if not len(log.boxes_xyxy) and isinstance(detector, DeepDetector):
        deeper = detector.for_small_faces()
        if deeper is not None:
            detector = deeper
            log, looked = _cached_log(source, options, detector, cache, progress, stop)
    if options.select == "only":
        _require_one(source, log)
    chosen = choose_identity(log, options.selection)
    track = raw_track(log, chosen)
    if not track.detected.any():
        raise _no_face(source, log, detector)
    if options.no_face == "fail":
        _require_all(source, track)
    track, status = interpolate_skipped(track)
    track = smooth_track(track, options.smoothing)
    described = detector.description + (f", every {options.step} frames" if options.step > 1 else "")
    finished = finish_track(
        track,
        status,
        (log.width, log.height),
        padding=options.padding,
        no_face=options.no_face,
        hold_frames=round(HOLD_S * float(source.fps or 25)),
        detector=described,
    )
    if options.no_face == "hold":
        finished = without_hidden(finished, track.shots, behind_others(log, chosen))
        finished = without_absent(source, finished, track.shots)
    network = detector.network if looked else None
    return replace(
        finished,
        network=network,
        fallbacks=fallbacks,
        notes=(*(_others(log, chosen) if options.select == "largest" else ()), *finished.notes),
        is_given=options.box is not None,
    )


def _others(log: DetectionLog, chosen: IntArray) -> tuple[str, ...]:
    """That there are several faces, which one was taken and how to take another, as a sentence."""
    crowd = most_crowded(log)
    if crowd is None:
        return ()
    look, rows = crowd
    where = "" if log.num_frames == 1 else f" in frame {int(log.frames[look])}"
    taken = ", none of which is taken"
    if int(chosen[look]) in rows:
        place = rows.index(int(chosen[look]))
        sizes = np.prod(log.boxes_xyxy[rows, 2:] - log.boxes_xyxy[rows, :2], axis=1) * log.scores[rows]
        larger = log.num_frames > 1 and place != int(sizes.argmax())
        taken = f"; number {place} from the left, counted from 0, is taken, the largest" + " that moves" * larger
    return (f"{len(rows)} faces are seen{where}{taken} (--select index:K or nearest:X,Y takes another).",)


def _cached_log(
    source: FrameSource,
    options: FaceOptions,
    detector: Detector,
    cache: ArrayStore | None,
    progress: Callable[[int, int], None] | None,
    stop: int | None,
) -> tuple[DetectionLog, bool]:
    """What the detector saw, and whether it looked now."""
    if cache is None or not detector.looks_at_pixels:
        return detect_faces(source, detector, every=options.step, stop=stop, progress=progress), True
    key = cache_key(CACHE_KIND, source=source.content_hash, detector=detector.identity, every=options.step, stop=stop)
    stored = cache.get(key)
    if stored is not None:
        log = DetectionLog.from_arrays(stored)
        if progress is not None:
            progress(log.num_frames, log.num_frames)
        return log, False
    log = detect_faces(source, detector, every=options.step, stop=stop, progress=progress)
    cache.put(key, log.to_arrays())
    return log, True


def _no_face(source: FrameSource, log: DetectionLog, detector: Detector) -> NoFaceFound:
    looked = len(log.frames)
    where = "the picture" if log.num_frames == 1 else f"any of the {looked} frames looked at"
    return NoFaceFound(
        f"No face was found in {where} of {source.info.path} (detector {detector.description}).",
        accepted="a picture or video with a face that looks towards the camera, upright.",
        remedy="give the place of the face as a box (x1,y1,x2,y2 in pixels), turn the picture upright, "
        "lower the least score, or use another detector.",
    )


def _require_all(source: FrameSource, track: RawTrack) -> None:
    empty = np.flatnonzero(track.looked & ~track.detected)
    if len(empty):
        first = int(empty[0])
        seconds = f" ({float(first / source.fps):.2f} s)" if source.fps else ""
        raise NoFaceFound(
            f"No face was found in {len(empty)} of {int(track.looked.sum())} frames of {source.info.path}; "
            f"the first is frame {first}{seconds}.",
            remedy='choose "hold" or "pass" for frames without a face, or cut these frames out.',
        )


def _require_one(source: FrameSource, log: DetectionLog) -> None:
    look = crowded_look(log)
    if look is None:
        return
    number = int(log.frames[look])
    faces = sorted(log.detections(look), key=lambda face: float(face.box_xyxy[0] + face.box_xyxy[2]))
    picture = _save_picture(source, number, faces)
    seen = f"A picture of them, numbered: {picture}" if picture else "No picture of them could be written."
    raise AmbiguousFace(
        f"{len(faces)} faces were found in frame {number} of {source.info.path} where one was expected. {seen}",
        accepted='"largest", "index:K" (K-th from the left, from 0) or "nearest:X,Y" to choose one.',
        remedy=f"select one of the faces 0 to {len(faces) - 1} by index, e.g. index:0.",
        picture=picture,
    )


def _save_picture(source: FrameSource, number: int, faces: Sequence[Any]) -> Path | None:
    """A PNG of the frame with numbered boxes in a new file of the temporary folder, or None."""
    from talkinghead.face.annotate import annotate_faces
    from talkinghead.media.pictures import encode_png

    for frame in source.read(number, number + 1):
        try:
            with tempfile.NamedTemporaryFile(prefix="talkinghead-faces-", suffix=".png", delete=False) as file:
                file.write(encode_png(annotate_faces(frame, faces)))
            return Path(file.name)
        except OSError:
            return None
    return None
