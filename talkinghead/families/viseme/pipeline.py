"""The family `viseme`: recognised phones move the mouth of any picture or video."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from talkinghead.contracts import (
    MOUTH_COLUMNS,
    AudioClip,
    FaceSource,
    FaceStatus,
    FaceTrack,
    FloatArray,
    Frame,
    FrameSource,
    NetworkRun,
    Phone,
    StageTime,
)
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Description, Head, LoadOptions, PrepareOptions
from talkinghead.engine.listener import Heard, Listener, Told, WholeSound
from talkinghead.engine.live.face import Order
from talkinghead.engine.live.rows import LiveRows
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan, PlannedFrame, planned_frames
from talkinghead.enhance.faces import MadeFace, tracked_face
from talkinghead.enhance.stage import Enhancement
from talkinghead.errors import OptionError
from talkinghead.face.mesh.covered import COVERED_NOTE, mouth_is_covered
from talkinghead.face.mesh.files import OBTAIN
from talkinghead.face.mesh.networks import FaceMesh, found_mesh
from talkinghead.families.viseme.analyse import FacePath, analyse_picture, analyse_video
from talkinghead.families.viseme.animator import (
    VisemeAvatar,
    animate_frame,
    appearance,
    poses,
    telling_frames,
)
from talkinghead.families.viseme.compose import Pose
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.fine import fine_picture
from talkinghead.families.viseme.geometry import COLUMNS
from talkinghead.families.viseme.idle import head_region
from talkinghead.families.viseme.inner_mouth import without_inside
from talkinghead.families.viseme.live import LiveVisemeFace
from talkinghead.families.viseme.manifest import MANIFEST
from talkinghead.files import cache_key

if TYPE_CHECKING:
    from talkinghead.audio.phones import PhoneResult

CACHE_KIND = "viseme-geometry/8"
"""Part of the cache key: raised when the analysis changes."""
DOUBTFUL = 0.35
"""Mean confidence in the mouth below which the report warns."""
MouthRow = FloatArray
"""[6] float32, the pose of the mouth in one frame: MOUTH_COLUMNS."""
SPEAKING = MOUTH_COLUMNS.index("speaking")
PALETTE_FRAMES, TEETH_FRAMES = 9, 6
COVER_LOOKS = 3
"""Frames of a video in which is looked whether the mouth can be seen."""
DETECT_EVERY = 3
"""Frames from one face detection to the next: in between, optical flow follows the head."""


def build(options: LoadOptions) -> VisemeHead:
    """The built-in animator; it has no weights and runs on the processor."""
    return VisemeHead(options)


class VisemeHead(Head[VisemeAvatar, MouthRow]):
    """The built-in animator."""

    def __init__(self, options: LoadOptions) -> None:
        super().__init__(MANIFEST, options)
        self.config = build_config(VisemeConfig, options.family, owner="viseme")
        self.enhancement = Enhancement(self.config, options)

    def open_avatar(self, source: FaceSource, options: PrepareOptions, run: RunContext) -> VisemeAvatar:
        from talkinghead.face import FaceOptions, load_detector, track_faces
        from talkinghead.face.detectors.mesh import MeshDetector
        from talkinghead.face.upright import stood_up, turned_note
        from talkinghead.media import FrameOptions
        from talkinghead.media.sources import frames_of

        started = time.perf_counter()
        frame_options = options.frames or FrameOptions()
        frames = frames_of(source, options=frame_options, check=run.cancel.check)
        stop = self.frames_needed(options, frames.fps)
        opened = time.perf_counter()
        faces = options.faces or FaceOptions()
        if faces.every is None and faces.no_face != "fail":
            faces = replace(faces, every=DETECT_EVERY)
        size, detector = frames.size, load_detector(faces)
        if isinstance(detector, MeshDetector) and not self.enhancement.works:  # which aligns faces by its key points
            detector = detector.quick()
        frames, turn = stood_up(frames, detector, cache=run.cache, stop=stop)
        if turn is not None:
            run.warn(turned_note(turn))
        track = track_faces(
            frames,
            faces,
            detector=detector,
            cache=run.cache,
            progress=lambda done, total: run.tell("detect-faces", done, total),
            stop=stop,
        )
        tracked = time.perf_counter()
        avatar = _analysed(frames, track, run)
        done = time.perf_counter()
        times = (
            StageTime("open-face", opened - started, 0.0, 0.0, 1),
            StageTime("detect-faces", tracked - opened, 0.0, 0.0, len(track)),
            StageTime("analyse-face", done - tracked, 0.0, 0.0, len(track)),
        )
        return replace(avatar, times=times, size=size, turn=turn)

    @property
    def hears_phones(self) -> bool:
        return True

    def listener(
        self,
        avatar: VisemeAvatar,  # noqa: ARG002 - the interface
        fps: Fraction,
        run: RunContext,
        *,
        phones: tuple[Phone, ...] | None = None,
    ) -> Listener[MouthRow]:
        """Phones are recognised over the whole sound, and the mouth opens as wide as its loudest parts."""

        def hear(clip: AudioClip) -> Heard[MouthRow]:
            from talkinghead.audio.ahead import recognised
            from talkinghead.families.viseme.spoken import SpokenRows

            tell = run.hearing(float(clip.duration_s))
            ahead = run.ahead
            if phones is None and ahead is not None and ahead.is_of(clip):
                rows = SpokenRows(clip, fps, lambda after_s: ahead.known(after_s, run.cancel.check))
                ahead.known(0.0, lambda: tell(ahead.done_s, float(clip.duration_s)))
                return Heard(rows, lambda: _told(ahead.result()))
            found = recognised(clip, ahead, tell, given=phones)
            return Heard(SpokenRows(clip, fps, lambda _after_s: (found.phones, math.inf)), lambda: _told(found))

        return WholeSound(hear)

    def live_listener(
        self, avatar: VisemeAvatar, fps: Fraction, run: RunContext, *, phones: tuple[Phone, ...] | None = None
    ) -> Listener[MouthRow]:
        """The mouth of every frame 0.2 s after its time; where phones are given, as `listener`."""
        return LiveRows(fps) if phones is None else self.listener(avatar, fps, run, phones=phones)

    def live_face(self, avatar: VisemeAvatar, fps: Fraction, run: RunContext) -> LiveVisemeFace:  # noqa: ARG002
        """See `Head.live_face`; a live session restores no faces."""
        if self.enhancement.works:
            raise OptionError("Faces are to be restored, which a live session cannot do.", remedy="leave enhance out")
        return LiveVisemeFace(avatar, fps, self.config)

    def draw(self, orders: Sequence[Order]) -> Sequence[Frame]:
        return [
            animate_frame(order.picture, order.avatar.face(order.source_index), order.pose, self.config)
            for order in orders
        ]

    def frames_to_make(self, avatar: VisemeAvatar, plan: FramePlan, wanted: range) -> range:  # noqa: ARG002
        """Each frame can be made alone; faces that are sharpened need some before them."""
        return self.enhancement.led_in(wanted)

    def motion_arrays(self, heard: Heard[MouthRow]) -> dict[str, FloatArray]:
        """Jaw, lips, width, tuck, tongue and speaking, as in `MouthMotion`."""
        rows = np.asarray(heard.windows, np.float32).reshape(-1, len(MOUTH_COLUMNS))
        return {name: np.ascontiguousarray(rows[:, column]) for column, name in enumerate(MOUTH_COLUMNS)}

    def landmarks(self, avatar: VisemeAvatar, index: int) -> FloatArray:
        """The outlines of the lips, and the eyes of a picture."""
        mouth = avatar.path.at(index).mouth
        curves = (mouth.upper_outer, mouth.lower_outer, mouth.upper_inner, mouth.lower_inner)
        some = slice(None, None, 5)
        across = (mouth.half_width * COLUMNS)[some, None]
        points = [mouth.centre + across * mouth.axis + curve[some, None] * mouth.down for curve in curves]
        if avatar.eyes:
            points.append(np.stack([eye.geometry.centre for eye in avatar.eyes]))
        return np.concatenate(points).astype(np.float32)

    def stages(
        self,
        avatar: VisemeAvatar,
        heard: Heard[MouthRow],
        plan: FramePlan,
        run: RunContext,
    ) -> Sequence[Stage]:
        config = self.config

        def listen(indices: Iterator[int]) -> Iterator[Pose]:
            """Waits where the phones are still being recognised."""
            posed = poses(avatar, heard.windows, plan.fps, config, first=run.first)
            yield from (pose for _, pose in zip(indices, posed, strict=False))

        def read(wanted: Iterator[Pose]) -> Iterator[tuple[PlannedFrame, Pose]]:
            for pose, item in zip(wanted, planned_frames(avatar.frames, plan, run.first), strict=False):
                yield item, pose

        def move(items: Iterator[tuple[PlannedFrame, Pose]]) -> Iterator[Frame]:
            for item, pose in items:
                yield animate_frame(item.frame, avatar.face(item.source_index), pose, config)

        def faces(index: int, source_index: int) -> Iterator[MadeFace]:
            assert avatar.track is not None
            face = tracked_face(avatar.track, source_index, share=float(heard.windows[index][SPEAKING]))
            if face is not None:
                yield face

        return [
            Stage("listen", listen),
            Stage("read", read),
            Stage("compose", move),
            *self.enhancement.stages(faces, plan, run),
        ]

    def describe(self, avatar: VisemeAvatar, heard: Heard[MouthRow], run: RunContext) -> Description:
        path = avatar.path
        confidence = _confidence(avatar)
        if confidence < DOUBTFUL and not (avatar.track is not None and avatar.track.is_given):
            run.warn(
                f"The mouth could not be seen well (confidence {confidence:.2f}); its place is partly guessed. "
                "A sharper, more frontal picture helps, "
                + ("or a face of more pixels." if path.used_mesh else f"or the face mesh ({OBTAIN}).")
            )
        idle = self.config.idle_motion and avatar.is_still
        if idle and not avatar.eyes and self.config.blinks_per_minute > 0:
            run.warn("The eyes could not be seen well enough to blink; they stay open.")
        return Description(
            networks=(NetworkRun("animator", "numpy"), *self.enhancement.networks),
            model_details={
                "phones": heard.method,
                "mouth_confidence": round(confidence, 3),
                "mouth_half_width_px": round(path.at(0).mouth.half_width, 1),
                "key_points": path.used_key_points,
                "landmarks": "mesh" if path.used_mesh else "image",
                "own_teeth": avatar.own_teeth is not None,
                "idle_motion": idle,
                "blinks": idle and bool(avatar.eyes),
                "strength": self.config.strength,
                **self.enhancement.details(run),
            },
        )


def _told(found: PhoneResult) -> Told:
    return Told(found.method, found.phones, found.notes)


def _confidence(avatar: VisemeAvatar) -> float:
    """How well the mouth was seen, on average over the frames that show the face."""
    confidence = avatar.path.confidence
    if avatar.track is None:
        return float(np.mean(confidence))
    return float(np.mean(confidence[avatar.track.status[: len(confidence)] <= FaceStatus.INTERPOLATED]))


def _look_at_mouth(
    frames: Sequence[Frame], indices: Sequence[int], track: FaceTrack, mesh: FaceMesh | None, run: RunContext
) -> None:
    """Warn of a mouth that is covered; where the user gave the box, the mouth is where he says."""
    if mesh is not None and not track.is_given:
        looks = list(zip(frames, track.boxes_xyxy[list(indices)], strict=True))
        if mouth_is_covered(looks[:: max(1, len(looks) // COVER_LOOKS)], mesh):
            run.warn(COVERED_NOTE)


def _analysed(
    frames: FrameSource,
    track: FaceTrack,
    run: RunContext,
) -> VisemeAvatar:
    """Geometry and colours of the tracked face."""
    n = len(track)
    mesh = found_mesh()
    if n == 1 and len(frames) == 1:
        frame = next(iter(frames.read(0, 1)))
        path, eyes = analyse_picture(frame, track, mesh)
        _look_at_mouth([frame], [0], track, mesh, run)
        palette, own, lids = appearance([frame], path, [0], eyes)
        run.tell("analyse-face", 1, 1)
        return VisemeAvatar(
            frames,
            track,
            frames.size,
            frames.fps,
            1,
            frames=frames,
            path=path,
            palette=palette,
            own_teeth=own,
            eyes=lids,
            fine=fine_picture(without_inside(frame, path.at(0).mouth), head_region(path.at(0), frames.size)),
        )

    fps = float(frames.fps or 25)
    key = cache_key(
        CACHE_KIND,
        source=frames.content_hash,
        boxes=track.boxes_xyxy,
        status=track.status,
        points=track.key_points if track.key_points is not None else 0,
        mesh="" if mesh is None else mesh.files.identity,
    )
    stored = run.cache.get(key)
    if stored is not None:
        path = FacePath.from_arrays(stored)
    else:

        def analysing(done: int) -> None:
            run.tell("analyse-face", min(done, 2 * n), 2 * n)

        path = analyse_video(lambda: frames.read(0, n), track, fps, analysing, mesh)
        run.cache.put(key, path.to_arrays())
    there = np.flatnonzero(track.status[: len(path)] != FaceStatus.MISSING)
    indices = telling_frames(path, there, PALETTE_FRAMES, TEETH_FRAMES)
    samples = [next(iter(frames.read(index, index + 1))) for index in indices]
    _look_at_mouth(samples, indices, track, mesh, run)
    palette, own, lids = appearance(samples, path, indices, None)
    return VisemeAvatar(
        frames,
        track,
        frames.size,
        frames.fps,
        min(n, len(path)),
        frames=frames,
        path=path,
        palette=palette,
        own_teeth=own,
        eyes=lids,
    )
