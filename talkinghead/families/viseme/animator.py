"""The built-in animator: prepare a face once, then pose it for every frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.mouth import as_motion
from talkinghead.contracts import MOUTH_COLUMNS, FaceStatus, FloatArray, Frame, FrameSource, MouthMotion
from talkinghead.engine.head import Avatar
from talkinghead.families.viseme.analyse import FacePath
from talkinghead.families.viseme.compose import Face, Pose, animate
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.eyelids import Eye, read_lid
from talkinghead.families.viseme.fine import FinePicture
from talkinghead.families.viseme.geometry import NUM_COLUMNS, EyeGeometry
from talkinghead.families.viseme.idle import HeadPose, IdleLife, IdleMotion
from talkinghead.families.viseme.mouth_interior import (
    OwnTeeth,
    Palette,
    find_own_teeth,
    lifted,
    read_dark,
    read_palette,
    read_teeth,
)
from talkinghead.families.viseme.seam import Seam, likely_seam, read_seam
from talkinghead.families.viseme.teeth import read_strip
from talkinghead.families.viseme.warp import MouthPose

POSES_AT_ONCE = 16
"""Poses are computed in steps of so many frames, whatever is known, so that they are the same in every run."""
WIDEST_JAW = 1.6
WIDEST_LIPS = 1.6
WIDEST_WIDTH = 1.25
"""Poses are bounded here, whatever the factors of the configuration."""
TRUSTED = 0.3
"""Confidence in the mouth from which a frame may tell the colour of teeth."""


@dataclass(frozen=True, eq=False, kw_only=True)
class VisemeAvatar(Avatar):
    """A face prepared for the built-in animator."""

    frames: FrameSource
    """Those of `source`."""
    path: FacePath
    palette: Palette
    own_teeth: OwnTeeth | None = None
    eyes: tuple[Eye, ...] = ()
    """Eyes that may blink; empty for videos."""
    fine: FinePicture | None = None

    @property
    def is_still(self) -> bool:
        return self.num_frames == 1

    def face(self, index: int) -> Face | None:
        """The face of a source frame, or None where it is to be left alone."""
        if self.track is not None and self.track.status[index] == FaceStatus.MISSING:
            return None
        return self._still_face if self.is_still else self._face(index)

    def _face(self, index: int) -> Face:
        return Face(self.path.at(index), self.palette, self.own_teeth, self.eyes, self.fine)

    @cached_property
    def _still_face(self) -> Face:
        return self._face(0)


def appearance(
    frames: list[Frame], path: FacePath, indices: list[int], eyes: tuple[EyeGeometry, EyeGeometry] | None
) -> tuple[Palette, OwnTeeth | None, tuple[Eye, ...]]:
    """Colours of the inside of the mouth and of the lids.

    Args:
        frames, indices: some frames of the source and their numbers; a picture is one.
    """
    shown = [(frame, path.at(index)) for frame, index in zip(frames, indices, strict=True)]
    palettes = [read_palette(frame, face) for frame, face in shown]

    def median(name: str) -> FloatArray:
        return np.asarray(np.median([getattr(p, name) for p in palettes], axis=0), np.float32)

    own = [teeth for frame, face in shown if (teeth := read_teeth(frame, face)) is not None]
    dark = [light for frame, face in shown if (light := read_dark(frame, face)) is not None]
    seams = [seam for frame, face in shown if (seam := read_seam(frame, face.mouth)) is not None]
    flatness = float(median("flatness"))
    if not seams:
        frame, face = shown[0]
        seams = [likely_seam(frame, face.mouth, face.eye_distance, flatness)]
    of_video = shown if len(path) > 1 else []
    strips = [strip for frame, face in of_video if (strip := read_strip(frame, face)) is not None]
    palette = Palette(
        teeth=np.asarray(np.median(own, axis=0), np.float32) if own else median("teeth"),
        lips=median("lips"),
        cavity=lifted(median("cavity"), median("lips"), float(np.percentile(dark, 25))) if dark else median("cavity"),
        tongue=median("tongue"),
        softness=float(median("softness")),
        grain=float(median("grain")),
        warmth=float(median("warmth")),
        flatness=flatness,
        strip=max(strips, key=lambda strip: strip.score, default=None),
        seam=Seam(float(np.median([seam.dark for seam in seams])), float(np.median([seam.width for seam in seams]))),
    )
    if len(path) > 1:
        return palette, None, ()
    geometry = path.at(0)
    lids = tuple(read_lid(frames[0], eye, geometry.eye_distance) for eye in eyes) if eyes is not None else ()
    return palette, find_own_teeth(frames[0], geometry), lids


def telling_frames(path: FacePath, there: NDArray[np.intp], spread: int, widest: int) -> list[int]:
    """Frames from which colours are read: some spread evenly, and those in which the mouth is open widest.

    Args:
        there: ascending numbers of the frames that show the face.
    """
    middle = slice(NUM_COLUMNS // 2 - 4, NUM_COLUMNS // 2 + 5)
    gap = (path.contours[:, 2, middle] - path.contours[:, 1, middle]).mean(axis=1) * (path.confidence > TRUSTED)
    evenly = there[np.linspace(0, len(there) - 1, spread).astype(int)]
    return sorted({int(index) for index in (*evenly, *there[np.argsort(-gap[there], kind="stable")[:widest]])})


def mouth_poses(motion: MouthMotion, config: VisemeConfig) -> list[MouthPose]:
    """Every frame's mouth pose, after the factors of the configuration."""
    jaw = np.clip(motion.jaw * (config.strength * config.jaw), 0, WIDEST_JAW)
    lips = np.clip(motion.lips * config.strength, 0, WIDEST_LIPS)
    width = np.clip(motion.width * config.width * min(config.strength, 1.0), -WIDEST_WIDTH, WIDEST_WIDTH)
    rows = np.stack([jaw, lips, width, motion.tuck * min(config.strength, 1.0), motion.tongue], axis=1)
    return [MouthPose(*(float(v) for v in row)) for row in rows]


