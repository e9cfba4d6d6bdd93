"""Whether what is drawn on a moving head keeps its place: sliding and trembling, against the head's exact movement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.errors import InputError

SWAY_FRAMES = 50
"""Frames of one to and fro."""


@dataclass(frozen=True)
class Sliding:
    """Movement of a patch on a head that is held still, pixels."""

    farthest_px: float
    """From its mean place."""
    tremble_px: float
    """From one frame to the next, root mean square."""


def swaying(num_frames: int, size: tuple[int, int], reach: float) -> list[NDArray[np.float64]]:
    """How a picture of (width, height) moves when a head sways, nods, tilts and comes nearer: matrices [2, 3].

    Args:
        reach: how far it goes to the side, pixels.
    """
    moves = []
    middle = np.array(size) / 2
    for phase in np.arange(num_frames) * (2 * np.pi / SWAY_FRAMES):
        turn, scale = 0.05 * np.sin(phase + 1), 1 + 0.03 * np.sin(0.7 * phase)
        shift = reach * np.array([np.sin(phase), 0.5 * np.cos(2 * phase)])
        cos, sin = scale * np.cos(turn), scale * np.sin(turn)
        turned = np.array([[cos, -sin], [sin, cos]])
        moves.append(np.hstack([turned, (middle - turned @ middle + shift)[:, None]]))
    return moves


def moved(picture: Frame, moves: Sequence[NDArray[np.float64]]) -> Iterator[Frame]:
    """The picture after each of the movements."""
    import cv2

    for move in moves:
        frame = cv2.warpAffine(
            picture, move, picture.shape[1::-1], flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
        )
        yield np.asarray(frame, np.uint8)


def measure_sliding(
    frames: Iterable[Frame], moves: Sequence[NDArray[np.float64]], box_xyxy: tuple[int, int, int, int]
) -> Sliding:
    """How a patch moves once the head's own movement is taken back.

    Args:
        frames: a moving head; something is drawn on it that does not move by itself.
        moves: [2, 3] each, from the still picture to the frame.
        box_xyxy: the patch in the still picture.
    """
    import cv2

    x1, y1, x2, y2 = box_xyxy
    first: NDArray[np.float32] | None = None
    places = []
    for frame, move in zip(frames, moves, strict=True):
        held = move.copy()
        held[:, 2] += held[:, :2] @ np.array([x1, y1])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(frame, held, (x2 - x1, y2 - y1), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
        first = grey if first is None else first
        places.append(shift_between(first, grey))
    row = np.array(places)
    steps = np.diff(row, axis=0)
    return Sliding(
        farthest_px=float(np.hypot(*(row - row.mean(axis=0)).T).max()),
        tremble_px=float(np.sqrt((steps**2).sum(axis=1).mean())) if len(steps) else 0.0,
    )


def shift_between(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """[2] x and y by which the second grey picture is the first one shifted: the best correlation, to parts of a pixel.

    Raises:
        InputError: they are too unlike.
    Source: Evangelidis and Psarakis 2008 (enhanced correlation coefficient).
    """
    import cv2

    shift = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)
    everywhere = np.ones(first.shape, np.uint8)
    try:
        _, found = cv2.findTransformECC(first, second, shift, cv2.MOTION_TRANSLATION, stop, everywhere, 5)
    except cv2.error as error:
        raise InputError("The patches do not show the same thing, so that no movement can be measured.") from error
    return np.asarray(found[:, 2], np.float64)
