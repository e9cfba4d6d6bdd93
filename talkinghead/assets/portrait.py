"""The picture that the demonstration animates."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkinghead.errors import MissingDependency

CLOSE = (slice(8, 232), slice(108, 332))
"""Rows and columns from above the hair to the collar."""
CLOSE_SIDE = 576


def astronaut() -> Any:
    """The portrait that comes with scikit-image, RGB uint8 [512, 512, 3].

    Raises:
        MissingDependency: scikit-image is not installed.
    """
    try:
        from skimage.data import astronaut as read
    except ImportError as error:
        raise MissingDependency("skimage", extra="demo", purpose="The demonstration picture") from error
    picture: Any = read()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(picture)


def astronaut_close() -> Any:
    """The face of that portrait and what is around it, enlarged so that the mouth is well seen, [576, 576, 3]."""
    import cv2

    face = np.ascontiguousarray(astronaut()[CLOSE])
    large = cv2.resize(face, (CLOSE_SIDE, CLOSE_SIDE), interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(large, np.uint8)
