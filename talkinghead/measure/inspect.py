"""What is in a media file, and how well its pictures and sound go together, measured without any weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import SPEECH_RATE_HZ, Frame, FrameSource
from talkinghead.measure.landmarks import MeshLandmarks
from talkinghead.measure.mouth_pixels import CLOSED, inner_lip_gaps

if TYPE_CHECKING:
    from talkinghead.face import FaceOptions
    from talkinghead.measure.sync import SyncEstimate
    from talkinghead.media import MediaProbe

MAX_LOOKS = 100
"""Frames of a file in which faces are looked for, spread evenly over its length."""
SYNC_EVERY = 5
"""To follow the mouth, faces are looked for in every k-th frame at most."""


@dataclass(frozen=True)
class FaceCoverage:
    """How much of a video shows a face."""

    frames_looked_at: int
    frames_with_face: int
    frames_with_several: int
    mean_height: float | None
    """Of the largest face, as a share of the picture's height; None without faces."""
    detector: str

    @property
    def share(self) -> float:
        """Of the frames looked at, in [0, 1]."""
        return self.frames_with_face / self.frames_looked_at if self.frames_looked_at else 0.0


@dataclass(frozen=True)
class MouthOpening:
    """How far the lips are apart over time, by the face mesh."""

    gaps: tuple[float | None, ...]
    """Per frame: between the inner lips in the middle of the mouth, as a share of the distance between the outer
    corners of the eyes; None where no face is seen."""
    landmarks: str
    """What found them."""

    @property
    def known(self) -> NDArray[np.float64]:
        """Those of the frames with a face."""
        return np.array([gap for gap in self.gaps if gap is not None], np.float64)

    @property
    def closed_share(self) -> float | None:
        """Of the frames with a face."""
        return float((self.known <= CLOSED).mean()) if len(self.known) else None


@dataclass(frozen=True)
class Inspection:
    """All that `talkinghead inspect` shows."""

    media: MediaProbe
    faces: FaceCoverage | None
    """None for a file without pictures, or when it was not asked for."""
    sync: SyncEstimate | None
    """None without pictures, sound or face."""
    mouth: MouthOpening | None = None
    """None without the face mesh, or where it sees no face."""
    notes: tuple[str, ...] = ()
    """Why something could not be measured, as sentences."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        faces = None
        if self.faces is not None:
            faces = {**asdict(self.faces), "share": self.faces.share}
        return {
            "media": self.media.to_dict(),
            "faces": faces,
            "sync": asdict(self.sync) if self.sync is not None else None,
            "mouth": asdict(self.mouth) if self.mouth is not None else None,
            "notes": list(self.notes),
        }


def inspect_media(
    path: str | Path,
    *,
    face_options: FaceOptions | None = None,
    look_for_faces: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Inspection:
    """Look into a file, count its frames and samples, look for faces and measure audio-video offset and drift.

    Where the face mesh is installed, the opening of the mouth is measured, too.

    Args:
        look_for_faces: False only reads the streams, which is quick.
        progress: called with (what is measured, frames done, frames in all).
    Raises:
        MediaError: the file cannot be read.
    """
    from talkinghead.errors import FaceError, MediaError
    from talkinghead.face import FaceOptions, track_faces
    from talkinghead.media import open_frames, probe, read_audio
    from talkinghead.media.offsets import sound_offset

    media = probe(path)
    if not look_for_faces or media.kind == "audio":
        return Inspection(media, None, None)
    options = face_options or FaceOptions()
    try:
        source = open_frames(path)
    except MediaError as error:
        return Inspection(media, None, None, notes=(error.what,))
    faces = face_coverage(source, options, _part(progress, "detect-faces"))
    if faces.frames_with_face == 0:
        return Inspection(media, faces, None)
    mouth = mouth_opening(source, _part(progress, "analyse-face"))
    if media.kind != "video" or media.main_audio is None:
        return Inspection(media, faces, None, mouth)

    from talkinghead.measure.sync import estimate_sync

    try:
        # Between looks the box is interpolated: the mouth is followed well enough for a correlation.
        track = track_faces(
            source, replace(options, every=max(options.step, SYNC_EVERY)), progress=_part(progress, "analyse-face")
        )
        sync = estimate_sync(source, track, read_audio(path, SPEECH_RATE_HZ))
    except (MediaError, FaceError) as error:
        return Inspection(media, faces, None, mouth, (error.what,))
    # Pictures and sound were both counted from their own first.
    late_s = float(sound_offset(Path(path)).seconds)
    return Inspection(media, faces, replace(sync, lag_ms=sync.lag_ms - 1000.0 * late_s), mouth)


def mouth_opening(source: FrameSource, progress: Callable[[int, int], None] | None = None) -> MouthOpening | None:
    """The opening of the mouth in every frame, by the face mesh; None without it, or where it sees a face in less
    than half of the frames."""
    from talkinghead.face.mesh.networks import found_mesh

    mesh = found_mesh()
    if mesh is None:
        return None

    def frames() -> Iterator[Frame]:
        for done, frame in enumerate(source.read(), 1):
            yield frame
            if progress is not None:
                progress(done, len(source))

    gaps = inner_lip_gaps(frames(), mesh)
    if 2 * np.isnan(gaps).sum() > len(gaps):
        return None
    listed = tuple(None if np.isnan(gap) else round(float(gap), 4) for gap in gaps)
    return MouthOpening(listed, MeshLandmarks(mesh).name)


def _part(progress: Callable[[str, int, int], None] | None, what: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(what, done, total)


def face_coverage(
    source: Any, options: FaceOptions, progress: Callable[[int, int], None] | None = None
) -> FaceCoverage:
    """Look for faces in at most MAX_LOOKS frames, spread evenly.

    Args:
        source: a FrameSource.
        options: detector and its settings; which face is chosen does not matter here.
    """
    from talkinghead.face import detect_faces, load_detector

    detector = load_detector(options)
    every = max(1, math.ceil(len(source) / MAX_LOOKS))
    log = detect_faces(source, detector, every=every, progress=progress)
    counts = np.diff(log.offsets)
    heights = [
        max(float(box[3] - box[1]) for box in log.boxes_xyxy[log.offsets[i] : log.offsets[i + 1]]) / log.height
        for i in np.flatnonzero(counts)
    ]
    return FaceCoverage(
        frames_looked_at=len(log.frames),
        frames_with_face=int(np.count_nonzero(counts)),
        frames_with_several=int(np.count_nonzero(counts > 1)),
        mean_height=float(np.mean(heights)) if heights else None,
        detector=detector.description,
    )
