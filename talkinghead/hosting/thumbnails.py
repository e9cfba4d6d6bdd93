"""Small pictures of faces and of finished videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from talkinghead.contracts import FrameSource

SIDE = 256
"""Longer side, in pixels."""
QUALITY = 82
LOOKED_AT_S, LOOKS = 3.0, 6
"""So many frames of the first seconds of a video are looked at for a good one."""


def write_thumbnail(source: FrameSource, target: Path, side: int = SIDE) -> None:
    """Write a small WebP of a picture, or of a good frame of a video's first seconds.

    Args:
        side: longer side in pixels; smaller sources keep their size.
    """
    import cv2

    from talkinghead.errors import OutputError
    from talkinghead.files import write_bytes

    frame = cv2.cvtColor(_good_frame(source, side), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not done:
        raise OutputError(f"A picture of {frame.shape[1]}x{frame.shape[0]} pixels cannot be stored as WebP.")
    write_bytes(target, data.tobytes())


def thumbnail_of(path: Path, target: Path, side: int = SIDE) -> None:
    """As `write_thumbnail`, of a file.

    Raises:
        MediaError: it is no picture or video, or damaged.
    """
    from talkinghead.media import FrameOptions, open_frames

    source = open_frames(path, options=FrameOptions(cache_bytes=0))
    try:
        write_thumbnail(source, target, side)
    finally:
        source.close()


def _good_frame(source: FrameSource, side: int) -> NDArray[np.uint8]:
    """The frame with the most detail, reduced: neither a fade from black nor closed eyes nor a blurred move."""
    import cv2

    stop = 1 if source.fps is None else min(len(source), max(1, int(LOOKED_AT_S * source.fps)))
    best, most = None, -1.0
    for frame in source.read(0, stop, max(1, stop // LOOKS)):
        factor = min(1.0, side / max(frame.shape[:2]))
        size = (max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor)))
        small = np.asarray(cv2.resize(frame, dsize=size, interpolation=cv2.INTER_AREA), np.uint8)
        detail = float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())
        if detail > most:
            best, most = small, detail
    assert best is not None
    return best
