"""What the user may say about finding the face."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkinghead.bounds import PIXELS, Between, check_fields, shown
from talkinghead.errors import OptionError, choices
from talkinghead.files import text_to_paths

NO_FACE_POLICIES = ("hold", "pass", "fail")


@dataclass(frozen=True)
class Selection:
    """Which of several faces is meant: `FaceOptions.select`, parsed."""

    rule: str
    """"largest", "index", "nearest" or "only"."""
    index: int = 0
    """For "index": 0 is the leftmost face of the first frame that shows one."""
    point_xy: tuple[float, float] = (0.0, 0.0)
    """For "nearest": pixels of the frame."""


@dataclass(frozen=True)
class FaceOptions:
    """How the face is found and followed. Refuses contradictions."""

    detector: str = "auto"
    """Name of a detector (see `available_detectors`), or "auto": the lightest good one that is installed."""
    detector_model: Path | None = None
    """Model file of the detector; default: the `models` folder of the user's data folder is searched."""
    box: Annotated[tuple[int, int, int, int] | None, PIXELS] = None
    """Fixed box (x1, y1, x2, y2) in pixels, half open: nothing is detected, the face is there in every frame."""
    select: str = "largest"
    """Which face: "largest" (in a video of those that move, so no poster); "index:K", the K-th from the left in the
    first frame with faces, from 0; "nearest:X,Y", nearest to a point in pixels; "only", an error if there are several.
    The one chosen is followed over time by overlap."""
    padding: Annotated[tuple[int, int, int, int], PIXELS] = (0, 0, 0, 0)
    """Pixels added to the box at the top, bottom, left and right; negative ones shrink it."""
    smoothing: Annotated[int, Between(0, 251)] = 11
    """Length in frames of the centred window over which boxes and key points are smoothed; 0 or 1: not at all."""
    every: Annotated[int | None, Between(1, 250)] = None
    """Look for faces in every k-th frame only and interpolate between; 1 looks at each. By default each, or fewer
    where the model follows the face by itself."""
    no_face: str = "hold"
    """Frames without a face: "hold" uses the last box again for up to half a second of a shot, as long as the face is
    still to be seen there, and leaves all others alone, "pass" leaves all alone, "fail" stops the job."""
    min_score: Annotated[float | None, Between(0, 1)] = None
    """Least confidence of a detection; None for the detector's own."""
    max_side: Annotated[int | None, Between(32, 8_192)] = None
    """Frames are reduced to this length of the longer side for detection; None for the detector's own."""

    def __post_init__(self) -> None:
        from talkinghead.face.detectors import DETECTORS

        text_to_paths(self, "detector_model")
        check_fields(self)
        if self.detector != "auto" and self.detector not in DETECTORS:
            raise OptionError(
                f"There is no face detector {self.detector!r}.", accepted=choices(("auto", *DETECTORS)) + "."
            )
        if self.box is not None:
            self._check_box(self.box)
        elif self.detector == "box":
            raise OptionError(
                "The detector 'box' needs a box.", remedy="give the box as x1,y1,x2,y2 in pixels of the frame."
            )
        if self.detector_model is not None:
            named = DETECTORS.get(self.detector)
            if self.box is not None or (named is not None and not named.model_patterns):
                raise OptionError(
                    f"The face detector {'box' if self.box else self.detector!r} takes no model file, "
                    f"but {self.detector_model} is given.",
                    accepted="a model file with the detector "
                    + choices([entry.name for entry in DETECTORS.values() if entry.model_patterns])
                    + ".",
                )
        parse_selection(self.select)
        if len(self.padding) != 4:
            raise OptionError(
                f"padding is {self.padding!r}.", accepted="four whole numbers of pixels: top, bottom, left, right."
            )
        if self.no_face not in NO_FACE_POLICIES:
            raise OptionError(
                f"There is no policy {self.no_face!r} for frames without a face.",
                accepted=choices(NO_FACE_POLICIES) + ".",
            )

    def _check_box(self, box: tuple[int, int, int, int]) -> None:
        if self.detector not in ("auto", "box"):
            raise OptionError(
                f"A fixed box and the detector {self.detector!r} were both given.",
                remedy="leave one of them away.",
            )
        if len(box) != 4 or box[2] <= box[0] or box[3] <= box[1]:
            raise OptionError(f"The box {box!r} is empty.", accepted="x1,y1,x2,y2 in pixels with x1 < x2 and y1 < y2.")

    @property
    def step(self) -> int:
        """Frames from one detection to the next."""
        return self.every or 1

    @property
    def selection(self) -> Selection:
        """`select`, parsed."""
        return parse_selection(self.select)


def parse_selection(text: str) -> Selection:
    """Read "largest", "only", "index:K" or "nearest:X,Y".

    Raises:
        OptionError: anything else.
    """
    if text in ("largest", "only"):
        return Selection(text)
    if match := re.fullmatch(r"index:(\d{1,4})", text):
        return Selection("index", index=int(match[1]))
    number = r"([+-]?\d{1,6}(?:\.\d{1,6})?)"
    if match := re.fullmatch(rf"nearest:{number},{number}", text):
        x, y = float(match[1]), float(match[2])
        assert math.isfinite(x)
        assert math.isfinite(y)
        return Selection("nearest", point_xy=(x, y))
    raise OptionError(
        f"{shown(text)} does not name a face.",
        accepted="largest, only, index:K (K-th from the left, from 0) or nearest:X,Y (pixels).",
    )
