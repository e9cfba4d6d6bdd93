"""The picture that the demonstration animates."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkinghead.errors import MissingDependency


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
