"""Run a detector over a source and keep everything it saw: the part of tracking that costs time.

What is kept does not depend on which face is wanted, nor on padding or smoothing, so one cached pass serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Detection, FloatArray, Frame, FrameSource, IntArray
from talkinghead.face.detectors import Detector

BATCH_BYTES = 64 * 1024**2
"""Frames held at once stay below this, whatever batch the detector would like."""

CUT_MIN_DIFFERENCE = 18.0
"""Two thumbnails of one shot differ by less than this, on average over their pixels (levels of 255)."""
CUT_MAX_CORRELATION = 0.75
"""Two thumbnails across a cut correlate less than this; a change of brightness alone keeps it high."""
_THUMBNAIL = (32, 32)
MOTION_SIDE = 320
"""Longer side of the small frames in which is measured how much a face moves, pixels."""


@dataclass(frozen=True, eq=False)
class DetectionLog:
    """All faces of all frames that were looked at."""

    num_frames: int
    """Frames of the source (up to `stop`), looked at or not."""
    width: int
    height: int
    frames: IntArray
    """[m] int32, ascending: numbers of the frames that were looked at."""
    shots: IntArray
    """[m] int32, not descending, from 0: shot that the frame belongs to; it changes at a cut."""
    offsets: IntArray
    """[m + 1] int32: the faces of `frames[i]` are rows offsets[i] to offsets[i + 1], best score first."""
    boxes_xyxy: FloatArray
    """[k, 4] float32, as detected; may leave the frame."""
    scores: FloatArray
    """[k] float32 in [0, 1]."""
    key_points: FloatArray
    """[k, 5, 2] float32; NaN where the detector gave none."""
    motion: FloatArray
    """[k] float32, `Detection.motion`."""

    def __post_init__(self) -> None:
        m, k = len(self.frames), len(self.boxes_xyxy)
        shapes = {
            "shots": (self.shots.shape, (m,)),
            "offsets": (self.offsets.shape, (m + 1,)),
            "boxes_xyxy": (self.boxes_xyxy.shape, (k, 4)),
            "scores": (self.scores.shape, (k,)),
            "key_points": (self.key_points.shape, (k, 5, 2)),
            "motion": (self.motion.shape, (k,)),
        }
        for name, (given, wanted) in shapes.items():
            if given != wanted:
                raise ValueError(f"{name} must be {list(wanted)}, not {list(given)}")

    def rows(self, i: int) -> range:
        """Rows of the faces of the i-th frame looked at."""
        return range(int(self.offsets[i]), int(self.offsets[i + 1]))

    def detections(self, i: int) -> list[Detection]:
        """Faces of the i-th frame looked at."""
        return [
            Detection(
                self.boxes_xyxy[row],
                float(self.scores[row]),
                None if np.isnan(self.key_points[row]).any() else self.key_points[row],
                float(self.motion[row]),
            )
            for row in self.rows(i)
        ]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for the cache; `from_arrays` reads them."""
        return {
            "size": np.array([self.num_frames, self.width, self.height], np.int64),
            "frames": self.frames,
            "shots": self.shots,
            "offsets": self.offsets,
            "boxes_xyxy": self.boxes_xyxy,
            "scores": self.scores,
            "key_points": self.key_points,
            "motion": self.motion,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> DetectionLog:
        num_frames, width, height = (int(value) for value in arrays["size"])
        names = ("frames", "shots", "offsets", "boxes_xyxy", "scores", "key_points", "motion")
        return cls(num_frames, width, height, **{name: arrays[name] for name in names})


def make_log(
    found: Sequence[tuple[int, int, Sequence[Detection]]], num_frames: int, size: tuple[int, int]
) -> DetectionLog:
    """Pack (frame number, shot, faces) triples, ascending by frame number.

    Faces that are not finite are dropped; the others are put in an order of their own, so that nothing depends on
    the order in which a detector lists equals.
    """
    kept = [
        sorted((f for f in faces if _usable(f)), key=lambda f: (-f.score, *f.box_xyxy.tolist()))
        for _, _, faces in found
    ]
    faces = [face for group in kept for face in group]
    nothing = np.full((5, 2), np.nan, np.float32)
    return DetectionLog(
        num_frames=num_frames,
        width=size[0],
        height=size[1],
        frames=np.array([number for number, _, _ in found], np.int32),
        shots=np.array([shot for _, shot, _ in found], np.int32),
        offsets=np.cumsum([0, *(len(group) for group in kept)]).astype(np.int32),
        boxes_xyxy=np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4),
        scores=np.array([face.score for face in faces], np.float32),
        key_points=np.array(
            [nothing if face.key_points is None else face.key_points for face in faces], np.float32
        ).reshape(-1, 5, 2),
        motion=np.array([face.motion for face in faces], np.float32),
    )


def _usable(face: Detection) -> bool:
    """Whether the box is finite and not empty; key points may be missing."""
    x1, y1, x2, y2 = face.box_xyxy
    return bool(np.isfinite(face.box_xyxy).all() and x2 > x1 and y2 > y1 and np.isfinite(face.score))


