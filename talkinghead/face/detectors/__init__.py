"""Face detectors behind one interface.

A detector is one row of `DETECTORS` and one module; everything else (the track, the command line, `doctor`, the
tests) works from the row. Heavy packages are imported when the row's `build` runs.
"""

from __future__ import annotations

from talkinghead.face.detectors.base import (
    AvailableDetector,
    Detector,
    DetectorEntry,
)
from talkinghead.face.detectors.catalogue import (
    DETECTORS,
    available_detectors,
    load_detector,
)

__all__ = [
    "DETECTORS",
    "AvailableDetector",
    "Detector",
    "DetectorEntry",
    "available_detectors",
    "load_detector",
]
