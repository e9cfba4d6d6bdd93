"""Pictures that a demonstration animates: the portraits that come along, and an astronaut's photograph."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from talkinghead.errors import MissingDependency, OptionError

PORTRAITS = ("hazel", "rowan", "olive", "basil", "iris", "reed")
"""Invented faces, two sculpted, two painted and two drawn, made by `scripts/make_portraits.py`."""
DEFAULT_PORTRAIT = PORTRAITS[0]
ASTRONAUT = "astronaut"
"""The photograph that comes with scikit-image: NASA's portrait of Eileen Collins, in the public domain."""

CLOSE = (slice(8, 232), slice(108, 332))
"""Rows and columns from above the hair to the collar."""
CLOSE_SIDE = 576


def portrait_path(name: str = DEFAULT_PORTRAIT) -> Path:
    """One of `PORTRAITS` as a file: WebP, 512x512, lips closed, seen from the front.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in PORTRAITS:
        raise OptionError(
            f"There is no portrait {name!r}.",
            accepted=", ".join((*PORTRAITS, ASTRONAUT)),
            remedy="--face me.jpg for a picture of your own",
        )
    return Path(str(files("talkinghead.assets") / f"portrait-{name}.webp"))


def portrait(name: str = DEFAULT_PORTRAIT) -> Any:
    """What a demonstration animates: the path of one of `PORTRAITS`, or the astronaut's picture.

    Raises:
        OptionError: there is none of this name.
        MissingDependency: the astronaut is asked for and scikit-image is not installed.
    """
    return astronaut_close() if name == ASTRONAUT else portrait_path(name)


def astronaut() -> Any:
    """The portrait that comes with scikit-image, RGB uint8 [512, 512, 3].

    Raises:
        MissingDependency: scikit-image is not installed.
    """
    import numpy as np

    try:
        from skimage.data import astronaut as read
    except ImportError as error:
        raise MissingDependency("skimage", extra="demo", purpose="The astronaut's photograph") from error
    picture: Any = read()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(picture)


def astronaut_close() -> Any:
    """The face of that portrait and what is around it, enlarged so that the mouth is well seen, [576, 576, 3]."""
    import cv2
    import numpy as np

    face = np.ascontiguousarray(astronaut()[CLOSE])
    large = cv2.resize(face, (CLOSE_SIDE, CLOSE_SIDE), interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(large, np.uint8)