def detect_faces(
    source: FrameSource,
    detector: Detector,
    *,
    every: int = 1,
    stop: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DetectionLog:
    """Look for faces in every k-th frame of a source, and in the last.

    Where a cut lies between two frames looked at, those between are looked at too, so that its place is exact.
    Memory does not grow with the frames' size times their number: frames pass through in small batches.

    Args:
        stop: frames from here on are left out.
        progress: called with (frames done, frames in all), at every frame that is read; what it raises ends the run.
    """
    total = len(source) if stop is None else min(stop, len(source))
    if not detector.looks_at_pixels:
        faces = [detector.detect([frame])[0] for frame in source.read(0, min(1, total))]
        if progress is not None:
            progress(total, total)
        return make_log([(number, 0, faces[0]) for number in range(total if faces else 0)], total, source.size)

    tell = _Told(progress, total)
    looks: list[_Look] = []
    for look in _look(source, detector, range(0, total, every), tell.read):
        looks.append(look)
        tell.done(min(look.number + every, total))
    if looks and every > 1:
        if looks[-1].number < total - 1:
            # Together with the one before, to see whether there is a cut between.
            last = range(looks[-1].number, total, total - 1 - looks[-1].number)
            looks.extend(_look(source, detector, last, tell.again, skip=1))
        looks = _refine_cuts(source, detector, looks, tell.again)
    if looks:
        tell.done(total)  # also of a damaged source that ended early
    shots = np.cumsum([look.is_after_cut for look in looks])
    found = [(look.number, int(shot), look.faces) for look, shot in zip(looks, shots, strict=True)]
    return make_log(found, total, source.size)


class _Told:
    """Tells how far a run is: each number of frames once, in order."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._total, self._last = progress, total, -1

    def done(self, number: int) -> None:
        if number > self._last and self._progress is not None:
            self._last = number
            self._progress(number, self._total)

    def read(self, number: int) -> None:
        """A frame was read; those before it are done, or at hand."""
        self.done(number)

    def again(self, number: int) -> None:  # noqa: ARG002
        """A frame was read once more: nothing new is done, but the run may be stopped."""
        if self._progress is not None:
            self._progress(max(0, self._last), self._total)


@dataclass(frozen=True)
class _Look:
    number: int
    faces: list[Detection]
    is_after_cut: bool
    """Another shot than the look before it."""


def _look(
    source: FrameSource, detector: Detector, numbers: range, told: Callable[[int], None], *, skip: int = 0
) -> Iterator[_Look]:
    """Detect in the frames of a range, batch by batch; the first `skip` frames are only compared with the next.

    Args:
        told: called with the number of each frame that is read.
    """
    frames = source.read(numbers.start, numbers.stop, numbers.step)
    before: FloatArray | None = None
    smaller: FloatArray | None = None
    for batch in _batches(zip(numbers, frames, strict=False), detector.batch_size, told):
        wanted = batch[skip:] if batch[0][0] == numbers.start else batch
        faces = iter(detector.detect([frame for _, frame in wanted]))
        for number, frame in batch:
            grey = reduced(frame)
            small = thumbnail(grey)
            cut = before is not None and is_cut(before, small)
            before = small
            earlier, smaller = None if cut else smaller, grey
            if number - numbers.start >= skip * numbers.step:
                seen = [replace(face, motion=_motion(earlier, smaller, face, frame)) for face in next(faces)]
                yield _Look(number, seen, cut)
        del batch, wanted, frame  # let go before the next batch is read


def reduced(frame: Frame) -> FloatArray:
    """A grey picture of at most `MOTION_SIDE` pixels a side, float32 in [0, 255]."""
    import cv2

    height, width = frame.shape[:2]
    share = min(1.0, MOTION_SIDE / max(width, height))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _motion(before: FloatArray | None, after: FloatArray, face: Detection, frame: Frame) -> float:
    """See `Detection.motion`."""
    if before is None or before.shape != after.shape or not _usable(face):
        return math.nan
    height, width = after.shape
    scale = np.array([width / frame.shape[1], height / frame.shape[0]] * 2)
    x1, y1, x2, y2 = (int(edge) for edge in np.clip(np.rint(face.box_xyxy * scale), 0, [width, height] * 2))
    part = np.s_[y1:y2, x1:x2]
    return float(np.abs(after[part] - before[part]).mean()) if x2 > x1 and y2 > y1 else math.nan


def _batches(
    frames: Iterable[tuple[int, Frame]], size: int, told: Callable[[int], None]
) -> Iterator[list[tuple[int, Frame]]]:
    """Lists of at most `size` frames and at most `BATCH_BYTES`, at least one frame each."""
    batch: list[tuple[int, Frame]] = []
    for number, frame in frames:
        told(number)
        batch.append((number, frame))
        if len(batch) >= size or (len(batch) + 1) * frame.nbytes > BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _refine_cuts(
    source: FrameSource, detector: Detector, looks: list[_Look], told: Callable[[int], None]
) -> list[_Look]:
    """Look at the skipped frames wherever the two around them are of different shots."""
    refined: list[_Look] = []
    for look in looks:
        if refined and look.is_after_cut and look.number - refined[-1].number > 1:
            start = refined[-1].number
            between = list(_look(source, detector, range(start, look.number + 1), told, skip=1))
            # The last of them is `look` again, now compared with its neighbour.
            refined.extend(between)
        else:
            refined.append(look)
    return refined


def thumbnail(grey: FloatArray) -> FloatArray:
    """A picture from `reduced`, small enough to compare shots by: [32, 32] float32 in [0, 255]."""
    import cv2

    return np.asarray(cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.float32)


def is_cut(before: FloatArray, after: FloatArray) -> bool:
    """Whether two thumbnails show different shots: they differ much, and not by brightness or contrast alone."""
    if float(np.abs(before - after).mean()) < CUT_MIN_DIFFERENCE:
        return False
    a, b = before - before.mean(), after - after.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    correlation = float((a * b).sum()) / scale if scale > 1e-6 else 0.0
    return correlation < CUT_MAX_CORRELATION
