"""What is in a media file, and how well its pictures and sound go together, measured without any weights."""

from __future__ import annotations

import math
from collections import deque
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
    from talkinghead.face.detections import DetectionLog
    from talkinghead.measure.sync import MouthWatch, SyncEstimate
    from talkinghead.media import MediaProbe

ENOUGH_LOOKS = 100
"""In a longer file faces are looked for in every second to MOST_STEP-th frame, so that these are about so many."""
MOST_STEP = 5
"""Between looks the box is interpolated: so the mouth is still followed well enough for a correlation."""


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
    from talkinghead.face import FaceOptions, detect_faces, load_detector, track_faces
    from talkinghead.measure.sync import MouthWatch, audio_video_offset
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
    detector = load_detector(options)
    options = replace(options, every=max(1, min(MOST_STEP, math.ceil(len(source) / ENOUGH_LOOKS))))
    log = detect_faces(source, detector, every=options.step, progress=_part(progress, "detect-faces"))
    faces = face_coverage(log, detector.description)
    if faces.frames_with_face == 0:
        return Inspection(media, faces, None)
    watch: MouthWatch | None = None
    notes: tuple[str, ...] = ()
    if source.fps is not None and media.main_audio is not None:
        try:
            watch = MouthWatch(track_faces(source, options, detector=detector, log=log))
        except FaceError as error:
            notes = (error.what,)
    mouth = look_at_mouth(source, watch, _part(progress, "analyse-face"))
    if watch is None or source.fps is None:
        return Inspection(media, faces, None, mouth, notes)
    try:
        sync = audio_video_offset(watch.opening(), source.fps, read_audio(path, SPEECH_RATE_HZ))
    except MediaError as error:
        return Inspection(media, faces, None, mouth, (error.what,))
    # Pictures and sound were both counted from their own first.
    late_s = float(sound_offset(Path(path)).seconds)
    return Inspection(media, faces, replace(sync, lag_ms=sync.lag_ms - 1000.0 * late_s), mouth)


def look_at_mouth(
    source: FrameSource, watch: MouthWatch | None, progress: Callable[[int, int], None] | None = None
) -> MouthOpening | None:
    """Read every frame once, for both measures of the mouth.

    Args:
        watch: sees every frame.
    Returns:
        The opening by the face mesh; None without it, or where it sees a face in less than half of the frames.
    """
    from talkinghead.face.mesh.networks import found_mesh

    mesh = found_mesh()

    def frames() -> Iterator[Frame]:
        for done, frame in enumerate(source.read(), 1):
            if watch is not None:
                watch.see(frame)
            yield frame
            if progress is not None:
                progress(done, len(source))

    if mesh is None:
        if watch is not None:
            deque(frames(), maxlen=0)
        return None
    gaps = inner_lip_gaps(frames(), mesh)
    if 2 * np.isnan(gaps).sum() > len(gaps):
        return None
    listed = tuple(None if np.isnan(gap) else round(float(gap), 4) for gap in gaps)
    return MouthOpening(listed, MeshLandmarks(mesh).name)


def _part(progress: Callable[[str, int, int], None] | None, what: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(what, done, total)


def face_coverage(log: DetectionLog, detector: str) -> FaceCoverage:
    """How many of the frames looked at show a face.

    Args:
        detector: that looked, in words.
    """
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
        detector=detector,
    )
