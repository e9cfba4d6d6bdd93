"""The family `viseme`: recognised phones move the mouth of any picture or video."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import (
    FaceTrack,
    FloatArray,
    Frame,
    FrameSource,
    MouthMotion,
    Phone,
    Speech,
    StageTime,
)
from talkinghead.engine.cache import Cache
from talkinghead.engine.head import (
    Avatar,
    Description,
    Head,
    LoadOptions,
    PrepareOptions,
    Progress,
    ProgressEvent,
    RenderOptions,
)
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import CancelToken, Stage
from talkinghead.engine.timeline import FramePlan, PlannedFrame, planned_frames
from talkinghead.families.viseme.analyse import FacePath, analyse_picture, analyse_video
from talkinghead.families.viseme.animator import VisemeAvatar, animate_frame, appearance, full_poses
from talkinghead.families.viseme.compose import fine_picture
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.geometry import COLUMNS
from talkinghead.families.viseme.manifest import MANIFEST
from talkinghead.files import cache_key

CACHE_KIND = "viseme-geometry/1"
"""Part of the cache key: raised when the analysis changes."""
DOUBTFUL = 0.35
"""Mean confidence in the mouth below which the report warns."""
PALETTE_FRAMES = 9
DETECT_EVERY = 3
"""Frames from one face detection to the next: in between, optical flow follows the head."""


@dataclass(frozen=True, eq=False)
class VisemeConditioning:
    """What the speech asks of the face."""

    motion: MouthMotion
    method: str
    """How the phones were found."""
    notes: tuple[str, ...]
    phones: tuple[Phone, ...] = ()


def build(options: LoadOptions) -> VisemeHead:
    """The built-in animator; it has no weights and runs on the processor."""
    return VisemeHead(build_config(VisemeConfig, options.family, owner="viseme"))


class VisemeHead(Head):
    """The built-in animator."""

    def __init__(self, config: VisemeConfig) -> None:
        self.facts = MANIFEST
        self.config = config

    def prepare(
        self,
        source: str | Path | Frame,
        options: PrepareOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> VisemeAvatar:
        from talkinghead.face import FaceOptions, track_faces
        from talkinghead.media import FrameOptions, open_frames
        from talkinghead.media.arrays import ArraySource

        options = options or PrepareOptions()
        cancel = cancel or CancelToken()
        cache = options.cache or Cache()
        started = time.perf_counter()
        frame_options = options.frames or FrameOptions()
        wanted = (options.render or RenderOptions()).fps
        frames: FrameSource
        if isinstance(source, np.ndarray):
            frames = ArraySource([source], options=frame_options)
        else:
            frames = open_frames(source, options=replace(frame_options, fps=frame_options.fps or wanted))
        stop = self.frames_needed(options, frames.fps)
        opened = time.perf_counter()

        def detecting(done: int, total: int) -> None:
            cancel.check()
            _tell(progress, "faces", done, total)

        faces = options.faces or FaceOptions()
        if faces.every is None and faces.no_face != "fail":
            faces = replace(faces, every=DETECT_EVERY)
        track = track_faces(frames, faces, cache=cache, progress=detecting, stop=stop)
        tracked = time.perf_counter()
        avatar = _analysed(frames, track, cache, progress, cancel)
        done = time.perf_counter()
        times = (
            StageTime("open", opened - started, 0.0, 0.0, 1),
            StageTime("faces", tracked - opened, 0.0, 0.0, len(track)),
            StageTime("geometry", done - tracked, 0.0, 0.0, len(track)),
        )
        return replace(avatar, times=times)

    def condition(self, speech: Speech, fps: Fraction, num_frames: int) -> VisemeConditioning:
        from talkinghead.audio.mouth import mouth_motion
        from talkinghead.audio.phones import PhoneResult, recognise_phones

        found = PhoneResult(speech.phones, "given") if speech.phones is not None else recognise_phones(speech.clip)
        return VisemeConditioning(
            mouth_motion(found.phones, speech.clip, fps, num_frames), found.method, tuple(found.notes), found.phones
        )

    def motion_arrays(self, conditioning: Any) -> dict[str, FloatArray]:
        """Jaw, lips, width, tuck, tongue and speaking, as in `MouthMotion`."""
        assert isinstance(conditioning, VisemeConditioning)
        motion = conditioning.motion
        return {name: getattr(motion, name) for name in ("jaw", "lips", "width", "tuck", "tongue", "speaking")}

    def heard_phones(self, conditioning: Any) -> tuple[Phone, ...]:
        assert isinstance(conditioning, VisemeConditioning)
        return conditioning.phones

    def landmarks(self, avatar: Avatar, index: int) -> FloatArray:
        """The outlines of the lips, and the eyes of a picture."""
        assert isinstance(avatar, VisemeAvatar)
        assert avatar.path is not None
        mouth = avatar.path.at(index).mouth
        curves = (mouth.upper_outer, mouth.lower_outer, mouth.upper_inner, mouth.lower_inner)
        some = slice(None, None, 5)
        across = (mouth.half_width * COLUMNS)[some, None]
        points = [mouth.centre + across * mouth.axis + curve[some, None] * mouth.down for curve in curves]
        if avatar.eyes:
            points.append(np.stack([eye.geometry.centre for eye in avatar.eyes]))
        return np.concatenate(points).astype(np.float32)

    def stages(self, avatar: Avatar, conditioning: Any, plan: FramePlan) -> Sequence[Stage]:
        assert isinstance(avatar, VisemeAvatar)
        assert isinstance(conditioning, VisemeConditioning)
        assert avatar.source is not None
        source, config = avatar.source, self.config
        poses = full_poses(avatar, conditioning.motion, config)

        def read(indices: Iterator[int]) -> Iterator[PlannedFrame]:
            for _, item in zip(indices, planned_frames(source, plan), strict=False):
                yield item

        def move(items: Iterator[PlannedFrame]) -> Iterator[Frame]:
            for item in items:
                yield animate_frame(item.frame, avatar.face(item.source_index), poses[item.index], config)

        return [Stage("read", read), Stage("animate", move)]

    def describe(self, avatar: Avatar, conditioning: Any) -> Description:
        assert isinstance(avatar, VisemeAvatar)
        assert isinstance(conditioning, VisemeConditioning)
        assert avatar.path is not None
        path = avatar.path
        confidence = float(np.mean(path.confidence))
        warnings = []
        if confidence < DOUBTFUL:
            warnings.append(
                f"The mouth could not be seen well (confidence {confidence:.2f}); its place is partly guessed. "
                "A sharper, more frontal picture helps, or a detector with key points."
            )
        idle = self.config.idle_motion and avatar.is_still
        if idle and not avatar.eyes and self.config.blinks_per_minute > 0:
            warnings.append("The eyes could not be seen well enough to blink; they stay open.")
        return Description(
            model_details={
                "phones": conditioning.method,
                "mouth_confidence": round(confidence, 3),
                "mouth_half_width_px": round(path.at(0).mouth.half_width, 1),
                "key_points": path.used_key_points,
                "own_teeth": avatar.own_teeth is not None,
                "idle_motion": idle,
                "blinks": idle and bool(avatar.eyes),
                "strength": self.config.strength,
            },
            warnings=(*conditioning.notes, *warnings),
        )


def _analysed(
    frames: FrameSource,
    track: FaceTrack,
    cache: Cache,
    progress: Progress | None,
    cancel: CancelToken,
) -> VisemeAvatar:
    """Geometry and colours of the tracked face."""
    n = len(track)
    if n == 1 and len(frames) == 1:
        frame = next(iter(frames.read(0, 1)))
        path, eyes = analyse_picture(frame, track)
        palette, own, lids = appearance([frame], path, [0], eyes)
        _tell(progress, "geometry", 1, 1)
        return VisemeAvatar(
            frames,
            track,
            frames.size,
            frames.fps,
            1,
            path=path,
            palette=palette,
            own_teeth=own,
            eyes=lids,
            fine=fine_picture(frame, path.at(0)),
        )

    fps = float(frames.fps or 25)
    key = cache_key(
        CACHE_KIND,
        source=frames.content_hash,
        boxes=track.boxes_xyxy,
        status=track.status,
        points=track.key_points if track.key_points is not None else 0,
    )
    stored = cache.get(key)
    if stored is not None:
        path = FacePath.from_arrays(stored)
    else:

        def analysing(done: int) -> None:
            cancel.check()
            _tell(progress, "geometry", min(done, 2 * n), 2 * n)

        path = analyse_video(lambda: frames.read(0, n), track, fps, analysing)
        cache.put(key, path.to_arrays())
    indices = sorted({int(i) for i in np.linspace(0, len(path) - 1, PALETTE_FRAMES)})
    samples = [next(iter(frames.read(index, index + 1))) for index in indices]
    palette, own, lids = appearance(samples, path, indices, None)
    return VisemeAvatar(
        frames,
        track,
        frames.size,
        frames.fps,
        min(n, len(path)),
        path=path,
        palette=palette,
        own_teeth=own,
        eyes=lids,
    )


def _tell(progress: Progress | None, stage: str, done: int, total: int | None) -> None:
    if progress is not None:
        progress(ProgressEvent(stage, done, total))
