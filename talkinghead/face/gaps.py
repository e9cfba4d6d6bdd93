"""Frames of a track in which no face was found: which are drawn all the same, and which are left as they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FaceStatus, FaceTrack, Frame, FrameSource, IntArray

HOLD_S = 0.5
"""Longest gap over which a face is held: a hand before it, a blurred frame. After more the person has gone."""
SIDE = 24
"""Of the small picture of a face by which its place is compared with another frame's, pixels."""
REACH = 0.2
"""How far a face may have moved meanwhile, in sides of its box."""
LEAST_LIKENESS = 0.6
"""Correlation of a face, and of its lower half, with its place in a frame where it still is. Measured on five clips:
0.1 to 0.5 s apart and blurred it is above 0.6 in 98 of 100 frames, elsewhere in the frame never above 0.55."""


def nearest_rows(present: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[n] the row itself or the nearest earlier one that is present, else -1; the same later, else n."""
    n = len(present)
    rows = np.arange(n)
    earlier = np.maximum.accumulate(np.where(present, rows, -1))
    later = np.minimum.accumulate(np.where(present, rows, n)[::-1])[::-1]
    return earlier, later


def short_gaps(status: NDArray[np.uint8], shots: IntArray, longest: int | None) -> NDArray[np.bool_]:
    """[n] whether a frame lies in a run of MISSING frames of one shot that is to be held.

    Args:
        longest: frames of a run; None for any. A shot without a face has nothing to hold.
    """
    missing: NDArray[np.bool_] = status == FaceStatus.MISSING
    if longest is None:
        return missing
    held = np.zeros(len(status), bool)
    edges = np.flatnonzero(np.diff(missing.astype(np.int8)) | np.diff(shots)) + 1
    for start, stop in itertools.pairwise([0, *edges.tolist(), len(status)]):
        if start < stop and missing[start] and stop - start <= longest:
            held[start:stop] = not missing[shots == shots[start]].all()
    return held


def without_guesses(status: NDArray[np.uint8], shots: IntArray) -> NDArray[np.uint8]:
    """Statuses in which frames beside a gap that were not looked at belong to it: the face may have gone already."""
    missing = status == FaceStatus.MISSING
    guessed = status == FaceStatus.INTERPOLATED
    gone = np.zeros(len(status), bool)
    for beside in nearest_rows(~guessed):
        there = np.clip(beside, 0, len(status) - 1)
        gone |= (beside == there) & missing[there] & (shots[there] == shots)
    return np.where(guessed & gone, FaceStatus.MISSING, status).astype(np.uint8)


def without_face(status: NDArray[np.uint8]) -> tuple[str, ...]:
    """How many frames are drawn without a face in them, or left alone, as a sentence."""
    held, passed = (int((status == kind).sum()) for kind in (FaceStatus.HELD, FaceStatus.MISSING))
    if not held + passed:
        return ()
    parts = [f"{held} take the face's last place"] * (held > 0) + [f"{passed} are left as they are"] * (passed > 0)
    return (f"No face was found in {held + passed} of {len(status)} frames: {' and '.join(parts)}.",)


def without_hidden(track: FaceTrack, shots: IntArray, hidden: IntArray) -> FaceTrack:
    """A track whose HELD frames show nobody else: a gap in which another person is in front is left alone.

    Args:
        shots: [n] int32, shot of each frame.
        hidden: frames in which somebody else was seen in the person's place.
    """
    status = track.status.copy()
    for start, stop in _doubtful_runs(status, shots):
        if ((hidden >= start) & (hidden < stop)).any():
            status[start:stop] = FaceStatus.MISSING
    return replace(track, status=status)


def without_absent(source: FrameSource, track: FaceTrack, shots: IntArray) -> FaceTrack:
    """A track whose HELD frames still show the face; those that show something else in its place are MISSING.

    Frames of one shot are compared, those between a HELD one and the next that was looked at, too.

    Args:
        shots: [n] int32, shot of each frame.
    """
    status = track.status.copy()
    for start, stop in _doubtful_runs(status, shots):
        before = start > 0 and shots[start - 1] == shots[start]
        after = stop < len(status) and shots[stop] == shots[start]
        first, last = start - before, stop + after
        places, faces = [], []
        for number, frame in enumerate(source.read(first, last), first):
            if start <= number < stop:
                places.append(_small(frame, track.boxes_xyxy[number], REACH))
            else:
                faces.append(_small(frame, track.boxes_xyxy[number], 0.0))
        likeness = [max((_likeness(face, place) for face in faces), default=0.0) for place in places]
        gone = np.array(likeness, np.float64) < LEAST_LIKENESS
        status[start : start + len(gone)][gone] = FaceStatus.MISSING
    return replace(track, status=status, notes=without_face(status))


def _doubtful_runs(status: NDArray[np.uint8], shots: IntArray) -> Iterator[tuple[int, int]]:
    """Stretches of one shot without a look that saw the face, in which some frames are HELD."""
    open_ = (status == FaceStatus.HELD) | (status == FaceStatus.INTERPOLATED)
    edges = np.flatnonzero(np.diff(open_.astype(np.int8)) | np.diff(shots)) + 1
    for start, stop in itertools.pairwise([0, *edges.tolist(), len(status)]):
        if start < stop and (status[start:stop] == FaceStatus.HELD).any():
            yield start, stop


def _small(frame: Frame, box_xyxy: IntArray, reach: float) -> NDArray[np.uint8]:
    """A box with so much around it, in sides, as a small grey picture; the frame's border is repeated outside."""
    import cv2

    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    width, height = x2 - x1, y2 - y1
    frame_height, frame_width = frame.shape[:2]
    left, right = np.clip([x1 - reach * width, x2 + reach * width], 0, frame_width).round().astype(int)
    top, bottom = np.clip([y1 - reach * height, y2 + reach * height], 0, frame_height).round().astype(int)
    part = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    size = (max(1, round(SIDE * (right - left) / width)), max(1, round(SIDE * (bottom - top) / height)))
    small = cv2.cvtColor(cv2.resize(part, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    wanted = round(SIDE * (1 + 2 * reach))
    missing_top = round(SIDE * max(0.0, reach * height - y1) / height)
    missing_left = round(SIDE * max(0.0, reach * width - x1) / width)
    padded = cv2.copyMakeBorder(
        small,
        missing_top,
        max(0, wanted - size[1] - missing_top),
        missing_left,
        max(0, wanted - size[0] - missing_left),
        cv2.BORDER_REPLICATE,
    )
    return np.asarray(padded, np.uint8)


def _likeness(face: NDArray[np.uint8], place: NDArray[np.uint8]) -> float:
    """Highest correlation of a face anywhere in a place, or that of its lower half where it is lower, in [-1, 1]."""
    import cv2

    half = len(face) // 2
    return min(
        float(cv2.matchTemplate(image, part, cv2.TM_CCOEFF_NORMED).max())
        for image, part in ((place, face), (place[half:], face[half:]))
    )