def poses(
    avatar: VisemeAvatar, rows: Sequence[FloatArray], fps: Fraction, config: VisemeConfig, *, first: int = 0
) -> Iterator[Pose]:
    """Every frame's pose in turn, from `first` on: the mouth, and on a picture the lids and the head.

    Args:
        rows: MOUTH_COLUMNS of every frame; no more of them are asked for than the next frames need.
    """
    together = _poses(avatar, rows, fps, config, first - first % POSES_AT_ONCE)
    yield from itertools.islice(together, first % POSES_AT_ONCE, None)


def _poses(
    avatar: VisemeAvatar, rows: Sequence[FloatArray], fps: Fraction, config: VisemeConfig, begin: int
) -> Iterator[Pose]:
    n = len(rows)
    life = IdleLife(fps, config) if avatar.is_still and config.idle_motion else None
    reach = 0 if life is None else life.reach
    for first in range(begin, n, POSES_AT_ONCE):
        wanted = range(first, min(first + POSES_AT_ONCE, n))
        known = range(max(0, first - reach), min(n, wanted.stop + reach))
        motion = motion_of(rows[known.start : known.stop], fps)
        mouths = mouth_poses(motion.part(wanted.start - known.start, wanted.stop - known.start), config)
        if life is None:
            yield from (Pose(mouth) for mouth in mouths)
            continue
        idle = life.frames(motion.speaking, motion.jaw, known, wanted)
        yield from (Pose(mouth, float(idle.lids[i]), head_pose(idle, i)) for i, mouth in enumerate(mouths))


def motion_of(rows: Sequence[FloatArray], fps: Fraction) -> MouthMotion:
    """Rows of MOUTH_COLUMNS as a motion."""
    columns = np.asarray(rows, np.float32).reshape(-1, len(MOUTH_COLUMNS)).T
    return as_motion(fps, columns)


def head_pose(idle: IdleMotion, index: int) -> HeadPose:
    """One frame of the head's movement."""
    names = ("x", "y", "roll", "scale", "yaw", "pitch")
    return HeadPose(**{name: float(getattr(idle, name)[index]) for name in names})


def animate_frame(frame: Frame, face: Face | None, pose: Pose, config: VisemeConfig) -> Frame:
    """One output frame; `frame` itself where nothing moves."""
    return frame if face is None else animate(frame, face, pose, teeth=config.teeth)
