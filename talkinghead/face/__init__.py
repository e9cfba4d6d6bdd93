"""Finding, following, cutting out and putting back faces. Importing this needs neither OpenCV nor a network runtime.

Cutting out, blending and masks are in `talkinghead.face.crop`.
"""

from __future__ import annotations

from talkinghead.face.annotate import annotate_faces
from talkinghead.face.detections import DetectionLog, detect_faces
from talkinghead.face.detectors import Detector, available_detectors, load_detector
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.face.identity import choose_identity
from talkinghead.face.track import (
    RawTrack,
    fill_gaps,
    finish_track,
    interpolate_skipped,
    raw_track,
    smooth_track,
    track_faces,
)

__all__ = [
    "DetectionLog",
    "Detector",
    "FaceOptions",
    "RawTrack",
    "annotate_faces",
    "available_detectors",
    "choose_identity",
    "detect_faces",
    "fill_gaps",
    "finish_track",
    "interpolate_skipped",
    "load_detector",
    "raw_track",
    "smooth_track",
    "track_faces",
]
