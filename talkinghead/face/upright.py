"""Faces that stand on their side or upside down: which quarter turn sets them upright."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talkinghead.contracts import ArrayStore, Detection, Frame, FrameSource
from talkinghead.face.detectors import Detector
from talkinghead.face.detectors.base import settle
from talkinghead.files import cache_key
from talkinghead.media.transform import Turn
from talkinghead.media.turned import TurnedSource

CACHE_KIND = "upright/1"
SURE_SCORE = 0.8
"""A face that is seen with this score stands as it is seen; detectors see turned ones with less, if at all."""
LEAST_SCORE = 0.6
"""Of the best face after a turn, in any of the frames looked at."""
BETTER = 1.05
"""Times the score without a turn that the one after it must reach."""
SAMPLES = (0.0, 0.5, 0.25, 0.75, 1.0)
"""Where in a video is looked, as shares of its length, until a face is seen for sure."""
_STANDING = {90: "on its side", 180: "upside down", 270: "on its side"}


def stood_up(
    source: FrameSource, detector: Detector, *, cache: ArrayStore | None = None, stop: int | None = None
) -> tuple[FrameSource, Turn | None]:
    """The source with its faces upright, and the turn that this took.

    Other ways up are tried only where no face is seen for sure as the frames are.

    Args:
        stop: frames from here on are not looked at.
    Returns:
        The source itself and None where its faces stand upright, or where none is seen any way up.
    """
    if not detector.looks_at_pixels:
        return source, None
    settle(detector, source, cache)
    key = cache_key(CACHE_KIND, source=source.content_hash, detector=detector.identity, stop=stop)
    stored = None if cache is None else cache.get(key)
    degrees = int(stored["degrees"]) if stored is not None else _degrees(source, detector, stop)
    if cache is not None and stored is None:
        cache.put(key, {"degrees": np.array(degrees)})
    if not degrees:
        return source, None
    turn = Turn(degrees=degrees)
    return TurnedSource(source, turn), turn


def turned_note(turn: Turn) -> str:
    """What to say of a source that had to be turned by so much."""
    return (
        f"The face stands {_STANDING[turn.degrees]} in the source, and its mouth moves that way up "
        f"(--rotate {turn.degrees} turns the video)."
    )


def _degrees(source: FrameSource, detector: Detector, stop: int | None) -> int:
    count = len(source) if stop is None else min(stop, len(source))
    numbers = dict.fromkeys(round(share * (count - 1)) for share in SAMPLES)
    looked: list[Frame] = []
    scores: list[float] = []
    for number in numbers:
        looked += source.read(number, number + 1)
        scores += _best_scores(detector, looked[len(scores) :])
        if scores and scores[-1] >= SURE_SCORE:
            return 0
    if not looked:
        return 0
    best = {0: max(scores)}
    for degrees in (180, 90, 270):
        turn = Turn(degrees=degrees)
        best[degrees] = max(_best_scores(detector, [turn.apply(frame) for frame in looked]))
    found = max(best, key=lambda degrees: best[degrees])
    return found if best[found] >= max(LEAST_SCORE, BETTER * best[0]) else 0


def _best_scores(detector: Detector, frames: Sequence[Frame]) -> list[float]:
    """Score of the best face of each frame that stands upright in it, 0 where there is none."""
    return [max((face.score for face in faces if _is_upright(face)), default=0.0) for faces in detector.detect(frames)]


def _is_upright(face: Detection) -> bool:
    """Whether the line of the eyes, where it is known, is nearer to level than to any other quarter turn."""
    if face.key_points is None:
        return True
    along, below = (float(value) for value in face.key_points[1] - face.key_points[0])
    return along >= abs(below)
